# SPDX-License-Identifier: Apache-2.0
"""Laws of delays: exact in every word, independent of the rest, and frozen."""

import json
from decimal import Decimal
from statistics import NormalDist

import numpy as np
import pytest

from synjit.reference import (
    Constant,
    Delays,
    Exponential,
    LogNormal,
    Matrix,
    Normal,
    TruncatedNormal,
    Uniform,
    Weights,
    delays,
    draw,
    golden,
    seed_words,
    weigh,
)

LAWS = [
    *golden.DELAYS,
    Delays(LogNormal(0.5), 0.5, 8),
    Delays(Weights.from_quantile(lambda u: 3 if u < Decimal("0.25") else 7), 0, 1),
    Delays(TruncatedNormal(-3, 3), 900, 160),
    Delays(Uniform(), 2, 0.4),  # narrower than a step
]
WORD = np.random.default_rng(20261127).integers(0, 2**32, 10**6, dtype=np.uint32)


def _words_of(table):
    """Count the words of each delay by the buckets of a table, not by looking up."""
    if len(table) == 1:
        return {int(table[0]): 2**32}
    b = (len(table) - 1).bit_length() - 1
    room, numbers = 2 ** (32 - b), {}
    for i, bucket in enumerate(table[1:].tolist()):
        own, alias = bucket >> b, bucket % 2**b
        for delay, number in ((i, own), (alias, room - own)):
            numbers[delay] = numbers.get(delay, 0) + number
    first = int(table[0])
    return {first + delay: number for delay, number in numbers.items() if number}


def test_golden_words():
    frozen = json.loads(golden.DELAYS_PATH.read_text())
    assert json.loads(json.dumps(golden.delay_vectors())) == frozen


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_every_word_counts_once(law):
    numbers = _words_of(law.table)
    assert sum(numbers.values()) == 2**32
    assert (min(numbers), max(numbers)) == law.bounds
    drawn = delays.look_up(law.table, WORD)
    found = np.bincount(drawn, minlength=law.bounds[1] + 1)[list(numbers)]
    assert found.sum() == WORD.size
    expected = np.array(list(numbers.values())) / 2**32 * WORD.size
    deviations = (found - expected) / np.sqrt(expected + 1)
    assert np.abs(deviations).max() < 5


def test_the_number_of_words_is_the_probability():
    law = Delays(TruncatedNormal(low=(0.5 - 15) / 7.5), 15.0, 7.5)
    normal, numbers = NormalDist(15.0, 7.5), _words_of(law.table)
    inside = 1 - normal.cdf(0.5)
    for d in range(1, 60):
        exact = (normal.cdf(d + 0.5) - normal.cdf(d - 0.5)) / inside
        assert abs(numbers[d] - exact * 2**32) < 3


def test_a_half_is_rounded_upwards():
    two_values = Weights.from_quantile(lambda u: 2.5 if u < Decimal("0.5") else 3.5)
    assert _words_of(Delays(two_values, 0, 1).table) == {3: 2**31, 4: 2**31}
    assert Delays(Constant(), 2.5, 1).table.tolist() == [3]


def test_delays_depend_on_nothing_else():
    """Not on the connections, on the weights, or on the delays nearby."""
    seed, law = seed_words(5), Delays(Uniform(), 8.5, 7.9)
    row, column = np.ogrid[:4000, :50]
    d = delays.delay(seed, row, column, law.table).astype(float)
    connected, z = draw.entry(seed, draw.count_distribution(0.3), row, column)
    neighbours = [np.roll(d, 1, 0), np.roll(d, 1, 1), np.roll(d, 16, 0)]
    for other in (connected, z, np.abs(z), z & 255, *neighbours):
        assert abs(np.corrcoef(d.ravel(), other.ravel())[0, 1]) * d.size**0.5 < 4
    other_seed = delays.delay(seed_words(6), row, column, law.table)
    assert abs(np.corrcoef(d.ravel(), other_seed.ravel())[0, 1]) * d.size**0.5 < 4


def test_what_is_delivered_is_the_product_spread_over_slots():
    matrix, law = Matrix(9, 0.2, (70, 40), origin=(3, 2)), Delays(Uniform(), 5, 4.4)
    events = np.random.default_rng(1).random((40, 3)) < 0.5
    n, z = delays.deliver(matrix, law, events, 16, now=30)
    for ring, whole in zip((n, z), matrix.events(events), strict=True):
        assert ring.shape == (16, 70, 3)
        np.testing.assert_array_equal(ring.sum(axis=0), whole)
    rows, columns = np.nonzero(matrix.dense() > -(2**31))
    d = delays.delay(matrix.seed, rows + 3, columns + 2, law.table)
    for slot in range(16):
        now = (30 + d) % 16 == slot
        dense = np.zeros((70, 40), int)
        dense[rows[now], columns[now]] = 1
        np.testing.assert_array_equal(n[slot], dense @ events)
    assert np.isfinite(weigh(np.float32(1), np.float32(1), n, z)).all()


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (Delays(Normal(), 15, 7.5), "delays of -.* to .* steps, and 1 to"),
        (Delays(Exponential(), 0, 1), "delays of 0 to"),
        (Delays(Constant(), 40000, 1), "delays of 40000"),
        (Delays(Uniform(), 2000, 1000), "may span 1024"),
    ],
)
def test_delays_that_cannot_be(law, message):
    with pytest.raises(ValueError, match=message):
        _ = law.table


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((1.0, 2, 3), TypeError, "law of delays"),
        ((Uniform(), "2", 3), TypeError, "loc of Delays must be a real number"),
        ((Uniform(), 2, float("inf")), ValueError, "scale of Delays must be finite"),
        ((Uniform(), float("nan"), 1), ValueError, "loc of Delays must be finite"),
        ((Uniform(), 2, -1), ValueError, "must not be negative"),
    ],
)
def test_parameters_that_are_none(arguments, error, message):
    with pytest.raises(error, match=message):
        Delays(*arguments)


def test_a_ring_that_is_too_short():
    matrix, law = Matrix(9, 0.2, (70, 40)), Delays(Uniform(), 5, 4.4)
    with pytest.raises(ValueError, match="needs 10 slots, and this one has 9"):
        delays.deliver(matrix, law, np.ones((40, 1), bool), 9, 0)
