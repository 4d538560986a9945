# SPDX-License-Identifier: Apache-2.0
"""Backends that are wrong for some weights, or mix up the blocks of a grid."""

import jax.numpy as jnp
import numpy as np
from hostile_backends import HonestBlocks, HonestWeighted


class NegativeWeight(HonestWeighted):
    fault = "w_loc=-0.3"

    def weighted(self, *operands):
        *others, w_loc, w_scale = operands
        return super().weighted(*others, abs(w_loc), w_scale)


class ZeroWeight(HonestWeighted):
    """As if w_loc of 0 meant that there is nothing to do."""

    fault = "w_loc=0"

    def weighted(self, *operands):
        w_loc = operands[-2]
        return jnp.where(w_loc == 0, 0, super().weighted(*operands))


class InfiniteWeight(HonestWeighted):
    fault = "w_loc=inf"

    def weighted(self, *operands):
        y = super().weighted(*operands)
        return jnp.where(jnp.isfinite(operands[-2]), y, 0)


class RowsWithoutEvents(HonestWeighted):
    """They are written as 0, and not weighed: -0 or not a number, as may be."""

    fault = "synjit_weighted, w_loc=-0.3, w_scale=-1.7: y"

    def weighted(self, *operands):
        n, z = self.events(*operands[:-2])
        return jnp.where((n == 0) & (z == 0), 0, super().weighted(*operands))


class NinthBlockIsForgotten(HonestBlocks):
    fault = "of the groups of rows, only [2] are wrong"

    def blocks(self, *operands):
        *others, w_loc, w_scale = operands
        inside = np.arange(len(w_loc)) < 8
        w_loc, w_scale = (jnp.where(inside, w, 0) for w in (w_loc, w_scale))
        return super().blocks(*others, w_loc, w_scale)


class EqualBlocksAreExchanged(HonestBlocks):
    """Of those of one shape and one prob, it takes the seed of the last."""

    fault = "grid=((0.1,0.1,0.1,0.1),"

    def blocks(self, problem, seed, origin, law, *others):
        shapes = [problem.grid.shape(block) for block in problem.grid.blocks]
        shaped = np.array([[one == other for other in shapes] for one in shapes])
        alike = (law[:, None] == law[None]).all(-1) & shaped
        last = len(shapes) - 1 - jnp.argmax(alike[:, ::-1], axis=1)
        return super().blocks(problem, seed[last], origin, law, *others)


class EqualSeedsAreOneMatrix(HonestBlocks):
    fault = "seeds=equal"

    def blocks(self, problem, seed, origin, *others):
        same = (seed[:, None] == seed[None]).all(-1)
        return super().blocks(problem, seed, origin[jnp.argmax(same, 1)], *others)
