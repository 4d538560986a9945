# SPDX-License-Identifier: Apache-2.0
"""From a statistic to a p-value, and from many p-values to a verdict.

Every p-value is two-sided: a matrix that is too regular fails as well.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, special, stats

Array = NDArray[np.generic]

FAMILY_ERROR = 1e-3  # chance that a right draw fails anywhere in a whole run
EXPECTED = 30.0  # a cell of a chi-square is pooled with the next until it holds these


class Finding(NamedTuple):
    """What one statistic says of one matrix."""

    statistic: str
    prob: float
    p: float
    worst: float  # the z-score, or the largest of several
    size: int  # how many z-scores or cells it is made of


def from_z(name: str, prob: float, z: float) -> Finding:
    """One z-score."""
    return Finding(name, prob, float(2 * stats.norm.sf(abs(z))), float(z), 1)


def from_scores(
    name: str, prob: float, scores: ArrayLike, wider: float = 1.0
) -> list[Finding]:
    """Many uncorrelated z-scores: their sum of squares, and the largest.

    Where the squares are correlated, the sum has ``wider`` times the variance of that
    of independent ones; it is taken for a multiple of a chi-square.
    """
    z = np.asarray(scores, float).ravel()
    largest = float(z[np.abs(z).argmax()])
    p_largest = -np.expm1(z.size * np.log1p(-2 * stats.norm.sf(abs(largest))))
    spread = two_sided(stats.chi2(z.size / wider, scale=wider), float(z @ z))
    return [
        Finding(f"{name}: sum of squares", prob, spread, largest, z.size),
        Finding(f"{name}: largest", prob, float(p_largest), largest, z.size),
    ]


def from_cells(name: str, prob: float, seen: ArrayLike, expected: ArrayLike) -> Finding:
    """Chi-square of counts against what is expected, the same total in both.

    A finding of size 0 says nothing: there was only one cell to fill.
    """
    want, got = _pool(np.asarray(expected, float), np.asarray(seen, float))
    if want.size < 2:
        return Finding(name, prob, 1.0, 0.0, 0)
    scores = (got - want) / np.sqrt(want)
    p = two_sided(stats.chi2(want.size - 1), float(scores @ scores))
    worst = float(scores[np.abs(scores).argmax()])
    return Finding(name, prob, p, worst, want.size)


def from_count(name: str, prob: float, seen: int, n: int, chance: float) -> Finding:
    """How often something happened in n independent trials: binomial, exactly."""
    law = stats.binom(n, chance)
    p = min(1.0, 2 * min(law.sf(seen - 1), law.cdf(seen)))
    deviation = law.std()
    z = (seen - n * chance) / deviation if deviation else float(seen != n * chance)
    return Finding(name, prob, float(p), float(z), 1)


def binomial_cells(
    name: str, prob: float, seen: Array, trials: int, chance: float
) -> Finding:
    """Chi-square of a histogram of counts against the binomial law."""
    law = stats.binom(trials, chance)
    reach = 9 * law.std() + 40
    low = min(max(int(law.mean() - reach), 0), int(np.flatnonzero(seen)[0]))
    high = max(min(int(law.mean() + reach), trials), seen.size - 1)
    values = np.arange(low, high + 1)
    expected = law.pmf(values)
    expected[0] += law.cdf(low - 1)
    expected[-1] += law.sf(high)
    padded = np.zeros(high + 1)
    padded[: seen.size] = seen
    return from_cells(name, prob, padded[low:], expected * seen.sum())


def two_sided(law: stats.rv_frozen, value: float) -> float:
    """Chance of a value as far out as this, on either side."""
    return float(min(1.0, 2 * min(law.sf(value), law.cdf(value))))


def _pool(expected: Array, seen: Array) -> tuple[Array, Array]:
    """Join neighbouring cells until each is expected to hold EXPECTED."""
    total, filled = np.cumsum(expected), [0.0]
    last = []
    for at in range(total.size):
        if total[at] - filled[-1] >= EXPECTED and total[-1] - total[at] >= EXPECTED:
            filled.append(total[at])
            last.append(at)
    last.append(total.size - 1)
    sums = np.cumsum(seen)[last]
    return np.diff(total[last], prepend=0), np.diff(sums, prepend=0)


def from_ks(name: str, prob: float, distance: float, n: float) -> Finding:
    """Kolmogorov's test of the largest distance between distribution functions."""
    root = np.sqrt(n)
    p = special.kolmogorov((root + 0.12 + 0.11 / root) * distance)
    p = min(1.0, 2 * min(p, 1 - p))
    return Finding(name, prob, float(p), float(root * distance), 1)


def from_anderson_darling(name: str, prob: float, square: float) -> Finding:
    """Anderson and Darling's A^2 against a law known beforehand.

    As n grows it is a sum of chi-squares with weights 1 / (j (j + 1)), whose
    characteristic function has a closed form (Anderson & Darling, Annals of
    Mathematical Statistics 23, 1952); it is inverted by Gil-Pelaez' formula.
    """

    def integrand(t: float) -> float:
        # log of cos(x) = (exp(ix) + exp(-ix)) / 2, without overflow
        x = np.pi / 2 * np.sqrt(1 + 8j * t)
        log_cos = -1j * x + np.log1p(np.exp(2j * x)) - np.log(2)
        log_phi = (np.log(-2j * np.pi * t) - log_cos) / 2
        return float((np.exp(log_phi - 1j * t * square) / t).imag)

    if square > 40:  # beyond, the chance is below 1e-17 and the integral takes long
        return Finding(name, prob, 1e-17, square, 1)
    parts = (0, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)
    upper = sum(
        integrate.quad(integrand, a, b, limit=400, epsabs=1e-12)[0]
        for a, b in itertools.pairwise(parts)
    )
    sf = min(max(0.5 + upper / np.pi, 1e-12), 1.0)
    p = min(1.0, 2 * min(sf, 1 - sf + 1e-12))
    return Finding(name, prob, p, square, 1)


def holm(findings: list[Finding], error: float = FAMILY_ERROR) -> list[Finding]:
    """Findings that fail, by Holm's rule: some fails by chance once in 1 / error runs.

    The smallest p is compared with error / n, the next with error / (n - 1), and so
    on until one passes. It holds however the statistics depend on one another.
    """
    ordered = sorted(findings, key=lambda finding: finding.p)
    for i, finding in enumerate(ordered):
        if finding.p > error / (len(ordered) - i):
            return ordered[:i]
    return ordered
