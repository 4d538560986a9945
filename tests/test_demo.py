# SPDX-License-Identifier: Apache-2.0
"""The microcircuit at a fiftieth and a tenth of its size."""

import contextlib
import dataclasses
import io
import json

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from long import long_unless

from synjit.demo import Parameters, build, run, simulate, statistics
from synjit.demo.background import Each, arriving_spikes, draw_words, limits
from synjit.demo.dynamics import (
    Neurons,
    arriving,
    connections,
    make_step,
    no_spikes,
    remember,
    youngest,
)
from synjit.demo.report import table
from synjit.reference import DRAW_VERSION

SMALL = {"scale": 0.02, "duration": 100, "transient": 0}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "new"
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        activity = run(**SMALL, seed=1, out=folder)
    return activity, said.getvalue(), folder


@pytest.fixture(scope="module")
def activity(report):
    return report[0]


def same_spikes(one, other):
    return (
        np.array_equal(one.counts, other.counts)
        and all(map(np.array_equal, one.sample_times, other.sample_times))
        and all(map(np.array_equal, one.sample_ids, other.sample_ids))
    )


# --- the model --------------------------------------------------------------------


def test_the_full_network_has_the_published_size():
    network = build(1.0)
    assert sum(network.sizes) == 77_169
    assert network.expected_synapses == pytest.approx(298.88e6, rel=1e-4)
    outgoing = [network.outdegree(p) * n for p, n in enumerate(network.sizes)]
    assert sum(outgoing) == pytest.approx(network.expected_connections)


def test_the_full_network_has_no_compensation():
    assert not build(1.0).lost_input.any()
    assert build(0.5).lost_input.any()


def test_background_current():
    # 8 spikes/s * 1600 synapses * 87.8 pA * 0.5 ms
    assert build(0.02).direct[0].to_decimal(u.pA) == pytest.approx(561.92)


def test_a_connection_has_the_moments_of_its_synapses():
    """Against a drawn Poisson number of synapses with normal weights."""
    par = build(0.02).parameters
    rng = np.random.default_rng(0)
    for target, source in ((0, 0), (0, 2), (4, 5), (7, 7)):
        prob, mean, sd = par.connection(target, source)
        number = rng.poisson(par.contacts(target, source), 10**6)
        one = par.mean_weight(target, source).to_decimal(u.pA)
        total = one * number + 0.1 * one * np.sqrt(number) * rng.normal(
            size=number.size
        )
        assert prob == pytest.approx((number > 0).mean(), rel=0.02)
        assert mean.to_decimal(u.pA) == pytest.approx(
            total[number > 0].mean(), rel=0.01
        )
        assert sd.to_decimal(u.pA) == pytest.approx(total[number > 0].std(), rel=0.02)


def test_no_weight_changes_its_sign():
    """Of the densest block, where 0.9 % of an uncut normal would; moments are kept."""
    network = build(0.1)
    at = [(b.target, b.source) for b in network.blocks].index((4, 5))
    block = network.blocks[at]
    weights = connections(network, None).blocks[4][5].todense().to_decimal(u.pA)
    there = np.asarray(weights)[np.asarray(weights) != 0]
    assert there.size == pytest.approx(0.3726 * 485 * 106, rel=0.03)
    assert (there < 0).all()
    assert there.max() > 0.01 * block.w_loc.to_decimal(u.pA)
    _, mean, sd = network.parameters.connection(4, 5)
    by_scale = np.sqrt(0.1)
    assert there.mean() * by_scale == pytest.approx(mean.to_decimal(u.pA), rel=0.01)
    assert there.std() * by_scale == pytest.approx(sd.to_decimal(u.pA), rel=0.01)


def test_weights_add_up_to_what_a_fixed_number_of_synapses_does():
    network = build(0.2)
    matrix = connections(network, None)
    for block in network.blocks:
        own = matrix.blocks[block.target][block.source]
        total = np.asarray((own @ np.ones(own.shape[1], bool)).to_decimal(u.pA)).sum()
        mean = block.prob * own.shape[0] * own.shape[1] * block.w_loc.to_decimal(u.pA)
        assert total == pytest.approx(mean, rel=1e-5)
        scale = float(own.w_loc / block.w_loc)
        assert scale == pytest.approx(float(own.w_scale / block.w_scale), rel=1e-6)
        deviation = 1 / np.sqrt(block.prob * own.shape[0] * own.shape[1])
        assert 0 < abs(scale - 1) < 5 * deviation


