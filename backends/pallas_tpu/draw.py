# SPDX-License-Identifier: Apache-2.0
"""The draw on the vector unit: whole registers of key words, places and weights.

What these functions compute is defined by ``synjit.reference.draw``. They take and
give uint32 arrays whose last two axes are (a multiple of 8, LANES), as the vector
unit has them; scalars and other arrays that broadcast may stand for them. There is no
gather but the one along the lanes of a register, which is how tables are looked up.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from synjit.reference import draw, normal, threefry

LANES = 128
SUBLANES = 8
ROUNDS = draw.ROUNDS

TABLE_ROWS = len(normal.TABLE) // LANES
LIMIT_ROWS = 1 << (-(-draw.MAX_LIMITS // LANES) - 1).bit_length()

u32 = np.uint32


class Keys(NamedTuple):
    """What is known of one chunk of each column before any row is asked for."""

    counts: jax.Array
    inverses: list[jax.Array]  # of the multipliers, one for each round
    addends: list[jax.Array]


# --- key words --------------------------------------------------------------------


def key_words(
    seed: tuple[jax.Array, jax.Array], column: jax.Array, pair: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Two words of Threefry for each column and pair number."""
    k0, k1 = seed
    schedule = (k0, k1, k0 ^ k1 ^ u32(threefry.PARITY))
    x0 = column + k0
    x1 = pair + k1
    for r in range(threefry.ROUNDS):
        rotation = threefry.ROTATIONS[r % 8]
        x0 = x0 + x1
        x1 = (x1 << u32(rotation)) | (x1 >> u32(32 - rotation))
        x1 = x1 ^ x0
        if r % 4 == 3:
            injection = r // 4 + 1
            x0 = x0 + schedule[injection % 3]
            x1 = x1 + (schedule[(injection + 1) % 3] + u32(injection))
    return x0, x1


def weight_words(
    seed: tuple[jax.Array, jax.Array], column: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Two words that key the weights of a column."""
    return key_words(seed, column, jnp.full(column.shape, draw.WEIGHT_PAIR, jnp.uint32))


def count(word: jax.Array, base: jax.Array, limits: jax.Array) -> jax.Array:
    """Give the number of connections that a count word stands for, by bisection.

    Parameters
    ----------
    limits : uint32 (LIMIT_ROWS, LANES)
        Ascending, the rest filled with the largest word.
    """
    below = jnp.zeros(word.shape, jnp.uint32)
    step = LIMIT_ROWS * LANES
    while step > 1:
        step //= 2
        probe = lookup(limits, below + u32(step - 1))
        below = below + jnp.where(probe < word, u32(step), u32(0))
    return below + base


def inverse_mod_2_32(a: jax.Array) -> jax.Array:
    """Inverse of odd numbers; see the reference."""
    x = a
    for _ in range(4):
        x = x * (u32(2) - a * x)
    return x


# --- places and weights -----------------------------------------------------------


def connected(row: jax.Array, keys: Keys, log2_chunk: jax.Array | int) -> jax.Array:
    """Say which rows are connected (both numbers are below 2**31: compare signed)."""
    place = place_inverse(row, keys, log2_chunk)
    return place.astype(jnp.int32) < keys.counts.astype(jnp.int32)


def place_inverse(row: jax.Array, keys: Keys, log2_chunk: jax.Array | int) -> jax.Array:
    """Which connection of its chunk would sit at each row."""
    one = u32(1) if isinstance(log2_chunk, int) else jnp.ones((), jnp.uint32)
    mask = (one << _word(log2_chunk)) - u32(1)
    half = (log2_chunk + 1) >> 1
    x = row & mask
    for r in reversed(range(ROUNDS)):
        x = x ^ (x >> _word(half + r % 2))
        x = ((x - keys.addends[r]) * keys.inverses[r]) & mask
    return x


def _word(number: jax.Array | int) -> jax.Array | np.uint32:
    return u32(number) if isinstance(number, int) else number.astype(jnp.uint32)


def weight(
    row: jax.Array, words: tuple[jax.Array, jax.Array], table: jax.Array
) -> jax.Array:
    """z, int32, of each row, under the words of its column."""
    x = row ^ words[0]
    s0, s1, s2, s3 = map(u32, draw.WEIGHT_SHIFTS)
    m0, m1, m2 = map(u32, draw.WEIGHT_MULTIPLIERS)
    x = (x ^ (x >> s0)) * m0
    x = ((x ^ (x >> s1)) + words[1]) * m1
    x = (x ^ (x >> s2)) * m2
    x = x ^ (x >> s3)
    return standard_normal(x, table)


def standard_normal(word: jax.Array, table: jax.Array) -> jax.Array:
    """Map uniform words to standard-normal values, int32; see the reference.

    Parameters
    ----------
    table : uint32 (TABLE_ROWS, LANES)
    """
    w = (word << u32(1)) | u32(1)
    octave = lax.clz(w)
    aligned = w << octave
    cell = (aligned >> u32(31 - normal.CELL_BITS)) & u32(2**normal.CELL_BITS - 1)
    fraction = aligned >> u32(31 - normal.CELL_BITS - normal.FRACTION_BITS)
    fraction = fraction & u32(2**normal.FRACTION_BITS - 1)
    entry = lookup(table, (octave << u32(normal.CELL_BITS)) | cell)
    slope = entry & u32(2**normal.SLOPE_BITS - 1)
    fall = (slope * fraction) >> u32(normal.FRACTION_BITS - 1)
    magnitude = ((entry >> u32(normal.SLOPE_BITS)) - fall) >> u32(2)
    sign = word.astype(jnp.int32) >> 31
    return (magnitude.astype(jnp.int32) ^ sign) - sign


# --- lanes ------------------------------------------------------------------------


def lookup(table: jax.Array, index: jax.Array) -> jax.Array:
    """Look words up in a table (rows, LANES) of a power of two of rows.

    Every row is gathered from along the lanes; then the bits of the row number choose
    among the rows' answers, two by two. Register by register: setting the lane numbers
    of a gather up takes longer than the gather, and serves for all rows of the table.
    """
    registers = index.reshape(-1, SUBLANES, LANES)
    found = [_lookup(table, registers[i]) for i in range(len(registers))]
    return jnp.stack(found).reshape(index.shape)


def _lookup(table: jax.Array, index: jax.Array) -> jax.Array:
    lane = (index & u32(LANES - 1)).astype(jnp.int32)
    answers = [gather(table[r : r + 1], lane) for r in range(table.shape[0])]
    bit = LANES
    while len(answers) > 1:
        odd = (index & u32(bit)) != u32(0)
        answers = [
            jnp.where(odd, high, low)
            for low, high in zip(answers[::2], answers[1::2], strict=True)
        ]
        bit *= 2
    return answers[0]


def gather(values: jax.Array, lane: jax.Array) -> jax.Array:
    """Take ``values[..., lane]`` of arrays (rows, LANES), or one row of values."""
    values = jnp.broadcast_to(values, lane.shape)
    return jnp.take_along_axis(values, lane, axis=1, mode="promise_in_bounds")


def spread(values: jax.Array, lane: jax.Array | int) -> jax.Array:
    """Give all lanes of an array (rows, LANES) the value of one of them."""
    return gather(values, jnp.full(values.shape, lane, jnp.int32))
