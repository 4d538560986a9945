# SPDX-License-Identifier: Apache-2.0
"""What XLA compiles for a listing: the draw of ``synjit.draw_jax``, in batches."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from synjit import combine, draw_jax
from synjit.hookspecs import Rule

u32 = np.uint32

NO_ROW = 2**31 - 1  # sorts behind all rows, which are below it

Words = tuple[jax.Array, jax.Array]


@functools.partial(jax.jit, static_argnames=("rule", "self_connections"))
def keys(
    seed: Any,
    connectivity: Any,
    column: Any,
    chunk: Any,
    *,
    rule: Rule,
    self_connections: bool,
) -> tuple[draw_jax.Keys, Words]:
    """Draw the keys of chunks, and the words that key the weights of their columns.

    Parameters
    ----------
    seed, connectivity : uint32 (2,), (CONNECTIVITY_WORDS,)
    column, chunk : uint32 (batch,)
        Counted in the whole matrix.
    rule, self_connections
        As of ``Problem``.
    """
    pair = (seed[0], seed[1])
    drawn = draw_jax.chunk_keys(
        pair,
        column,
        chunk,
        connectivity,
        inverse=False,
        unrolled=False,
        take=_take,
        rule=rule,
        self_connections=self_connections,
    )
    return drawn, draw_jax.weight_words(pair, column, unrolled=False)


@functools.partial(jax.jit, static_argnames="room")
def places(
    keys: draw_jax.Keys,
    log2_chunk: Any,
    chunk: Any,
    low: Any,
    high: Any,
    *,
    room: int,
) -> jax.Array:
    """List the rows of the connections of chunks, as they are drawn.

    Parameters
    ----------
    keys : Keys
        Of the chunks, (batch,).
    log2_chunk : uint32
    chunk : uint32 (batch,)
    low, high : uint32, and uint32 (batch,)
        First row that is wanted, and the one behind the last.
    room : int
        At least the largest count.

    Returns
    -------
    int32 (batch, room)
        Rows, or NO_ROW.
    """
    of_chunk: draw_jax.Keys = jax.tree.map(lambda words: words[:, None], keys)
    t = jnp.arange(room, dtype=jnp.uint32)[None, :]
    row = draw_jax.place(t, of_chunk, log2_chunk) + (chunk[:, None] << log2_chunk)
    wanted = (t < of_chunk.counts) & draw_jax.is_allowed(row, of_chunk)
    wanted = wanted & (row >= low) & (row < high[:, None])
    return jnp.where(wanted, row, u32(NO_ROW)).astype(jnp.int32)


@functools.partial(jax.jit, static_argnames=("rule", "self_connections"))
def connected(
    seed: Any,
    connectivity: Any,
    row: Any,
    column: Any,
    *,
    rule: Rule,
    self_connections: bool,
) -> tuple[jax.Array, Words]:
    """Say which entries are connected, and give the words that key their weights.

    Parameters
    ----------
    seed, connectivity : uint32 (2,), (CONNECTIVITY_WORDS,)
    row, column : uint32 (batch,)
    rule, self_connections
        As of ``Problem``.
    """
    pair, log2_chunk = (seed[0], seed[1]), connectivity[0]
    drawn = draw_jax.chunk_keys(
        pair,
        column,
        row >> log2_chunk,
        connectivity,
        inverse=True,
        unrolled=False,
        take=_take,
        rule=rule,
        self_connections=self_connections,
    )
    words = draw_jax.weight_words(pair, column, unrolled=False)
    return draw_jax.connected(row, drawn, log2_chunk), words


@functools.partial(jax.jit, static_argnames="dtype")
def weights(
    words: Words,
    row: Any,
    table: Any,
    loc: Any,
    scale: Any,
    dtype: np.dtype,
) -> jax.Array:
    """Weights of connections, (batch, room), under the words of their columns."""
    of_column = (words[0][:, None], words[1][:, None])
    z = draw_jax.weight(row.astype(jnp.uint32), of_column, table, take=_take)
    return combine.entries(loc, scale, z).astype(dtype)


def _take(table: Any, index: jax.Array, planes: int = 1) -> list[jax.Array]:
    """As ``draw_jax.take``, without a check: every index is inside."""
    words = table.shape[0] // planes
    parts = (index.astype(jnp.int32) + np.int32(p * words) for p in range(planes))
    return [table.at[part].get(mode="promise_in_bounds") for part in parts]
