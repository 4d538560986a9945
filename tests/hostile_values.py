# SPDX-License-Identifier: Apache-2.0
"""Backends that are wrong for some weights, or mix up the blocks of a grid."""

import jax.numpy as jnp
import numpy as np
from hostile_backends import HonestWeighted


class NegativeWeight(HonestWeighted):
    fault = "w_loc=-0.3"

    def weighted(self, problem, matrix, x, w_loc, w_scale):
        return super().weighted(problem, matrix, x, abs(w_loc), w_scale)


class ZeroWeight(HonestWeighted):
    """As if w_loc of 0 meant that there is nothing to do."""

    fault = "w_loc=0"

    def weighted(self, problem, matrix, x, w_loc, w_scale):
        y = super().weighted(problem, matrix, x, w_loc, w_scale)
        return jnp.where((w_loc == 0).all(), 0, y)


class InfiniteWeight(HonestWeighted):
    fault = "w_loc=inf"

    def weighted(self, problem, matrix, x, w_loc, w_scale):
        y = super().weighted(problem, matrix, x, w_loc, w_scale)
        return jnp.where(jnp.isfinite(w_loc).all(), y, 0)


class RowsWithoutEvents(HonestWeighted):
    """They are written as 0, and not weighed: -0 or not a number, as may be."""

    fault = "synjit_weighted, w_loc=-0.3, w_scale=-1.7: y"

    def weighted(self, problem, matrix, x, *weights):
        n, z = self.sums(problem, matrix, x)
        y = super().weighted(problem, matrix, x, *weights)
        return jnp.where((n == 0) & (z == 0), 0, y)


class NinthBlockIsForgotten(HonestWeighted):
    asked = "weighted"
    fault = "of the groups of rows, only [2] are wrong"

    def weighted(self, problem, matrix, x, w_loc, w_scale):
        inside = np.arange(len(w_loc)) < 8
        w_loc, w_scale = (jnp.where(inside, w, 0) for w in (w_loc, w_scale))
        return super().weighted(problem, matrix, x, w_loc, w_scale)


class EqualBlocksAreExchanged(HonestWeighted):
    """Of those of one shape and one prob, it takes the seed of the last."""

    asked = "weighted"
    fault = "grid=((0.1,0.1,0.1,0.1),"

    def weighted(self, problem, matrix, *others):
        shapes = [problem.grid.shape(block) for block in problem.grid.blocks]
        shaped = np.array([[one == other for other in shapes] for one in shapes])
        words = matrix.connectivity
        alike = (words[:, None] == words[None]).all(-1) & shaped
        last = len(shapes) - 1 - jnp.argmax(alike[:, ::-1], axis=1)
        matrix = matrix._replace(seed=matrix.seed[last])
        return super().weighted(problem, matrix, *others)


class EqualSeedsAreOneMatrix(HonestWeighted):
    asked = "weighted"
    fault = "seeds=equal"

    def weighted(self, problem, matrix, *others):
        same = (matrix.seed[:, None] == matrix.seed[None]).all(-1)
        first = matrix.origin[jnp.argmax(same, 1)]
        return super().weighted(problem, matrix._replace(origin=first), *others)
