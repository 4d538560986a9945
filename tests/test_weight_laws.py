# SPDX-License-Identifier: Apache-2.0
"""Laws of weights: their tables are exact, bounded, centred, and frozen."""

import json
from decimal import Decimal
from statistics import NormalDist

import mpmath
import numpy as np
import pytest

from synjit.reference import (
    ABSENT,
    Constant,
    Exponential,
    FromQuantile,
    LogNormal,
    Matrix,
    Normal,
    TruncatedNormal,
    Uniform,
    Weights,
    draw,
    entry,
    golden,
    normal,
    quantile_table,
)
from synjit.reference.quantile_table import CELLS, look_up

INF = float("inf")
LAWS = [
    Constant(),
    Normal(),
    Uniform(),
    LogNormal(0.5),
    TruncatedNormal(low=0),
    TruncatedNormal(-2, 2),
    Exponential(),
]


# --- the look-up ----------------------------------------------------------------------


def _z(table, word):
    """The look-up of the general form, in Python's integers."""
    w = 2 * (word % 2**31) + 1
    octave = 32 - w.bit_length()
    aligned = w << octave
    cell, fraction = aligned >> 25 & 63, aligned >> 13 & 4095
    index = (word >> 31) << 11 | octave << 6 | cell
    base, slope = int(table[index]), int(table[4096 + index])
    change = slope * fraction % 2**32 >> 12
    quarters = (base + change if word >> 31 else base - change) % 2**32
    return (quarters - 2**32 if quarters >= 2**31 else quarters) >> 2


@pytest.mark.parametrize("slope_bits", [20, 32])
def test_any_words_are_a_table(slope_bits):
    rng = np.random.default_rng(slope_bits)
    table = rng.integers(0, 2**32, 8192, np.uint32)
    table[4096:] >>= np.uint32(32 - slope_bits)
    words = rng.integers(0, 2**32, 3000, np.uint32)
    words = np.concatenate([words, words >> words % 32, words >> words % 32 | 2**31])
    words = words.astype(np.uint32)
    assert look_up(table, words).tolist() == [_z(table, int(w)) for w in words]
    assert np.unique(words >> np.uint32(31)).tolist() == [0, 1]


def test_a_table_of_another_length_is_refused():
    with pytest.raises(
        ValueError, match="0, 2048 or 8192 words, and this one has 4096"
    ):
        look_up(np.zeros(4096, np.uint32), 0)


# --- the tables -----------------------------------------------------------------------


def test_the_laws_are_what_was_frozen():
    frozen = json.loads(golden.WEIGHTS_PATH.read_text())
    assert json.loads(json.dumps(golden.weight_vectors())) == frozen


def test_the_normal_keeps_its_words():
    """They are also what the builder makes of the whole normal."""
    assert Normal().table is normal.TABLE
    whole = TruncatedNormal()
    assert np.array_equal(whole.table, normal.TABLE)
    assert (whole.mean, whole.spread) == (0, 1)


def _tail(z):
    return mpmath.erfc(z / mpmath.sqrt(2)) / 2


def _normal_quantile(p):
    """The z that is exceeded with probability p, which may be above 1/2."""
    if p > 0.5:
        return -_normal_quantile(1 - p)
    guess = -NormalDist().inv_cdf(float(p))
    if abs(guess) < 1e-10:
        guess = 0.01
    return mpmath.findroot(lambda z: mpmath.log(_tail(z)) - mpmath.log(p), guess)


def _quantile(law, p, upper):
    """Quantiles by another package, and by other formulas where there are any."""
    sign = 1 if upper else -1
    match law:
        case Normal():
            return sign * _normal_quantile(p)
        case Uniform():
            return sign * (1 - 2 * p)
        case LogNormal(sigma):
            return mpmath.exp(mpmath.mpf(sigma) * sign * _normal_quantile(p))
        case Exponential():
            return -mpmath.log(p) if upper else -mpmath.log1p(-p)
        case TruncatedNormal(low, high):
            # upside down, so that the tail that is asked for is an upper one
            a, b = (low, high) if upper else (-high, -low)
            rest = _tail(mpmath.mpf(b))
            return sign * _normal_quantile(rest + p * (_tail(mpmath.mpf(a)) - rest))
    raise NotImplementedError(law)


