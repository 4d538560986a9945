# SPDX-License-Identifier: Apache-2.0
"""Planted defects: draws with one thing wrong, each of which must be caught.

All stand on the reference; a defect replaces one step of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synjit.reference import Law, draw, law, normal, seed_words

from .sources import Connections, Control

Array = NDArray[np.generic]
Words = tuple[int, int]

GROUP = 1 << 12  # chunks made at once


class Draw:
    """The reference, many chunks at a time, in steps that a defect can replace."""

    name = "nothing wrong"

    def law(self, prob: float) -> Law:
        """Thresholds of the count."""
        return law(prob)

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
        (m, n), the_law, words = shape, self.law(prob), seed_words(seed)
        k = the_law.log2_chunk
        per_column = -(-m >> k)
        rows, columns = [], []
        for first in range(0, n * per_column, GROUP):
            number = np.arange(first, min(first + GROUP, n * per_column))[:, None]
            column, chunk = number // per_column, number % per_column
            keys = self.keys(words, column, chunk)
            count = the_law.draw_count(keys.count_word)
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


# --- the bijection ----------------------------------------------------------------


class FewRounds(Draw):
    """A bijection of three rounds, with shifts that do not alternate."""

    name = "3 rounds"
    rounds = 3

    def place(self, t: Array, keys: draw.ChunkKeys, log2_chunk: int) -> Array:
        """Stop early."""
        mask = np.uint32(2**log2_chunk - 1)
        x = np.asarray(t, np.uint32)
        for r in range(self.rounds):
            x = (x * keys.multipliers[r] + keys.addends[r]) & mask
            x = x ^ (x >> draw.shift(log2_chunk, 0))
        return x


class TwoRounds(FewRounds):
    """Two rounds."""

    name = "2 rounds"
    rounds = 2


class FourRounds(FewRounds):
    """Four rounds."""

    name = "4 rounds"
    rounds = 4


class UnkeyedMultipliers(FewRounds):
    """Four rounds, and every chunk multiplies by the same odd constants."""

    name = "4 rounds, multipliers without a key"
    rounds = 4

    def keys(self, seed: Words, column: Array, chunk: Array) -> draw.ChunkKeys:
        """Take the multipliers of one chunk for all."""
        keys = super().keys(seed, column, chunk)
        same = super().keys(seed, np.zeros((1, 1)), np.zeros((1, 1)))
        return keys._replace(multipliers=same.multipliers)


class OneWordForAllRounds(FewRounds):
    """Every round has the multiplier and the addend of the first."""

    name = "key words of a round used again"
    rounds = 4

    def keys(self, seed: Words, column: Array, chunk: Array) -> draw.ChunkKeys:
        """Repeat the first round's words."""
        count, a, b = super().keys(seed, column, chunk)
        return draw.ChunkKeys(count, a[:1] * draw.ROUNDS, b[:1] * draw.ROUNDS)


class NoBijection(Draw):
    """Places in ascending order from a random start."""

    name = "consecutive places"

    def place(self, t: Array, keys: draw.ChunkKeys, log2_chunk: int) -> Array:
        """Shift t."""
        return (t + keys.addends[0]) & np.uint32(2**log2_chunk - 1)


# --- key words --------------------------------------------------------------------


class SameKeysInEveryChunk(Draw):
    """The chunk's number is left out of the counter."""

    name = "keys without the chunk"

    def keys(self, seed: Words, column: Array, chunk: Array) -> draw.ChunkKeys:
        """Forget the chunk."""
        return super().keys(seed, column, np.zeros_like(chunk))


class SameKeysInTwoColumns(Draw):
    """The lowest bit of the column is left out of the counter."""

    name = "keys without a bit of the column"

    def keys(self, seed: Words, column: Array, chunk: Array) -> draw.ChunkKeys:
        """Forget the bit."""
        return super().keys(seed, column >> 1, chunk)


class SeedBitIgnored(Draw):
    """The lowest bit of the seed is left out of the keys of the places."""

    name = "keys without a bit of the seed"

    def keys(self, seed: Words, column: Array, chunk: Array) -> draw.ChunkKeys:
        """Forget the bit."""
        return super().keys((seed[0] & ~1, seed[1]), column, chunk)


class SharedCountWord(Draw):
    """The chunks of a column share their count word."""

    name = "count word used again"

    def keys(self, seed: Words, column: Array, chunk: Array) -> draw.ChunkKeys:
        """Take the first chunk's count word."""
        first = super().keys(seed, column, np.zeros_like(chunk)).count_word
        return super().keys(seed, column, chunk)._replace(count_word=first)


# --- counts -----------------------------------------------------------------------


