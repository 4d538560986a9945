# SPDX-License-Identifier: Apache-2.0
"""The draw: how W[i, j] is made from (seed, prob, i, j), and from nothing else.

Column j is cut into chunks of C = 2**log2_chunk rows. For each chunk

1. key words come from Threefry, keyed by the seed, counted by column and chunk;
2. the number K of its connections is Binomial(C, prob), one word compared with
   thresholds of the exact distribution function;
3. a keyed bijection P on 0 .. C-1 puts connection t < K at row offset P(t), so
   that row offset r is connected exactly when P^-1(r) < K.

A connection's weight is ``w_loc + w_scale * z * 2**-16`` with the integer z
a standard normal, a keyed hash of the row put through the inverse normal; or
through the table of another law (``weight_laws`` says what z stands for there).

A random K-subset at uniformly random places, with K binomial, *is* C independent
Bernoulli draws. Everything below is arithmetic modulo 2**32, and must stay so:
a float logarithm would draw another network on another device.

Other rules of connections (``connection_rules``) use the same keys and the same P. Of
a fixed out-degree the whole column is one chunk, K is k, and where P leads outside of
the allowed rows it is applied again, until it leads inside ("cycle-walking": Black &
Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). Without
self-connections, row j is not allowed in column j.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .normal import TABLE
from .quantile_table import look_up
from .threefry import threefry2x32

DRAW_VERSION = 2  # 1, never released, had 8 rounds

ROUNDS = 10  # of the bijection
LOG2_MEAN = 6  # a chunk is made long enough to hold 2**LOG2_MEAN connections
MIN_LOG2_CHUNK = 10
MAX_LOG2_CHUNK = 31

# Words of a column are pairs: pair COUNTER_STRIDE * chunk + 0 holds the count word
# (and one to spare), pair + r the multiplier and the addend of round r. The last
# pair of all, which no chunk reaches, holds the two words that key the weights.
COUNTER_STRIDE = 16
WEIGHT_PAIR = 0xFFFFFFFF

# The mixing of weights is the keyed form of a published 32-bit hash with three
# multiplications (Wellons, "Prospecting for hash functions", 2018, there "triple32").
WEIGHT_SHIFTS = (17, 11, 15, 14)
WEIGHT_MULTIPLIERS = (0xED5AD4BB, 0xAC4C1B51, 0x31848BAB)

MAX_LIMITS = 224
# Words of a connectivity: log2_chunk, base, the limits, and these two.
ROWS_WORD = 2 + MAX_LIMITS  # rows that are walked into; 0 without walking
NO_SELF_WORD = 3 + MAX_LIMITS  # 1 without self-connections
CONNECTIVITY_WORDS = 4 + MAX_LIMITS

UInt32 = NDArray[np.uint32]


# --- seed and prob ------------------------------------------------------------


def seed_words(seed: int) -> tuple[int, int]:
    """Split a seed in [-2**63, 2**64) into its low and its high word.

    A negative seed counts from 2**64 down, as in two's complement.
    """
    if not -(2**63) <= seed < 2**64:
        raise ValueError(f"seed must be in [-2**63, 2**64), got {seed}")
    return seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF


class Connectivity(NamedTuple):
    """All that a draw needs to know of a rule of connections.

    The count of a chunk is ``K = base + sum(limits < count word)``.

    Attributes
    ----------
    log2_chunk, base : int
    limits : uint32 (MAX_LIMITS,)
    rows : int
        Of a fixed out-degree: number of the rows that connections may have. 0 of a
        Bernoulli rule, by which they may have any.
    self_connections : bool
        Whether row j of column j may be connected.
    """

    log2_chunk: int
    base: int
    limits: UInt32
    rows: int = 0
    self_connections: bool = True

    def encode(self) -> UInt32:
        """Pack into CONNECTIVITY_WORDS words."""
        last = self.rows, not self.self_connections
        return np.array([self.log2_chunk, self.base, *self.limits, *last], np.uint32)

    def draw_count(self, word: ArrayLike) -> UInt32:
        """Number of connections of the chunks with these count words."""
        below = self.limits < np.asarray(word, np.uint32)[..., None]
        return np.uint32(self.base) + below.sum(axis=-1, dtype=np.uint32)


def log2_chunk(prob: float) -> int:
    """Smallest k with 2**k * prob >= 2**LOG2_MEAN, within its bounds."""
    if prob == 0:
        return MAX_LOG2_CHUNK
    _, exponent = np.frexp(np.float32(prob))  # prob in [1/2, 1) * 2**exponent
    k = LOG2_MEAN + 1 - int(exponent)
    return min(max(k, MIN_LOG2_CHUNK), MAX_LOG2_CHUNK)


def thresholds(prob: float) -> list[int]:
    """floor(2**32 * CDF(k) + 1/2) of Binomial(C, prob), for k = 0, 1, ... to 2**32.

    A count word u stands for the probability (u + 1/2) / 2**32, and K is the first
    k whose threshold exceeds u. (Without the half, the largest word would lie above
    every CDF(k) < 1 and fill its chunk.) Computed to 120 digits, of which about 20
    decide.
    """
    chunk = 2 ** log2_chunk(prob)
    exact = Context(prec=120, Emin=-(10**6), Emax=10**6)
    p = Decimal(float(np.float32(prob)))
    q = exact.subtract(1, p)
    if q == 0:
        return [0] * chunk + [2**32]
    odds = exact.divide(p, q)
    mass = exact.power(q, chunk)
    cdf = mass
    result: list[int] = []
    for k in range(1, chunk + 2):
        result.append(int(exact.fma(cdf, 2**32, Decimal("0.5"))))
        if result[-1] == 2**32:
            break
        mass = exact.multiply(
            mass, exact.multiply(odds, exact.divide(chunk + 1 - k, k))
        )
        cdf = exact.add(cdf, mass)
    return result


def count_distribution(prob: float) -> Connectivity:
    """Make the connectivity of a prob, which is first rounded to float32.

    Rounding makes a prob the same number whether it was given as a Python float
    or as an array of any precision; it moves prob by one part in 10**7 at most.
    """
    if not 0 <= prob <= 1:
        raise ValueError(f"prob must be in [0, 1], got {prob}")
    steps = thresholds(prob)
    base = steps.count(0)
    limits = np.full(MAX_LIMITS, 2**32 - 1, np.uint32)
    limits[: len(steps) - base] = np.array(steps[base:], np.int64) - 1
    return Connectivity(log2_chunk(prob), base, limits)


# --- the bijection ------------------------------------------------------------


class ChunkKeys(NamedTuple):
    """Key words of chunks; the arrays have the chunks' shape."""

    count_word: UInt32
    multipliers: list[UInt32]  # one for each round, odd
    addends: list[UInt32]


