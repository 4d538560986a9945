# SPDX-License-Identifier: Apache-2.0
"""Weights: their distribution, and what they might be correlated with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import factorial
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import special, stats

from .findings import (
    Finding,
    from_anderson_darling,
    from_count,
    from_ks,
    from_scores,
    from_z,
)
from .sources import Connections

Array = NDArray[np.generic]

UNIT = 2.0**-16  # a histogram has a cell for each multiple of it, up to 8 deviations
HALF = 1 << 19
TAILS = (3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0)


# --- distribution -----------------------------------------------------------------


def empty_histogram() -> NDArray[np.int64]:
    """Make a histogram with nothing in it."""
    return np.zeros(2 * HALF + 1, np.int64)


@njit(cache=True)
def add_to(histogram: Array, z: Array) -> None:
    """Count weights, each at the nearest multiple of UNIT."""
    for value in z:
        at = int(np.rint(value * 65536.0)) + HALF
        histogram[min(max(at, 0), histogram.size - 1)] += 1


def distribution(histogram: Array, prob: float) -> Iterator[Finding]:
    """Moments, Kolmogorov-Smirnov, Anderson-Darling and tails of a histogram."""
    yield from moments(histogram, prob)
    cells = np.arange(-HALF, HALF + 1)
    upper = special.ndtr((cells + 0.5) * UNIT)
    n = int(histogram.sum())
    reached = np.cumsum(histogram) / n
    distance = np.abs(reached - upper)
    yield from_ks("Kolmogorov-Smirnov", prob, float(distance.max()), n)
    yield from_anderson_darling("Anderson-Darling", prob, _square(reached, n))
    yield from tails(histogram, prob)


def _square(reached: Array, n: int) -> float:
    """A^2: n times the integral of (F_n - Phi)^2 / (Phi (1 - Phi)) dPhi."""
    edge = (np.arange(-HALF, HALF + 1) + 0.5) * UNIT
    phi, rest = special.ndtr(edge), special.ndtr(-edge)
    density = np.exp(-(edge**2) / 2) / np.sqrt(2 * np.pi)
    keep = (phi > 0) & (rest > 0)
    squared = ((reached - phi) ** 2 * density)[keep] / (phi * rest)[keep]
    return float(n * squared.sum() * UNIT)


def moments(histogram: Array, prob: float) -> Iterator[Finding]:
    """Moments to the 8th, as means of Hermite polynomials, which are uncorrelated."""
    n, x = histogram.sum(), np.arange(-HALF, HALF + 1) * UNIT
    before, now = np.ones_like(x), x
    for order in range(1, 9):
        z = (histogram @ now) / np.sqrt(float(n) * factorial(order))
        yield from_z(f"moment {order}", prob, float(z))
        before, now = now, x * now - order * before


def tails(histogram: Array, prob: float) -> Iterator[Finding]:
    """How many lie beyond 3, 3.5, ... 6 deviations on each side: binomial."""
    n = int(histogram.sum())
    for t in TAILS:
        beyond = round(t / UNIT) + 1  # the cell at t itself lies half inside
        chance = float(stats.norm.sf(t + UNIT / 2))
        above = int(histogram[HALF + beyond :].sum())
        below = int(histogram[: HALF - beyond + 1].sum())
        yield from_count(f"above {t}", prob, above, n, chance)
        yield from_count(f"below -{t}", prob, below, n, chance)


# --- correlation with the mask and the place --------------------------------------


def with_places(matrix: Connections, prob: float) -> Iterator[Finding]:
    """Weights and their squares against row, column, degrees and gaps.

    With the mask given, a sum of z times anything of the mask is normal.
    """
    n = matrix.shape[1]
    column, row = matrix.columns(), matrix.rows.astype(np.int64)
    by_row = np.argsort(row * n + column, kind="stable")
    degree = np.diff(matrix.starts)[column].astype(float)
    _, which, row_degrees = np.unique(row, return_inverse=True, return_counts=True)
    gap = np.diff(row, append=row[-1:]).clip(0).astype(float)
    along = np.empty(row.size)
    along[by_row] = np.diff(column[by_row], append=column[-1:]).clip(0)
    covariates = {
        "degree of its column": degree,
        "degree of its row": row_degrees[which].astype(float),
        "gap below": gap,
        "gap to the right": along,
        "row": row.astype(float),
        "column": column.astype(float),
    }
    for name, values in (("weight", matrix.z), ("square", _squared(matrix.z))):
        for covariate, c in covariates.items():
            yield from _against(f"{name} and {covariate}", prob, values, c)
        for label, at in (("row", row), ("column", column)):
            z = [
                _correlate(values, (at >> bit & 1).astype(float))
                for bit in range(int(at.max()).bit_length())
            ]
            yield from from_scores(f"{name} and bits of its {label}", prob, z)
        for label, order in (("column", None), ("row", by_row)):
            v = (values if order is None else values[order]).astype(float)
            z = [v[lag:] @ v[:-lag] / np.sqrt(v.size - lag) for lag in (1, 2, 3, 16)]
            yield from from_scores(f"{name} and the next of its {label}", prob, z)
        yield from _by_class(f"{name} by row", prob, values, row)
        yield from _by_class(f"{name} by column", prob, values, column)


def _squared(z: Array) -> Array:
    return ((z.astype(float) ** 2 - 1) / np.sqrt(2)).astype(np.float32)


def _correlate(values: Array, covariate: Array) -> float:
    """Z-score of the sum of values times a centred covariate; 0 if it is constant."""
    c = covariate - covariate.mean()
    norm = np.sqrt(c @ c)
    return float(values.astype(float) @ c / norm) if norm > 0 else 0.0


def _against(name: str, prob: float, values: Array, c: Array) -> Iterator[Finding]:
    if c.min() < c.max():
        yield from_z(name, prob, _correlate(values, c))


def _by_class(name: str, prob: float, values: Array, at: Array) -> Iterator[Finding]:
    """Means over 1024 classes of rows (columns) by their lowest 10 bits."""
    number = np.bincount(at & 1023, minlength=1024)
    total = np.bincount(at & 1023, values.astype(float), 1024)
    keep = number > 100
    yield from from_scores(name, prob, total[keep] / np.sqrt(number[keep]))


# --- correlation with partners ----------------------------------------------------


class Partner(NamedTuple):
    """An entry elsewhere for each entry: weights and masks in the same shape."""

    group: str
    z: Array
    mask: Array
    mutual: bool = False  # the partner's partner is the entry itself


def with_partners(
    prob: float, z: Array, mask: Array, partners: Iterable[Partner]
) -> Iterator[Finding]:
    """Weights against entries elsewhere: other rows and columns, transposed, seeds.

    Each statistic is a sum over all entries: of z z', of (z^2 - 1) (z'^2 - 1), and of
    z times the partner's mask.
    """
    groups: dict[str, list[list[float]]] = {}
    for partner in partners:
        groups.setdefault(partner.group, []).append(_three(prob, z, mask, partner))
    for group, scores in groups.items():
        for label, three in zip(
            ("weight and weight", "square and square", "weight and mask"),
            zip(*scores, strict=True),
            strict=True,
        ):
            if prob < 1 or label != "weight and mask":
                yield from from_scores(f"{label}, {group}", prob, three)


def _three(prob: float, z: Array, mask: Array, partner: Partner) -> list[float]:
    """Z-scores of one partner; a mutual one gives every term of the first two twice."""
    n, zz, ss, zm, mm = _sums(z, mask, partner.z, partner.mask, prob)
    terms = max(n, 1) * (2 if partner.mutual else 1)
    return [zz / np.sqrt(terms), ss / np.sqrt(terms), zm / np.sqrt(mm) if mm else 0.0]


@njit(cache=True)
def _sums(z, mask, z2, mask2, prob):
    n, zz, ss, zm, mm = 0, 0.0, 0.0, 0.0, 0.0
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            if mask[i, j]:
                a, b = float(z[i, j]), float(z2[i, j])
                there = 0.0
                if mask2[i, j]:
                    there = 1.0
                    n += 1
                    zz += a * b
                    ss += (a * a - 1) * (b * b - 1) / 2
                zm += a * (there - prob)
                mm += (there - prob) ** 2
    return n, zz, ss, zm, mm


def partners_of(z: Array, mask: Array) -> Iterator[Partner]:
    """Entries elsewhere in the same matrix, square with a power of two of rows."""
    side = len(z)
    i = np.arange(side)
    off = ~np.eye(side, dtype=bool)
    across = np.ascontiguousarray(z.T), np.ascontiguousarray(mask.T) & off
    yield Partner("transposed", *across, mutual=True)
    for step in (1, 2, 3, 16):
        to = np.roll(i, -step)
        yield Partner("rows further down", z[to], mask[to])
        yield Partner("columns to the right", z[:, to], mask[:, to])
    for bit in range(side.bit_length() - 1):
        to = i ^ (1 << bit)
        yield Partner("rows that differ in a bit", z[to], mask[to], mutual=True)
        group = "columns that differ in a bit"
        yield Partner(group, z[:, to], mask[:, to], mutual=True)
