# SPDX-License-Identifier: Apache-2.0
"""Every family of weights keeps the promises that the normal does."""

import math
import pickle

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import synjit
from synjit import reference

SHAPE, SEED, PROB = (40, 30), 2**40 + 3, 0.3
SPIKES = np.random.default_rng(0).random(SHAPE[1]) < 0.4
VALUES = np.random.default_rng(1).normal(size=SHAPE[1]).astype(np.float32)

# The class, its parameters, what decides the law, the law, and loc and scale.
FAMILIES = {
    "normal": (synjit.JITNormal, (0.7, 0.2), {}, reference.Normal(), (0.7, 0.2)),
    "constant": (synjit.JITConstant, (0.7,), {}, reference.Constant(), (0.7, 0.0)),
    "uniform": (synjit.JITUniform, (0.5, 2.0), {}, reference.Uniform(), (1.25, 0.75)),
    "lognormal": (
        synjit.JITLogNormal,
        (0.7,),
        {"sigma": 0.9},
        reference.LogNormal(0.9),
        (0.0, 0.7),
    ),
    "truncated": (
        synjit.JITTruncatedNormal,
        (0.7, 0.5),
        {"bounds": (-1.0, 2.5)},
        reference.TruncatedNormal(-1.0, 2.5),
        (0.7, 0.5),
    ),
    "exponential": (
        synjit.JITMatrix,
        (0.1, 0.7),
        {"weights": synjit.Exponential()},
        reference.Exponential(),
        (0.1, 0.7),
    ),
}
each_family = pytest.mark.parametrize("name", FAMILIES)


def make(name, backend, *parameters, **changes):
    family, usual, fixed, *_ = FAMILIES[name]
    given = {"shape": SHAPE, "backend": backend} | fixed | changes
    seed = given.pop("seed", SEED)
    return family(*(parameters or usual), PROB, seed, **given)


def entries(name, *parameters):
    """Mask and x of a family's matrix, as the reference draws them."""
    _, _, _, law, _ = FAMILIES[name]
    z = reference.Matrix(SEED, PROB, SHAPE, weights=law).dense()
    mask = z != reference.ABSENT
    x = np.where(mask, law.mean + law.spread * z * 2.0**-16, 0.0)
    return mask.astype(np.float64), x


def dense(name):
    mask, x = entries(name)
    loc, scale = FAMILIES[name][4]
    return loc * mask + scale * x


@pytest.mark.quick
@each_family
def test_todense_is_the_reference(name, backend):
    M = make(name, backend)
    got = np.asarray(M.todense())
    np.testing.assert_allclose(got, dense(name), rtol=3e-6, atol=1e-6)
    np.testing.assert_array_equal(got != 0, entries(name)[0] != 0)
    np.testing.assert_array_equal(M.T.todense(), got.T)


@each_family
@pytest.mark.parametrize("transpose", [False, True])
def test_products_are_those_with_the_dense_matrix(name, transpose, backend):
    M = make(name, backend)
    W = dense(name)
    if transpose:
        M, W = M.T, W.T
    v = np.resize(VALUES, M.shape[1])
    for x, want in ((v, W @ v), (synjit.Events(v), W @ (v > 0)), (v > 0, W @ (v > 0))):
        np.testing.assert_allclose(M @ x, want, rtol=2e-5, atol=2e-5)
    B = np.stack([v, -v, 0 * v], axis=1)
    np.testing.assert_allclose(M @ B, W @ B, rtol=2e-5, atol=2e-5)
    np.testing.assert_array_equal((M @ (B > 0))[:, 0], M @ (v > 0))


@each_family
def test_derivatives_by_the_parameters_are_exact(name, backend, x64):
    _, parameters, fixed, _, _ = FAMILIES[name]
    mask, x = entries(name)
    family = FAMILIES[name][0]

    def stored(*parameters):
        loc, scale = family.affine(*map(jnp.float64, parameters))
        return (loc * mask + scale * x) @ SPIKES.astype(np.float64)

    def drawn(*parameters):
        return make(name, backend, *parameters, **fixed) @ SPIKES

    numbers = tuple(range(len(parameters)))
    for derivative in (jax.jacfwd, jax.jacrev):
        got = jax.jit(derivative(drawn, numbers))(*parameters)
        want = derivative(stored, numbers)(*parameters)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@each_family
