# SPDX-License-Identifier: Apache-2.0
"""What all kernels share: blocks of chunks, and chunks cut by a window of rows.

Every kernel walks over (column, chunk) pairs, LANES at a time: keys for all lanes,
then, lane by lane, the chunk's connections, then what the product does with them.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from .draw import (
    COUNT,
    KEY_ROWS,
    LANES,
    LIST_SIZE,
    OWN,
    list_places,
    list_short,
    probe_places,
)
from .intrinsics import prefer_wide_vectors, stack_words
from .out_degree import is_fixed, segment_connections, segments

u16 = np.uint16
u32 = np.uint32

KEY_WORDS = KEY_ROWS * LANES
# Probing a row costs about what listing a connection and looking at its row does.
PROBE_COST = 1
# Flags of events that are looked at together, for most of them are 0.
SCAN = 512


@njit(forceinline=True)
def scratch():
    """Columns, chunks and keys of a block, rows and z of a chunk: on the stack."""
    return (
        carray(stack_words(LANES), (LANES,)),
        carray(stack_words(LANES), (LANES,)),
        carray(stack_words(KEY_WORDS), (KEY_ROWS, LANES)),
        carray(stack_words(LIST_SIZE), (LIST_SIZE,)),
        carray(stack_words(LIST_SIZE), (LIST_SIZE,)).view(np.int32),
    )


@njit(forceinline=True)
def chunk_range(top, bottom, log2_chunk):
    """First chunk, and number of chunks, that the rows top .. bottom - 1 touch."""
    k = np.int64(log2_chunk)
    first = top >> k
    return first, ((bottom - 1) >> k) + 1 - first


@njit(forceinline=True)
def pair_range(connectivity, top, bottom):
    """The same; of a fixed out-degree, the segments of the only chunk."""
    if is_fixed(connectivity):
        return np.int64(0), segments(connectivity, bottom - top)
    return chunk_range(top, bottom, connectivity[0])


@njit(forceinline=True)
def block_of_pairs(first, active, origin, first_chunk, n_chunks, columns, chunks):
    """Name a block's columns and chunks; returns how many pairs there are, up to LANES.

    The pairs are every active column with each of the chunks, column by column, and
    ``first`` is the number of the block's first.
    """
    lanes = min(np.int64(LANES), active.size * n_chunks - first)
    item, chunk = divmod(first, n_chunks)
    for lane in range(lanes):
        columns[lane] = u32(active[item] + origin[1])
        chunks[lane] = u32(first_chunk + chunk)
        chunk += 1
        if chunk == n_chunks:
            chunk = 0
            item += 1
    return lanes


@njit(forceinline=True)
def chunk_rows(chunk, log2_chunk, top, bottom):
    """Rows of a chunk inside top .. bottom - 1: the first, and the one after all."""
    start = np.int64(chunk) << np.int64(log2_chunk)
    end = start + (np.int64(1) << np.int64(log2_chunk))
    return max(start, top), min(end, bottom)


@njit
def window_connections(keys, lane, chunk, connectivity, top, bottom, rows):
    """List a chunk's connections in the rows top .. bottom - 1; returns their number.

    Where few rows of the chunk are inside, they are probed, which costs less than to
    list the chunk. Of a fixed out-degree, ``chunk`` is a segment.
    """
    if is_fixed(connectivity):
        return segment_connections(connectivity, keys, lane, chunk, top, bottom, rows)
    log2_chunk = connectivity[0]
    found = _window_connections(keys, lane, chunk, log2_chunk, top, bottom, rows)
    if u32(keys[OWN, lane] >> log2_chunk) == chunk:
        return _without(rows, found, keys[OWN, lane])
    return found


@njit(forceinline=True)
def _window_connections(keys, lane, chunk, log2_chunk, top, bottom, rows):
    low, high = chunk_rows(chunk, log2_chunk, top, bottom)
    inside = high - low
    if inside * PROBE_COST < np.int64(keys[COUNT, lane]):
        numbers = carray(stack_words(LIST_SIZE), (LIST_SIZE,))
        for i in range((inside + LANES - 1) // LANES * LANES):
            numbers[i] = u32(low + i)
        return probe_places(keys, lane, log2_chunk, numbers, inside, rows)
    count = list_places(keys, lane, chunk, log2_chunk, rows)
    if inside == np.int64(1) << np.int64(log2_chunk):
        return count
    kept = 0
    for t in range(count):
        row = rows[t]
        rows[kept] = row
        kept += np.int64((np.int64(row) >= low) & (np.int64(row) < high))
    return kept


@njit(forceinline=False, _nrt=False)
def _without(rows, found, row):
    """Take a row out of a list that may hold it; returns how many are left."""
    prefer_wide_vectors()
    # Whole vectors, beyond the list's end, where its first place cannot be.
    from_end = u32(0)
    for t in range((found + LANES - 1) // LANES * LANES):
        from_end = max(from_end, u32(u32(rows[t] == row) * u32(u32(LIST_SIZE) - t)))
    at = LIST_SIZE - np.int64(from_end)
    if at >= found:
        return found
    rows[at] = rows[found - 1]
    return found - 1


@njit
def long_connections(keys, lane, chunk, connectivity, low, high, rows):
    """The same, counted from ``low``."""
    found = window_connections(keys, lane, chunk, connectivity, low, high, rows)
    for t in range(found):
        rows[t] = u32(rows[t] - u32(low))
    return found


@njit(forceinline=True)
def short_connections(keys, lane, chunk, connectivity, low, high, rows):
    """The same as 16-bit numbers.

    For chunks of at most 2**16 rows, in a window low .. high - 1 of as many; not for a
    fixed out-degree.
    """
    log2_chunk, own = connectivity[0], keys[OWN, lane]
    found = _short_connections(keys, lane, chunk, log2_chunk, low, high, rows)
    here = u32(own >> log2_chunk) == chunk
    if here and low <= np.int64(own) and np.int64(own) < high:
        return _without(rows, found, u16(own - u32(low)))
    return found


@njit(forceinline=True)
def _short_connections(keys, lane, chunk, log2_chunk, low, high, rows):
    chunk_rows = np.int64(1) << np.int64(log2_chunk)
    start = np.int64(chunk) << np.int64(log2_chunk)
    first = max(start, low)
    inside = min(start + chunk_rows, high) - first
    if inside * PROBE_COST < np.int64(keys[COUNT, lane]) and inside < chunk_rows:
        wide = carray(stack_words(LIST_SIZE), (LIST_SIZE,))
        found = _window_connections(keys, lane, chunk, log2_chunk, low, high, wide)
        for t in range(found):
            rows[t] = u16(wide[t] - u32(low))
        return found
    count = list_short(keys, lane, u16(start - low), log2_chunk, rows)
    if inside == chunk_rows:
        return count
    kept = 0
    for t in range(count):
        row = rows[t]
        rows[kept] = row
        kept += np.int64(u16(row - u16(first - low)) < inside)
    return kept


@njit(forceinline=True)
def has_any(values, batch, i):
    """Whether anything in the i-th row of ``values`` is not 0."""
    anything = False
    for b in range(batch):
        anything |= values[i * batch + b] != 0
    return anything


@njit(forceinline=False, _nrt=False)
def count_active(flags, batch, items):
    """Count the items (rows of ``flags``) with any event in the batch."""
    prefer_wide_vectors()
    count = u32(0)
    if batch == 1:
        for i in range(np.uint64(items)):
            count += u32(flags[i] != 0)
        return np.int64(count)
    for i in range(items):
        count += u32(has_any(flags, batch, i))
    return np.int64(count)


@njit
def _any(packed):
    found = np.uint64(0)
    for w in range(SCAN // 8):
        found |= packed[w]
    return found != 0


@njit
def list_active(flags, batch, items, active):
    """List the items (rows of ``flags``) with any event in the batch, ascending.

    One place more than there are is written to.
    """
    count = 0
    if batch == 1:
        blocks = items // SCAN
        for block in range(blocks):
            packed = flags[SCAN * block : SCAN * (block + 1)].view(np.uint64)
            if _any(packed):
                for w in range(SCAN // 8):
                    if packed[w]:
                        first = SCAN * block + 8 * w
                        for i in range(first, first + 8):
                            active[count] = u32(i)
                            count += np.int64(flags[i] != 0)
        for i in range(SCAN * blocks, items):
            active[count] = u32(i)
            count += np.int64(flags[i] != 0)
        return count
    for i in range(items):
        active[count] = u32(i)
        count += np.int64(has_any(flags, batch, i))
    return count
