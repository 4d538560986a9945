# SPDX-License-Identifier: Apache-2.0
"""A step of a small microcircuit, its rows cut over four devices: the same bits."""

import functools

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from synjit.demo import Parameters, build
from synjit.demo.dynamics import drive, make_step
from synjit.demo.simulation import _initial_state

SIZES = {"L4E": 240, "L4I": 80}
DEVICES = 4
# The functions that kernels are called by, platform by platform.
CALLS = {
    "cpu": "synjit_numba_draw2_blocks_float32",
    "cuda": "__gpu$xla.gpu.triton",
    "tpu": "tpu_custom_call",
}


@functools.cache
def network():
    return build(seed=3, parameters=Parameters().only(SIZES))


@functools.cache
def whole_step():
    return make_step(network(), None)


@functools.cache
def mesh():
    auto = (jax.sharding.AxisType.Auto,)
    return jax.make_mesh((DEVICES,), ("rows",), axis_types=auto)


@functools.cache
def sharded_step():
    return jax.shard_map(
        make_step(network(), None, axis="rows"),
        mesh=mesh(),
        in_specs=P("rows"),
        out_specs=P("rows"),
    )


@functools.cache
def inputs():
    direct = [current.to_decimal(u.pA) for current in network().background]
    driven = np.repeat(drive(network(), np.array(direct)), network().sizes)
    delays = jnp.asarray(np.concatenate(network().delays), jnp.uint8)
    neurons = _initial_state(network()).neurons
    return neurons, delays, jnp.asarray(driven, jnp.float32)


@functools.cache
def shares():
    """Numbers of the neurons, device by device: its share of every population."""
    starts = np.cumsum((0, *network().sizes[:-1]))
    return np.concatenate(
        [
            start + device * (size // DEVICES) + np.arange(size // DEVICES)
            for device in range(DEVICES)
            for start, size in zip(starts, network().sizes, strict=True)
        ]
    )


def in_shares(tree):
    return jax.tree.map(lambda array: array[..., shares()], tree)


def run(step, steps, given):
    """Take some steps; the neurons then, and who spiked when."""
    neurons, delays, driven = given

    def one(neurons, _):
        neurons = step(neurons, delays, driven)
        return neurons, neurons.ages & 127 == 1

    return jax.jit(lambda n: jax.lax.scan(one, n, length=steps))(neurons)


def assert_same(got, right):
    jax.tree.map(np.testing.assert_array_equal, got, right)


def test_a_part_of_the_model():
    populations = network().parameters.populations
    assert {p.name: p.size for p in populations} == SIZES
    assert network().sizes == tuple(SIZES.values())
    full = Parameters().connection_probabilities
    assert network().parameters.connection_probabilities == (
        (full[2][2], full[2][3]),
        (full[3][2], full[3][3]),
    )


def test_sharded_by_rows_it_takes_the_same_steps():
    right = run(whole_step(), 200, inputs())
    assert right[1].sum() > sum(network().sizes)  # each neuron spikes once or so
    assert_same(run(sharded_step(), 200, in_shares(inputs())), in_shares(right))


def test_each_device_is_asked_for_its_rows_only():
    text = str(jax.make_jaxpr(sharded_step())(*inputs()))
    assert f"shape=({sum(SIZES.values()) // DEVICES}, " in text
    assert f"shape=({sum(SIZES.values())}, " not in text


def on_leaves(step):
    """Take and give plain lists of arrays, which need no types to be stored."""
    tree = jax.tree.structure(inputs())
    return jax.jit(lambda *leaves: jax.tree.leaves(step(*tree.unflatten(leaves))))


def on_devices(given):
    """Cut all that is by neuron over the devices."""
    return jax.device_put(given, jax.NamedSharding(mesh(), P("rows")))


def stored_and_loaded(step, leaves, platforms):
    """Export for all platforms in one artifact, and read it back."""
    checks = [jax.export.DisabledSafetyCheck.custom_call(n) for n in CALLS.values()]
    export = jax.export.export(step, platforms=platforms, disabled_checks=checks)
    artifact = export(*leaves)
    text = artifact.mlir_module()
    for platform, call in CALLS.items():
        assert (call in text) == (platform in platforms)
    return jax.export.deserialize(artifact.serialize())


@pytest.mark.parametrize("sharded", [False, True])
def test_one_artifact_for_all_platforms(sharded):
    platforms = ("cpu", "cuda", "tpu")
    if sharded and jax.__version_info__ >= (0, 11):
        platforms = ("cpu", "tpu")  # it lowers for CUDA on a mesh of GPUs only
    state, _ = run(whole_step(), 90, inputs())  # spikes are on their way
    given = state, *inputs()[1:]
    if sharded:
        given = in_shares(given)
    step = on_leaves(sharded_step() if sharded else whole_step())
    leaves = jax.tree.leaves(on_devices(given) if sharded else given)
    right = step(*leaves)
    assert not np.array_equal(right[1], step(*jax.tree.leaves(inputs()))[1])
    back = stored_and_loaded(step, leaves, platforms)
    assert back.nr_devices == (DEVICES if sharded else 1)
    assert_same(jax.jit(back.call)(*leaves), right)