def test_weights_that_vary_too_much_are_refused():
    with pytest.raises(ValueError, match=r"of one pair of populations it is 1\.47"):
        build(0.02, parameters=Parameters(weight_relative_sd=0.6))


def test_synapses_are_as_many_as_published():
    network = build(1.0)
    block = network.blocks[0]
    pairs = block.shape[0] * block.shape[1]
    synapses = np.log1p(-0.1009) / np.log1p(-1 / pairs)
    assert network.parameters.contacts(0, 0) * pairs == pytest.approx(
        synapses, rel=1e-6
    )


def test_weights():
    """Small probabilities: nearly every connection is a single synapse."""
    weights = {
        (b.target, b.source): (b.w_loc.to_decimal(u.pA), b.w_scale.to_decimal(u.pA))
        for b in build(0.25).blocks
    }
    assert weights[0, 6][0] == pytest.approx(175.6, rel=0.01)  # 87.8 / sqrt(0.25)
    assert weights[3, 1][0] == pytest.approx(-702.4, rel=0.01)
    assert weights[0, 2][0] == pytest.approx(351.2, rel=0.03)  # L4E to L23E: doubled
    assert weights[2, 5] == pytest.approx((-702.4, 70.24 / 0.9047), rel=0.02)
    assert (0, 7) not in weights  # no synapses, no block


def test_no_two_blocks_share_a_seed():
    blocks = build(0.02, seed=0).blocks + build(0.02, seed=1).blocks
    assert len({block.seed for block in blocks}) == len(blocks)


def test_delays_spread_within_their_range():
    network = build(1.0, seed=3)
    delays = np.concatenate(network.delays)
    assert delays.min() == 1
    assert 32 < delays.max() <= 64
    assert network.delays[0].mean() == pytest.approx(15.4, abs=0.2)  # cut at 1: > 15
    assert network.delays[1].mean() == pytest.approx(7.8, abs=0.2)


# --- spikes on their way ----------------------------------------------------------


def test_a_spike_arrives_after_its_delay_and_never_again():
    delays = np.arange(1, 65, dtype=np.uint8)
    ages = no_spikes(64)
    arrived = []
    for step in range(300):
        ages = remember(ages, np.full(64, step == 0))
        assert (youngest(ages) == min(step + 1, 127)).all()
        arrived.append(np.asarray(arriving(ages, delays)))
    steps, neurons = np.nonzero(arrived)
    order = np.argsort(neurons)
    assert neurons[order].tolist() == list(range(64))
    assert steps[order].tolist() == delays.tolist()


def test_several_spikes_of_one_neuron_are_on_their_way():
    delays = np.array([64], np.uint8)
    ages = no_spikes(1)
    sent, arrived = {0, 21, 42, 63, 84, 130}, []
    for step in range(300):
        ages = remember(ages, np.array([step in sent]))
        if arriving(ages, delays)[0]:
            arrived.append(step)
    assert arrived == [step + 64 for step in sorted(sent)]


def test_a_delay_longer_than_the_memory_for_spikes_is_refused():
    network = build(0.01, parameters=Parameters(max_delay_steps=81))
    with pytest.raises(ValueError, match="delay of 81 steps is too long"):
        make_step(network, connections(network, None))


@pytest.mark.parametrize("background", ["current", "poisson"])
@pytest.mark.parametrize("delays_of", ["neuron", "synapse"])
def test_a_step_keeps_its_dtypes_under_x64(delays_of, background, x64):
    network = build(0.005, delays_of=delays_of, background=background)
    matrix = connections(network, None)
    step = make_step(network, matrix)
    floats = jax.ShapeDtypeStruct((sum(network.sizes),), np.float32)
    words = jax.ShapeDtypeStruct(floats.shape, np.uint32)
    kinds = ("uint8", "int32", "uint32", "uint32")
    *each, limit = (jax.ShapeDtypeStruct(floats.shape, kind) for kind in kinds)
    each = Each(*each, (limit,))
    now = jax.ShapeDtypeStruct((), np.int32)
    word = limit if background == "poisson" else None
    ring = jax.eval_shape(matrix.ring) if delays_of == "synapse" else None
    neurons = Neurons(floats, floats, words, ring)
    after = jax.eval_shape(step, neurons, each, floats, now, word)
    dtypes = [[leaf.dtype for leaf in jax.tree.leaves(n)] for n in (neurons, after)]
    assert dtypes[0] == dtypes[1]


