# SPDX-License-Identifier: Apache-2.0
"""Simulation of the microcircuit: a compiled loop, run in slices of 100 ms."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from .background import Each, draw_words, limits
from .dynamics import Neurons, connections, drive, make_step, no_spikes, youngest
from .microcircuit import build
from .statistics import COMPARED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jax.sharding import Mesh

    from synjit.sharding import ShardedMatrix

    from .microcircuit import Array, Background, DelaysOf, Network, Quantity

BAR = 24  # characters of the progress bar
SLICE_MS = 100  # the compiled loop hands back to Python this often
# Fraction of the full-size populations whose spikes are kept; of small ones, as many
# neurons as are compared.
SAMPLED = 0.1
SMOOTHING_MS = 100.0  # of the rates that a smaller network is compensated by


class State(NamedTuple):
    """State of the network between two milliseconds."""

    neurons: Neurons
    rates: Array  # (populations,) float32, spikes/s, smoothed
    time: Array  # () int32, steps


class Record(NamedTuple):
    """What a slice of the simulation leaves behind."""

    counts: Array  # (ms, populations) int32, spikes
    sample: tuple[Array, ...]  # each (ms, sampled) uint8: age at its end, or 0


@dataclass(frozen=True)
class Activity:
    """What a simulation measured after its transient.

    Attributes
    ----------
    network : Network
    counts : numpy.ndarray
        Spikes, a row for each millisecond and a column for each population.
    sampled : tuple of int
        Of each population, so many neurons (the first ones) have their spikes
        kept, at `sample_times` (ms after the transient) by `sample_ids`.
    wall_seconds, processor_seconds : float
        Time it took, without compilation and without the transient.
    """

    network: Network
    counts: np.ndarray
    sampled: tuple[int, ...]
    sample_times: tuple[np.ndarray, ...]
    sample_ids: tuple[np.ndarray, ...]
    wall_seconds: float
    processor_seconds: float

    @property
    def duration_ms(self) -> int:
        """Biological time measured."""
        return len(self.counts)

    @property
    def rates(self) -> np.ndarray:
        """Mean rate of each population, spikes/s."""
        per_second = self.counts.sum(axis=0) / (self.duration_ms * 1e-3)
        return np.asarray(per_second / self.network.sizes)

    @property
    def synaptic_events(self) -> float:
        """Synapses that the spikes went through, from the expected out-degrees."""
        outdegrees = map(self.network.outdegree, range(len(self.network.sizes)))
        return float(self.counts.sum(axis=0) @ list(outdegrees))


def simulate(
    scale: float = 1.0,
    duration: Quantity = 1000,
    transient: Quantity = 200,
    seed: int = 0,
    backend: str | None = None,
    report: Callable[[str], None] | None = None,
    devices: int = 1,
    delays_of: DelaysOf = "neuron",
    background: Background = "current",
) -> Activity:
    """Run the network for `transient`, then for `duration`, and measure the latter.

    Below full scale, the current that makes up for the lost mean input follows
    the network's own rates, smoothed over 100 ms and starting at the published
    ones. Fixed at the published ones, it would give networks below about 0.15 of
    the full size a second, silent state, and they fall into it.

    Parameters
    ----------
    scale : float
        Fraction of the full size, 0 < scale <= 1.
    duration, transient : float or Quantity
        Biological time; milliseconds where it has no unit. A whole number of
        milliseconds, at least 1 for `duration`.
    seed : int
        Master seed, see `build`. The same seed gives the same spikes.
    backend : str, optional
        Passed on to `synjit.JITTruncatedNormal`.
    report : callable, optional
        Is given a line of text on the progress now and then.
    devices : int
        The network is cut over so many of ``jax.devices()``, those of other processes
        among them: each has a share of every population. The spikes are the same,
        however many there are.
    delays_of : {"neuron", "synapse"}
        Whether a neuron has one delay, which costs least, or each synapse its own, as
        published.
    background : {"current", "poisson"}
        What stands for the neurons outside: a direct current, as in the reference
        implementation, or Poisson spikes of the same mean, as published.

    Returns
    -------
    Activity

    Raises
    ------
    ValueError
        An argument is not what is said above.
    """
    say = report or (lambda _line: None)
    warmup = _milliseconds("transient", transient, least=0)
    length = _milliseconds("duration", duration, least=1)
    mesh = _mesh(devices)
    network = build(scale, seed, delays_of=delays_of, background=background)
    say(str(network))
    if devices > 1:
        say(f"  on {devices} devices, {sum(network.sizes) / devices:,.0f} neurons each")
    populations = network.parameters.populations
    sampled = tuple(
        min(size, max(COMPARED, math.ceil(SAMPLED * p.size)))
        for size, p in zip(network.sizes, populations, strict=True)
    )
    matrix = connections(network, backend).shard(mesh, rows="neurons")
    state = _initial_state(network, matrix)
    program = _compiler(network, matrix, state, sampled, say)

    wall = processor = 0.0
    counts: list[np.ndarray] = []
    spikes: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in populations]
    for first, size in _slices(warmup, length):
        advance = program(size)
        start = time.perf_counter(), time.process_time()
        state, record = advance(state)
        count = np.asarray(record.counts)  # waits for the result
        elapsed = time.perf_counter() - start[0]
        if first >= warmup:
            wall += elapsed
            processor += time.process_time() - start[1]
            counts.append(count)
            for kept, words in zip(spikes, record.sample, strict=True):
                kept.append(_spikes(np.asarray(words), first - warmup, network))
        rate = count.sum() / sum(network.sizes) / size * 1e3
        done = round(BAR * (first + size) / (warmup + length))
        say(
            f"  {'#' * done:.<{BAR}}  {first + size:6d} of {warmup + length} ms"
            f"  {rate:6.2f} spikes/s  {elapsed / size * 1e3:6.2f} s per biological"
            f" second{'  (transient)' if first < warmup else ''}"
        )
    return Activity(
        network=network,
        counts=np.concatenate(counts),
        sampled=sampled,
        sample_times=tuple(np.concatenate([t for t, _ in kept]) for kept in spikes),
        sample_ids=tuple(np.concatenate([ids for _, ids in kept]) for kept in spikes),
        wall_seconds=wall,
        processor_seconds=processor,
    )


def _milliseconds(name: str, value: Quantity, least: int) -> int:
    """Whole milliseconds in a time, which is in ms where it has no unit."""
    number = value.to_decimal(u.ms) if isinstance(value, u.Quantity) else value
    if not math.isfinite(number) or number < least or number != round(number):
        raise ValueError(
            f"{name} must be a whole number of milliseconds, {least} or more,"
            f" got {value!r}"
        )
    return int(number)


def _slices(*phases: int) -> Iterator[tuple[int, int]]:
    """Cut phases of so many ms into (first, length), none across a border."""
    begin = 0
    for phase in phases:
        for first in range(0, phase, SLICE_MS):
            yield begin + first, min(SLICE_MS, phase - first)
        begin += phase


def _spikes(
    ages: np.ndarray, begin: int, network: Network
) -> tuple[np.ndarray, np.ndarray]:
    """Read times (ms) and neurons off sampled ages, in the order of time."""
    steps = network.parameters.steps_per_ms
    ms, ids = np.nonzero(ages)
    times = begin + ms + (steps + 1 - ages[ms, ids]) / steps
    order = np.lexsort((ids, times))
    return times[order], ids[order]


def _mesh(devices: int) -> Mesh:
    """One axis, over the first devices there are."""
    found = jax.devices()
    if not isinstance(devices, int) or not 1 <= devices <= len(found):
        raise ValueError(
            f"devices must be an integer from 1 to the {len(found)} that JAX has here, "
            f"got {devices!r}; on a CPU, jax_num_cpu_devices says how many there are"
        )
    auto = (jax.sharding.AxisType.Auto,)
    return jax.make_mesh((devices,), ("neurons",), auto, devices=found[:devices])


def _initial_state(network: Network, matrix: ShardedMatrix) -> State:
    """Drawn potentials, no synaptic currents, no spikes yet."""
    par, cut = network.parameters, matrix.columns
    above_rest = np.concatenate(network.v0) - par.v_rest.to_decimal(u.mV)
    rates = [p.published_rate.to_decimal(u.Hz) for p in par.populations]
    everywhere = NamedSharding(cut.mesh, PartitionSpec())
    neurons = Neurons(
        cut.place(above_rest.astype(np.float32)),
        cut.place(np.zeros(len(above_rest), np.float32)),
        jax.jit(lambda: no_spikes(cut.length), out_shardings=cut.sharding())(),
        matrix.ring() if network.delays_of == "synapse" else None,
    )
    of_all = np.array(rates, np.float32), np.int32(0)
    return State(neurons, *jax.device_put(of_all, everywhere))


def _compiler(
    network: Network,
    matrix: ShardedMatrix,
    start: State,
    sampled: tuple[int, ...],
    say: Callable[[str], None],
) -> Callable[[int], Callable[[State], tuple[State, Record]]]:
    """Compile the loop ahead of time, once for every length of a slice."""
    cut = matrix.columns
    delays = None
    if network.delays:
        delays = cut.place(np.concatenate(network.delays).astype(np.uint8))
    count = len(network.sizes)
    numbers = np.arange(sum(network.sizes), dtype=np.uint32)
    populations = cut.place(np.repeat(np.arange(1, count + 1), network.sizes))
    by_number = tuple(jnp.asarray(row)[populations] for row in limits(network))
    each = Each(delays, populations, cut.place(numbers), by_number)
    millisecond = _make_millisecond(network, matrix, sampled)
    like_start = jax.tree.map(lambda array: array.sharding, start)
    everywhere = NamedSharding(cut.mesh, PartitionSpec())

    @partial(
        jax.jit,
        static_argnames="length",
        donate_argnames="state",  # with a ring of 20 MB
        out_shardings=(like_start, everywhere),
    )
    def loop(state: State, each: Each, length: int) -> tuple[State, Record]:
        return lax.scan(lambda s, _: millisecond(s, each), state, length=length)

    programs: dict[int, Any] = {}

    def program(length: int) -> Callable[[State], tuple[State, Record]]:
        if length not in programs:
            begin = time.perf_counter()
            lowered = loop.lower(start, each, length=length)
            programs[length] = lowered.compile()
            elapsed = time.perf_counter() - begin
            say(f"  compiled a loop over {length} ms in {elapsed:.1f} s")
        return lambda state: programs[length](state, each)

    return program


def _make_millisecond(
    network: Network, matrix: ShardedMatrix, sampled: tuple[int, ...]
) -> Callable[..., tuple[State, Record]]:
    """One millisecond: its time steps, then who has spiked in it, at most once."""
    par = network.parameters
    steps = par.steps_per_ms
    rate_of_one = np.array([1e3 / size for size in network.sizes], np.float32)
    outside = np.array([i.to_decimal(u.pA) for i in network.direct], np.float32)
    lost_input = np.array(network.lost_input, np.float32)
    step = make_step(network, matrix)

    def millisecond(state: State, each: Each) -> tuple[State, Record]:
        direct = outside + lost_input @ state.rates
        # What only fills up the devices' shares never spikes.
        by_population = jnp.pad(
            drive(network, direct), (1, 0), constant_values=-jnp.inf
        )
        driven = by_population[each.populations]
        times = state.time + np.arange(steps, dtype=np.int32)
        neurons, _ = lax.scan(
            lambda neurons, at: (step(neurons, each, driven, *at), None),
            state.neurons,
            (times, draw_words(network, each, times)),
        )
        age = youngest(neurons.ages)
        age = jnp.where(age <= steps, age, 0).astype(jnp.uint8)
        ages = [group.ravel() for group in matrix.columns.by_group(age)]
        counts = jnp.stack([(a != 0).sum(dtype=jnp.int32) for a in ages])
        sample = tuple(a[:k] for a, k in zip(ages, sampled, strict=True))
        rates = counts.astype(jnp.float32) * rate_of_one
        smoothed = state.rates + (rates - state.rates) / SMOOTHING_MS
        return State(neurons, smoothed, state.time + steps), Record(counts, sample)

    return millisecond
