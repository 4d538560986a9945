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
    GENERAL_SLOPE_BITS,
    GENERAL_WORDS,
    SLOPE_BITS,
    SYMMETRIC_WORDS,
)

from .draw import LANES, LIST_SIZE, WEIGHT_0, WEIGHT_1
from .intrinsics import (
    arrays_are_distinct,
    bits_of_half_above,
    entry_at,
    prefer_wide_vectors,
    stack_words,
)

u32 = np.uint32

# Connections are held back until there are more than this, and added in one loop:
# how each loop ends is a branch that the processor guesses wrong.
HOLD = 512
HELD = HOLD + LIST_SIZE
# Rows of a list of pairs: the row's number, the column's key words and number.
PAIR_ROW, PAIR_WEIGHT_0, PAIR_WEIGHT_1, PAIR_COLUMN = range(4)

MANTISSA_BITS = 23
_SIDE, _BELOW_SIDE = u32(1 << 31), u32((1 << 31) - 1)
# Of 1/2, the float of octave 31, the exponent and as many bits as a cell has.
_LAST_OCTAVE = u32(126 << CELL_BITS)

_SLOPE, _LAST_FRACTION = u32((1 << SLOPE_BITS) - 1), u32((1 << FRACTION_BITS) - 1)

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
def _locate(word):
    """Turn a word into a float's bits, which have the octave, cell and fraction.

    With v for the word without its top bit, the float is v + 1/2: its exponent says the
    octave, its mantissa begins with the cell and the fraction, and its sign is the top
    bit. A float has 24 bits and v up to 31; to clear the 24th, from v >> 23, keeps the
    rounding from the bits above it. No CPU without AVX-512 counts zeros in vectors.
    """
    v = u32(word & _BELOW_SIDE)
    v = u32(v & u32(~u32(v >> u32(23))))
    return u32(bits_of_half_above(v) | u32(word & _SIDE))


@njit(forceinline=True)
def _cell(bits, sided):
    """Cell of a side, from octave 0 on; with ``sided`` CELLS, of both sides."""
    cell = u32(u32(bits & _BELOW_SIDE) >> u32(MANTISSA_BITS - CELL_BITS))
    cell = u32(u32(cell - _LAST_OCTAVE) ^ u32(CELLS - (1 << CELL_BITS)))
    return u32(cell | u32(u32(_lower(bits)) & sided))


@njit(forceinline=True)
def _fraction(bits, fraction_bits):
    fraction = u32(bits >> u32(MANTISSA_BITS - CELL_BITS - fraction_bits))
    return u32(fraction & u32((1 << fraction_bits) - 1))


@njit(forceinline=True)
def _lower(word):
    """All ones on the lower side, where a word's top bit is set, and 0 on the upper."""
    return np.int32(np.int32(word) >> np.int32(31))


@njit(forceinline=True)
def _look_up_symmetric(table, cell, bits):
    """Give z by a table of SYMMETRIC_WORDS."""
    entry = entry_at(table, 0, cell)
    slope = u32(entry & _SLOPE)
    fraction = _fraction(bits, FRACTION_BITS)
    fall = u32(u32(slope * fraction) >> u32(FRACTION_BITS - 1))
    magnitude = np.int32(u32(u32(entry >> u32(SLOPE_BITS)) - fall) >> u32(2))
    lower = _lower(bits)
    return np.int32(np.int32(magnitude ^ lower) - lower)


@njit(forceinline=True)
def _look_up_general(table, cell, bits):
    """Give z by a table of GENERAL_WORDS."""
    base, slope = entry_at(table, 0, cell), entry_at(table, 2 * CELLS, cell)
    fraction = _fraction(bits, GENERAL_FRACTION_BITS)
    fall = u32(u32(slope * fraction) >> u32(GENERAL_FRACTION_BITS))
    lower = u32(_lower(bits))
    fall = u32(u32(fall ^ lower) - lower)  # negated on the lower side, which rises
    quarters = np.int32(u32(base - fall))
    return np.int32(quarters >> np.int32(2))


@njit(forceinline=True)
def look_up_symmetric(table, word):
    """Give z of a word by a table of SYMMETRIC_WORDS."""
    bits = _locate(word)
    return _look_up_symmetric(table, _cell(bits, u32(0)), bits)


@njit(forceinline=False, _nrt=False)
def largest(table):
    """Bound the magnitude of every z that a table of any words can give."""
    prefer_wide_vectors()
    most = u32(0)
    if table.size == SYMMETRIC_WORDS:
        for i in range(SYMMETRIC_WORDS):
            base, slope = u32(table[i] >> u32(SLOPE_BITS)), table[i] & _SLOPE
            fall = u32(u32(slope * _LAST_FRACTION) >> u32(FRACTION_BITS - 1))
            most = max(most, base if base >= fall else u32(0xFFFFFFFF))
    elif table.size == GENERAL_WORDS:
        for i in range(2 * CELLS):
            lower = u32(_lower(table[i]))
            most = max(most, u32(u32(table[i] ^ lower) - lower))
        most = u32(most + u32(1 << GENERAL_SLOPE_BITS))
    return u32(u32(most >> u32(2)) + u32(1))


@njit(forceinline=True)
def _whole(found):
    """Round up to whole vectors: LLVM sees that no loop has a rest."""
    return (found + LANES - 1) // LANES * LANES


# With numba's run time (nrt), references to the arrays would be counted here: it is for
# functions that make arrays, and takes as long as fifty weights.


@njit(forceinline=False, _nrt=False)
def _look_up(table, cells, found, z):
    """Put z in the place of the bits of ``_locate``, whose cells are given."""
    prefer_wide_vectors()
    arrays_are_distinct()
    if table.size == SYMMETRIC_WORDS:
        for t in range(_whole(found)):
            z[t] = _look_up_symmetric(table, cells[t], u32(z[t]))
    elif table.size == GENERAL_WORDS:
        for t in range(_whole(found)):
            z[t] = _look_up_general(table, cells[t], u32(z[t]))
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
    cells = stack_words(HELD)
    if table.size != CONSTANT_WORDS:
        sided = u32(CELLS) if table.size == GENERAL_WORDS else u32(0)
        for t in range(_whole(found)):
            bits = _locate(weight_word(u32(u32(rows[t]) + first), w0, w1))
            z[t] = np.int32(bits)
            cells[t] = _cell(bits, sided)
    _look_up(table, cells, found, z)


@njit(forceinline=False, _nrt=False)
def weigh_pairs(table, pairs, found, z):
    """Give z of pairs of a row and a column; see PAIR_ROW for what ``pairs`` holds."""
    prefer_wide_vectors()
    arrays_are_distinct()
    cells = stack_words(HELD)
    if table.size != CONSTANT_WORDS:
        sided = u32(CELLS) if table.size == GENERAL_WORDS else u32(0)
        for t in range(_whole(found)):
            w0, w1 = pairs[PAIR_WEIGHT_0, t], pairs[PAIR_WEIGHT_1, t]
            bits = _locate(weight_word(pairs[PAIR_ROW, t], w0, w1))
            z[t] = np.int32(bits)
            cells[t] = _cell(bits, sided)
    _look_up(table, cells, found, z)
