# SPDX-License-Identifier: Apache-2.0
"""The reference does what its sources say, and what was frozen once."""

import json
from fractions import Fraction
from math import comb
from statistics import NormalDist

import mpmath
import numpy as np
import pytest
from scipy import stats

from synjit.reference import (
    Matrix,
    count_distribution,
    draw,
    entry,
    golden,
    normal,
    quantile_table,
    seed_words,
    threefry,
)

PROBS = [0.0, 1e-6, 0.003, 0.1, 0.25, 0.5, 0.77, 0.9, 1.0]


@pytest.mark.parametrize(
    ("key", "counter", "words"),
    [  # kat_vectors of Random123, threefry2x32 with 20 rounds
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        (
            (0x13198A2E, 0x03707344),
            (0x243F6A88, 0x85A308D3),
            (0xC4923A9C, 0x483DF7A0),
        ),
    ],
)
def test_threefry_gives_the_published_answers(key, counter, words):
    assert tuple(int(w[0]) for w in threefry.threefry2x32(key, counter)) == words


def test_threefry_is_that_of_jax():
    from jax.extend.random import threefry_2x32

    key = np.array([123, 2**31 + 7], np.uint32)
    counter = np.arange(64, dtype=np.uint32)
    ours = threefry.threefry2x32((key[0], key[1]), (counter[:32], counter[32:]))
    assert np.array_equal(np.concatenate(ours), threefry_2x32(key, counter))


# --- the normal -----------------------------------------------------------------------


def _quantile(p):
    """-Phi^-1(p), by Newton's method from a float's guess."""
    if p == mpmath.mpf(1) / 2:
        return mpmath.mpf(0)
    guess = -NormalDist().inv_cdf(float(p))
    return mpmath.findroot(
        lambda z: mpmath.log(mpmath.erfc(z / mpmath.sqrt(2)) / 2) - mpmath.log(p), guess
    )


def test_every_cell_of_the_normal_table_follows_the_rule():
    def cell(octave, number):
        return [
            _quantile(mpmath.mpf(number + 64 + part) / 2 ** (octave + 8)) * 2**16
            for part in (0, mpmath.mpf(0.5), 1)
        ]

    with mpmath.workdps(40):
        rule = [
            quantile_table.symmetric_word(*cell(octave, number))
            for octave in range(normal.OCTAVES)
            for number in range(2**normal.CELL_BITS)
        ]
    assert rule == normal.TABLE.tolist()


def test_the_normal_is_near_the_quantile_everywhere():
    words = np.concatenate(
        [
            np.linspace(0, 2**31 - 1, 20001).astype(np.uint32),
            np.arange(200, dtype=np.uint32),
            (2 ** np.arange(31)).astype(np.uint32),
        ]
    )
    p = (2 * words.astype(np.float64) + 1) / 2**33
    z = normal.standard_normal(words) / 2**normal.UNIT_BITS
    assert np.abs(z - stats.norm.isf(p)).max() < 2**-15


def test_the_normal_is_symmetric():
    words = np.random.default_rng(1).integers(0, 2**31, 10000, dtype=np.uint32)
    mirrored = words | np.uint32(2**31)
    z = normal.standard_normal(words)
    assert np.array_equal(z, -normal.standard_normal(mirrored))
    assert np.all(z >= 0)


# --- counts ---------------------------------------------------------------------------


@pytest.mark.parametrize("prob", [0.25, 0.3, 0.5, 0.77, 0.9, 1 - 2**-24, 2**-10 * 80])
def test_thresholds_of_short_chunks_are_exact(prob):
    p = Fraction(float(np.float32(prob)))
    chunk = 2 ** draw.log2_chunk(prob)
    cdf, expected = Fraction(0), []
    for k in range(chunk + 1):
        cdf += comb(chunk, k) * p**k * (1 - p) ** (chunk - k)
        expected.append(int(cdf * 2**32 + Fraction(1, 2)))
        if expected[-1] == 2**32:
            break
    assert draw.thresholds(prob) == expected


