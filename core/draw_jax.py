# SPDX-License-Identifier: Apache-2.0
"""The draw in JAX, for backends that are written in JAX, inside kernels or outside.

It is ``synjit.reference.draw`` and ``synjit.reference.quantile_table`` once more, in
functions that can be traced: key words, the number and the places of a chunk's
connections, and their weights. All words are uint32 arrays or scalars that broadcast.
Nothing here is of one platform, and what differs between platforms is a parameter:

take
    How words are looked up in a table; ``take`` says what it must do.
leading_zeros
    How the leading zeros of words are counted.
unrolled
    Whether the rounds of Threefry are written out, as compilers of kernels want them,
    or looped over, which XLA on a CPU and interpreters compile in a tenth of the time.

A backend of its own rarely needs more than this, for columns j and rows i::

    keys = chunk_keys(seed, j, i >> log2_chunk, connectivity, inverse=True)
    present = connected(i, keys, log2_chunk)
    z = weight(i, weight_words(seed, j), matrix.weights)

or, to list the connections instead of asking for all entries, ``chunk_keys`` without
``inverse``, and ``place(t, keys, log2_chunk)`` for t below ``keys.counts``, as far as
``is_allowed(row, keys)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .reference import draw, quantile_table, threefry

u32 = np.uint32

Pair = tuple[Any, Any]  # of words
Take = Callable[[Any, jax.Array, int], Sequence[jax.Array]]

BASE = 1  # words of a connectivity: log2_chunk, base, limits
LIMITS = 2
ANY = u32(0xFFFFFFFF)  # the last of all rows, and none that is left out


def take(table: Any, index: jax.Array, planes: int = 1) -> Sequence[jax.Array]:
    """Look words up in a table, an array or a reference of one dimension.

    Parameters
    ----------
    table : uint32 (words,)
    index : uint32 array
        Always below ``words // planes``.
    planes : int
        Equal parts that the table is made of, one after the other.

    Returns
    -------
    sequence of uint32 arrays of the shape of ``index``
        The word of each part.
    """
    words = math.prod(table.shape) // planes
    index = index.astype(jnp.int32)
    if isinstance(table, np.ndarray):
        table = jnp.asarray(table)
    return [table[index + np.int32(plane * words)] for plane in range(planes)]


def leading_zeros(word: jax.Array) -> jax.Array:
    """Count the leading zeros of nonzero words (Triton counts those of int32 only)."""
    return lax.clz(word.astype(jnp.int32)).astype(jnp.uint32)


# --- key words --------------------------------------------------------------------


class Keys(NamedTuple):
    """What is known of chunks before any row is.

    Attributes
    ----------
    counts : uint32
        Number of connections.
    multipliers, addends : sequences of uint32, one for each round of the bijection
        For ``place_inverse`` and ``connected``, multipliers are the inverses.
    last : uint32, or None
        The last row that there is, by a rule that walks until it is inside; ``ANY``
        by one that does not; None where that is known before it runs.
    own : uint32, or None
        The row that is left out, for it is the column itself; ``ANY`` or None likewise.
    """

    counts: jax.Array
    multipliers: Sequence[jax.Array]
    addends: Sequence[jax.Array]
    last: jax.Array | None = None
    own: jax.Array | None = None


def threefry2x32(
    key: Pair, counter: Pair, *, unrolled: bool = True
) -> tuple[jax.Array, jax.Array]:
    """Turn a key and a counter, two words each, into two random words."""
    schedule = (*key, key[0] ^ key[1] ^ u32(threefry.PARITY))

    def four_rounds(i: Any, x: Pair) -> Pair:
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
        start = tuple(jnp.broadcast_arrays(*x))
        return lax.fori_loop(jnp.int32(0), jnp.int32(steps), four_rounds, start)
    for i in range(steps):
        x = four_rounds(i, x)
    return x


def _pick(i: Any, options: Sequence[Any]) -> Any:
    """Choose by a number that is known now, or as it runs only."""
    if isinstance(i, int):
        return options[i]
    result = options[-1]
    for j, option in enumerate(options[:-1]):
        result = jnp.where(i == j, option, result)
    return result


def chunk_keys(
    seed: Pair,
    column: jax.Array,
    chunk: jax.Array,
    connectivity: Any,
    *,
    inverse: bool,
    unrolled: bool = True,
    take: Take = take,
    rule: str | None = None,
    self_connections: bool | None = None,
) -> Keys:
    """Draw the keys of chunks of columns, both counted in the whole matrix.

    Parameters
    ----------
    seed : pair of uint32
    column, chunk : uint32, which broadcast
    connectivity : uint32 (CONNECTIVITY_WORDS,), or whatever ``take`` looks up in
    inverse : bool
        Whether rows will be asked for (``connected``), and not listed (``place``).
    rule, self_connections
        Those of the problem, which spare work; without them, the connectivity says it
        when it runs.
    """
    first = chunk * u32(draw.COUNTER_STRIDE)
    pairs = range(1 + draw.ROUNDS)
    if unrolled:
        words = [threefry2x32(seed, (column, first + u32(pair))) for pair in pairs]
    else:
        counter = jnp.stack([first + u32(pair) for pair in pairs])
        first_words, second_words = threefry2x32(
            seed, (column, counter), unrolled=False
        )
        words = [(first_words[i], second_words[i]) for i in pairs]
    multipliers = [a | u32(1) for a, _ in words[1:]]
    if inverse:
        multipliers = [inverse_mod_2_32(a) for a in multipliers]
    counts = draw_count(words[0][0], connectivity, take=take)
    last, own = None, None
    if rule != "bernoulli":
        (rows,) = take(connectivity, jnp.full_like(counts, draw.ROWS_WORD), 1)
        last = rows - u32(1)  # ANY of no rows
    if self_connections is None:
        (none,) = take(connectivity, jnp.full_like(counts, draw.NO_SELF_WORD), 1)
        own = jnp.where(none != u32(0), column, ANY)
    elif not self_connections:
        own = jnp.broadcast_to(column, counts.shape)
    return Keys(counts, multipliers, [b for _, b in words[1:]], last, own)


def weight_words(
    seed: Pair, column: jax.Array, *, unrolled: bool = True
) -> tuple[jax.Array, jax.Array]:
    """Draw the two words that key the weights of a column."""
    pair = jnp.full(column.shape, draw.WEIGHT_PAIR, jnp.uint32)
    return threefry2x32(seed, (column, pair), unrolled=unrolled)


def draw_count(word: jax.Array, connectivity: Any, *, take: Take = take) -> jax.Array:
    """Count the connections of chunks: ``base``, and the limits below a count word.

    The limits ascend, and are bisected. Steps are halves of what is left, rounded up:
    together they are MAX_LIMITS, and none is longer than those after it and one.
    """
    below = jnp.zeros_like(word)
    left = draw.MAX_LIMITS
    while left:
        step = (left + 1) // 2
        left -= step
        (limit,) = take(connectivity, below + u32(LIMITS + step - 1), 1)
        below = below + jnp.where(limit < word, u32(step), u32(0))
    (base,) = take(connectivity, jnp.full_like(word, BASE), 1)
    return base + below


def inverse_mod_2_32(a: jax.Array) -> jax.Array:
    """Inverse of odd numbers, by Newton's iteration."""
    x = a
    for _ in range(4):
        x = x * (u32(2) - a * x)
    return x


