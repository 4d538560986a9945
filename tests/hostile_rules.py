# SPDX-License-Identifier: Apache-2.0
"""Backends that are wrong about the rules of connections, each by an honest mistake."""

from dataclasses import replace

import jax.numpy as jnp
from hostile_backends import Honest

from synjit import draw_jax
from synjit.reference import ABSENT
from synjit.reference.draw import NO_SELF_WORD, ROWS_WORD


def without_word(matrix, word):
    """Clear a word of the connectivity."""
    return matrix._replace(connectivity=matrix.connectivity.at[word].set(0))


class IgnoresSelfConnections(Honest):
    """As one that was written before there was such a thing."""

    fault = "it is as if there were self-connections: is self_connections ignored?"

    def product(self, problem, matrix, x):
        return super().product(problem, without_word(matrix, NO_SELF_WORD), x)


class OfDense(Honest):
    """One that makes its products of the dense matrix."""

    def product(self, problem, matrix, x):
        if problem.product == "floats":
            return super().product(problem, matrix, x)
        z = self.dense(problem, matrix)
        z = z.T if problem.transpose else z
        there = (z != ABSENT).astype(jnp.int32)
        x = x.astype(jnp.int32)
        return there @ x, (z * there) @ x


class DiagonalOfTheWindow(OfDense):
    """Row i and column i of the window are taken for one neuron."""

    fault = "as if row i and column i of the window were the same neuron"

    def dense(self, problem, matrix):
        if problem.self_connections or problem.rule != "bernoulli":
            return super().dense(problem, matrix)
        z = super().dense(problem, without_word(matrix, NO_SELF_WORD))
        m, n = problem.shape
        own = jnp.arange(m)[:, None] == jnp.arange(n)
        return jnp.where(own, ABSENT, z)


class LosesWhatWalks(Honest):
    """It takes the column for one chunk, and drops what lies beyond the last row."""

    fault = "as if connections beyond the last row were lost: they must walk on"

    def product(self, problem, matrix, x):
        if problem.rule == "fixed_out_degree":
            matrix = without_word(matrix, ROWS_WORD)
            problem = replace(problem, rule="bernoulli")
        return super().product(problem, matrix, x)


class WalksOnce(OfDense):
    """It applies P once more to what is outside, and looks no further."""

    fault = "as if P were applied once more, and not until inside"

    def dense(self, problem, matrix):
        if problem.rule == "bernoulli" or not problem.self_connections:
            return super().dense(problem, matrix)
        m, n = problem.shape
        rows = matrix.origin[0] + jnp.arange(m, dtype=jnp.uint32)[:, None]
        columns = matrix.origin[1] + jnp.arange(n, dtype=jnp.uint32)
        zeros = jnp.zeros_like(columns)
        keys = draw_jax.chunk_keys(
            matrix.seed,
            columns,
            zeros,
            matrix.connectivity,
            inverse=True,
            unrolled=False,
            rule="bernoulli",
        )
        k, last = matrix.connectivity[0], matrix.connectivity[ROWS_WORD]
        first = draw_jax.place_inverse(rows, keys, k)
        second = draw_jax.place_inverse(first, keys, k)
        number = jnp.where(first < last, first, second)
        inside = (first < last) | (second < last)
        z = draw_jax.weight(
            rows,
            draw_jax.weight_words(matrix.seed, columns, unrolled=False),
            matrix.weights,
        )
        return jnp.where(inside & (number < keys.counts), z, ABSENT)
