# SPDX-License-Identifier: Apache-2.0
"""Physical units in, physical units out; gradients carry theirs."""

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import saiunit

import synjit

SHAPE, SEED = (6, 8), 42
X = np.array([1.0, -2.0, 0.5, 0.0, 3.0, 1.0, 0.0, 2.0], np.float32)


def product(name, w_loc, w_scale, x, backend):
    function = getattr(synjit, name)
    return function(w_loc, w_scale, 0.5, x, SEED, shape=SHAPE, backend=backend)


@pytest.mark.quick
@pytest.mark.parametrize("name", ["binary_jitnmv", "jitnmv"])
def test_weight_unit_times_vector_unit(name, backend):
    plain = product(name, 1.0, 0.1, jnp.asarray(X), backend)
    weighted = product(name, 1.0 * u.nS, 0.1 * u.nS, jnp.asarray(X), backend)
    np.testing.assert_array_equal(weighted.to_decimal(u.nS), plain)
    both = product(name, 1.0 * u.nS, 0.1 * u.nS, jnp.asarray(X) * u.mV, backend)
    assert both.dim == u.pA.dim
    np.testing.assert_allclose(both.to_decimal(u.pA), plain, rtol=1e-6)
    only_vector = product(name, 1.0, 0.1, jnp.asarray(X) * u.mV, backend)
    np.testing.assert_array_equal(only_vector.to_decimal(u.mV), plain)


def test_matrices_and_dense(backend):
    b = jnp.asarray(np.stack([X, 2 * X], 1)) * u.mV
    mm = product("jitnmm", 1.0 * u.nS, 0.1 * u.nS, b, backend)
    dense = synjit.jitn(1.0 * u.nS, 0.1 * u.nS, 0.5, SEED, shape=SHAPE, backend=backend)
    assert dense.dim == u.nS.dim
    np.testing.assert_allclose(
        mm.to_decimal(u.pA), (dense @ b).to_decimal(u.pA), rtol=1e-5
    )
    m = synjit.JITNormal(1.0 * u.nS, 0.1 * u.nS, 0.5, SEED, shape=SHAPE)
    np.testing.assert_array_equal((m @ b).to_decimal(u.pA), mm.to_decimal(u.pA))
    # Before 0.6 brainunit does not hand `quantity @ M` on to an M with a unit.
    plain = synjit.JITNormal(1.0, 0.1, 0.5, SEED, shape=SHAPE)
    np.testing.assert_array_equal(
        (b.T @ plain.T).to_decimal(u.mV), mm.to_decimal(u.pA).T
    )
    events = synjit.Events(b.T) @ m.T
    np.testing.assert_array_equal(
        events.to_decimal(u.pA), (m @ synjit.Events(b)).to_decimal(u.pA).T
    )


TAKES_APART = tuple(map(int, saiunit.__version__.split(".")[:2])) < (0, 6)


@pytest.mark.parametrize("unit", [u.mV, u.volt])
def test_a_quantity_times_a_matrix_loses_no_unit(unit, backend):
    """An older brainunit takes it apart, and would lose one: that raises."""
    given = (1.0 * u.volt, 0.1 * u.volt, 0.5, SEED)
    m = synjit.JITNormal(*given, shape=SHAPE, backend=backend)
    x = jnp.ones(SHAPE[0])
    for matrix in (m, synjit.JITBlocks([[m]])):
        for left in (x * unit, jnp.stack([x, x]) * unit):
            if TAKES_APART:
                with pytest.raises(TypeError, match=r"x @ M.* write M.T @ x"):
                    left @ matrix
            else:
                result, right = left @ matrix, (matrix.T @ left.T).T
                assert result.dim == right.dim == (u.volt * u.volt).dim
                np.testing.assert_array_equal(result.mantissa, right.mantissa)
        assert (matrix.T @ (x * unit)).dim == (u.volt * u.volt).dim
        assert (x @ matrix).dim == u.volt.dim


def test_scaling_a_matrix_by_a_unit(backend):
    m = synjit.JITNormal(1.0, 0.1, 0.5, SEED, shape=SHAPE, backend=backend)
    plain = m @ jnp.asarray(X)
    for scaled in (m * (2.0 * u.mV), (2.0 * u.mV) * m, 2.0 * (m * u.mV)):
        result = (scaled @ jnp.asarray(X)).to_decimal(u.mV)
        np.testing.assert_allclose(result, 2 * plain, rtol=1e-6)
    halved = (m * u.mV) / (2.0 * u.mV)
    np.testing.assert_allclose(halved @ jnp.asarray(X), plain / 2, rtol=1e-6)


def test_millivolts_against_volts(backend):
    x = jnp.asarray(X)
    millivolts = product("jitnmv", 1.0 * u.mV, 0.1 * u.mV, x, backend)
    mixed = product("jitnmv", 1.0 * u.mV, 0.0001 * u.volt, x, backend)
    np.testing.assert_allclose(
        mixed.to_decimal(u.mV), millivolts.to_decimal(u.mV), rtol=1e-6
    )


def test_lists_of_quantities(backend):
    given = ([1.0 * u.mV], [0.1 * u.mV], 0.5, X, SEED)
    plain = (1.0 * u.mV, 0.1 * u.mV, *given[2:])
    options = {"shape": SHAPE, "backend": backend}
    got = synjit.binary_jitnmv(*given, **options)
    assert u.math.allclose(got, synjit.binary_jitnmv(*plain, **options))
    nested = synjit.jitnmm(1.0, 0.1, 0.5, [[1.0 * u.mV]] * len(X), SEED, **options)
    assert nested.dim == u.mV.dim


