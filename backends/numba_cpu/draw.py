# SPDX-License-Identifier: Apache-2.0
"""The draw in numba: keys of LANES chunks at once, places and weights of one chunk.

What these functions compute is defined by ``synjit.reference.draw``; how they are
arranged is for speed. Keys are made for LANES (column, chunk) pairs in one loop over
lanes, and a chunk's connections in one loop over connections: both loops have no
branch and no call left in them, so that LLVM turns them into vector instructions.

Numba widens ``uint32 + uint32`` to 64 bits. Every result is therefore cut back with
``u32``, and LLVM narrows the whole chain again.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from synjit.reference import draw, normal, threefry

from .intrinsics import leading_zeros, prefer_wide_vectors, shift_right, stack_words

u32 = np.uint32

LANES = 16
ROUNDS = draw.ROUNDS

# Rows of the key block, an array (KEY_ROWS, LANES) of words.
COUNT = 0  # count word, replaced by the count itself
WEIGHT_0 = 1
WEIGHT_1 = 2
MULTIPLIERS = 3
ADDENDS = MULTIPLIERS + ROUNDS
KEY_ROWS = ADDENDS + ROUNDS

MAX_COUNT = 2**draw.MIN_LOG2_CHUNK  # and 2**(LOG2_MEAN + 1) plus its tail is below
LIST_SIZE = MAX_COUNT + LANES

_TABLE = np.array(normal.TABLE)
_PARITY = u32(threefry.PARITY)
_STRIDE = u32(draw.COUNTER_STRIDE)
_WEIGHT_PAIR = u32(draw.WEIGHT_PAIR)


@njit(forceinline=True)
def _four_rounds(x0, x1, r0, r1, r2, r3):
    for rotation in (r0, r1, r2, r3):
        x0 = u32(x0 + x1)
        x1 = u32(u32(x1 << u32(rotation)) | (x1 >> u32(32 - rotation)))
        x1 = u32(x1 ^ x0)
    return x0, x1


@njit(forceinline=True)
def threefry2x32(k0, k1, c0, c1):
    """Two words from a key and a counter (20 rounds)."""
    k2 = u32(k0 ^ k1 ^ _PARITY)
    x0 = u32(c0 + k0)
    x1 = u32(c1 + k1)
    x0, x1 = _four_rounds(x0, x1, 13, 15, 26, 6)
    x0, x1 = u32(x0 + k1), u32(u32(x1 + k2) + u32(1))
    x0, x1 = _four_rounds(x0, x1, 17, 29, 16, 24)
    x0, x1 = u32(x0 + k2), u32(u32(x1 + k0) + u32(2))
    x0, x1 = _four_rounds(x0, x1, 13, 15, 26, 6)
    x0, x1 = u32(x0 + k0), u32(u32(x1 + k1) + u32(3))
    x0, x1 = _four_rounds(x0, x1, 17, 29, 16, 24)
    x0, x1 = u32(x0 + k1), u32(u32(x1 + k2) + u32(4))
    x0, x1 = _four_rounds(x0, x1, 13, 15, 26, 6)
    return u32(x0 + k2), u32(u32(x1 + k0) + u32(5))


@njit(forceinline=True)
def make_keys(seed, law, columns, chunks, keys):
    """Fill the key block for LANES pairs of column and chunk.

    Parameters
    ----------
    seed, law : uint32 arrays, (2,) and (LAW_WORDS,)
    columns, chunks : uint32 arrays (LANES,)
    keys : uint32 array (KEY_ROWS, LANES)
        Filled: counts, weight words, multipliers and addends of each lane.
    """
    k0, k1 = seed[0], seed[1]
    for lane in range(LANES):
        column = columns[lane]
        word, _ = threefry2x32(k0, k1, column, u32(chunks[lane] * _STRIDE))
        keys[COUNT, lane] = word
    for lane in range(LANES):
        w0, w1 = threefry2x32(k0, k1, columns[lane], _WEIGHT_PAIR)
        keys[WEIGHT_0, lane] = w0
        keys[WEIGHT_1, lane] = w1
    for r in range(ROUNDS):
        for lane in range(LANES):
            pair = u32(u32(chunks[lane] * _STRIDE) + u32(r + 1))
            a, b = threefry2x32(k0, k1, columns[lane], pair)
            keys[MULTIPLIERS + r, lane] = a | u32(1)
            keys[ADDENDS + r, lane] = b
    base = law[1]
    for lane in range(LANES):
        word = keys[COUNT, lane]
        below = u32(0)
        for t in range(2, draw.LAW_WORDS):
            below = u32(below + u32(law[t] < word))
        keys[COUNT, lane] = u32(base + below)


@njit(forceinline=True)
def weight(row, w0, w1, table):
    """Z of a row under its column's two words."""
    x = u32(row ^ w0)
    x = u32(x ^ (x >> u32(17)))
    x = u32(x * u32(0xED5AD4BB))
    x = u32(x ^ (x >> u32(11)))
    x = u32(u32(x + w1) * u32(0xAC4C1B51))
    x = u32(x ^ (x >> u32(15)))
    x = u32(x * u32(0x31848BAB))
    x = u32(x ^ (x >> u32(14)))
    w = u32(u32(x << u32(1)) | u32(1))
    octave = leading_zeros(w)
    aligned = u32(w << octave)
    cell = u32(aligned >> u32(25)) & u32(63)
    fraction = u32(aligned >> u32(10)) & u32(0x7FFF)
    entry = table[u32(u32(octave << u32(6)) | cell)]
    fall = u32(u32(u32(entry & u32(0x7FF)) * fraction) >> u32(14))
    magnitude = np.int32(u32(u32(entry >> u32(11)) - fall) >> u32(2))
    sign = np.int32(x) >> np.int32(31)
    return np.int32(np.int32(magnitude ^ sign) - sign)


