# SPDX-License-Identifier: Apache-2.0
"""Code that was written for brainevent 0.3.0 runs on synjit, and means the same."""

import inspect
import operator
import pickle
import sys
import types

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_units import TAKES_APART

import synjit
from synjit.compat import brainevent as be

SHAPE, PROB, SEED = (4, 6), 0.5, 42
# What no threshold agrees on: 0 and -0 are no events, the others are.
X = jnp.array([0.0, -1.0, jnp.nan, 2.0, -0.0, 0.5])
EVENTS = jnp.array([False, True, True, True, False, True])

CLASSES = {
    "JITCScalarR": (1.5,),
    "JITCScalarC": (1.5,),
    "JITCNormalR": (1.5, 0.1),
    "JITCNormalC": (1.5, 0.1),
    "JITCUniformR": (1.0, 2.0),
    "JITCUniformC": (1.0, 2.0),
}
SAME = {  # the matrix that synjit draws
    "Scalar": synjit.JITConstant,
    "Normal": synjit.JITNormal,
    "Uniform": synjit.JITUniform,
}
each = pytest.mark.parametrize("name", CLASSES)
layouts = pytest.mark.parametrize("corder", [False, True])


def make(name, *, shape=SHAPE, **rest):
    return getattr(be, name)((*CLASSES[name], PROB, SEED), shape=shape, **rest)


# --- which matrix it is -----------------------------------------------------------


@each
def test_it_is_a_matrix_of_synjit(name):
    family = SAME[name[4:-1]]
    same = family(*CLASSES[name], PROB, SEED, shape=SHAPE)
    assert (make(name).todense() == same.todense()).all()
    turned = family(*CLASSES[name], PROB, SEED, shape=SHAPE[::-1])
    assert (make(name, corder=True).todense() == turned.todense().T).all()


@each
@layouts
def test_a_transpose_is_of_the_other_class_shape_and_corder(name, corder):
    M = make(name, corder=corder)
    other = name[:-1] + {"R": "C", "C": "R"}[name[-1]]
    assert M.T == M.transpose() == make(other, shape=SHAPE[::-1], corder=not corder)
    assert (M.T.todense() == M.todense().T).all()
    assert M.T.T == M
    assert (M.T.shape, M.T.corder) == (SHAPE[::-1], not corder)


@each
def test_it_is_made_of_arguments_or_of_a_tuple(name):
    parameters = CLASSES[name]
    cls = getattr(be, name)
    assert cls(*parameters, PROB, SEED, shape=SHAPE) == make(name)
    with pytest.raises(TypeError, match="prob, seed, or a tuple of these"):
        cls(1.0, shape=SHAPE)


@each
@layouts
def test_it_can_be_stored_shown_and_passed_on(name, corder):
    M = make(name, corder=corder).T
    assert pickle.loads(pickle.dumps(M)) == M
    assert eval(repr(M), vars(be) | {"jnp": jnp}) == M
    assert jax.jit(lambda M: M)(M) == M
    assert M.replace(seed=SEED) == M
    assert M.replace(shape=(2, 3)).shape == (2, 3)
    assert M.with_data(M.data) == M


def test_parameters_are_arrays_under_their_names():
    M = make("JITCNormalR")
    assert (M.wloc.dtype, M.wscale.shape) == (jnp.float32, ())
    assert M.data == (M.wloc, M.wscale)
    assert make("JITCUniformC").whigh == 2.0
    scalar = make("JITCScalarR")
    assert scalar.data is scalar.weight
    with pytest.raises(AssertionError, match="wloc must keep its shape and unit"):
        M.with_data((1.0 * u.mV, 0.1 * u.mV))


# --- events -----------------------------------------------------------------------


@each
@layouts
def test_what_is_not_zero_is_an_event_on_either_side(name, corder):
    M = make(name, corder=corder)
    for x in (X, EVENTS, jnp.array([0, -3, 9, 1, 0, 1])):
        two = be.BinaryArray(jnp.stack([x, x]))
        for result in (
            M @ be.BinaryArray(x),
            be.BinaryArray(x) @ M.T,
            *(M @ be.BinaryArray(two.T)).T,
            *(two @ M.T),
        ):
            np.testing.assert_array_equal(result, M @ EVENTS)


