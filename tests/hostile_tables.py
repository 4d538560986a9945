# SPDX-License-Identifier: Apache-2.0
"""Backends that look weights up in another table than they are given, or misread it."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from hostile_backends import Honest, HonestWeighted

from synjit import draw_jax
from synjit.reference import ABSENT, Normal
from synjit.reference.quantile_table import CELL_BITS, CELLS, GENERAL_WORDS

NORMAL = Normal().table


class OwnTable(Honest):
    """One that is right about tables of no law but its own."""

    def table(self, weights):
        """Give the table that is read where this one is given."""
        return weights

    def product(self, problem, matrix, x):
        weights = self.table(matrix.weights)
        problem = replace(problem, weights=len(weights))
        return super().product(problem, matrix._replace(weights=weights), x)


class HardWiresTheNormal(OwnTable):
    fault = "it is as if the table of weights were the normal's: is it fixed?"

    def table(self, weights):
        return jnp.asarray(NORMAL)


class ComputesConstants(OwnTable):
    fault = "a table of no words is that of constant weights: z must be 0"

    def table(self, weights):
        return weights if len(weights) else jnp.asarray(NORMAL)


class LowerSideIsTheUpper(OwnTable):
    fault = "it is as if the lower side of the table were the upper one"

    def table(self, weights):
        if len(weights) != GENERAL_WORDS:
            return weights
        return weights.reshape(2, 2, CELLS)[:, np.array([0, 0])].ravel()


class FirstOctavesOnly(OwnTable):
    """As many as are met in a matrix of a million entries."""

    fault = "a weight is looked up in octave 21 of the table"

    def table(self, weights):
        if len(weights) != GENERAL_WORDS:
            return weights
        octaves = np.minimum(np.arange(CELLS) >> CELL_BITS, 20)
        cells = (octaves << CELL_BITS) | (np.arange(CELLS) & 2**CELL_BITS - 1)
        return weights.reshape(4, CELLS)[:, cells].ravel()


class FallsOnTheLowerSide(Honest):
    """It drops the slope's sign there, at which values rise."""

    fault = "it is as if values fell across the cells of the lower side"

    def product(self, problem, matrix, x):
        n, z = super().product(problem, matrix, x)
        if len(matrix.weights) != GENERAL_WORDS or problem.product != "events":
            return n, z
        (m, k), (row, column) = problem.shape, matrix.origin
        rows = row + jnp.arange(m, dtype=jnp.uint32)[:, None]
        columns = column + jnp.arange(k, dtype=jnp.uint32)
        words = draw_jax.weight_words(tuple(matrix.seed), columns)
        word = draw_jax.weight_hash(rows, words)
        exchanged = matrix.weights.reshape(2, 2, CELLS)[:, ::-1].ravel()
        lower = draw_jax.look_up(exchanged, word & np.uint32(2**31 - 1))
        upper = draw_jax.look_up(matrix.weights, word)
        weights = jnp.where(word >> 31 == 1, lower, upper)
        dense = replace(problem, product="dense", transpose=False, batch=0)
        weights = jnp.where(self.dense(dense, matrix) == ABSENT, 0, weights)
        weights = weights.T if problem.transpose else weights
        return n, weights @ x.astype(jnp.int32)


class TableOfTheFirstBlock(HonestWeighted):
    asked = "weighted"
    fault = "it is as if every block had the table of weights of the first"

    def weighted(self, problem, *operands):
        grid = problem.grid
        first = grid.blocks[0].table
        blocks = tuple(block._replace(table=first) for block in grid.blocks)
        problem = replace(problem, grid=grid._replace(blocks=blocks))
        return super().weighted(problem, *operands)
