# SPDX-License-Identifier: Apache-2.0
"""Which cases there are: those of the gate, those of the full suite, random ones."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product as combinations
from typing import Any

import numpy as np

from synjit.hookspecs import Product, directions

from .cases import Case, Pattern, Table
from .delivery_cases import full_deliveries, quick_deliveries
from .rare import AT_LIMITS, LAST, place_of_connection, place_of_word, tail_word
from .rule_cases import (
    full_rules,
    full_rules_of_blocks,
    quick_rules,
    quick_rules_of_blocks,
)

# A chunk is 1024 rows long at prob 1/16 and above, 2048 at 0.05, 8192 at 0.01: the
# shapes lie just below, at and above chunks' edges, far inside one, and over many.
_PROBS = (0.0, 1e-4, 0.01, 0.1, 0.3, 0.5, 0.77, 0.9, 1.0)
_SEEDS = (0, -1, 2**40 + 5, 2**32 - 1)
_ORIGINS = ((700, 3), (1023, 0), (2**31 - 3000, 2**31 - 100))
_TABLES_AT_RANDOM: tuple[Table, ...] = ("random symmetric", "random")
_TABLES: tuple[Table, ...] = (*_TABLES_AT_RANDOM, "lognormal", "constant")
_WEIGHTS = ((-0.3, -1.7), (0.0, -1.7), (-0.3, 0.0), (np.inf, 1.7), (0.3, -np.inf))

# (prob, shape): every one a problem of its own.
_SHAPES = (
    (0.0, (129, 37)),
    (1e-4, (700, 300)),
    (0.01, (8191, 3)),
    (0.01, (8192, 3)),
    (0.01, (8193, 40)),
    (0.1, (1, 1)),
    (0.1, (1, 7)),
    (0.1, (7, 1)),
    (0.1, (10, 10)),
    (0.05, (2048, 33)),
    (0.1, (3, 3001)),
    (0.3, (511, 17)),
    (0.5, (1023, 32)),
    (0.5, (1024, 32)),
    (0.5, (1025, 33)),
    (0.77, (300, 65)),
    (0.9, (1, 1)),
    (1.0, (260, 19)),
)
_BATCHES = (2, 3, 8, 33)
_MANY_VECTORS = 130
_ALIKE = ((0.1,) * 4,) * 3  # more blocks than a hand has fingers, all alike
# More connections of one column than a float32 can count.
MANY = 2**24 + 3
# More entries than 31 bits can number, most of which nobody need look at.
HUGE = (65_537, 32_771)


def _patterns(product: Product) -> tuple[Pattern, ...]:
    if product == "dense":
        return ("random",)
    usual: tuple[Pattern, ...] = ("all", "none", "one", "random")
    return (*usual, "nonfinite") if product == "floats" else usual


def quick_cases(product: Product, dtype: str = "float32") -> list[Case]:
    """Return the cases of the gate: few problems, and every kind of thing once."""
    if product == "deliver":
        return _unique(quick_deliveries(dtype))
    quick = _quick_blocks(dtype) if product == "weighted" else _quick(product, dtype)
    return _unique(quick)


def _quick(product: Product, dtype: str) -> Iterator[Case]:
    further: list[Case] = []
    for transpose in directions(product):
        like = Case(product, 0.1, (2100, 37), transpose=transpose, dtype=dtype)
        tiny = replace(like, prob=0.5, shape=(1, 5))
        far = replace(tiny, prob=1.0, pattern="all")
        yield from _matrices(like)
        yield from _sizes(like)
        for pattern in _patterns(product):
            yield replace(tiny, pattern=pattern)
        for octave, sign in _TAIL:
            yield _in_tail(far, octave, sign)
        yield from _rare(replace(like, pattern="all", known=False))
        if product == "events":
            shape = (1501, 3) if transpose else (3, 1501)
            yield replace(like, prob=0.9, shape=shape, pattern="positive")
            for weights in _WEIGHTS:
                yield replace(like, known=False, weights=weights)
        unknown = replace(like, known=False, pattern="all")
        further += (replace(unknown, table=table) for table in _TABLES)
        further += (
            _in_tail(replace(far, table=table), *place)
            for table, place in combinations(_TABLES_AT_RANDOM, _TAIL)
        )
        further += quick_rules(like)
    yield from further


def _matrices(like: Case) -> Iterator[Case]:
    """Vary the matrix, and what is known of its law."""
    # Over many chunks, the last one partial; "all" sees every connection.
    unknown = replace(like, known=False, pattern="all")
    for prob in (0.1, *_PROBS):
        for pattern in _patterns(like.product) if prob == 0.1 else ("all",):
            yield replace(unknown, prob=prob, pattern=pattern)
    for seed in _SEEDS:
        yield replace(unknown, seed=seed)
    for origin in _ORIGINS:
        yield replace(unknown, origin=origin)
    # What is known of the law, in and at the edges of short chunks.
    yield replace(like, prob=0.5, shape=(257, 129), corder=False, concrete=True)
    for prob in (0.5, 0.77, 1.0):
        yield replace(like, prob=prob, shape=(1024, 19), pattern="all")


def _sizes(like: Case) -> Iterator[Case]:
    """Vary the number of vectors, rows and columns."""
    # A square, in which a transpose that does nothing has the right shape.
    batch = 1 if like.product == "dense" else 3
    square = replace(like, shape=(300, 300))
    yield replace(square, batch=batch)
    yield replace(square, batch=batch, origin=(900, 3))
    if like.product != "dense":
        yield replace(square, batch=_MANY_VECTORS)
        yield replace(like, batch=batch, known=False)
    # More rows, or columns, than 16 bits can number; chunks of 2**16 rows.
    unknown = replace(like, pattern="all", known=False)
    for prob in (0.01, 0.001):
        tall = replace(unknown, prob=prob, shape=(131_101, 3))
        yield replace(tall, batch=min(batch, 2))
    yield replace(unknown, prob=0.01, shape=(3, 131_101))


_TAIL = ((21, 1), (24, -1), (28, 1), (30, -1), (31, 1), (31, -1))


def _in_tail(like: Case, octave: int, sign: int) -> Case:
    """Ask for a row in which a weight of the first column is far from 0."""
    origin = place_of_word(like.seed, tail_word(octave, sign))
    far = "a weight is beyond 5 standard deviations"
    if like.table != "normal":
        far = f"a weight is looked up in octave {octave} of the table"
    return replace(like, origin=origin, about=far if octave > 20 else "")


def _rare(like: Case) -> Iterator[Case]:
    """Ask for what is never met by chance, in a window of some 2000 rows."""

    def case(prob: float, origin: tuple[int, int], about: str) -> Case:
        grid = ((prob,),) if like.grid else ()
        return replace(like, prob=prob, origin=origin, grid=grid, about=about)

    for prob, column in AT_LIMITS:
        yield case(prob, (0, column), "a count word is equal to a limit of the law")
    for prob, log2_chunk in ((0.002, 15), (1e-4, 20)):
        about = f"chunks are 2^{log2_chunk} rows long, and two are met"
        yield case(prob, (2**log2_chunk - 1000, 3), about)
    for prob in (1e-6, 1e-10):
        row, column = place_of_connection(like.seed, prob, like.shape[0])
        about = "there is a connection: a tiny prob is not 0"
        yield case(prob, (max(row - 1000, 0), column), about)


def full_cases(product: Product, dtype: str = "float32") -> list[Case]:
    """Return the cases of the suite: those of the gate, and all others."""
    if product == "deliver":
        return _unique(full_deliveries(dtype))
    full = _full_blocks(dtype) if product == "weighted" else _full(product, dtype)
    return _unique(full)


def _full(product: Product, dtype: str) -> Iterator[Case]:
    yield from _quick(product, dtype)
    for transpose in directions(product):
        like = Case(product, 0.1, (1500, 60), transpose=transpose, dtype=dtype)
        yield from _shapes_and_seeds(like)
        yield from _origins(like)
        tiny = replace(like, prob=1.0, shape=(1, 5), pattern="all")
        for octave, sign in combinations(range(32), (1, -1)):
            yield _in_tail(tiny, octave, sign)
            yield _in_tail(replace(tiny, table="random"), octave, sign)
        yield from full_rules(like)
        if product != "dense":
            yield from _batches(like)
            yield replace(like, prob=0.2, shape=HUGE, batch=2, pattern="last")
    yield from _tables(Case(product, 0.1, (1500, 60), dtype=dtype))
    if product == "events":
        yield Case(product, 1.0, (MANY, 1), transpose=True, pattern="all")


def _shapes_and_seeds(like: Case) -> Iterator[Case]:
    for prob, shape in _SHAPES:
        for pattern in _patterns(like.product):
            yield replace(like, prob=prob, shape=shape, pattern=pattern)
    for known, concrete, corder in combinations((True, False), repeat=3):
        yield replace(like, known=known, concrete=concrete, corder=corder)
    for seed, concrete in combinations(_SEEDS, (False, True)):
        yield replace(like, prob=0.3, shape=(511, 17), seed=seed, concrete=concrete)


def _origins(like: Case) -> Iterator[Case]:
    for origin in (*_ORIGINS, (8170, 9), (1, 1)):
        yield replace(like, prob=0.01, shape=(50, 60), origin=origin)
        yield replace(like, prob=0.9, shape=(300, 5), origin=origin)
    # Windows of one matrix: a device's rows, the next device's rows.
    for top in (0, 500, 1000):
        yield replace(like, shape=(500, 60), origin=(top, 0), pattern="all")


def _tables(like: Case) -> Iterator[Case]:
    """Vary the law of the weights with all else."""
    for table in _TABLES:
        for transpose in directions(like.product):
            own = replace(like, table=table, transpose=transpose)
            yield own
            yield replace(own, concrete=True)
            yield replace(own, prob=0.9, shape=(300, 40), origin=_ORIGINS[0])
            yield replace(own, prob=0.005, shape=(20_000, 3), pattern="all")
            if like.product != "dense":
                yield replace(own, batch=3)
                yield replace(own, pattern="none")


def _batches(like: Case) -> Iterator[Case]:
    for batch in _BATCHES:
        for pattern in _patterns(like.product):
            yield replace(like, batch=batch, pattern=pattern)
        yield replace(like, prob=0.5, shape=(40, 900), batch=batch, corder=False)
    yield replace(like, shape=(100_003, 5), batch=2)
    yield replace(like, batch=_MANY_VECTORS, known=False)


# Blocks of chunks of many lengths, from 1024 rows to 2**14; holes; columns of none.
_GRID = ((0.1, None, 0.5, 0.0), (0.005, 1.0, 0.05, None))


def _quick_blocks(dtype: str) -> Iterator[Case]:
    def case(shape: tuple[int, int], grid: Any = _GRID, **other: Any) -> Case:
        first = next(prob for prob in grid[0] if prob is not None)
        return Case("weighted", first, shape, dtype=dtype, grid=grid, **other)

    for pattern in _patterns("weighted"):
        yield case((4301, 70), pattern=pattern)
    for seed in _SEEDS:
        yield case((4301, 70), seed=seed, pattern="all")
    for origin in (*_ORIGINS[:2], (LAST - 4000, LAST - 100)):
        yield case((901, 40), origin=origin, pattern="all")
    for weights in _WEIGHTS:
        yield case((4301, 70), weights=weights)
    yield case((4301, 70), table="mixed", pattern="all")
    for seeds in ("own", "equal"):
        yield case((903, 44), _ALIKE, seeds=seeds, pattern="all")
    yield case((4301, 70), seeds="equal", pattern="all")
    yield case((300, 40), batch=_MANY_VECTORS)
    yield case((4301, 70), known=False, corder=False, batch=3)
    yield case((4301, 70), known=False, corder=False, batch=3, pattern="none")
    yield case((300, 40), concrete=True)
    for pattern in _patterns("weighted"):
        yield case((1, 5), ((0.5,),), pattern=pattern)
    for octave, sign in _TAIL:
        yield _in_tail(case((1, 5), ((1.0,),), pattern="all"), octave, sign)
    yield from _rare(case((2100, 37), ((0.1,),), pattern="all", known=False))
    yield from quick_rules_of_blocks(case((4301, 70)))


def _full_blocks(dtype: str) -> Iterator[Case]:
    yield from _quick_blocks(dtype)
    like = Case("weighted", 0.1, (4301, 70), dtype=dtype, grid=_GRID)
    yield from full_rules_of_blocks(like)
    for origin in _ORIGINS[:2]:
        yield replace(like, origin=origin, pattern="all")
    for batch in _BATCHES:
        for pattern in _patterns("weighted"):
            yield replace(like, batch=batch, pattern=pattern)
    for known, concrete, corder in combinations((True, False), repeat=3):
        yield replace(like, known=known, concrete=concrete, corder=corder)
    grids: tuple[Any, ...] = (
        ((0.3,),),
        ((0.3, None), (None, 0.3)),
        ((0.1, 0.9, 0.01),),
        ((0.5,), (1e-4,), (0.05,)),
    )
    for grid in grids:
        for pattern in _patterns("weighted"):
            yield replace(like, prob=grid[0][0], grid=grid, pattern=pattern)
    for rows in (1023, 1024, 1025):
        yield replace(like, prob=0.5, shape=(rows, 17), grid=((0.5, 0.01),))
    for table in (*_TABLES, "mixed"):
        yield replace(like, table=table)
        yield replace(like, table=table, batch=3, known=False)
    yield replace(like, shape=(70_001, 4), pattern="all")
    yield replace(like, shape=(3, 131_101), prob=0.01, grid=((0.01,),), pattern="all")


# --- random cases -----------------------------------------------------------------


def new_suite_seed() -> int:
    """Draw the seed of a run's random cases, unless SYNJIT_SUITE_SEED gives it."""
    given = os.environ.get("SYNJIT_SUITE_SEED", "")
    if not given:
        return secrets.randbelow(2**32)
    if not given.isdecimal():
        raise ValueError(
            f"SYNJIT_SUITE_SEED must be an integer of 0 or more, got {given!r}"
        )
    return int(given)


