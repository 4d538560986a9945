# SPDX-License-Identifier: Apache-2.0
"""A fixed out-degree: which rows the k connections of a column have.

The whole column is one chunk. It is cut into segments of SEGMENT connections, or of as
many rows of the window, where these are fewer and are probed: a segment takes the place
that a chunk has for other rules. What leads outside of the allowed rows is put together
in a list, which takes another step, until the list is empty.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from synjit.reference.draw import ROWS_WORD

from .draw import (
    ADDENDS,
    COUNT,
    INVERSES,
    LANES,
    LIST_SIZE,
    MAX_COUNT,
    MULTIPLIERS,
    OWN,
    ROUNDS,
    half_of,
    inverse_round,
    invert_keys,
    mask_of,
    words_of,
)
from .intrinsics import (
    arrays_are_distinct,
    prefer_wide_vectors,
    shift_right,
    stack_words,
)

u32 = np.uint32

SEGMENT = MAX_COUNT


@njit(forceinline=True)
def is_fixed(connectivity):
    """Whether the rule is that of a fixed out-degree."""
    return connectivity[ROWS_WORD] != u32(0)


@njit(forceinline=True)
def segments(connectivity, rows):
    """Segments of a column in a window of so many rows; of another rule, 1."""
    if not is_fixed(connectivity):
        return 1
    return max(1, -(-min(np.int64(connectivity[1]), rows) // SEGMENT))


@njit
def segment_connections(connectivity, keys, lane, segment, low, high, rows):
    """List a segment's connections in the rows low .. high - 1; returns their number.

    ``rows`` may be as short as ``draw.list_places`` needs it.
    """
    k, first = np.int64(connectivity[1]), np.int64(segment) * SEGMENT
    if high - low < k:
        begin = low + first
        count = min(np.int64(SEGMENT), high - begin)
        return _probe_segment(connectivity, keys, lane, begin, count, rows)
    count = min(np.int64(SEGMENT), k - first)
    _list_segment(connectivity, keys, lane, first, count, rows)
    if low == 0 and high == np.int64(connectivity[ROWS_WORD]):
        return count
    kept = 0
    for t in range(count):
        row = rows[t]
        rows[kept] = row
        kept += np.int64((np.int64(row) >= low) & (np.int64(row) < high))
    return kept


@njit
def _list_segment(connectivity, keys, lane, first, count, rows):
    """List the rows of connections first .. first + count - 1, in any order."""
    n, own = connectivity[ROWS_WORD], keys[OWN, lane]
    walking = carray(stack_words(LIST_SIZE), (LIST_SIZE,))
    for t in range(count):
        s = u32(first + t)
        walking[t] = u32(s + u32(s >= own))
    left, done = count, 0
    while left > 0:
        _step(keys, lane, connectivity[0], left, walking)
        still = 0
        for t in range(left):
            x = walking[t]
            inside = np.int64((x < n) & (x != own))
            rows[done] = x
            done += inside
            walking[still] = x
            still += 1 - inside
        left = still


@njit
def _probe_segment(connectivity, keys, lane, begin, count, rows):
    """List those of the rows begin .. begin + count - 1 that are connected."""
    invert_keys(keys)
    n, own, bound = connectivity[ROWS_WORD], keys[OWN, lane], keys[COUNT, lane]
    walking = carray(stack_words(LIST_SIZE), (LIST_SIZE,))
    asked = carray(stack_words(LIST_SIZE), (LIST_SIZE,))
    left = found = 0
    for t in range(count):
        row = u32(begin + t)
        walking[left] = row
        asked[left] = row
        left += np.int64((row < n) & (row != own))
    while left > 0:
        _step_back(keys, lane, connectivity[0], left, walking)
        still = 0
        for t in range(left):
            x, row = walking[t], asked[t]
            inside = np.int64((x < n) & (x != own))
            rows[found] = row
            found += inside & np.int64(u32(x - u32(x > own)) < bound)
            walking[still] = x
            asked[still] = row
            still += 1 - inside
        left = still
    return found


@njit(forceinline=False, _nrt=False)
def _step(keys, lane, log2_chunk, count, numbers):
    """Put P(x) in the place of each number x."""
    prefer_wide_vectors()
    half, mask = half_of(log2_chunk), mask_of(log2_chunk)
    a = words_of(keys, MULTIPLIERS, lane)
    b = words_of(keys, ADDENDS, lane)
    for t in range((count + LANES - 1) // LANES * LANES):
        x = numbers[t]
        for r in range(ROUNDS):
            x = u32(u32(u32(x * a[r]) + b[r]) & mask)
            x = u32(x ^ shift_right(x, u32(half + u32(r & 1))))
        numbers[t] = x


@njit(forceinline=False, _nrt=False)
def _step_back(keys, lane, log2_chunk, count, numbers):
    """Put P^-1(x) in the place of each number x."""
    prefer_wide_vectors()
    half, mask = half_of(log2_chunk), mask_of(log2_chunk)
    c = words_of(keys, INVERSES, lane)
    b = words_of(keys, ADDENDS, lane)
    for t in range((count + LANES - 1) // LANES * LANES):
        x = numbers[t]
        for i in range(ROUNDS):
            r = ROUNDS - 1 - i
            x = inverse_round(x, b[r], c[r], u32(half + u32(r & 1)), mask)
        numbers[t] = x


@njit
def probe_rows_of_columns(connectivity, keys, rows, connected):
    """Ask of four rows which lanes' columns they are connected to.

    As ``draw.probe_rows``.
    """
    walking = carray(stack_words(LANES), (LANES,))
    begun = carray(stack_words(LANES), (LANES,))
    going = carray(stack_words(LANES), (LANES,))
    n, log2_chunk = connectivity[ROWS_WORD], connectivity[0]
    for i in range(4):
        _begin(keys, n, rows[i], walking, begun, going)
        while _step_back_all(keys, log2_chunk, n, walking, going) != 0:
            pass
        _compare(keys, walking, begun, connected[i * LANES : (i + 1) * LANES])


@njit(forceinline=False, _nrt=False)
def _begin(keys, n, row, walking, begun, going):
    """Begin at a row in all columns, a column to a lane, that it is allowed in."""
    prefer_wide_vectors()
    arrays_are_distinct()
    for lane in range(LANES):
        allowed = u32((row < n) & (row != keys[OWN, lane]))
        walking[lane] = row
        begun[lane] = allowed
        going[lane] = allowed


@njit(forceinline=False, _nrt=False)
def _step_back_all(keys, log2_chunk, n, walking, going):
    """Put P^-1(x) in the place of each number that still goes; 0 if none does then."""
    prefer_wide_vectors()
    arrays_are_distinct()
    half, mask = half_of(log2_chunk), mask_of(log2_chunk)
    left = u32(0)
    for lane in range(LANES):
        x = walking[lane]
        for i in range(ROUNDS):
            r = ROUNDS - 1 - i
            shift = u32(half + u32(r & 1))
            b, c = keys[ADDENDS + r, lane], keys[INVERSES + r, lane]
            x = inverse_round(x, b, c, shift, mask)
        goes = going[lane]
        moved = u32(u32(0) - goes)  # all ones, or none
        walking[lane] = u32(u32(x & moved) | u32(walking[lane] & u32(~moved)))
        outside = u32((x >= n) | (x == keys[OWN, lane]))
        going[lane] = u32(goes & outside)
        left = u32(left | u32(goes & outside))
    return left


@njit(forceinline=False, _nrt=False)
def _compare(keys, walking, begun, connected):
    """Write which of the numbers walked to are those of connections."""
    prefer_wide_vectors()
    arrays_are_distinct()
    for lane in range(LANES):
        x = walking[lane]
        number = u32(x - u32(x > keys[OWN, lane]))
        connected[lane] = np.uint8(begun[lane] & u32(number < keys[COUNT, lane]))