# --- Poisson input ----------------------------------------------------------------


def test_numbers_of_spikes_from_outside_are_poisson():
    network = build(1.0, background="poisson")
    assert network.arriving[0] == pytest.approx(1.28)  # 8 spikes/s * 1600 * 0.1 ms
    assert not any(network.direct)
    populations = np.repeat(np.arange(1, 9), network.sizes)
    numbers = np.arange(len(populations), dtype=np.uint32)
    each = Each(None, populations, numbers, tuple(limits(network)[:, populations]))
    words = draw_words(network, each, jnp.arange(100))
    drawn = np.asarray(jax.vmap(lambda word: arriving_spikes(each, word))(words), int)
    for p, mean in enumerate(network.arriving, start=1):
        own = drawn[:, populations == p].ravel()
        expected = scipy.stats.poisson.pmf(np.arange(8), mean) * own.size
        counts = np.bincount(own, minlength=8)[:8]
        assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected)), p
    # Steps and neurons are independent: means of neurons spread as those of Poisson.
    spread = drawn[:, populations == 1].mean(axis=0).var() * 100 / network.arriving[0]
    assert spread == pytest.approx(1, abs=0.05)
    assert abs(np.corrcoef(drawn[0], drawn[1])[0, 1]) < 0.2


def test_the_chances_of_numbers_are_exact():
    """Words of each number, by the limits, beside the Poisson law."""
    found = limits(build(0.02, background="poisson"))
    assert np.all(found[:, 0] == 2**32 - 1)  # what fills up gets none
    words = np.diff(found[:, 3].astype(np.int64), prepend=-1)  # L4E
    law = scipy.stats.poisson.pmf(np.arange(len(words)), 8 * 2100 * 1e-4)
    assert np.abs(words / 2**32 - law).max() < 2**-31
    assert len(limits(build(0.02))) == 0


def test_too_many_spikes_from_outside_are_refused():
    many = Parameters(background_rate=300 * u.Hz)
    with pytest.raises(ValueError, match="48 spikes from outside reach a neuron"):
        limits(build(0.02, parameters=many, background="poisson"))


# --- runs -------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_spikes(activity):
    again = simulate(**SMALL, seed=1)
    assert activity.counts.sum() > 100
    assert same_spikes(activity, again)


@pytest.mark.parametrize("devices", long_unless(lambda _, n: n == 4, [2, 4]))
def test_several_devices_give_the_same_spikes(activity, devices):
    assert any(size % devices for size in activity.network.sizes)
    assert same_spikes(activity, simulate(**SMALL, seed=1, devices=devices))


@pytest.fixture(scope="module")
def of_synapses():
    return simulate(**SMALL, seed=1, delays_of="synapse")


@pytest.mark.parametrize("devices", long_unless(lambda _, n: n == 2, [2, 4]))
def test_delays_of_synapses_on_several_devices(of_synapses, activity, devices):
    several = simulate(**SMALL, seed=1, devices=devices, delays_of="synapse")
    assert of_synapses.counts.sum() > 100
    assert same_spikes(of_synapses, several)
    assert not same_spikes(of_synapses, activity)


