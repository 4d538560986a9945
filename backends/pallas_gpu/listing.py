# SPDX-License-Identifier: Apache-2.0
"""Going through the connections of active columns: a lane is a chunk, or shares one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from synjit.hookspecs import Matrix, Problem

from .draw import Keys
from .lanes import i32, lanes, strided, zero
from .pieces import LOG2_LANES, Listed, Plan


class Group(NamedTuple):
    """What LANES lanes list at once: chunks of active columns of one piece.

    Attributes
    ----------
    number : int32 scalar
        Among the groups of the plan.
    piece : Listed
    column, vector : int32 (LANES,)
        Of the operand: which column of it is active, and in which vector.
    numbered : uint32 (LANES,)
        That column, as counted in the whole matrix.
    keys : Keys
    length : int32 (LANES,)
        Connections of the chunk, 0 of a lane that sticks out.
    start : uint32 (LANES,)
        First row of the chunk.
    log2_share : int32 scalar
        Of the number of lanes that share a chunk.
    trips : int32 scalar
        Connections that a lane lists, as many as the longest chunk has.
    """

    number: jax.Array
    piece: Listed
    column: jax.Array
    vector: jax.Array
    numbered: jax.Array
    keys: Keys
    length: jax.Array
    start: jax.Array
    log2_share: jax.Array
    trips: jax.Array

    def each(
        self, body: Callable[[jax.Array, jax.Array, jax.Array, jax.Array], None]
    ) -> None:
        """Run ``body(i, row, z, inside)``, i below ``trips``.

        Rows are counted from the first of the window, int32, and are none where they
        are not ``inside`` of it.
        """
        view, share = self.piece.view, i32(1) << self.log2_share

        def one(i: jax.Array, state: None) -> None:
            t = (i << self.log2_share) + (lanes() & (share - i32(1)))
            row = self.start + view.place(self.keys, t.astype(jnp.uint32))
            z = view.weight(self.keys, row)
            inside = (t < self.length) & view.holds(self.keys, row)
            body(i, (row - view.top).astype(jnp.int32), z, inside)
            return state

        lax.fori_loop(zero(), self.trips, one, None)


def each_group(
    planned: Plan,
    active: Any,
    matrix: Matrix,
    problem: Problem,
    body: Callable[[Group], None],
    *,
    programs: int,
    vectors: int = 1,
    of: range | None = None,
) -> None:
    """Run ``body`` for every group of a program.

    Parameters
    ----------
    planned : Plan
    active : reference
        Numbers of the active columns or, of several ``vectors``, of the elements of
        (columns, vectors) that are active.
    matrix, problem
        Operands of all blocks, and the problem of any of the pieces.
    programs : int
    of : range, optional
        Of pieces: those whose groups are listed, if not all are.
    """
    lane = lanes()
    of = range(len(planned.pieces)) if of is None else of
    only = planned.read(i32(of[0]), matrix, problem) if len(of) == 1 else None

    def group(number: jax.Array, state: None) -> None:
        piece = only
        if piece is None:
            piece = planned.read(planned.piece_of(number), matrix, problem)
        view, chunks, log2_share = piece.view, piece.view.chunks, planned.log2_share
        item = number - piece.start
        item = (item << (i32(LOG2_LANES) - log2_share)) + (lane >> log2_share)
        valid = item < piece.active * chunks
        item = jnp.where(valid, item, i32(0))
        column = active[piece.first + lax.div(item, chunks)]
        vector = jnp.zeros_like(column)
        if vectors > 1:
            column, vector = _divide(column, vectors)
        chunk = view.first_chunk + lax.rem(item, chunks).astype(jnp.uint32)
        numbered = view.left + (column - piece.left).astype(jnp.uint32)
        keys = view.keys(numbered, chunk, inverse=False)
        length = jnp.where(valid, keys.chunk.counts.astype(jnp.int32), i32(0))
        share = i32(1) << log2_share
        trips = (jnp.max(length) + share - i32(1)) >> log2_share
        own = (column, vector, numbered, keys, length, chunk << view.log2_chunk)
        body(Group(number, piece, *own, log2_share, trips))
        return state

    first = planned.start(of.start) + pl.program_id(0)
    strided(first, planned.start(of.stop), programs, group)


def _divide(number: jax.Array, by: int) -> tuple[jax.Array, jax.Array]:
    return lax.div(number, i32(by)), lax.rem(number, i32(by))
