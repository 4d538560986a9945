# SPDX-License-Identifier: Apache-2.0
"""Bad input gets an error that names the argument, what it was and what it may be."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import synjit

GOOD = {"w_loc": 1.0, "w_scale": 0.1, "prob": 0.5, "seed": 42, "shape": (3, 5)}
VECTOR = np.array([True, False, True, True, False])


def call(**changes):
    arguments = {**GOOD, "vector": VECTOR, **changes}
    return synjit.binary_jitnmv(**arguments)


@pytest.mark.quick
@pytest.mark.parametrize(
    "prob", [float("nan"), -0.1, 1.5, np.float32(1.0000001), np.inf]
)
def test_prob_outside_the_unit_interval(prob):
    with pytest.raises(ValueError, match=r"prob must be .*\[0, 1\], .*, got"):
        call(prob=prob)


@pytest.mark.parametrize("prob", ["0.5", None, 0.5 + 0j, np.ones(3), [0.1, 0.2]])
def test_prob_that_is_no_number(prob):
    with pytest.raises(TypeError, match="prob must be one real number"):
        call(prob=prob)


def test_a_traced_prob_outside_the_unit_interval_poisons_the_result():
    f = jax.jit(lambda prob: call(prob=prob))
    assert np.isnan(f(1.5)).all()
    assert np.isnan(f(jnp.nan)).all()
    assert not np.isnan(f(0.5)).any()


@pytest.mark.quick
@pytest.mark.parametrize("shape", [(3,), (3, 5, 1), (3, -5), (-1, 5), (2**31, 5)])
def test_shape_that_is_none(shape):
    with pytest.raises(ValueError, match=r"shape must be two integers .* got"):
        call(shape=shape)


@pytest.mark.parametrize("shape", [5, "ab", (3.0, 5), None])
def test_shape_of_a_wrong_type(shape):
    with pytest.raises(TypeError, match="shape must be two integers"):
        call(shape=shape)


@pytest.mark.quick
@pytest.mark.parametrize("vector", [np.ones(4), np.ones((5, 1)), np.ones(()), [True]])
def test_vector_of_a_wrong_shape(vector):
    with pytest.raises(ValueError, match=r"vector must have shape \(5,\) .* got"):
        call(vector=vector)


def test_vector_of_a_wrong_length_for_the_transpose():
    with pytest.raises(ValueError, match=r"shape \(3,\) .* transpose .* got \(5,\)"):
        call(transpose=True)


def test_matrix_of_a_wrong_shape():
    with pytest.raises(ValueError, match=r"B must have shape \(5, k\) .* got \(4, 2\)"):
        synjit.jitnmm(1.0, 0.1, 0.5, np.ones((4, 2)), 42, shape=(3, 5))


@pytest.mark.parametrize("wide", [3_000_000_000, -(2**31) - 1, 2**62])
def test_integers_that_jax_would_cut(wide):
    vector = [0, 1, 2, 3, wide]
    with pytest.raises(ValueError, match=r"vector has integers of .* cut to int32"):
        call(vector=vector)
    B = np.array(vector)[:, None]
    with pytest.raises(ValueError, match=r"B has integers of .* cut to int32"):
        synjit.jitnmm(1.0, 0.1, 0.5, B, 42, shape=(3, 5))
    with jax.enable_x64(True):
        assert call(vector=vector).shape == (3,)


@pytest.mark.parametrize("wide", [2**40, np.int64(2**40), np.array([2**40])])
def test_an_integer_weight_is_not_cut(wide):
    assert call(w_loc=wide, w_scale=0.0).max() >= 2.0**40


@pytest.mark.parametrize("flag", [None, 1, "yes", jnp.array(True)])
def test_flags_that_are_neither_true_nor_false(flag):
    for name in ("transpose", "corder"):
        with pytest.raises(TypeError, match=f"{name} must be True or False, got"):
            synjit.jitn(1.0, 0.1, 0.5, 42, shape=(3, 5), **{name: flag})
        with pytest.raises(TypeError, match=f"{name} must be True or False, got"):
            call(vector=VECTOR[: 3 if name == "transpose" else 5], **{name: flag})
    with pytest.raises(TypeError, match="corder must be True or False, got"):
        synjit.JITNormal(1.0, 0.1, 0.5, 42, shape=(3, 5), corder=flag)


@pytest.mark.parametrize("symbols", ["5, b", "b, 2"])
def test_symbolic_shapes(symbols):
    f = jax.jit(lambda b: synjit.jitnmm(1.0, 0.1, 0.5, b, 42, shape=(3, 5)))
    symbolic = jax.ShapeDtypeStruct(jax.export.symbolic_shape(symbols), np.float32)
    with pytest.raises(TypeError, match=r"B must have a shape of numbers.*b"):
        jax.export.export(f)(symbolic)


def test_symbolic_batches():
    f = jax.jit(jax.vmap(lambda x: call(vector=x)))
    symbolic = jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, 5"), np.float32)
    with pytest.raises(TypeError, match=r"size of a batch .* number; got 1 by b"):
        jax.export.export(f)(symbolic)


@pytest.mark.parametrize("vector", [np.ones(5, complex), np.array(["a"] * 5)])
def test_vector_of_a_wrong_dtype(vector):
    with pytest.raises(TypeError, match="vector must be boolean, integer or real, got"):
        call(vector=vector)


@pytest.mark.parametrize("name", ["w_loc", "w_scale"])
@pytest.mark.parametrize(
    "weight", [np.ones(3), [1.0, 2.0], 1j, "1", None, np.ones((1, 1))]
)
def test_weights_that_are_not_one_number(name, weight):
    with pytest.raises(TypeError, match=f"{name} must be one real number"):
        call(**{name: weight})


def test_an_unknown_backend_lists_what_there_is():
    with pytest.raises(synjit.BackendError, match=r"(?s)'nope' is unknown.*numba"):
        call(backend="nope")


@pytest.mark.quick
@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1])
def test_seed_out_of_range(seed):
    with pytest.raises(ValueError, match=r"seed must be .* got"):
        call(seed=seed)


@pytest.mark.parametrize("seed", [1.5, True, "42", np.ones(3, int), np.float32(3)])
def test_seed_of_a_wrong_type(seed):
    with pytest.raises(TypeError, match=r"seed must be .* got"):
        call(seed=seed)


def test_a_key_of_more_than_two_words():
    with pytest.raises(TypeError, match="JAX key of two words"):
        call(seed=jax.random.key(0, impl="rbg"))


def test_a_w_scale_of_another_dimension():
    import brainunit as u

    with pytest.raises(u.DimensionMismatchError, match="w_loc and w_scale"):
        call(w_loc=1.0 * u.mV, w_scale=0.1 * u.pA)
    with pytest.raises(u.DimensionMismatchError, match="w_loc and w_scale"):
        call(w_loc=1.0 * u.mV)


def test_a_prob_with_a_unit():
    import brainunit as u

    with pytest.raises(TypeError, match=r"prob must be .* unit"):
        call(prob=0.5 * u.mV)


@pytest.mark.parametrize(
    "seed",
    [
        42,
        np.int64(42),
        np.uint8(42),
        np.array(42),
        np.array([42]),
        jnp.int32(42),
        jnp.array([42]),
        jax.random.key(42),
        jax.random.PRNGKey(42),
    ],
)
def test_seeds_that_mean_the_same(seed):
    np.testing.assert_array_equal(call(seed=seed), call(seed=42))
    traced = jax.jit(lambda seed: call(seed=seed))(seed)
    np.testing.assert_array_equal(traced, call(seed=42))


@pytest.mark.parametrize("seed", [-1, -(2**31), 2**31 - 1])
def test_a_negative_seed_is_the_same_when_traced(seed):
    traced = jax.jit(lambda seed: call(seed=seed))(jnp.int32(seed))
    np.testing.assert_array_equal(traced, call(seed=seed))


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64 - 1, -(2**63)])
@pytest.mark.usefixtures("x64")
def test_a_wide_seed_is_the_same_when_traced(seed):
    dtype = np.int64 if seed < 2**63 else np.uint64
    traced = jax.jit(lambda seed: call(seed=seed))(jnp.asarray(seed, dtype))
    np.testing.assert_array_equal(traced, call(seed=seed))


def test_all_64_bits_of_a_seed_count():
    wide = {"shape": (40, 50), "vector": np.ones(50, bool)}
    results = [call(seed=s, **wide) for s in (1, 1 + 2**32, 1 + 2**31, 1 + 2**63)]
    assert len({np.asarray(r).tobytes() for r in results}) == 4


def test_without_a_seed_one_is_drawn_and_can_be_read_back():
    first = call(seed=None)
    seed = synjit.last_seed()
    np.testing.assert_array_equal(call(seed=seed), first)
    call(seed=None)
    assert synjit.last_seed() != seed


def test_there_is_no_last_seed_before_one_is_drawn():
    with ThreadPoolExecutor(1) as pool, pytest.raises(LookupError, match="seed"):
        pool.submit(synjit.last_seed).result()


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_a_size_of_zero_gives_a_size_of_zero(shape):
    vector = np.ones(shape[1], bool)
    assert call(shape=shape, vector=vector).shape == (shape[0],)
    back = np.ones(shape[0], bool)
    result = call(shape=shape, vector=back, transpose=True)
    assert result.shape == (shape[1],)
    assert not result.any()
    assert synjit.jitn(1.0, 0.1, 0.5, 42, shape=shape).shape == shape
    assert synjit.jitnmm(1.0, 0.1, 0.5, np.ones((5, 0)), 42, shape=(3, 5)).shape == (
        3,
        0,
    )


@pytest.mark.parametrize("many", [list, tuple])
def test_lists_are_arrays(many):
    np.testing.assert_array_equal(
        call(w_loc=many([1.0]), w_scale=many([0.1]), prob=many([0.5])), call()
    )
    np.testing.assert_array_equal(call(vector=many([1, 0, 1, 1, 0])), call())
    one = synjit.JITNormal(many([1.0]), many([0.1]), many([0.5]), 42, shape=(3, 5))
    np.testing.assert_array_equal(one @ VECTOR, call())
    np.testing.assert_array_equal(jax.jit(lambda m: m @ VECTOR)(one), call())
    np.testing.assert_array_equal((one * 1.0) @ VECTOR, call())
    events = synjit.Events(many([1, 0, 1]))
    np.testing.assert_array_equal(events @ one, one.T @ events)
    traced = jax.jit(lambda w: call(w_loc=many([w])))
    np.testing.assert_array_equal(traced(1.0), call())

    def product(w):
        return synjit.jitnmm(1.0, 0.1, 0.5, many([[w, 1.0]] * 5), 42, shape=(3, 5))

    np.testing.assert_array_equal(jax.jit(product)(2.0), product(2.0))


def test_a_python_int_is_a_float():
    np.testing.assert_array_equal(
        call(w_loc=1, w_scale=0), call(w_loc=1.0, w_scale=0.0)
    )
    half = call(w_loc=1, w_scale=0.5)
    np.testing.assert_array_equal(half, call(w_loc=1.0, w_scale=0.5))
    assert half.dtype == np.float32


def test_an_event_is_above_zero():
    vector = np.array([1.0, -1.0, np.nan, 0.0, 1e-30], np.float32)
    same = np.array([True, False, False, False, True])
    np.testing.assert_array_equal(call(vector=vector), call(vector=same))
