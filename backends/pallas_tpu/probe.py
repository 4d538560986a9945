# SPDX-License-Identifier: Apache-2.0
"""W @ events and W @ values: eight columns and LANES rows to a register.

The grid goes over passes of vectors, tiles of rows, and blocks of the list of columns,
as many as are filled. (The last tile has no row where the first is whole.) A tile's
sums stay in vector memory, with eight partial sums to a row, one for each sublane,
until the last column is done.

For eight columns, one pass of Threefry along the lanes makes the key words of all
chunks of a tile; a chunk's words are then spread over the lanes, and its rows taken
some registers at a time. No register ever holds rows of two chunks: tiles start where
a chunk may start, and no chunk is shorter than two registers' lanes.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from synjit import draw_jax
from synjit.draw_jax import u32
from synjit.hookspecs import Problem
from synjit.reference.draw import COUNTER_STRIDE, ROUNDS

from . import draw
from .parameters import Parameters, add, blocks, shared_log2
from .workspace import LANES, LIST_BLOCK, SUBLANES, Sizes

LOG2_LANES = LANES.bit_length() - 1
LOG2_SUBLANES = SUBLANES.bit_length() - 1


def kernel(
    parameters_ref: Any,
    connectivity_ref: Any,
    table_ref: Any,
    columns_ref: Any,
    given_ref: Any,
    n_ref: Any,
    z_ref: Any,
    n_sums_ref: Any,
    z_sums_ref: Any,
    spread_ref: Any,
    *,
    sizes: Sizes,
    problem: Problem,
    unroll: int,
) -> None:
    """Add one block of columns into one tile of rows.

    Parameters
    ----------
    parameters_ref : int32 (Parameters.SIZE,), scalars
    connectivity_ref : uint32 (CONNECTIVITY_ROWS, LANES)
    table_ref : uint32 (words // LANES, LANES)
    columns_ref : uint32 (1, SUBLANES, LANES)
        Column numbers, running down the sublanes first.
    given_ref : int32 (1, 1, 1, SUBLANES, LANES) or float32 (1, batch, 1, ...)
        Of events, a word for each column, with a bit for each vector; or values.
    n_ref, z_ref : int32 or float32 (1, 1, batch, tile // LANES, LANES)
    n_sums_ref, z_sums_ref : (batch, tile // LANES, SUBLANES, LANES)
    spread_ref : (batch, SUBLANES, LANES)
    unroll : int
        Registers worked on together.
    """
    p = Parameters(parameters_ref, problem)
    block = pl.program_id(2)

    @pl.when(block == 0)
    def begin() -> None:
        n_sums_ref[...] = jnp.zeros_like(n_sums_ref)
        z_sums_ref[...] = jnp.zeros_like(z_sums_ref)

    first_row = p.top + pl.program_id(1) * sizes.tile
    rows = jnp.minimum(p.bottom - first_row, sizes.tile)
    log2_rows = shared_log2(p.log2_chunk, sizes.tile.bit_length() - 1)
    first_pair = p.chunk(first_row) * COUNTER_STRIDE
    lane = lax.broadcasted_iota(jnp.uint32, (SUBLANES, LANES), 1)
    connectivity, table = connectivity_ref[...], table_ref[...]

    def eight_columns(group: jax.Array, _: None) -> None:
        columns = draw.spread(columns_ref[0], group)
        _spread_given(given_ref, spread_ref, group)
        weight_words = draw_jax.weight_words(p.seed, columns)
        words, addends = draw_jax.threefry2x32(
            p.seed, (columns, p.word(first_pair) + lane)
        )
        counts = draw.draw_count(words, connectivity)
        inverses = draw_jax.inverse_mod_2_32(words | u32(1))

        def one_chunk(q: jax.Array, _: None) -> None:
            at = q * COUNTER_STRIDE
            keys = draw_jax.Keys(
                draw.spread(counts, at),
                [draw.spread(inverses, at + 1 + r) for r in range(ROUNDS)],
                [draw.spread(addends, at + 1 + r) for r in range(ROUNDS)],
                p.last,
                p.own(columns),
            )
            start = q << jnp.int32(log2_rows)

            def some_rows(step: jax.Array, _: None) -> None:
                here = start + step * (unroll * LANES)
                row = p.word(first_row + here) + _row_numbers(unroll)
                connected = draw_jax.connected(row, keys, p.log2_chunk)
                z = draw.weight(row, weight_words, table)
                into = pl.ds(lax.shift_right_logical(here, LOG2_LANES), unroll)
                for b in range(sizes.batch):
                    sums = (n_sums_ref, z_sums_ref)
                    add(sums, (b, into), connected, z, spread_ref[b])

            left = jnp.minimum(rows - start, jnp.int32(1) << jnp.int32(log2_rows))
            steps = blocks(left, (unroll * LANES).bit_length() - 1)
            lax.fori_loop(0, steps, some_rows, None)

        lax.fori_loop(0, blocks(rows, log2_rows), one_chunk, None)

    left = blocks(p.count - block * LIST_BLOCK, LOG2_SUBLANES)
    groups = jnp.where(rows > 0, jnp.minimum(left, LANES), 0)
    lax.fori_loop(0, groups, eight_columns, None)

    @pl.when(block == pl.num_programs(2) - 1)
    def finish() -> None:
        n_ref[0, 0] = jnp.sum(n_sums_ref[...], axis=2, dtype=n_ref.dtype)
        z_ref[0, 0] = jnp.sum(z_sums_ref[...], axis=2, dtype=z_ref.dtype)


def _row_numbers(unroll: int) -> jax.Array:
    """Rows of some registers, counted from the first one's first."""
    shape = (unroll, SUBLANES, LANES)
    register = lax.broadcasted_iota(jnp.uint32, shape, 0)
    return register * u32(LANES) + lax.broadcasted_iota(jnp.uint32, shape, 2)


def _spread_given(given_ref: Any, spread_ref: Any, group: jax.Array) -> None:
    """Spread what a group of columns is given over the lanes, vector by vector."""
    if given_ref.dtype == jnp.float32:
        for b in range(spread_ref.shape[0]):
            spread_ref[b] = draw.spread(given_ref[0, b, 0], group)
        return
    words = draw.spread(given_ref[0, 0, 0], group)
    for b in range(spread_ref.shape[0]):
        spread_ref[b] = (words >> b) & 1
