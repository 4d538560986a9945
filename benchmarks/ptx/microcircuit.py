# SPDX-License-Identifier: Apache-2.0
"""A step of the microcircuit at full size: one launch, and the bits of the CPU."""

from __future__ import annotations

import functools
import os
from typing import Any
from unittest import mock

import brainunit as u
import jax
import numpy as np

from synjit.demo.dynamics import connections
from synjit.demo.microcircuit import Network, build
from synjit.hookspecs import Problem

from .executor import Executor

# Spikes of a step, and vectors of them: as many as on average, a hundred times that, a
# batch, and none.
PRODUCTS = (27, 1), (2700, 1), (27, 3), (0, 1)


@functools.cache
def network() -> Network:
    """Build it at full size."""
    return build(1.0)


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
    rng = np.random.default_rng(2014)
    n = sum(network().sizes)
    for number, batch in PRODUCTS:
        spikes = np.zeros((n, batch), np.bool_)
        for vector in spikes.T:
            vector[rng.choice(n, number, replace=False)] = True
        want = _product("numba", spikes)
        before = executor.tally.launches.total(), executor.tally.instructions
        got = _product(name, spikes)
        launches = executor.tally.launches.total() - before[0]
        millions = (executor.tally.instructions - before[1]) / 1e6
        differ = np.count_nonzero(got.view(np.uint32) != want.view(np.uint32))
        wrong += differ > 0 or launches != 1 or bool(want.any()) != (number > 0)
        print(
            f"  {number} spikes, {batch} vectors: launches {launches}, {millions:.1f} "
            f"million instructions, {differ} of {want.size} entries are not the CPU's",
            flush=True,
        )
    return wrong


def _product(backend: str, spikes: np.ndarray) -> np.ndarray:
    """Multiply spikes by all connections, in pA."""
    matrix = connections(network(), backend)

    def product(x: Any) -> Any:
        return (matrix @ x).to_decimal(u.pA)

    with mock.patch.dict(os.environ, SYNJIT_GATE="off"):
        return np.asarray(jax.jit(product)(spikes))