def test_the_derivative_by_events_is_linear():
    M = make("JITCNormalR")
    row = jax.grad(lambda x: (M @ be.BinaryArray(x))[1])(X)
    assert (row == M.todense()[1]).all()


def test_events_pass_transformations_and_have_units():
    M = make("JITCNormalR")
    marked = be.BinaryArray(jnp.stack([X, X]))
    for result in jax.vmap(lambda x: M @ x)(marked):
        np.testing.assert_array_equal(result, M @ EVENTS)
    assert u.get_unit((M * u.mV) @ be.BinaryArray(X)) == u.mV
    assert u.get_unit(M @ be.BinaryArray(X * u.mV)) == u.mV


def test_other_matrices_refuse_them_on_either_side():
    M = synjit.JITNormal(1.0, 0.1, PROB, SEED, shape=(6, 6))
    for product in (
        lambda: M @ be.BinaryArray(X),
        lambda: be.BinaryArray(X) @ M,
        lambda: be.BinaryArray(jnp.stack([X, X])) @ M,
    ):
        with pytest.raises(TypeError, match=r"Events\(x.value\)"):
            product()


def test_events_of_synjit_stay_above_zero():
    M = make("JITCScalarR")
    assert (M @ synjit.Events(X) == M @ (X > 0)).all()


class Wrapped:
    """Like what brainevent wraps: ``T`` takes the wrapping off."""

    def __init__(self, value):
        self.value = value

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    T = property(lambda self: self.value.T)


class Foreign(Wrapped):
    pass


class WeightedForeign(Wrapped):
    pass


def test_what_brainevent_wraps_is_read_as_it_reads_it(monkeypatch):
    theirs = types.SimpleNamespace(BinaryArray=Foreign, WeightedArray=WeightedForeign)
    monkeypatch.setitem(sys.modules, "brainevent", theirs)
    M, x = make("JITCNormalR"), X.at[2].set(3.0)
    assert (M @ Foreign(X) == M @ EVENTS).all()
    for result in M.T.__rmatmul__(Foreign(jnp.stack([X, X]))):
        np.testing.assert_array_equal(result, M @ EVENTS)
    assert (M @ WeightedForeign(x) == M @ x).all()
    core = synjit.JITNormal(1.0, 0.1, PROB, SEED, shape=(6, 6))
    for value in (X, jnp.stack([X, X])):
        with pytest.raises(TypeError, match=r"Events\(x.value\)"):
            core.__rmatmul__(Foreign(value))


# --- operators --------------------------------------------------------------------


@each
def test_scaling_and_shifting_is_of_every_connection(name):
    M = make(name)
    W = np.asarray(M.todense())
    for of in (
        lambda w: w * 2.0,
        lambda w: w / -2.0,
        lambda w: 1.0 + w,
        lambda w: w - 1.0,
        lambda w: 1.0 - w,
        operator.neg,
        operator.pos,
    ):
        expected = np.where(W != 0, of(W), 0)
        np.testing.assert_allclose(of(M).todense(), expected, rtol=1e-6)
    assert M.apply(operator.neg) == -M
    assert M.apply2(3.0, operator.mul) == M * 3.0
    assert M.apply2(3.0, operator.sub, reverse=True) == 3.0 - M
    assert u.get_unit((M * u.mV).todense()) == u.mV


def test_one_weight_takes_any_function():
    M = make("JITCScalarR")
    assert abs(-M) == M
    assert M.apply(jnp.exp).weight == jnp.exp(1.5)
    assert (M % 1.0).weight == 0.5
    assert (3.0 / M).weight == 2.0
    assert (M + M).weight == 3.0
    assert (M * M * jnp.ones(1)).weight == 2.25
    with pytest.raises(NotImplementedError, match="prob, seed, shape"):
        M + M.replace(seed=1)


