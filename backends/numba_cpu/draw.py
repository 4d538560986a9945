# SPDX-License-Identifier: Apache-2.0
"""The draw in numba: keys of LANES chunks at once, and the places of one chunk.

What these functions compute is defined by ``synjit.reference.draw``; how they are
arranged is for speed. Keys are made for LANES (column, chunk) pairs at once, and a
chunk's places in strips, both written as vectors in ``strips``. Other loops have no
branch and no call left in them, so that LLVM turns them into vector instructions. The
weights are in ``weights``.

Numba widens ``uint32 + uint32`` to 64 bits. Every result is therefore cut back with
``u32``, and LLVM narrows the whole chain again.

Chunks of up to 2**16 rows, which is every prob from 2**-10 up, take their places
in 16-bit lanes: twice as many to a vector, at half the cost of a multiplication.
There the k bits of a place sit at the upper end of a word. A product or a sum then
drops what lies above them by itself, and one operation on three operands,
``x ^ (shifted & keep)``, is the rest of a round.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import carray, njit
from numpy.typing import NDArray

from synjit.reference import draw

from . import strips
from .intrinsics import (
    prefer_wide_vectors,
    shift_right,
    stack_words,
)
from .strips import key_strip, place_strip, place_words

u16 = np.uint16
u32 = np.uint32

LANES = strips.LANES
ROUNDS = draw.ROUNDS

# Rows of the key block, an array (KEY_ROWS, LANES) of words: the first word of every
# pair, in the order of the draw, then the second of every pair.
PAIRS = ROUNDS + 2
COUNT = 0  # count word, replaced by the count itself; its second word is not used
MULTIPLIERS = 1
WEIGHT_0 = MULTIPLIERS + ROUNDS
ADDENDS = PAIRS + MULTIPLIERS
WEIGHT_1 = PAIRS + WEIGHT_0
INVERSES = 2 * PAIRS  # of the multipliers; the first is 0 until they are made
PLACES = INVERSES + ROUNDS  # multipliers and addends, as ``place_strip`` reads them
OWN = PLACES + 2 * ROUNDS  # the row that is left out, or NO_ROW
KEY_ROWS = OWN + 1
NO_ROW = u32(0xFFFFFFFF)

MAX_COUNT = 2**draw.MIN_LOG2_CHUNK  # and 2**(LOG2_MEAN + 1) plus its tail is below
PLACE_LANES = 2 * LANES
SHORT_STRIP, LONG_STRIP = 128, 64  # places that are made together
LIST_SIZE = MAX_COUNT + SHORT_STRIP
LIST_WORDS = LIST_SIZE // 2  # of as many 16-bit places
SHORT = 16  # places of this many bits or fewer are computed in 16-bit lanes

_STRIDE = u32(draw.COUNTER_STRIDE)
_WEIGHT_PAIR = u32(draw.WEIGHT_PAIR)  # all ones


class Matrix(NamedTuple):
    """Operands that say which matrix, and what follows from them.

    Attributes
    ----------
    seed, origin, connectivity, table
        Those of the contract; ``table`` is that of the weights.
    n_limits : int
        ``count_limits(connectivity)``
    """

    seed: NDArray[u32]
    origin: NDArray[u32]
    connectivity: NDArray[u32]
    n_limits: int
    table: NDArray[u32]


@njit(forceinline=True)
def _up(log2_chunk):
    """Bits by which a place is shifted up, to the upper end of its word."""
    return u32(u32(SHORT if log2_chunk <= u32(SHORT) else 32) - log2_chunk)


@njit(forceinline=False)
def make_keys(matrix, columns, chunks, keys):
    """Fill the key block for LANES pairs of column and chunk.

    Parameters
    ----------
    matrix : Matrix
    columns, chunks : uint32 arrays (LANES,)
    keys : uint32 array (KEY_ROWS, LANES)
        Filled: counts, weight words, multipliers, addends and OWN of each lane.
    """
    prefer_wide_vectors()
    connectivity = matrix.connectivity
    one_chunk = connectivity[draw.ROWS_WORD] != 0
    stride = u32(0) if one_chunk else _STRIDE
    for pair in range(0, PAIRS, 2):
        ones = _WEIGHT_PAIR if pair + 1 == WEIGHT_0 else u32(0)
        key_strip(matrix.seed, columns, chunks, keys, pair, PAIRS + pair, stride, ones)
    k = connectivity[0]
    both, keep = (u32(16), u32(0xFFFF)) if k <= u32(SHORT) else (u32(0), ~u32(0))
    for r in range(0, ROUNDS, 2):
        place_words(keys, MULTIPLIERS + r, ADDENDS + r, PLACES + r, _up(k), both, keep)
    keys[INVERSES, 0] = u32(0)
    every = connectivity[draw.NO_SELF_WORD] == 0
    for lane in range(LANES):
        keys[OWN, lane] = NO_ROW if every else columns[lane]
    counts = carray(stack_words(LANES), (LANES,))
    for lane in range(LANES):
        counts[lane] = connectivity[1]
    # There are 8 * 28, the last ones padding.
    for t in range(2, 2 + matrix.n_limits, 8):
        for lane in range(LANES):
            word = keys[COUNT, lane]
            below = u32(0)
            for i in range(8):
                below = u32(below + u32(connectivity[t + i] < word))
            counts[lane] = u32(counts[lane] + below)
    for lane in range(LANES):
        keys[COUNT, lane] = counts[lane]


@njit
def _limits_below(connectivity, bound):
    """Number of the limits, which ascend, below a bound."""
    low, high = 0, draw.MAX_LIMITS
    while low < high:
        middle = (low + high) // 2
        if connectivity[2 + middle] < bound:
            low = middle + 1
        else:
            high = middle
    return low


@njit
def count_limits(connectivity):
    """Number of the limits that a count word can exceed; the rest is padding."""
    return _limits_below(connectivity, u32(0xFFFFFFFF))


@njit
def typical_count(connectivity):
    """Median number of connections of a chunk."""
    return np.int64(connectivity[1]) + _limits_below(connectivity, u32(1 << 31))


@njit
def typical_connections(connectivity, rows):
    """Number of connections of a column of so many rows, about."""
    return (typical_count(connectivity) * rows) >> np.int64(connectivity[0])


@njit(forceinline=True)
def invert_keys(keys):
    """Make the inverses of the multipliers modulo 2**32, by Newton's iteration."""
    if keys[INVERSES, 0] != 0:
        return
    for r in range(ROUNDS):
        for lane in range(LANES):
            a = keys[MULTIPLIERS + r, lane]
            x = u32(u32(u32(3) * a) ^ u32(2))  # right in 5 bits, then 10, 20, 40
            x = u32(x * u32(u32(2) - u32(a * x)))
            x = u32(x * u32(u32(2) - u32(a * x)))
            x = u32(x * u32(u32(2) - u32(a * x)))
            keys[INVERSES + r, lane] = x