def test_derivative_by_the_vector_is_the_transpose(name, backend):
    M, W = make(name, backend), dense(name)
    cotangent = np.random.default_rng(2).normal(size=SHAPE[0]).astype(np.float32)
    _, pull = jax.vjp(lambda v: M @ v, VALUES)
    np.testing.assert_allclose(
        pull(cotangent)[0], W.T @ cotangent, rtol=2e-5, atol=2e-5
    )
    _, pull = jax.vjp(lambda v: M @ synjit.Events(v), VALUES)
    np.testing.assert_allclose(
        pull(cotangent)[0], W.T @ cotangent, rtol=2e-5, atol=2e-5
    )


@each_family
def test_traced_or_known_batched_or_not_the_same_bits(name, backend):
    M = make(name, backend)
    want = M @ SPIKES
    leaves, tree = jax.tree.flatten(M)
    traced = jax.jit(lambda leaves: jax.tree.unflatten(tree, leaves) @ SPIKES)
    np.testing.assert_array_equal(traced(leaves), want)
    seeds = jnp.array([1, 2])
    got = jax.vmap(lambda seed: make(name, backend, seed=seed) @ SPIKES)(seeds)
    for row, seed in zip(got, (1, 2), strict=True):
        np.testing.assert_array_equal(row, make(name, backend, seed=seed) @ SPIKES)
    one = make(name, backend, shape=(10, SHAPE[1]), origin=(5, 0))
    np.testing.assert_array_equal(one @ SPIKES, want[5:15])


@each_family
def test_units_and_scaling(name, backend):
    _, parameters, _, _, _ = FAMILIES[name]
    M = make(name, backend)
    in_mv = make(name, backend, *(p * u.mV for p in parameters))
    got = in_mv @ SPIKES
    assert got.unit == u.mV
    np.testing.assert_array_equal(got.mantissa, M @ SPIKES)
    for scaled in (M * (2.0 * u.mV), (2.0 * M) * u.mV):
        np.testing.assert_allclose((scaled @ SPIKES).mantissa, 2 * (M @ SPIKES), 1e-6)
    if len(parameters) == 2:
        with pytest.raises(u.DimensionMismatchError):
            make(name, backend, 0.5 * u.mV, 0.5 * u.nA)


@each_family
def test_copies_and_replacements(name, backend):
    M = make(name, backend)
    names = vars(synjit.reference) | {n: getattr(synjit, n) for n in synjit.__all__}
    for again in (pickle.loads(pickle.dumps(M.T)), eval(repr(M.T), names)):
        assert again == M.T
        np.testing.assert_array_equal(again.todense(), M.todense().T)
    assert M.replace(seed=1) == make(name, backend, seed=1)
    assert M.replace(prob=0.2) != M
    with pytest.raises(TypeError, match="has no typo"):
        M.replace(typo=1)


def test_families_with_the_same_numbers_differ():
    pairs = [
        make(a, None, 0.5, 0.6) == make(b, None, 0.5, 0.6)
        for a in ("normal", "uniform", "truncated")
        for b in ("normal", "uniform", "truncated")
        if a != b
    ]
    assert not any(pairs)


def test_blocks_of_all_families(backend):
    matrices = [
        make(name, backend, seed=i + 1) for i, name in enumerate([*FAMILIES, "uniform"])
    ]
    B = synjit.JITBlocks([matrices[:4], [matrices[4], None, matrices[5], matrices[6]]])
    x = np.resize(SPIKES, B.shape[1])
    W = np.asarray(B.todense())
    np.testing.assert_allclose(B @ x, W @ x, rtol=2e-5, atol=2e-5)
    parts = np.split(x, 4)
    total = matrices[0] @ parts[0]
    for matrix, part in zip(matrices[1:4], parts[1:], strict=True):
        total = total + matrix @ part
    np.testing.assert_array_equal((B @ x)[: SHAPE[0]], total)
    np.testing.assert_array_equal(B.T.todense(), W.T)
    slope = jax.grad(lambda B: (B @ x).sum())(B)
    assert jax.tree.structure(slope) == jax.tree.structure(B)


# --- the functions ----------------------------------------------------------------

STEMS = {"jitn": "normal", "jits": "constant", "jitu": "uniform", "jitl": "lognormal"}