@pytest.mark.parametrize("name", ["JITCNormalR", "JITCUniformR"])
def test_what_would_be_another_law_is_refused(name):
    M = make(name)
    for refused in (
        lambda: M.apply(jnp.exp),
        lambda: abs(M),
        lambda: M % 2,
        lambda: 1 / M,
        lambda: M + M,
        lambda: M + jnp.ones(3),
    ):
        with pytest.raises(TypeError):
            refused()


# --- functions --------------------------------------------------------------------

FUNCTIONS = [n for n in be.__all__ if n.startswith(("jit", "binary_"))]


@pytest.mark.parametrize("name", FUNCTIONS)
@layouts
@pytest.mark.parametrize("transpose", [False, True])
def test_a_function_is_the_product_by_its_class(name, corder, transpose):
    stem = name.removeprefix("binary_")[3]
    cls = {"s": "JITCScalarR", "n": "JITCNormalR", "u": "JITCUniformR"}[stem]
    shape = SHAPE[::-1] if transpose else SHAPE
    M = make(cls, corder=corder)
    x = {"v": (X,), "m": (jnp.stack([X, X]).T,)}.get(name[-1], ())
    if name == "jit" + stem:
        x = ()
    x = x if name.startswith("binary_") else tuple(jnp.nan_to_num(v) for v in x)
    given = {"shape": shape, "transpose": transpose, "corder": corder}
    result = getattr(be, name)(*CLASSES[cls], PROB, *x, SEED, **given)
    if not x:
        expected = M.todense()
    else:
        expected = M @ (be.BinaryArray(*x) if name.startswith("binary_") else x[0])
    assert (result == expected).all()


@pytest.mark.quick
def test_signatures_are_brainevents():
    of = {
        name: list(inspect.signature(getattr(be, name)).parameters)
        for name in FUNCTIONS
    }
    last = ["shape", "transpose", "corder", "backend"]
    assert of["jits"] == ["weight", "prob", "seed", *last]
    assert of["binary_jitnmv"] == ["w_loc", "w_scale", "prob", "vector", "seed", *last]
    assert of["jitumm"] == ["w_low", "w_high", "prob", "B", "seed", *last]


# --- errors -----------------------------------------------------------------------


def test_bad_arguments_have_words():
    for prob in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="prob"):
            be.JITCScalarR(1.0, prob, SEED, shape=SHAPE)
    with pytest.raises(ValueError, match="wlow must not be above whigh"):
        be.JITCUniformR(2.0, 1.0, PROB, SEED, shape=SHAPE)
    with pytest.raises(ValueError, match="no backend 'cuda_raw'"):
        make("JITCNormalR", backend="cuda_raw")
    with pytest.raises(ValueError, match="no axes"):
        make("JITCNormalR").transpose((1, 0))
    with pytest.raises(TypeError, match="corder=True"):
        be.JITCNormalR.pre_post(1.0, 0.1, PROB, SEED, shape=SHAPE)
    if TAKES_APART:
        with pytest.raises(TypeError, match="lose the unit"):
            (X * u.mV) @ (make("JITCNormalR").T * u.mV)


def test_deprecated_names_warn():
    with pytest.warns(DeprecationWarning, match="JITCScalarR"):
        assert be.JITCHomoR is be.JITCScalarR
    with pytest.warns(DeprecationWarning, match="JITCScalarC"):
        assert be.JITCHomoC is be.JITCScalarC
    with pytest.raises(AttributeError, match="CSR"):
        _ = be.CSR


@pytest.mark.parametrize("corder", [False, True])
@pytest.mark.parametrize("kind", ["CSR", "CSC", "COO"])
def test_stored_copies_have_the_classes_and_the_unit(kind, corder):
    M = be.JITCNormalR((1.0 * u.mV, 0.5 * u.mV, 0.1, 7), shape=(60, 40), corder=corder)
    for matrix in (M, M.T):
        stored = getattr(matrix, f"to{kind.lower()}")()
        assert isinstance(stored, getattr(u.sparse, kind))
        assert stored.shape == matrix.shape
        assert stored.data.size == matrix.nnz
        dense, expected = stored.todense(), matrix.todense()
        assert dense.unit == expected.unit == u.mV
        assert (dense == expected).all()