@pytest.mark.parametrize(
    "law",
    [
        Uniform(),
        LogNormal(0.01),
        LogNormal(1),
        LogNormal(2),
        TruncatedNormal(low=0),
        TruncatedNormal(high=-1),
        TruncatedNormal(-2, 2),
        TruncatedNormal(-1, 2.5),
        TruncatedNormal(5, 7),
        Exponential(),
    ],
    ids=repr,
)
def test_cells_of_every_table_follow_the_rule(law):
    """Held to mpmath: in every cell of some octaves, in some of every octave."""
    unit = mpmath.mpf(law.spread) / 2**16
    mean = mpmath.mpf(law.mean)
    bounds = [(mpmath.mpf(b) - mean) / unit for b in law.support()]
    table = law.table.astype(np.int64)
    with mpmath.workdps(40):
        for side in (True,) if law.is_symmetric() else (True, False):
            for number in range(0, CELLS, 41):
                octave, cell = divmod(number, 64)
                p = [
                    mpmath.mpf(128 + 2 * cell + k) / 2 ** (octave + 9) for k in range(3)
                ]
                x = [(_quantile(law, q, side) - mean) / unit for q in p]
                if law.is_symmetric():
                    expected = quantile_table.symmetric_word(*x)
                    found = table[number]
                else:
                    words = quantile_table.general_words(*x, octave, side)
                    expected = (words[0] % 2**32, words[1])
                    at = number if side else CELLS + number
                    found = table[at], table[2 * CELLS + at]
                if min(abs(b - v) for b in bounds for v in x) > 64:
                    assert found == expected, (side, octave, cell)


@pytest.mark.parametrize("law", [LogNormal(1), TruncatedNormal(-1, 2.5)], ids=repr)
def test_mean_and_spread_are_those_of_the_law(law):
    if law == LogNormal(1):
        mean, variance = mpmath.exp(0.5), (mpmath.e - 1) * mpmath.e
    else:
        density = [mpmath.npdf(b) for b in law.support()]
        mass = mpmath.ncdf(2.5) - mpmath.ncdf(-1)
        mean = (density[0] - density[1]) / mass
        variance = 1 + (-density[0] - 2.5 * density[1]) / mass - mean**2
    unit = law.spread / 2**16
    assert law.mean / unit == round(law.mean / unit)
    assert abs(law.mean - mean) < 0.51 * unit
    assert law.spread <= mpmath.sqrt(variance) < 2 * law.spread


@pytest.mark.parametrize(
    "bounds",
    [(0, INF), (-INF, -1), (-2, 2), (-1, 2.5), (5, INF), (12, INF), (-1e-3, 2e-3)],
)
def test_the_truncated_normal_stays_inside_in_float32(bounds):
    """Whatever the word, where loc is at most 16 times the scale times the spread.

    Bases and ends of cells hold the extreme values: a line has none between.
    """
    law = TruncatedNormal(*bounds)
    starts = np.arange(64, 128, dtype=np.uint64)[:, None] << np.uint64(25)
    w = starts >> np.arange(32, dtype=np.uint64)
    nearby = (w[..., None] + np.arange(-3, 4, 2).astype(np.uint64)).ravel() >> 1
    words = (nearby % 2**31).astype(np.uint32)
    z = np.unique(look_up(law.table, np.concatenate([words, words | np.uint32(2**31)])))
    for at, size in [(0, 1), (0, -3), (1, 0.7), (-16, 1), (16, 1e-3)]:
        loc, scale = np.float32(at * size * law.spread), np.float32(size)
        a, b = law.coefficients(loc, scale)
        weight = a + b * (z.astype(np.float32) * np.float32(2**-16))
        assert weight.dtype == np.float32
        ends = sorted(float(loc) + float(scale) * bound for bound in bounds)
        assert ends[0] < weight.min()
        assert weight.max() < ends[1]


