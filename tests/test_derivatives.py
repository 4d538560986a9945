# SPDX-License-Identifier: Apache-2.0
"""Every derivative is that of the dense formula, in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import synjit
from synjit import reference

pytestmark = pytest.mark.usefixtures("x64")

SEED, PROB, SHAPE = 7, 0.3, (13, 9)
LOC, SCALE = 0.7, -0.4


@functools.cache
def parts():
    """Mask and standard-normal part of the matrix, in float64."""
    z = reference.Matrix(SEED, PROB, SHAPE).dense()
    mask = z != reference.ABSENT
    return mask.astype(np.float64), np.where(mask, z / 2**16, 0)


def dense(loc, scale, transpose=False):
    mask, z = (jnp.asarray(part) for part in parts())
    w = loc * mask + scale * z
    return w.T if transpose else w


def surrogate(x):
    """An event vector whose derivative is that of the vector itself."""
    return x + jax.lax.stop_gradient((x > 0).astype(x.dtype) - x)


def operand(transpose, columns=None):
    length = SHAPE[0] if transpose else SHAPE[1]
    shape = (length,) if columns is None else (length, columns)
    return jnp.asarray(np.random.default_rng(1).normal(size=shape))


FUNCTIONS = {
    "binary_jitnmv": (synjit.binary_jitnmv, True, None),
    "binary_jitnmm": (synjit.binary_jitnmm, True, 3),
    "jitnmv": (synjit.jitnmv, False, None),
    "jitnmm": (synjit.jitnmm, False, 3),
}


@pytest.fixture(params=[(n, t) for n in FUNCTIONS for t in (False, True)], ids=str)
def pair(request, backend):
    """A product, and the dense formula for it; both of (w_loc, w_scale, x)."""
    name, transpose = request.param
    function, binary, columns = FUNCTIONS[name]

    def ours(loc, scale, x):
        return function(
            loc, scale, PROB, x, SEED, shape=SHAPE, transpose=transpose, backend=backend
        )

    def formula(loc, scale, x):
        return dense(loc, scale, transpose) @ (surrogate(x) if binary else x)

    return (
        ours,
        formula,
        (jnp.float64(LOC), jnp.float64(SCALE), operand(transpose, columns)),
    )


@pytest.fixture(params=[False, True], ids=["W", "W.T"])
def dense_pair(request, backend):
    """``jitn``, and the dense formula for it; both of (w_loc, w_scale)."""

    def ours(loc, scale):
        return synjit.jitn(
            loc,
            scale,
            PROB,
            SEED,
            shape=SHAPE,
            transpose=request.param,
            backend=backend,
        )

    def formula(loc, scale):
        return dense(loc, scale, request.param)

    return ours, formula, (jnp.float64(LOC), jnp.float64(SCALE))


def same(ours, formula):
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12),
        ours,
        formula,
    )


def all_derivatives(ours, formula, arguments):
    """Compare everything that JAX can make of a function of float arguments."""
    same(everything(ours, arguments), everything(formula, arguments))


def everything(f, arguments):
    """Make it in one program; ``test_transform_orders`` has it without a jit."""
    numbers = tuple(range(len(arguments)))
    tangents = jax.tree.map(lambda a: jnp.cos(a) + 0.5, arguments)

    def loss(*arguments):
        return jnp.sum(jnp.sin(f(*arguments)))

    @jax.jit
    def compute(arguments):
        of_one = []  # one argument at a time: the others' tangents are symbolic zeros
        for i in numbers:

            def vary(a, i=i):
                return f(*arguments[:i], a, *arguments[i + 1 :])

            of_one.append(jax.jvp(vary, (arguments[i],), (tangents[i],)))
        result, pull = jax.vjp(f, *arguments)
        cotangent = jnp.sin(jnp.arange(result.size, dtype=float)).reshape(result.shape)
        return {
            "value": result,
            "jvp": jax.jvp(f, arguments, tangents),
            "jvp by one": of_one,
            "vjp": pull(cotangent),
            "linearize": jax.linearize(f, *arguments)[1](*tangents),
            "grad": jax.grad(loss, numbers)(*arguments),
            "jacfwd": jax.jacfwd(f, numbers)(*arguments),
            "jacrev": jax.jacrev(f, numbers)(*arguments),
            "hessian": jax.hessian(loss, numbers)(*arguments),
        }

    return compute(arguments)


def test_products(pair):
    all_derivatives(*pair)


def test_dense(dense_pair):
    all_derivatives(*dense_pair)


@pytest.mark.parametrize("name", ["jitnmv", "jitnmm"])
@pytest.mark.parametrize("transpose", [False, True])
def test_check_grads_to_second_order(name, transpose, backend):
    function, _, columns = FUNCTIONS[name]

    def f(loc, scale, x):
        return function(
            loc, scale, PROB, x, SEED, shape=SHAPE, transpose=transpose, backend=backend
        )

    arguments = (jnp.float64(LOC), jnp.float64(SCALE), operand(transpose, columns))
    check_grads(f, arguments, order=2)


@pytest.mark.parametrize("name", ["binary_jitnmv", "binary_jitnmm"])
def test_check_grads_by_the_weights_of_events(name, backend):
    function, _, columns = FUNCTIONS[name]

    def f(loc, scale):
        x = operand(False, columns)
        return function(loc, scale, PROB, x, SEED, shape=SHAPE, backend=backend)

    check_grads(f, (jnp.float64(LOC), jnp.float64(SCALE)), order=2)


def test_check_grads_of_dense(backend):
    def f(loc, scale):
        return synjit.jitn(loc, scale, PROB, SEED, shape=SHAPE, backend=backend)

    check_grads(f, (jnp.float64(LOC), jnp.float64(SCALE)), order=2)


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("name", ["jitnmv", "jitnmm"])
def test_linear_transpose(name, transpose, backend):
    function, _, columns = FUNCTIONS[name]
    x = operand(transpose, columns)

    def f(x):
        return function(
            LOC, SCALE, PROB, x, SEED, shape=SHAPE, transpose=transpose, backend=backend
        )

    y = operand(not transpose, columns)
    (back,) = jax.linear_transpose(f, x)(y)
    same(back, dense(LOC, SCALE, not transpose) @ y)


@pytest.mark.quick
def test_the_adjoint_identity(backend):
    shape = (500, 700)
    rng = np.random.default_rng(0)
    v, u = jnp.asarray(rng.normal(size=700)), jnp.asarray(rng.normal(size=500))
    matrix = synjit.JITNormal(LOC, SCALE, 0.1, SEED, shape=shape, backend=backend)
    assert float((matrix @ v) @ u) == pytest.approx(
        float(v @ (matrix.T @ u)), rel=1e-12
    )


def test_the_gradient_by_w_loc_counts_events_not_values(backend):
    vector = jnp.array([2.0, -3.0, 0.5, 0.0])

    def total(w_loc):
        y = synjit.binary_jitnmv(
            w_loc, 0.0, 1.0, vector, SEED, shape=(1, 4), backend=backend
        )
        return y.sum()

    assert jax.grad(total)(1.0) == 2.0


def test_a_vector_of_booleans_or_integers_has_no_derivative(backend):
    for dtype in (bool, jnp.int32):
        x = jnp.ones(SHAPE[1], dtype)

        def f(x):
            return synjit.binary_jitnmv(
                LOC, SCALE, PROB, x, SEED, shape=SHAPE, backend=backend
            )

        with pytest.raises(TypeError, match="grad requires real"):
            jax.grad(lambda x: f(x).sum())(x)
        zero = np.zeros(SHAPE[1], jax.dtypes.float0)
        _, change = jax.jvp(f, (x,), (zero,))
        assert not change.any()


@pytest.mark.quick
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_by_prob_there_is_a_clear_error(wrap, backend):
    def f(prob):
        x = jnp.ones(SHAPE[1])
        return synjit.jitnmv(
            LOC, SCALE, prob, x, SEED, shape=SHAPE, backend=backend
        ).sum()

    for transform in (jax.grad, jax.jacfwd, jax.hessian):
        with pytest.raises(TypeError, match="no derivative by prob"):
            transform(wrap(f))(0.3)


def test_a_traced_prob_does_not_hinder_the_other_derivatives(backend):
    @jax.jit
    def f(loc, prob):
        x = jnp.ones(SHAPE[1])
        return synjit.jitnmv(
            loc, SCALE, prob, x, SEED, shape=SHAPE, backend=backend
        ).sum()

    assert jax.grad(f)(LOC, PROB) == pytest.approx(parts()[0].sum(), rel=1e-12)


def test_by_seed_there_is_a_clear_error(backend):
    def f(seed):
        x = jnp.ones(SHAPE[1])
        return synjit.jitnmv(
            LOC, SCALE, PROB, x, seed, shape=SHAPE, backend=backend
        ).sum()

    with pytest.raises(TypeError, match="grad requires real"):
        jax.grad(f)(jnp.int32(3))


def test_the_transpose_draws_each_connection_once(backend):
    def f(x):
        y = synjit.jitnmv(LOC, SCALE, PROB, x, SEED, shape=SHAPE, backend=backend)
        return (y**2).sum()

    jaxpr = str(jax.make_jaxpr(jax.grad(f))(operand(False)))
    assert jaxpr.count("synjit_product") == 2  # one forward, one backward
