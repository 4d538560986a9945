# SPDX-License-Identifier: Apache-2.0
"""The short form of the battery, the law of the weights, and what must be caught."""

import functools

import numpy as np
import pytest
from battery import defects, plan, steps, weight_law, wrong_places, wrong_weights
from battery.findings import from_anderson_darling, from_ks, holm
from battery.matrices import rank_law
from battery.sources import open_source
from long import long_unless

from synjit.reference import (
    LogNormal,
    Normal,
    TruncatedNormal,
    draw,
    normal,
    quantile_table,
)

SEED = 8

# The statistic that each planted defect was made for: it must be among those that fail.
TELLS = {
    wrong_places.TwoRounds: "triples of classes, highest bits",
    wrong_places.FewRounds: "mates: mean",
    wrong_places.FourRounds: "mates: variance",
    wrong_places.UnkeyedMultipliers: "mates: mean",
    wrong_places.OneWordForAllRounds: "pairs of classes, lowest bits",
    wrong_places.NoBijection: "gaps along columns",
    wrong_places.SameKeysInEveryChunk: "next chunk: same place",
    wrong_places.SameKeysInTwoColumns: "column bit 0: same place",
    wrong_places.ColumnsComeAgain: "column bit 6: counts",
    wrong_places.SeedBitIgnored: "seed bit 0: same place",
    wrong_places.SharedCountWord: "next chunk: counts",
    wrong_places.BiasedThresholds: "degrees of columns: variance",
    wrong_places.FixedCounts: "count of a chunk",
    wrong_places.RoundedStride: "density",
    wrong_weights.WeightsWithoutColumn: "weight and the next of its row",
    wrong_weights.WeightsOfRowPairs: "weight and weight, rows that differ in a bit",
    wrong_weights.SymmetricWeights: "weight and weight, transposed",
    wrong_weights.WeakWeightHash: "determinant of G G'",
    wrong_weights.WeightsByPlace: "weight and bits of its row",
    wrong_weights.SumOfUniforms: "moment 4",
    wrong_weights.CoarseWeights: "Kolmogorov-Smirnov",
    wrong_weights.HeavyTails: "above 6.0",
    wrong_weights.WeightsFollowMask: "weight and degree of its row",
    wrong_weights.SymmetricMatrix: "cycles of 2",
    wrong_weights.ToeplitzMatrix: "cycles of 3",
}


@functools.cache
def failures(defect):
    findings = [f for f in plan.run(defect(), plan.TINY, SEED) if f.size]
    return {f.statistic for f in findings}, {f.statistic for f in holm(findings)}


@pytest.mark.long
def test_every_short_statistic_passes():
    findings = [f for f in plan.run(open_source("synjit"), plan.SHORT, SEED) if f.size]
    assert len(findings) > 1000
    assert holm(findings) == []


@pytest.mark.long
def test_another_generator_passes_the_same_statistics():
    assert not failures(functools.partial(open_source, "control"))[1]


@pytest.mark.long
def test_what_the_defects_stand_on_is_the_draw():
    ours = defects.Draw().connections(SEED, 0.06, (5000, 7))
    theirs = open_source("synjit").connections(SEED, 0.06, (5000, 7))
    assert ours.shape == theirs.shape
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        assert np.array_equal(a, b)


# The others take a minute more: ``make stats`` goes through all, and asks that every
# statistic fails on some defect.
@pytest.mark.parametrize("defect", defects.DEFECTS[::8], ids=lambda d: d.name)
def test_a_planted_defect_is_caught(defect):
    assert any(name.startswith(TELLS[defect]) for name in failures(defect)[1])


def test_every_defect_has_a_statistic_that_tells_it():
    assert set(TELLS) == set(defects.DEFECTS)


# --- the weights' law -----------------------------------------------------------------


@functools.cache
def counts_of(weights):
    return weight_law.count_words(weights.table)