def test_sums_of_a_million_lognormal_weights_are_far_from_the_ends_of_int32():
    law = LogNormal(1)
    z = draw.weight((3, 4), np.arange(10**6), 5, law.table)
    total = sum(z.tolist())
    assert abs(total) < 2**29
    assert int(z.sum(dtype=np.int32)) == total
    x = 10**6 * law.mean + law.spread * total / 2**16
    assert x == pytest.approx(10**6 * np.exp(0.5), rel=0.01)


# --- the laws -------------------------------------------------------------------------


@pytest.mark.parametrize("law", [*LAWS, TruncatedNormal(high=1), golden.LAWS[-1]])
def test_a_law_is_a_value(law):
    from synjit import reference

    names = vars(reference) | {"logistic": golden.logistic}
    again = eval(repr(law), names)
    assert again == law
    assert hash(again) == hash(law)
    assert len(again.table) == 0 or again.table is law.table, "built once"
    assert not law.table.flags.writeable or len(law.table) == 0
    assert sum(law == other for other in {*LAWS, law}) == 1


def test_parameters_are_compared_as_numbers():
    assert LogNormal(1) == LogNormal(np.float32(1.0))
    assert repr(TruncatedNormal(low=-0.0)) == repr(TruncatedNormal(0))
    assert LogNormal(1) != LogNormal(2)


@pytest.mark.parametrize("bad", ["1", None, True, 1j, np.ones(1), [1.0]], ids=repr)
@pytest.mark.parametrize("make", [LogNormal, TruncatedNormal])
def test_parameters_are_real_numbers(make, bad):
    with pytest.raises(TypeError, match="must be a real number"):
        make(bad)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogNormal(0), "positive and finite, got 0.0"),
        (lambda: LogNormal(-1), "positive and finite"),
        (lambda: LogNormal(INF), "positive and finite"),
        (lambda: LogNormal(float("nan")), "must be a number, got nan"),
        (lambda: LogNormal(2.5).table, "too long tails"),
        (lambda: LogNormal(1e300).table, "must be finite"),
        (lambda: LogNormal(1e-7).table, "put the mean into the loc"),
        (lambda: TruncatedNormal(1, 1), "low must be below high, got 1.0 and 1.0"),
        (lambda: TruncatedNormal(13), r"beyond 12 standard deviations.*Exponential"),
        (lambda: TruncatedNormal(high=-13), "beyond 12 standard deviations"),
        (lambda: TruncatedNormal(12, 12.1).table, "too near each other"),
        (lambda: Weights().table, "no quantile function"),
    ],
)
def test_parameters_that_make_no_law(make, message):
    with pytest.raises((ValueError, NotImplementedError), match=message):
        make()


# --- anybody's own --------------------------------------------------------------------


def test_any_quantile_function_makes_a_law():
    law = Weights.from_quantile(lambda u: -(1 - u).ln(), low=0)
    assert isinstance(law, FromQuantile)
    assert np.array_equal(law.table, Exponential().table)
    assert (law.mean, law.spread) == (1, 1)
    short = Weights.from_quantile(lambda u: 2 * u - 1, -1, 1, symmetric=True)
    assert np.array_equal(short.table, Uniform().table)


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_law_with_jumps_stays_between_its_values(symmetric):
    """-1 or 1 with probability 1/8 each, else 0; a jump is a ramp over one cell."""

    def function(u):
        return int(u > Decimal(7) / 8) - int(u < Decimal(1) / 8)

    law = Weights.from_quantile(function, symmetric=symmetric)
    words = np.random.default_rng(2).integers(0, 2**32, 10**6, np.uint32)
    x = law.mean + law.spread * look_up(law.table, words) / 2**16
    assert np.abs(x).max() < 1 + 2**-16
    near = [np.mean(np.abs(x - value) < 2**-15) for value in (-1, 0, 1)]
    assert near == pytest.approx([1 / 8, 3 / 4, 1 / 8], abs=2**-8 + 2e-3)


