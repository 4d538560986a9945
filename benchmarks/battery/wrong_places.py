# SPDX-License-Identifier: Apache-2.0
"""Planted defects of the mask: of the bijection, the key words, the counts."""

from __future__ import annotations

import numpy as np

from synjit.reference import Connectivity, count_distribution, draw

from .steps import Array, Draw, Words

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


class ColumnsComeAgain(Draw):
    """Only the lowest six bits of the column are in the counter."""

    name = "keys with six bits of the column"

    def keys(self, seed: Words, column: Array, chunk: Array) -> draw.ChunkKeys:
        """Forget the others."""
        return super().keys(seed, column & 63, chunk)


class SeedBitIgnored(Draw):
    """The lowest bits of the seed are left out of the keys of the places."""

    name = "keys without three bits of the seed"

    def keys(self, seed: Words, column: Array, chunk: Array) -> draw.ChunkKeys:
        """Forget the bits."""
        return super().keys((seed[0] & ~7, seed[1]), column, chunk)


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

    def counts(self, prob: float) -> Connectivity:
        """Lower every threshold."""
        counts = count_distribution(prob)
        lower = np.maximum(counts.limits, 2**32 // 30) - np.uint32(2**32 // 30)
        limits = np.where(counts.limits == 2**32 - 1, counts.limits, lower)
        return counts._replace(limits=limits.astype(np.uint32))


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

    def counts(self, prob: float) -> Connectivity:
        """Round."""
        return count_distribution(2 / np.ceil(2 / prob) if prob < 1 else 1.0)._replace(
            log2_chunk=count_distribution(prob).log2_chunk
        )
