# SPDX-License-Identifier: Apache-2.0
"""The kernels: what one program, a warp of LANES threads, does.

Four ways through the matrix, told apart by what a lane stands for:

* ``list_columns``: a lane is a chunk of an active column, or a share of one. It lists
  the connections of the chunk and adds each into the sums of its row: atomics.
* ``ask_rows``: a lane is a row, or several. It asks each active column whether it is
  connected to that row, and keeps its sums to itself.
* ``sum_columns``, for the transpose: a lane is a column, and keeps its sums to
  itself. It lists its connections, or asks the active rows where these are fewer.
* ``write_columns``, for the dense matrix: a lane is a column, and asks every row.

Every array is one-dimensional here, an element of a (length, batch) operand being at
``index * batch + b``. Lanes that stick out at the end of a result work on its last
element once more, and write what is written there already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from synjit.reference import ABSENT

from .atomics import scatter_add
from .draw import Keys, Window, make_keys, place, probe, u32, weight, window

LANES = 32  # a warp: programs need no barrier
LOG2_ROWS = 8  # rows to a program; no chunk is shorter
ROWS = 2**LOG2_ROWS
# Lanes that a device is expected to have at work at once, as a power of two.
LOG2_RESIDENT = 17

i32 = np.int32


class Terms(Protocol):
    """What a product sums up: the two terms of a connection, batch by batch."""

    dtype: Any

    def of(self, item: jax.Array, b: Any, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Give the terms of connections of columns (or rows) ``item``."""

    def present(self, item: jax.Array, b: Any) -> jax.Array | bool:
        """Whether they can be other than zero."""


