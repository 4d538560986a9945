# SPDX-License-Identifier: Apache-2.0
"""The delays in JAX, as ``draw_jax`` has the connections and their weights.

It is ``synjit.reference.delays`` once more, in functions that can be traced, inside
kernels or outside.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .draw_jax import Pair, Take, take, threefry2x32, weight_hash
from .reference import delays

u32 = np.uint32


def delay_words(
    seed: Pair, column: jax.Array, *, unrolled: bool = True
) -> tuple[jax.Array, jax.Array]:
    """Draw the two words that key the delays of a column."""
    pair = jnp.full(column.shape, delays.DELAY_PAIR, jnp.uint32)
    return threefry2x32(seed, (column, pair), unrolled=unrolled)


def delay(row: jax.Array, words: Pair, table: Any, *, take: Take = take) -> jax.Array:
    """Steps, uint32, of rows under the words of their columns.

    Parameters
    ----------
    row : uint32
    words : pair of uint32
        From ``delay_words``; they broadcast with ``row``.
    table : uint32, of 1 or 1 + 2**b words
        Of the law of the delays. Its shape says how it is read.
    """
    buckets = math.prod(table.shape) - 1
    shape = jnp.broadcast_shapes(row.shape, words[0].shape)
    (first,) = take(table, jnp.zeros(shape, jnp.uint32), 1)
    if buckets == 0:
        return first
    b, last = u32(buckets.bit_length() - 1), u32(buckets - 1)
    word = weight_hash(row, words)
    own = word >> (u32(32) - b)
    (bucket,) = take(table, own + u32(1), 1)
    is_own = ((word << b) | last) < bucket
    return first + jnp.where(is_own, own, bucket & last)
