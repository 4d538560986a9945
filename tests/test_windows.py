# SPDX-License-Identifier: Apache-2.0
"""A window is that part of the matrix: what lets each device draw just its rows."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import synjit

# Chunks are 1024 rows long: the windows begin at, before and after their edges.
GIVEN = (0.5, 0.2, 0.1)
SEED = 20140785
SHAPE = (2100, 40)
WINDOWS = [
    ((0, 0), (2100, 40)),
    ((1, 0), (1023, 40)),
    ((1024, 5), (1076, 30)),
    ((1023, 39), (2, 1)),
    ((700, 3), (1300, 17)),
]


@functools.cache
def whole():
    return np.asarray(synjit.jitn(*GIVEN, SEED, shape=SHAPE))


def cut(origin, shape):
    (row, column), (m, n) = origin, shape
    return whole()[row : row + m, column : column + n]


# Every window, and of two every way to it.
WAYS = [
    *((*window, False, False) for window in WINDOWS),
    *((*window, False, True) for window in WINDOWS[-2:]),
    *((*WINDOWS[-1], True, transpose) for transpose in (False, True)),
]


@pytest.mark.parametrize(("origin", "shape", "traced", "transpose"), WAYS)
def test_all_products_see_that_part(origin, shape, traced, transpose, backend):
    options = {"shape": shape, "transpose": transpose, "backend": backend}

    def run(product, *operands):
        def f(start):
            return product(*GIVEN, *operands, SEED, origin=start, **options)

        return np.asarray(jax.jit(f)(origin) if traced else f(origin))

    w = cut(origin, shape)
    w = w.T if transpose else w
    np.testing.assert_array_equal(run(synjit.jitn), w)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(w.shape[1], 3)).astype(np.float32)
    for x, mv, mm in (
        (values > 0.5, synjit.binary_jitnmv, synjit.binary_jitnmm),
        (values, synjit.jitnmv, synjit.jitnmm),
    ):
        right = w.astype(np.float64) @ x
        bound = 1e-5 * (1 + np.abs(w) @ np.abs(x))
        assert (np.abs(run(mm, x) - right) <= bound).all()
        assert (np.abs(run(mv, x[:, 0]) - right[:, 0]) <= bound[:, 0]).all()


def test_windows_put_together_are_the_product_to_the_last_bit(backend):
    events = np.random.default_rng(1).random(SHAPE[1]) < 0.3

    def product(rows, row):
        return synjit.binary_jitnmv(
            *GIVEN,
            events,
            SEED,
            shape=(rows, SHAPE[1]),
            origin=(row, 0),
            backend=backend,
        )

    edges = [0, 1, 1023, 1024, 1700, 2100]
    parts = [product(b - a, a) for a, b in itertools.pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(parts), product(SHAPE[0], 0))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.int32, np.uint32])
def test_an_origin_of_any_integer_type(dtype, backend):
    def f(start):
        return synjit.jitn(*GIVEN, SEED, shape=(30, 9), origin=start, backend=backend)

    right = cut((100, 7), (30, 9))
    for start in (np.array([100, 7], dtype), (dtype(100), 7)):
        np.testing.assert_array_equal(f(start), right)
        np.testing.assert_array_equal(f(jax.tree.map(jnp.asarray, start)), right)
        np.testing.assert_array_equal(jax.jit(f)(start), right)


@pytest.mark.usefixtures("x64")
def test_an_origin_of_64_bits(backend):
    @jax.jit
    def f(row):
        return synjit.jitn(
            *GIVEN, SEED, shape=(30, 9), origin=(row, 7), backend=backend
        )

    np.testing.assert_allclose(f(jnp.int64(100)), cut((100, 7), (30, 9)), rtol=1e-6)
    assert np.isnan(f(jnp.int64(2**32 + 100))).all()
    assert np.isnan(f(jnp.int64(100 - 2**32))).all()


def test_over_many_origins_at_once(backend):
    def f(row):
        return synjit.jitn(
            *GIVEN, SEED, shape=(50, 9), origin=(row, 7), backend=backend
        )

    rows = jnp.array([0, 1000, 1024])
    for row, part in zip(rows, jax.vmap(f)(rows), strict=True):
        np.testing.assert_array_equal(part, cut((int(row), 7), (50, 9)))


def test_derivatives_are_those_of_the_window(backend):
    origin, shape = (700, 3), (400, 17)
    x = jnp.asarray(np.random.default_rng(2).normal(size=17), jnp.float32)

    def f(x, row):
        y = synjit.jitnmv(
            *GIVEN, x, SEED, shape=shape, origin=(row, 3), backend=backend
        )
        return jnp.sum(y * y)

    w = cut(origin, shape).astype(np.float64)
    right = 2 * w.T @ (w @ np.asarray(x))
    for g in (jax.grad(f), jax.jit(jax.grad(f))):
        np.testing.assert_allclose(g(x, 700), right, rtol=1e-4, atol=1e-3)


# --- over devices -----------------------------------------------------------------


def on_four(f, in_specs, out_specs):
    mesh = jax.make_mesh((4,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    shard = jax.shard_map(f, mesh=mesh, in_specs=in_specs, out_specs=out_specs)
    return jax.jit(shard)


def test_each_device_draws_its_rows(backend):
    x = jnp.asarray(np.random.default_rng(3).normal(size=(40, 2)), jnp.float32)
    rows = SHAPE[0] // 4
    options = {"backend": backend}

    def local(x, product):
        row = jax.lax.axis_index("rows") * rows
        return product(*GIVEN, x, SEED, shape=(rows, 40), origin=(row, 0), **options)

    for product in (synjit.binary_jitnmm, synjit.jitnmm):
        part = functools.partial(local, product=product)
        together = on_four(part, P(), P("rows"))(x)
        right = product(*GIVEN, x, SEED, shape=SHAPE, **options)
        np.testing.assert_array_equal(together, right)


def test_each_device_sums_its_rows_for_the_transpose(backend):
    events = np.random.default_rng(4).random(SHAPE[0]) < 0.2
    rows = SHAPE[0] // 4

    def local(events):
        row = jax.lax.axis_index("rows") * rows
        part = synjit.binary_jitnmv(
            1.0,
            0.0,  # sums of ones, which are exact
            0.1,
            events,
            SEED,
            shape=(rows, 40),
            transpose=True,
            origin=(row, 0),
            backend=backend,
        )
        return jax.lax.psum(part, "rows")

    right = synjit.binary_jitnmv(
        1.0, 0.0, 0.1, events, SEED, shape=SHAPE, transpose=True, backend=backend
    )
    np.testing.assert_array_equal(on_four(local, P("rows"), P())(events), right)


# --- what is no origin ------------------------------------------------------------


def jitn(origin):
    return synjit.jitn(*GIVEN, SEED, shape=(3, 5), origin=origin)


@pytest.mark.parametrize(
    "origin",
    [
        *(0, None, (1,), (1, 2, 3), "ab", (1.0, 2), (0, None)),
        *(np.zeros(2), np.zeros(3, int), np.zeros((2, 2), int)),
    ],
)
def test_origins_of_a_wrong_type(origin):
    with pytest.raises(TypeError, match=r"origin must be two integers .* got"):
        jitn(origin)


@pytest.mark.parametrize("origin", [np.zeros(2), np.zeros((2, 1), int), np.int32(3)])
def test_traced_origins_of_a_wrong_type(origin):
    with pytest.raises(TypeError, match=r"origin must be two integers .* got"):
        jax.jit(jitn)(origin)


LAST = (2**31 - 1 - 3, 2**31 - 1 - 5)


@pytest.mark.parametrize(
    "origin", [(-1, 0), (0, -1), (LAST[0] + 1, 0), (0, LAST[1] + 1), (2**32, 0)]
)
def test_windows_outside_of_any_matrix(origin):
    with pytest.raises(ValueError, match=r"origin must be .* 0 \.\. 2147483644 .* got"):
        jitn(origin)
    if max(origin) < 2**31:
        assert np.isnan(jax.jit(jitn)(np.array(origin, np.int32))).all()


def test_the_last_window():
    last = np.array(LAST, np.int32)
    np.testing.assert_array_equal(jax.jit(jitn)(last), jitn(LAST))
    assert not np.isnan(jitn(LAST)).any()
