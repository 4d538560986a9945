# SPDX-License-Identifier: Apache-2.0
"""The standard normal from one 32-bit word, in integers.

A word ``h`` is read as a sign (its top bit) and a tail probability
``p = w / 2**33`` with ``w = 2 * (h mod 2**31) + 1``, so that p lies strictly
between 0 and 1/2 and every p has a mirror image: the mean is exactly 0.

The magnitude ``z = -Phi^-1(p)``, in units of 2**-16, comes from a table.
The leading zeros of ``w`` choose the octave, its next 6 bits the cell, and the
15 bits after them interpolate in that cell. One table word holds a cell:

* its upper 21 bits, ``base``, the magnitude at the small-p edge, in quarter units;
* its lower 11 bits, ``slope``, the fall across the cell, in half units.

The table is data (``normal_table.txt``, 32 octaves of 64 cells), because
a last bit that depended on somebody's libm would be another network.
``build_cell`` is the rule by which it was made; the tests make it again with
high-precision arithmetic and compare.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

UNIT_BITS = 16  # z is an integer in units of 2**-UNIT_BITS
CELL_BITS = 6
FRACTION_BITS = 15
SLOPE_BITS = 11
OCTAVES = 32


def load_table() -> NDArray[np.uint32]:
    """Read the 2048 table words, octave by octave."""
    text = resources.files(__package__).joinpath("normal_table.txt").read_text()
    words = [int(word, 16) for word in text.split()]
    if len(words) != OCTAVES << CELL_BITS:
        raise RuntimeError(f"normal_table.txt holds {len(words)} words, not 2048")
    table = np.array(words, np.uint32)
    table.flags.writeable = False
    return table


TABLE = load_table()


def leading_zeros(word: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Count the zero bits above the highest set bit of each nonzero word."""
    _, bit_length = np.frexp(word.astype(np.float64))
    return (32 - bit_length).astype(np.uint32)


def standard_normal(word: ArrayLike) -> NDArray[np.int32]:
    """Map uniform words to standard-normal values.

    Parameters
    ----------
    word : uint32 array

    Returns
    -------
    int32 array of the same shape (at least one-dimensional)
        z in units of 2**-16; the largest magnitude is 6.34 standard deviations.
    """
    word = np.atleast_1d(np.asarray(word, np.uint32))
    w = (word << np.uint32(1)) | np.uint32(1)
    octave = leading_zeros(w)
    aligned = w << octave
    cell = (aligned >> np.uint32(31 - CELL_BITS)) & np.uint32(2**CELL_BITS - 1)
    fraction = aligned >> np.uint32(31 - CELL_BITS - FRACTION_BITS)
    fraction = fraction & np.uint32(2**FRACTION_BITS - 1)

    entry = TABLE[(octave << np.uint32(CELL_BITS)) | cell]
    base = entry >> np.uint32(SLOPE_BITS)
    slope = entry & np.uint32(2**SLOPE_BITS - 1)
    quarters = base - ((slope * fraction) >> np.uint32(FRACTION_BITS - 1))
    magnitude = (quarters >> np.uint32(2)).astype(np.int32)
    return np.where(word >> np.uint32(31), -magnitude, magnitude).astype(np.int32)


def build_cell(octave: int, cell: int, quantile: Any, real: Any) -> int:
    """Compute one table word; the rule, not what runs.

    Parameters
    ----------
    octave, cell : int
    quantile : callable
        ``-Phi^-1(p)`` of a ``real``, to at least 30 digits.
    real : callable
        The number type: made from an int, with exact ``+ - * /``.

    Notes
    -----
    z(p) is convex, so the chord lies above it, on average by two thirds of its
    height at mid-cell; ``base`` is lowered by that much, which leaves the variance
    unbiased. The added 1 centres the two truncations of ``standard_normal``.
    """
    cells = 2**CELL_BITS

    def z(position: Any) -> Any:  # in units of 2**-16, position in cells
        p = (real(cells) + position) / real(cells * 2 ** (octave + 2))
        return quantile(p) * real(2**UNIT_BITS)

    half = real(1) / real(2)
    left, middle, right = z(real(cell)), z(real(cell) + half), z(real(cell + 1))
    sag = ((left + right) / real(2) - middle) * real(2) / real(3)
    base = round((left - sag) * real(4)) + 1
    slope = round((left - right) * real(2))
    return (base << SLOPE_BITS) | slope
