# SPDX-License-Identifier: Apache-2.0
"""One time step of the microcircuit: spikes that arrive, neurons, new spikes.

Spikes that are on their way are kept as the `History` of the neurons that sent
them. Every population keeps its own arrays, so that the compiled step neither
cuts events out of a long vector nor glues currents together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import brainunit as u
import jax.numpy as jnp
import numpy as np
from jax import lax

from synjit import binary_jitnmv

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
    """State of one population."""

    potential: Array  # (n,) float32, mV above rest
    current: Array  # (n,) float32, pA, synaptic
    history: History


def make_step(
    network: Network, backend: str | None, axis: str | None = None
) -> Callable[..., tuple[Neurons, ...]]:
    """One time step: spikes that arrive, neurons, new spikes.

    With the name of a mesh axis, it is a step inside ``jax.shard_map`` over it: each
    device has its share of every population, in order, and the spikes of all. It
    draws the synapses of its own neurons, the rows of W, and no others.

    The linear part is integrated exactly (S. Rotter and M. Diesmann, Biological
    Cybernetics 81 (1999) 381). The potential sees the synaptic current of the
    step before; spikes that arrive now raise the current from now on.
    """
    par = network.parameters
    h, c_m = par.time_step, par.capacitance
    tau_m, tau_s = par.tau_membrane, par.tau_synapse
    decay_v, decay_i = math.exp(-h / tau_m), math.exp(-h / tau_s)
    v_per_direct = tau_m / c_m * (1 - decay_v)
    v_per_current = tau_m * tau_s / (tau_m - tau_s) / c_m * (decay_v - decay_i)
    from_direct = v_per_direct.to_decimal(u.mV / u.pA)
    from_current = v_per_current.to_decimal(u.mV / u.pA)
    threshold = (par.v_threshold - par.v_rest).to_decimal(u.mV)
    refractory = jnp.uint32(2 ** round(par.refractory / h) - 1)

    def synaptic_input(target: int, rows: int, events: list[Array]) -> Array:
        total = 0.0 * u.pA
        first = 0 if axis is None else lax.axis_index(axis) * rows
        for block in network.blocks:
            if block.target == target:
                total += binary_jitnmv(
                    block.w_loc,
                    block.w_scale,
                    block.prob,
                    events[block.source],
                    block.seed,
                    shape=(rows, block.shape[1]),
                    origin=(first, 0),
                    backend=backend,
                )
        return total.to_decimal(u.pA).astype(jnp.float32)

    def step(
        state: tuple[Neurons, ...], bits: tuple[History, ...], direct: Array
    ) -> tuple[Neurons, ...]:
        events = [arriving(n.history, b) for n, b in zip(state, bits, strict=True)]
        if axis is not None:
            events = [lax.all_gather(e, axis, tiled=True) for e in events]
        after = []
        for p, n in enumerate(state):
            v = decay_v * n.potential + from_current * n.current
            clamped = (n.history.recent & refractory) != 0
            v = jnp.where(clamped, 0.0, v + from_direct * direct[p])
            current = decay_i * n.current + synaptic_input(p, len(v), events)
            # The step after a spike clamps the potential: no reset is needed here.
            after.append(Neurons(v, current, remember(n.history, v >= threshold)))
        return tuple(after)

    return step
