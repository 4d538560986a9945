# SPDX-License-Identifier: Apache-2.0
"""The distribution of counts of a ``prob`` that is traced.

That is, the words of ``reference.count_distribution(prob).encode()``.

With C = 2**log2_chunk, q = 1 - p and odds = p / q, the count of a chunk has

    P(K = 0) = q**C,   P(K = k) = P(K = k-1) * odds * (C + 1 - k) / k,

so its probabilities are running products, and its distribution function their
running sum. For p > 1/2 the law of the unconnected rows, of probability q, is
computed instead: t(k), the threshold of k, is 2**32 - t'(C - 1 - k). (With a prob
strictly between 0 and 1, CDF(k) for k < C is an odd number over 2**(e C), where
prob = odd / 2**e: so 2**32 * CDF(k) is never an integer and a half, and rounding
half up mirrors into rounding half up.)

Numbers
-------
Everything is uint32, of shape (rows, width): a column is one number.

- *Fixed point*: LIMBS digits to the base B = 2**LIMB_BITS, most significant first;
  the value is below 1, and digit i counts B**-(i + 1).
- *Floating point*: an exponent row (modulo 2**32) above such digits, for the value
  digits * B**exponent. The leading digit is not 0, unless the value is below B**-1.

Every step rounds down, so every CDF comes out low, and by little. B**-LIMBS is
2**-154; a product drops less than 12 of these, and has a leading digit of weight
B**-2 or more before it is normalised: relative error below 2**-122. Squaring doubles
the relative error: q itself is low by 2**-153; while the power is above B**-1 a
squaring adds less than 2**-136, at most 31 squarings make that 2**-105; below B**-1
fewer than 7 squarings follow, together below 2**-115. A probability is a product of
at most COUNTS < 512 factors, each a product itself: below 2**-112. (Where C * p < 1,
factors may have leading zeros; exponents are then at most 0, errors absolute.)

Together CDF is low by **less than 2**-104**. It is compared with half integers over
2**32. At p = 2**-64 it comes within 2**-67 of one, and the closest of all 2**30 probs
times 100 thresholds is expected at 2**-69: the odds of a single wrong floor among
them all are 2**-35.
"""

from __future__ import annotations

from math import isqrt

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from synjit.reference import draw

LIMB_BITS = 14  # LIMBS * (2**LIMB_BITS - 1)**2 must stay below 2**32
LIMBS = 11  # 154 bits, and a float32 is a multiple of 2**-149
LIMB_MASK = 2**LIMB_BITS - 1

