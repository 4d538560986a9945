# SPDX-License-Identifier: Apache-2.0
"""The matrix as an object keeps being the same matrix, whatever it goes through."""

import copy
import pickle
import subprocess
import sys

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import synjit
from synjit import reference

BIG = 2**40 + 12345  # a seed that float32 cannot hold
MATRICES = {
    "plain": synjit.JITNormal(1.0, 0.1, 0.5, BIG, shape=(3, 5)),
    "transposed": synjit.JITNormal(1.0, 0.1, 0.5, -1, shape=(3, 5), origin=(1, 2)).T,
    "pre_post": synjit.JITNormal.pre_post(1.0, 0.1, 0.5, 7, shape=(5, 3)),
    "arrays": synjit.JITNormal(
        jnp.float32(0.1), np.float64(0.2), jnp.float32(0.7), 7, shape=(2, 2)
    ),
    "key": synjit.JITNormal([1.0], [0.1], 0.5, jax.random.key(3), shape=(3, 5)),
    "unit": synjit.JITNormal(0.1 * u.mV, 0.0, 0.5, 3, shape=(3, 5), corder=False),
    "rule": synjit.JITNormal(
        1.0, 0.1, synjit.FixedOutDegree(2), 7, shape=(3, 5), self_connections=False
    ),
    "blocks": synjit.JITBlocks(
        [
            [synjit.JITNormal(1.0, 0.1, 0.5, seed, shape=(2, 3)) for seed in (1, 2)],
            [None, synjit.JITNormal.pre_post(1.0, 0.1, 0.5, 4, shape=(4, 3))],
        ]
    ),
}
each_matrix = pytest.mark.parametrize("M", MATRICES.values(), ids=MATRICES)


def dense(M):
    value = M.todense()
    return value.mantissa if u.math.is_quantity(value) else value


@pytest.mark.parametrize("copied", [pickle.dumps, repr, copy.deepcopy])
@each_matrix
def test_a_copy_is_the_same_matrix(M, copied):
    names = {"jax": jax, "jnp": jnp, "np": np, "Quantity": u.Quantity}
    names |= {name: getattr(synjit, name) for name in synjit.__all__}
    new = copied(M)
    if copied is not copy.deepcopy:
        new = pickle.loads(new) if copied is pickle.dumps else eval(new, names)
    assert new == M
    assert hash(new) == hash(M)
    assert new.shape == M.shape
    np.testing.assert_array_equal(dense(new), dense(M))


def test_matrices_that_differ_are_not_equal():
    M = MATRICES["plain"]
    changes = (
        {"w_loc": 2.0},
        {"w_scale": 0.2},
        {"prob": 0.4},
        {"seed": 1},
        {"shape": (3, 4)},
        {"origin": (0, 1)},
        {"w_loc": 1.0 * u.mV, "w_scale": 0.1 * u.mV},
    )
    others = [M.replace(**change) for change in changes]
    for i, other in enumerate([M, *others]):
        for j, another in enumerate([M, *others]):
            assert (other == another) is (i == j)
    assert M != M.T
    assert M != 1
    assert MATRICES["key"] != MATRICES["key"].replace(seed=jax.random.key(4))


@each_matrix
def test_what_was_stored_under_another_draw_is_refused(M, monkeypatch):
    stored = pickle.dumps(M)
    monkeypatch.setattr(reference, "DRAW_VERSION", 3)
    with pytest.raises(ValueError, match=r"version 2 of the draw.*has version 3"):
        pickle.loads(stored)


# --- replace ----------------------------------------------------------------------


