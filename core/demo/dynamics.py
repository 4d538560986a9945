# SPDX-License-Identifier: Apache-2.0
"""One time step of the microcircuit: spikes that arrive, neurons, new spikes.

Spikes that are on their way are kept as the `History` of the neurons that sent
them. Arrays run over all neurons, population after population, and all connections
are one matrix of blocks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import brainunit as u
import jax.numpy as jnp
import numpy as np
from jax import lax

from synjit import JITBlocks, JITNormal

if TYPE_CHECKING:
    from collections.abc import Callable

    from .microcircuit import Array, Network


class History(NamedTuple):
    """The spikes of the last 64 time steps, one bit each, bit 0 the latest.

    A spike arrives when it is as old as its neuron's delay, and a neuron is
    refractory while its last spike is young: one shift a step serves both.
    """

    recent: Array  # (n,) uint32; bit k: spiked k + 1 steps ago
    older: Array  # (n,) uint32; bit k: spiked k + 33 steps ago


def delay_bits(delays: Array) -> History:
    """Where in its history a neuron's spike arrives: bit delay - 1, of 0 to 63."""
    bits = np.uint64(1) << (np.asarray(delays).astype(np.uint64) - np.uint64(1))
    words = bits & np.uint64(2**32 - 1), bits >> np.uint64(32)
    return History(*(jnp.asarray(w.astype(np.uint32)) for w in words))


def arriving(history: History, bits: History) -> Array:
    """Neurons whose spikes reach their targets in this step, (n,) bool."""
    return ((history.recent & bits.recent) | (history.older & bits.older)) != 0


def remember(history: History, spikes: Array) -> History:
    """Shift by one step and enter the spikes of this one."""
    return History(
        (history.recent << 1) | spikes.astype(jnp.uint32),
        (history.older << 1) | (history.recent >> 31),
    )


class Neurons(NamedTuple):
    """State of all neurons."""

    potential: Array  # (n,) float32, mV above rest
    current: Array  # (n,) float32, pA, synaptic
    history: History


def connections(
    network: Network, backend: str | None, shares: int = 1, share: Array = 0
) -> JITBlocks:
    """All connections, or those onto one of equal shares of every population."""
    count = len(network.sizes)
    blocks: list[list[JITNormal | None]] = [[None] * count for _ in range(count)]
    for block in network.blocks:
        rows, columns = block.shape[0] // shares, block.shape[1]
        blocks[block.target][block.source] = JITNormal(
            block.w_loc,
            block.w_scale,
            block.prob,
            block.seed,
            shape=(rows, columns),
            origin=(share * rows, 0),
            backend=backend,
        )
    return JITBlocks(blocks)


def drive(network: Network, direct: Array) -> Array:
    """What direct currents, in pA, add to the potential in one step, in mV."""
    par = network.parameters
    decay_v = math.exp(-par.time_step / par.tau_membrane)
    per_current = par.tau_membrane / par.capacitance * (1 - decay_v)
    return per_current.to_decimal(u.mV / u.pA) * direct


def make_step(
    network: Network, backend: str | None, axis: str | None = None
) -> Callable[[Neurons, History, Array], Neurons]:
    """One time step: spikes that arrive, neurons, new spikes.

    With the name of a mesh axis, it is a step inside ``jax.shard_map`` over it: each
    device has its share of every population, population after population, and gets the
    spikes of all. It draws the synapses of its own neurons, the rows of W, and no
    others. Its arguments are the neurons, ``delay_bits``, and the ``drive`` of each.

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
    refractory = jnp.uint32(2 ** round(par.refractory / h) - 1)

    def synaptic_input(events: Array) -> Array:
        if axis is None:
            return connections(network, backend) @ events
        shares, share = lax.axis_size(axis), lax.axis_index(axis)
        events = lax.all_gather(events, axis)
        starts = np.cumsum(network.sizes[:-1]) // shares
        populations = [e.ravel() for e in jnp.split(events, starts, axis=1)]
        return connections(network, backend, shares, share) @ jnp.concatenate(
            populations
        )

    def step(neurons: Neurons, bits: History, driven: Array) -> Neurons:
        n = neurons
        arrived = synaptic_input(arriving(n.history, bits)).to_decimal(u.pA)
        v = decay_v * n.potential + from_current * n.current
        clamped = (n.history.recent & refractory) != 0
        v = jnp.where(clamped, 0.0, v + driven)
        # The step after a spike clamps the potential: no reset is needed here.
        spikes = v >= threshold
        return Neurons(v, decay_i * n.current + arrived, remember(n.history, spikes))

    return step
