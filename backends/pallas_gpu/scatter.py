# SPDX-License-Identifier: Apache-2.0
"""A lane is a chunk of an active column, and scatters its connections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from synjit.hookspecs import Matrix, Problem

from .accumulators import terms_of
from .atomics import scatter_add
from .lanes import i32, lanes, strided, zero
from .pieces import LOG2_LANES, Piece, Plan


def kernel(
    matrix: Matrix,
    plan: Any,
    active: Any,
    operand: Any,
    *sums: Any,
    pieces: Sequence[Piece],
    batch: int,
    programs: int,
    problem: Problem,
    floats: bool,
) -> None:
    """Add all connections of the active columns into the sums of their rows.

    Parameters
    ----------
    matrix
        Operands of the blocks of a grid, all words one after the other.
    plan
        Of the pieces that are listed, as ``pieces.plan`` lays it out.
    active
        Numbers of the active columns.
    operand
        Words of event bits, or values, of all columns.
    sums
        Accumulators, ``batch`` for each row of each block, given (and not used) as
        inputs before they are given as outputs: for events one, int64, N in its low
        and Z in its high half; for floats A and B.
    problem
        That of any of the blocks: its shape says nothing.
    """
    sums = sums[len(sums) // 2 :]
    planned = Plan(plan, pieces)
    terms = terms_of(operand, batch, floats=floats, active=True)
    log2_share = planned.log2_share
    share = i32(1) << log2_share
    lane = lanes()
    only = planned.read(zero(), matrix, problem) if len(pieces) == 1 else None

    def group(number: jax.Array, state: None) -> None:
        piece = only
        if piece is None:
            piece = planned.read(planned.piece_of(number), matrix, problem)
        view, chunks = piece.view, piece.view.chunks
        own = number - piece.start
        item = (own << (i32(LOG2_LANES) - log2_share)) + (lane >> log2_share)
        valid = item < piece.active * chunks
        item = jnp.where(valid, item, i32(0))
        column = active[piece.first + lax.div(item, chunks)]
        chunk = view.first_chunk + lax.rem(item, chunks).astype(jnp.uint32)
        numbered = view.left + (column - piece.left).astype(jnp.uint32)
        keys = view.keys(numbered, chunk, inverse=False)
        length = jnp.where(valid, keys.chunk.counts.astype(jnp.int32), i32(0))
        start = chunk << view.log2_chunk

        def connections(i: jax.Array, state: None) -> None:
            t = (i << log2_share) + (lane & (share - i32(1)))
            row = start + view.place(keys, t.astype(jnp.uint32))
            z = view.weight(keys, row)
            inside = (t < length) & view.holds(keys, row)
            row = row - view.top
            at = piece.sums + row.astype(jnp.int32) * i32(batch)
            if not floats:
                one_and_z = (z.astype(jnp.int64) << np.int64(32)) + np.int64(1)

            def add(b: Any) -> None:
                mask = inside & terms.present(column, b)
                new = terms.of(column, b, z) if floats else (one_and_z,)
                for ref, term in zip(sums, new, strict=True):
                    scatter_add(ref, at + b, term, mask, device=view.device)

            _each(batch, add)
            return state

        trips = (jnp.max(length) + share - i32(1)) >> log2_share
        lax.fori_loop(zero(), trips, connections, None)
        return state

    strided(pl.program_id(0), planned.groups, programs, group)


def _each(batch: int, body: Callable[[Any], None]) -> None:
    """Run ``body(b)`` for every b of the batch."""
    if batch == 1:
        body(zero())
    else:
        lax.fori_loop(zero(), jnp.int32(batch), lambda b, _: body(b), None)