def test_replace_is_the_constructor_with_other_arguments(backend):
    M = synjit.JITNormal(1.0, 0.1, 0.5, BIG, shape=(30, 50), backend=backend)
    for change in (
        {"seed": 5},
        {"prob": 0.2},
        {"shape": (7, 9)},
        {"w_loc": 3.0, "w_scale": 0.5},
        {"origin": (4, 6)},
    ):
        given = {
            "w_loc": 1.0,
            "w_scale": 0.1,
            "prob": 0.5,
            "seed": BIG,
            "shape": (30, 50),
            "backend": backend,
        }
        want = synjit.JITNormal(**(given | change))
        assert M.replace(**change) == want
        back = {
            k: v[::-1] if k in {"shape", "origin"} else v for k, v in change.items()
        }
        assert M.T.replace(**back) == want.T


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"typo": 1}, TypeError, "has no typo to be replaced"),
        ({"key": 1}, TypeError, "has no key"),
        ({"transposed": True}, TypeError, "has no transposed"),
        ({"seed": 0.5}, TypeError, "seed must be"),
        ({"prob": 1.5}, ValueError, "prob must be"),
        ({"shape": (1, -1)}, ValueError, "shape must be"),
        ({"corder": 1}, TypeError, "corder must be"),
        ({"w_loc": 1 * u.mV}, u.DimensionMismatchError, "same dimension"),
    ],
)
def test_replace_refuses_what_the_constructor_would(change, error, words):
    with pytest.raises(error, match=words):
        MATRICES["plain"].replace(**change)


def test_replace_in_a_tree_of_axes(backend):
    M = synjit.JITNormal(1.0, 0.1, 0.5, 7, shape=(3, 5), backend=backend)
    probs = jnp.array([0.2, 0.9])
    # A matrix whose prob is a leaf, with two of them.
    leaves, tree = jax.tree.flatten(M.replace(prob=probs[0]))
    many = jax.tree.unflatten(tree, [*leaves[:2], probs])
    axes = jax.tree.map(lambda _: None, many).replace(prob=0)
    x = jnp.arange(5.0)
    got = jax.vmap(lambda M: M @ x, in_axes=(axes,))(many)
    np.testing.assert_array_equal(got, [M.replace(prob=float(p)) @ x for p in probs])


# --- as a parameter ---------------------------------------------------------------


@each_matrix
def test_raveling_keeps_the_seed_or_refuses(M):
    if M is MATRICES["key"]:
        with pytest.raises(TypeError, match="key"):
            ravel_pytree(M)
        return
    flat, unravel = ravel_pytree(M)
    assert jnp.issubdtype(flat.dtype, jnp.floating)
    np.testing.assert_array_equal(dense(unravel(flat)), dense(M))


OPTIMISERS = {
    "sgd": optax.sgd(0.1),
    "adam": optax.adam(0.1),
    "multi_transform": optax.multi_transform(
        {"w_loc": optax.sgd(0.1), "frozen": optax.set_to_zero()},
        lambda M: jax.tree.unflatten(jax.tree.structure(M), ["w_loc", "frozen"]),
    ),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_an_optimiser_changes_the_weights_alone(name, backend):
    M = synjit.JITNormal(0.0, 0.5, 0.5, BIG, shape=(30, 50), backend=backend)
    target = synjit.JITNormal(1.0, 0.5, 0.5, BIG, shape=(30, 50), backend=backend)
    x = jnp.arange(50) % 3 == 0
    y = target @ x

    def loss(M):
        return jnp.mean((M @ x - y) ** 2) / 50.0

    optimiser = OPTIMISERS[name]
    state = optimiser.init(M)
    before = loss(M)

    @jax.jit
    def step(M, state):
        updates, state = optimiser.update(jax.grad(loss)(M), state, M)
        return optax.apply_updates(M, updates), state

    with jax.numpy_dtype_promotion("standard"):  # optax multiplies by integers
        for _ in range(20):
            M, state = step(M, state)
    assert loss(M) < 0.3 * before
    assert M.seed == BIG
    assert bool(M.w_scale == 0.5) is (name == "multi_transform")


def test_a_step_of_tree_map(backend):
    M = synjit.JITNormal(1.0, 0.1, 0.5, BIG, shape=(3, 5), backend=backend)
    B = synjit.JITBlocks([[M, M.replace(seed=2)]])
    for matrix, x in ((M, jnp.ones(5)), (B, jnp.ones(10))):
        slope = jax.grad(lambda matrix, x=x: (matrix @ x).sum())(matrix)
        new = jax.tree.map(lambda p, g: p - 0.01 * g, matrix, slope)
        assert new != matrix
        assert (new @ x).sum() < (matrix @ x).sum()


# --- what is no product -----------------------------------------------------------


@each_matrix
def test_numpy_does_not_make_objects_of_it(M):
    x = np.ones(M.shape[1])
    for call in (
        lambda: np.dot(M, x),
        lambda: np.asarray(M),
        lambda: np.matmul(M, x),
        lambda: np.array([M]),
        lambda: np.sum(M),
    ):
        with pytest.raises(TypeError, match=r"todense\(\)|__array_ufunc__"):
            call()


class Wrapped:
    """As brainevent's BinaryArray: an array of events, for which 2.5 is one too."""

    def __init__(self, value):
        self.value = value

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)

    def __matmul__(self, other):
        return other.__rmatmul__(self)