def test_a_spike_arrives_by_the_delays_of_its_synapses():
    """Current of each step after one spike, beside what the matrix says."""
    network = build(0.005, delays_of="synapse")
    matrix = connections(network, None)
    step = jax.jit(make_step(network, matrix))
    n = sum(network.sizes)
    above = np.zeros(n, np.float32)
    above[7] = 20.0  # mV above rest: spikes in the first step, and no other does
    neurons = Neurons(above, np.zeros(n), no_spikes(n), matrix.ring())
    spike = jnp.arange(n) == 7
    ring = matrix.deliver(spike, matrix.ring(), 0)
    decay = np.exp(-0.1 / 0.5)
    before = np.zeros(n)
    arrived = 0
    for now in range(40):
        neurons = step(neurons, Each(None), np.zeros(n, np.float32), jnp.int32(now))
        got = np.asarray(neurons.current) - decay * before
        expected = np.asarray(ring.value[now].to_decimal(u.pA))
        assert np.allclose(got, expected, atol=1e-2), now
        arrived += np.count_nonzero(expected)
        before = np.asarray(neurons.current)
    assert arrived > 20


@pytest.mark.long
def test_poisson_input_on_several_devices(activity):
    one, two = (
        simulate(**SMALL, seed=1, devices=devices, background="poisson")
        for devices in (1, 2)
    )
    assert one.counts.sum() > 100
    assert same_spikes(one, two)
    assert not same_spikes(one, activity)


def test_another_seed_gives_others(activity):
    assert not same_spikes(activity, simulate(**SMALL, seed=2))


def test_sampled_spikes_are_those_counted(activity):
    # At this scale every neuron is in the sample.
    assert activity.sampled == activity.network.sizes
    for p, times in enumerate(activity.sample_times):
        in_ms = np.bincount(np.ceil(times - 1e-9).astype(int) - 1, minlength=100)
        assert np.array_equal(in_ms, activity.counts[:, p])


def test_no_neuron_spikes_while_refractory(activity):
    shortest = np.inf
    for times, ids in zip(activity.sample_times, activity.sample_ids, strict=True):
        for neuron in np.unique(ids):
            gaps = np.diff(times[ids == neuron])
            shortest = min([shortest, *gaps])
    assert 2.0 < shortest < 100


def test_a_transient_is_cut_off(activity):
    later = simulate(scale=0.02, duration=50 * u.ms, transient=50 * u.ms, seed=1)
    assert later.counts.sum() > 100
    assert np.array_equal(later.counts, activity.counts[50:])
    times = np.concatenate(activity.sample_times)
    late = times[times > 50 + 1e-9]
    assert np.allclose(np.concatenate(later.sample_times), late - 50)


def test_rates_at_a_tenth_are_near_the_published():
    activity = simulate(scale=0.1, duration=200, transient=100, seed=1)
    published = [
        p.published_rate.to_decimal(u.Hz)
        for p in activity.network.parameters.populations
    ]
    assert np.all(activity.rates > 0.3 * np.array(published))
    assert np.all(activity.rates < 2.5 * np.array(published))


def test_run_tells_and_draws(report):
    activity, said, folder = report
    assert "1,544 neurons" in said
    assert "0.12 million synapses" in said
    assert "100 of 100 ms" in said
    assert "peak memory" in said
    assert table(activity) in said
    starts = {"png": b"\x89PNG", "svg": b"<?xml"}
    for name in ("raster", "rates", "activity"):
        for kind, start in starts.items():
            path = folder / f"{name}.{kind}"
            assert str(path) in said
            assert path.read_bytes().startswith(start)
            assert path.stat().st_size > 10_000
    assert b"scale 0.02, seed 1, a delay" in (folder / "rates.svg").read_bytes()


def test_run_leaves_a_summary(report):
    activity, _, folder = report
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["populations"][2] == "L4E"
    assert summary["rates"] == activity.rates.tolist()
    assert summary["nest_rates"][2] == 4.199
    assert summary["neurons"] == sum(activity.network.sizes) == sum(summary["sizes"])
    assert summary["synapses"] == round(activity.network.expected_synapses)
    assert summary["spikes"] == activity.counts.sum()
    assert summary["seconds_per_biological_second"] == activity.wall_seconds * 10
    assert 1e8 < summary["peak_memory_bytes"] < 1e11
    assert (summary["seed"], summary["scale"]) == (1, SMALL["scale"])
    assert summary["backend"] == "numba"
    assert summary["versions"]["draw"] == DRAW_VERSION
    assert summary["versions"]["jax"] == jax.__version__


def test_a_small_network_is_not_compared(activity):
    text = table(activity)
    line = text.splitlines()[3].split()
    assert line[:5] == ["L4E", "438", f"{activity.rates[2]:.3f}", "-", "-"]
    assert "Not compared with the rates in NEST: below scale 0.2" in text


