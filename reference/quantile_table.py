# SPDX-License-Identifier: Apache-2.0
"""From one 32-bit word to a value of any law, in integers, by a table of quantiles.

A word ``h`` is read as a side (its top bit: 0 is the upper) and a tail probability
``p = w / 2**33`` with ``w = 2 * (h mod 2**31) + 1``, so that p lies strictly between
0 and 1/2 and every p has a mirror image. The leading zeros of ``w`` choose the octave,
its next 6 bits the cell, and the bits after them, the fraction, interpolate in it. What
comes out is the integer z, in units of 2**-16. The table is an array of uint32, and its
length says how it is read:

====== ========= ==================================================================
words  form      z
====== ========= ==================================================================
0      constant  0, whatever the word
2048   symmetric a magnitude, whose sign is the side. One word holds a cell: in its
                 upper 21 bits the magnitude at the small-p edge, in quarter units;
                 in its lower 11 bits the fall across the cell, in half units. The
                 fraction has 15 bits.
8192   general   4096 words of bases, the lower side's after the upper side's: the
                 value at the small-p edge in quarter units, an int32; then 4096
                 slopes, the change across the cell in quarter units, below 2**20.
                 The fraction has 12 bits.
====== ========= ==================================================================

Any words are a table: ``look_up`` is arithmetic modulo 2**32, and what wraps, wraps.

``symmetric_word`` and ``general_words`` are the rule by which the cells of a quantile
function are made (``table_builder`` applies it to all of them). The small integers that
are added there centre the truncations of ``look_up``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

UNIT_BITS = 16  # z is an integer in units of 2**-UNIT_BITS
CELL_BITS = 6
OCTAVES = 32
CELLS = OCTAVES << CELL_BITS  # of a side

CONSTANT_WORDS = 0
SYMMETRIC_WORDS = CELLS
GENERAL_WORDS = 4 * CELLS

FRACTION_BITS = 15  # of the symmetric form
SLOPE_BITS = 11
GENERAL_FRACTION_BITS = 12
GENERAL_SLOPE_BITS = 20

JUMP = 8  # times the sag: a cell that changes by less is not a smooth curve

UInt32 = NDArray[np.uint32]


def look_up(table: UInt32, word: ArrayLike) -> NDArray[np.int32]:
    """Map uniform words to values of the table's law.

    Parameters
    ----------
    table : uint32 array of 0, 2048 or 8192 words
    word : uint32 array

    Returns
    -------
    int32 array of the shape of ``word`` (at least one-dimensional)
        z in units of 2**-16.
    """
    word = np.atleast_1d(np.asarray(word, np.uint32))
    if len(table) == CONSTANT_WORDS:
        return np.zeros(word.shape, np.int32)
    if len(table) == SYMMETRIC_WORDS:
        return _symmetric(table, word)
    if len(table) == GENERAL_WORDS:
        return _general(table, word)
    raise ValueError(
        f"a table of quantiles has {CONSTANT_WORDS}, {SYMMETRIC_WORDS} or "
        f"{GENERAL_WORDS} words, and this one has {len(table)}"
    )


def _symmetric(table: UInt32, word: UInt32) -> NDArray[np.int32]:
    cell, fraction = _locate(word, FRACTION_BITS)
    entry = table[cell]
    base = entry >> np.uint32(SLOPE_BITS)
    slope = entry & np.uint32(2**SLOPE_BITS - 1)
    quarters = base - ((slope * fraction) >> np.uint32(FRACTION_BITS - 1))
    magnitude = (quarters >> np.uint32(2)).astype(np.int32)
    return np.where(word >> np.uint32(31), -magnitude, magnitude).astype(np.int32)


def _general(table: UInt32, word: UInt32) -> NDArray[np.int32]:
    cell, fraction = _locate(word, GENERAL_FRACTION_BITS)
    lower = word >> np.uint32(31)
    index = lower * np.uint32(CELLS) + cell
    base, slope = table[index], table[np.uint32(2 * CELLS) + index]
    change = (slope * fraction) >> np.uint32(GENERAL_FRACTION_BITS)
    quarters = np.where(lower, base + change, base - change)
    return quarters.view(np.int32) >> np.int32(2)


def _locate(word: UInt32, fraction_bits: int) -> tuple[UInt32, UInt32]:
    """Cell of a side, counted from octave 0, and the fraction."""
    w = (word << np.uint32(1)) | np.uint32(1)
    octave = leading_zeros(w)
    aligned = w << octave
    cell = (aligned >> np.uint32(31 - CELL_BITS)) & np.uint32(2**CELL_BITS - 1)
    fraction = aligned >> np.uint32(31 - CELL_BITS - fraction_bits)
    fraction = fraction & np.uint32(2**fraction_bits - 1)
    return (octave << np.uint32(CELL_BITS)) | cell, fraction


def leading_zeros(word: UInt32) -> UInt32:
    """Count the zero bits above the highest set bit of each nonzero word."""
    _, bit_length = np.frexp(word.astype(np.float64))
    return (32 - bit_length).astype(np.uint32)


# --- the rule of a cell -----------------------------------------------------------


def symmetric_word(left: Any, middle: Any, right: Any) -> int:
    """Give the word of a cell of the symmetric form.

    Parameters
    ----------
    left, middle, right : real numbers, in units of 2**-16
        Magnitude at the small-p edge, in the middle and at the other edge. Any type
        with exact enough arithmetic; at least 30 digits decide every integer.
    """
    start, end = chord(left, middle, right)
    return (round(start * 4) + 1 << SLOPE_BITS) | round((start - end) * 2)


def general_words(
    left: Any, middle: Any, right: Any, octave: int, upper: bool
) -> tuple[int, int]:
    """Give base and slope of a cell of the general form.

    Parameters
    ----------
    left, middle, right : real numbers, in units of 2**-16
        As in ``symmetric_word``, but values of one side, with their sign.
    octave : int
    upper : bool
        On the upper side values fall as p rises; on the lower they rise.

    Notes
    -----
    The fraction leaves out, on average, half of its last bit where words have more
    bits, and the base makes up for it. Words of the last octaves have no bits for a
    fraction, and the slope there is 0.
    """
    start, end = chord(left, middle, right)
    fall = (start - end) * 4
    spare = 31 - CELL_BITS - octave  # bits of a word after its cell
    slope = round(fall if upper else -fall) if spare > 0 else 0
    lost = fall / 2 ** (GENERAL_FRACTION_BITS + 1)
    if spare <= GENERAL_FRACTION_BITS:
        lost = 0
    return round(start * 4 - lost) + (1 if upper else 2), slope


def chord(left: Any, middle: Any, right: Any) -> tuple[Any, Any]:
    """Give the ends of the line that stands for a cell.

    The chord of a curved cell is off, on average, by two thirds of its distance from
    the curve at mid-cell (the sag; Simpson's rule). The line is moved by that much,
    which leaves the mean of the cell right; but not where a quantile function jumps,
    for it would leave the values on either side.
    """
    sag = ((left + right) / 2 - middle) * 2 / 3
    if abs(sag) * JUMP > abs(left - right):
        return left, right
    return left - sag, right - sag