@njit(forceinline=True)
def _round(x, a, b, shift, mask):
    x = u32(u32(x * a) + b) & mask
    return u32(x ^ shift_right(x, shift))


@njit(forceinline=True)
def _inverse_round(x, a_inverse, b, shift, mask):
    x = u32(x ^ shift_right(x, shift))
    return u32(u32(x - b) * a_inverse) & mask


@njit(forceinline=True)
def _inverse_mod_2_32(a):
    x = a
    x = u32(x * u32(u32(2) - u32(a * x)))
    x = u32(x * u32(u32(2) - u32(a * x)))
    x = u32(x * u32(u32(2) - u32(a * x)))
    return u32(x * u32(u32(2) - u32(a * x)))


@njit(forceinline=True)
def _round_keys(keys, lane):
    """Load a lane's multipliers and addends, as two tuples of ROUNDS = 8."""
    return (
        (keys[3, lane], keys[4, lane], keys[5, lane], keys[6, lane])
        + (keys[7, lane], keys[8, lane], keys[9, lane], keys[10, lane]),
        (keys[11, lane], keys[12, lane], keys[13, lane], keys[14, lane])
        + (keys[15, lane], keys[16, lane], keys[17, lane], keys[18, lane]),
    )


@njit
def list_places(keys, lane, chunk, log2_chunk, rows, z):
    """List all connections of one chunk; returns their number.

    ``rows`` (absolute) and ``z`` are filled beyond that number, up to a whole
    vector, with what belongs to no connection.
    """
    prefer_wide_vectors()
    mask = u32(u32(u32(1) << log2_chunk) - u32(1))
    half = u32((log2_chunk + u32(1)) >> u32(1))
    start = u32(chunk << log2_chunk)
    count = np.int64(keys[COUNT, lane])
    a, b = _round_keys(keys, lane)
    w0, w1 = keys[WEIGHT_0, lane], keys[WEIGHT_1, lane]
    table = _TABLE
    for t in range((count + LANES - 1) // LANES * LANES):
        x = u32(t)
        for r in range(ROUNDS):
            x = _round(x, a[r], b[r], u32(half + u32(r & 1)), mask)
        row = u32(start + x)
        rows[t] = row
        z[t] = weight(row, w0, w1, table)
    return count


@njit
def probe_places(keys, lane, log2_chunk, candidates, n_candidates, rows, z):
    """List those of the candidate rows, all of one chunk, that are connected.

    ``candidates`` holds absolute rows and is read up to a whole vector beyond
    ``n_candidates``; ``rows`` may be as short as ``list_places`` needs it.
    """
    prefer_wide_vectors()
    mask = u32(u32(u32(1) << log2_chunk) - u32(1))
    half = u32((log2_chunk + u32(1)) >> u32(1))
    bound = keys[COUNT, lane]
    a, b = _round_keys(keys, lane)
    c = (
        (_inverse_mod_2_32(a[0]), _inverse_mod_2_32(a[1]), _inverse_mod_2_32(a[2]))
        + (_inverse_mod_2_32(a[3]), _inverse_mod_2_32(a[4]), _inverse_mod_2_32(a[5]))
        + (_inverse_mod_2_32(a[6]), _inverse_mod_2_32(a[7]))
    )
    places = carray(stack_words(LANES), (LANES,))
    found = 0
    for first in range(0, n_candidates, LANES):
        for t in range(LANES):
            x = candidates[first + t] & mask
            for r in range(ROUNDS):
                i = ROUNDS - 1 - r
                x = _inverse_round(x, c[i], b[i], u32(half + u32(i & 1)), mask)
            places[t] = x
        for t in range(min(LANES, n_candidates - first)):
            rows[found] = candidates[first + t]
            found += np.int64(places[t] < bound)
    w0, w1 = keys[WEIGHT_0, lane], keys[WEIGHT_1, lane]
    table = _TABLE
    for t in range(found):
        z[t] = weight(rows[t], w0, w1, table)
    return found