@pytest.mark.parametrize(
    ("background", "in_nest"), [("current", 4.199), ("poisson", 4.414)]
)
def test_table_compares_with_nest_under_the_same_input(activity, background, in_nest):
    network = dataclasses.replace(activity.network, scale=0.2, background=background)
    text = table(dataclasses.replace(activity, network=network))
    deviation = activity.rates[2] / in_nest - 1
    line = text.splitlines()[3].split()
    assert line[3:5] == [f"{in_nest:.3f}", f"{deviation:+.1%}"]
    assert "Not compared" not in text


def test_statistics_of_poisson_trains():
    """Independent, with a CV of 1, and as many spikes as their variance."""
    rng = np.random.default_rng(0)
    number, ms = 50, 100_000
    spiked = rng.random((ms * 10, number)) < 0.001  # 10 spikes/s, in steps of 0.1 ms
    steps, ids = np.nonzero(spiked)
    times = (steps + 1) / 10
    counts = spiked.sum(axis=1).reshape(ms, 10).sum(axis=1)
    assert np.allclose(statistics.single_rates(ids, number, ms), 10, rtol=0.15)
    assert statistics.interval_variation(times, ids, number).mean() == pytest.approx(
        1, abs=0.02
    )
    pairs = statistics.correlations(times, ids, number, ms)
    assert len(pairs) == number * (number - 1) // 2
    assert abs(pairs.mean()) < 1e-3
    assert statistics.synchrony(counts) == pytest.approx(1, abs=0.03)


def test_statistics_of_neurons_in_step():
    """All spike at once, every 10 ms; the last two never do, or twice."""
    ms, number = 1000, 5
    times = np.repeat(np.arange(10.0, ms + 1, 10), 3)
    ids = np.tile([0, 1, 2], 100)
    times, ids = np.append(times, [3.0, 5.0]), np.append(ids, [4, 4])
    order = np.argsort(times, kind="stable")
    times, ids = times[order], ids[order]
    assert statistics.single_rates(ids, number, ms).tolist() == [100, 100, 100, 0, 2]
    variation = statistics.interval_variation(times, ids, number)
    assert np.allclose(variation, 0)
    assert len(variation) == 3
    pairs = statistics.correlations(times, ids, 4, ms)
    assert np.allclose(pairs, 1)
    assert len(pairs) == 3
    assert np.isnan(statistics.synchrony(np.zeros(30, int)))


@pytest.mark.parametrize("scale", [0, -0.5, 1.5, float("nan"), float("inf")])
def test_bad_scale(scale):
    with pytest.raises(ValueError, match=rf"scale must be in \(0, 1\], got {scale}"):
        run(scale=scale, duration=10)


@pytest.mark.parametrize("duration", [0, -1, 0.5, float("nan"), float("inf")])
def test_bad_duration(duration):
    with pytest.raises(
        ValueError, match=f"duration must be .* 1 or more, got {duration}"
    ):
        run(scale=0.02, duration=duration)


@pytest.mark.parametrize("transient", [-1, 0.5, float("nan"), float("inf")])
def test_bad_transient(transient):
    with pytest.raises(
        ValueError, match=f"transient must .* 0 or more, got {transient}"
    ):
        run(scale=0.02, transient=transient)


@pytest.mark.parametrize("seed", [-1, 2**25, 1.0])
def test_bad_seed(seed):
    with pytest.raises(ValueError, match=f"seed must be an integer .*, got {seed}"):
        run(scale=0.02, seed=seed)


def test_bad_choices():
    with pytest.raises(ValueError, match="must be 'neuron' or 'synapse', got 'axon'"):
        run(scale=0.02, duration=10, delays_of="axon")
    with pytest.raises(ValueError, match="must be 'current' or 'poisson', got 'dc'"):
        run(scale=0.02, duration=10, background="dc")


@pytest.mark.parametrize("devices", [0, 1.5, 1000])
def test_bad_number_of_devices(devices):
    with pytest.raises(ValueError, match=f"devices must be .* to the 8 .* {devices}"):
        run(scale=0.02, duration=10, devices=devices)
