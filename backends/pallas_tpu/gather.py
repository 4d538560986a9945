# SPDX-License-Identifier: Apache-2.0
"""W.T @ events and W.T @ values: lanes and sublanes are columns, rows one by one.

The grid goes over passes of vectors, blocks of columns, and blocks of the ascending
list of rows; the last is as long as there is work for. A block's sums are its block of
the result, which stays in vector memory until the last row is done. A chunk's key
words are made when the first of its rows comes.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from synjit import draw_jax
from synjit.hookspecs import Problem

from . import columns, draw
from .parameters import Parameters, add
from .workspace import LIST_BLOCK, Sizes


def kernel(
    parameters_ref: Any,
    connectivity_ref: Any,
    table_ref: Any,
    rows_ref: Any,
    given_ref: Any,
    n_ref: Any,
    z_ref: Any,
    keys_ref: Any,
    chunk_ref: Any,
    *,
    sizes: Sizes,
    problem: Problem,
) -> None:
    """Add one block of rows into one block of columns.

    Parameters
    ----------
    parameters_ref : int32 (parameters.SIZE,), scalars
    connectivity_ref : uint32 (CONNECTIVITY_ROWS, LANES)
    table_ref : uint32 (words // LANES, LANES)
    rows_ref : int32 (1, 1, LIST_BLOCK), scalars
    given_ref : int32 (1, 1, LIST_BLOCK) or float32 (1, batch, LIST_BLOCK), scalars
        Of events, a word for each row, with a bit for each vector; or values.
    n_ref, z_ref : int32 or float32 (1, 1, batch, sublanes, LANES)
    keys_ref : uint32 (KEY_ROWS, sublanes, LANES)
    chunk_ref : int32 (1,), scalar
        The chunk that ``keys_ref`` is of.
    """
    p = Parameters(parameters_ref, problem)
    block = pl.program_id(2)
    column = columns.numbers(p, pl.program_id(1), sizes.sublanes)
    connectivity, table = connectivity_ref[...], table_ref[...]

    @pl.when(block == 0)
    def begin() -> None:
        n_ref[...] = jnp.zeros_like(n_ref)
        z_ref[...] = jnp.zeros_like(z_ref)
        columns.make_weight_words(p, column, keys_ref)
        chunk_ref[0] = jnp.int32(-1)

    def one_row(i: jax.Array, _: None) -> None:
        row = rows_ref[0, 0, i]
        chunk = p.chunk(row)

        @pl.when(chunk != chunk_ref[0])
        def make_keys() -> None:
            columns.make_chunk_words(p, column, chunk, connectivity, keys_ref)
            chunk_ref[0] = chunk

        keys, weight_words = columns.load(keys_ref, slice(None), p, p.own(column))
        rows = jnp.full(column.shape, row, jnp.int32).astype(jnp.uint32)
        connected = draw_jax.connected(rows, keys, p.log2_chunk)
        z = draw.weight(rows, weight_words, table)
        for b in range(sizes.batch):
            if given_ref.dtype == jnp.float32:
                given = given_ref[0, b, i]
            else:
                given = (given_ref[0, 0, i] >> b) & 1
            given = jnp.full(column.shape, given, given_ref.dtype)
            add((n_ref, z_ref), (0, 0, b), connected, z, given)

    rows_here = jnp.minimum(p.count - block * LIST_BLOCK, LIST_BLOCK)
    lax.fori_loop(0, rows_here, one_row, None)