# --- places -----------------------------------------------------------------------


def place(t: jax.Array, keys: Keys, log2_chunk: Any) -> jax.Array:
    """Offset, in its chunk, of the row of connection t; anything where there is none.

    ``log2_chunk`` is an int, or a scalar where ``prob`` is traced.
    """
    mask, shifts = _bijection(log2_chunk)

    def step(x: jax.Array) -> jax.Array:
        for r in range(draw.ROUNDS):
            x = (x * keys.multipliers[r] + keys.addends[r]) & mask
            x = x ^ (x >> shifts[r % 2])
        return x

    if keys.last is None:
        return step(t)
    skipped = _skipped(keys)
    start = t if skipped is None else t + _bit(t >= skipped)
    return _walk(step, start, keys.last, skipped)


def place_inverse(row: jax.Array, keys: Keys, log2_chunk: Any) -> jax.Array:
    """Which connection of its chunk would sit at each row, under keys of inverses.

    It is anything at rows that are not allowed, or are not there.
    """
    mask, shifts = _bijection(log2_chunk)

    def step(x: jax.Array) -> jax.Array:
        for r in reversed(range(draw.ROUNDS)):
            x = x ^ (x >> shifts[r % 2])
            x = ((x - keys.addends[r]) * keys.multipliers[r]) & mask
        return x

    if keys.last is None:
        return step(row & mask)
    skipped = _skipped(keys)
    x = _walk(step, row & mask, keys.last, skipped)
    return x if skipped is None else x - _bit(x > skipped)