@pytest.mark.parametrize("stem", STEMS)
def test_the_functions_are_those_of_the_class(stem, backend):
    name = STEMS[stem]
    _, parameters, fixed, _, _ = FAMILIES[name]
    given = {"shape": SHAPE, "backend": backend, "origin": (3, 4)} | fixed
    M = make(name, backend, origin=(3, 4))
    B = np.stack([VALUES, -VALUES], axis=1)
    for transpose, matrix in ((False, M), (True, M.T)):
        own = given | {"transpose": transpose}
        for suffix, x in (("mv", VALUES), ("mm", B)):
            y = np.resize(x, (matrix.shape[1], *x.shape[1:]))
            function = getattr(synjit, f"{stem}{suffix}")
            got = function(*parameters, PROB, y, SEED, **own)
            np.testing.assert_array_equal(got, matrix @ y)
            function = getattr(synjit, f"binary_{stem}{suffix}")
            got = function(*parameters, PROB, y, SEED, **own)
            np.testing.assert_array_equal(got, matrix @ synjit.Events(y))
        got = getattr(synjit, stem)(*parameters, PROB, SEED, **own)
        np.testing.assert_array_equal(got, matrix.todense())


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: synjit.jits(1.0, 0.5, 3), TypeError, "shape"),
        (lambda: synjit.jits(1.0, 0.5, 3, shape=(2, 2), typo=1), TypeError, "typo"),
        (lambda: synjit.jitu(1.0, "a", 0.5, 3, shape=(2, 2)), TypeError, "w_high must"),
        (
            lambda: synjit.jitl(1.0, 0.5, 3, sigma=0.0, shape=(2, 2)),
            ValueError,
            "sigma must be positive",
        ),
        (
            lambda: synjit.binary_jitumv(1.0, 2.0, 0.5, np.ones(3), 3, shape=(2, 2)),
            ValueError,
            "vector must have shape",
        ),
        (
            lambda: synjit.JITMatrix(1.0, 2.0, 0.5, 3, weights="normal", shape=(2, 2)),
            TypeError,
            "weights must be a law",
        ),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_law_is_not_traced():
    def f(sigma):
        return synjit.jitl(1.0, 0.5, 3, sigma=sigma, shape=(2, 2))

    with pytest.raises(TypeError, match="cannot be traced, and has no derivative"):
        jax.jit(f)(0.5)


# --- truncated --------------------------------------------------------------------


def test_bounds_in_the_unit_of_the_weights(backend):
    given = {"shape": (300, 300), "backend": backend}
    M = synjit.JITTruncatedNormal(1.0 * u.nS, 1.0 * u.nS, 1.0, 3, low=0, **given)
    assert M.bounds == (-1.0, math.inf)
    W = M.todense()
    assert W.unit == u.nS
    assert W.mantissa.min() > 0
    inhibitory = synjit.JITTruncatedNormal(-4.0, 3.0, 1.0, 3, high=0.0, **given)
    assert inhibitory.todense().max() < 0
    assert inhibitory.bounds == (-math.inf, 4.0 / 3.0)
    turned = synjit.JITTruncatedNormal(-4.0, -3.0, 1.0, 3, high=0.0, **given)
    assert turned.todense().max() < 0
    both = synjit.JITTruncatedNormal(
        1.0 * u.mV, 0.5 * u.mV, 1.0, 3, low=0.0 * u.volt, high=0.0015 * u.volt, **given
    )
    assert both.bounds == pytest.approx((-2.0, 1.0))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"low": 2.0, "high": 1.0}, ValueError, "low must be below high"),
        ({"low": 0.0, "bounds": (0.0, 1.0)}, TypeError, "and not both"),
        ({"bounds": 3}, TypeError, "two numbers"),
        ({"low": 0.0, "w_scale": 0.0}, ValueError, "w_scale must not be 0"),
        ({"low": [0.0, 1.0]}, TypeError, "low must be a number"),
        ({"low": 1.0 * u.mV}, u.DimensionMismatchError, "low"),
    ],
)
def test_bad_bounds(changes, error, words):
    given = {"w_loc": 1.0, "w_scale": 0.5, "prob": 0.5, "seed": 3, "shape": (2, 2)}
    with pytest.raises(error, match=words):
        synjit.JITTruncatedNormal(**(given | changes))


def test_bounds_need_weights_that_are_known():
    def f(w_loc):
        return synjit.JITTruncatedNormal(w_loc, 0.5, 0.5, 3, low=0.0, shape=(2, 2))

    with pytest.raises(TypeError, match="bounds, in standard deviations"):
        jax.jit(f)(1.0)


# --- sums -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lognormal", "exponential"])
def test_sums_of_a_million_inputs_are_exact(name, backend):
    n = 10**6
    law = reference.LogNormal(1.0) if name == "lognormal" else reference.Exponential()
    z = reference.draw.weight((5, 0), 0, np.arange(n, dtype=np.uint32), law.table)
    total = int(z.astype(object).sum())
    assert abs(total) < 2**31
    with jax.enable_x64(True):
        got = synjit.JITMatrix(
            0.0, jnp.float64(1.0), 1.0, 5, weights=law, shape=(1, n), backend=backend
        ) @ np.ones(n, bool)
    assert float(got[0]) == law.mean * n + law.spread * total * 2.0**-16