def chunk_keys(seed: tuple[int, int], column: ArrayLike, chunk: ArrayLike) -> ChunkKeys:
    """Draw the key words of chunk ``chunk`` of column ``column`` (they broadcast)."""
    first_pair = np.asarray(chunk, np.uint32) * np.uint32(COUNTER_STRIDE)
    pairs = [
        threefry2x32(seed, (column, first_pair + np.uint32(pair)))
        for pair in range(1 + ROUNDS)
    ]
    return ChunkKeys(
        count_word=pairs[0][0],
        multipliers=[a | np.uint32(1) for a, _ in pairs[1:]],
        addends=[b for _, b in pairs[1:]],
    )


def shift(log2_chunk: int, round_number: int) -> np.uint32:
    """Bits that a round's xor-shift moves: half of k, and one more in odd rounds.

    Equal shifts let a difference in the top bit alone walk through many rounds
    (``benchmarks/results/`` has the measurement).
    """
    return np.uint32((log2_chunk + 1) // 2 + round_number % 2)


def place(t: ArrayLike, keys: ChunkKeys, log2_chunk: int) -> UInt32:
    """P(t): the row offset, within its chunk, of connection t."""
    mask = np.uint32(2**log2_chunk - 1)
    x = np.asarray(t, np.uint32)
    for r in range(ROUNDS):
        x = (x * keys.multipliers[r] + keys.addends[r]) & mask
        x = x ^ (x >> shift(log2_chunk, r))
    return x


def place_inverse(row: ArrayLike, keys: ChunkKeys, log2_chunk: int) -> UInt32:
    """P^-1(row): which connection would sit at this row offset of the chunk.

    The xor-shift is its own inverse, since it shifts by half the bits or more.
    """
    mask = np.uint32(2**log2_chunk - 1)
    x = np.asarray(row, np.uint32)
    for r in reversed(range(ROUNDS)):
        x = x ^ (x >> shift(log2_chunk, r))
        x = ((x - keys.addends[r]) * inverse_mod_2_32(keys.multipliers[r])) & mask
    return x


def inverse_mod_2_32(a: UInt32) -> UInt32:
    """Inverse of odd numbers by Newton's iteration.

    An odd a is its own inverse modulo 8, and each step doubles the bits.
    """
    x = a
    for _ in range(4):
        x = x * (np.uint32(2) - a * x)
    return x


# --- by the rule ----------------------------------------------------------------


def is_allowed(row: ArrayLike, column: ArrayLike, c: Connectivity) -> NDArray[np.bool_]:
    """Whether a rule allows a connection at all: any, or any but (j, j)."""
    row, column = np.asarray(row, np.uint32), np.asarray(column, np.uint32)
    inside = (row < c.rows) if c.rows else np.ones_like(row, np.bool_)
    return inside & (c.self_connections | (row != column))


def connection_place(
    t: ArrayLike, column: ArrayLike, keys: ChunkKeys, c: Connectivity
) -> UInt32:
    """Give the row offset, within its chunk, of connection t.

    Of a Bernoulli rule this is P(t), even where the row is not allowed, which then has
    no connection. Of a fixed out-degree t numbers the allowed rows, 0, 1, ... without
    column j's own, and the place is the first allowed one of P(s), P(P(s)), ... with s
    row number t: since P is a permutation, this permutes the allowed rows.
    """
    if not c.rows:
        return place(t, keys, c.log2_chunk)
    s = np.asarray(t, np.uint32)
    if not c.self_connections:
        s = s + (s >= np.asarray(column, np.uint32))
    return _walk(lambda x: place(x, keys, c.log2_chunk), s, column, c)


def connection_number(
    offset: ArrayLike, column: ArrayLike, keys: ChunkKeys, c: Connectivity
) -> UInt32:
    """Undo ``connection_place``, for allowed rows."""
    if not c.rows:
        return place_inverse(offset, keys, c.log2_chunk)
    s = _walk(lambda x: place_inverse(x, keys, c.log2_chunk), offset, column, c)
    return s if c.self_connections else s - (s > np.asarray(column, np.uint32))


def _walk(
    step: Callable[[UInt32], UInt32],
    start: ArrayLike,
    column: ArrayLike,
    c: Connectivity,
) -> UInt32:
    """Take a step, and more until an allowed row is reached; from others, just one."""
    start = np.asarray(start, np.uint32)
    begun = is_allowed(start, column, c)
    x = step(start)
    while (outside := begun & ~is_allowed(x, column, c)).any():
        x = np.where(outside, step(x), x)
    return x


def is_connected(
    row: ArrayLike, column: ArrayLike, keys: ChunkKeys, c: Connectivity
) -> NDArray[np.bool_]:
    """Whether rows are connected; ``keys`` are those of their chunks."""
    offset = np.asarray(row, np.uint32) & np.uint32(2**c.log2_chunk - 1)
    number = connection_number(offset, column, keys, c)
    return is_allowed(row, column, c) & (number < c.draw_count(keys.count_word))


# --- the weight ---------------------------------------------------------------


def weight(
    seed: tuple[int, int], row: ArrayLike, column: ArrayLike, table: UInt32 = TABLE
) -> NDArray[np.int32]:
    """Give z(i, j) in units of 2**-16, whether or not (i, j) is connected.

    ``table`` is that of the law of the weights, here the normal's.
    """
    return look_up(table, weight_word(seed, row, column))


def weight_word(seed: tuple[int, int], row: ArrayLike, column: ArrayLike) -> UInt32:
    """Give the uniform word that z(i, j) is looked up by."""
    return mixed_word(seed, row, column, WEIGHT_PAIR)


def mixed_word(
    seed: tuple[int, int], row: ArrayLike, column: ArrayLike, pair: int
) -> UInt32:
    """Give a uniform word of (i, j): the row, mixed under a pair of the column."""
    w0, w1 = threefry2x32(seed, (column, pair))
    s0, s1, s2, s3 = map(np.uint32, WEIGHT_SHIFTS)
    m0, m1, m2 = map(np.uint32, WEIGHT_MULTIPLIERS)
    x = np.asarray(row, np.uint32) ^ w0
    x = (x ^ (x >> s0)) * m0
    x = ((x ^ (x >> s1)) + w1) * m1
    x = (x ^ (x >> s2)) * m2
    return x ^ (x >> s3)


# --- one entry, one column ----------------------------------------------------


def entry(
    seed: tuple[int, int],
    connectivity: Connectivity,
    row: ArrayLike,
    column: ArrayLike,
    table: UInt32 = TABLE,
) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Ask for single entries: whether (row, column) is connected, and its z.

    ``row`` and ``column`` broadcast; z is given for unconnected entries too.
    """
    row = np.asarray(row, np.uint32)
    keys = chunk_keys(seed, column, row >> np.uint32(connectivity.log2_chunk))
    connected = is_connected(row, column, keys, connectivity)
    return connected, weight(seed, row, column, table)


def column_connections(
    seed: tuple[int, int],
    connectivity: Connectivity,
    column: int,
    n_rows: int,
    table: UInt32 = TABLE,
) -> tuple[UInt32, NDArray[np.int32]]:
    """List the connections of one column: their rows, ascending, and their z."""
    k = connectivity.log2_chunk
    chunks = np.arange(-(-n_rows >> k), dtype=np.uint32)[:, None]
    keys = chunk_keys(seed, column, chunks)
    number = connectivity.draw_count(keys.count_word)
    t = np.arange(number.max(initial=0), dtype=np.uint32)
    offset = connection_place(t, column, keys, connectivity)
    rows = (chunks << np.uint32(k)) + offset
    there = (t < number) & is_allowed(rows, column, connectivity)
    rows = np.sort(rows[there & (rows < n_rows)])
    return rows, weight(seed, rows, column, table)
