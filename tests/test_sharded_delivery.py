# SPDX-License-Identifier: Apache-2.0
"""A sharded matrix delivers the bits of one device, however its rows are cut."""

import functools

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

import synjit

STEPS, BATCH = 12, 4
ROWS, COLUMNS = (33, 20), (22, 15)  # no number of devices above 1 divides all
DELAY = synjit.normal_delays(0.4, 0.2, dt=0.1)
DELAYS_OF_25 = synjit.Delays(synjit.Uniform(), 16.0, 8.0)
RNG = np.random.default_rng(0)
SPIKES = jnp.asarray(RNG.random((STEPS, sum(COLUMNS), BATCH)) < 0.3)

LAYOUTS = {
    **{f"rows over {n}": ((n,), {"rows": "a"}) for n in (1, 2, 3, 8)},
    "batch and rows over 4 x 2": ((4, 2), {"batch": "a", "rows": "b"}),
    "rows over two axes, 2 x 4": ((2, 4), {"rows": ("a", "b")}),
}


def mesh(shape, kind=AxisType.Auto):
    names = ("a", "b")[: len(shape)]
    return jax.make_mesh(shape, names, axis_types=(kind,) * len(shape))


def of_blocks(loc=0.5, scale=0.2):
    def block(seed, i, j, delay):
        shape = (ROWS[i], COLUMNS[j])
        return synjit.JITNormal(
            loc * u.pA, scale * u.pA, 0.4, seed, delay=delay, shape=shape
        )

    return synjit.JITBlocks(
        [[block(1, 0, 0, DELAY), block(2, 0, 1, 3)], [block(3, 1, 0, DELAY), None]]
    )


def run(M, spikes, columns, rows, batch=None):
    """Deliver in a loop; gives what is read in each step, in the order of the whole."""

    @jax.jit
    def loop(M, ring, spikes):
        def step(carry, spikes):
            ring, now = carry
            ring = M.deliver(spikes, ring, now)
            current, ring = ring.read(now)
            return (ring, now + 1), current

        (ring, now), read = jax.lax.scan(step, (ring, jnp.int32(0)), spikes)
        current, _ = ring.read(now)
        return jnp.concatenate([read.to_decimal(u.pA), current.to_decimal(u.pA)[None]])

    placed = jnp.stack([columns(each) for each in spikes])
    return np.stack([rows(each) for each in loop(M, M.ring(batch), placed)])


def identity(x):
    return x


@functools.cache
def whole(batched):
    spikes, batch = (SPIKES, BATCH) if batched else (SPIKES[..., 0], None)
    return run(of_blocks(), spikes, identity, identity, batch)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_read_has_the_bits_of_one_device(layout):
    shape, axes = LAYOUTS[layout]
    S = of_blocks().shard(mesh(shape), **axes)
    got = run(S, SPIKES, S.columns.place, S.rows.collect, BATCH)
    assert np.count_nonzero(got) > 1000
    assert np.array_equal(got, whole(batched=True))


def test_a_mesh_of_explicit_axes():
    S = of_blocks().shard(mesh((4,), AxisType.Explicit), rows="a")
    got = run(S, SPIKES[..., 0], S.columns.place, S.rows.collect)
    assert np.array_equal(got, whole(batched=False))


def test_what_only_fills_up_is_read_as_zero():
    S = of_blocks().shard(mesh((8,)), rows="a")
    ring = S.deliver(S.columns.place(jnp.ones(sum(COLUMNS), bool)), S.ring(), 0)
    real = np.asarray(S.rows.place(jnp.ones(sum(ROWS), bool)))
    assert real.sum() == sum(ROWS) < real.size
    numbers = np.asarray(ring.value.to_decimal(u.pA))
    arrives = numbers[:, real].any(axis=1) & numbers[:, ~real].any(axis=1)
    slot = int(np.flatnonzero(arrives)[0])
    current = np.asarray(ring.read(slot)[0].to_decimal(u.pA))
    assert not current[~real].any()
    np.testing.assert_array_equal(current[real], numbers[slot, real])


def test_gradients_by_the_weights():
    S_of = lambda loc: of_blocks(loc).shard(mesh((2,)), rows="a")  # noqa: E731

    def loss(loc, make, place):
        M = make(loc)
        ring = M.deliver(place(SPIKES[0, :, 0]), M.ring(), 0)
        return (ring.read(3)[0].to_decimal(u.pA) ** 2).sum()

    columns = S_of(0.5).columns.place
    gradient = jax.jit(jax.grad(loss), static_argnums=(1, 2))
    got, wanted = gradient(0.5, S_of, columns), gradient(0.5, of_blocks, identity)
    assert wanted != 0
    assert np.allclose(got, wanted, rtol=1e-5)


def test_every_device_has_the_slots_of_its_own_rows():
    S = of_blocks().shard(mesh((8,)), rows="a")
    numbers, _ = S.ring().columns()
    (share,) = {shard.data.shape for shard in numbers.addressable_shards}
    assert share == (numbers.shape[0], S.shape[0] // 8, 1)


def memory(devices, n=1 << 20):
    """Bytes of a device for a delivery to a ring that is given away."""
    M = synjit.JITNormal(0.5, 0.2, 64 / n, 7, delay=DELAYS_OF_25, shape=(n, n))
    S = M.shard(mesh((devices,)), rows="a")
    x = jax.ShapeDtypeStruct((n,), bool, sharding=S.columns.sharding())
    deliver = jax.jit(S.deliver, donate_argnums=1)
    sizes = deliver.lower(x, S.ring(), 0).compile().memory_analysis()
    return (
        sizes.argument_size_in_bytes
        + sizes.output_size_in_bytes
        + sizes.temp_size_in_bytes
        - sizes.alias_size_in_bytes
    )


def test_the_memory_of_a_device_falls_as_their_number():
    """The ring, which is not copied, and flags of all neurons."""
    n = 1 << 20
    for devices in (1, 2, 8):
        ring = 4 * 25 * n / devices
        assert ring < memory(devices) < 1.03 * ring + 1.13 * n


def test_what_was_asked_wrongly():
    M = of_blocks()
    S = M.shard(mesh((2,)), rows="a")
    spikes = S.columns.place(SPIKES[0, :, 0])
    with pytest.raises(ValueError, match=r"cut over columns.* does not deliver"):
        M.shard(mesh((2,)), columns="a").ring()
    with pytest.raises(TypeError, match=r"as S\.ring\(\) makes one, got Ring"):
        S.deliver(spikes, M.ring(), 0)
    with pytest.raises(TypeError, match=r"cut over devices.*the sharded matrix"):
        M.deliver(SPIKES[0, :, 0], S.ring(), 0)
    with pytest.raises(TypeError, match="cut as it is"):
        S.deliver(spikes, M.shard(mesh((4,)), rows="a").ring(), 0)
    with pytest.raises(ValueError, match="a ring must have a multiple of 2 vectors"):
        M.shard(mesh((2, 2)), batch="a", rows="b").ring(batch=3)
    with pytest.raises(TypeError, match="spikes have no unit"):
        S.deliver(spikes * u.mV, S.ring(), 0)