@pytest.mark.parametrize(
    ("function", "bounds", "symmetric"),
    [
        (lambda u: 2 * (u > Decimal("0.75")), (0, 2), False),
        (lambda u: 2 * (u > Decimal("0.25")), (0, 2), False),
        (lambda u: 0.9 * int((u - Decimal("0.5")) * 8 / 3), (-0.9, 0.9), True),
    ],
)
def test_a_jump_from_bound_to_bound_keeps_both(function, bounds, symmetric):
    law = Weights.from_quantile(function, *bounds, symmetric=symmetric)
    words = np.random.default_rng(2).integers(0, 2**32, 10**6, np.uint32)
    x = law.mean + law.spread * look_up(law.table, words) / 2**16
    assert bounds[0] + law.spread * 2**-16 <= x.min() < bounds[0] + law.spread * 2**-13
    assert bounds[1] - law.spread * 2**-13 < x.max() <= bounds[1] - law.spread * 2**-16


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (lambda u: -u, {}, "falls from .*must rise, or stay"),
        (lambda u: 3, {}, r"one value only: use Constant\(\)"),
        (lambda u: float("nan"), {}, "gave NaN; it must be finite"),
        (lambda u: INF if u > 0.9 else 0, {}, "gave Infinity"),
        (lambda u: u * 10**30, {}, "put the size into the scale"),
        (lambda u: u + 10**30, {}, "put the mean into the loc"),
        (lambda u: 1 / (1 - u) - 1 / u, {}, "too long tails"),
        (lambda u: u, {"low": 0.25}, "its bounds are 0.25 and"),
        (lambda u: u, {"symmetric": True}, "not symmetric about 0"),
        (lambda u: u, {"low": 1, "high": 0}, "low must be below high"),
    ],
)
def test_what_is_not_a_quantile_function(function, options, message):
    with pytest.raises(ValueError, match=message):
        Weights.from_quantile(function, **options).table  # noqa: B018


def test_what_a_quantile_function_raises_comes_with_its_probability():
    with pytest.raises(ZeroDivisionError) as caught:
        Weights.from_quantile(lambda u: 1 / 0).table  # noqa: B018
    assert "for the probability 0.5" in caught.value.__notes__[0]
    with pytest.raises(
        TypeError, match="must be a Decimal, an int or a float, got 'x'"
    ):
        Weights.from_quantile(lambda u: "x").table  # noqa: B018
    with pytest.raises(TypeError, match="is a function of a probability, got 3"):
        Weights.from_quantile(3)


# --- matrices -------------------------------------------------------------------------


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_a_matrix_has_the_connections_of_its_seed_and_weights_of_its_law(law):
    matrix = Matrix(7, 0.3, (300, 9), origin=(100, 2), weights=law)
    connected, z = entry(
        matrix.seed,
        matrix.connectivity,
        100 + np.arange(300)[:, None],
        2 + np.arange(9),
        law.table,
    )
    dense = matrix.dense()
    mask = dense != ABSENT
    assert np.array_equal(mask, connected)
    assert np.array_equal(dense[mask], z[mask])
    assert np.array_equal(mask, Matrix(7, 0.3, (300, 9), (100, 2)).dense() != ABSENT)
    n, sums = matrix.events(np.ones((9, 1), bool))
    assert np.array_equal(n[:, 0], mask.sum(1))
    assert np.array_equal(sums[:, 0], np.where(mask, dense, 0).sum(1))
    u = [2.0**-33, 0.01, 0.3, 0.5]
    words = [min(round(p * 2**32), 2**31 - 1) for p in u]
    upper = look_up(law.table, words)
    assert np.all(np.diff(upper) <= 0), "both ends of the law are where they should be"
    assert np.all(np.diff(look_up(law.table, np.array(words) + 2**31)) >= 0)


def test_weights_are_a_law():
    with pytest.raises(TypeError, match=r"must be a law, such as Normal\(\)"):
        Matrix(1, 0.5, (3, 3), weights=Normal)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_coefficients_of_n_and_z(dtype):
    law = TruncatedNormal(low=0)
    a, b = law.coefficients(dtype(2), dtype(-3))
    assert (a, b, a.dtype) == (2 - dtype(3) * dtype(law.mean), -1.5, np.dtype(dtype))
    loc, scale = Normal().coefficients(dtype(2), dtype(INF))
    assert (loc, scale) == (2, INF)
