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

from .dynamics import Neurons, drive, make_step, no_spikes, youngest
from .microcircuit import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .microcircuit import Array, Network, Quantity

BAR = 24  # characters of the progress bar
SLICE_MS = 100  # the compiled loop hands back to Python this often
SAMPLED = 0.1  # fraction of the full-size populations whose spikes are kept
SMOOTHING_MS = 100.0  # of the rates that a smaller network is compensated by


class State(NamedTuple):
    """State of the network between two milliseconds."""

    neurons: Neurons
    rates: Array  # (populations,) float32, spikes/s, smoothed


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
    wall_seconds : float
        Time it took, without compilation and without the transient.
    """

    network: Network
    counts: np.ndarray
    sampled: tuple[int, ...]
    sample_times: tuple[np.ndarray, ...]
    sample_ids: tuple[np.ndarray, ...]
    wall_seconds: float

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
        Passed on to `synjit.JITNormal`.
    report : callable, optional
        Is given a line of text on the progress now and then.

    Returns
    -------
    Activity
    """
    say = report or (lambda _line: None)
    warmup = _milliseconds("transient", transient, least=0)
    length = _milliseconds("duration", duration, least=1)
    network = build(scale, seed)
    say(str(network))
    populations = network.parameters.populations
    sampled = tuple(
        min(size, math.ceil(SAMPLED * p.size))
        for size, p in zip(network.sizes, populations, strict=True)
    )
    state = _initial_state(network)
    program = _compiler(network, sampled, backend, say)

    wall = 0.0
    counts: list[np.ndarray] = []
    spikes: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in populations]
    for first, size in _slices(warmup, length):
        advance = program(size, state)
        start = time.perf_counter()
        state, record = advance(state)
        count = np.asarray(record.counts)  # waits for the result
        elapsed = time.perf_counter() - start
        if first >= warmup:
            wall += elapsed
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


def _initial_state(network: Network) -> State:
    """Drawn potentials, no synaptic currents, no spikes yet."""
    par = network.parameters
    above_rest = np.concatenate(network.v0) - par.v_rest.to_decimal(u.mV)
    potential = jnp.asarray(above_rest, jnp.float32)
    ages = no_spikes(len(potential))
    neurons = Neurons(potential, jnp.zeros_like(potential), ages)
    rates = [p.published_rate.to_decimal(u.Hz) for p in par.populations]
    return State(neurons, jnp.array(rates, jnp.float32))


def _compiler(
    network: Network,
    sampled: tuple[int, ...],
    backend: str | None,
    say: Callable[[str], None],
) -> Callable[[int, State], Callable[[State], tuple[State, Record]]]:
    """Compile the loop ahead of time, once for every length of a slice."""
    delays = np.concatenate(network.delays).astype(np.uint8)
    millisecond = _make_millisecond(network, sampled, backend)

    @partial(jax.jit, static_argnames="length")
    def loop(state: State, delays: Array, length: int) -> tuple[State, Record]:
        return lax.scan(lambda s, _: millisecond(s, delays), state, length=length)

    programs: dict[int, Any] = {}

    def program(length: int, state: State) -> Callable[[State], tuple[State, Record]]:
        if length not in programs:
            start = time.perf_counter()
            programs[length] = loop.lower(state, delays, length=length).compile()
            elapsed = time.perf_counter() - start
            say(f"  compiled a loop over {length} ms in {elapsed:.1f} s")
        return lambda state: programs[length](state, delays)

    return program


def _make_millisecond(
    network: Network, sampled: tuple[int, ...], backend: str | None
) -> Callable[..., tuple[State, Record]]:
    """One millisecond: its time steps, then who has spiked in it, at most once."""
    par = network.parameters
    steps = par.steps_per_ms
    rate_of_one = np.array([1e3 / size for size in network.sizes], np.float32)
    background = np.array([i.to_decimal(u.pA) for i in network.background], np.float32)
    lost_input = np.array(network.lost_input, np.float32)
    populations = np.repeat(np.arange(len(network.sizes)), network.sizes)
    starts = np.cumsum(network.sizes[:-1])
    step = make_step(network, backend)

    def millisecond(state: State, delays: Array) -> tuple[State, Record]:
        direct = background + lost_input @ state.rates
        driven = drive(network, direct)[populations]
        neurons, _ = lax.scan(
            lambda n, _: (step(n, delays, driven), None),
            state.neurons,
            length=steps,
        )
        age = youngest(neurons.ages)
        ages = jnp.split(jnp.where(age <= steps, age, 0).astype(jnp.uint8), starts)
        counts = jnp.stack([(a != 0).sum(dtype=jnp.int32) for a in ages])
        sample = tuple(a[:k] for a, k in zip(ages, sampled, strict=True))
        rates = counts.astype(jnp.float32) * rate_of_one
        smoothed = state.rates + (rates - state.rates) / SMOOTHING_MS
        return State(neurons, smoothed), Record(counts, sample)

    return millisecond