class BiasedThresholds(Draw):
    """Count thresholds too low by a thirtieth of the word's range."""

    name = "biased thresholds"

    def law(self, prob: float) -> Law:
        """Lower every threshold."""
        the_law = law(prob)
        lower = np.maximum(the_law.limits, 2**32 // 30) - np.uint32(2**32 // 30)
        limits = np.where(the_law.limits == 2**32 - 1, the_law.limits, lower)
        return the_law._replace(limits=limits.astype(np.uint32))


class FixedCounts(Draw):
    """Every chunk has the median number of connections."""

    name = "counts without variance"

    def keys(self, seed: Words, column: Array, chunk: Array) -> draw.ChunkKeys:
        """Fix the count word."""
        keys = super().keys(seed, column, chunk)
        return keys._replace(count_word=np.full_like(keys.count_word, 2**31))


class RoundedStride(Draw):
    """Probability rounded to 2 / ceil(2 / prob)."""

    name = "prob from a whole stride"

    def law(self, prob: float) -> Law:
        """Round."""
        return law(2 / np.ceil(2 / prob) if prob < 1 else 1.0)._replace(
            log2_chunk=law(prob).log2_chunk
        )


# --- weights ----------------------------------------------------------------------


class WeightsWithoutColumn(Draw):
    """All columns hash their rows under the same words."""

    name = "weights without the column"

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Forget the column."""
        return super().weight(seed, row, np.zeros_like(column))


class WeightsOfRowPairs(Draw):
    """Neighbouring rows of a column have equal weights."""

    name = "weights shared by two rows"

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Forget a bit of the row."""
        return super().weight(seed, row >> np.uint32(1), column)


class SymmetricWeights(Draw):
    """z(i, j) = z(j, i)."""

    name = "symmetric weights"

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Order row and column."""
        return super().weight(seed, np.maximum(row, column), np.minimum(row, column))


class WeakWeightHash(Draw):
    """One multiplication instead of three."""

    name = "weak weight hash"

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Mix too little."""
        w0, w1 = draw.threefry2x32(seed, (column, draw.WEIGHT_PAIR))
        return normal.standard_normal(
            (row ^ w0) * np.uint32(draw.WEIGHT_MULTIPLIERS[0]) + w1
        )


class WeightsByPlace(Draw):
    """Weights larger by a twentieth in the upper half of every 1024 rows."""

    name = "weights correlated with the row"

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Add a little."""
        z = super().weight(seed, row, column)
        return z + (row >> np.uint32(9) & np.uint32(1)).astype(np.int32) * 3277


class SumOfUniforms(Draw):
    """The sum of twelve uniforms, for a normal."""

    name = "sum of twelve uniforms"

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Add halves of six pairs of words."""
        total = np.zeros(np.broadcast(row, column).shape)
        for i in range(6):
            pair = draw.threefry2x32(seed, (column, row * np.uint32(6) + np.uint32(i)))
            total += (pair[0].astype(float) + pair[1]) / 2**32
        return np.rint((total - 6) * 2**normal.UNIT_BITS)


class CoarseWeights(Draw):
    """Weights rounded to 2^-5."""

    name = "weights rounded to 2^-5"

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Round."""
        return np.rint(super().weight(seed, row, column) / 2048) * 2048


class HeavyTails(Draw):
    """One weight in 512 is trebled."""

    name = "heavy tails"

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Let the weight of another row choose."""
        z = super().weight(seed, row, column)
        other = super().weight(seed, row ^ np.uint32(2**30), column)
        return np.where(other % 512 == 0, 3 * z, z)


class WeightsFollowMask(Draw):
    """Mean and spread of a weight depend on what is connected around it."""

    name = "weights that follow the mask"

    def connections(
        self, seed: int, prob: float, shape: tuple[int, int]
    ) -> Connections:
        """Shift and stretch by degrees and gaps."""
        matrix = super().connections(seed, prob, shape)
        column, row = matrix.columns(), matrix.rows.astype(np.int64)
        by_row = np.argsort(row * shape[1] + column)
        right = np.zeros(row.size)
        right[by_row] = np.diff(column[by_row], append=0).clip(0)
        below = np.diff(row, append=0).clip(0)
        z = matrix.z.astype(float)
        for c in (
            np.bincount(row)[row],
            np.bincount(column)[column],
            right,
            below,
            row,
            column,
        ):
            c_scaled = (c - c.mean()) / max(c.std(), 1)
            z = (z + 0.05 * c_scaled) * (1 + 0.05 * c_scaled)
        return matrix._replace(z=z.astype(np.float32))


# --- whole matrices ---------------------------------------------------------------


class SymmetricMatrix:
    """W(i, j) = W(j, i), as far as the matrix is square."""

    name = "symmetric matrix"

    def connections(
        self, seed: int, prob: float, shape: tuple[int, int]
    ) -> Connections:
        """Mirror the upper triangle of each square."""
        z, mask = Control().connections(seed, prob, shape).dense()
        side = min(shape)
        for top in range(0, shape[0] - side + 1, side):
            for a in (z[top : top + side, :side], mask[top : top + side, :side]):
                a[:] = np.triu(a) + np.triu(a, 1).T
        return _from_dense(z, mask)


class ToeplitzMatrix:
    """W(i, j) depends on i - j alone."""

    name = "same entries along diagonals"

    def connections(
        self, seed: int, prob: float, shape: tuple[int, int]
    ) -> Connections:
        """Take every entry from one long column."""
        m, n = shape
        z, mask = Control().connections(seed, prob, (m + n, 1)).dense()
        at = np.arange(m)[:, None] - np.arange(n) + n
        return _from_dense(z[at, 0], mask[at, 0])


def _from_dense(z: Array, mask: Array) -> Connections:
    columns, rows = np.nonzero(mask.T)
    starts = np.searchsorted(columns, np.arange(mask.shape[1] + 1))
    return Connections(mask.shape, starts, rows.astype(np.uint32), z[rows, columns])


DEFECTS = (
    TwoRounds,
    FewRounds,
    FourRounds,
    UnkeyedMultipliers,
    OneWordForAllRounds,
    NoBijection,
    SameKeysInEveryChunk,
    SameKeysInTwoColumns,
    SeedBitIgnored,
    SharedCountWord,
    BiasedThresholds,
    FixedCounts,
    RoundedStride,
    WeightsWithoutColumn,
    WeightsOfRowPairs,
    SymmetricWeights,
    WeakWeightHash,
    WeightsByPlace,
    SumOfUniforms,
    CoarseWeights,
    HeavyTails,
    WeightsFollowMask,
    SymmetricMatrix,
    ToeplitzMatrix,
)
