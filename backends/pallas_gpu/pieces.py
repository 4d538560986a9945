# SPDX-License-Identifier: Apache-2.0
"""Pieces: the columns of a block that a launch of ``scatter`` lists, and its plan.

A launch goes through any number of blocks, as long as their code is the same. What is
different stands in one array of int32, the plan: how many lanes share an item, an item
being a chunk of an active column; then, of each piece, where its groups of LANES lanes
begin, how many active columns it has and where their list begins; and what is known of
it when it is traced. A group has lanes of one piece only, so that whatever tells blocks
apart is a scalar in the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synjit.hookspecs import Matrix
from synjit.reference import draw

from .draw import Window, count_chunks, window
from .lanes import i32
from .workspace import LANES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synjit.hookspecs import Problem

# Lanes that a device is expected to have at work at once, as a power of two.
LOG2_RESIDENT = 17
LOG2_LANES = LANES.bit_length() - 1


class Piece(NamedTuple):
    """Columns of a block, as known when it is traced.

    Attributes
    ----------
    block : int
        Its number in the operands of the grid.
    rows, chunks : int
        Those of the block; chunks at most, wherever it begins.
    begin, end : int
        Of its columns, in the vector that is multiplied.
    left : int
        Where the first column of the block is, there.
    sums : int
        Where the accumulators of the block begin.
    table : int
        Where its words begin in ``Matrix.weights``.
    """

    block: int
    rows: int
    chunks: int
    begin: int
    end: int
    left: int
    sums: int
    table: int


class Listed(NamedTuple):
    """A piece in a kernel: scalars, int32, and the block that it is of.

    Attributes
    ----------
    start : scalar
        Number of its first group.
    active, first : scalars
        How many active columns it has, and where in the list of all they begin.
    left, sums : scalars
        As of ``Piece``.
    view : Window
    """

    start: jax.Array
    active: jax.Array
    first: jax.Array
    left: jax.Array
    sums: jax.Array
    view: Window


# Of each piece, in the plan: what is counted when it runs, and what is known before.
COUNTED = ("start", "active", "first")
KNOWN = ("block", "rows", "left", "sums", "table")


def plan(pieces: Sequence[Piece], matrix: Matrix, before: jax.Array) -> jax.Array:
    """Count what there is to list, and lay it out for the kernel, int32.

    Parameters
    ----------
    pieces : sequence of Piece
        With (column, chunk) pairs that can be numbered in 31 bits, all together.
    matrix : Matrix
        Operands of the grid.
    before : int32 (columns + 1,)
        How many active columns are before each.
    """
    number = {name: np.array([getattr(p, name) for p in pieces]) for name in KNOWN}
    block, rows = number["block"], number["rows"].astype(np.uint32)
    top, log2_chunk = matrix.origin[block, 0], matrix.connectivity[block, 0]
    chunks = count_chunks(top, rows, log2_chunk)
    first = before[np.array([p.begin for p in pieces])]
    active = before[np.array([p.end for p in pieces])] - first
    items = active * chunks
    total = jnp.sum(items, dtype=jnp.int32)
    # With few of them, several lanes share one: each draws the keys for itself.
    few = [total < i32(2 ** (LOG2_RESIDENT - s)) for s in range(1, LOG2_LANES + 1)]
    log2_share = jnp.sum(jnp.stack(few), dtype=jnp.int32)
    groups = ((items << log2_share) + i32(LANES - 1)) >> i32(LOG2_LANES)
    ends = jnp.cumsum(groups, dtype=jnp.int32)
    known = np.concatenate([number[name] for name in KNOWN]).astype(np.int32)
    head = jnp.stack([log2_share, ends[-1]])
    return jnp.concatenate([head, ends - groups, active, first, known])


@dataclass(frozen=True)
class Plan:
    """The plan in a kernel.

    Parameters
    ----------
    words : reference
    pieces : sequence of Piece
        What is the same for all of them is a constant of the kernel.
    """

    words: Any
    pieces: Sequence[Piece]

    @property
    def log2_share(self) -> jax.Array:
        """Logarithm of the number of lanes that share an item."""
        return self.words[0]

    @property
    def groups(self) -> jax.Array:
        """Number of groups, of all pieces."""
        return self.words[1]

    def piece_of(self, group: jax.Array) -> jax.Array:
        """Number of the piece that a group is of: the last that begins before it."""
        piece, left = jnp.zeros_like(group), len(self.pieces) - 1
        while left:
            step = (left + 1) // 2
            left -= step
            begins = self._field("start", piece + i32(step)) <= group
            piece = piece + jnp.where(begins, i32(step), i32(0))
        return piece

    def read(self, piece: Any, matrix: Matrix, problem: Problem) -> Listed:
        """Read a piece, of the operands of the grid."""
        start, active, first = (self._field(name, piece) for name in COUNTED)
        block, rows, left, sums, table = (self._field(name, piece) for name in KNOWN)
        words = draw.CONNECTIVITY_WORDS
        own: list[Any] = [
            Words(matrix.seed, block * i32(2), 2),
            Words(matrix.origin, block * i32(2), 2),
            Words(matrix.connectivity, block * i32(words), words),
            Words(matrix.weights, table, problem.weights),
        ]
        view = window(Matrix(*own), problem, rows.astype(np.uint32))
        return Listed(start, active, first, left, sums, view)

    def _field(self, name: str, piece: Any) -> Any:
        if name in KNOWN:
            known = {getattr(each, name) for each in self.pieces}
            if len(known) == 1:
                return i32(known.pop())
        at = (*COUNTED, *KNOWN).index(name) * len(self.pieces) + 2
        return self.words[piece + i32(at)]


@dataclass(frozen=True)
class Words:
    """Some words of a reference, which are looked up as those of a whole one are."""

    reference: Any
    start: Any
    length: int

    @property
    def shape(self) -> tuple[int]:
        """How many there are."""
        return (self.length,)

    def __getitem__(self, index: Any) -> Any:
        """Read some."""
        return self.reference[self.start + index]
