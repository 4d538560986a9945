# SPDX-License-Identifier: Apache-2.0
"""Exactly Bernoulli, exactly normal: a short form of the statistics."""

import numpy as np
import pytest
from scipy import stats

from synjit import primitives, reference
from synjit.hookspecs import Matrix, Problem

PROBS = [1e-4, 0.01, 0.1, 0.3, 0.5, 0.77, 0.9]
SHAPE = (4000, 4000)


def dense(prob, seed=5):
    law, table = reference.count_distribution(prob), reference.Normal().table
    words = np.array(reference.seed_words(seed), np.uint32)
    matrix = Matrix(words, np.zeros(2, np.uint32), law.encode(), table)
    known = (False, 0, "int32", True, law.log2_chunk, len(table))
    problem = Problem("dense", SHAPE, *known, platform="")
    return np.asarray(primitives.dense(matrix, problem, None))


@pytest.mark.quick
@pytest.mark.parametrize("prob", PROBS)
def test_density_and_degrees(prob):
    mask = dense(prob) != reference.ABSENT
    size = mask.size
    error = np.sqrt(prob * (1 - prob) / size)
    assert abs(mask.mean() - prob) < 4 * error
    binomial = SHAPE[0] * prob * (1 - prob)
    for axis in (0, 1):
        assert mask.sum(axis).var() == pytest.approx(binomial, rel=0.1)


@pytest.mark.parametrize("prob", [0.0, 1.0])
def test_none_and_all(prob):
    assert np.all((dense(prob) != reference.ABSENT) == bool(prob))


@pytest.mark.quick
def test_weights_are_normal():
    z = dense(0.5)
    z = z[z != reference.ABSENT] / 2**16
    n = z.size
    assert abs(z.mean()) < 4 / np.sqrt(n)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / n)
    assert abs(stats.skew(z)) < 4 * np.sqrt(6 / n)
    assert abs(stats.kurtosis(z)) < 4 * np.sqrt(24 / n)
    beyond = np.count_nonzero(np.abs(z) > 4.5)
    expected = n * 2 * stats.norm.sf(4.5)
    assert abs(beyond - expected) < 4 * np.sqrt(expected)


def test_seeds_and_columns_are_independent():
    a, b = (dense(0.5, seed) != reference.ABSENT for seed in (5, 6))
    n = a.size
    assert abs(np.mean(a == b) - 0.5) < 4 * 0.5 / np.sqrt(n)
    for other in (np.roll(a, 1, 0), np.roll(a, 1, 1), a.T):
        assert abs(np.mean(a == other) - 0.5) < 6 * 0.5 / np.sqrt(n)
