# SPDX-License-Identifier: Apache-2.0
"""Backends that are right until something is large, or far away, or very rare.

Each has one honest mistake, made of right results by spoiling what it would spoil.
"""

import jax.numpy as jnp
import numpy as np
from hostile_backends import Honest, HonestWeighted

from synjit.reference import ABSENT


def _without(columns, y):
    """Clear everything but the first columns of a batch."""
    return y.at[:, columns:].set(0)


def _only(inside, x):
    """Take no events, or values, but those inside."""
    return jnp.where(inside, x, jnp.zeros_like(x))


class BatchesBeyond64(Honest):
    fault = "vectors of the batch from number 64 on are wrong"

    def product(self, *given):
        return [_without(64, y) for y in super().product(*given)]


class TransposedFloatsBeyond10(Honest):
    asked = "floats"
    transpose = True
    fault = "vectors of the batch from number 10 on are wrong"

    def product(self, problem, *operands):
        sums = super().product(problem, *operands)
        return [_without(10, y) if problem.transpose else y for y in sums]


class BlocksOfBatchesBeyond64(HonestWeighted):
    asked = "weighted"
    fault = "vectors of the batch from number 64 on are wrong"

    def weighted(self, *given):
        return _without(64, super().weighted(*given))


class TracedProbAndBatchOfFloats(Honest):
    asked = "floats"
    fault = "known=False"

    def product(self, problem, *operands):
        a, b = super().product(problem, *operands)
        wrong = problem.log2_chunk is None and problem.batch > 1
        return (b, a) if wrong else (a, b)


class ColumnsIn16Bits(Honest):
    fault = "columns beyond 65535"

    def product(self, problem, matrix, x):
        if problem.transpose:
            sums = super().product(problem, matrix, x)
            return [y[np.arange(len(y)) & 0xFFFF] for y in sums]
        return super().product(problem, matrix, x.at[1 << 16 :].set(False))


class ColumnsIn16BitsInDense(Honest):
    asked = "dense"
    fault = "columns beyond 65535"

    def dense(self, *given):
        z = super().dense(*given)
        return z[:, np.arange(z.shape[1]) & 0xFFFF]


class ListOfActiveColumnsFull(Honest):
    fault = "columns beyond 65535"

    def product(self, problem, matrix, x):
        if not problem.transpose:
            x = _only(jnp.cumsum(x != 0, axis=0, dtype=jnp.int32) <= 4096, x)
        return super().product(problem, matrix, x)


class FlatIndexIn32Bits(Honest):
    """Only the full suite asks for a matrix of so many entries."""

    fault = "entries beyond number 2^31"
    only = "events/*65537x32771*"

    def product(self, problem, matrix, x):
        m, n = problem.shape
        last = min((2**31 - 1) // n, m)
        if problem.transpose:
            return super().product(problem, matrix, x.at[last:].set(False))
        sums = super().product(problem, matrix, x)
        return [y.at[last:].set(0) for y in sums]


class SecondLongChunk(Honest):
    """As if offsets in chunks of 2^15 rows and more overflowed into their number."""

    fault = "prob=0.001"

    def product(self, problem, matrix, x):
        log2_chunk, row = matrix.connectivity[0], matrix.origin[0]
        first = (row >> log2_chunk) + 1 << log2_chunk
        length = jnp.where(log2_chunk >= 15, first - row, jnp.uint32(2**31))
        inside = jnp.arange(problem.shape[0], dtype=jnp.uint32)[:, None] < length
        if problem.transpose:
            return super().product(problem, matrix, _only(inside, x))
        return [_only(inside, y) for y in super().product(problem, matrix, x)]


class TinyProbIsZero(Honest):
    fault = "a tiny prob is not 0"

    def product(self, problem, matrix, x):
        return super().product(problem, matrix, _only(matrix.connectivity[0] < 24, x))


class CountsUpToTheLimit(Honest):
    """``limits <= count word`` for ``limits < count word``."""

    fault = "a count word is equal to a limit"

    def product(self, problem, matrix, x):
        limits = jnp.maximum(matrix.connectivity[2:], 1) - 1
        words = jnp.concatenate([matrix.connectivity[:2], limits])
        return super().product(problem, matrix._replace(connectivity=words), x)


class TailsAreCut(Honest):
    asked = "dense"
    fault = "a weight is beyond 5 standard deviations"
    most = 5 << 16

    def dense(self, *given):
        z = super().dense(*given)
        return jnp.where(z == ABSENT, z, jnp.clip(z, -self.most, self.most))


class TailsAreCutInSums(Honest):
    transpose = True  # five sums of one connection, not a sum of five
    fault = "a weight is beyond 5 standard deviations"
    most = 5 << 16

    def product(self, *given):
        n, z = super().product(*given)
        # Sums of one connection, the only ones that can be known to be too large.
        return n, jnp.where(n == 1, jnp.clip(z, -self.most, self.most), z)