class EventTerms:
    """1 and z, where there is an event; events are bits of words."""

    dtype = jnp.int32

    def __init__(self, words: Any, batch: int) -> None:
        self.words = words
        self.batch = batch

    def present(self, item: jax.Array, b: Any) -> jax.Array | bool:
        """Read the bit of an event; of a batch of one only events are asked for."""
        if self.words is None:
            return True
        per_item = -(-self.batch // 32)
        b = jnp.minimum(b, self.batch - 1).astype(jnp.int32)
        word = self.words[item * i32(per_item) + (b >> i32(5))]
        return ((word >> (b & i32(31)).astype(jnp.uint32)) & u32(1)) != u32(0)

    def of(self, item: jax.Array, b: Any, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Give 1 and z, or 0 and 0."""
        present = self.present(item, b)
        zero = jnp.zeros_like(z)
        return jnp.where(present, zero + i32(1), zero), jnp.where(present, z, zero)


class FloatTerms:
    """The value, and the value times z."""

    def __init__(self, values: Any, batch: int) -> None:
        self.values = values
        self.batch = batch
        self.dtype = values.dtype

    def _value(self, item: jax.Array, b: Any) -> jax.Array:
        b = jnp.minimum(b, self.batch - 1).astype(jnp.int32)
        return self.values[item * i32(self.batch) + b]

    def present(self, item: jax.Array, b: Any) -> jax.Array | bool:
        """Tell values from zeros; NaN is a value."""
        return self._value(item, b) != 0

    def of(self, item: jax.Array, b: Any, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Give v and z * v."""
        value = self._value(item, b)
        product = z.astype(self.dtype) * value
        return jnp.broadcast_to(value, product.shape), product


def _lanes() -> jax.Array:
    return lax.iota(jnp.int32, LANES)


def _zero() -> jax.Array:
    return jnp.int32(0)


def _strided(
    start: jax.Array,
    stop: jax.Array,
    step: int,
    body: Callable[[jax.Array, Any], Any],
    state: Any = None,
) -> Any:
    """Run ``body(i, state)`` for i = start, start + step, ... below stop."""
    trips = lax.div(stop - start + i32(step - 1), i32(step))
    return lax.fori_loop(
        _zero(), trips, lambda i, s: body(start + i * i32(step), s), state
    )


# --- a lane is a chunk ------------------------------------------------------------


def list_columns(
    seed: Any,
    origin: Any,
    law: Any,
    table: Any,
    active: Any,
    count: Any,
    operand: Any,
    *sums: Any,
    rows: int,
    batch: int,
    programs: int,
    device: bool,
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
        are given as outputs: for events one, int64, N in its high and Z in its low
        half; for floats A and B.
    """
    sums = sums[len(sums) // 2 :]
    view = window(seed, origin, law, rows, device)
    terms: Terms = (FloatTerms if floats else EventTerms)(
        operand if floats or batch > 1 else None, batch
    )
    chunks = view.chunks
    items = count[0] * chunks
    # With few chunks, several lanes share one: each draws the keys for itself.
    few = [
        (items < i32(2 ** (LOG2_RESIDENT - s))).astype(jnp.int32) for s in range(1, 6)
    ]
    log2_share = sum(few[1:], few[0])
    share = i32(1) << log2_share
    lane = _lanes()
    groups = ((items << log2_share) + i32(LANES - 1)) >> i32(5)

    def group(number: jax.Array, state: None) -> None:
        item = (number << (i32(5) - log2_share)) + (lane >> log2_share)
        valid = item < items
        item = jnp.where(valid, item, i32(0))
        column = active[lax.div(item, chunks)]
        chunk = view.first_chunk + lax.rem(item, chunks).astype(jnp.uint32)
        keys = make_keys(
            view, law, view.left + column.astype(jnp.uint32), chunk, inverse=False
        )
        length = jnp.where(valid, keys.count.astype(jnp.int32), i32(0))
        start = chunk << view.log2_chunk

        def connections(i: jax.Array, state: None) -> None:
            t = (i << log2_share) + (lane & (share - i32(1)))
            row = start + place(view, keys, t.astype(jnp.uint32))
            z = weight(table, keys.weights, row)
            row = row - view.top
            inside = (t < length) & (row < u32(rows))
            at = row.astype(jnp.int32) * i32(batch)
            if floats:
                _add_floats(terms, sums, at, column, z, inside, batch, device)
            else:
                _add_events(terms, sums, at, column, z, inside, batch, device)
            return state

        trips = (jnp.max(length) + share - i32(1)) >> log2_share
        lax.fori_loop(_zero(), trips, connections, None)
        return state

    _strided(pl.program_id(0), groups, programs, group)


def _each(batch: int, body: Callable[[Any], None]) -> None:
    """Run ``body(b)`` for every b of the batch."""
    if batch == 1:
        body(_zero())
    else:
        lax.fori_loop(_zero(), jnp.int32(batch), lambda b, _: body(b), None)


def _add_events(
    terms: Terms,
    sums: Sequence[Any],
    at: jax.Array,
    column: jax.Array,
    z: jax.Array,
    inside: jax.Array,
    batch: int,
    device: bool,
) -> None:
    one_and_z = z.astype(jnp.int64) + np.int64(2**32)

    def add(b: Any) -> None:
        mask = inside & terms.present(column, b)
        scatter_add(sums[0], at + b, one_and_z, mask, device=device)

    _each(batch, add)


def _add_floats(
    terms: Terms,
    sums: Sequence[Any],
    at: jax.Array,
    column: jax.Array,
    z: jax.Array,
    inside: jax.Array,
    batch: int,
    device: bool,
) -> None:
    def add(b: Any) -> None:
        mask = inside & terms.present(column, b)
        for ref, term in zip(sums, terms.of(column, b, z), strict=True):
            scatter_add(ref, at + b, term, mask, device=device)

    _each(batch, add)


# --- a lane is a row --------------------------------------------------------------


def ask_rows(
    seed: Any,
    origin: Any,
    law: Any,
    table: Any,
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
    device: bool,
    floats: bool,
) -> None:
    """Ask every active column, ROWS rows at a time; of LANES columns keys at once.

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
    view = window(seed, origin, law, rows, device)
    terms: Terms = (FloatTerms if floats else EventTerms)(
        operand if floats or batch > 1 else None, batch
    )
    start = ((view.top >> u32(LOG2_ROWS)) << u32(LOG2_ROWS)) - view.top
    start = start.astype(jnp.int32) + block * i32(ROWS)  # negative before the window
    low = jnp.maximum(start, i32(0))
    high = jnp.minimum(start + i32(ROWS), i32(rows))
    inside = jnp.clip(start + lax.iota(jnp.int32, ROWS), low, high - i32(1))
    row = view.top + inside.astype(jnp.uint32)
    chunk = (view.top + low.astype(jnp.uint32)) >> view.log2_chunk
    n_active = jnp.where(low < high, count[0], i32(0))
    lane = _lanes()

    def group(first: jax.Array, sums: Any) -> Any:
        some = jnp.minimum(first + lane, n_active - i32(1))
        column = view.left + active[some].astype(jnp.uint32)
        keys = make_keys(
            view, law, column, jnp.full_like(column, 0) + chunk, inverse=True
        )

        def ask(c: jax.Array, sums: Any) -> Any:
            one = jax.tree.map(
                lambda words: jnp.sum(
                    jnp.where(lane == c, words, u32(0)), dtype=jnp.uint32
                ),
                keys,
            )
            connected = probe(view, one, row)
            z = weight(table, one.weights, row)
            return _add_where(connected, terms, active[first + c], first_b, z, sums)

        here = jnp.minimum(n_active - first, i32(LANES))
        return lax.fori_loop(_zero(), here, ask, sums)

    sums = _strided(
        split * i32(LANES), n_active, splits * LANES, group, _no_sums(terms, ROWS, tile)
    )

    @pl.when(low < high)
    def _() -> None:
        _write(first_out, second_out, sums, split * i32(rows) + inside, first_b, batch)


def _no_sums(terms: Terms, width: int, tile: int) -> tuple[Any, ...]:
    return ((jnp.zeros(width, terms.dtype),) * 2,) * tile


def _add_where(
    connected: jax.Array,
    terms: Terms,
    item: jax.Array,
    first_b: jax.Array,
    z: jax.Array,
    sums: Any,
) -> Any:
    """Add the terms of a tile of the batch, where there is a connection."""
    result = []
    for b, pair in enumerate(sums):
        new = terms.of(item, first_b + i32(b), z)
        result.append(
            tuple(
                total + jnp.where(connected, term, jnp.zeros_like(term))
                for total, term in zip(pair, new, strict=True)
            )
        )
    return tuple(result)


def _write(
    first_out: Any,
    second_out: Any,
    sums: Any,
    at: jax.Array,
    first_b: jax.Array,
    batch: int,
) -> None:
    for b, (first, second) in enumerate(sums):
        column = jnp.minimum(first_b + i32(b), i32(batch - 1))
        first_out[at * i32(batch) + column] = first
        second_out[at * i32(batch) + column] = second


# --- a lane is a column -----------------------------------------------------------


def sum_columns(
    seed: Any,
    origin: Any,
    law: Any,
    table: Any,
    active: Any,
    before: Any,
    typical: Any,
    operand: Any,
    first_out: Any,
    second_out: Any,
    *,
    rows: int,
    columns: int,
    batch: int,
    tile: int,
    splits: int,
    blocks: int,
    device: bool,
    floats: bool,
) -> None:
    """Sum up each column, over a share of its chunks.

    Parameters
    ----------
    active, before
        Numbers of the active rows, and for 0 .. rows how many are before each.
    typical
        Connections that a chunk has about, (1,): with fewer active rows than these
        in it, they are asked.
    operand
        Words of event bits, or values, of all rows.
    first_out, second_out
        Sums, (splits * columns * batch,).
    """
    program = pl.program_id(0)
    block = lax.rem(program, i32(blocks))
    split = lax.rem(lax.div(program, i32(blocks)), i32(splits))
    first_b = lax.div(program, i32(blocks * splits)) * i32(tile)
    view = window(seed, origin, law, rows, device)
    terms: Terms = (FloatTerms if floats else EventTerms)(operand, batch)
    mine = jnp.minimum(block * i32(LANES) + _lanes(), i32(columns - 1))
    column = view.left + mine.astype(jnp.uint32)

    def chunk_sums(number: jax.Array, sums: Any) -> Any:
        chunk = view.first_chunk + number.astype(jnp.uint32)
        low, high = _inside(view, chunk)
        first, last = before[low], before[high]
        chunk = jnp.full_like(column, 0) + chunk

        def ask(sums: Any) -> Any:
            keys = make_keys(view, law, column, chunk, inverse=True)

            def one(a: jax.Array, sums: Any) -> Any:
                i = active[a]
                row = view.top + i.astype(jnp.uint32)
                z = weight(table, keys.weights, row)
                return _add_where(probe(view, keys, row), terms, i, first_b, z, sums)

            return lax.fori_loop(first, last, one, sums)

        def list_all(sums: Any) -> Any:
            keys = make_keys(view, law, column, chunk, inverse=False)
            return _sum_listed(view, keys, chunk, table, terms, first_b, sums)

        def some(sums: Any) -> Any:
            return lax.cond(last - first < typical[0], ask, list_all, sums)

        return lax.cond(first < last, some, lambda sums: sums, sums)

    sums = _strided(
        split, view.chunks, splits, chunk_sums, _no_sums(terms, LANES, tile)
    )
    _write(first_out, second_out, sums, split * i32(columns) + mine, first_b, batch)


def _inside(view: Window, chunk: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Range of the window's rows that a chunk of it holds."""
    start = (chunk << view.log2_chunk) - view.top
    low = jnp.where(chunk == view.first_chunk, i32(0), start.astype(jnp.int32))
    last = (view.top + u32(view.rows - 1)) >> view.log2_chunk
    end = (start + view.mask + u32(1)).astype(jnp.int32)
    return low, jnp.where(chunk == last, i32(view.rows), end)


def _sum_listed(
    view: Window,
    keys: Keys,
    chunk: jax.Array,
    table: Any,
    terms: Terms,
    first_b: jax.Array,
    sums: Any,
) -> Any:
    start = chunk << view.log2_chunk
    length = keys.count.astype(jnp.int32)

    def one(t: jax.Array, sums: Any) -> Any:
        row = start + place(view, keys, t.astype(jnp.uint32))
        z = weight(table, keys.weights, row)
        row = row - view.top
        inside = (t < length) & (row < u32(view.rows))
        i = jnp.where(inside, row.astype(jnp.int32), i32(0))
        return _add_where(inside, terms, i, first_b, z, sums)

    return lax.fori_loop(_zero(), jnp.max(length), one, sums)


def write_columns(
    seed: Any,
    origin: Any,
    law: Any,
    table: Any,
    out: Any,
    *,
    rows: int,
    columns: int,
    blocks: int,
    device: bool,
) -> None:
    """Write z of ROWS rows of LANES columns, (rows * columns,), or ABSENT."""
    program = pl.program_id(0)
    view = window(seed, origin, law, rows, device)
    mine = lax.rem(program, i32(blocks)) * i32(LANES) + _lanes()
    mine = jnp.minimum(mine, i32(columns - 1))
    column = view.left + mine.astype(jnp.uint32)
    start = ((view.top >> u32(LOG2_ROWS)) << u32(LOG2_ROWS)) - view.top
    start = start.astype(jnp.int32) + lax.div(program, i32(blocks)) * i32(ROWS)
    low = jnp.maximum(start, i32(0))
    high = jnp.minimum(start + i32(ROWS), i32(rows))
    chunk = (view.top + low.astype(jnp.uint32)) >> view.log2_chunk
    keys = make_keys(view, law, column, jnp.full_like(column, 0) + chunk, inverse=True)

    def one(i: jax.Array, state: None) -> None:
        row = view.top + i.astype(jnp.uint32)
        z = weight(table, keys.weights, row)
        connected = probe(view, keys, row)
        out[i * i32(columns) + mine] = jnp.where(connected, z, i32(ABSENT))
        return state

    lax.fori_loop(low, high, one, None)
