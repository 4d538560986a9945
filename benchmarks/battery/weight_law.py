# SPDX-License-Identifier: Apache-2.0
"""The law of the weights, exactly: over all 2^32 hash words, not a sample of them.

z depends on a word's top bit (the side), its octave, cell and fraction alone, so that
words are counted by those (seconds), for every law in ``LAWS``. ``--every-word`` also
makes the normal weights of all 2^32 rows of a column, which hash to every word once,
and compares.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import stats

from synjit.backends.numba_cpu.weights import look_up_symmetric, weight_word
from synjit.reference import (
    Exponential,
    LogNormal,
    Normal,
    TruncatedNormal,
    Uniform,
    Weights,
    draw,
    normal,
    threefry,
)
from synjit.reference.quantile_table import (
    CELL_BITS,
    FRACTION_BITS,
    GENERAL_FRACTION_BITS,
    SYMMETRIC_WORDS,
    UNIT_BITS,
    look_up,
)

UNIT = 2.0**-UNIT_BITS
WORDS = 2**32
UPPER, LOWER = 0, 2**31  # the top bit of a word

# Laws, and how far they may be from what they stand for.
LAWS: dict[Weights, float] = {
    Normal(): 2**-17,
    Uniform(): 2**-16,
    Exponential(): 2**-15,
    TruncatedNormal(-2, 2): 2**-16,
    TruncatedNormal(0): 2**-15,
    TruncatedNormal(-1, 2.5): 2**-16,
    LogNormal(0.01): 2**-16,
    LogNormal(0.1): 2**-16,
    LogNormal(0.3): 2**-16,
    LogNormal(0.5): 2**-16,
    LogNormal(1): 2**-15,
    LogNormal(1.5): 1,
    LogNormal(2): 1,
}


class Counts(NamedTuple):
    """How many of the 2^32 words give which z."""

    z: NDArray[np.int64]  # ascending, distinct
    words: NDArray[np.int64]


class WeightLaw(NamedTuple):
    """Distance from the law that is meant, and moments of x."""

    kolmogorov: float  # largest distance between the distribution functions
    at: float  # where
    smallest: float
    largest: float
    mean: float
    variance: float
    skewness: float
    kurtosis: float
    sixth: float
    eighth: float


def distribution(weights: Weights) -> stats.rv_continuous:
    """Give the law that is meant, by another package."""
    match weights:
        case Normal():
            return stats.norm()
        case Uniform():
            return stats.uniform(-1, 2)
        case LogNormal(sigma):
            return stats.lognorm(sigma)
        case TruncatedNormal(low, high):
            return stats.truncnorm(low, high)
        case Exponential():
            return stats.expon()
    raise NotImplementedError(repr(weights))


# --- counting ---------------------------------------------------------------------


def count_words(table: NDArray[np.uint32]) -> Counts:
    """Count the words by what they give.

    Words of the first octaves share their fraction in equal numbers: one of each kind
    is put through the draw's function. Later octaves have no more words than fractions,
    and all are.
    """
    symmetric = len(table) == SYMMETRIC_WORDS
    shown = CELL_BITS + (FRACTION_BITS if symmetric else GENERAL_FRACTION_BITS)
    shared = 31 - shown  # octaves whose words have bits beyond the fraction
    parts = []
    for side in (UPPER, LOWER):
        for octave in range(shared):
            # w = 2 h + 1 starts with a one after `octave` zeros; h has 31 bits
            top = np.arange(1 << shown, 2 << shown, dtype=np.uint32)
            spare = shared - octave - 1
            words = np.uint32(side) | top << np.uint32(spare)
            parts.append(_distinct(look_up(table, words), 1 << spare))
        rest = np.uint32(side) | np.arange(1 << shown, dtype=np.uint32)
        parts.append(_distinct(look_up(table, rest), 1))
    z = np.concatenate([part.z for part in parts])
    order = np.argsort(z, kind="stable")
    words = np.concatenate([part.words for part in parts])[order]
    distinct, starts = np.unique(z[order], return_index=True)
    return Counts(distinct, np.add.reduceat(words, starts))


def _distinct(z: NDArray[np.int32], times: int) -> Counts:
    distinct, number = np.unique(z, return_counts=True)
    return Counts(distinct.astype(np.int64), number * times)


def count_every_row(column: int = 0) -> Counts:
    """Count normal weights over all 2^32 rows of a column, by the CPU kernel.

    The hash is a bijection of the rows, so that this is every word once, in the order
    in which the kernel meets them.
    """
    w0, w1 = threefry.threefry2x32((7, 9), (column, draw.WEIGHT_PAIR))
    size = 1 << 20
    counts = np.zeros(2 * size, np.int64)
    _count(w0[0], w1[0], np.array(normal.TABLE), counts)
    found = np.flatnonzero(counts)
    return Counts(found - size, counts[found])


@njit
def _count(w0, w1, table, counts):
    for row in range(2**32):
        z = look_up_symmetric(table, weight_word(np.uint32(row), w0, w1))
        counts[z + counts.size // 2] += 1


# --- the law ----------------------------------------------------------------------


def weight_law(weights: Weights, counts: Counts) -> WeightLaw:
    """Compare what the words give with the law that is meant."""
    total = counts.words.sum()
    x = weights.mean + weights.spread * UNIT * counts.z
    reached = np.cumsum(counts.words) / total
    meant = distribution(weights).cdf(x)
    before = np.concatenate([[0.0], reached[:-1]])
    distance = np.maximum(np.abs(reached - meant), np.abs(before - meant))
    z_mean = int(counts.z @ counts.words) / int(total)  # exact: below 2^61
    about = counts.z - z_mean
    raw = {k: _sum(about, counts.words, k) / float(total) for k in (2, 3, 4, 6, 8)}
    unit = weights.spread * UNIT
    return WeightLaw(
        kolmogorov=float(distance.max()),
        at=float(x[distance.argmax()]),
        smallest=float(x[0]),
        largest=float(x[-1]),
        mean=weights.mean + z_mean * unit,
        variance=raw[2] * unit**2,
        skewness=raw[3] / raw[2] ** 1.5,
        kurtosis=raw[4] / raw[2] ** 2,
        sixth=raw[6] / raw[2] ** 3,
        eighth=raw[8] / raw[2] ** 4,
    )


def _sum(x: NDArray[np.float64], words: NDArray[np.int64], order: int) -> float:
    """Sum powers outwards on both sides: a symmetric law's odd sums are 0 exactly."""
    centre = np.searchsorted(x, 0.0)
    terms = words * np.abs(x) ** order
    above, below = np.cumsum(terms[centre:]), np.cumsum(terms[:centre][::-1])
    above_sum, below_sum = (float(s[-1]) if s.size else 0.0 for s in (above, below))
    return above_sum + (-below_sum if order % 2 else below_sum)


def main() -> int:
    """Print the laws; 1 if one is further from what is meant than it may be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every-word", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.every_word:
        for ours, theirs in zip(
            count_words(normal.TABLE), count_every_row(), strict=True
        ):
            if not np.array_equal(ours, theirs):
                print("every word gives another law")
                return 1
    print(f"words put through the draw: {'all 2^32' if args.every_word else 'a cell'}")
    out, far = {}, 0
    for weights, bound in LAWS.items():
        counts = count_words(weights.table)
        law = weight_law(weights, counts)
        print(f"{weights!r}: Kolmogorov distance {law.kolmogorov / bound:.4f} of bound")
        far += law.kolmogorov >= bound or int(counts.words.sum()) != WORDS
        mean, variance, skewness = map(float, distribution(weights).stats("mvs"))
        meant = {"mean": mean, "variance": variance, "skewness": skewness}
        out[repr(weights)] = law._asdict() | {"meant": meant, "bound": bound}
    if args.json:
        result = {"words": WORDS, "every": args.every_word, "laws": out}
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return int(far > 0)


if __name__ == "__main__":
    sys.exit(main())
