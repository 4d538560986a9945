# SPDX-License-Identifier: Apache-2.0
"""The draw on the vector unit: looking words up along the lanes of registers.

``synjit.draw_jax`` does the rest. Arrays are uint32, and their last two axes are
(a multiple of 8, LANES), as the vector unit has them; scalars and other arrays that
broadcast may stand for them. There is no gather but the one along the lanes of a
register: tables are (rows, LANES), their rows a power of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from synjit import draw_jax
from synjit.draw_jax import u32
from synjit.reference import draw

from .workspace import LANES, SUBLANES

CONNECTIVITY_ROWS = 1 << (-(-draw.CONNECTIVITY_WORDS // LANES) - 1).bit_length()


def as_table(words: Any, rows: int) -> jax.Array:
    """Write words down as a table of so many rows."""
    words = jnp.asarray(words)
    return jnp.pad(words, (0, rows * LANES - len(words))).reshape(rows, LANES)


def draw_count(word: jax.Array, connectivity: jax.Array) -> jax.Array:
    """Count the connections of chunks with these count words."""
    return draw_jax.draw_count(word, connectivity, take=take)


def weight(
    row: jax.Array, words: tuple[jax.Array, jax.Array], table: jax.Array
) -> jax.Array:
    """z, int32, of each row, under the words of its column."""
    return draw_jax.weight(row, words, table, take=take)


def take(table: jax.Array, index: jax.Array, planes: int = 1) -> Sequence[jax.Array]:
    """Look words up in each of the planes of a table.

    Every row is gathered from along the lanes; then the bits of the row number choose
    among the rows' answers, two by two. Register by register: setting the lane numbers
    of a gather up takes longer than the gather, and serves for all rows of the table.
    """
    registers = index.reshape(-1, SUBLANES, LANES)
    found = [_take(table, registers[i], planes) for i in range(len(registers))]
    return [jnp.stack(plane).reshape(index.shape) for plane in zip(*found, strict=True)]


def _take(table: jax.Array, index: jax.Array, planes: int) -> list[jax.Array]:
    lane = (index & u32(LANES - 1)).astype(jnp.int32)
    answers = [gather(table[r : r + 1], lane) for r in range(table.shape[0])]
    bit = LANES
    while len(answers) > planes:
        odd = (index & u32(bit)) != u32(0)
        answers = [
            jnp.where(odd, high, low)
            for low, high in zip(answers[::2], answers[1::2], strict=True)
        ]
        bit *= 2
    return answers


def gather(values: jax.Array, lane: jax.Array) -> jax.Array:
    """Take ``values[..., lane]`` of arrays (rows, LANES), or one row of values."""
    values = jnp.broadcast_to(values, lane.shape)
    return jnp.take_along_axis(values, lane, axis=1, mode="promise_in_bounds")


def spread(values: jax.Array, lane: jax.Array | int) -> jax.Array:
    """Give all lanes of an array (rows, LANES) the value of one of them."""
    return gather(values, jnp.full(values.shape, lane, jnp.int32))