def connected(row: jax.Array, keys: Keys, log2_chunk: Any) -> jax.Array:
    """Say which rows are connected (both numbers are below 2**31: compare signed)."""
    x = place_inverse(row, keys, log2_chunk)
    there = x.astype(jnp.int32) < keys.counts.astype(jnp.int32)
    return there & is_allowed(row, keys)


def is_allowed(row: jax.Array, keys: Keys) -> jax.Array:
    """Whether a row that was listed may be connected.

    It is not the column itself, and not beyond all rows, where a window may reach.
    """
    allowed = jnp.ones_like(row, jnp.bool_)
    if keys.last is not None:
        allowed = allowed & (row <= keys.last)
    return allowed if keys.own is None else allowed & (row != keys.own)


def _skipped(keys: Keys) -> jax.Array | None:
    """Row that walks leave out: of a rule that does not walk, none."""
    if keys.own is None or keys.last is None:
        return None
    return jnp.where(keys.last == ANY, ANY, keys.own)


def _bit(condition: jax.Array) -> jax.Array:
    return jnp.where(condition, u32(1), u32(0))


def _walk(
    step: Callable[[jax.Array], jax.Array],
    start: jax.Array,
    last: jax.Array,
    skipped: jax.Array | None,
) -> jax.Array:
    """Take a step, and more until it leads inside; who begins outside takes just one.

    (From outside, some walks would never end.)
    """

    def outside(x: jax.Array) -> jax.Array:
        beyond = x > last
        return _bit(beyond if skipped is None else beyond | (x == skipped))

    x = step(start)
    begun = jnp.broadcast_to(u32(1) - outside(start), x.shape)

    def goes_on(x: jax.Array) -> jax.Array:
        return jnp.max((begun & outside(x)).astype(jnp.int32)) > np.int32(0)

    def further(x: jax.Array) -> jax.Array:
        return jnp.where((begun & outside(x)) != u32(0), step(x), x)

    walked: jax.Array = lax.while_loop(goes_on, further, x)
    return walked


def _bijection(log2_chunk: Any) -> tuple[Any, tuple[Any, Any]]:
    """Mask of an offset, and the shifts of even and of odd rounds."""
    if isinstance(log2_chunk, int):
        shifts = draw.shift(log2_chunk, 0), draw.shift(log2_chunk, 1)
        return u32(2**log2_chunk - 1), shifts
    k = log2_chunk.astype(jnp.uint32)
    half = (k + u32(1)) >> u32(1)
    return (jnp.ones_like(k) << k) - u32(1), (half, half + u32(1))


# --- weights ----------------------------------------------------------------------


