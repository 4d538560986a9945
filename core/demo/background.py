# SPDX-License-Identifier: Apache-2.0
"""Poisson spikes from outside: a number for each neuron and step, drawn from a hash.

As the connections are: from a seed, the neuron and the step, so that the spikes do not
depend on devices. The chance of each number is exact to 2**-32.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np

from synjit.draw_jax import weight_hash, weight_words
from synjit.reference.draw import seed_words

if TYPE_CHECKING:
    from .microcircuit import Array, Network

FIRST_SEED = 2**31  # above those of all blocks
MOST = 64  # spikes in a step


class Each(NamedTuple):
    """What is fixed of each neuron; arrays (n,), in the order of the state."""

    delays: Array | None  # uint8, steps, if it has one
    populations: Array | None = None  # int32, from 1 on; 0 fills up a device's share
    numbers: Array | None = None  # uint32, among all neurons
    limits: tuple[Array, ...] = ()  # uint32, of ``limits``; none without Poisson input


def limits(network: Network) -> np.ndarray:
    """Largest words with which a neuron gets at most 0, 1, ... spikes.

    Returns
    -------
    uint32 array (numbers, populations + 1)
        The first column is that of what fills up a device's share, which gets none. No
        rows without Poisson input.
    """
    if network.background != "poisson":
        return np.empty((0, len(network.sizes) + 1), np.uint32)
    columns = [_limits(mean) for mean in (0.0, *network.arriving)]
    rows = max(map(len, columns))
    never = [2**32 - 1]
    return np.array(
        [column + never * (rows - len(column)) for column in columns], np.uint32
    ).T


def _limits(mean: float) -> list[int]:
    """Of a Poisson number, as far as there is a word of 32 bits for it."""
    chance, words = Decimal(-mean).exp(), Decimal(0)
    found: list[int] = []
    for number in range(1, MOST + 1):
        words += chance * 2**32
        if round(words) >= 2**32:
            return found
        found.append(max(0, round(words) - 1))
        chance *= Decimal(mean) / number
    raise ValueError(
        f"{mean:g} spikes from outside reach a neuron in a step, on average, which may "
        f"be more than {MOST}: a shorter time step has fewer"
    )


def draw_words(network: Network, each: Each, times: Array) -> Array | None:
    """Draw a word for each step and neuron, (steps, n) uint32; None without input.

    Apart from the steps, for XLA would draw the words of a step again for each neuron,
    and the word of a neuron again for each of its limits.
    """
    if network.background != "poisson" or each.numbers is None:
        return None
    seed = tuple(map(jnp.uint32, seed_words(FIRST_SEED + network.seed)))
    first, second = weight_words(seed, times.astype(jnp.uint32))
    return weight_hash(each.numbers[None], (first[:, None], second[:, None]))


def arriving_spikes(each: Each, word: Array) -> Array:
    """Number of spikes that reach each neuron from outside in a step, (n,) float32."""
    above = [(word > limit).astype(jnp.float32) for limit in each.limits]
    return sum(above, jnp.zeros(word.shape, jnp.float32))
