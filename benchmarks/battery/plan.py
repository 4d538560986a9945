# SPDX-License-Identifier: Apache-2.0
"""What is measured on which matrices: a case for each prob."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from . import masks, matrices, pairs, spectra, weights
from .findings import Finding
from .sources import Connections, Source

# Chunks are 2^10 rows long from prob 2^-4 up, and have 16 bits down to 2^-10; the
# next float32 below either makes them twice as long.
PROBS = (
    *(1e-6, 1e-5, 1e-4, 2**-10 * (1 - 2**-24), 2**-10, 0.003, 0.01, 0.03),
    *(2**-4 * (1 - 2**-24), 2**-4, 0.1, 0.3, 0.5, 0.77, 0.9, 0.999, 1.0),
)
SHORT_PROBS = (1e-4, 2**-10, 2**-4 * (1 - 2**-24), 0.1, 0.5, 0.9, 1.0)
DENSE = 0.003  # from here up, squares are looked at as dense matrices
CHUNKS = 4  # in a column
SEED_BITS = (0, 1, 2, 5, 16, 30, 31, 32, 47, 63)


class Size(NamedTuple):
    """How much is drawn, and how long it is looked at."""

    probs: tuple[float, ...]
    connections: float  # of each matrix
    pairs: float  # of connections, in each statistic of pairs
    side: int  # of the dense squares
    weights: float  # for the distribution
    seeds: int  # other seeds that a matrix is compared with


FULL = Size(PROBS, 5e6, 2e8, 2048, 1e9, 5)
MIDDLE = Size((0.06, 0.5, 1.0), 5e5, 1e7, 512, 4e6, 2)  # for planted defects
SHORT = Size(SHORT_PROBS, 3e5, 8e6, 512, 3e6, 2)
TINY = Size((0.06, 0.5, 1.0), 1.2e5, 1e6, 512, 4e5, 2)  # for them in tests


def seed_of(seed: int, case: int, bits: int) -> int:
    """Give every case a seed of its own: weights do not depend on prob."""
    state = np.random.SeedSequence([seed, case]).generate_state(2, np.uint32)
    return int(state.view(np.uint64)[0]) & ((1 << bits) - 1)


def run(source: Source, size: Size, seed: int) -> Iterator[Finding]:
    """Put a source through the whole battery."""
    histogram = weights.empty_histogram()
    bits = getattr(source, "seed_bits", 64)
    for number, prob in enumerate(size.probs):
        start = time.process_time()
        case = seed_of(seed, number, bits)
        p = float(np.float32(prob))
        if p < 1:
            yield from rectangle(source, p, size, case, bits)
        if p >= DENSE:
            yield from square(source, p, size, seed_of(seed, 100 + number, bits), bits)
        print(f"  prob {prob:.7g}: {time.process_time() - start:.1f} s", flush=True)
    start = time.process_time()
    yield from distribution(source, size, seed, bits, histogram)
    print(f"  weights: {time.process_time() - start:.1f} s", flush=True)


def weights_alone(source: Source, size: Size, seed: int) -> Iterator[Finding]:
    """Put a source through the part of the battery that looks at weights."""
    bits = 64
    for number, prob in enumerate(size.probs):
        p = float(np.float32(prob))
        if p < 1:
            matrix = source.connections(seed_of(seed, number, bits), p, extent(p, size))
            yield from weights.with_places(matrix, p)
        if p >= DENSE:
            there = seed_of(seed, 100 + number, bits)
            dense = dense_of(source, there, p, size.side)
            yield from partners(source, p, size, there, bits, *dense)
    histogram = weights.empty_histogram()
    yield from distribution(source, size, seed, bits, histogram)


def extent(p: float, size: Size) -> tuple[int, int]:
    """Give the shape of a rectangle: columns of CHUNKS chunks."""
    m = CHUNKS << pairs.log2_block(p)
    return m, max(64, 2 * round(size.connections / (m * p) / 2))


def rectangle(
    source: Source, p: float, size: Size, seed: int, bits: int
) -> Iterator[Finding]:
    """Statistics of connections as a list, in columns of CHUNKS chunks."""
    m, n = extent(p, size)
    matrix = source.connections(seed, p, (m, n))
    yield from masks.all_of(matrix, p)
    yield from weights.with_places(matrix, p)
    blocks = pairs.cut(matrix, p)
    yield pairs.counts(blocks, p)
    yield from pairs.places(blocks, p)
    yield from pairs.within(blocks, p, size.pairs)
    yield from pairs.triples(blocks, p)
    yield from spectra.mates(blocks, p)
    for name, step, xor in neighbours(n):
        two = pairs.partners(blocks, step, xor)
        yield from pairs.across(name, *two, p, size.pairs / 4)
    for name, other in seeds_near(seed, bits, size.seeds):
        there = pairs.cut(source.connections(other, p, (m, n)), p)
        yield from pairs.across(name, blocks, there, p, size.pairs / 4)


def neighbours(n: int) -> Iterator[tuple[str, int, bool]]:
    """Which blocks are compared: a name, a step in their number, sum or xor."""
    yield "next chunk", 1, False
    yield "next column", CHUNKS, False
    for bit in range(int(np.log2(n - 1)) + 1):
        yield f"column bit {bit}", CHUNKS << bit, True


def seeds_near(seed: int, bits: int, number: int) -> list[tuple[str, int]]:
    """Seeds that differ by one (in more than the lowest bit), or in one bit."""
    step = 1 if seed % 2 else -1
    near = [("seed +- 1", (seed + step) % (1 << bits))]
    near += [(f"seed bit {b}", seed ^ (1 << b)) for b in SEED_BITS if b < bits]
    return near[:number]


def square(
    source: Source, p: float, size: Size, seed: int, bits: int
) -> Iterator[Finding]:
    """Statistics of a dense square."""
    side = size.side
    matrix = source.connections(seed, p, (side, side))
    z, mask = matrix.dense()
    if p < 1:
        yield from matrices.cycles(p, mask)
        if 0.05 < p < 0.95:
            yield from matrices.mask_singular_values(p, mask, seed)
        if pairs.log2_block(p) == 10:
            yield from matrices.xor_triples(p, mask, 10, 1 << 14)
        if p == 0.5:
            yield matrices.ranks("rank of the mask", p, mask)
    else:
        yield matrices.ranks("rank of the signs", p, z < 0)
        yield from matrices.singular_values(p, z)
    yield from partners(source, p, size, seed, bits, z, mask)


def partners(
    source: Source,
    p: float,
    size: Size,
    seed: int,
    bits: int,
    z: np.ndarray,
    mask: np.ndarray,
) -> Iterator[Finding]:
    """Statistics of the weights of a dense square, and of those of seeds nearby."""
    side = size.side
    yield from weights.with_partners(p, z, mask, weights.partners_of(z, mask))
    yield from weights.with_partners(
        p,
        z,
        mask,
        (
            weights.Partner("seeds nearby", *dense_of(source, other, p, side))
            for _, other in seeds_near(seed, bits, size.seeds)
        ),
    )


def dense_of(source: Source, seed: int, p: float, side: int) -> tuple:
    """Weights and mask of a square."""
    return source.connections(seed, p, (side, side)).dense()


def distribution(
    source: Source, size: Size, seed: int, bits: int, histogram: np.ndarray
) -> Iterator[Finding]:
    """Statistics of the weights of full matrices of many seeds."""
    side = 4096 if size.weights > 2**26 else 512
    number = int(np.ceil(size.weights / side**2))
    for i in range(number):
        there: Connections = source.connections(
            seed_of(seed, 1000 + i, bits), 1.0, (side, side)
        )
        weights.add_to(histogram, there.z)
    yield from weights.distribution(histogram, 1.0)
