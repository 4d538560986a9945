# SPDX-License-Identifier: Apache-2.0
"""The standard normal from one 32-bit word: its table, and its exact quantiles.

The table is data (``normal_table.txt``, 32 octaves of 64 cells, in the symmetric form
of ``quantile_table``), because a last bit that depended on somebody's libm would be
another network. The tests make it again from ``Quantile`` and from another package for
high-precision arithmetic, and compare.
"""

from __future__ import annotations

from decimal import Decimal, getcontext
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .quantile_table import (
    CELL_BITS,
    FRACTION_BITS,
    OCTAVES,
    SLOPE_BITS,
    SYMMETRIC_WORDS,
    UNIT_BITS,
    look_up,
)

__all__ = [
    "CELL_BITS",
    "FRACTION_BITS",
    "OCTAVES",
    "SLOPE_BITS",
    "TABLE",
    "UNIT_BITS",
    "Quantile",
    "mass",
    "standard_normal",
]


def load_table() -> NDArray[np.uint32]:
    """Read the 2048 table words, octave by octave."""
    text = resources.files(__package__).joinpath("normal_table.txt").read_text()
    words = [int(word, 16) for word in text.split()]
    if len(words) != SYMMETRIC_WORDS:
        raise RuntimeError(f"normal_table.txt holds {len(words)} words, not 2048")
    table = np.array(words, np.uint32)
    table.flags.writeable = False
    return table


TABLE = load_table()


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
    return look_up(TABLE, word)


# --- exact quantiles --------------------------------------------------------------

ROOT_OF_2_PI = Decimal("2.50662827463100050241576528481104525300698674060993831662992")


def density(z: Decimal) -> Decimal:
    """Give the density at z."""
    return (-z * z / 2).exp() / ROOT_OF_2_PI


class Quantile:
    """Quantiles of the normal, or of a part of it, in the current decimal context.

    It keeps the point where it is, and a call goes on from there by the Taylor series
    of the distribution function: fast for one cell edge after another, and exact to
    about 10 digits less than the context has.

    Parameters
    ----------
    z, p : Decimal
        Where it starts: values above z have the probability p.
    mass : Decimal, optional
        Probability, in the whole normal, of the part of it whose quantiles are asked.
    """

    def __init__(
        self,
        z: Decimal = Decimal(0),
        p: Decimal = Decimal("0.5"),
        mass: Decimal = Decimal(1),
    ) -> None:
        self.z, self.p, self.mass = z, p, mass

    def __call__(self, p: Decimal) -> Decimal:
        """Give the z that is exceeded with probability p."""
        while self.p != p:
            here = density(self.z)
            longest = here / (8 * (1 + abs(self.z))) / self.mass
            change = self.p - p
            there = p if abs(change) <= longest else self.p - longest.copy_sign(change)
            self.z += _step(self.z, (self.p - there) * self.mass / here)
            self.p = there
        return self.z


def _step(z: Decimal, area: Decimal) -> Decimal:
    """Solve: the integral of density(t) / density(z) from z to z + h is ``area``.

    The integrand is exp(-z t - t**2 / 2), whose Taylor coefficients follow from its
    differential equation; h, from a guess of third order, by Newton's iteration.
    """
    guess = area * (1 + z * area / 2 * (1 + z * area * 2 / 3) + area * area / 6)
    small = Decimal(10) ** -getcontext().prec
    first, second = -z * guess, -guess * guess
    coefficients = [Decimal(1), first]  # of powers of x = t / guess
    while abs(coefficients[-1]) > small or abs(coefficients[-2]) > small:
        *_, before, last = coefficients
        coefficients.append((first * last + second * before) / len(coefficients))
    integral = [c / (k + 1) for k, c in enumerate(coefficients)]
    target, x = area / guess, Decimal(1)
    while True:
        change = target - x * _polynomial(integral, x)
        change /= _polynomial(coefficients, x)
        x += change
        if change * change <= small:
            return x * guess


def _polynomial(coefficients: list[Decimal], x: Decimal) -> Decimal:
    result = coefficients[-1]
    for c in coefficients[-2::-1]:
        result = result * x + c
    return result


def mass(low: Decimal, high: Decimal) -> Decimal:
    """Give the probability between two bounds, which may be infinite."""
    if high < 0:
        low, high = -high, -low
    if low > SERIES:
        return tail(low) - tail(high)
    return area(high) - area(low)


SERIES = 3  # bounds below are near enough for the series


def area(z: Decimal) -> Decimal:
    """Integrate the density from 0 to z.

    The series z + z**3 / 3 + z**5 / (3 * 5) + ... times the density at z.
    """
    if abs(z) > SERIES:
        return (Decimal("0.5") - tail(abs(z))).copy_sign(z)
    term = total = z
    k = 1
    while total + term != total:
        k += 2
        term = term * z * z / k
        total += term
    return total * density(z)


def tail(z: Decimal) -> Decimal:
    """Give the probability above z > SERIES, by Laplace's continued fraction."""
    if z.is_infinite():
        return Decimal(0)
    fraction = z
    for k in range(1000, 0, -1):
        fraction = z + k / fraction
    return density(z) / fraction