def weight(
    row: jax.Array,
    words: Pair,
    table: Any,
    *,
    take: Take = take,
    leading_zeros: Callable[[jax.Array], jax.Array] = leading_zeros,
) -> jax.Array:
    """z, int32, of rows under the words of their columns, whether connected or not.

    Parameters
    ----------
    row : uint32
    words : pair of uint32
        From ``weight_words``; they broadcast with ``row``.
    table : uint32, of 0, 2048 or 8192 words
        Of the law of the weights. Its shape says how it is read; with no words there is
        no hash either.
    """
    if math.prod(table.shape) == quantile_table.CONSTANT_WORDS:
        shape = jnp.broadcast_shapes(row.shape, words[0].shape)
        return jnp.zeros(shape, jnp.int32)
    return look_up(
        table, weight_hash(row, words), take=take, leading_zeros=leading_zeros
    )


def weight_hash(row: jax.Array, words: Pair) -> jax.Array:
    """Mix a row and the words of its column into one uniform word."""
    s0, s1, s2, s3 = map(u32, draw.WEIGHT_SHIFTS)
    m0, m1, m2 = map(u32, draw.WEIGHT_MULTIPLIERS)
    x = row ^ words[0]
    x = (x ^ (x >> s0)) * m0
    x = ((x ^ (x >> s1)) + words[1]) * m1
    x = (x ^ (x >> s2)) * m2
    return x ^ (x >> s3)


def look_up(
    table: Any,
    word: jax.Array,
    *,
    take: Take = take,
    leading_zeros: Callable[[jax.Array], jax.Array] = leading_zeros,
) -> jax.Array:
    """Map uniform words to z, int32, by a table of 2048 or of 8192 words."""
    sign = word.astype(jnp.int32) >> np.int32(31)  # -1 on the lower side
    words = math.prod(table.shape)
    if words == quantile_table.SYMMETRIC_WORDS:
        bits, slope_bits = quantile_table.FRACTION_BITS, quantile_table.SLOPE_BITS
        cell, fraction = _locate(word, bits, leading_zeros)
        (entry,) = take(table, cell, 1)
        slope = entry & u32(2**slope_bits - 1)
        fall = (slope * fraction) >> u32(bits - 1)
        quarters = (entry >> u32(slope_bits)) - fall
        return _negate((quarters >> u32(2)).astype(jnp.int32), sign)
    if words == quantile_table.GENERAL_WORDS:
        bits = quantile_table.GENERAL_FRACTION_BITS
        cell, fraction = _locate(word, bits, leading_zeros)
        side = (word >> u32(31)) * u32(quantile_table.CELLS)
        base, slope = take(table, side + cell, 2)
        change = ((slope * fraction) >> u32(bits)).astype(jnp.int32)
        return (base.astype(jnp.int32) - _negate(change, sign)) >> np.int32(2)
    raise ValueError(
        f"a table of quantiles has {quantile_table.SYMMETRIC_WORDS} or "
        f"{quantile_table.GENERAL_WORDS} words, and this one has {words}"
    )


def _negate(x: jax.Array, sign: jax.Array) -> jax.Array:
    """Give x where ``sign`` is 0, and -x where it is -1."""
    return (x ^ sign) - sign


def _locate(
    word: jax.Array,
    fraction_bits: int,
    leading_zeros: Callable[[jax.Array], jax.Array],
) -> tuple[jax.Array, jax.Array]:
    """Cell of a side, counted from octave 0, and the fraction."""
    cell_bits = quantile_table.CELL_BITS
    w = (word << u32(1)) | u32(1)
    octave = leading_zeros(w)
    aligned = w << octave
    cell = (aligned >> u32(31 - cell_bits)) & u32(2**cell_bits - 1)
    fraction = aligned >> u32(31 - cell_bits - fraction_bits)
    fraction = fraction & u32(2**fraction_bits - 1)
    return (octave << u32(cell_bits)) | cell, fraction
