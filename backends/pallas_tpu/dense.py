# SPDX-License-Identifier: Apache-2.0
"""The matrix written out: lanes are columns, sublanes are rows.

The grid goes over blocks of columns and tiles of rows. A tile starts where a chunk may
start, and is as long as the shortest: it lies in one chunk, whose key words are made
only where the tile before it was of another.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from synjit import draw_jax
from synjit.hookspecs import Problem
from synjit.reference import ABSENT

from . import columns, draw
from .parameters import Parameters, blocks
from .workspace import DENSE_COLUMNS, LANES, MAX_UNROLL, SUBLANES, Sizes


def kernel(
    parameters_ref: Any,
    connectivity_ref: Any,
    table_ref: Any,
    entries_ref: Any,
    keys_ref: Any,
    chunk_ref: Any,
    *,
    sizes: Sizes,
    problem: Problem,
) -> None:
    """Write one tile of one block of columns.

    Parameters
    ----------
    parameters_ref : int32 (parameters.SIZE,), scalars
    connectivity_ref : uint32 (CONNECTIVITY_ROWS, LANES)
    table_ref : uint32 (words // LANES, LANES)
    entries_ref : int32 (tile, DENSE_COLUMNS)
    keys_ref : uint32 (KEY_ROWS, SUBLANES, LANES)
    chunk_ref : int32 (1,), scalar
        The chunk that ``keys_ref`` is of.
    """
    p = Parameters(parameters_ref, problem)
    tile = pl.program_id(1)
    column = columns.numbers(p, pl.program_id(0), SUBLANES)
    first_row = p.top + tile * sizes.tile
    chunk = p.chunk(first_row)
    table = table_ref[...]

    @pl.when(tile == 0)
    def begin() -> None:
        columns.make_weight_words(p, column, keys_ref)

    @pl.when((tile == 0) | (chunk != chunk_ref[0]))
    def make_keys() -> None:
        columns.make_chunk_words(p, column, chunk, connectivity_ref[...], keys_ref)
        chunk_ref[0] = chunk

    step_rows = MAX_UNROLL * SUBLANES
    first_column = p.left + p.word(pl.program_id(0) * DENSE_COLUMNS)
    lane = lax.broadcasted_iota(jnp.uint32, (1, LANES), 1)
    row_in_step = lax.broadcasted_iota(jnp.uint32, (step_rows, LANES), 0)

    def some_columns(group: jax.Array, _: None) -> None:
        own = p.own(first_column + p.word(group * LANES) + lane)
        keys, weight_words = columns.load(keys_ref, pl.ds(group, 1), p, own)

        def some_rows(step: jax.Array, _: None) -> None:
            start = step * step_rows
            row = p.word(first_row + start) + row_in_step
            connected = draw_jax.connected(row, keys, p.log2_chunk)
            z = draw.weight(row, weight_words, table)
            into = (
                pl.ds(pl.multiple_of(start, step_rows), step_rows),
                pl.ds(pl.multiple_of(group * LANES, LANES), LANES),
            )
            entries_ref[into] = jnp.where(connected, z, ABSENT)

        lax.fori_loop(0, sizes.tile // step_rows, some_rows, None)

    columns_left = p.count - pl.program_id(0) * DENSE_COLUMNS
    groups = blocks(jnp.minimum(columns_left, DENSE_COLUMNS), LANES.bit_length() - 1)
    lax.fori_loop(0, groups, some_columns, None)