def test_weights_of_a_general_table_pass_their_part_of_the_battery():
    source = steps.OtherWeights(LogNormal(1))
    findings = [f for f in plan.weights_alone(source, plan.TINY, SEED) if f.size]
    assert len(findings) > 150
    assert holm(findings) == []


def test_the_normal_law_is_within_2_to_the_minus_17_of_the_normal():
    law = weight_law.weight_law(Normal(), counts_of(Normal()))
    assert law.kolmogorov < 2**-17
    assert law.mean == law.skewness == 0
    assert abs(law.variance - 1) < 2e-7
    assert abs(law.kurtosis - 3) < 1e-6
    assert law.largest == -law.smallest == normal.standard_normal(0)[0] / 2**16


@pytest.mark.parametrize(
    "weights", long_unless(lambda i, _: i % 3 == 0, weight_law.LAWS), ids=repr
)
def test_every_law_is_near_what_it_stands_for(weights):
    counts = counts_of(weights)
    law = weight_law.weight_law(weights, counts)
    meant = weight_law.distribution(weights)
    mean, variance, skewness = map(float, meant.stats("mvs"))
    long = {LogNormal(1.5): 2e-4, LogNormal(2): 6e-3}  # the tail beyond the words
    assert counts.words.sum() == 2**32
    assert law.kolmogorov < weight_law.LAWS[weights]
    assert abs(law.mean - mean) < 2e-7 * variance**0.5
    assert law.variance == pytest.approx(variance, rel=long.get(weights, 3e-6))
    if weights not in long:
        assert law.skewness == pytest.approx(skewness, rel=3e-4)
    low, high = weights.support()
    assert low < law.smallest
    assert law.largest < high
    z_mean = counts.z @ counts.words / 2**32
    assert abs(z_mean) <= 0.5 + 1e-2, "sums of z grow as the root of their number"


@pytest.mark.parametrize(
    "weights", [Normal(), LogNormal(1), TruncatedNormal(-1, 2.5)], ids=repr
)
def test_the_counts_are_what_words_give(weights):
    """As many words of a side give z or more beyond it as are counted."""
    z, words = counts_of(weights)
    some = (2.0 ** np.linspace(1, 31, 300) - 1).astype(np.uint32)
    for side, sign in ((0, 1), (2**31, -1)):
        given = quantile_table.look_up(weights.table, some | np.uint32(side))
        for value in np.unique(given):
            low, high = 0, 2**31
            while low < high:  # z falls (rises) as the word rises: find the words below
                middle = (low + high) // 2
                there = quantile_table.look_up(weights.table, side + middle)[0]
                beyond = sign * (int(there) - int(value)) > 0
                low, high = (middle + 1, high) if beyond else (low, middle)
            assert low == words[sign * (z - value) > 0].sum()


# --- the laws of the statistics ---------------------------------------------------


def test_known_critical_values():
    assert from_anderson_darling("", 1, 2.492).p / 2 == pytest.approx(0.05, rel=0.01)
    assert from_anderson_darling("", 1, 3.857).p / 2 == pytest.approx(0.01, rel=0.03)
    assert from_ks("", 1, 1.358 / 1e4, 1e8).p / 2 == pytest.approx(0.05, rel=0.01)


def test_ranks_of_fair_bits():
    law = rank_law(64)
    assert sum(law) == pytest.approx(1)
    assert law[:3] == pytest.approx([0.288788, 0.577576, 0.128350], rel=1e-5)
    every = [np.array([[a, b], [c, d]]) for a, b, c, d in np.ndindex(2, 2, 2, 2)]
    full = sum(round(np.linalg.det(x)) % 2 for x in every)
    assert rank_law(2)[0] == full / 16


def test_blocks_of_the_battery_are_the_chunks_of_the_draw():
    for prob in plan.PROBS:
        assert plan.pairs.log2_block(np.float32(prob)) == draw.log2_chunk(prob)
