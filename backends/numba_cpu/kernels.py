# SPDX-License-Identifier: Apache-2.0
"""The products in numba: events, floats and dense, each in both directions.

Every kernel walks over (column, chunk) pairs, LANES at a time: keys for all lanes,
then, lane by lane, the chunk's connections, then what the product does with them.
An accumulator of the events products is one 64-bit word, N in its high half and Z
in its low half, so that one addition of ``ONE + z`` counts and sums at once; a
negative Z has then borrowed one from N, which the caller gives back.

``workspace`` is scratch memory of ``workspace_words`` words, and all of it.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from synjit.reference import ABSENT, draw

from .draw import (
    COUNT,
    KEY_ROWS,
    LANES,
    LIST_SIZE,
    list_places,
    make_keys,
    probe_places,
)
from .intrinsics import stack_words

u32 = np.uint32

ONE = 1 << 32
KEY_WORDS = KEY_ROWS * LANES
# Probing one row costs about as much as listing one and a half connections.
PROBE_COST = 1.5


def workspace_words(m: int, n: int, batch: int) -> int:
    """Words of scratch memory that any kernel needs at this size."""
    chunks = (m >> draw.MIN_LOG2_CHUNK) + 3
    return m + n + chunks + batch * (m // 32 + 1) + 2 * batch + 4 * LANES


# --- chunks of a window of rows -------------------------------------------------


@njit(forceinline=True)
def _scratch():
    """Columns, chunks and keys of a block, rows and z of a chunk: on the stack."""
    return (
        carray(stack_words(LANES), (LANES,)),
        carray(stack_words(LANES), (LANES,)),
        carray(stack_words(KEY_WORDS), (KEY_ROWS, LANES)),
        carray(stack_words(LIST_SIZE), (LIST_SIZE,)),
        carray(stack_words(LIST_SIZE), (LIST_SIZE,)).view(np.int32),
    )


@njit(forceinline=True)
def _chunk_range(top, bottom, log2_chunk):
    """First chunk, and number of chunks, that the rows top .. bottom - 1 touch."""
    k = np.int64(log2_chunk)
    first = top >> k
    return first, ((bottom - 1) >> k) + 1 - first


@njit
def _window_connections(
    keys, lane, chunk, log2_chunk, top, bottom, row_numbers, rows, z
):
    """List a chunk's connections inside the rows top .. bottom - 1.

    ``row_numbers`` holds top, top + 1, ...; it is read where few rows of the chunk
    are inside, and probing them is cheaper than listing the chunk.
    """
    start = np.int64(chunk) << np.int64(log2_chunk)
    end = start + (np.int64(1) << np.int64(log2_chunk))
    low, high = max(start, top), min(end, bottom)
    count = np.int64(keys[COUNT, lane])
    if (high - low) * PROBE_COST < count:
        inside = row_numbers[low - top :]
        return probe_places(keys, lane, log2_chunk, inside, high - low, rows, z)
    count = list_places(keys, lane, chunk, log2_chunk, rows, z)
    if low == start and high == end:
        return count
    kept = 0
    for t in range(count):
        row, weight = rows[t], z[t]
        rows[kept] = row
        z[kept] = weight
        kept += np.int64((np.int64(row) >= low) & (np.int64(row) < high))
    return kept


@njit(forceinline=True)
def _number_rows(top, bottom, row_numbers):
    """Write top, top + 1, ... where _window_connections may read them."""
    # Only the first and the last chunk can be partial, and only a short part is
    # ever probed: shorter than any count.
    rows = bottom - top
    short = min(rows, LIST_SIZE)
    for i in range(short):
        row_numbers[i] = u32(top + i)
    for i in range(max(short, rows - LIST_SIZE), rows):
        row_numbers[i] = u32(top + i)


# --- events ---------------------------------------------------------------------


@njit(forceinline=True)
def _active(flags, batch, items, workspace):
    """List the numbers of the items (rows of flags) with any event in the batch."""
    count = 0
    if batch == 1:
        words = items // 8
        packed = flags[: 8 * words].view(np.uint64)
        for w in range(words):
            if packed[w]:
                for i in range(8 * w, 8 * w + 8):
                    workspace[count] = u32(i)
                    count += np.int64(flags[i] != 0)
        for i in range(8 * words, items):
            workspace[count] = u32(i)
            count += np.int64(flags[i] != 0)
        return count
    for i in range(items):
        anything = False
        for b in range(batch):
            anything |= flags[i * batch + b] != 0
        workspace[count] = u32(i)
        count += np.int64(anything)
    return count


@njit(nogil=True)
def events(seed, origin, law, flags, batch, sums, m, n, tile, workspace):
    """N and Z of W @ events.

    Parameters
    ----------
    seed, origin, law : uint32 arrays
    flags : uint8 array (n * batch,)
        Events, one byte each, 0 or 1.
    sums : int64 array (m * batch,)
        Filled: N in the high half, Z in the low half.
    tile : int
        Rows to finish before going on to the next ones, at least; 0 for all.
    workspace : uint32 array
    """
    sums[:] = 0
    columns, chunks, keys, rows, z = _scratch()
    k = law[0]
    top, bottom = np.int64(origin[0]), np.int64(origin[0]) + m
    masks = workspace[: 2 * batch].view(np.int64)
    row_numbers = workspace[2 * batch : 2 * batch + m + LANES]
    active = workspace[2 * batch + m + LANES :]
    n_active = _active(flags, batch, n, active)
    if n_active == 0 or m == 0:
        return
    _number_rows(top, bottom, row_numbers)
    first_chunk, n_chunks = _chunk_range(top, bottom, k)
    tile_chunks = n_chunks
    if tile > 0:
        tile_chunks = max(np.int64(1), tile >> np.int64(k))
    for tile_start in range(0, n_chunks, tile_chunks):
        depth = min(tile_chunks, n_chunks - tile_start)
        for first in range(0, n_active * depth, LANES):
            lanes = min(np.int64(LANES), n_active * depth - first)
            for lane in range(lanes):
                columns[lane] = u32(active[(first + lane) // depth] + origin[1])
                chunks[lane] = u32(first_chunk + tile_start + (first + lane) % depth)
            make_keys(seed, law, columns, chunks, keys)
            for lane in range(lanes):
                found = _window_connections(
                    keys, lane, chunks[lane], k, top, bottom, row_numbers, rows, z
                )
                if batch == 1:
                    for t in range(found):
                        sums[np.int64(rows[t]) - top] += ONE + np.int64(z[t])
                else:
                    at = np.int64(u32(columns[lane] - origin[1])) * batch
                    for b in range(batch):
                        masks[b] = -np.int64(flags[at + b])
                    for t in range(found):
                        into = (np.int64(rows[t]) - top) * batch
                        one_and_z = ONE + np.int64(z[t])
                        for b in range(batch):
                            sums[into + b] += one_and_z & masks[b]


@njit(nogil=True)
def events_transposed(seed, origin, law, flags, batch, sums, m, n, workspace):
    """N and Z of W.T @ events: as ``events``, with flags of rows and sums of columns.

    A chunk is either listed, and the events of its rows looked up, or, where fewer
    rows than connections are active in it, probed for those.
    """
    sums[:] = 0
    columns, chunks, keys, rows, z = _scratch()
    k = law[0]
    top, bottom = np.int64(origin[0]), np.int64(origin[0]) + m
    active = workspace[: m + LANES]
    n_active = _active(flags, batch, m, active)
    if n_active == 0 or n == 0:
        return
    for i in range(n_active):
        active[i] = u32(active[i] + origin[0])

    first_chunk, n_chunks = _chunk_range(top, bottom, k)
    bounds = workspace[m + LANES : m + LANES + n_chunks + 1]
    bits = workspace[m + LANES + n_chunks + 1 :]
    _bound_chunks(active, n_active, first_chunk, n_chunks, k, bounds)
    words = m // 32 + 1
    _pack_bits(flags, batch, m, words, bits)

    for q in range(n_chunks):
        n_candidates = np.int64(bounds[q + 1]) - np.int64(bounds[q])
        if n_candidates == 0:
            continue
        candidates = active[np.int64(bounds[q]) :]
        for first in range(0, n, LANES):
            lanes = min(np.int64(LANES), n - first)
            for lane in range(lanes):
                columns[lane] = u32(u32(first + lane) + origin[1])
                chunks[lane] = u32(first_chunk + q)
            make_keys(seed, law, columns, chunks, keys)
            for lane in range(lanes):
                into = (first + lane) * batch
                if n_candidates * PROBE_COST < np.int64(keys[COUNT, lane]):
                    found = probe_places(
                        keys, lane, k, candidates, n_candidates, rows, z
                    )
                else:
                    found = list_places(keys, lane, chunks[lane], k, rows, z)
                for b in range(batch):
                    sums[into + b] += _count_and_sum(
                        rows, z, found, top, m, bits[b * words :]
                    )


@njit(forceinline=True)
def _bound_chunks(active, n_active, first_chunk, n_chunks, log2_chunk, bounds):
    """Where in the ascending ``active`` rows each chunk begins."""
    i = 0
    for q in range(n_chunks + 1):
        start = (first_chunk + q) << np.int64(log2_chunk)
        while i < n_active and np.int64(active[i]) < start:
            i += 1
        bounds[q] = u32(i)


@njit(forceinline=True)
def _pack_bits(flags, batch, m, words, bits):
    for b in range(batch):
        for w in range(words):
            word = u32(0)
            for i in range(32 * w, min(32 * w + 32, m)):
                word |= u32(u32(flags[i * batch + b]) << u32(i - 32 * w))
            bits[b * words + w] = word


@njit
def _count_and_sum(rows, z, found, top, m, bits):
    n_sum = np.int32(0)
    z_sum = np.int32(0)
    offset = u32(top)
    limit = u32(m)
    for t in range(found):
        row = u32(rows[t] - offset)  # above the limit, too, where it was above top
        inside = row < limit
        row = row if inside else u32(0)
        bit = u32(bits[row >> u32(5)] >> (row & u32(31))) & u32(1)
        bit = bit if inside else u32(0)
        n_sum = np.int32(n_sum + np.int32(bit))
        z_sum = np.int32(z_sum + np.int32(z[t] & np.int32(-np.int32(bit))))
    return (np.int64(n_sum) << 32) + np.int64(z_sum)


# --- floats ---------------------------------------------------------------------


@njit(nogil=True)
def floats(seed, origin, law, values, batch, sums, m, n, tile, workspace):
    """A and B of W @ values; columns of zeros are skipped.

    Parameters
    ----------
    values : float array (n * batch,)
    sums : float array (m * 2 * batch,)
        Filled: for each row, A of the batch, then B of the batch.
    """
    sums[:] = 0
    columns, chunks, keys, rows, z = _scratch()
    k = law[0]
    top, bottom = np.int64(origin[0]), np.int64(origin[0]) + m
    row_numbers = workspace[: m + LANES]
    active = workspace[m + LANES :]
    n_active = 0
    for j in range(n):
        anything = False
        for b in range(batch):
            anything |= values[j * batch + b] != 0
        active[n_active] = u32(j)
        n_active += np.int64(anything)
    if n_active == 0 or m == 0:
        return
    _number_rows(top, bottom, row_numbers)
    first_chunk, n_chunks = _chunk_range(top, bottom, k)
    tile_chunks = n_chunks
    if tile > 0:
        tile_chunks = max(np.int64(1), tile >> np.int64(k))
    for tile_start in range(0, n_chunks, tile_chunks):
        depth = min(tile_chunks, n_chunks - tile_start)
        for first in range(0, n_active * depth, LANES):
            lanes = min(np.int64(LANES), n_active * depth - first)
            for lane in range(lanes):
                columns[lane] = u32(active[(first + lane) // depth] + origin[1])
                chunks[lane] = u32(first_chunk + tile_start + (first + lane) % depth)
            make_keys(seed, law, columns, chunks, keys)
            for lane in range(lanes):
                found = _window_connections(
                    keys, lane, chunks[lane], k, top, bottom, row_numbers, rows, z
                )
                at = np.int64(u32(columns[lane] - origin[1])) * batch
                for t in range(found):
                    into = (np.int64(rows[t]) - top) * 2 * batch
                    weight = values.dtype.type(z[t])
                    for b in range(batch):
                        sums[into + b] += values[at + b]
                    for b in range(batch):
                        sums[into + batch + b] += values[at + b] * weight


@njit(nogil=True)
def floats_transposed(seed, origin, law, values, batch, sums, m, n, workspace):
    """A and B of W.T @ values: values of rows, sums of columns."""
    sums[:] = 0
    columns, chunks, keys, rows, z = _scratch()
    k = law[0]
    top, bottom = np.int64(origin[0]), np.int64(origin[0]) + m
    if m == 0 or n == 0:
        return
    row_numbers = workspace[: m + LANES]
    _number_rows(top, bottom, row_numbers)
    first_chunk, n_chunks = _chunk_range(top, bottom, k)
    for q in range(n_chunks):
        for first in range(0, n, LANES):
            lanes = min(np.int64(LANES), n - first)
            for lane in range(lanes):
                columns[lane] = u32(u32(first + lane) + origin[1])
                chunks[lane] = u32(first_chunk + q)
            make_keys(seed, law, columns, chunks, keys)
            for lane in range(lanes):
                found = _window_connections(
                    keys, lane, chunks[lane], k, top, bottom, row_numbers, rows, z
                )
                _gather_floats(
                    rows, z, found, top, values, batch, sums, (first + lane) * 2 * batch
                )


# Reassociation lets the sum of a chunk use all lanes of a vector. It happens when
# the kernel is compiled, so that the order of a sum is the same on every run.
@njit(fastmath={"reassoc", "contract"})
def _gather_floats(rows, z, found, top, values, batch, sums, into):
    if batch == 1:
        a = values.dtype.type(0)
        b = values.dtype.type(0)
        for t in range(found):
            value = values[np.int64(rows[t]) - top]
            a += value
            b += value * values.dtype.type(z[t])
        sums[into] += a
        sums[into + 1] += b
        return
    for t in range(found):
        at = (np.int64(rows[t]) - top) * batch
        weight = values.dtype.type(z[t])
        for b in range(batch):
            sums[into + b] += values[at + b]
        for b in range(batch):
            sums[into + batch + b] += values[at + b] * weight


# --- dense ----------------------------------------------------------------------


@njit(nogil=True)
def dense(seed, origin, law, entries, m, n, workspace):
    """Z of every entry, or ABSENT; ``entries`` is an int32 array (m * n,).

    LANES neighbouring columns go down the rows together, so that a cache line is
    filled before it is left.
    """
    entries[:] = ABSENT
    columns, chunks, keys, rows, z = _scratch()
    k = law[0]
    top, bottom = np.int64(origin[0]), np.int64(origin[0]) + m
    if m == 0 or n == 0:
        return
    _number_rows(top, bottom, workspace)
    first_chunk, n_chunks = _chunk_range(top, bottom, k)
    for q in range(n_chunks):
        for first in range(0, n, LANES):
            lanes = min(np.int64(LANES), n - first)
            for lane in range(lanes):
                columns[lane] = u32(u32(first + lane) + origin[1])
                chunks[lane] = u32(first_chunk + q)
            make_keys(seed, law, columns, chunks, keys)
            for lane in range(lanes):
                found = _window_connections(
                    keys, lane, chunks[lane], k, top, bottom, workspace, rows, z
                )
                for t in range(found):
                    row = np.int64(rows[t]) - top
                    entries[row * n + first + lane] = z[t]
