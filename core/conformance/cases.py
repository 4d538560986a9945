# SPDX-License-Identifier: Apache-2.0
"""A case, as data: which matrix, which operand, which direction.

Cases that differ in ``seed``, ``origin``, ``pattern``, ``weights`` and (unless
``known``) ``prob`` alone are one ``Problem``, compiled once: add of these rather than
of shapes.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from synjit import reference
from synjit.hookspecs import NO_GRID, Block, Grid, Product, Rule

PRODUCTS: tuple[Product, ...] = ("events", "floats", "dense", "weighted", "deliver")

Pattern = Literal["none", "one", "last", "all", "random", "positive", "nonfinite"]

SEED = 20140785
STAGGER = (517, 3)
WEIGHTS = (0.3, -1.7)  # w_loc and w_scale, whose products must be rounded


Prob: TypeAlias = float | reference.FixedOutDegree


@functools.cache
def connectivity_of(
    prob: Prob, self_connections: bool = True
) -> reference.Connectivity:
    """Give what a draw needs to know of a rule; one of fixed degree knows its rows."""
    return reference.connectivity_of(prob, 0, self_connections=self_connections)


Table = Literal[
    "normal", "constant", "lognormal", "random", "random symmetric", "mixed"
]
MIXED: tuple[Table, ...] = ("normal", "constant", "lognormal", "random", "normal")


@functools.cache
def words_of(table: Table) -> NDArray[np.uint32]:
    """Give the words of a table, by which weights are looked up.

    Random ones are in nobody's law: they are all read, and what wraps, wraps.
    """
    rng = np.random.default_rng(2014)
    made = {
        "normal": lambda: reference.Normal().table,
        "constant": lambda: reference.Constant().table,
        "lognormal": lambda: reference.LogNormal(1.0).table,
        "random symmetric": lambda: rng.integers(2**32, size=2048, dtype=np.uint32),
        "random": lambda: np.concatenate(
            [
                rng.integers(2**32, size=4096, dtype=np.uint32),
                rng.integers(2**20, size=4096, dtype=np.uint32),
            ]
        ),
    }
    words: NDArray[np.uint32] = made[table]()
    return words


DelayTable = Literal["one", "two", "normal", "wide", "random", "mixed"]
MIXED_DELAYS: tuple[DelayTable, ...] = ("normal", "one", "two", "random")
SLOTS = 70  # more than the longest delay of all tables but "wide"


@functools.cache
def delay_words_of(table: DelayTable) -> NDArray[np.uint32]:
    """Give the words of a table, by which delays are looked up.

    Random ones are in nobody's law: they are all read.
    """
    rng = np.random.default_rng(2015)
    made = {
        "one": lambda: reference.Delays(reference.Constant(), 3, 0).table,
        "two": lambda: reference.Delays(reference.Uniform(), 2, 0.8).table,
        "normal": lambda: (
            reference.Delays(reference.TruncatedNormal(low=-14.5 / 7.5), 15, 7.5).table
        ),
        "wide": lambda: reference.Delays(reference.Uniform(), 520, 500).table,
        "random": lambda: np.array(
            [5, *rng.integers(2**32, size=32, dtype=np.uint32)], np.uint32
        ),
    }
    words: NDArray[np.uint32] = made[table]()
    return words


@dataclass(frozen=True)
class Case:
    """One product that a backend is asked for, and all that decides its result.

    Attributes
    ----------
    product, prob, shape, seed, origin, transpose, batch, dtype, corder
        As in the contract; ``prob`` may be a rule, which says how many rows there are
        in all.
    self_connections : bool
        As in the contract. Of "weighted", without them is every second block, from the
        first on.
    pattern : str
        Which entries of the operand are events, or not 0. "last" are the last three,
        "one" is one anywhere. "positive" are those that add a z > 0
        to the first sum, which soon is more than a float32 can hold; "nonfinite" are
        random, with a NaN and an infinity among them.
    known : bool
        Whether ``problem.log2_chunk`` is given, as where prob is known early; without
        it, that of every second block is.
    concrete : bool
        Whether all that says which matrix is a constant of the traced function.
    grid : tuple of tuples of (float or None)
        Of "weighted" and "deliver": the prob of each block, None where there is none.
        ``prob`` is then the first one's. The shape is cut into groups of about the same
        length; block number i has the seed ``seed + i``, and its origin is
        ``STAGGER * i`` further.
    seeds : {"own", "equal"}
        Of blocks: "equal" if all have the seed ``seed``.
    table : str
        The words of ``Matrix.weights``: see ``words_of``; of blocks, "mixed" if
        blocks have different ones.
    weights : (float, float)
        w_loc and w_scale with which sums of events are weighed; of blocks, what
        those of each block are made of.
    delays : str
        Of "deliver": the words of the delays, see ``delay_words_of``; "mixed" if blocks
        have different ones.
    slots, now : int
        Of "deliver": those of the ring, and the slot of the step.
    about : str
        What is rare in it, for a report; it decides nothing.
    """

    product: Product
    prob: Prob
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
    grid: tuple[tuple[Prob | None, ...], ...] = ()
    seeds: Literal["own", "equal"] = "own"
    table: Table = "normal"
    weights: tuple[float, float] = WEIGHTS
    self_connections: bool = True
    delays: DelayTable = "mixed"
    slots: int = SLOTS
    now: int = 0
    about: str = field(default="", compare=False)

    def __str__(self) -> str:
        """Give everything that is not as usual: a name for tables and filters."""
        words = [
            self.product,
            f"prob={_shown(self.prob)}",
            f"{self.shape[0]}x{self.shape[1]}",
        ]
        shown = {"product", "prob", "shape", "about"}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name not in shown and value != each.default:
                value = str(value).replace(" ", "")
                words.append(f"{each.name}={value}")
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
            (i, j, prob)
            for i, row in enumerate(self.grid)
            for j, prob in enumerate(row)
            if prob is not None
        ]
        tables = self.tables(len(placed))
        starts = _starts([(table, len(words_of(table))) for table in tables])
        delays = self.delay_tables(len(placed))
        lengths = {table: len(delay_words_of(table)) for table in delays}
        delay_starts = _starts([(table, lengths[table]) for table in delays])
        delivers = self.product == "deliver"
        blocks = tuple(
            Block(
                i,
                j,
                connectivity_of(prob).log2_chunk if self.known or number % 2 else None,
                (starts[table], len(words_of(table))),
                rule_of(prob),
                self._has_self_connections(number),
                (delay_starts[own], lengths[own]) if delivers else (0, 0),
            )
            for number, ((i, j, prob), table, own) in enumerate(
                zip(placed, tables, delays, strict=True)
            )
        )
        rows = _cut(self.shape[0], len(self.grid))
        return Grid(rows, _cut(self.shape[1], len(self.grid[0])), blocks)

    def _has_self_connections(self, number: int) -> bool:
        """Whether a block of the grid has."""
        return self.self_connections or number % 2 == 1

    def tables(self, number: int) -> list[Table]:
        """Name the tables of so many blocks."""
        if self.table != "mixed":
            return [self.table] * number
        return [MIXED[i % len(MIXED)] for i in range(number)]

    def delay_tables(self, number: int) -> list[DelayTable]:
        """Name the tables of delays of so many blocks."""
        if self.delays != "mixed":
            return [self.delays] * number
        return [MIXED_DELAYS[i % len(MIXED_DELAYS)] for i in range(number)]

    def of_blocks(self) -> list[Case]:
        """Give the product of events with each block."""
        grid = self.problem_grid
        probs = [prob for row in self.grid for prob in row if prob is not None]
        tables = self.tables(len(probs))
        return [
            replace(
                self,
                product="events",
                prob=prob,
                shape=grid.shape(block),
                seed=self.seed + i * (self.seeds == "own"),
                origin=(
                    self.origin[0] + STAGGER[0] * i,
                    self.origin[1] + STAGGER[1] * i,
                ),
                grid=(),
                seeds="own",
                table=tables[i],
                self_connections=self._has_self_connections(i),
            )
            for i, (prob, block) in enumerate(zip(probs, grid.blocks, strict=True))
        ]

    def operand(self) -> NDArray:
        """Events or values, made from the case alone; empty for "dense"."""
        if self.product == "dense":
            return np.zeros((0, 0), np.bool_)
        name = repr(replace(self, about=""))
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        size = (self.operand_length, self.batch)
        if self.pattern == "none":
            events = np.zeros(size, np.bool_)
        elif self.pattern == "all":
            events = np.ones(size, np.bool_)
        elif self.pattern == "one":
            places = rng.integers(size[0], size=size[1])
            events = np.arange(size[0])[:, None] == places
        elif self.pattern == "last":
            events = np.broadcast_to(np.arange(size[0])[:, None] >= size[0] - 3, size)
        elif self.pattern == "positive":
            events = np.broadcast_to(self._adds_to_first_sum(), size)
        else:
            events = rng.random(size) < 0.2
        if self.product != "floats":
            return events
        values = np.where(events, rng.normal(size=size), 0).astype(self.dtype)
        if self.pattern == "nonfinite":
            values[size[0] // 2, 0] = np.nan
            values[size[0] // 3, -1] = np.inf
        return values

    def ring(self) -> NDArray:
        """What is in a ring already; some of it is -0."""
        name = repr(replace(self, about="", pattern="none", now=0))
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        values = rng.normal(size=(self.slots, self.shape[0], self.batch))
        return np.where(rng.random(values.shape) < 0.5, -0.0, values).astype(self.dtype)

    def _adds_to_first_sum(self) -> NDArray[np.bool_]:
        from .expected import window

        z = window(self)
        first = z[:, 0] if self.transpose else z[0]
        return (first > 0)[:, None]


def rule_of(prob: Prob) -> Rule:
    """Name the rule, as problems do."""
    fixed = isinstance(prob, reference.FixedOutDegree)
    return "fixed_out_degree" if fixed else "bernoulli"


def _shown(prob: Any) -> str:
    if isinstance(prob, reference.FixedOutDegree):
        return repr(prob).replace(" ", "")
    return f"{prob:g}"


def _cut(length: int, parts: int) -> tuple[int, ...]:
    """Cut into parts, of which the last takes what is left over."""
    each = length // parts
    return (*(each,) * (parts - 1), length - (parts - 1) * each)


def _starts(tables: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Where each distinct table, of a name and a length, begins."""
    distinct = dict(tables)
    begins = np.cumsum([0, *list(distinct.values())[:-1]]).tolist()
    return dict(zip(distinct, begins, strict=True))
