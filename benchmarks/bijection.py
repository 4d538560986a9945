# SPDX-License-Identifier: Apache-2.0
"""Measure the keyed bijection that places the connections of a chunk.

What a mask sees of the bijection P is the set P(0) .. P(K - 1), which should be a
uniformly random K-subset of the chunk's 2**k rows. For many chunk keys, histograms of

* mates: for every e, pairs of rows u, u ^ e that are both placed,
* walsh: for every s, placed rows u where s & u has an even number of bits,
* steps: for every d < 2**k / 2, pairs u, u + d mod 2**k (1: neighbours),
* blocks: placed rows in each block, of adjacent rows or of one row in so many,
* triples, quads: of sets u, u ^ e, u ^ f, u ^ e ^ f, those with 3 (4) rows placed,

are compared with their exact laws: z-scores of chi-square, mean and variance.
``plain-6`` is 6 rounds that shift by half of k, ``alt-8`` 8 rounds with the draw's
alternating shifts, ``control`` shuffles. Takes one core.
"""

from __future__ import annotations

import argparse
import itertools
import time
from statistics import NormalDist

import numpy as np
from numba import njit, uint32, uint64
from numpy.typing import NDArray

from synjit.reference import draw
from synjit.reference.threefry import threefry2x32

Array = NDArray[np.generic]

BIJECTIONS = ("plain-5", "plain-6", "plain-8", "alt-8", "alt-10", "control")
# k, K, thousands of keys, and whether only mates and walsh are counted.
CASES = (
    (8, 128, 32_000, True),
    (8, 128, 5_000, False),
    (8, 64, 2_000, False),
    (8, 26, 2_000, False),
    (8, 192, 2_000, False),
    (9, 256, 1_000, False),
    (9, 128, 1_000, False),
    (10, 512, 150, False),
    (10, 128, 150, False),
    (12, 128, 16, False),
)
NARROW = 16  # rows of a short block; a long one has a quarter of the chunk
LANES = 16  # keys whose sets are counted side by side
BATCH = 1 << 14  # keys whose key words are drawn at once


def shifts_of(bijection: str, k: int) -> list[int]:
    """Shift of every round; none for the control."""
    kind, _, rounds = bijection.partition("-")
    return [int(draw.shift(k, r * (kind == "alt"))) for r in range(int(rounds or 0))]


