# SPDX-License-Identifier: Apache-2.0
"""The table of a law, from its quantile function: exact, and in less than a second.

A value of the law is ``x = mean + spread * z * 2**-16``; ``quantile_table`` gives z.
``spread`` is a power of two: the largest that is not above the standard deviation, or
the smallest above it for which bases and slopes fit. ``mean`` is that of the law, to
the nearest multiple of ``spread * 2**-16``: integer sums of z then grow as the square
root of their number.

Integers come from decimal arithmetic of 45 digits, the same on every machine. Mean and
standard deviation are those of the law as its words give it, whose tails end at the
probability 2**-33.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    localcontext,
)
from typing import NamedTuple

import numpy as np

from .quantile_table import (
    CELL_BITS,
    GENERAL_SLOPE_BITS,
    OCTAVES,
    SLOPE_BITS,
    UNIT_BITS,
    UInt32,
    chord,
    general_words,
    symmetric_word,
)

# (p, upper): the value that is exceeded (upper), or not reached, with probability p,
# which is not above 1/2. Both sides have their own p, for the precision of far tails.
Quantile = Callable[[Decimal, bool], Decimal]

EXACT = Context(  # all that integers could depend on; what overflows is refused later
    prec=45,
    rounding=ROUND_HALF_EVEN,
    Emin=-999999,
    Emax=999999,
    traps=[InvalidOperation, DivisionByZero],
)
LAST_SLOPE = 30 - CELL_BITS  # the last octave whose words have bits for a fraction
MARGIN = Decimal(2) ** -20  # of the mean: some roundings of float32
LARGEST_MARGIN = Decimal(2) ** -12  # of the spread
LEAST_RESOLUTION = 2**10  # units in the middle half of a law
SPREADS = Decimal(2) ** -60, Decimal(2) ** 60
LARGEST_MEAN = 2**20  # in spreads


class QuantileTable(NamedTuple):
    """A law as data: x = mean + spread * z * 2**-16, with z from the words."""

    words: UInt32
    mean: float
    spread: float


class _Side(NamedTuple):
    """Values at the edges and in the middles of all cells, from p = 1/2 outwards."""

    values: list[Decimal]
    upper: bool

    def cell(self, octave: int, cell: int) -> tuple[Decimal, Decimal, Decimal]:
        """Give the values at the small-p edge, in the middle, at the other edge."""
        middle = (octave + 1 << CELL_BITS + 1) - 2 * cell - 1
        return self.values[middle + 1], self.values[middle], self.values[middle - 1]


def build(
    name: str,
    quantile_function: Callable[[], Quantile],
    symmetric: bool,
    support: tuple[Decimal, Decimal],
) -> QuantileTable:
    """Build the table of a law.

    Parameters
    ----------
    name : str
        For errors.
    quantile_function : callable
        Makes the ``Quantile``, which is asked for p from 1/2 downwards.
    symmetric : bool
        Whether the law is symmetric about 0, and the table of 2048 words; else 8192.
    support : (Decimal, Decimal)
        Bounds, perhaps infinite. No z gives an x that is nearer to one than a unit,
        ``spread * 2**-16``, or than 2**-20 of the mean, if that is more: so the
        rounding of ``loc + scale * x`` in float32 does not cross them, where loc is
        not more than 16 times ``scale * spread``.
    """
    with localcontext(EXACT):
        upper, lower = _sides(quantile_function())
        _validate(name, support, lower.values[::-1] + upper.values)
        mean, deviation = _moments(upper, lower)
        if deviation == 0:
            raise ValueError(f"{name} has one value only: use Constant()")
        if symmetric:
            _validate_symmetry(name, upper, lower, deviation)
            mean = Decimal(0)
        spread = _spread(upper, lower, mean, deviation, symmetric)
        unit = spread / 2**UNIT_BITS
        centre = float(round(mean / unit) * unit)
        _validate_resolution(name, upper, lower, Decimal(centre), spread)
        reached = lower.values[-1], upper.values[-1]
        bounds = _bounds(name, support, reached, Decimal(centre), spread)
        if symmetric:
            words = _fill_symmetric(upper, unit, bounds)
        else:
            words = _fill_general([upper, lower], Decimal(centre), unit, bounds)
        table = np.array(words, np.int64).astype(np.uint32)
        table.flags.writeable = False
        return QuantileTable(table, centre, float(spread))


def words_of_cell(octave: int, cell: int) -> int:
    """Count the words of one side that a cell has: from octave 25 on, one or none."""
    if octave <= LAST_SLOPE:
        return 1 << (LAST_SLOPE - octave)
    quotient, rest = divmod((1 << CELL_BITS) + cell, 1 << (octave - LAST_SLOPE - 1))
    return int(rest == 0 and quotient % 2 == 1)


def _sides(quantile: Quantile) -> tuple[_Side, _Side]:
    """Values from p = 1/2 to p = 2**-33, at every half of a cell."""
    halves = 2 << CELL_BITS  # of an octave
    median = quantile(Decimal("0.5"), True)
    upper, lower = _Side([median], True), _Side([median], False)
    for octave in range(OCTAVES):
        for k in range(2 * halves - 1, halves - 1, -1):
            p = Decimal(k) / (halves * 2 ** (octave + 2))
            upper.values.append(quantile(p, True))
            lower.values.append(quantile(p, False))
    return upper, lower


def _moments(upper: _Side, lower: _Side) -> tuple[Decimal, Decimal]:
    """Mean and standard deviation of what the words give, before it is rounded."""
    about, first, second = upper.values[0], Decimal(0), Decimal(0)
    for octave, cell in _cells():
        words = words_of_cell(octave, cell)
        if words:
            for side in (upper, lower):
                start, end = (x - about for x in chord(*side.cell(octave, cell)))
                if octave > LAST_SLOPE:
                    end = start
                first += words * (start + end)
                second += words * (start * start + start * end + end * end)
    mean = first / (2 * 2**32)
    return mean + about, max(second / (3 * 2**32) - mean * mean, Decimal(0)).sqrt()


def _cells() -> list[tuple[int, int]]:
    return [(o, c) for o in range(OCTAVES) for c in range(1 << CELL_BITS)]


def _spread(
    upper: _Side, lower: _Side, mean: Decimal, deviation: Decimal, symmetric: bool
) -> Decimal:
    # A deviation that is a power of two but for its last digits counts as one.
    _, exponent = math.frexp(float(deviation * (1 + Decimal(2) ** -10)))
    spread = Decimal(2) ** (exponent - 1)
    furthest = max(abs(side.values[-1] - mean) for side in (upper, lower))
    steepest = max(
        abs(left - right)
        for side in (upper, lower)
        for octave, cell in _cells()
        if octave <= LAST_SLOPE
        for left, _, right in [side.cell(octave, cell)]
    )
    if symmetric:  # largest base and slope, in spreads
        base = Decimal(2) ** (30 - SLOPE_BITS - UNIT_BITS)
        slope = Decimal(2**SLOPE_BITS - 1) / 2 ** (UNIT_BITS + 1)
    else:
        base = Decimal(2) ** (29 - UNIT_BITS)
        slope = Decimal(2**GENERAL_SLOPE_BITS - 1) / 2 ** (UNIT_BITS + 2)
    while furthest > spread * base * (1 - MARGIN) or steepest > spread * slope:
        spread *= 2
    return spread


def _bounds(
    name: str,
    support: tuple[Decimal, Decimal],
    reached: tuple[Decimal, Decimal],
    centre: Decimal,
    spread: Decimal,
) -> tuple[int, int]:
    """Smallest and largest quarter units that z may come from."""
    unit = spread / 2**UNIT_BITS
    margin = max(unit, abs(centre) * MARGIN)
    low, high = support[0] + margin, support[1] - margin
    cut = low > reached[0] or high < reached[1]
    if cut and margin > spread * LARGEST_MARGIN:
        raise ValueError(
            f"the bounds of {name} are too near each other, compared with the mean, "
            f"{centre:.6g}, for values between them in float32"
        )
    first, last = -(2**29), 2**29 - 1
    if low.is_finite():
        first = max(first, math.ceil((low - centre) / unit))
    if high.is_finite():
        last = min(last, math.floor((high - centre) / unit))
    return 4 * first, 4 * last + 3


def _fill_symmetric(side: _Side, unit: Decimal, bounds: tuple[int, int]) -> list[int]:
    words = []
    for octave, cell in _cells():
        left, middle, right = (x / unit for x in side.cell(octave, cell))
        word = symmetric_word(left, middle, right)
        base = min(word >> SLOPE_BITS, bounds[1])
        slope = min(word & (2**SLOPE_BITS - 1), base // 2)
        words.append(base << SLOPE_BITS | slope)
    return words


def _fill_general(
    sides: list[_Side], centre: Decimal, unit: Decimal, bounds: tuple[int, int]
) -> list[int]:
    bases, slopes = [], []
    lowest, highest = bounds
    for side in sides:
        for octave, cell in _cells():
            left, middle, right = ((x - centre) / unit for x in side.cell(octave, cell))
            base, slope = general_words(left, middle, right, octave, side.upper)
            # The line ends 1/4096 of its slope before the next edge: a cell that goes
            # from one bound to the other keeps that, too.
            base = min(max(base, lowest), highest)
            bases.append(base)
            slopes.append(slope)
    return bases + slopes


# --- what a law must be -----------------------------------------------------------


def _validate(
    name: str, support: tuple[Decimal, Decimal], values: list[Decimal]
) -> None:
    """Refuse what is not a quantile function."""
    low, high = support
    for x in values:
        if not x.is_finite():
            raise ValueError(
                f"{name}: the quantile function gave {x}; it must be finite for "
                "probabilities from 2**-33 to 1 - 2**-33"
            )
        if not low <= x <= high:
            raise ValueError(
                f"{name}: the quantile function gave {x:.10g}, and its bounds are "
                f"{low:.10g} and {high:.10g}"
            )
    for one, next_one in itertools.pairwise(values):
        if next_one < one:
            raise ValueError(
                f"{name}: the quantile function falls from {one:.10g} to "
                f"{next_one:.10g}; it must rise, or stay, with the probability"
            )


def _validate_symmetry(
    name: str, upper: _Side, lower: _Side, deviation: Decimal
) -> None:
    for above, below in zip(upper.values, lower.values, strict=True):
        if abs(above + below) > deviation * MARGIN:
            raise ValueError(
                f"{name} is not symmetric about 0: it has the quantile {above:.10g} on "
                f"one side and {below:.10g} on the other"
            )


def _validate_resolution(
    name: str, upper: _Side, lower: _Side, centre: Decimal, spread: Decimal
) -> None:
    """Refuse a law that multiples of 2**-16 spreads cannot represent."""
    if not SPREADS[0] <= spread <= SPREADS[1]:
        raise ValueError(
            f"{name} has a standard deviation near {spread:.3g}, and 2**-60 to 2**60 "
            "is allowed: put the size into the scale of the weights"
        )
    if abs(centre) > LARGEST_MEAN * spread:
        raise ValueError(
            f"{name} has the mean {centre:.6g} and a standard deviation of less than "
            "2**-20 of it: put the mean into the loc of the weights"
        )
    quarter = 2 << CELL_BITS  # where p = 1/4
    middle = upper.values[quarter] - lower.values[quarter]
    if 0 < middle < LEAST_RESOLUTION * spread / 2**UNIT_BITS:
        raise ValueError(
            f"{name} has too long tails: z has steps of {spread:.3g} * 2**-16, so that "
            f"its tails fit, and the middle half of the law is {middle:.3g} wide"
        )
