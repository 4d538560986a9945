# SPDX-License-Identifier: Apache-2.0
"""Delivery under JAX's transformations, beside a dense matrix for each slot."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from long import long_unless

import synjit
from synjit import reference

NORMAL = synjit.normal_delays(3.0, 1.5)
SLOTS = NORMAL.bounds[1] + 2
ROWS, COLUMNS = (70, 9), (30, 11)
NOW = 4
# (row, column): w_loc, w_scale, prob, delay
BLOCKS = {
    (0, 0): (0.3, 0.1, 0.1, NORMAL),
    (0, 1): (-1.7, 0.2, synjit.FixedOutDegree(20, 70), 7),
    (1, 1): (0.7, 0.4, 0.9, synjit.Delays(synjit.Uniform(), 4, 2)),
}
M, N = sum(ROWS), sum(COLUMNS)


def blocks(weights, backend):
    grid = [[None, None], [None, None]]
    for number, ((i, j), (_, _, prob, delay)) in enumerate(BLOCKS.items()):
        grid[i][j] = synjit.JITNormal(
            *weights[number],
            prob,
            7 * i + j,
            delay=delay,
            shape=(ROWS[i], COLUMNS[j]),
            backend=backend,
        )
    return synjit.JITBlocks(grid)


WEIGHTS = [(jnp.float32(loc), jnp.float32(scale)) for loc, scale, *_ in BLOCKS.values()]


def dense():
    """Masks and z of each block, (slots, m, n), by the slot in which they arrive."""
    parts = []
    for (i, j), (_, _, prob, delay) in BLOCKS.items():
        law = delay
        if isinstance(delay, int):
            law = synjit.Delays(synjit.Constant(), delay, 0)
        own = reference.Matrix(7 * i + j, prob, (ROWS[i], COLUMNS[j]))
        z = own.dense()
        row, column = np.nonzero(z != reference.ABSENT)
        d = reference.delays.delay(own.seed, row, column, law.table)
        at = (NOW + d) % SLOTS, row + sum(ROWS[:i]), column + sum(COLUMNS[:j])
        both = np.zeros((2, SLOTS, M, N), np.float32)
        both[0][at] = 1
        both[1][at] = z[row, column] * 2.0**-16
        parts.append(both)
    return parts


DENSE = dense()


def right(weights, x, ring):
    """The same as a sum of dense products, linear in x."""
    for (loc, scale), (mask, z) in zip(weights, DENSE, strict=True):
        ring = ring + jnp.einsum("smn,nk->smk", loc * mask + scale * z, x)
    return ring


def arrays(batch=2, seed=0):
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.random((N, batch)) < 0.4, jnp.float32)
    ring = jnp.asarray(rng.normal(size=(SLOTS, M, batch)), jnp.float32)
    return x, ring


def delivered(backend):
    def f(weights, x, ring):
        return blocks(weights, backend).deliver(x, synjit.Ring(ring), NOW).value

    return f


def assert_near(got, want):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


def test_values(able):
    assert_near(delivered(able)(WEIGHTS, *arrays()), right(WEIGHTS, *arrays()))


@pytest.mark.parametrize(
    "by", long_unless(lambda _, by: len(by) > 1, [(0,), (1,), (2,), (0, 1, 2)])
)
def test_forward(by, able):
    point = (WEIGHTS, *arrays())
    change = (jax.tree.map(lambda w: w * 0.3 + 1, WEIGHTS), *arrays(seed=1))
    change = change[0], change[1] - 0.3, change[2]

    def along(f):
        def g(*varied):
            given = list(point)
            for i, v in zip(by, varied, strict=True):
                given[i] = v
            return f(*given)

        return jax.jvp(g, [point[i] for i in by], [change[i] for i in by])

    got = jax.jit(lambda: along(delivered(able)))()
    assert_near(got, along(right))


def test_reverse(able):
    point = (WEIGHTS, *arrays())
    weight = jnp.asarray(
        np.random.default_rng(2).normal(size=(SLOTS, M, 2)), jnp.float32
    )

    def loss(f):
        return lambda *given: jnp.sum(weight * f(*given))

    got = jax.jit(jax.grad(loss(delivered(able)), argnums=(0, 1, 2)))(*point)
    assert_near(got, jax.grad(loss(right), argnums=(0, 1, 2))(*point))


@pytest.mark.long
def test_second_order(able):
    x, ring = arrays()

    def twice(f):
        def loss(weights, x):
            return jnp.sum(f(weights, x, ring) ** 2)

        def first(weights, x):
            grads = jax.grad(loss, argnums=(0, 1))(weights, x)
            return sum(jnp.vdot(g, g) for g in jax.tree.leaves(grads))

        return jax.jit(jax.grad(first, argnums=(0, 1)))(WEIGHTS, x)

    got, want = twice(delivered(able)), twice(right)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        scale = float(jnp.abs(b).max())
        np.testing.assert_allclose(a / scale, b / scale, atol=1e-4)


def test_through_a_loop(able):
    """By the weights, forward and reverse, through steps that read what was sent."""
    x, ring = arrays(batch=1)
    steps = SLOTS + 3

    def run(deliver):
        def loss(weights):
            def step(ring, now):
                current, ring = ring.read(now)
                events = x * (1 + current.sum() * 0)
                return deliver(weights, events, ring, now), (current**2).sum()

            return jax.lax.scan(step, synjit.Ring(ring), jnp.arange(steps))[1].sum()

        return loss

    def by_kernel(weights, x, ring, now):
        return blocks(weights, able).deliver(jax.lax.stop_gradient(x), ring, now)

    def by_dense(weights, x, ring, now):
        sent = right(weights, jax.lax.stop_gradient(x), jnp.zeros_like(ring.value))
        return synjit.Ring(ring.value + jnp.roll(sent, now - NOW, axis=0))

    want = jax.grad(run(by_dense))(WEIGHTS)
    got = jax.jit(jax.grad(run(by_kernel)))(WEIGHTS)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)
    ahead = jax.jit(jax.jacfwd(run(by_kernel)))(WEIGHTS)
    for a, b in zip(jax.tree.leaves(ahead), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)


def test_reading_is_linear():
    def read(now, ring):
        current, rest = synjit.Ring(ring).read(now)
        return current, rest.value

    for now in (0, SLOTS - 1):
        check_grads(functools.partial(read, now), (arrays()[1],), order=1)


@pytest.mark.parametrize("axes", [(None, 0, 0), (None, 0, None), (None, None, 1)])
def test_many_vectors_are_one_delivery(axes, able):
    x, ring = arrays(batch=6)
    x = jnp.moveaxis(x.reshape(N, 2, 3), 2, 0) if axes[1] == 0 else x[:, :2]
    ring = ring[..., :2] if axes[2] is None else ring.reshape(SLOTS, M, 2, 3)
    ring = ring if axes[2] is None else jnp.moveaxis(ring, 3, axes[2])
    f = jax.vmap(delivered(able), in_axes=axes)
    text = jax.jit(f).lower(WEIGHTS, x, ring).as_text()
    assert "while" not in text
    got = jax.jit(f)(WEIGHTS, x, ring)
    assert_near(got, jax.vmap(right, in_axes=axes)(WEIGHTS, x, ring))


def test_many_weights_steps_and_seeds(able):
    x, ring = arrays()
    many = jax.tree.map(lambda w: jnp.stack([w, 2 * w, -w]), WEIGHTS)
    got = jax.vmap(delivered(able), in_axes=(0, None, None))(many, x, ring)
    assert_near(got, jax.vmap(right, in_axes=(0, None, None))(many, x, ring))

    def at(now):
        b = blocks(WEIGHTS, able)
        current, rest = b.deliver(x, synjit.Ring(ring), now).read(now + 1)
        return current, rest.value

    nows = jnp.array([0, 3, 17])
    for got, want in zip(
        jax.tree.leaves(jax.vmap(at)(nows)),
        map(jnp.stack, zip(*map(at, nows), strict=True)),
        strict=True,
    ):
        np.testing.assert_array_equal(got, want)

    def of(seed):
        m = synjit.JITNormal(
            1.0, 0.1, 0.3, seed, delay=NORMAL, shape=(M, N), backend=able
        )
        return m.deliver(x, synjit.Ring(ring), NOW).value

    seeds = jnp.array([1, 2])
    np.testing.assert_array_equal(jax.vmap(of)(seeds), jnp.stack([of(1), of(2)]))


@pytest.mark.parametrize("devices", [1, 2])
def test_devices_deliver_to_their_own_rows(devices, able):
    mesh = jax.make_mesh(
        (devices,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,)
    )
    m, n = 3000, 40
    given = {"delay": NORMAL, "backend": able}
    whole = synjit.JITNormal(1.0, 0.1, 0.1, 42, shape=(m, n), **given)
    sent = jnp.asarray(np.random.default_rng(0).random((9, n)) < 0.3)

    def run(matrix, ring, sent):
        def step(ring, given):
            now, spikes = given
            current, ring = ring.read(now)
            return matrix.deliver(spikes, ring, now), current

        return jax.lax.scan(step, ring, (jnp.arange(len(sent)), sent))

    def local(ring, sent):
        first = jax.lax.axis_index("rows") * (m // devices)
        part = whole.replace(shape=(m // devices, n), origin=(first, 0))
        return run(part, ring, sent)

    cut = jax.sharding.PartitionSpec(None, "rows")
    none = jax.sharding.PartitionSpec()
    step = jax.shard_map(local, mesh=mesh, in_specs=(cut, none), out_specs=(cut, cut))
    ring, currents = jax.jit(step)(whole.ring(), sent)
    want, wanted = jax.jit(run)(whole, whole.ring(), sent)
    np.testing.assert_array_equal(ring.value, want.value)
    np.testing.assert_array_equal(currents, wanted)
    assert currents.any()


def test_reading_rings_that_lie_along_another_axis():
    """Each at a step of its own."""
    values = jnp.arange(3 * 4 * 5, dtype=jnp.float32).reshape(3, 4, 5)
    rings = [synjit.Ring(values[:, i]) for i in range(4)]
    along = jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=1), *rings)
    steps = jnp.array([2, 0, 1, 2])

    def read(ring, now):
        current, rest = ring.read(now)
        return current, rest.value

    got, rest = jax.vmap(read, in_axes=(1, 0))(along, steps)
    for i, (ring, now) in enumerate(zip(rings, steps, strict=True)):
        wanted, left = read(ring, now)
        assert np.array_equal(got[i], wanted)
        assert np.array_equal(rest[i], left)
