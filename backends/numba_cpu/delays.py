# SPDX-License-Identifier: Apache-2.0
"""The delays in numba: where a connection's weight goes, by the law's table.

What is computed is defined by ``synjit.reference.delays``. The hash of a row is that of
its weight, under two key words of the column that are the delays' own.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from synjit.reference import delays, threefry

from .draw import LANES
from .intrinsics import (
    arrays_are_distinct,
    entry_at,
    prefer_wide_vectors,
    shift_left,
    shift_right,
)
from .weights import weight_word

u32 = np.uint32

_PAIR = u32(delays.DELAY_PAIR)
_PARITY = u32(threefry.PARITY)
_EVEN, _ODD = threefry.ROTATIONS[:4], threefry.ROTATIONS[4:]


@njit(forceinline=True)
def _four_rounds(x0, x1, rotations):
    for rotation in rotations:
        x0 = u32(x0 + x1)
        x1 = u32(u32(x1 << u32(rotation)) | (x1 >> u32(32 - rotation)))
        x1 = u32(x1 ^ x0)
    return x0, x1


@njit(forceinline=True)
def _threefry2x32(k0, k1, c0, c1):
    """Two words from a key and a counter (20 rounds)."""
    k2 = u32(k0 ^ k1 ^ _PARITY)
    x0, x1 = _four_rounds(u32(c0 + k0), u32(c1 + k1), _EVEN)
    x0, x1 = _four_rounds(u32(x0 + k1), u32(u32(x1 + k2) + u32(1)), _ODD)
    x0, x1 = _four_rounds(u32(x0 + k2), u32(u32(x1 + k0) + u32(2)), _EVEN)
    x0, x1 = _four_rounds(u32(x0 + k0), u32(u32(x1 + k1) + u32(3)), _ODD)
    x0, x1 = _four_rounds(u32(x0 + k1), u32(u32(x1 + k2) + u32(4)), _EVEN)
    return u32(x0 + k2), u32(u32(x1 + k0) + u32(5))


@njit(forceinline=False, _nrt=False)
def make_delay_words(seed, columns, words):
    """Fill ``words``, uint32 (2 * LANES,): the first of all lanes, then the second."""
    prefer_wide_vectors()
    arrays_are_distinct()
    k0, k1 = seed[0], seed[1]
    for lane in range(columns.size):
        first, second = _threefry2x32(k0, k1, columns[lane], _PAIR)
        words[lane] = first
        words[LANES + lane] = second


@njit
def delay_span(table):
    """Number of delays from the shortest to the longest that a table can give."""
    last, longest = u32(table.size - 2), u32(0)
    for own in range(table.size - 1):
        bucket = table[1 + own]
        if bucket > last:
            longest = max(longest, u32(own))
        longest = max(longest, u32(bucket & last))
    return np.int64(longest) + 1


@njit(forceinline=False, _nrt=False)
def place_by_delay(table, words, lane, base, stride, batch, rows, found, cells):
    """Give the cell of each row: ``(delay << stride) + row * batch``.

    Parameters
    ----------
    table : uint32 array
    words : uint32 array
        Of ``make_delay_words``.
    lane, base : int
        Column, and row of the matrix from which rows are counted.
    stride, batch : int
        Every ``row * batch`` is below ``2**stride``.
    rows : uint16 or uint32 array
    found : int
    cells : uint32 array
        Written beyond ``found``, up to a whole vector.
    """
    prefer_wide_vectors()
    arrays_are_distinct()
    each = u32(batch)
    if table.size == 1:
        for t in range((found + LANES - 1) // LANES * LANES):
            cells[t] = u32(u32(rows[t]) * each)
        return
    w0, w1 = words[lane], words[LANES + lane]
    first, up = u32(base), u32(stride)
    last = u32(table.size - 2)
    bits = u32(0)
    while last >> bits:
        bits = u32(bits + u32(1))
    down = u32(u32(32) - bits)
    for t in range((found + LANES - 1) // LANES * LANES):
        row = u32(rows[t])
        word = weight_word(u32(row + first), w0, w1)
        own = shift_right(word, down)
        bucket = entry_at(table, 1, own)
        is_own = u32(shift_left(word, bits) | last) < bucket
        delay = own if is_own else u32(bucket & last)
        cells[t] = u32(shift_left(delay, up) + u32(row * each))
