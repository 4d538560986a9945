# SPDX-License-Identifier: Apache-2.0
"""A step of a small microcircuit, its neurons cut over devices: the same bits."""

import functools

import brainunit as u
import jax
import numpy as np
import pytest
from long import long_unless

from synjit.demo import Parameters, build
from synjit.demo.background import Each
from synjit.demo.dynamics import connections, drive, make_step
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
    return make_step(network(), connections(network(), None))


@functools.cache
def sharded(devices=DEVICES):
    auto = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((devices,), ("rows",), axis_types=auto)
    return connections(network(), None).shard(mesh, rows="rows")


@functools.cache
def sharded_step(devices=DEVICES):
    return make_step(network(), sharded(devices))


@functools.cache
def inputs():
    direct = [current.to_decimal(u.pA) for current in network().direct]
    driven = np.repeat(drive(network(), np.array(direct)), network().sizes)
    delays = np.concatenate(network().delays).astype(np.uint8)
    neurons = _initial_state(network(), sharded(1)).neurons
    return neurons, Each(delays), driven.astype(np.float32)


def place(tree, devices=DEVICES):
    return jax.tree.map(sharded(devices).columns.place, jax.tree.map(np.asarray, tree))


def collect(tree, devices=DEVICES):
    return jax.tree.map(sharded(devices).rows.collect, tree)


@functools.partial(jax.jit, static_argnums=(0, 1))
def run(step, steps, given):
    """Take some steps; the neurons then, and who spiked when, (neurons, steps)."""
    neurons, each, driven = given

    def one(neurons, _):
        neurons = step(neurons, each, driven)
        return neurons, neurons.ages & 127 == 1

    neurons, spikes = jax.lax.scan(one, neurons, length=steps)
    return neurons, spikes.T


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


@pytest.mark.parametrize("devices", [3, DEVICES])  # of which 3 does not divide 80
def test_on_devices_it_takes_the_same_steps(devices):
    right = run(whole_step(), 200, inputs())
    assert right[1].sum() > sum(network().sizes)  # each neuron spikes once or so
    got = run(sharded_step(devices), 200, place(inputs(), devices))
    assert got[0].ages.sharding == sharded(devices).rows.sharding()
    assert_same(collect(got, devices), right)


def test_each_device_is_asked_for_its_rows_only():
    text = str(jax.make_jaxpr(sharded_step())(*place(inputs())))
    assert f"shape=({sum(SIZES.values()) // DEVICES}, " in text
    assert f"shape=({sum(SIZES.values())}, " not in text


def test_a_step_exchanges_packed_spikes_and_nothing_else():
    text = jax.jit(sharded_step()).lower(*place(inputs())).compile().as_text()
    exchanged = [line for line in text.splitlines() if "replica_groups" in line]
    assert len(exchanged) == 1
    assert f"u8[{DEVICES},{sum(SIZES.values()) // DEVICES // 8}]" in exchanged[0]
    assert " all-gather" in exchanged[0]


def test_a_stored_run_goes_on_with_the_same_spikes_on_other_devices(tmp_path):
    checkpoint = pytest.importorskip("orbax.checkpoint")
    _, right = run(sharded_step(), 200, place(inputs()))
    half, first = run(sharded_step(), 100, place(inputs()))
    with checkpoint.StandardCheckpointer() as storage:
        kept = collect(half)._asdict()
        assert kept.pop("ring") is None  # neurons have delays here
        storage.save(tmp_path / "half", kept)
        storage.wait_until_finished()
        back = storage.restore(tmp_path / "half")
    given = place((type(half)(**back), *inputs()[1:]), devices=2)
    _, second = run(sharded_step(2), 100, given)
    assert second.any()
    got = np.concatenate([collect(first), collect(second, devices=2)], axis=1)
    np.testing.assert_array_equal(got, collect(right))


def on_leaves(step):
    """Take and give plain lists of arrays, which need no types to be stored."""
    tree = jax.tree.structure(inputs())
    return jax.jit(lambda *leaves: jax.tree.leaves(step(*tree.unflatten(leaves))))


def stored_and_loaded(step, leaves, platforms):
    """Export for all platforms in one artifact, and read it back."""
    checks = [jax.export.DisabledSafetyCheck.custom_call(n) for n in CALLS.values()]
    export = jax.export.export(step, platforms=platforms, disabled_checks=checks)
    artifact = export(*leaves)
    text = artifact.mlir_module()
    for platform, call in CALLS.items():
        assert (call in text) == (platform in platforms)
    return jax.export.deserialize(artifact.serialize())


@pytest.mark.parametrize("devices", long_unless(lambda _, n: n > 0, [0, DEVICES]))
def test_one_artifact_for_all_platforms(devices):
    platforms = ("cpu", "cuda", "tpu")
    if devices and jax.__version_info__ >= (0, 11):
        platforms = ("cpu", "tpu")  # it lowers for CUDA on a mesh of GPUs only
    state, _ = run(whole_step(), 90, inputs())  # spikes are on their way
    given = (state, *inputs()[1:])
    if devices:
        given = place(given)
    step = on_leaves(sharded_step() if devices else whole_step())
    leaves = jax.tree.leaves(given)
    right = step(*leaves)
    still = place(inputs()) if devices else inputs()
    assert not np.array_equal(right[1], step(*jax.tree.leaves(still))[1])
    back = stored_and_loaded(step, leaves, platforms)
    assert back.nr_devices == max(devices, 1)
    assert_same(jax.jit(back.call)(*leaves), right)
