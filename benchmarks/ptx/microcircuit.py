# SPDX-License-Identifier: Apache-2.0
"""A step of the microcircuit at full size: few launches, and the bits of the CPU."""

from __future__ import annotations

import functools
import os
from typing import Any
from unittest import mock

import brainunit as u
import jax
import numpy as np

from synjit import Ring
from synjit.demo.dynamics import connections
from synjit.demo.microcircuit import DelaysOf, Network, build
from synjit.hookspecs import Problem

from .executor import Executor

# Spikes of a step, and vectors of them: as many as on average, a hundred times that, a
# batch, and none. Where synapses have delays: by a list, and by places.
PRODUCTS = (27, 1), (2700, 1), (27, 3), (0, 1)
DELIVERIES = (27, 1), (540, 1), (0, 1)
SLOTS = 64


@functools.cache
def network(delays_of: DelaysOf = "neuron") -> Network:
    """Build it at full size."""
    return build(1.0, delays_of=delays_of)


def problem() -> Problem:
    """State its product with the spikes of a step."""
    grid = connections(network(), None).grid
    shape = sum(grid.rows), sum(grid.columns)
    return Problem(
        "weighted", shape, False, 1, "float32", True, None, grid.words, "cuda", grid
    )


def check(executor: Executor, name: str) -> int:
    """Compare products with the CPU's, print a table; give how many are wrong.

    Parameters
    ----------
    executor : Executor
    name : str
        Of the backend that runs on it.
    """
    wrong = 0
    for what, runs in ((_product, PRODUCTS), (_delivery, DELIVERIES)):
        for number, batch in runs:
            spikes = _spikes(number, batch)
            want = what("numba", spikes)
            before = executor.tally.launches.total(), executor.tally.instructions
            got = what(name, spikes)
            launches = executor.tally.launches.total() - before[0]
            millions = (executor.tally.instructions - before[1]) / 1e6
            differ = np.count_nonzero(got.view(np.uint32) != want.view(np.uint32))
            wrong += differ > 0
            if what is _product:
                wrong += launches != 1 or bool(want.any()) != (number > 0)
            print(
                f"  {what.__name__[1:]} of {number} spikes, {batch} vectors: launches "
                f"{launches}, {millions:.1f} million instructions, {differ} of "
                f"{want.size} entries are not the CPU's",
                flush=True,
            )
    return wrong


def _spikes(number: int, batch: int) -> np.ndarray:
    """Choose neurons that spike, bool (neurons, batch)."""
    rng = np.random.default_rng((2014, number, batch))
    n = sum(network().sizes)
    spikes = np.zeros((n, batch), np.bool_)
    for vector in spikes.T:
        vector[rng.choice(n, number, replace=False)] = True
    return spikes


def _product(backend: str, spikes: np.ndarray) -> np.ndarray:
    """Multiply spikes by all connections, in pA."""
    matrix = connections(network(), backend)

    def product(x: Any) -> Any:
        return (matrix @ x).to_decimal(u.pA)

    with mock.patch.dict(os.environ, SYNJIT_GATE="off"):
        return np.asarray(jax.jit(product)(spikes))


def _delivery(backend: str, spikes: np.ndarray) -> np.ndarray:
    """Deliver spikes to a ring in which something is on its way, in pA."""
    matrix = connections(network("synapse"), backend)
    m = matrix.shape[0]
    rng = np.random.default_rng(1)
    before = rng.normal(size=(SLOTS, m, spikes.shape[1])).astype(np.float32)

    def deliver(x: Any, ring: Any) -> Any:
        return matrix.deliver(x, Ring(ring * u.pA), SLOTS - 9).value.to_decimal(u.pA)

    with mock.patch.dict(os.environ, SYNJIT_GATE="off"):
        return np.asarray(jax.jit(deliver)(spikes, before))
