# SPDX-License-Identifier: Apache-2.0
"""Arrays that a mesh of explicit axes has cut: JAX's default mesh, the same bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from long import long_unless

import synjit

SHAPE = (24, 32)
GIVEN = (0.5, 0.1, 0.3)
X = jnp.asarray(np.random.default_rng(0).normal(size=SHAPE[1]), jnp.float32)
MANY = jnp.stack([X, -X, 2 * X, jnp.roll(X, 1)])


@pytest.fixture(autouse=True)
def mesh():
    mesh = jax.make_mesh((4,), ("n",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        yield mesh


def cut(array, *spec):
    assert jax.typeof(array).sharding.spec == P(*[None] * array.ndim)
    return jax.sharding.reshard(array, P(*spec))


def blocks(backend):
    halves = [
        synjit.JITNormal(*GIVEN, seed, shape=(24, 16), backend=backend)
        for seed in (1, 2)
    ]
    return synjit.JITBlocks([halves])


PRODUCTS = {
    "binary_jitnmv": lambda x, **kw: synjit.binary_jitnmv(*GIVEN, x, 1, **kw),
    "jitnmv": lambda x, **kw: synjit.jitnmv(*GIVEN, x, 1, **kw),
    "binary_jitnmm": lambda x, **kw: synjit.binary_jitnmm(*GIVEN, columns(x), 1, **kw),
    "jitnmm": lambda x, **kw: synjit.jitnmm(*GIVEN, columns(x), 1, **kw),
    "blocks": lambda x, *, shape, backend: blocks(backend) @ x,
    "blocks of events": lambda x, *, shape, backend: blocks(backend) @ synjit.Events(x),
}


def columns(x):
    return jnp.stack([x, -x, x], axis=1)


@pytest.fixture(params=PRODUCTS)
def product(request, backend):
    f = PRODUCTS[request.param]
    return lambda x: f(x, shape=SHAPE, backend=backend)


def assert_alike(got, right):
    """Floats that XLA adds up may round otherwise in another program."""
    np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-5)


def gradient(f):
    return jax.grad(lambda x: jnp.sum(f(x) ** 2))


def curvature(f):
    return lambda x: jax.jvp(gradient(f), (x,), (x,))[1]


@pytest.mark.parametrize("name", [n for n in PRODUCTS if "events" in n or "bin" in n])
def test_events_that_are_cut_give_the_same_bits(name, backend):
    def f(x):
        return PRODUCTS[name](x, shape=SHAPE, backend=backend)

    assert np.any(f(X))
    for g in (f, jax.jit(f)):
        np.testing.assert_array_equal(g(cut(X, "n")), f(X))


@pytest.mark.parametrize("what", [lambda f: f, gradient, curvature])
def test_a_vector_that_is_cut(product, what):
    f = what(product)
    assert np.any(f(X))
    for g in (f, jax.jit(f)):
        assert_alike(g(cut(X, "n")), f(X))


@pytest.mark.quick
def test_the_gradient_is_cut_as_its_vector(product):
    got = gradient(product)(cut(X, "n"))
    assert jax.typeof(got).sharding.spec == P("n")


@pytest.mark.parametrize("spec", [("n", None), (None, "n")])
def test_a_batch_that_is_cut(product, spec):
    given = cut(MANY, *spec)
    for f in (product, gradient(product)):
        batch = jax.jit(jax.vmap(f))
        assert_alike(batch(given), batch(MANY))


@pytest.mark.parametrize("spec", [("n", None), (None, "n")])
def test_a_matrix_of_vectors_that_is_cut(spec, backend):
    def f(b):
        return synjit.jitnmm(*GIVEN, b, 1, shape=SHAPE, backend=backend)

    np.testing.assert_array_equal(f(cut(MANY.T, *spec)), f(MANY.T))
    assert_alike(gradient(f)(cut(MANY.T, *spec)), gradient(f)(MANY.T))


def test_seeds_and_weights_that_are_cut(backend):
    def f(w, seed):
        return synjit.binary_jitnmv(w, 0.1, 0.3, X, seed, shape=SHAPE, backend=backend)

    w, seeds = jnp.array([1.0, 2.0, 3.0, 4.0]), jnp.arange(4)
    for axes in ((0, None), (None, 0), (0, 0)):
        given = [
            a[1] if axis is None else a
            for a, axis in zip((w, seeds), axes, strict=True)
        ]
        over = [cut(a, "n") if a.ndim else a for a in given]
        g = jax.jit(jax.vmap(f, in_axes=axes))
        np.testing.assert_array_equal(g(*over), g(*given))


def test_origins_that_are_cut(backend):
    def f(row):
        return synjit.jitnmv(
            *GIVEN, X, 1, shape=SHAPE, origin=(row, 5), backend=backend
        )

    rows = jnp.arange(4) * 700
    batch = jax.jit(jax.vmap(f))
    right = np.stack([f(int(row)) for row in rows])
    np.testing.assert_array_equal(batch(rows), right)
    np.testing.assert_array_equal(batch(cut(rows, "n")), right)


def test_rows_drawn_by_each_device(mesh, backend):
    rows = SHAPE[0] // 4

    def local(x):
        start = (jax.lax.axis_index("n") * rows, 0)
        return synjit.jitnmv(
            *GIVEN, x, 1, shape=(rows, SHAPE[1]), origin=start, backend=backend
        )

    f = jax.jit(jax.shard_map(local, in_specs=P(), out_specs=P("n")))
    got = f(X)
    assert jax.typeof(got).sharding.spec == P("n")
    right = synjit.jitnmv(*GIVEN, X, 1, shape=SHAPE, backend=backend)
    np.testing.assert_array_equal(got, right)
    uncut = PRODUCTS["jitnmv"]
    whole = gradient(lambda x: uncut(x, shape=SHAPE, backend=backend))
    np.testing.assert_allclose(jax.jit(gradient(f))(X), whole(X), rtol=1e-5, atol=1e-4)


# --- delays -----------------------------------------------------------------------

DELAYED = synjit.JITNormal(*GIVEN, 1, delay=synjit.normal_delays(3, 1), shape=SHAPE)
NOW = 2
# What is on its way already to each of the batch.
RINGS = jnp.stack([DELAYED.ring().value + k for k in range(len(MANY))])


def delivered(x, value=RINGS[0]):
    """What arrives in a step, and all that is on its way after it."""
    ring = DELAYED.deliver(x, synjit.Ring(value), NOW)
    current, ring = ring.read(NOW + 3)
    return current, ring.value


def arriving(x):
    return delivered(x)[0]


@pytest.mark.parametrize(
    "spec", long_unless(lambda i, _: i == 1, [("n", None), (None, "n")])
)
def test_a_batch_of_deliveries_that_is_cut(spec):
    right = jax.vmap(delivered)(MANY, RINGS)
    assert np.count_nonzero(right[0] - RINGS[:, 0]) > 4
    over = cut(MANY, *spec), cut(RINGS, spec[0], None, spec[1])
    for batch in (jax.vmap(delivered), jax.jit(jax.vmap(delivered))):
        jax.tree.map(np.testing.assert_array_equal, batch(*over), right)
    gradients = jax.jit(jax.vmap(gradient(arriving)))
    assert_alike(gradients(over[0]), gradients(MANY))


@pytest.mark.parametrize("axes", [(0, None), (None, 0)])
def test_the_rings_of_a_batch_are_cut_as_it_was(axes):
    which = axes.index(0)
    given = [MANY[1], RINGS[1]]
    given[which] = (MANY, RINGS)[which]
    over = list(given)
    over[which] = cut(over[which], "n")
    batch = jax.jit(jax.vmap(delivered, in_axes=axes))
    got = batch(*over)
    jax.tree.map(np.testing.assert_array_equal, got, batch(*given))
    assert [jax.typeof(leaf).sharding.spec[0] for leaf in got] == ["n", "n"]


def test_steps_and_seeds_of_deliveries_that_are_cut():
    def f(seed, now):
        ring = DELAYED.replace(seed=seed).deliver(X, DELAYED.ring(), now)
        return ring.read(now + 3)[0]

    seeds, steps = jnp.arange(4), jnp.arange(4)
    batch = jax.jit(jax.vmap(f))
    right = batch(seeds, steps)
    assert len(np.unique(right)) > 4
    np.testing.assert_array_equal(batch(cut(seeds, "n"), cut(steps, "n")), right)


def test_spikes_and_a_ring_that_are_cut():
    right = delivered(X)
    for f in (delivered, jax.jit(delivered)):
        got = f(cut(X, "n"), cut(RINGS[0], None, "n"))
        jax.tree.map(np.testing.assert_array_equal, got, right)