@pytest.mark.parametrize("prob", [1e-12, 1e-6, 0.003, 0.01, 0.1])
def test_thresholds_of_long_chunks_agree_with_high_precision(prob):
    p = mpmath.mpf(float(np.float32(prob)))
    chunk = 2 ** draw.log2_chunk(prob)
    steps = draw.thresholds(prob)
    with mpmath.workdps(60):
        for k in range(0, len(steps), 7):
            cdf = (
                mpmath.nsum(
                    lambda i: (
                        mpmath.binomial(chunk, int(i))
                        * p ** int(i)
                        * mpmath.exp((chunk - int(i)) * mpmath.log1p(-p))
                    ),
                    [0, k],
                )
                if k
                else mpmath.exp(chunk * mpmath.log1p(-p))
            )
            assert steps[k] == int(mpmath.floor(cdf * 2**32 + mpmath.mpf(1) / 2))


@pytest.mark.parametrize("prob", PROBS)
def test_the_expected_count_is_that_of_the_prob(prob):
    counts = count_distribution(prob)
    steps = np.array([0] * counts.base + (counts.limits.astype(int) + 1).tolist())
    mean = np.sum(1 - steps / 2**32) + counts.base * 0
    chunk = 2**counts.log2_chunk
    assert mean == pytest.approx(chunk * float(np.float32(prob)), rel=1e-7, abs=1e-7)


def test_the_largest_word_does_not_fill_a_chunk():
    assert count_distribution(0.1).draw_count(np.uint32(2**32 - 1)) < 200
    assert count_distribution(0.0).draw_count(np.uint32(2**32 - 1)) == 0
    assert count_distribution(1.0).draw_count(np.uint32(0)) == 2**draw.MIN_LOG2_CHUNK


def test_limits_always_fit():
    probs = np.concatenate(
        [
            np.linspace(0, 1, 101),
            2.0 ** -np.arange(0, 60, 0.37),
            1 - 2.0 ** -np.arange(25),
        ]
    )
    for prob in probs:
        assert (
            len(draw.thresholds(prob)) - count_distribution(prob).base
            <= draw.MAX_LIMITS + 1
        )


# --- places ---------------------------------------------------------------------------


@pytest.mark.parametrize("log2_chunk", [8, 9, 10, 13])
def test_places_are_a_permutation_and_the_inverse_undoes_it(log2_chunk):
    t = np.arange(2**log2_chunk, dtype=np.uint32)
    keys = draw.chunk_keys((1, 2), 3, 4)
    places = draw.place(t, keys, log2_chunk)
    assert np.array_equal(np.sort(places), t)
    assert np.array_equal(draw.place_inverse(places, keys, log2_chunk), t)


def test_the_inverse_undoes_the_longest_chunks():
    t = np.random.default_rng(2).integers(0, 2**31, 1000, dtype=np.uint32)
    keys = draw.chunk_keys((1, 2), 3, 4)
    assert np.array_equal(draw.place_inverse(draw.place(t, keys, 31), keys, 31), t)


@pytest.mark.parametrize("prob", PROBS)
def test_listing_a_column_and_asking_for_entries_agree(prob):
    matrix = Matrix(7, prob, (700, 20), origin=(300, 2))
    connected, z = entry(
        matrix.seed,
        matrix.connectivity,
        300 + np.arange(700)[:, None],
        2 + np.arange(20),
    )
    dense = matrix.dense()
    assert np.array_equal(dense != -(2**31), connected)
    assert np.array_equal(dense[connected], z[connected])


def test_a_smaller_matrix_is_the_corner_of_a_larger_one():
    large, small = Matrix(5, 0.3, (900, 30)), Matrix(5, 0.3, (401, 7))
    assert np.array_equal(large.dense()[:401, :7], small.dense())


def test_seeds_are_words_of_two_s_complement():
    assert seed_words(42) == (42, 0)
    assert seed_words(-1) == (2**32 - 1, 2**32 - 1)
    assert seed_words(2**63) == seed_words(-(2**63)) == (0, 2**31)
    for bad in (2**64, -(2**63) - 1):
        with pytest.raises(ValueError, match=r"\[-2\*\*63, 2\*\*64\)"):
            seed_words(bad)


# --- what was frozen ------------------------------------------------------------------


@pytest.mark.parametrize(
    "part", ["draw_version", "normal", "laws", "chunks", "matrices"]
)
def test_the_draw_is_what_was_frozen(part):
    frozen = json.loads(golden.PATH.read_text())
    now = json.loads(json.dumps(golden.vectors()[part]))
    assert now == frozen[part]
