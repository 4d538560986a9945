# SPDX-License-Identifier: Apache-2.0
"""One time step of the microcircuit: spikes that arrive, neurons, new spikes.

Where a neuron has one delay, spikes that are on their way are kept as the ages of the
last spikes of the neurons that sent them. Where each synapse has its own, what they
will bring is kept in a ring. Arrays run over all neurons, population after population,
and all connections are one matrix of blocks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import brainunit as u
import jax.numpy as jnp
import numpy as np

from synjit import JITBlocks, JITTruncatedNormal

from .background import arriving_spikes

if TYPE_CHECKING:
    from collections.abc import Callable

    from synjit import Ring
    from synjit.sharding import ShardedMatrix

    from .background import Each
    from .microcircuit import Array, Network


# The ages of a neuron's last spikes, in time steps, are the bytes of one word, the
# youngest lowest. Memory is what a step waits for, and this is the least of it.
REMEMBERED = 4
OLDEST = np.uint32(127)  # an age that stands for itself and all above
EACH = np.uint32(0x01010101)  # times a byte: that byte, four times


def no_spikes(count: int) -> Array:
    """Ages of neurons that have not spiked yet, (count,) uint32."""
    return jnp.full(count, OLDEST * EACH, jnp.uint32)


def arriving(ages: Array, delays: Array) -> Array:
    """Neurons whose spikes reach their targets in the step that has passed, (n,) bool.

    ``delays`` are integers of 1 to 125. A spike of the same step has the age 1.
    """
    arrives = delays.astype(jnp.uint32) + 1
    unlike = ages ^ (arrives * EACH)
    # Is set where a byte of 0 to 127 that is not 0 gains 127.
    high = np.uint32(128) * EACH
    return ((unlike + OLDEST * EACH) & high) != high


def remember(ages: Array, spikes: Array) -> Array:
    """Let a step pass, and enter its spikes, whose age is then 1."""
    older = ages + EACH
    older = older - ((older >> 7) & EACH)
    return jnp.where(spikes, (older << 8) | 1, older)


def youngest(ages: Array) -> Array:
    """Age of the last spike, (n,) uint32."""
    return ages & OLDEST


class Neurons(NamedTuple):
    """State of all neurons."""

    potential: Array  # (n,) float32, mV above rest
    current: Array  # (n,) float32, pA, synaptic
    ages: Array  # (n,) uint32, of the last spikes
    ring: Ring | None = None  # what is on its way, if each synapse has a delay


def connections(network: Network, backend: str | None) -> JITBlocks:
    """All connections, a block for each pair of populations that has any.

    The published network has a fixed number of synapses between two populations. Here
    each pair of neurons is drawn by itself, so that a block's weights add up to a
    thousandth more or less, which shifts rates by a few percent. In networks that are
    compared with it, the weights of a block are therefore scaled to their mean sum.
    """
    scales = np.ones((len(network.sizes),) * 2)
    if network.is_comparable:
        sums = _sums(network, _blocks(network, None, scales))
        for block in network.blocks:
            at = block.target, block.source
            mean = block.prob * math.prod(block.shape) * block.w_loc.to_decimal(u.pA)
            if sums[at]:  # something is drawn
                scales[at] = mean / sums[at]
    return _blocks(network, backend, scales)


def _blocks(network: Network, backend: str | None, scales: np.ndarray) -> JITBlocks:
    """All connections, weights scaled by those of their block, (targets, sources)."""
    count = len(network.sizes)
    blocks: list[list[JITTruncatedNormal | None]] = [
        [None] * count for _ in range(count)
    ]
    for block in network.blocks:
        scale = float(scales[block.target, block.source])
        blocks[block.target][block.source] = JITTruncatedNormal(
            scale * block.w_loc,
            scale * block.w_scale,
            block.prob,
            block.seed,
            bounds=block.bounds,
            shape=block.shape,
            backend=backend,
            delay=block.delay,
        )
    return JITBlocks(blocks)


def _sums(network: Network, matrix: JITBlocks) -> np.ndarray:
    """Sum of the weights of each block, (targets, sources) float64, pA."""
    count = len(network.sizes)
    population = np.repeat(np.arange(count), network.sizes)
    from_one = matrix @ jnp.asarray(population[:, None] == np.arange(count))
    weights = np.asarray(from_one.to_decimal(u.pA), np.float64)
    starts = np.cumsum((0, *network.sizes[:-1]))
    return np.add.reduceat(weights, starts)


def drive(network: Network, direct: Array) -> Array:
    """What direct currents, in pA, add to the potential in one step, in mV."""
    par = network.parameters
    decay_v = math.exp(-par.time_step / par.tau_membrane)
    per_current = par.tau_membrane / par.capacitance * (1 - decay_v)
    return per_current.to_decimal(u.mV / u.pA) * direct


def make_step(
    network: Network, matrix: JITBlocks | ShardedMatrix
) -> Callable[..., Neurons]:
    """One time step: spikes that arrive, neurons, new spikes.

    The matrix is that of the ``connections``. If it is sharded, all arrays are in the
    order of its devices: each has a share of every population, and draws the synapses
    of its own neurons, the rows of W.

    The arguments of a step are the neurons, what is fixed of each, and the ``drive`` of
    each; where each synapse has a delay, the number of the step; and with Poisson
    input, a word for each neuron to draw it by.

    The linear part is integrated exactly (S. Rotter and M. Diesmann, Biological
    Cybernetics 81 (1999) 381). The potential sees the synaptic current of the
    step before; spikes that arrive now raise the current from now on.
    """
    par = network.parameters
    h, c_m = par.time_step, par.capacitance
    tau_m, tau_s = par.tau_membrane, par.tau_synapse
    decay_v, decay_i = math.exp(-h / tau_m), math.exp(-h / tau_s)
    v_per_current = tau_m * tau_s / (tau_m - tau_s) / c_m * (decay_v - decay_i)
    from_current = v_per_current.to_decimal(u.mV / u.pA)
    threshold = (par.v_threshold - par.v_rest).to_decimal(u.mV)
    refractory = round(par.refractory / h)
    if not par.steps_per_ms <= refractory < OLDEST:
        raise ValueError(
            f"a refractory time of {refractory} steps must be at least a millisecond,"
            f" {par.steps_per_ms} steps, and less than {OLDEST} steps"
        )
    of_synapses = network.delays_of == "synapse"
    if not of_synapses and par.max_delay_steps > min(
        REMEMBERED * refractory, int(OLDEST) - 2
    ):
        raise ValueError(
            f"a delay of {par.max_delay_steps} steps is too long: a neuron that is"
            f" refractory for {refractory} could have more than {REMEMBERED} spikes"
            " on their way"
        )

    from_outside = np.float32(par.weight.to_decimal(u.pA))

    def arrive(
        neurons: Neurons, ages: Array, each: Each, now: Array | None, word: Array | None
    ) -> tuple[Array, Ring | None]:
        ring = neurons.ring
        if ring is None:
            arrived = matrix @ arriving(ages, each.delays)
        else:
            arrived, ring = ring.read(now)
            ring = matrix.deliver(youngest(ages) == 1, ring, now)
        current = arrived.to_decimal(u.pA).astype(jnp.float32)
        if word is not None:
            current += from_outside * arriving_spikes(each, word)
        return current, ring

    def step(
        neurons: Neurons,
        each: Each,
        driven: Array,
        now: Array | None = None,
        word: Array | None = None,
    ) -> Neurons:
        # Each line needs the one before, so that arrays can be written in place.
        v = decay_v * neurons.potential + from_current * neurons.current
        clamped = youngest(neurons.ages) <= refractory
        v = jnp.where(clamped, 0.0, v + driven)
        # The step after a spike clamps the potential: no reset is needed here.
        ages = remember(neurons.ages, v >= threshold)
        arrived, ring = arrive(neurons, ages, each, now, word)
        current = decay_i * neurons.current + arrived
        return Neurons(v, current, ages, ring)

    return step
