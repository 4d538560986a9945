# SPDX-License-Identifier: Apache-2.0
"""A stored sparse matrix, and an event-driven loop over its columns in numba.

What a network pays that keeps its connections in memory: per connection a 4-byte row
index and a 4-byte weight, column after column. One thread.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Stored(NamedTuple):
    """A matrix by columns: those of column j are first[j] .. first[j + 1] - 1."""

    first: NDArray[np.int64]
    rows: NDArray[np.uint32]
    weights: NDArray[np.float32]
    n_rows: int


def random_matrix(m: int, n: int, prob: float, seed: int = 0) -> Stored:
    """Draw a matrix of this size, rows ascending within a column."""
    rng = np.random.default_rng(seed)
    # The gaps between connections, column after column, are geometric.
    size = m * n
    gaps = rng.geometric(prob, int(size * prob + 10 * np.sqrt(size) + 10))
    places = np.cumsum(gaps) - 1
    places = places[places < size]
    first = np.searchsorted(places, np.arange(n + 1) * m)
    weights = rng.standard_normal(places.size, np.float32)
    return Stored(first, (places % m).astype(np.uint32), weights, m)


def product(matrix: Stored, events: NDArray[np.bool_], out: NDArray) -> None:
    """Write W @ events into ``out``, going through the columns with an event."""
    _product(matrix.first, matrix.rows, matrix.weights, events, out)


@njit(nogil=True)
def _product(first, rows, weights, events, out):
    out[:] = 0
    for j in range(events.size):
        if events[j]:
            for t in range(first[j], first[j + 1]):
                out[rows[t]] += weights[t]