# --- places -----------------------------------------------------------------------


@njit(forceinline=True)
def half_of(log2_chunk):
    """Bits that the xor-shift of an even round moves; an odd one moves one more."""
    return u32((log2_chunk + u32(1)) >> u32(1))


@njit(forceinline=True)
def mask_of(log2_chunk):
    """The bits of a place."""
    return u32(u32(u32(1) << log2_chunk) - u32(1))


@njit(forceinline=True)
def _keep(log2_chunk):
    """The bits of a 16-bit place that sits at the upper end of its word."""
    return u16(u32(0xFFFF) << u32(u32(16) - log2_chunk))


@njit(forceinline=True)
def words_of(keys, row, lane):
    """One lane's key words of all ROUNDS = 10 rounds."""
    return (
        (keys[row, lane], keys[row + 1, lane], keys[row + 2, lane])
        + (keys[row + 3, lane], keys[row + 4, lane], keys[row + 5, lane])
        + (keys[row + 6, lane], keys[row + 7, lane], keys[row + 8, lane])
        + (keys[row + 9, lane],)
    )


@njit(forceinline=True)
def _short_words(keys, row, lane, up):
    """The same for 16-bit lanes, shifted up."""
    w = words_of(keys, row, lane)
    return (u16(w[0] << up), u16(w[1] << up), u16(w[2] << up), u16(w[3] << up)) + (
        u16(w[4] << up),
        u16(w[5] << up),
        u16(w[6] << up),
        u16(w[7] << up),
        u16(w[8] << up),
        u16(w[9] << up),
    )


@njit(forceinline=True)
def list_short(keys, lane, start, log2_chunk, rows):
    """List a chunk of at most 2**16 rows as 16-bit numbers, the first row ``start``."""
    count = np.int64(keys[COUNT, lane])
    half, up = u16(half_of(log2_chunk)), u16(_up(log2_chunk))
    for t in range(0, count, SHORT_STRIP):
        place_strip(keys, PLACES, lane, half, up, start, rows, t, SHORT_STRIP)
    return count


