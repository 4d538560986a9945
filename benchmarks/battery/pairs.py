# SPDX-License-Identifier: Apache-2.0
"""Pairs and triples of connections, within a block of rows and across two.

A block is a chunk of the draw: 2^k rows of one column. With X an entry of the mask and
x = X - prob, every sum of products x(u) x(v) over distinct pairs has mean 0, variance
(prob (1 - prob))^2 for each term, and no correlation with any other such sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .findings import Finding, binomial_cells, from_count, from_scores, from_z
from .sources import Connections

Array = NDArray[np.generic]

BITS = 10  # differences and xors are told apart by their highest and lowest 10 bits
CLASSES = 32
ENOUGH = 30.0  # expected pairs or triples, for their sums to be nearly normal


class Blocks(NamedTuple):
    """Places in every block; block q of column j is number j * per_column + q."""

    log2: int
    chance: float
    per_column: int
    starts: Array  # (blocks + 1,)
    places: Array

    @property
    def number(self) -> int:
        """Number of blocks."""
        return self.starts.size - 1

    def pick(self, blocks: slice) -> Blocks:
        """Some blocks."""
        starts = self.starts[blocks.start : blocks.stop + 1]
        places = self.places[starts[0] : starts[-1]]
        return self._replace(starts=starts - starts[0], places=places)


def log2_block(prob: float) -> int:
    """Rows of a block: 64 expected connections, 2^10 rows at least, as the draw has."""
    return max(10, 7 - int(np.frexp(np.float32(prob))[1]))


def cut(matrix: Connections, prob: float) -> Blocks:
    """Cut columns into blocks; of a dense matrix, take what is not connected."""
    k, (m, n) = log2_block(prob), matrix.shape
    per_column = m >> k
    place = matrix.columns() * m + matrix.rows
    if m != per_column << k:
        raise ValueError(f"{m} rows are not a whole number of blocks of 2^{k}")
    if prob > 0.5:
        absent = np.ones(m * n, bool)
        absent[place] = False
        place, prob = np.flatnonzero(absent), 1 - prob
    starts = np.searchsorted(place, np.arange(per_column * n + 1) << k)
    places = (place & ((1 << k) - 1)).astype(np.uint32)
    return Blocks(k, prob, per_column, starts, places)


# --- one block --------------------------------------------------------------------


def places(blocks: Blocks, prob: float) -> Iterator[Finding]:
    """Places by their highest, and by their lowest bits."""
    wide = blocks.log2 - BITS
    each = blocks.number << wide
    for name, cell in (
        ("highest", blocks.places >> np.uint32(wide)),
        ("lowest", blocks.places & np.uint32((1 << BITS) - 1)),
    ):
        seen = np.bincount(cell, minlength=1 << BITS)
        q = blocks.chance
        z = (seen - each * q) / np.sqrt(each * q * (1 - q))
        yield from from_scores(f"places, {name} bits", prob, z)
        if wide == 0:
            return


def counts(blocks: Blocks, prob: float) -> Finding:
    """Number of places in a block: binomial, by chi-square."""
    seen = np.bincount(np.diff(blocks.starts))
    return binomial_cells(
        "count of a chunk", prob, seen, 1 << blocks.log2, blocks.chance
    )


def within(blocks: Blocks, prob: float, budget: float) -> Iterator[Finding]:
    """All pairs within a block, by difference and by xor."""
    k, q = blocks.log2, blocks.chance
    some = blocks.pick(slice(0, _affordable(blocks, budget / 2)))
    tables = _within(some.starts, some.places, k, BITS)
    rows, total = some.number << k, some.places.size
    mean = 2 * q * total - rows * q * q
    for label, table, top, per_value in (
        ("differences", tables[:2], k - 1, 1),
        ("xors", tables[2:], k, 2),
    ):
        size = _bin_sizes(top)
        keep = size > 0
        if size.max() * rows / per_value * q * q < ENOUGH:
            continue
        for part, seen in zip(("highest", "lowest"), table, strict=True):
            centred = (seen - size * mean / per_value)[keep]
            terms = size[keep] * rows / per_value
            z = centred / (np.sqrt(terms) * q * (1 - q))
            name = f"{label} in a chunk, {part} bits"
            yield from from_scores(name, prob, z, 1 + 6 / some.number)
            if top <= BITS:
                break


def _bin_sizes(top: int) -> Array:
    """How many of the values 1 .. 2^top - 1 share their highest (or lowest) bits."""
    shown = min(top, BITS)
    size = np.zeros(1 << BITS)
    size[: 1 << shown] = 2.0 ** (top - shown)
    size[0] -= 1
    return size


@njit(cache=True)
def _within(starts, places, k, bits):
    tables = np.zeros((4, 1 << bits))
    mask, low = (1 << k) - 1, (1 << bits) - 1
    high_d, high_x = max(k - 1 - bits, 0), k - bits
    for block in range(starts.size - 1):
        for s in range(starts[block], starts[block + 1]):
            u = np.int64(places[s])
            for t in range(starts[block], s):
                v = np.int64(places[t])
                d = min((u - v) & mask, (v - u) & mask)
                if 2 * d <= mask:
                    tables[0, d >> high_d] += 1
                    tables[1, d & low] += 1
                e = u ^ v
                tables[2, e >> high_x] += 1
                tables[3, e & low] += 1
    return tables


def _affordable(blocks: Blocks, pairs: float) -> int:
    """How many blocks have about so many pairs of places; a few at least.

    The sums of one block depend on one another: it has fewer rows than pairs. The more
    blocks, the less their squares are correlated.
    """
    mean = blocks.chance * 2.0**blocks.log2
    return int(min(blocks.number, max(pairs / (mean * mean + 1), 20)))


# --- two blocks -------------------------------------------------------------------


def across(
    name: str, one: Blocks, other: Blocks, prob: float, budget: float
) -> Iterator[Finding]:
    """Pairs of places of block i of ``one`` and of ``other``, which are independent.

    By xor and difference; the same place in both; and the correlation of the counts.
    """
    some = slice(0, min(_affordable(one, budget), _affordable(other, budget)))
    k, q = one.log2, one.chance
    expected = q * 2.0**k
    counts_one, counts_other = np.diff(one.starts), np.diff(other.starts)
    scale = np.sqrt(counts_one.size) * expected * (1 - q)
    together = (counts_one - expected) @ (counts_other - expected)
    yield from_z(f"{name}: counts", prob, float(together / scale))
    same = _same(one.starts, one.places, other.starts, other.places)
    yield from_count(f"{name}: same place", prob, int(same), one.places.size, q)
    one, other = one.pick(some), other.pick(some)
    tables = _across(one.starts, one.places, other.starts, other.places, k, BITS)
    rows = one.number << k
    size = 1 << (k - BITS)
    mean = q * (one.places.size + other.places.size) - rows * q * q
    if size * rows * q * q < ENOUGH:
        return
    labels = ("differences, highest", "differences, lowest")
    labels += ("xors, highest", "xors, lowest")
    for label, seen in zip(labels, tables, strict=True):
        z = (seen - size * mean) / (np.sqrt(size * rows) * q * (1 - q))
        if k > BITS or label.endswith("highest"):
            yield from from_scores(f"{name}: {label} bits", prob, z, 1 + 3 / one.number)


@njit(cache=True)
def _across(starts_a, a, starts_b, b, k, bits):
    tables = np.zeros((4, 1 << bits))
    mask, low, high = (1 << k) - 1, (1 << bits) - 1, k - bits
    for block in range(starts_a.size - 1):
        for s in range(starts_a[block], starts_a[block + 1]):
            u = np.int64(a[s])
            for t in range(starts_b[block], starts_b[block + 1]):
                v = np.int64(b[t])
                d = (u - v) & mask
                e = u ^ v
                tables[0, d >> high] += 1
                tables[1, d & low] += 1
                tables[2, e >> high] += 1
                tables[3, e & low] += 1
    return tables


@njit(cache=True)
def _same(starts_a, a, starts_b, b):
    total = 0
    for block in range(starts_a.size - 1):
        s, t = starts_a[block], starts_b[block]
        end_s, end_t = starts_a[block + 1], starts_b[block + 1]
        while s < end_s and t < end_t:
            x, y = a[s], b[t]
            total += x == y
            s += x <= y
            t += y <= x
    return total


def partners(blocks: Blocks, step: int, xor: bool) -> tuple[Blocks, Blocks]:
    """Blocks i and i + step (or i ^ step), each pair once."""
    i = np.arange(blocks.number)
    j = i ^ step if xor else i + step
    keep = (j < blocks.number) & (j > i)
    if not xor:  # steps 1 and 2, 3 and 4, ... are pairs: no block is in two of them
        keep &= (i // step) % 2 == 1
    return gather(blocks, i[keep]), gather(blocks, j[keep])


def gather(blocks: Blocks, numbers: Array) -> Blocks:
    """These blocks, in this order."""
    length = np.diff(blocks.starts)[numbers]
    starts = np.concatenate([[0], np.cumsum(length)])
    within_block = np.arange(starts[-1]) - np.repeat(starts[:-1], length)
    at = np.repeat(blocks.starts[numbers], length) + within_block
    return blocks._replace(starts=starts, places=blocks.places[at])


# --- triples ----------------------------------------------------------------------


def triples(blocks: Blocks, prob: float) -> Iterator[Finding]:
    """Three places of a block, each in another of 32 classes of rows.

    A class is given by the highest 5 bits, or by the lowest. The counts of three
    classes are independent, so that the product of their deviations has mean 0.
    """
    q, k = blocks.chance, blocks.log2
    block = np.repeat(np.arange(blocks.number), np.diff(blocks.starts))
    variance = 2.0**k / CLASSES * q * (1 - q)
    for part, shift in (("highest", k - 5), ("lowest", 0)):
        row_class = (blocks.places >> np.uint32(shift)) & np.uint32(CLASSES - 1)
        cell = block * CLASSES + row_class
        y = np.bincount(cell, minlength=blocks.number * CLASSES).astype(float)
        y = y.reshape(-1, CLASSES) - 2.0**k / CLASSES * q
        pairs = y.T @ y / np.sqrt(blocks.number) / variance
        upper = np.triu_indices(CLASSES, 1)
        # of independent normals, E y^4 = 3: the squares of two sums that share classes
        # are correlated, by what 62 neighbours of a pair, 1305 of a triple, add up to
        wider = 1 + 63 / blocks.number
        name = f"pairs of classes, {part} bits"
        yield from from_scores(name, prob, pairs[upper], wider)
        if blocks.number * (2.0**k / CLASSES * q) ** 3 < ENOUGH:
            continue
        z = [(y[:, a + 1 :] * y[:, [a]]).T @ y[:, a + 1 :] for a in range(CLASSES - 2)]
        z = [one[np.triu_indices(len(one), 1)] for one in z]
        scaled = np.concatenate(z) / np.sqrt(blocks.number) / variance**1.5
        wider = 1 + 1578 / blocks.number
        name = f"triples of classes, {part} bits"
        yield from from_scores(name, prob, scaled, wider)
