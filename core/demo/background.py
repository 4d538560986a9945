# SPDX-License-Identifier: Apache-2.0
"""Poisson spikes from outside: a number for each neuron and step, drawn from a hash.

As the connections are: from a seed, the neuron and the step, so that the spikes do not
depend on devices. The chance of each number is exact to 2**-32.
"""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np

from synjit.draw_jax import weight_hash, weight_words
from synjit.reference.delays import alias_table
from synjit.reference.draw import seed_words

if TYPE_CHECKING:
    from .microcircuit import Array, Network

FIRST_SEED = 2**31  # above those of all blocks
LOG2_NUMBERS = 5  # numbers of spikes are below 2**5
LARGEST_MEAN = 4.0  # above which larger numbers are not rare enough to be left out


class Each(NamedTuple):
    """What is fixed of each neuron; arrays (n,), in the order of the state."""

    delays: Array | None  # uint8, steps, if it has one
    populations: Array  # int32, from 1 on; 0 fills up a device's share
    numbers: Array  # uint32, among all neurons


def poisson_table(network: Network) -> np.ndarray:
    """Alias tables of the numbers of each population, one after the other; uint32.

    That of what fills up a device's share is the first, and gives 0.
    """
    rows = [_masses(mean) for mean in (0.0, *network.arriving)]
    words = [word for row in rows for word in alias_table(row, LOG2_NUMBERS)]
    return np.array(words, np.uint32)


def _masses(mean: float) -> list[int]:
    """Give the number of words, of 2**32, for each number of spikes."""
    if not 0 <= mean <= LARGEST_MEAN:
        raise ValueError(
            f"{mean:g} spikes from outside in a step, on average: there may be "
            f"{LARGEST_MEAN:g}; a shorter time step has fewer"
        )
    chance, below = Decimal(-mean).exp(), Decimal(0)
    ends = [0]
    for number in range(1, 2**LOG2_NUMBERS + 1):
        below += chance
        ends.append(round(min(below, Decimal(1)) * 2**32))
        chance *= Decimal(mean) / number
    ends[-1] = 2**32
    return [high - low for low, high in itertools.pairwise(ends)]


def arriving_spikes(network: Network, table: Array, each: Each, time: Array) -> Array:
    """Number of spikes that reach each neuron from outside in a step, (n,) uint32."""
    seed = tuple(map(jnp.uint32, seed_words(FIRST_SEED + network.seed)))
    word = weight_hash(each.numbers, weight_words(seed, time.astype(jnp.uint32)))
    own = word >> np.uint32(32 - LOG2_NUMBERS)
    first = each.populations.astype(jnp.uint32) << np.uint32(LOG2_NUMBERS)
    bucket = jnp.asarray(table)[first | own]
    last = np.uint32(2**LOG2_NUMBERS - 1)
    is_own = ((word << np.uint32(LOG2_NUMBERS)) | last) < bucket
    return jnp.where(is_own, own, bucket & last)