def random_cases(
    product: Product, suite_seed: int, dtype: str = "float32", *, shapes: bool = False
) -> list[Case]:
    """Draw some matrices at random, of a problem that the gate compiles anyway.

    No test can tell a right backend from one that knows the suite's matrices by heart;
    these make it a little harder. With ``shapes``, those are drawn as well.
    """
    rng = np.random.default_rng([suite_seed, *product.encode()])
    of_blocks = product in {"weighted", "deliver"}
    shape, grid = ((901, 40), _GRID) if of_blocks else ((2100, 37), ())
    cases = []
    for transpose in directions(product) * 2:
        case = Case(
            product,
            _GRID[0][0] if grid else float(np.float32(2.0 ** -rng.uniform(0, 8))),
            shape,
            seed=int(rng.integers(2**64, dtype=np.uint64)),
            origin=tuple(rng.integers(LAST - 4000, size=2).tolist()),
            transpose=transpose,
            pattern="random",
            dtype=dtype,
            known=bool(grid),
            grid=grid,
            about=f"drawn at random: SYNJIT_SUITE_SEED={suite_seed}",
        )
        if shapes:
            sizes = tuple(rng.integers((4, 4), (3000, 200)).tolist())
            batch = 1 if product == "dense" else int(rng.integers(1, 20))
            case = replace(case, shape=sizes, batch=batch, known=True)
        cases.append(case)
    return cases


def _unique(cases: Iterable[Case]) -> list[Case]:
    return list(dict.fromkeys(cases))


# How many cases there must be: a change that loses some is seen.
QUICK_COUNTS = {
    "events": 174,
    "floats": 166,
    "dense": 73,
    "weighted": 43,
    "deliver": 38,
}
FULL_COUNTS = {
    "events": 845,
    "floats": 880,
    "dense": 313,
    "weighted": 103,
    "deliver": 103,
}