@njit(forceinline=False)
def list_places(keys, lane, chunk, log2_chunk, rows):
    """List the rows of all connections of one chunk; returns their number.

    ``rows`` is filled beyond that number, up to whole strips, with what belongs to
    no connection.
    """
    prefer_wide_vectors()
    start = u32(chunk << log2_chunk)
    count = np.int64(keys[COUNT, lane])
    if log2_chunk <= u32(SHORT):
        places = carray(stack_words(LIST_WORDS), (LIST_WORDS,)).view(u16)
        list_short(keys, lane, u16(0), log2_chunk, places)
        for t in range((count + LANES - 1) // LANES * LANES):
            rows[t] = u32(start + u32(places[t]))
        return count
    half, up = half_of(log2_chunk), _up(log2_chunk)
    for t in range(0, count, LONG_STRIP):
        place_strip(keys, PLACES, lane, half, up, start, rows, t, LONG_STRIP)
    return count


@njit(forceinline=False)
def probe_places(keys, lane, log2_chunk, candidates, n_candidates, rows):
    """List those of the candidate rows, all of one chunk, that are connected.

    ``candidates`` holds absolute rows and is read up to a whole vector beyond
    ``n_candidates``; ``rows`` may be as short as ``list_places`` needs it.
    """
    prefer_wide_vectors()
    invert_keys(keys)
    bound = keys[COUNT, lane]
    half = half_of(log2_chunk)
    found = 0
    if log2_chunk <= u32(SHORT):
        up = u32(u32(SHORT) - log2_chunk)
        keep = _keep(log2_chunk)
        c = _short_words(keys, INVERSES, lane, u32(0))
        b = _short_words(keys, ADDENDS, lane, up)
        places = carray(stack_words(LANES), (LANES,)).view(u16)
        for first in range(0, n_candidates, PLACE_LANES):
            for t in range(PLACE_LANES):
                x = u16(candidates[first + t] << up)
                for i in range(ROUNDS):
                    r = ROUNDS - 1 - i
                    shifted = shift_right(x, u16(half + u32(r & 1)))
                    x = u16(x ^ u16(shifted & keep))
                    x = u16(u16(x - b[r]) * c[r])
                places[t] = x
            for t in range(min(PLACE_LANES, n_candidates - first)):
                rows[found] = candidates[first + t]
                found += np.int64((u32(places[t]) >> up) < bound)
        return found
    mask = mask_of(log2_chunk)
    c = words_of(keys, INVERSES, lane)
    b = words_of(keys, ADDENDS, lane)
    offsets = carray(stack_words(LANES), (LANES,))
    for first in range(0, n_candidates, LANES):
        for t in range(LANES):
            x = u32(candidates[first + t] & mask)
            for i in range(ROUNDS):
                r = ROUNDS - 1 - i
                x = inverse_round(x, b[r], c[r], u32(half + u32(r & 1)), mask)
            offsets[t] = x
        for t in range(min(LANES, n_candidates - first)):
            rows[found] = candidates[first + t]
            found += np.int64(offsets[t] < bound)
    return found


@njit(forceinline=False)
def probe_rows(keys, log2_chunk, rows, connected):
    """Ask of four rows which lanes' columns they are connected to.

    The inverses must have been made. ``connected``, uint8 (4 * LANES,), is filled
    with zeros and ones, row after row. Four at once, for a row alone would wait for
    one multiplication after the other.
    """
    prefer_wide_vectors()
    mask = mask_of(log2_chunk)
    half = half_of(log2_chunk)
    r0, r1, r2, r3 = rows
    for lane in range(LANES):
        x0, x1, x2, x3 = u32(r0 & mask), u32(r1 & mask), u32(r2 & mask), u32(r3 & mask)
        for i in range(ROUNDS):
            r = ROUNDS - 1 - i
            shift = u32(half + u32(r & 1))
            b, c = keys[ADDENDS + r, lane], keys[INVERSES + r, lane]
            x0 = inverse_round(x0, b, c, shift, mask)
            x1 = inverse_round(x1, b, c, shift, mask)
            x2 = inverse_round(x2, b, c, shift, mask)
            x3 = inverse_round(x3, b, c, shift, mask)
        bound = keys[COUNT, lane]
        connected[lane] = np.uint8(x0 < bound)
        connected[LANES + lane] = np.uint8(x1 < bound)
        connected[2 * LANES + lane] = np.uint8(x2 < bound)
        connected[3 * LANES + lane] = np.uint8(x3 < bound)


@njit(forceinline=True)
def inverse_round(x, b, c, shift, mask):
    """Undo a round of the bijection, with the inverse of its multiplier."""
    x = u32(x ^ shift_right(x, shift))
    return u32(u32(u32(x - b) * c) & mask)
