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
from synjit.demo.dynamics import delay_bits, make_step
from synjit.demo.simulation import _initial_state

SIZES = {"L4E": 240, "L4I": 80}
DEVICES = 4
# The functions that kernels are called by, platform by platform.
CALLS = {
    "cpu": "synjit_numba_weighted_float32",
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
    rows, everywhere = P("rows"), P()
    return jax.shard_map(
        make_step(network(), None, axis="rows"),
        mesh=mesh(),
        in_specs=(rows, rows, everywhere),
        out_specs=rows,
    )


@functools.cache
def inputs():
    direct = [current.to_decimal(u.pA) for current in network().background]
    bits = tuple(map(delay_bits, network().delays))
    return _initial_state(network()).neurons, bits, jnp.array(direct, jnp.float32)


def run(step, steps):
    """Take some steps; the neurons then, and who spiked when."""
    state, bits, direct = inputs()

    def one(state, _):
        state = step(state, bits, direct)
        return state, [n.history.recent & 1 for n in state]

    return jax.jit(lambda s: jax.lax.scan(one, s, length=steps))(state)


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
    right = run(whole_step(), 200)
    for spikes in right[1]:
        assert spikes.sum() > spikes.shape[1]  # each neuron spikes once or so
    assert_same(run(sharded_step(), 200), right)


def test_each_device_is_asked_for_its_rows_only():
    text = str(jax.make_jaxpr(sharded_step())(*inputs()))
    for size in SIZES.values():
        assert f"shape=({size // DEVICES}, " in text
        assert f"shape=({size}, " not in text


def on_leaves(step):
    """Take and give plain lists of arrays, which need no types to be stored."""
    tree = jax.tree.structure(inputs())
    return jax.jit(lambda *leaves: jax.tree.leaves(step(*tree.unflatten(leaves))))


def on_devices(state, bits, direct):
    """Cut all that is by neuron over the devices."""
    rows, everywhere = (jax.NamedSharding(mesh(), spec) for spec in (P("rows"), P()))
    cut = jax.device_put((state, bits), rows)
    return jax.tree.leaves((*cut, jax.device_put(direct, everywhere)))


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
    state, _ = run(whole_step(), 90)  # spikes are on their way
    given = state, *inputs()[1:]
    whole = on_leaves(whole_step())
    right = whole(*jax.tree.leaves(given))
    assert not np.array_equal(right[1], whole(*jax.tree.leaves(inputs()))[1])
    step = on_leaves(sharded_step()) if sharded else whole
    leaves = on_devices(*given) if sharded else jax.tree.leaves(given)
    back = stored_and_loaded(step, leaves, platforms)
    assert back.nr_devices == (DEVICES if sharded else 1)
    assert_same(jax.jit(back.call)(*leaves), right)
