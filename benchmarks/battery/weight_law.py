# SPDX-License-Identifier: Apache-2.0
"""The law of the weights, exactly: over all 2^32 hash words, not a sample of them.

z depends on a word's top bit (the sign), its octave, cell and 15-bit fraction alone, so
that words are counted by those (seconds). ``--every-word`` also makes the weights of
all 2^32 rows of a column, which hash to every word once, and compares. Sums are of
integers.
"""

from __future__ import annotations

import argparse
import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import special

from synjit.backends.numba_cpu.draw import weight
from synjit.reference import draw, normal, threefry

UNIT = 2.0**-normal.UNIT_BITS
BOUND = 2.0**-17
WORDS = 2**32


class WeightLaw(NamedTuple):
    """Distance from the normal, and moments; z in standard deviations."""

    kolmogorov: float  # largest distance between the distribution functions
    at: float  # where
    largest: float
    mean: float
    variance: float
    skewness: float
    kurtosis: float
    sixth: float
    eighth: float


def magnitudes() -> NDArray[np.int64]:
    """Count, for every magnitude of z, the words of one sign that give it.

    Words of the first octaves share their fraction in equal numbers: one of each kind
    is put through the draw's function. Later octaves have no more words than fractions,
    and all are.
    """
    shown = normal.CELL_BITS + normal.FRACTION_BITS
    shared = 31 - shown  # octaves whose words have bits beyond the fraction
    counts = np.zeros(1 << 20, np.int64)
    for octave in range(shared):
        # w = 2 h + 1 starts with a one after `octave` zeros; h has 31 bits
        top = np.arange(1 << shown, 2 << shown, dtype=np.uint32)
        spare = shared - octave - 1
        z = normal.standard_normal(top << np.uint32(spare))
        counts += np.bincount(z, minlength=counts.size) << spare
    rest = normal.standard_normal(np.arange(1 << (31 - shared), dtype=np.uint32))
    counts += np.bincount(rest, minlength=counts.size)
    return counts[: int(np.flatnonzero(counts)[-1]) + 1]


def every_row(column: int = 0) -> NDArray[np.int64]:
    """Count z, from -max to max, over all 2^32 rows of a column, by the CPU kernel.

    The hash is a bijection of the rows, so that this is every word once, in the order
    in which the kernel meets them.
    """
    w0, w1 = threefry.threefry2x32((7, 9), (column, draw.WEIGHT_PAIR))
    size = 1 << 20
    counts = np.zeros(2 * size, np.int64)
    _count(w0[0], w1[0], np.array(normal.TABLE), counts)
    largest = int(np.flatnonzero(counts)[-1]) - size
    return counts[size - largest : size + largest + 1]


@njit
def _count(w0, w1, table, counts):
    for row in range(2**32):
        counts[weight(np.uint32(row), w0, w1, table) + counts.size // 2] += 1


def both_signs(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Mirror: the sign is the word's top bit, and both signs have the same words."""
    return np.concatenate([counts[:0:-1], [2 * counts[0]], counts[1:]])


def weight_law(counts: NDArray[np.int64]) -> WeightLaw:
    """Sum exactly over a histogram of z from -max to max, in units of 2^-16."""
    total, largest = int(counts.sum()), counts.size // 2
    sums = [0] * 9
    for z, n in zip(range(-largest, largest + 1), counts.tolist(), strict=True):
        power = n
        for order in range(9):
            sums[order] += power
            power *= z
    unit = Fraction(1, 2**normal.UNIT_BITS)
    raw = [unit**order * s / total for order, s in enumerate(sums)]
    if raw[1] != 0:
        raise ArithmeticError("the law is not symmetric")
    reached = np.cumsum(counts) / total
    phi = special.ndtr(np.arange(-largest, largest + 1) * UNIT)
    before = np.concatenate([[0.0], reached[:-1]])
    distance = np.maximum(np.abs(reached - phi), np.abs(before - phi))
    return WeightLaw(
        kolmogorov=float(distance.max()),
        at=float((distance.argmax() - largest) * UNIT),
        largest=largest * UNIT,
        mean=float(raw[1]),
        variance=float(raw[2]),
        skewness=float(raw[3]) / float(raw[2]) ** 1.5,
        kurtosis=float(raw[4] / raw[2] ** 2),
        sixth=float(raw[6] / raw[2] ** 3),
        eighth=float(raw[8] / raw[2] ** 4),
    )


def main() -> int:
    """Print the law; 1 if it is further from the normal than 2^-17."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every-word", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    counts = both_signs(magnitudes())
    if args.every_word and not np.array_equal(counts, every_row()):
        print("every word gives another law")
        return 1
    law = weight_law(counts)
    for name, value in law._asdict().items():
        print(f"{name:12} {value!r}")
    print(f"Kolmogorov distance: {law.kolmogorov / BOUND:.4f} of 2^-17")
    print(f"words put through the draw: {'all 2^32' if args.every_word else 'a cell'}")
    if args.json:
        out = law._asdict() | {"words": int(counts.sum()), "every": args.every_word}
        args.json.write_text(json.dumps(out, indent=1) + "\n")
    return int(law.kolmogorov >= BOUND or int(counts.sum()) != WORDS)


if __name__ == "__main__":
    sys.exit(main())
