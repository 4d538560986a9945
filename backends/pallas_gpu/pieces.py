# SPDX-License-Identifier: Apache-2.0
"""Pieces: the columns of a block that a launch lists, and its plan.

A launch goes through any number of blocks, as long as their code is the same. What is
different stands in one array of int32, the plan: how many lanes share an item, an item
being a chunk of an active column, and how many groups of LANES lanes there are; then,
of each piece, what is counted when it runs: where its groups begin, how many active
columns it has, where their list begins, and what else a kernel needs; and what is known
of it when it is traced. A group has lanes of one piece only, so that whatever tells
blocks apart is a scalar in the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synjit.hookspecs import Matrix
from synjit.reference import draw

from .draw import Window, count_chunks, window
from .lanes import i32
from .workspace import LANES, max_chunks

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
    delays : int
        Where its words begin in those of the delays, if there are any.
    term, terms : int
        Its place among the blocks of its rows, and how many these are.
    """

    block: int
    rows: int
    chunks: int
    begin: int
    end: int
    left: int
    sums: int
    table: int
    delays: int = 0
    term: int = 0
    terms: int = 1


class Listed(NamedTuple):
    """A piece in a kernel: scalars, int32, and the block that it is of.

    Attributes
    ----------
    number : scalar
        Of the piece.
    start : scalar
        Number of its first group.
    active, first : scalars
        How many active columns it has, and where in the list of all they begin.
    left, sums : scalars
        As of ``Piece``.
    view : Window
    """

    number: jax.Array
    start: jax.Array
    active: jax.Array
    first: jax.Array
    left: jax.Array
    sums: jax.Array
    view: Window


# Of each piece, in the plan: what is counted when it runs, and what is known before.
COUNTED = ("start", "active", "first")
KNOWN = ("block", "rows", "left", "sums", "table", "delays", "term", "terms")


class Count(NamedTuple):
    """What there is to list.

    Attributes
    ----------
    log2_share : int32 ()
        Of the number of lanes that share an item.
    groups, active, first : int32 (pieces,)
        How many groups and active columns each has, and where these begin.
    """

    log2_share: jax.Array
    groups: jax.Array
    active: jax.Array
    first: jax.Array


def piece_of_block(problem: Problem, i: int) -> tuple[Problem, Piece]:
    """Give a block of a grid as a piece, and what decides the code that draws it.

    Its ``sums`` are those of the rows of the whole.
    """
    own, block = problem.of_block(i), problem.grid.blocks[i]
    rows, columns = problem.grid.window(block)
    piece = Piece(
        block=i,
        rows=rows.stop - rows.start,
        chunks=max_chunks(own),
        begin=columns.start,
        end=columns.stop,
        left=columns.start,
        sums=rows.start,
        table=block.table[0],
        delays=block.delays[0],
    )
    return replace(own, shape=problem.shape, log2_chunk=None), piece


def of_pieces(pieces: Sequence[Piece], name: str) -> Any:
    """Give what is known of pieces, int32 (pieces,)."""
    return np.array([getattr(piece, name) for piece in pieces], np.int32)


def count(
    pieces: Sequence[Piece], matrix: Matrix, before: jax.Array, rows: Any = None
) -> Count:
    """Count what there is to list.

    Parameters
    ----------
    pieces : sequence of Piece
        With (column, chunk) pairs that can be numbered in 31 bits, all together.
    matrix : Matrix
        Operands of the grid.
    before : int32 (columns + 1,)
        How many active columns are before each.
    rows : int32 (pieces,), optional
        Of each piece, if not those that it has; 0 of one that is left out.
    """
    rows = of_pieces(pieces, "rows") if rows is None else rows
    block = of_pieces(pieces, "block")
    top, log2_chunk = matrix.origin[block, 0], matrix.connectivity[block, 0]
    chunks = count_chunks(top, rows.astype(np.uint32), log2_chunk)
    first = before[of_pieces(pieces, "begin")]
    active = before[of_pieces(pieces, "end")] - first
    items = active * jnp.where(rows > i32(0), chunks, i32(0))
    total = jnp.sum(items, dtype=jnp.int32)
    # With few of them, several lanes share one: each draws the keys for itself.
    few = [total < i32(2 ** (LOG2_RESIDENT - s)) for s in range(1, LOG2_LANES + 1)]
    log2_share = jnp.sum(jnp.stack(few), dtype=jnp.int32)
    groups = ((items << log2_share) + i32(LANES - 1)) >> i32(LOG2_LANES)
    return Count(log2_share, groups, active, first)


def lay_out(pieces: Sequence[Piece], counted: Count, *others: jax.Array) -> jax.Array:
    """Lay out the plan, int32: what was counted of each piece, and what is known."""
    ends = jnp.cumsum(counted.groups, dtype=jnp.int32)
    known = np.concatenate([of_pieces(pieces, name) for name in KNOWN])
    head = jnp.stack([counted.log2_share, ends[-1]])
    own = (ends - counted.groups, counted.active, counted.first)
    return jnp.concatenate([head, *own, *others, known])


@dataclass(frozen=True)
class Plan:
    """The plan in a kernel.

    Parameters
    ----------
    words : reference
    pieces : sequence of Piece
        What is the same for all of them is a constant of the kernel.
    counted : sequence of str
        Names of what was counted.
    """

    words: Any
    pieces: Sequence[Piece]
    counted: Sequence[str] = COUNTED

    @property
    def log2_share(self) -> jax.Array:
        """Logarithm of the number of lanes that share an item."""
        return self.words[0]

    def start(self, piece: int) -> Any:
        """Number of the first group of a piece, or of all pieces from there on."""
        if piece == 0:
            return i32(0)
        end = piece == len(self.pieces)
        return self.words[1] if end else self.field("start", i32(piece))

    def piece_of(self, group: jax.Array) -> jax.Array:
        """Number of the piece that a group is of: the last that begins before it."""
        piece, left = jnp.zeros_like(group), len(self.pieces) - 1
        while left:
            step = (left + 1) // 2
            left -= step
            begins = self.field("start", piece + i32(step)) <= group
            piece = piece + jnp.where(begins, i32(step), i32(0))
        return piece

    def read(self, piece: Any, matrix: Matrix, problem: Problem) -> Listed:
        """Read a piece, of the operands of the grid."""
        start, active, first, block, rows, left, sums, table = (
            self.field(name, piece) for name in (*COUNTED, *KNOWN[:5])
        )
        words = draw.CONNECTIVITY_WORDS
        own: list[Any] = [
            Words(matrix.seed, block * i32(2), 2),
            Words(matrix.origin, block * i32(2), 2),
            Words(matrix.connectivity, block * i32(words), words),
            Words(matrix.weights, table, problem.weights),
        ]
        view = window(Matrix(*own), problem, rows.astype(np.uint32))
        return Listed(piece, start, active, first, left, sums, view)

    def field(self, name: str, piece: Any) -> Any:
        """Read what the plan says of a piece."""
        if name not in self.counted:
            known = set(of_pieces(self.pieces, name).tolist())
            if len(known) == 1:
                return i32(known.pop())
        at = (*self.counted, *KNOWN).index(name) * len(self.pieces) + 2
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
