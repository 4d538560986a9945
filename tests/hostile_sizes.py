# SPDX-License-Identifier: Apache-2.0
"""Backends that are right until something is large, or far away, or very rare.

Each has one honest mistake, made of right results by spoiling what it would spoil.
"""

import jax.numpy as jnp
import numpy as np
from hostile_backends import Honest, HonestBlocks

from synjit.reference import ABSENT


def _without(columns, x):
    """Clear everything but the first columns of a batch."""
    return x.at[:, columns:].set(0)


class BatchesBeyond64(Honest):
    fault = "vectors of the batch from number 64 on are wrong"

    def events(self, *operands):
        return [_without(64, x) for x in super().events(*operands)]


class TransposedFloatsBeyond10(Honest):
    product = "floats"
    fault = "vectors of the batch from number 10 on are wrong"

    def floats(self, problem, *operands):
        sums = super().floats(problem, *operands)
        return [_without(10, x) if problem.transpose else x for x in sums]


class BlocksOfBatchesBeyond64(HonestBlocks):
    fault = "vectors of the batch from number 64 on are wrong"

    def blocks(self, *operands):
        return _without(64, super().blocks(*operands))


class TracedProbAndBatchOfFloats(Honest):
    product = "floats"
    fault = "known=False"

    def floats(self, problem, *operands):
        a, b = super().floats(problem, *operands)
        wrong = problem.log2_chunk is None and problem.batch > 1
        return (b, a) if wrong else (a, b)


class ColumnsIn16Bits(Honest):
    fault = "columns beyond 65535"

    def events(self, problem, seed, origin, law, events):
        if problem.transpose:
            sums = super().events(problem, seed, origin, law, events)
            return [x[np.arange(len(x)) & 0xFFFF] for x in sums]
        events = events.at[1 << 16 :].set(False)
        return super().events(problem, seed, origin, law, events)


class ColumnsIn16BitsInDense(Honest):
    product = "dense"
    fault = "columns beyond 65535"

    def dense(self, *operands):
        z = super().dense(*operands)
        return z[:, np.arange(z.shape[1]) & 0xFFFF]


class ListOfActiveColumnsFull(Honest):
    fault = "columns beyond 65535"

    def events(self, problem, seed, origin, law, events):
        if not problem.transpose:
            events = events & (jnp.cumsum(events, axis=0, dtype=jnp.int32) <= 4096)
        return super().events(problem, seed, origin, law, events)


class FlatIndexIn32Bits(Honest):
    """Only the full suite asks for a matrix of so many entries."""

    fault = "entries beyond number 2^31"
    only = "events/*65537x32771*"

    def events(self, problem, seed, origin, law, events):
        m, n = problem.shape
        last = min((2**31 - 1) // n, m)
        if problem.transpose:
            events = events.at[last:].set(False)
            return super().events(problem, seed, origin, law, events)
        sums = super().events(problem, seed, origin, law, events)
        return [x.at[last:].set(0) for x in sums]


class SecondLongChunk(Honest):
    """As if offsets in chunks of 2^15 rows and more overflowed into their number."""

    fault = "prob=0.001"

    def events(self, problem, seed, origin, law, events):
        first = (origin[0] >> law[0]) + 1 << law[0]
        length = jnp.where(law[0] >= 15, first - origin[0], jnp.uint32(2**31))
        inside = jnp.arange(problem.shape[0], dtype=jnp.uint32)[:, None] < length
        if problem.transpose:
            return super().events(problem, seed, origin, law, events & inside)
        sums = super().events(problem, seed, origin, law, events)
        return [jnp.where(inside, x, 0) for x in sums]


class TinyProbIsZero(Honest):
    fault = "a tiny prob is not 0"

    def events(self, problem, seed, origin, law, events):
        events = events & (law[0] < 24)
        return super().events(problem, seed, origin, law, events)


class CountsUpToTheLimit(Honest):
    """``limits <= count word`` for ``limits < count word``."""

    fault = "a count word is equal to a limit"

    def events(self, problem, seed, origin, law, events):
        limits = jnp.maximum(law[2:], 1) - 1
        law = jnp.concatenate([law[:2], limits])
        return super().events(problem, seed, origin, law, events)


class TailsAreCut(Honest):
    product = "dense"
    fault = "a weight is beyond 5 standard deviations"
    most = 5 << 16

    def dense(self, *operands):
        z = super().dense(*operands)
        return jnp.where(z == ABSENT, z, jnp.clip(z, -self.most, self.most))


class TailsAreCutInSums(Honest):
    fault = "a weight is beyond 5 standard deviations"
    most = 5 << 16

    def events(self, problem, seed, origin, law, events):
        n, z = super().events(problem, seed, origin, law, events)
        # Sums of one connection, the only ones that can be known to be too large.
        return n, jnp.where(n == 1, jnp.clip(z, -self.most, self.most), z)
