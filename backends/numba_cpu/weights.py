# SPDX-License-Identifier: Apache-2.0
"""The weights in numba: z of the connections of one chunk, by the law's table.

The hash of a row is defined by ``synjit.reference.draw``, what a table makes of it by
``synjit.reference.quantile_table``. A table is an operand, and its length says how it
is read: each form has a loop of its own. The hash has one before it: to multiply and to
gather in the same loop takes longer.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from synjit.reference import draw
from synjit.reference.quantile_table import (
    CELL_BITS,
    CELLS,
    CONSTANT_WORDS,
    FRACTION_BITS,
    GENERAL_FRACTION_BITS,
    GENERAL_WORDS,
    SLOPE_BITS,
    SYMMETRIC_WORDS,
)

from .draw import LANES, WEIGHT_0, WEIGHT_1
from .intrinsics import (
    arrays_are_distinct,
    entry_at,
    leading_zeros,
    prefer_wide_vectors,
)

u32 = np.uint32

# Rows of a list of pairs: the row's number, the column's key words and number.
PAIR_ROW, PAIR_WEIGHT_0, PAIR_WEIGHT_1, PAIR_COLUMN = range(4)

_S0, _S1, _S2, _S3 = map(u32, draw.WEIGHT_SHIFTS)
_M0, _M1, _M2 = map(u32, draw.WEIGHT_MULTIPLIERS)


@njit(forceinline=True)
def weight_word(row, w0, w1):
    """Hash a row under its column's two words."""
    x = u32(row ^ w0)
    x = u32(u32(x ^ (x >> _S0)) * _M0)
    x = u32(u32(u32(x ^ (x >> _S1)) + w1) * _M1)
    x = u32(u32(x ^ (x >> _S2)) * _M2)
    return u32(x ^ (x >> _S3))


@njit(forceinline=True)
def _locate(word, fraction_bits):
    """Cell of a side, from octave 0 on, and the fraction."""
    w = u32(u32(word << u32(1)) | u32(1))
    octave = leading_zeros(w)
    aligned = u32(w << octave)
    cell = u32(u32(aligned >> u32(31 - CELL_BITS)) & u32((1 << CELL_BITS) - 1))
    fraction = u32(aligned >> u32(31 - CELL_BITS - fraction_bits))
    fraction = u32(fraction & u32((1 << fraction_bits) - 1))
    return u32(u32(octave << u32(CELL_BITS)) | cell), fraction


@njit(forceinline=True)
def _lower(word):
    """All ones on the lower side, where a word's top bit is set, and 0 on the upper."""
    return np.int32(np.int32(word) >> np.int32(31))


@njit(forceinline=True)
def look_up_symmetric(table, word):
    """Give z of a word by a table of SYMMETRIC_WORDS."""
    cell, fraction = _locate(word, FRACTION_BITS)
    entry = entry_at(table, 0, cell)
    slope = u32(entry & u32((1 << SLOPE_BITS) - 1))
    fall = u32(u32(slope * fraction) >> u32(FRACTION_BITS - 1))
    magnitude = np.int32(u32(u32(entry >> u32(SLOPE_BITS)) - fall) >> u32(2))
    lower = _lower(word)
    return np.int32(np.int32(magnitude ^ lower) - lower)


@njit(forceinline=True)
def look_up_general(table, word):
    """Give z of a word by a table of GENERAL_WORDS."""
    cell, fraction = _locate(word, GENERAL_FRACTION_BITS)
    lower = u32(_lower(word))
    at = u32(cell | u32(lower & u32(CELLS)))
    base, slope = entry_at(table, 0, at), entry_at(table, 2 * CELLS, at)
    fall = u32(u32(slope * fraction) >> u32(GENERAL_FRACTION_BITS))
    fall = u32(u32(fall ^ lower) - lower)  # negated on the lower side, which rises
    quarters = np.int32(u32(base - fall))
    return np.int32(quarters >> np.int32(2))


@njit(forceinline=True)
def _whole(found):
    """Round up to whole vectors: LLVM sees that no loop has a rest."""
    return (found + LANES - 1) // LANES * LANES


# With numba's run time (nrt), references to the arrays would be counted here: it is for
# functions that make arrays, and takes as long as fifty weights.


@njit(forceinline=False, _nrt=False)
def _look_up(table, found, z):
    """Put z in the place of each word."""
    prefer_wide_vectors()
    arrays_are_distinct()
    if table.size == SYMMETRIC_WORDS:
        for t in range(_whole(found)):
            z[t] = look_up_symmetric(table, u32(z[t]))
    elif table.size == GENERAL_WORDS:
        for t in range(_whole(found)):
            z[t] = look_up_general(table, u32(z[t]))
    else:
        for t in range(_whole(found)):
            z[t] = 0


@njit(forceinline=False, _nrt=False)
def weigh(table, keys, lane, base, rows, found, z):
    """Give z of the first ``found`` rows, counted from ``base``, of a lane's column."""
    prefer_wide_vectors()
    arrays_are_distinct()
    w0, w1 = keys[WEIGHT_0, lane], keys[WEIGHT_1, lane]
    first = u32(base)
    if table.size != CONSTANT_WORDS:
        for t in range(_whole(found)):
            z[t] = np.int32(weight_word(u32(u32(rows[t]) + first), w0, w1))
    _look_up(table, found, z)


@njit(forceinline=False, _nrt=False)
def weigh_pairs(table, pairs, found, z):
    """Give z of pairs of a row and a column; see PAIR_ROW for what ``pairs`` holds."""
    prefer_wide_vectors()
    arrays_are_distinct()
    if table.size != CONSTANT_WORDS:
        for t in range(_whole(found)):
            w0, w1 = pairs[PAIR_WEIGHT_0, t], pairs[PAIR_WEIGHT_1, t]
            z[t] = np.int32(weight_word(pairs[PAIR_ROW, t], w0, w1))
    _look_up(table, found, z)
