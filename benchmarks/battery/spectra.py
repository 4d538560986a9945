# SPDX-License-Identifier: Apache-2.0
"""Mates of short chunks: pairs of rows u and u ^ e that are both connected.

For each e, the sum c(e) of x(u) x(u ^ e) over the pairs of one chunk, x = X - prob, has
mean 0 and a known variance. A weak bijection shows in the variance before the mean:
some of its keys leave a pattern, each another one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .findings import Finding, from_scores
from .pairs import Blocks

Array = NDArray[np.generic]

LANES = 16
LONGEST = 12  # log2 of the rows of a chunk
ENOUGH = 3.0  # expected mates for an e and a chunk, for their variance


def mates(blocks: Blocks, prob: float) -> Iterator[Finding]:
    """Mean and variance of the mates of every e."""
    q, rows = blocks.chance, 1 << blocks.log2
    if blocks.log2 > LONGEST:
        return
    number, sums, squares = _mates(blocks.starts, blocks.places, rows, q)
    pairs, variance = rows // 2, q * (1 - q)
    fourth = variance * (1 - 3 * variance)  # of x
    square = pairs * variance**2
    power = 3 * pairs * (pairs - 1) * variance**4 + pairs * fourth**2
    if number * pairs * q * q > 30:
        z = sums[1:] / np.sqrt(number * square)
        yield from from_scores("mates: mean", prob, z, 1 + 6 / number)
    if pairs * q * q < ENOUGH:
        return
    # nearly a chi-square: its cube root is normal (Wilson and Hilferty, 1931)
    free = 2 * number * square**2 / (power - square**2)
    z = np.cbrt(squares[1:] / (number * square)) - (1 - 2 / (9 * free))
    z /= np.sqrt(2 / (9 * free))
    yield from from_scores("mates: variance", prob, z)


@njit(cache=True)
def _mates(starts, places, rows, q):
    """Sums of c(e) and of c(e)^2 over chunks, LANES at a time."""
    sums, squares = np.zeros(rows), np.zeros(rows)
    x = np.zeros((rows, LANES))
    number = (starts.size - 1) // LANES * LANES
    for first in range(0, number, LANES):
        x[:] = -q
        for lane in range(LANES):
            for t in range(starts[first + lane], starts[first + lane + 1]):
                x[places[t], lane] += 1
        _walsh(x)
        for u in range(rows):
            for lane in range(LANES):
                x[u, lane] *= x[u, lane]
        _walsh(x)
        for e in range(rows):
            for lane in range(LANES):
                c = x[e, lane] / (2 * rows)
                sums[e] += c
                squares[e] += c * c
    return number, sums, squares


@njit(cache=True)
def _walsh(x):
    """Walsh-Hadamard transform of (rows, LANES) along the rows, in place."""
    half = 1
    while half < len(x):
        for start in range(0, len(x), 2 * half):
            for i in range(start, start + half):
                for lane in range(LANES):
                    p, q = x[i, lane], x[i + half, lane]
                    x[i, lane], x[i + half, lane] = p + q, p - q
        half *= 2
