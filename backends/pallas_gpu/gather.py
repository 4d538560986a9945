# SPDX-License-Identifier: Apache-2.0
"""A lane is a column, and gathers what its connections point to: the transpose."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from synjit.hookspecs import Matrix, Problem

from .accumulators import Terms, add_where, no_sums, terms_of, write_sums
from .draw import Keys, Window, window
from .lanes import i32, lanes, strided, zero
from .workspace import LANES


def kernel(
    matrix: Matrix,
    active: Any,
    before: Any,
    typical: Any,
    operand: Any,
    first_out: Any,
    second_out: Any,
    *,
    columns: int,
    batch: int,
    tile: int,
    splits: int,
    blocks: int,
    problem: Problem,
    floats: bool,
) -> None:
    """Sum up each column, over a share of its chunks.

    Parameters
    ----------
    active, before
        Numbers of the active rows, and for 0 .. rows how many are before each.
    typical
        Connections that a chunk has about, (1,): with fewer active rows than these
        in it, these are probed.
    operand
        Words of event bits, or values, of all rows.
    first_out, second_out
        Sums, (splits * columns * batch,).
    """
    program = pl.program_id(0)
    block = lax.rem(program, i32(blocks))
    split = lax.rem(lax.div(program, i32(blocks)), i32(splits))
    first_b = lax.div(program, i32(blocks * splits)) * i32(tile)
    view = window(matrix, problem)
    terms = terms_of(operand, batch, floats=floats, active=False)
    mine = jnp.minimum(block * i32(LANES) + lanes(), i32(columns - 1))
    column = view.left + mine.astype(jnp.uint32)

    def chunk_sums(number: jax.Array, sums: Any) -> Any:
        chunk = view.first_chunk + number.astype(jnp.uint32)
        low, high = _inside(view, chunk)
        first, last = before[low], before[high]

        def probe_active(sums: Any) -> Any:
            keys = view.keys(column, chunk, inverse=True)

            def one(a: jax.Array, sums: Any) -> Any:
                i = active[a]
                row = view.top + i.astype(jnp.uint32)
                connected, z = view.connected(keys, row), view.weight(keys, row)
                return add_where(connected, terms, i, first_b, z, sums)

            return lax.fori_loop(first, last, one, sums)

        def list_all(sums: Any) -> Any:
            keys = view.keys(column, chunk, inverse=False)
            return _sum_listed(view, keys, chunk, terms, first_b, sums)

        def some(sums: Any) -> Any:
            return lax.cond(last - first < typical[0], probe_active, list_all, sums)

        return lax.cond(first < last, some, lambda sums: sums, sums)

    sums = strided(split, view.chunks, splits, chunk_sums, no_sums(terms, LANES, tile))
    write_sums(first_out, second_out, sums, split * i32(columns) + mine, first_b, batch)


def _inside(view: Window, chunk: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Range of the window's rows that a chunk of it holds."""
    start = (chunk << view.log2_chunk) - view.top
    low = jnp.where(chunk == view.first_chunk, i32(0), start.astype(jnp.int32))
    end = (start + view.chunk_rows).astype(jnp.int32)
    return low, jnp.where(chunk == view.last_chunk, i32(view.rows), end)


def _sum_listed(
    view: Window,
    keys: Keys,
    chunk: jax.Array,
    terms: Terms,
    first_b: jax.Array,
    sums: Any,
) -> Any:
    start = chunk << view.log2_chunk
    length = keys.chunk.counts.astype(jnp.int32)

    def one(t: jax.Array, sums: Any) -> Any:
        row = start + view.place(keys, t.astype(jnp.uint32))
        z = view.weight(keys, row)
        inside = (t < length) & view.holds(keys, row)
        row = row - view.top
        i = jnp.where(inside, row.astype(jnp.int32), i32(0))
        return add_where(inside, terms, i, first_b, z, sums)

    return lax.fori_loop(zero(), jnp.max(length), one, sums)