@each_matrix
def test_events_of_another_package_are_not_taken_for_numbers(M):
    x = np.array([0, 2.5, -1, 1, 0, 3, 1], np.float32)
    for call in (
        lambda: Wrapped(x[: M.shape[0]]) @ M,
        lambda: M @ Wrapped(x[: M.shape[1]]),
        lambda: M @ synjit.Events(Wrapped(x[: M.shape[1]])),
    ):
        with pytest.raises(TypeError, match=r"Events\(x.value\)"):
            call()
    with pytest.raises(TypeError, match=r"Events\(vector.value\)"):
        synjit.binary_jitnmv(1.0, 0.1, 0.5, Wrapped(x[:5]), 3, shape=(3, 5))


# --- seeds ------------------------------------------------------------------------


def test_blocks_of_one_seed_and_prob_are_warned_of():
    M = MATRICES["plain"]
    with pytest.warns(RuntimeWarning, match="row 0, column 0 and in row 1, column 1"):
        synjit.JITBlocks([[M, None], [None, M]])


@pytest.mark.filterwarnings("error")
def test_blocks_that_differ_are_not():
    M = MATRICES["plain"]
    others = [
        M.replace(seed=1),
        M.replace(prob=0.4),
        M.replace(origin=(0, 5)),
        M.replace(prob=0.0),
    ]
    synjit.JITBlocks([[M, *others, others[-1]]])
    one = M.replace(prob=1.0)
    synjit.JITBlocks([[one, one]])


def test_seeds_are_many_and_the_same_again():
    assert synjit.seeds(42, 3) == synjit.seeds(42, 5)[:3]
    assert synjit.seeds(-1, 2) == synjit.seeds(2**64 - 1, 2)
    all_seeds = {seed for master in range(50) for seed in synjit.seeds(master, 100)}
    assert len(all_seeds) == 5000
    assert all(0 <= seed < 2**63 for seed in all_seeds)
    assert len({seed >> 32 for seed in all_seeds}) == 5000  # no half repeats
    assert synjit.seeds(1, 0) == ()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [((0.5, 2), TypeError), ((1, -1), ValueError), ((2**64, 1), ValueError)],
)
def test_seeds_refuses(arguments, error):
    with pytest.raises(error):
        synjit.seeds(*arguments)


def test_a_program_of_another_draw_is_refused():
    code = """
import jax, jax.numpy as jnp, synjit
f = jax.jit(lambda x: synjit.jitnmv(1.0, 0.1, 0.5, x, 42, shape=(3, 5)))
p = jax.export.export(f, disabled_checks=synjit.export_checks())(jnp.ones(5))
text = p.mlir_module()
assert "draw2_floats" in text
class Other(type(p)):
    def mlir_module(self):
        return text.replace("draw2_", "draw3_")
try:
    synjit.prepare(Other(**vars(p)))
except RuntimeError as error:
    assert "version 3 of the draw" in str(error), error
else:
    raise SystemExit("it was taken")
synjit.prepare(p)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