def test_mismatches(backend):
    for loc, scale in ((1.0 * u.mV, 0.1 * u.pA), (1.0, 0.1 * u.mV), (1.0 * u.mV, 0.1)):
        with pytest.raises(u.DimensionMismatchError):
            product("jitnmv", loc, scale, jnp.asarray(X), backend)
        with pytest.raises(u.DimensionMismatchError):
            synjit.JITNormal(loc, scale, 0.5, SEED, shape=SHAPE)


def test_a_dimensionless_quantity_is_a_plain_number(backend):
    plain = product("jitnmv", 1.0, 0.1, jnp.asarray(X), backend)
    one = u.Quantity(1.0)
    result = product("jitnmv", 1.0 * one, 0.1 * one, jnp.asarray(X) * one, backend)
    assert not isinstance(result, u.Quantity)
    np.testing.assert_array_equal(result, plain)
    thousandths = u.Quantity(1000.0, unit=u.mV / u.volt)
    result = product("jitnmv", thousandths, 0.1 * one, jnp.asarray(X), backend)
    np.testing.assert_array_equal(result, plain)
    prob = synjit.jitn(1.0, 0.1, 0.5 * one, SEED, shape=SHAPE, backend=backend)
    np.testing.assert_array_equal(
        prob, synjit.jitn(1.0, 0.1, 0.5, SEED, shape=SHAPE, backend=backend)
    )


@pytest.mark.parametrize("name", ["binary_jitnmv", "jitnmv"])
def test_gradients_carry_their_units(name, backend):
    x = jnp.asarray(X)

    def energy(w_loc, w_scale, x):
        y = product(name, w_loc, w_scale, x, backend)
        return (y**2).sum()

    plain = jax.grad(energy, (0, 1, 2))(1.0, 0.1, x)
    with_units = u.autograd.grad(energy, (0, 1, 2))(1.0 * u.nS, 0.1 * u.nS, x * u.mV)
    # d(pA^2)/d(nS) has pA^2/nS, d(pA^2)/d(mV) has pA^2/mV
    units = (u.pA**2 / u.nS, u.pA**2 / u.nS, u.pA**2 / u.mV)
    for got, want, unit in zip(with_units, plain, units, strict=True):
        assert got.dim == unit.dim
        np.testing.assert_allclose(got.to_decimal(unit), want, rtol=1e-5)


def test_units_under_jit_and_vmap(backend):
    @jax.jit
    def f(w_loc, x):
        return product("jitnmv", w_loc, 0.1 * u.nS, x, backend)

    x = jnp.asarray(X) * u.mV
    single = f(1.0 * u.nS, x)
    batch = jax.vmap(f, in_axes=(None, 0))(1.0 * u.nS, jnp.stack([X, X]) * u.mV)
    np.testing.assert_allclose(
        batch[1].to_decimal(u.pA), single.to_decimal(u.pA), rtol=1e-6
    )


@pytest.mark.parametrize("zero", [0.0, 0, np.zeros(1), np.float32(0)])
def test_a_plain_zero_has_any_unit(zero, backend):
    given = {"shape": (8, 6), "backend": backend}
    x = jnp.ones(6)
    for pair, same in (
        ((1.0 * u.mV, zero), (1.0 * u.mV, 0.0 * u.mV)),
        ((zero, 1.0 * u.mV), (0.0 * u.mV, 1.0 * u.mV)),
    ):
        got = synjit.jitnmv(*pair, 0.5, x, 3, **given)
        want = synjit.jitnmv(*same, 0.5, x, 3, **given)
        assert got.unit == u.mV
        np.testing.assert_array_equal(got.mantissa, want.mantissa)
    with pytest.raises(u.DimensionMismatchError):
        synjit.jitnmv(1.0 * u.mV, 0.1, 0.5, x, 3, **given)


@pytest.mark.parametrize("unit", [u.nS, u.ms, 2.0 * u.nS])
def test_a_unit_from_the_left_is_refused_where_it_would_be_wrong(unit):
    """It makes a quantity of the matrix, which brainunit then takes apart.

    From 0.6 on, brainunit leaves the product of a quantity to the matrix.
    """
    M = synjit.JITNormal(1.0 * u.nS, 0.1 * u.nS, 0.5, 1, shape=(4, 5))
    for matrix in (M, synjit.JITBlocks([[M]])):
        made = unit * matrix
        if isinstance(unit, u.Quantity) and not TAKES_APART:
            x = jnp.ones(5, bool)
            np.testing.assert_array_equal((made @ x).mantissa, 2 * (M @ x).mantissa)
            assert (made @ x).unit == (M @ x).unit * u.nS
            continue
        with pytest.raises(TypeError, match=r"write M \* unit, not unit \* M"):
            made @ jnp.ones(5, bool)
        with pytest.raises(TypeError, match=r"write M \* unit"):
            jnp.ones(4, bool) @ made


def test_a_unit_from_the_left_of_plain_numbers_is_right():
    M = synjit.JITNormal(1.0, 0.1, 0.5, 1, shape=(4, 5))
    spikes = jnp.ones(5, bool)
    assert u.math.allclose((u.mV * M) @ spikes, (M * u.mV) @ spikes)
