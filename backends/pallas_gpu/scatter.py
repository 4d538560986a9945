# SPDX-License-Identifier: Apache-2.0
"""A lane is a chunk of an active column, and scatters its connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from synjit.hookspecs import Matrix, Problem

from .accumulators import terms_of
from .atomics import scatter_add
from .draw import window
from .lanes import i32, lanes, strided, zero
from .workspace import LANES

# Lanes that a device is expected to have at work at once, as a power of two.
LOG2_RESIDENT = 17


def kernel(
    matrix: Matrix,
    active: Any,
    count: Any,
    operand: Any,
    *sums: Any,
    batch: int,
    programs: int,
    problem: Problem,
    floats: bool,
) -> None:
    """Add all connections of the active columns into the sums of their rows.

    Parameters
    ----------
    active, count
        Numbers of the active columns, and how many there are, (1,).
    operand
        Words of event bits, or values, of all columns.
    sums
        Accumulators, (rows * batch,), given (and not used) as inputs before they
        are given as outputs: for events one, int64, N in its low and Z in its high
        half; for floats A and B.
    """
    sums = sums[len(sums) // 2 :]
    view = window(matrix, problem)
    terms = terms_of(operand, batch, floats=floats, active=True)
    chunks = view.chunks
    items = count[0] * chunks
    # With few chunks, several lanes share one: each draws the keys for itself.
    few = [
        (items < i32(2 ** (LOG2_RESIDENT - s))).astype(jnp.int32) for s in range(1, 6)
    ]
    log2_share = sum(few[1:], few[0])
    share = i32(1) << log2_share
    lane = lanes()
    groups = ((items << log2_share) + i32(LANES - 1)) >> i32(5)

    def group(number: jax.Array, state: None) -> None:
        item = (number << (i32(5) - log2_share)) + (lane >> log2_share)
        valid = item < items
        item = jnp.where(valid, item, i32(0))
        column = active[lax.div(item, chunks)]
        chunk = view.first_chunk + lax.rem(item, chunks).astype(jnp.uint32)
        numbered = view.left + column.astype(jnp.uint32)
        keys = view.keys(numbered, chunk, inverse=False)
        length = jnp.where(valid, keys.chunk.counts.astype(jnp.int32), i32(0))
        start = chunk << view.log2_chunk

        def connections(i: jax.Array, state: None) -> None:
            t = (i << log2_share) + (lane & (share - i32(1)))
            row = start + view.place(keys, t.astype(jnp.uint32))
            z = view.weight(keys, row)
            inside = (t < length) & view.holds(keys, row)
            row = row - view.top
            at = row.astype(jnp.int32) * i32(batch)
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

    strided(pl.program_id(0), groups, programs, group)


def _each(batch: int, body: Callable[[Any], None]) -> None:
    """Run ``body(b)`` for every b of the batch."""
    if batch == 1:
        body(zero())
    else:
        lax.fori_loop(zero(), jnp.int32(batch), lambda b, _: body(b), None)
