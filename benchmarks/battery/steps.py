# SPDX-License-Identifier: Apache-2.0
"""The reference, many chunks at a time, in steps that a planted defect replaces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from synjit.reference import (
    Connectivity,
    Weights,
    count_distribution,
    draw,
    normal,
    seed_words,
)

from .sources import Connections
from .weight_law import distribution

Array = NDArray[np.generic]
Words = tuple[int, int]

GROUP = 1 << 12  # chunks made at once


class Draw:
    """The draw, with nothing wrong."""

    name = "nothing wrong"

    def counts(self, prob: float) -> Connectivity:
        """Thresholds of the count."""
        return count_distribution(prob)

    def keys(self, seed: Words, column: Array, chunk: Array) -> draw.ChunkKeys:
        """Key words of chunks."""
        return draw.chunk_keys(seed, column, chunk)

    def place(self, t: Array, keys: draw.ChunkKeys, log2_chunk: int) -> Array:
        """Row offsets of connections."""
        return draw.place(t, keys, log2_chunk)

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Weights of connections."""
        return draw.weight(seed, row, column)

    def connections(
        self, seed: int, prob: float, shape: tuple[int, int]
    ) -> Connections:
        """List the connections."""
        (m, n), counts, words = shape, self.counts(prob), seed_words(seed)
        k = counts.log2_chunk
        per_column = -(-m >> k)
        rows, columns = [], []
        for first in range(0, n * per_column, GROUP):
            number = np.arange(first, min(first + GROUP, n * per_column))[:, None]
            column, chunk = number // per_column, number % per_column
            keys = self.keys(words, column, chunk)
            count = counts.draw_count(keys.count_word)
            t = np.arange(count.max(initial=0), dtype=np.uint32)
            row = np.where(t < count, self.place(t, keys, k), np.uint32(2**32 - 1))
            row = np.sort(row, axis=1).astype(np.int64) + (chunk << k)
            real = (t < count) & (row < m)
            rows.append(row[real])
            columns.append(np.broadcast_to(column, row.shape)[real])
        row, column = np.concatenate(rows), np.concatenate(columns)
        z = self.weight(words, row.astype(np.uint32), column.astype(np.uint32))
        starts = np.searchsorted(column, np.arange(n + 1))
        scale = np.float32(2**normal.UNIT_BITS)
        return Connections(shape, starts, row.astype(np.uint32), z / scale)


class OtherWeights(Draw):
    """The draw with weights of another law, as normal scores.

    A score is the normal quantile of a weight's probability.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights, self.name = weights, repr(weights)

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Scores of connections, in the unit of z."""
        z = draw.weight(seed, row, column, self.weights.table)
        x = self.weights.mean + self.weights.spread * z / 2**normal.UNIT_BITS
        meant = distribution(self.weights)
        below, above = meant.cdf(x), meant.sf(x)
        scores = np.where(below < above, special.ndtri(below), -special.ndtri(above))
        return (scores * 2**normal.UNIT_BITS).astype(np.float32)
