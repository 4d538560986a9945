# SPDX-License-Identifier: Apache-2.0
"""N and Z of W @ events, and of W.T @ events.

An accumulator is one 64-bit word, N in its high half and Z in its low half, so that
one addition of ``ONE + z`` counts and sums at once; a negative Z has then borrowed
one from N, which ``unpack`` gives back.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from .draw import (
    COUNT,
    LANES,
    LIST_SIZE,
    list_places,
    make_keys,
    probe_places,
    weigh,
)
from .intrinsics import stack_words
from .windows import (
    PROBE_COST,
    chunk_range,
    chunk_rows,
    scratch,
    window_connections,
)

u32 = np.uint32

ONE = 1 << 32
# Connections are held back until there are more than this, and added in one loop:
# how each loop ends is a branch that the processor guesses wrong.
HOLD = 512
HELD = HOLD + LIST_SIZE


@njit
def accumulate(
    matrix, flags, batch, active, first_chunk, n_chunks, top, bottom, base, sums
):
    """Add the connections of the active columns in some chunks.

    Parameters
    ----------
    matrix : (seed, origin, law, n_limits)
    flags : uint8 array (n * batch,)
        Events, one byte each, 0 or 1.
    active : uint32 array
        Numbers of the columns to go through, within the window.
    first_chunk, n_chunks : int
    top, bottom : int
        Only the rows top .. bottom - 1 count.
    base : int
        Row of the first accumulator.
    sums : int64 array
        Accumulators (rows, batch).
    """
    seed, origin, law, n_limits = matrix
    columns, chunks, keys, _, _ = scratch()
    held_rows = carray(stack_words(HELD), (HELD,))
    held_z = carray(stack_words(HELD), (HELD,)).view(np.int32)
    held = 0
    k = law[0]
    offset = u32(base)
    pairs = active.size * n_chunks
    item, chunk = 0, 0
    for first in range(0, pairs, LANES):
        lanes = min(np.int64(LANES), pairs - first)
        for lane in range(lanes):
            columns[lane] = u32(active[item] + origin[1])
            chunks[lane] = u32(first_chunk + chunk)
            chunk += 1
            if chunk == n_chunks:
                chunk = 0
                item += 1
        make_keys(seed, law, n_limits, columns, chunks, keys)
        for lane in range(lanes):
            into, z = held_rows[held:], held_z[held:]
            found = window_connections(keys, lane, chunks[lane], k, top, bottom, into)
            weigh(keys, lane, into, found, z)
            if batch == 1:
                held += found
                if held > HOLD:
                    _add(held_rows, held_z, held, offset, sums)
                    held = 0
            else:
                at = np.int64(u32(columns[lane] - origin[1])) * batch
                _add_batch(into, z, found, offset, flags[at : at + batch], sums)
    _add(held_rows, held_z, held, offset, sums)


@njit
def _add(rows, z, held, offset, sums):
    for t in range(held):
        sums[u32(rows[t] - offset)] += ONE + np.int64(z[t])


@njit
def _add_batch(rows, z, found, offset, flags, sums):
    batch = flags.size
    for t in range(found):
        into = np.int64(u32(rows[t] - offset)) * batch
        one_and_z = ONE + np.int64(z[t])
        for b in range(batch):
            sums[into + b] += one_and_z & -np.int64(flags[b])


@njit
def unpack(sums, n, z):
    """Part accumulators into N and Z."""
    for i in range(sums.size):
        low = np.int32(sums[i])
        z[i] = low
        n[i] = np.int32((sums[i] >> 32) + np.int64(low < 0))


# --- transposed -------------------------------------------------------------------


@njit
def bound_chunks(active, first_chunk, n_chunks, log2_chunk, bounds):
    """Where in the ascending ``active`` rows each chunk begins."""
    i = 0
    for q in range(n_chunks + 1):
        start = (first_chunk + q) << np.int64(log2_chunk)
        while i < active.size and np.int64(active[i]) < start:
            i += 1
        bounds[q] = u32(i)


@njit
def gather(
    matrix, flags, any_flags, batch, m, active, n_active, bounds, first, last, n, z
):
    """N and Z of the columns first .. last - 1 of W.T @ events.

    A chunk is either listed, and the events of its rows looked up, or, where fewer
    rows than connections are active in it, probed for those.

    Parameters
    ----------
    matrix : (seed, origin, law, n_limits)
    flags : uint8 array (m * batch,)
    any_flags : uint8 array (m,)
        Whether a row has any event in the batch.
    active : uint32 array
        Absolute numbers of the rows with any event, ascending, and LANES * 2 beyond.
    bounds : uint32 array
        ``bound_chunks`` of ``active``.
    n, z : int32 arrays (columns * batch,)
    """
    seed, origin, law, n_limits = matrix
    columns, chunks, keys, rows, weights = scratch()
    k = law[0]
    top, bottom = np.int64(origin[0]), np.int64(origin[0]) + m
    n[first * batch : last * batch] = 0
    z[first * batch : last * batch] = 0
    first_chunk, n_chunks = chunk_range(top, bottom, k)
    for q in range(n_chunks):
        begin = np.int64(bounds[q])
        n_candidates = np.int64(bounds[q + 1]) - begin
        if n_candidates == 0:
            continue
        low, high = chunk_rows(first_chunk + q, k, top, bottom)
        whole = high - low == np.int64(1) << np.int64(k)
        for column in range(first, last, LANES):
            lanes = min(np.int64(LANES), last - column)
            for lane in range(lanes):
                columns[lane] = u32(u32(column + lane) + origin[1])
                chunks[lane] = u32(first_chunk + q)
            make_keys(seed, law, n_limits, columns, chunks, keys)
            for lane in range(lanes):
                if n_candidates * PROBE_COST < np.int64(keys[COUNT, lane]):
                    found = probe_places(
                        keys, lane, k, active[begin:], n_candidates, rows
                    )
                else:
                    if whole:
                        found = list_places(keys, lane, chunks[lane], k, rows)
                    else:
                        found = window_connections(
                            keys, lane, chunks[lane], k, top, bottom, rows
                        )
                    if n_active < m:
                        found = _keep_active(rows, found, u32(top), any_flags)
                weigh(keys, lane, rows, found, weights)
                into = (column + lane) * batch
                if batch == 1:
                    n[into] += np.int32(found)
                    z[into] += _sum(weights, found)
                else:
                    _sum_batch(rows, weights, found, u32(top), batch, flags, into, n, z)


@njit
def _keep_active(rows, found, offset, any_flags):
    kept = 0
    for t in range(found):
        row = rows[t]
        rows[kept] = row
        kept += np.int64(any_flags[u32(row - offset)])
    return kept


@njit
def _sum(z, found):
    total = np.int32(0)
    for t in range(found):
        total = np.int32(total + z[t])
    return total


@njit
def _sum_batch(rows, weights, found, offset, batch, flags, into, n, z):
    for t in range(found):
        at = np.int64(u32(rows[t] - offset)) * batch
        weight = weights[t]
        for b in range(batch):
            flag = np.int32(flags[at + b])
            n[into + b] += flag
            z[into + b] += weight & np.int32(-flag)
