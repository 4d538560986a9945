# SPDX-License-Identifier: Apache-2.0
"""vmap equals the loop, over anything, and draws nothing twice."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from long import long_unless

import synjit

SHAPE = (40, 30)
SIZE = 3


def batches():
    """Batched arguments, batch first: w_loc, w_scale, prob, vector, seed."""
    rng = np.random.default_rng(0)
    return (
        jnp.asarray(rng.normal(size=SIZE), jnp.float32),
        jnp.asarray(rng.random(SIZE), jnp.float32),
        jnp.asarray([0.1, 0.5, 0.9], jnp.float32),
        jnp.asarray(rng.normal(size=(SIZE, SHAPE[1])), jnp.float32),
        jnp.asarray([1, 2, -3], jnp.int32),
    )


def pick(i, batched):
    return [b[i] if over else b[0] for b, over in zip(batches(), batched, strict=True)]


def close(a, b, *, exact=False):
    if exact:
        np.testing.assert_array_equal(a, b)
    else:
        np.testing.assert_allclose(a, b, rtol=3e-6, atol=3e-5)


PRODUCTS = synjit.binary_jitnmv, synjit.jitnmv
CASES = list(itertools.product(range(6), PRODUCTS))


# Each argument once, the products in turn.
@pytest.mark.parametrize("case", long_unless(lambda i, _: i % 4 in {0, 3}, CASES))
def test_over_each_argument_and_over_all(case, backend):
    over, product = case
    batched = [True] * 5 if over == 5 else [i == over for i in range(5)]

    f = compiled(product, backend)
    arguments = [b if on else b[0] for b, on in zip(batches(), batched, strict=True)]
    axes = [0 if on else None for on in batched]

    @jax.jit
    def first_and_last(*arguments):
        return [jax.vmap(f, axes, out_axes)(*arguments) for out_axes in (0, -1)]

    loop = np.stack([f(*pick(i, batched)) for i in range(SIZE)])
    first, last = first_and_last(*arguments)
    close(first, loop, exact=product is synjit.binary_jitnmv)
    close(last, loop.T)


@pytest.mark.parametrize("product", PRODUCTS)
def test_over_seeds_and_any_axis_of_the_vectors(product, backend):
    *_, x, seeds = batches()

    @jax.jit
    def mapped(seeds, columns):
        f = functools.partial(product, 1.0, 0.1, 0.3, shape=SHAPE, backend=backend)
        return jax.vmap(f, in_axes=(1, 0))(columns, seeds)

    f = compiled(product, backend)
    loop = np.stack([f(1.0, 0.1, 0.3, x[i], seeds[i]) for i in range(SIZE)])
    close(mapped(seeds, x.T), loop, exact=product is synjit.binary_jitnmv)


@functools.cache
def compiled(product, backend):
    return jax.jit(functools.partial(product, shape=SHAPE, backend=backend))


def test_without_jit(backend):
    """Each step of the rules by itself, as ``jax.lax.map`` over seeds is."""
    w_loc, _, _, x, seeds = batches()

    def f(w_loc, x, seed):
        return synjit.jitnmv(w_loc, 0.1, 0.3, x, seed, shape=SHAPE, backend=backend)

    result = jax.vmap(f)(w_loc, x, seeds)
    close(result, np.stack([f(*each) for each in zip(w_loc, x, seeds, strict=True)]))


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
@pytest.mark.parametrize(("axis", "out"), list(itertools.product([0, 1, 2], [0, 1, 2])))
def test_any_axis_of_a_matrix_operand(binary, transpose, axis, out, backend):
    product = synjit.binary_jitnmm if binary else synjit.jitnmm
    length = SHAPE[0] if transpose else SHAPE[1]
    shape = [length, 2]
    shape.insert(axis, SIZE)
    b = jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)

    def f(b):
        return product(
            0.5, 0.2, 0.3, b, 7, shape=SHAPE, transpose=transpose, backend=backend
        )

    result = jax.vmap(f, in_axes=axis, out_axes=out)(b)
    loop = np.stack([f(jnp.take(b, i, axis=axis)) for i in range(SIZE)], out)
    close(result, loop, exact=binary)


@pytest.mark.quick
def test_nested(backend):
    rng = np.random.default_rng(2)
    x = jnp.asarray(rng.random((2, 3, SHAPE[1])) < 0.3)
    seeds = jnp.arange(4)

    def f(seed, x):
        return synjit.binary_jitnmv(
            0.5, 0.2, 0.3, x, seed, shape=SHAPE, backend=backend
        )

    inner = jax.vmap(jax.vmap(f, in_axes=(None, 0)), in_axes=(None, 1), out_axes=1)
    result = jax.vmap(inner, in_axes=(0, None))(seeds, jnp.swapaxes(x, 0, 1))
    for s, i, j in itertools.product(range(4), range(2), range(3)):
        np.testing.assert_array_equal(result[s, j, i], f(s, x[i, j]))


def test_dense_over_seeds_and_weights(backend):
    def f(w_loc, seed):
        return synjit.jitn(w_loc, 0.2, 0.3, seed, shape=SHAPE, backend=backend)

    w, seeds = jnp.arange(1.0, 4.0), jnp.arange(3)
    result = jax.vmap(f)(w, seeds)
    for i in range(3):
        close(result[i], f(w[i], i))


def test_over_matrices_as_objects(backend):
    def make(seed, loc):
        return synjit.JITNormal(loc, 0.1, 0.3, seed, shape=SHAPE, backend=backend)

    seeds, locs = jnp.arange(3), jnp.arange(1.0, 4.0)
    x = jnp.ones(SHAPE[1])
    result = jax.vmap(lambda m: m @ x)(jax.vmap(make)(seeds, locs))
    for i in range(3):
        close(result[i], make(i, locs[i]) @ x)


def test_derivatives_in_a_batch(backend):
    w_loc, w_scale, _, vector, seed = batches()

    def loss(w_loc, w_scale, vector, seed):
        y = synjit.jitnmv(
            w_loc, w_scale, 0.3, vector, seed, shape=SHAPE, backend=backend
        )
        return jnp.sum(jnp.sin(y))

    for transform in (jax.grad, jax.jacfwd, jax.jacrev):
        f = jax.jit(transform(loss, (0, 1, 2)))
        result = jax.vmap(f)(w_loc, w_scale, vector, seed)
        for i in range(SIZE):
            single = f(w_loc[i], w_scale[i], vector[i], seed[i])
            jax.tree.map(lambda a, b, i=i: close(a[i], b), result, single)


def test_a_batch_of_weights_draws_nothing_again(backend):
    def f(w_loc, w_scale):
        x = jnp.ones(SHAPE[1], bool)
        return synjit.binary_jitnmv(
            w_loc, w_scale, 0.3, x, 7, shape=SHAPE, backend=backend
        )

    text = str(jax.make_jaxpr(jax.vmap(f))(jnp.ones(5), jnp.ones(5)))
    assert text.count("synjit_product") == 1
    assert f"i32[{SHAPE[0]},1]" in text  # one product, of one vector
    assert "scan" not in text


@pytest.mark.parametrize("binary", [True, False])
def test_no_backend_is_asked_for_a_batch_of_none(binary, backend):
    product = synjit.binary_jitnmv if binary else synjit.jitnmv

    def f(x):
        return product(1.0, 0.1, 0.3, x, 42, shape=(3, 5), backend=backend)

    none, traced = jnp.zeros((0, 5)), jax.make_jaxpr(jax.vmap(f))
    assert jax.vmap(f)(none).shape == (0, 3)
    assert "synjit" not in str(traced(none))
    assert "synjit" in str(traced(jnp.zeros((1, 5))))


@pytest.mark.quick
def test_a_batch_of_vectors_is_one_product(backend):
    def f(x):
        return synjit.binary_jitnmv(0.5, 0.2, 0.3, x, 7, shape=SHAPE, backend=backend)

    text = str(jax.make_jaxpr(jax.vmap(jax.vmap(f)))(jnp.ones((4, 5, SHAPE[1]), bool)))
    assert text.count("synjit_weighted") == 1
    assert "synjit_product" not in text
    assert f"f32[{SHAPE[0]},20]" in text
    assert "scan" not in text


def test_a_batch_of_weights_draws_once(backend):
    def f(loc):
        return synjit.binary_jitnmv(loc, 0.2, 0.3, x, 7, shape=SHAPE, backend=backend)

    x = jnp.arange(SHAPE[1]) % 3 == 0
    locs = jnp.array([0.5, -1.0, 2.0])
    text = str(jax.make_jaxpr(jax.vmap(f))(locs))
    assert "scan" not in text
    np.testing.assert_array_equal(jax.vmap(f)(locs), jnp.stack([*map(f, locs)]))