# No mean of the law computed is larger, and 8 standard deviations above its mean CDF
# is over 1 - 2**-33 (Bernstein's inequality): thresholds of COUNTS counts suffice.
MAX_MEAN = 2 ** max(draw.LOG2_MEAN + 1, draw.MIN_LOG2_CHUNK - 1)
BLOCK = 16
COUNTS = BLOCK * -(-(MAX_MEAN + 8 * (isqrt(MAX_MEAN) + 1)) // BLOCK)

ZERO, ONE, ALL_ONES = np.uint32(0), np.uint32(1), np.uint32(0xFFFFFFFF)
FLOAT32_HALF = 0x3F000000
FLOAT32_ONE = 0x3F800000


def traced_connectivity(prob: jax.Array) -> jax.Array:
    """Make the words of the distribution of counts of a prob that may be traced.

    Parameters
    ----------
    prob
        float32 scalar.

    Returns
    -------
    jax.Array
        uint32[CONNECTIVITY_WORDS], equal to
        ``reference.count_distribution(prob).encode()``. For a prob that is not in
        [0, 1], NaN included, it is that of 0.
    """
    bits = lax.bitcast_convert_type(prob, jnp.uint32)
    bits = jnp.where(bits <= FLOAT32_ONE, bits, ZERO)  # the sign bit is the largest
    exponent = bits >> 23
    significand = (bits & 0x7FFFFF) | (jnp.minimum(exponent, 1) << 23)
    scale = 150 - jnp.maximum(exponent, 1).astype(jnp.int32)
    log2_chunk = lax.clamp(
        np.int32(draw.MIN_LOG2_CHUNK),
        draw.LOG2_MEAN + 127 - exponent.astype(jnp.int32),
        np.int32(draw.MAX_LOG2_CHUNK),
    )
    mirrored = bits > FLOAT32_HALF
    one = jnp.left_shift(ONE, jnp.minimum(scale, 24).astype(jnp.uint32))
    significand = jnp.where(mirrored, one - significand, significand)

    rounded, full = _thresholds(significand, scale, log2_chunk)
    n_full = jnp.sum(full, dtype=jnp.uint32)
    n_empty = jnp.sum((rounded == 0) & ~full, dtype=jnp.uint32)
    chunk = jnp.left_shift(ONE, log2_chunk.astype(jnp.uint32))
    base = jnp.where(mirrored, chunk - (COUNTS - n_full), n_empty)
    # t - 1 straight, and 2**32 - t' - 1 from the first full t' down to the first of all
    limits = jnp.where(mirrored, ~rounded[::-1], rounded - 1)
    start = jnp.where(mirrored, n_full, n_empty).astype(jnp.int32)
    limits = lax.pad(limits, ALL_ONES, [(0, draw.MAX_LIMITS, 0)])
    limits = lax.dynamic_slice(limits, (start,), (draw.MAX_LIMITS,))
    first = jnp.stack([log2_chunk.astype(jnp.uint32), base])
    rest = draw.CONNECTIVITY_WORDS - draw.MAX_LIMITS - len(first)
    return jnp.concatenate([first, limits, jnp.zeros(rest, jnp.uint32)])


def _thresholds(
    significand: jax.Array, scale: jax.Array, log2_chunk: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """floor(2**32 * CDF(k) + 1/2) for k < COUNTS, at p = significand / 2**scale <= 1/2.

    Returns
    -------
    rounded, full
        uint32[COUNTS] modulo 2**32, and bool[COUNTS]: is it 2**32 rather than 0?
    """
    none, odds = _none_and_odds(significand, scale, log2_chunk)
    shares = _shares(log2_chunk)
    factors = _normalise(
        jnp.ones((1, COUNTS - 1), jnp.uint32),
        _product(odds, shares),
    )
    mass = _running_product(jnp.concatenate([none, factors], axis=1))
    cdf = _carry(lax.cumsum(_to_fixed(mass), axis=1))
    word = (cdf[0] << 18) | (cdf[1] << 4) | (cdf[2] >> 10)
    half = (cdf[2] >> 9) & 1
    return word + half, (word == ALL_ONES) & (half == 1)


def _none_and_odds(
    significand: jax.Array, scale: jax.Array, log2_chunk: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Compute q**C, floating, and 2 C / B * odds, fixed; both of width 1.

    p / (1 - p) is p (1 + p) (1 + p**2) (1 + p**4) ..., with powers that vanish after
    8 squarings, and the same squarings raise q to C = 2**log2_chunk.
    """

    def square(
        state: tuple[jax.Array, jax.Array, jax.Array], step: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], None]:
        none, power, odds = state
        product = _product(
            jnp.concatenate([none[1:], power, odds], axis=1),
            jnp.concatenate([none[1:], power, power], axis=1),
        )
        squared = _normalise(2 * none[:1], product[:, :1])
        none = jnp.where(step < log2_chunk, squared, none)
        return (none, product[:-1, 1:2], _carry(odds + product[:-1, 2:])), None

    p = _fixed_point(significand, scale)
    none = jnp.concatenate([jnp.zeros((1, 1), jnp.uint32), LIMB_MASK - p])
    odds = _fixed_point(significand, scale + LIMB_BITS - 1 - log2_chunk)
    steps = lax.iota(jnp.int32, draw.MAX_LOG2_CHUNK)
    (none, _, odds), _ = lax.scan(square, (none, p, odds), steps)
    return none, odds


def _shares(log2_chunk: jax.Array) -> jax.Array:
    """(C + 1 - k) / (2 C k) for k = 1, 2, ... below COUNTS, and 0 after C; fixed."""
    k = 1 + lax.broadcasted_iota(jnp.uint32, (1, COUNTS - 1), 1)
    after = jnp.left_shift(ONE, log2_chunk.astype(jnp.uint32)) + 1
    left = jnp.where(k < after, after - k, ZERO)
    left = left << (31 - log2_chunk).astype(jnp.uint32)  # in units of 2 C / 2**32
    digits = [left >> 18, (left >> 4) & LIMB_MASK, (left << 10) & LIMB_MASK]
    quotient = []
    rest = jnp.zeros_like(k)
    for place in range(LIMBS):
        rest = rest << LIMB_BITS
        if place < len(digits):
            rest = rest + digits[place]
        quotient.append(rest // k)
        rest = rest % k
    return jnp.concatenate(quotient)


def _running_product(factors: jax.Array) -> jax.Array:
    """Multiply each of the COUNTS floating numbers with all before it.

    Blocks advance together inside, then one after another as a whole: this takes
    BLOCK + COUNTS / BLOCK steps, and not COUNTS.
    """

    def along(before: jax.Array, factor: jax.Array) -> tuple[jax.Array, jax.Array]:
        product = _times(before, factor)
        return product, product

    def onward(before: jax.Array, block: jax.Array) -> tuple[jax.Array, jax.Array]:
        product = _times(before, block)
        return product[:, -1:], product

    n_blocks = COUNTS // BLOCK
    blocks = factors.reshape(1 + LIMBS, n_blocks, BLOCK)
    _, within = lax.scan(along, _unit(n_blocks), blocks.transpose(2, 0, 1))
    _, whole = lax.scan(onward, _unit(1), within.transpose(2, 1, 0))
    return whole.transpose(1, 0, 2).reshape(factors.shape)


# --- numbers ------------------------------------------------------------------


def _fixed_point(significand: jax.Array, scale: jax.Array) -> jax.Array:
    """Write significand / 2**scale, a scalar below 1, as a fixed-point number."""
    digit = lax.broadcasted_iota(jnp.int32, (LIMBS, 1), 0)
    up = LIMB_BITS * (1 + digit) - scale
    left = significand << jnp.minimum(jnp.maximum(up, 0), 31).astype(jnp.uint32)
    right = significand >> jnp.minimum(jnp.maximum(-up, 0), 31).astype(jnp.uint32)
    return jnp.bitwise_and(jnp.where(up >= 0, left, right), LIMB_MASK)


def _to_fixed(x: jax.Array) -> jax.Array:
    """Round floating numbers below 1 down to fixed point."""
    down = jnp.minimum(-x[:1], 15)  # no digit is left after LIMBS <= 15
    digits = x[1:]
    for bit in range(4):
        moved = lax.pad(digits, ZERO, [(1 << bit, -(1 << bit), 0), (0, 0, 0)])
        digits = jnp.where((down >> bit) & 1 == 1, moved, digits)
    return digits


def _unit(width: int) -> jax.Array:
    """Write 1, floating: a leading digit of 1 and an exponent of 1."""
    row = lax.broadcasted_iota(jnp.uint32, (1 + LIMBS, width), 0)
    return (row < 2).astype(jnp.uint32)


def _times(x: jax.Array, y: jax.Array) -> jax.Array:
    """Multiply floating numbers, of one width or of width 1."""
    return _normalise(x[:1] + y[:1], _product(x[1:], y[1:]))


def _normalise(exponent: jax.Array, digits: jax.Array) -> jax.Array:
    """Make a floating number of LIMBS + 1 digits, of which the first may be 0."""
    small = digits[:1] == 0
    digits = jnp.where(small, digits[1:], digits[:-1])
    return jnp.concatenate([exponent - small.astype(jnp.uint32), digits])


def _product(x: jax.Array, y: jax.Array) -> jax.Array:
    """Multiply fixed-point numbers, of one width or of width 1, to LIMBS + 1 digits.

    The products of digits i and j belong to digit i + j + 1: padding row i and
    cutting the whole into rows one shorter moves row i to the right by i.
    """
    pairs = x[:, None] * y[None]
    width = pairs.shape[2]
    pairs = lax.pad(pairs, ZERO, [(0, 0, 0), (0, LIMBS, 0), (0, 0, 0)])
    pairs = pairs.reshape(2 * LIMBS**2, width)[:-LIMBS]
    pairs = pairs.reshape(LIMBS, 2 * LIMBS - 1, width)[:, :LIMBS]
    sums = jnp.sum(pairs, axis=0, dtype=jnp.uint32)
    return _carry(lax.pad(sums, ZERO, [(1, 0, 0), (0, 0, 0)]))


def _carry(digits: jax.Array) -> jax.Array:
    """Bring digits below B, for a value below 1.

    Two rounds leave carries of 0 or 1. These travel together: with the digits as bits
    of a word, carrying ones at g, and passing a carry on at p, the carries into the
    digits are those of the sum 2 g + p.
    """
    for _ in range(2):
        carries = lax.pad(digits >> LIMB_BITS, ZERO, [(-1, 1, 0), (0, 0, 0)])
        digits = (digits & LIMB_MASK) + carries
    n = len(digits)
    bit = n - 1 - lax.broadcasted_iota(jnp.uint32, (n, 1), 0)
    makes = digits >> LIMB_BITS
    passes = (digits == LIMB_MASK).astype(jnp.uint32)
    g = jnp.sum(makes << bit, axis=0, keepdims=True, dtype=jnp.uint32)
    p = jnp.sum(passes << bit, axis=0, keepdims=True, dtype=jnp.uint32)
    carries = ((2 * g + p) ^ p) >> bit
    return jnp.bitwise_and(digits + (carries & 1), LIMB_MASK)
