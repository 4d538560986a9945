# SPDX-License-Identifier: Apache-2.0
"""Accumulators: what products sum up, and the sums that a lane keeps to itself."""

from __future__ import annotations

from typing import Any, Protocol

import jax
import jax.numpy as jnp

from synjit.draw_jax import u32

from .lanes import i32


class Terms(Protocol):
    """What a product sums up: the two terms of a connection, batch by batch."""

    dtype: Any

    def of(self, item: jax.Array, b: Any, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Give the terms of connections of columns (or rows) ``item``."""

    def present(self, item: jax.Array, b: Any) -> jax.Array | bool:
        """Whether they can be other than zero."""


class EventTerms:
    """1 and z, where there is an event; events are bits of words."""

    dtype = jnp.int32

    def __init__(self, words: Any, batch: int) -> None:
        self.words = words
        self.batch = batch

    def present(self, item: jax.Array, b: Any) -> jax.Array | bool:
        """Read the bit of an event; of a batch of one only events are asked for."""
        if self.words is None:
            return True
        per_item = -(-self.batch // 32)
        b = jnp.minimum(b, self.batch - 1).astype(jnp.int32)
        word = self.words[item * i32(per_item) + (b >> i32(5))]
        return ((word >> (b & i32(31)).astype(jnp.uint32)) & u32(1)) != u32(0)

    def of(self, item: jax.Array, b: Any, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Give 1 and z, or 0 and 0."""
        present = self.present(item, b)
        zero = jnp.zeros_like(z)
        return jnp.where(present, zero + i32(1), zero), jnp.where(present, z, zero)


class FloatTerms:
    """The value, and the value times z."""

    def __init__(self, values: Any, batch: int) -> None:
        self.values = values
        self.batch = batch
        self.dtype = values.dtype

    def _value(self, item: jax.Array, b: Any) -> jax.Array:
        b = jnp.minimum(b, self.batch - 1).astype(jnp.int32)
        return self.values[item * i32(self.batch) + b]

    def present(self, item: jax.Array, b: Any) -> jax.Array | bool:
        """Tell values from zeros; NaN is a value."""
        return self._value(item, b) != 0

    def of(self, item: jax.Array, b: Any, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Give v and z * v."""
        value = self._value(item, b)
        product = z.astype(self.dtype) * value
        return jnp.broadcast_to(value, product.shape), product


def terms_of(operand: Any, batch: int, *, floats: bool, active: bool) -> Terms:
    """Read an operand; ``active`` says that only items with an event are asked for."""
    if floats:
        return FloatTerms(operand, batch)
    return EventTerms(None if active and batch == 1 else operand, batch)


# --- sums of a lane ---------------------------------------------------------------


def no_sums(terms: Terms, width: int, tile: int) -> tuple[Any, ...]:
    """Sums of a tile of vectors, ``width`` of each, before anything is added."""
    return ((jnp.zeros(width, terms.dtype),) * 2,) * tile


def add_where(
    connected: jax.Array,
    terms: Terms,
    item: jax.Array,
    first_b: jax.Array,
    z: jax.Array,
    sums: Any,
) -> Any:
    """Add the terms of a tile of the batch, where there is a connection."""
    result = []
    for b, pair in enumerate(sums):
        new = terms.of(item, first_b + i32(b), z)
        result.append(
            tuple(
                total + jnp.where(connected, term, jnp.zeros_like(term))
                for total, term in zip(pair, new, strict=True)
            )
        )
    return tuple(result)


def write_sums(
    first_out: Any,
    second_out: Any,
    sums: Any,
    at: jax.Array,
    first_b: jax.Array,
    batch: int,
) -> None:
    """Write the sums of a tile of vectors to items ``at``."""
    for b, (first, second) in enumerate(sums):
        column = jnp.minimum(first_b + i32(b), i32(batch - 1))
        first_out[at * i32(batch) + column] = first
        second_out[at * i32(batch) + column] = second
