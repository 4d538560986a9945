# SPDX-License-Identifier: Apache-2.0
"""The cases, as data: which matrices, which operands, which directions.

Cases that differ in ``seed``, ``origin``, ``pattern`` and (unless ``known``) ``prob``
alone are one ``Problem``, compiled once: add of these rather than of shapes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import product as combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from synjit import reference
from synjit.hookspecs import NO_GRID, Block, Grid, Product

PRODUCTS: tuple[Product, ...] = ("events", "floats", "dense", "blocks")

Pattern = Literal["none", "one", "all", "random", "positive", "nonfinite"]

SEED = 20140785


STAGGER = (517, 3)


@dataclass(frozen=True)
class Case:
    """One product that a backend is asked for, and all that decides its result.

    Attributes
    ----------
    product, prob, shape, seed, origin, transpose, batch, dtype, corder
        As in the contract.
    pattern : str
        Which entries of the operand are events, or not 0. "positive" are those that
        add a z > 0 to the first sum, which soon is more than a float32 can hold;
        "nonfinite" are random, with a NaN and an infinity among them.
    known : bool
        Whether ``problem.log2_chunk`` is given, as where prob is known early; without
        it, that of every second block is.
    concrete : bool
        Whether seed, origin and law are constants of the traced function.
    grid : tuple of tuples of (float or None)
        Of "blocks": the prob of each block, None where there is none. ``prob`` is then
        the first one's. The shape is cut into groups of about the same length; block
        number i has the seed ``seed + i``, and its origin is ``STAGGER * i`` further.
    """

    product: Product
    prob: float
    shape: tuple[int, int]
    seed: int = SEED
    origin: tuple[int, int] = (0, 0)
    transpose: bool = False
    batch: int = 1
    pattern: Pattern = "random"
    dtype: str = "float32"
    corder: bool = True
    known: bool = True
    concrete: bool = False
    grid: tuple[tuple[float | None, ...], ...] = ()

    def __str__(self) -> str:
        """Give everything that is not as usual: a name for tables and filters."""
        words = [
            self.product,
            f"prob={self.prob:g}",
            f"{self.shape[0]}x{self.shape[1]}",
        ]
        shown = {"product", "prob", "shape"}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in shown and value != field.default:
                value = str(value).replace(" ", "")
                words.append(f"{field.name}={value}")
        return "/".join(words).replace("=True", "")

    @property
    def operand_length(self) -> int:
        """Rows of the operand: columns of W, or rows for its transpose."""
        return self.shape[0] if self.transpose else self.shape[1]

    @property
    def problem_grid(self) -> Grid:
        """The grid in the words of the contract; empty of other products."""
        if not self.grid:
            return NO_GRID
        placed = [
            (i, j, reference.law(prob).log2_chunk)
            for i, row in enumerate(self.grid)
            for j, prob in enumerate(row)
            if prob is not None
        ]
        blocks = tuple(
            Block(i, j, k if self.known or number % 2 else None)
            for number, (i, j, k) in enumerate(placed)
        )
        rows = _cut(self.shape[0], len(self.grid))
        return Grid(rows, _cut(self.shape[1], len(self.grid[0])), blocks)

    def of_blocks(self) -> list[Case]:
        """Give the product of events with each block."""
        grid = self.problem_grid
        probs = [prob for row in self.grid for prob in row if prob is not None]
        return [
            replace(
                self,
                product="events",
                prob=prob,
                shape=grid.shape(block),
                seed=self.seed + i,
                origin=(
                    self.origin[0] + STAGGER[0] * i,
                    self.origin[1] + STAGGER[1] * i,
                ),
                grid=(),
            )
            for i, (prob, block) in enumerate(zip(probs, grid.blocks, strict=True))
        ]

    def operand(self) -> NDArray:
        """Events or values, made from the case alone; empty for "dense"."""
        if self.product == "dense":
            return np.zeros((0, 0), np.bool_)
        rng = np.random.default_rng(zlib.crc32(repr(self).encode()))
        size = (self.operand_length, self.batch)
        if self.pattern == "none":
            events = np.zeros(size, np.bool_)
        elif self.pattern == "all":
            events = np.ones(size, np.bool_)
        elif self.pattern == "one":
            places = rng.integers(size[0], size=size[1])
            events = np.arange(size[0])[:, None] == places
        elif self.pattern == "positive":
            events = np.broadcast_to(self._adds_to_first_sum(), size)
        else:
            events = rng.random(size) < 0.2
        if self.product in {"events", "blocks"}:
            return events
        values = np.where(events, rng.normal(size=size), 0).astype(self.dtype)
        if self.pattern == "nonfinite":
            values[size[0] // 2, 0] = np.nan
            values[size[0] // 3, -1] = np.inf
        return values

    def _adds_to_first_sum(self) -> NDArray[np.bool_]:
        from .expected import window

        z = window(self.seed, self.prob, self.shape, self.origin)
        first = z[:, 0] if self.transpose else z[0]
        return (first > 0)[:, None]


def _cut(length: int, parts: int) -> tuple[int, ...]:
    """Cut into parts, of which the last takes what is left over."""
    each = length // parts
    return (*(each,) * (parts - 1), length - (parts - 1) * each)


# --- what the cases vary ----------------------------------------------------------

# A chunk is 1024 rows long at prob 1/16 and above, 2048 at 0.05, 8192 at 0.01: the
# shapes lie just below, at and above chunks' edges, far inside one, and over many.
_PROBS = (0.0, 1e-4, 0.01, 0.1, 0.3, 0.5, 0.77, 0.9, 1.0)
_SEEDS = (0, -1, 2**40 + 5, 2**32 - 1)
_ORIGINS = ((700, 3), (1023, 0), (2**31 - 3000, 2**31 - 100))

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
# More connections of one column than a float32 can count.
MANY = 2**24 + 3


def _patterns(product: Product) -> tuple[Pattern, ...]:
    if product == "dense":
        return ("random",)
    usual: tuple[Pattern, ...] = ("all", "none", "one", "random")
    return (*usual, "nonfinite") if product == "floats" else usual


def _directions(product: Product) -> tuple[bool, ...]:
    return (False,) if product == "dense" else (False, True)


def quick_cases(product: Product, dtype: str = "float32") -> list[Case]:
    """Return the cases of the gate: few problems, and every kind of thing once."""
    quick = _quick_blocks(dtype) if product == "blocks" else _quick(product, dtype)
    return _unique(quick)


def _quick(product: Product, dtype: str) -> Iterator[Case]:
    batch = 1 if product == "dense" else 3
    for transpose in _directions(product):

        def case(
            prob: float,
            shape: tuple[int, int],
            transpose: bool = transpose,
            **other: Any,
        ) -> Case:
            return Case(product, prob, shape, transpose=transpose, dtype=dtype, **other)

        # Over many chunks, the last one partial; "all" sees every connection.
        for prob in (0.1, *_PROBS):
            for pattern in _patterns(product) if prob == 0.1 else ("all",):
                yield case(prob, (2100, 37), pattern=pattern, known=False)
        for seed in _SEEDS:
            yield case(0.1, (2100, 37), seed=seed, known=False, pattern="all")
        for origin in _ORIGINS:
            yield case(0.1, (2100, 37), origin=origin, known=False, pattern="all")
        # A square, in which a transpose that does nothing has the right shape.
        yield case(0.1, (300, 300), batch=batch)
        yield case(0.1, (300, 300), batch=batch, origin=(900, 3))
        # What is known of the law, in and at the edges of short chunks.
        yield case(0.5, (257, 129), corder=False, concrete=True)
        for prob in (0.5, 0.77, 1.0):
            yield case(prob, (1024, 19), pattern="all")
        if product == "events":
            shape = (1501, 3) if transpose else (3, 1501)
            yield case(0.9, shape, pattern="positive")
        # More rows than 16 bits can number.
        yield case(0.01, (131_101, 3), pattern="all", batch=min(batch, 2))
        for pattern in _patterns(product):
            yield case(0.5, (1, 5), pattern=pattern)


def full_cases(product: Product, dtype: str = "float32") -> list[Case]:
    """Return the cases of the suite: those of the gate, and all others."""
    full = _full_blocks(dtype) if product == "blocks" else _full(product, dtype)
    return _unique(full)


def _full(product: Product, dtype: str) -> Iterator[Case]:
    yield from _quick(product, dtype)
    for transpose in _directions(product):
        like = Case(product, 0.1, (1500, 60), transpose=transpose, dtype=dtype)
        yield from _shapes_and_seeds(like)
        yield from _origins(like)
        if product != "dense":
            yield from _batches(like)
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


def _batches(like: Case) -> Iterator[Case]:
    for batch in _BATCHES:
        for pattern in _patterns(like.product):
            yield replace(like, batch=batch, pattern=pattern)
        yield replace(like, prob=0.5, shape=(40, 900), batch=batch, corder=False)
    yield replace(like, shape=(100_003, 5), batch=2)


# Blocks of chunks of many lengths, from 1024 rows to 2**14; holes; columns of none.
_GRID = ((0.1, None, 0.5, 0.0), (0.005, 1.0, 0.05, None))


def _quick_blocks(dtype: str) -> Iterator[Case]:
    def case(shape: tuple[int, int], grid: Any = _GRID, **other: Any) -> Case:
        first = next(prob for prob in grid[0] if prob is not None)
        return Case("blocks", first, shape, dtype=dtype, grid=grid, **other)

    for pattern in _patterns("blocks"):
        yield case((4301, 70), pattern=pattern)
    for seed in _SEEDS:
        yield case((4301, 70), seed=seed, pattern="all")
    for origin in _ORIGINS:
        yield case((901, 40), origin=origin, pattern="all")
    yield case((4301, 70), known=False, corder=False, batch=3)
    yield case((4301, 70), known=False, corder=False, batch=3, pattern="none")
    yield case((300, 40), concrete=True)
    for pattern in _patterns("blocks"):
        yield case((1, 5), ((0.5,),), pattern=pattern)


def _full_blocks(dtype: str) -> Iterator[Case]:
    yield from _quick_blocks(dtype)
    like = Case("blocks", 0.1, (4301, 70), dtype=dtype, grid=_GRID)
    for origin in _ORIGINS[:2]:
        yield replace(like, origin=origin, pattern="all")
    for batch in _BATCHES:
        for pattern in _patterns("blocks"):
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
        for pattern in _patterns("blocks"):
            yield replace(like, prob=grid[0][0], grid=grid, pattern=pattern)
    for rows in (1023, 1024, 1025):
        yield replace(like, prob=0.5, shape=(rows, 17), grid=((0.5, 0.01),))
    yield replace(like, shape=(70_001, 4), pattern="all")


def _unique(cases: Iterable[Case]) -> list[Case]:
    return list(dict.fromkeys(cases))


# How many cases there must be: a change that loses some is seen.
QUICK_COUNTS = {"events": 62, "floats": 64, "dense": 24, "blocks": 18}
FULL_COUNTS = {"events": 307, "floats": 352, "dense": 71, "blocks": 63}
