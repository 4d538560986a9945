# SPDX-License-Identifier: Apache-2.0
"""The draw inside a kernel: keys of chunks, one to a lane, and what follows from them.

What these functions compute is defined by ``synjit.reference.draw``. All words are
uint32, scalars or vectors of lanes, and stay in registers; only the law and the table
of the inverse normal are looked up in memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from synjit.reference import draw, normal, threefry

u32 = np.uint32

# Steps of a binary search among the limits, largest first.
_STEPS = [2**i for i in reversed(range(draw.MAX_LIMITS.bit_length()))]


class Window(NamedTuple):
    """Scalars that say which matrix, and which rows of it, a kernel is about.

    ``device`` says whether it is compiled for a GPU, and not interpreted.
    """

    seed: tuple[jax.Array, jax.Array]
    top: jax.Array
    left: jax.Array
    log2_chunk: jax.Array
    rows: int
    device: bool

    @property
    def mask(self) -> jax.Array:
        """Low bits, as many as number the rows of a chunk."""
        return (u32(1) << self.log2_chunk) - u32(1)

    @property
    def first_chunk(self) -> jax.Array:
        """Chunk of the first row."""
        return self.top >> self.log2_chunk

    @property
    def chunks(self) -> jax.Array:
        """Number of chunks that the rows touch."""
        last = (self.top + (u32(self.rows) - u32(1))) >> self.log2_chunk
        return (last - self.first_chunk + u32(1)).astype(jnp.int32)


class Keys(NamedTuple):
    """Key words of chunks; for ``probe``, multipliers hold their inverses."""

    count: jax.Array
    multipliers: tuple[jax.Array, ...]
    addends: tuple[jax.Array, ...]
    weights: tuple[jax.Array, jax.Array]


def window(seed: Any, origin: Any, law: Any, rows: int, device: bool) -> Window:
    """Read the scalars from the operands of a kernel."""
    return Window((seed[0], seed[1]), origin[0], origin[1], law[0], rows, device)


def threefry2x32(
    key: tuple[jax.Array, jax.Array],
    counter: tuple[jax.Array, jax.Array],
    *,
    unrolled: bool,
) -> tuple[jax.Array, jax.Array]:
    """Two words from a key and a counter.

    Not ``unrolled``, it is a tenth as long to compile, which interpreters need.
    """
    schedule = (*key, key[0] ^ key[1] ^ u32(threefry.PARITY))

    def four_rounds(i: Any, x: tuple[jax.Array, jax.Array]) -> Any:
        x0, x1 = x
        for r in range(4):
            even, odd = threefry.ROTATIONS[r], threefry.ROTATIONS[4 + r]
            rotation = _pick(i % 2, (u32(even), u32(odd)))
            x0 = x0 + x1
            x1 = (x1 << rotation) | (x1 >> (u32(32) - rotation))
            x1 = x1 ^ x0
        number = u32(i + 1) if isinstance(i, int) else (i + 1).astype(jnp.uint32)
        x0 = x0 + _pick((i + 1) % 3, schedule)
        return x0, x1 + (_pick((i + 2) % 3, schedule) + number)

    x = counter[0] + schedule[0], counter[1] + schedule[1]
    steps = threefry.ROUNDS // 4
    if not unrolled:
        return lax.fori_loop(jnp.int32(0), jnp.int32(steps), four_rounds, x)
    for i in range(steps):
        x = four_rounds(i, x)
    return x


def _pick(i: Any, options: tuple[Any, ...]) -> Any:
    """Choose by a number that is known now, or on the device only."""
    if isinstance(i, int):
        return options[i]
    result = options[-1]
    for j, option in enumerate(options[:-1]):
        result = jnp.where(i == j, option, result)
    return result


def make_keys(
    window: Window, law: Any, column: jax.Array, chunk: jax.Array, *, inverse: bool
) -> Keys:
    """Draw the keys of chunks, ``inverse`` for ``probe`` and not for ``place``.

    ``column`` and ``chunk`` are vectors of lanes, counted in the whole matrix.
    """
    first = chunk * u32(draw.COUNTER_STRIDE)
    pairs = [
        threefry2x32(window.seed, (column, first + u32(pair)), unrolled=window.device)
        for pair in range(1 + draw.ROUNDS)
    ]
    multipliers = [a | u32(1) for a, _ in pairs[1:]]
    if inverse:
        multipliers = [_inverse_mod_2_32(a) for a in multipliers]
    last = jnp.full_like(first, draw.WEIGHT_PAIR)
    return Keys(
        count=_count(law, pairs[0][0]),
        multipliers=tuple(multipliers),
        addends=tuple(b for _, b in pairs[1:]),
        weights=threefry2x32(window.seed, (column, last), unrolled=window.device),
    )


def _count(law: Any, word: jax.Array) -> jax.Array:
    """Count the limits below a word, by binary search: they ascend."""
    below = jnp.zeros_like(word, jnp.int32)
    for step in _STEPS:
        reached = jnp.minimum(below + step, draw.MAX_LIMITS)
        below = jnp.where(law[1 + reached] < word, reached, below)
    return law[1] + below.astype(jnp.uint32)


def _inverse_mod_2_32(a: jax.Array) -> jax.Array:
    x = a
    for _ in range(4):
        x = x * (u32(2) - a * x)
    return x


def _shift(window: Window, round_number: int) -> jax.Array:
    """``reference.draw.shift``, of a scalar that is known on the device only."""
    half = (window.log2_chunk + u32(1)) >> u32(1)
    return half + u32(round_number % 2)


def place(window: Window, keys: Keys, t: jax.Array) -> jax.Array:
    """P(t), within the chunk."""
    x = t
    for r in range(draw.ROUNDS):
        x = (x * keys.multipliers[r] + keys.addends[r]) & window.mask
        x = x ^ (x >> _shift(window, r))
    return x


def probe(window: Window, keys: Keys, row: jax.Array) -> jax.Array:
    """Whether a row is connected, under keys made with ``inverse``."""
    x = row & window.mask
    for r in reversed(range(draw.ROUNDS)):
        x = x ^ (x >> _shift(window, r))
        x = ((x - keys.addends[r]) * keys.multipliers[r]) & window.mask
    return x < keys.count


def weight(table: Any, words: tuple[jax.Array, jax.Array], row: jax.Array) -> jax.Array:
    """Weigh: z of a row under its column's two words, int32."""
    x = row ^ words[0]
    s0, s1, s2, s3 = map(u32, draw.WEIGHT_SHIFTS)
    m0, m1, m2 = map(u32, draw.WEIGHT_MULTIPLIERS)
    x = (x ^ (x >> s0)) * m0
    x = ((x ^ (x >> s1)) + words[1]) * m1
    x = (x ^ (x >> s2)) * m2
    x = x ^ (x >> s3)
    return _standard_normal(table, x)


def _standard_normal(table: Any, word: jax.Array) -> jax.Array:
    """``reference.normal.standard_normal``; the table is read in memory."""
    cells, fractions = normal.CELL_BITS, normal.FRACTION_BITS
    w = (word << u32(1)) | u32(1)
    octave = lax.clz(w.astype(jnp.int32)).astype(jnp.uint32)  # Triton has no other
    aligned = w << octave
    cell = (aligned >> u32(31 - cells)) & u32(2**cells - 1)
    fraction = (aligned >> u32(31 - cells - fractions)) & u32(2**fractions - 1)
    entry = table[((octave << u32(cells)) | cell).astype(jnp.int32)]
    fall = ((entry & u32(2**normal.SLOPE_BITS - 1)) * fraction) >> u32(fractions - 1)
    quarters = (entry >> u32(normal.SLOPE_BITS)) - fall
    magnitude = (quarters >> u32(2)).astype(jnp.int32)
    return jnp.where(word >= u32(2**31), -magnitude, magnitude)
