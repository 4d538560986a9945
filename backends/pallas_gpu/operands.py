# SPDX-License-Identifier: Apache-2.0
"""What kernels read of a vector of events or values, made by XLA before a launch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from synjit.hookspecs import Problem


def prepare(problem: Problem, x: jax.Array) -> tuple[jax.Array, ...]:
    """Give what kernels read of x, and what ``compact`` says of it."""
    if problem.product == "floats":
        return x.reshape(-1), *compact(x != 0)
    return _words(x), *compact(x)


def _words(events: jax.Array) -> jax.Array:
    """Pack events, bool (length, batch), 32 to a word, each item into its own words."""
    length, batch = events.shape
    if batch == 1:
        return events.reshape(-1).astype(jnp.uint32)
    padded = jnp.pad(events, ((0, 0), (0, -batch % 32)))
    bits = padded.reshape(length, -1, 32).astype(jnp.uint32)
    shifts = np.arange(32, dtype=np.uint32)[None, None]
    return jnp.sum(bits << shifts, axis=2, dtype=jnp.uint32).reshape(-1)


def compact(present: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Numbers of the items with anything in the batch, and how many are before each."""
    some = present.any(axis=1)
    length = some.shape[0]
    before = jnp.pad(jnp.cumsum(some, dtype=jnp.int32), (1, 0))
    where = jnp.where(some, before[:-1], np.int32(length))
    numbers = jax.lax.iota(jnp.int32, length)
    active = jnp.zeros(length, jnp.int32).at[where].set(numbers, mode="drop")
    return active, before