def key_words(seed: int, first: int, rounds: int) -> tuple[Array, Array]:
    """Multipliers and addends, (rounds, BATCH): of 16 chunks of every column."""
    number = np.arange(first, first + BATCH, dtype=np.uint32)
    pair = number % 16 * draw.COUNTER_STRIDE + np.arange(1, rounds + 1)[:, None]
    a, b = threefry2x32(draw.seed_words(seed), (number // 16, pair))
    return a | np.uint32(1), b


@njit
def place_all(placed: Array, count: int, a: Array, b: Array, shifts: Array) -> None:
    """Mark P(0) .. P(count - 1) of LANES keys in ``placed`` (rows, LANES)."""
    placed[:] = 0
    x = np.zeros(LANES, np.uint32)
    for t in range(count):
        x[:] = t
        for r in range(shifts.size):
            for lane in range(LANES):
                y = uint32(x[lane] * a[r, lane] + b[r, lane]) & uint32(len(placed) - 1)
                x[lane] = y ^ (y >> shifts[r])
        for lane in range(LANES):
            placed[x[lane], lane] = 1


@njit
def shuffle_all(placed: Array, count: int, rng: np.random.Generator) -> None:
    """Mark ``count`` rows drawn without replacement, in every lane."""
    placed[:] = 0
    deck = np.arange(len(placed))
    for lane in range(LANES):
        for t in range(count):
            other = t + int(rng.random() * (deck.size - t))
            deck[t], deck[other] = deck[other], deck[t]
            placed[deck[t], lane] = 1


@njit
def transform(w: Array) -> None:
    """Walsh-Hadamard transform of (rows, LANES) along the rows, in place."""
    h = 1
    while h < len(w):
        for start in range(0, len(w), 2 * h):
            for i in range(start, start + h):
                for lane in range(LANES):
                    p, q = w[i, lane], w[i + h, lane]
                    w[i, lane], w[i + h, lane] = p + q, p - q
        h *= 2


@njit
def count_spectra(placed: Array, walsh: Array, mates: Array) -> None:
    """Add LANES keys to the histograms (statistic, count); mates: squared spectrum."""
    w, twice = placed.copy(), int(np.log2(len(placed))) + 1
    transform(w)
    for s in range(1, len(w)):
        for lane in range(LANES):
            walsh[s - 1, (w[0, lane] + w[s, lane]) >> 1] += 1
    w *= w
    transform(w)
    for e in range(1, len(w)):
        for lane in range(LANES):
            mates[e - 1, w[e, lane] >> twice] += 1


@njit
def count_steps(placed: Array, steps: Array) -> None:
    """Pairs u, u + d: four lanes in one 64-bit word."""
    rows = len(placed)
    word = np.zeros(2 * rows, np.uint64)
    for first in range(0, LANES, 4):
        word[:] = 0
        for u in range(2 * rows):
            for lane in range(4):
                bit = uint64(placed[u % rows, first + lane])
                word[u] |= bit << uint64(16 * lane)
        for d in range(1, rows // 2):
            both = uint64(0)
            for u in range(rows):
                both += word[u] & word[u + d]
            for lane in range(4):
                steps[d - 1, (both >> uint64(16 * lane)) & uint64(0xFFFF)] += 1


@njit
def count_blocks(placed: Array, blocks: Array) -> None:
    """Places in every aligned block, then in every strided one."""
    n = len(blocks) // 2
    total = np.zeros((2 * n, LANES), np.int64)
    for u in range(len(placed)):
        for lane in range(LANES):
            total[u * n // len(placed), lane] += placed[u, lane]
            total[n + u % n, lane] += placed[u, lane]
    for block in range(2 * n):
        for lane in range(LANES):
            blocks[block, total[block, lane]] += 1


@njit
def count_quads(placed: Array, planes: Array, triples: Array, quads: Array) -> None:
    """Quads with at least three rows placed, and with four."""
    for i in range(len(planes)):
        three, four = np.zeros(LANES, np.int32), np.zeros(LANES, np.int32)
        for u0, u1, u2, u3 in planes[i]:
            for lane in range(LANES):
                n = placed[u0, lane] + placed[u1, lane]
                n += placed[u2, lane] + placed[u3, lane]
                three[lane] += n >= 3
                four[lane] += n == 4
        for lane in range(LANES):
            triples[i, three[lane]] += 1
            quads[i, four[lane]] += 1


def planes_of(k: int) -> Array:
    """Rows (pairs e and f, 2**k / 4, 4) of quads; e, f: bits and what shifts add."""
    u, bits = np.arange(1 << k), 1 << np.arange(k)
    shifts = [k, int(draw.shift(k, 0)), int(draw.shift(k, 1))]
    masks = sorted({int(v) for s in shifts for v in bits ^ (bits >> s)})
    pairs = itertools.combinations(masks, 2)
    quads = [np.stack([u, u ^ e, u ^ f, u ^ e ^ f], 1) for e, f in pairs]
    return np.array([quad[u == quad.min(1)] for quad in quads])


def laws(k: int, count: int) -> dict[str, list[Array]]:
    """Law (of 0 .. count) of every group; the steps' depends on the twos in d.

    From a generating function with q for an absent row, x for a placed one, y for
    what is counted: a Fourier transform takes the coefficients of x**count.
    """
    chunk, q = 1 << k, 1 - count / (1 << k)
    x = (1 - q) * np.exp(2j * np.pi * np.arange(chunk + 1) / (chunk + 1))[:, None]
    y = np.exp(2j * np.pi * np.arange(count + 1) / (count + 1))
    few, three = q**4 + 4 * q**3 * x + 6 * (q * x) ** 2, 4 * q * x**3
    half = (q + x * y) / 2  # of the trace of [[q, x], [q, x * y]], one step of a cycle
    root = np.sqrt(half**2 - q * x * (y - 1))

    def block(width: int) -> Array:
        return (q + x * y) ** width * (q + x) ** (chunk - width)

    def cycles(n: int) -> Array:
        return ((half + root) ** (chunk // n) + (half - root) ** (chunk // n)) ** n

    series = {
        "mates": [(q**2 + 2 * q * x + x**2 * y) ** (chunk // 2)],
        "walsh": [block(chunk // 2)],
        "steps": [cycles(1 << v) for v in range(k - 1)],
        "long blocks": [block(chunk // 4)],
        "short blocks": [block(NARROW)],
        "triples": [(few + (three + x**4) * y) ** (chunk // 4)],
        "quads": [(few + three + x**4 * y) ** (chunk // 4)],
    }

    def coefficients(one: Array) -> Array:
        p = np.maximum(np.fft.fft2(one).real[count], 0)
        return p / p.sum()

    return {name: [coefficients(one) for one in series[name]] for name in series}


def scores(table: Array, p: Array) -> Array:
    """Give z of chi-square (Wilson-Hilferty), mean and variance of every histogram.

    Tails are pooled until 25 keys are expected in each.
    """
    n, value = table[0].sum(), np.arange(p.size)
    low = np.searchsorted(np.cumsum(p * n), 25)
    high = p.size - 1 - np.searchsorted(np.cumsum(p[::-1] * n), 25)
    bins = np.clip(value, low, max(high, low + 1)) - low
    want = np.bincount(bins, p * n)
    seen = np.stack([np.bincount(bins, row, want.size) for row in table])
    free = want.size - 1
    ratio = ((seen - want) ** 2 / want).sum(1) / free
    chi = (np.cbrt(ratio) - 1 + 2 / (9 * free)) * np.sqrt(9 * free / 2)
    v = value - p @ value
    second, fourth = p @ v**2, p @ v**4
    mean = table @ v / np.sqrt(n * second)
    variance = (table @ v**2 - n * second) / np.sqrt(n * (fourth - second**2))
    return np.stack([chi, mean, variance])


def measure(bijection: str, case: tuple[int, ...], seed: int) -> dict[str, Array]:
    """Draw the keys of a case; z-scores (3, statistics) of every group."""
    k, count, thousands, spectra_only = case
    chunk, planes = 1 << k, planes_of(k)
    sizes = [chunk - 1, chunk - 1, chunk // 2 - 1, 8, 2 * chunk // NARROW]
    sizes += [len(planes), len(planes)]
    tables = [np.zeros((size, count + 1), np.int64) for size in sizes]
    mates, walsh, steps, long_blocks, short_blocks, triples, quads = tables
    placed = np.zeros((chunk, LANES), np.int32)
    shifts = np.array(shifts_of(bijection, k), np.uint32)
    rng = np.random.default_rng(seed)
    for key in range(0, thousands * 1000, LANES):
        lanes = slice(key % BATCH, key % BATCH + LANES)
        if lanes.start == 0:
            a, b = key_words(seed, key, shifts.size)
        if bijection == "control":
            shuffle_all(placed, count, rng)
        else:
            place_all(placed, count, a[:, lanes], b[:, lanes], shifts)
        count_spectra(placed, walsh, mates)
        if not spectra_only:
            count_steps(placed, steps)
            count_blocks(placed, long_blocks)
            count_blocks(placed, short_blocks)
            count_quads(placed, planes, triples, quads)
    out = {}
    for table, (name, group) in zip(tables, laws(k, count).items(), strict=True):
        if table.any():  # the v-th law of the steps is that of d = odd * 2**v
            many = name == "steps"
            rows = [slice((many << v) - many, None, 1 + many << v) for v in range(k)]
            out[name] = [scores(table[r], p) for r, p in zip(rows, group, strict=False)]
    return {name: np.concatenate(parts, 1) for name, parts in out.items()}


def main() -> None:
    """Print the worst z of every group and case, and who stays within chance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=lambda v: int(v, 0), default=0x6A09E667F3BCC908)
    parser.add_argument("--scale", type=float, default=1.0, help="times the keys")
    parser.add_argument("bijections", nargs="*", default=BIJECTIONS)
    args, start = parser.parse_args(), time.perf_counter()
    groups = list(laws(8, 1))
    print("| bijection | k | K | 10^6 keys |", " | ".join(groups), "|")
    print("|---" * (4 + len(groups)) + "|")
    verdicts = ["\n| bijection | worst z | of | once in 100 |", "|---|---|---|---|"]
    for name in args.bijections:
        worst, looked_at = 0.0, 0
        for number, (k, count, thousands, spectra_only) in enumerate(CASES):
            n = max(1, round(thousands * args.scale))
            z = measure(name, (k, count, n, spectra_only), args.seed + number)
            extreme = {g: v.flat[np.abs(v).argmax()] for g, v in z.items()}
            worst = max(worst, *map(abs, extreme.values()))
            looked_at += sum(v.size for v in z.values())
            cells = " | ".join(f"{extreme[g]:.1f}" if g in z else "" for g in groups)
            print(f"| {name} | {k} | {count} | {n / 1000:g} | {cells} |", flush=True)
        limit = NormalDist().inv_cdf(1 - 0.005 / looked_at)
        verdicts.append(f"| {name} | {worst:.1f} | {looked_at} | {limit:.1f} |")
    print("\n".join(verdicts), f"\n\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
