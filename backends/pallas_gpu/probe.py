# SPDX-License-Identifier: Apache-2.0
"""A lane is a row, or several: it probes every active column."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from synjit.draw_jax import u32
from synjit.hookspecs import Matrix, Problem

from .accumulators import add_where, no_sums, terms_of, write_sums
from .draw import rows_of_block, window
from .lanes import i32, lanes, strided, zero
from .workspace import LANES, ROWS


def kernel(
    matrix: Matrix,
    active: Any,
    count: Any,
    operand: Any,
    first_out: Any,
    second_out: Any,
    *,
    rows: int,
    batch: int,
    tile: int,
    splits: int,
    blocks: int,
    problem: Problem,
    floats: bool,
) -> None:
    """Probe every active column, ROWS rows at a time; of LANES columns keys at once.

    Parameters
    ----------
    first_out, second_out
        Sums of a share of the active columns each, (splits * rows * batch,).
    tile
        Vectors of the batch to a program.
    """
    program = pl.program_id(0)
    block = lax.rem(program, i32(blocks))
    split = lax.rem(lax.div(program, i32(blocks)), i32(splits))
    first_b = lax.div(program, i32(blocks * splits)) * i32(tile)
    view = window(matrix, problem)
    terms = terms_of(operand, batch, floats=floats, active=True)
    start, low, high = rows_of_block(view, block)
    inside = jnp.clip(start + lax.iota(jnp.int32, ROWS), low, high - i32(1))
    row = view.top + inside.astype(jnp.uint32)
    chunk = (view.top + low.astype(jnp.uint32)) >> view.log2_chunk
    n_active = jnp.where(low < high, count[0], i32(0))
    lane = lanes()

    def group(first: jax.Array, sums: Any) -> Any:
        some = jnp.minimum(first + lane, n_active - i32(1))
        column = view.left + active[some].astype(jnp.uint32)
        keys = view.keys(column, chunk, inverse=True)

        def probe(c: jax.Array, sums: Any) -> Any:
            one = jax.tree.map(
                lambda words: jnp.sum(
                    jnp.where(lane == c, words, u32(0)), dtype=jnp.uint32
                ),
                keys,
            )
            connected, z = view.connected(one, row), view.weight(one, row)
            return add_where(connected, terms, active[first + c], first_b, z, sums)

        here = jnp.minimum(n_active - first, i32(LANES))
        return lax.fori_loop(zero(), here, probe, sums)

    sums = strided(
        split * i32(LANES), n_active, splits * LANES, group, no_sums(terms, ROWS, tile)
    )

    @pl.when(low < high)
    def _() -> None:
        write_sums(
            first_out, second_out, sums, split * i32(rows) + inside, first_b, batch
        )
