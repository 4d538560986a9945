# SPDX-License-Identifier: Apache-2.0
"""Which entries are there: density, degrees, gaps, common neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .findings import Finding, binomial_cells, from_cells, from_count, from_z
from .sources import Connections

Array = NDArray[np.generic]

MOST_CELLS = 1 << 11


def all_of(matrix: Connections, prob: float) -> Iterator[Finding]:
    """Every statistic of this file."""
    m, n = matrix.shape
    yield density(matrix, prob)
    if prob == 1:
        return
    columns = matrix.columns()
    by_row = np.sort(matrix.rows.astype(np.int64) * n + columns)
    by_column = columns * m + matrix.rows
    for name, keys, lines, length in (
        ("columns", by_column, n, m),
        ("rows", by_row, m, n),
    ):
        here = keys // length
        yield from degrees(name, prob, here, lines, length)
        yield gaps(name, prob, here, keys % length, length)
        size = lines, length
        yield from common_neighbours(name, prob, here, keys % length, size)


def density(matrix: Connections, prob: float) -> Finding:
    """Connections of the whole matrix: binomial."""
    m, n = matrix.shape
    return from_count("density", prob, matrix.rows.size, m * n, prob)


def degree_counts(line: Array, lines: int) -> Array:
    """How many lines have 0, 1, 2, ... connections."""
    _, degree = np.unique(line, return_counts=True)
    seen = np.bincount(degree)
    seen[0] = lines - degree.size
    return seen


def degrees(
    name: str, prob: float, line: Array, lines: int, length: int
) -> Iterator[Finding]:
    """Connections of every column (or row): independent and binomial.

    Their whole distribution by chi-square, and their variance.
    """
    seen = degree_counts(line, lines)
    yield binomial_cells(f"degrees of {name}", prob, seen, length, prob)
    mean, variance = length * prob, length * prob * (1 - prob)
    squares = np.arange(seen.size) - mean
    fourth = variance * (1 + 3 * (length - 2) * prob * (1 - prob))
    excess = seen @ squares**2 - lines * variance
    z = excess / np.sqrt(lines * (fourth - variance**2))
    yield from_z(f"degrees of {name}: variance", prob, float(z))


def gaps(name: str, prob: float, line: Array, at: Array, length: int) -> Finding:
    """Distance from a connection to the next in its column (or row): geometric.

    Distances up to a horizon are told apart. Starts within the horizon of the end are
    left out, so that every other start has the geometric law.
    """
    horizon = min(length // 2, int(np.ceil(12 / prob)))
    gap = np.full(at.size, horizon + 1, np.int64)
    gap[:-1] = np.where(line[1:] == line[:-1], at[1:] - at[:-1], horizon + 1)
    gap = np.minimum(gap[at < length - horizon], horizon + 1)
    edges = np.unique(np.linspace(0, horizon, min(horizon, MOST_CELLS) + 1).astype(int))
    seen = np.histogram(gap, np.append(edges, horizon + 1) + 0.5)[0]
    survival = np.append(np.exp(edges * np.log1p(-prob)), 0)
    return from_cells(f"gaps along {name}", prob, seen, -np.diff(survival) * gap.size)


def common_neighbours(
    name: str, prob: float, line: Array, at: Array, size: tuple[int, int]
) -> Iterator[Finding]:
    """Places that columns (rows) 2a and 2a + 1 have in common: Binomial(., prob^2)."""
    lines, length = size
    first = np.flatnonzero(np.diff(line, prepend=-1))
    shared = _shared(line, at, np.append(first, line.size))
    seen = np.bincount(shared, minlength=1)
    seen[0] += lines // 2 - shared.size
    label = f"common neighbours of {name}"
    yield binomial_cells(label, prob, seen, length, prob**2)
    trials = lines // 2 * length
    yield from_count(f"{label}: all", prob, int(shared.sum()), trials, prob**2)


@njit(cache=True)
def _shared(line, at, first):
    """Count common places of neighbouring lines, where both lines have any."""
    counts, found = np.zeros(first.size, np.int64), 0
    for i in range(first.size - 2):
        number = line[first[i]]
        if number % 2 == 0 and line[first[i + 1]] == number + 1:
            a, b, end_a, end_b = first[i], first[i + 1], first[i + 1], first[i + 2]
            while a < end_a and b < end_b:
                counts[found] += at[a] == at[b]
                x, y = at[a], at[b]
                a += x <= y
                b += y <= x
            found += 1
    return counts[:found]
