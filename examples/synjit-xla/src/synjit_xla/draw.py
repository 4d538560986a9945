# SPDX-License-Identifier: Apache-2.0
"""The draw in jax.numpy: synjit.reference.draw, with the same names and steps."""

import jax.numpy as jnp
from jax import lax

from synjit.reference import draw as law_of_draw
from synjit.reference import normal, threefry

U32 = jnp.uint32


def threefry2x32(k0, k1, x0, x1):
    schedule = jnp.stack([k0, k1, k0 ^ k1 ^ U32(threefry.PARITY)])
    rotations = jnp.array(threefry.ROTATIONS, U32).reshape(2, 4)

    def four_rounds(i, x):
        x0, x1 = x
        for turn in rotations[i % 2]:
            x0 = x0 + x1
            x1 = ((x1 << turn) | (x1 >> (U32(32) - turn))) ^ x0
        i = i + 1
        return x0 + schedule[i % 3], x1 + schedule[(i + 1) % 3] + i.astype(U32)

    x0, x1 = jnp.broadcast_arrays(x0 + schedule[0], x1 + schedule[1])
    return lax.fori_loop(0, threefry.ROUNDS // 4, four_rounds, (x0, x1))


def standard_normal(word):
    w = (word << 1) | U32(1)
    octave = lax.clz(w)
    aligned = w << octave
    cell = (aligned >> (31 - normal.CELL_BITS)) & U32(2**normal.CELL_BITS - 1)
    fraction = aligned >> (31 - normal.CELL_BITS - normal.FRACTION_BITS)
    fraction = fraction & U32(2**normal.FRACTION_BITS - 1)
    entry = jnp.asarray(normal.TABLE)[(octave << normal.CELL_BITS) | cell]
    base, slope = entry >> normal.SLOPE_BITS, entry & U32(2**normal.SLOPE_BITS - 1)
    quarters = base - ((slope * fraction) >> (normal.FRACTION_BITS - 1))
    magnitude = (quarters >> 2).astype(jnp.int32)
    return jnp.where(word >> 31 == 1, -magnitude, magnitude)


def weight(w0, w1, rows):
    x = rows ^ w0
    s0, s1, s2, s3 = map(U32, law_of_draw.WEIGHT_SHIFTS)
    m0, m1, m2 = map(U32, law_of_draw.WEIGHT_MULTIPLIERS)
    x = (x ^ (x >> s0)) * m0
    x = ((x ^ (x >> s1)) + w1) * m1
    x = (x ^ (x >> s2)) * m2
    return standard_normal(x ^ (x >> s3))


def draw(seed, law, rows, columns):
    """Connected, and z: (rows, columns), for consecutive rows."""
    log2_chunk, base, limits = law[0], law[1], law[2:]
    chunk = rows >> log2_chunk
    chunks = chunk[0] + jnp.arange(
        (len(rows) >> law_of_draw.MIN_LOG2_CHUNK) + 2, dtype=U32
    )
    pairs = jnp.arange(1 + law_of_draw.ROUNDS, dtype=U32)[:, None, None]
    counters = pairs + chunks[:, None] * U32(law_of_draw.COUNTER_STRIDE)
    of_weights = jnp.full_like(counters[:1], law_of_draw.WEIGHT_PAIR)
    counters = jnp.concatenate([counters, of_weights])
    a, b = threefry2x32(seed[0], seed[1], columns, counters)  # (pairs, chunks, columns)
    w0, w1 = a[-1, 0], b[-1, 0]
    count = base + jnp.sum(limits < a[0, ..., None], -1, dtype=U32)
    a = a[1:-1] | U32(1)
    inverse = a
    for _ in range(4):
        inverse = inverse * (U32(2) - a * inverse)

    mask = (U32(1) << log2_chunk) - U32(1)
    own = chunk - chunk[0]
    half = (log2_chunk + U32(1)) // U32(2)

    def round_back(i, x):
        r = law_of_draw.ROUNDS - 1 - i
        x = x ^ (x >> (half + (r % 2).astype(U32)))
        return ((x - b[1 + r][own]) * inverse[r][own]) & mask

    x = jnp.broadcast_to((rows & mask)[:, None], (len(rows), len(columns)))
    x = lax.fori_loop(0, law_of_draw.ROUNDS, round_back, x)
    return x < count[own], weight(w0, w1, rows[:, None])
