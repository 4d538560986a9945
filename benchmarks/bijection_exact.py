# SPDX-License-Identifier: Apache-2.0
"""Compute, over all key words at once, how far the places of a chunk are from chance.

A round multiplies by an odd number and adds, both uniform: four rows then are equally
likely anywhere in their orbit under all x -> a * x + b. So the chance that four given
rows of the 2**k are all placed is one number for each orbit, and a round maps these
numbers linearly. From them: for every e >= 1, the variance of the number of mates
(pairs of rows u, u ^ e that are both placed), beside that of a uniformly random
K-subset. No key is sampled and nothing is rounded but by float64; the last column says
how many sampled keys would show the excess as z = 5. See bijection.py for the names.
"""

from __future__ import annotations

import argparse
import functools
import itertools

import numpy as np
from bijection import BIJECTIONS, shifts_of
from numba import njit
from numpy.typing import NDArray

from synjit.reference import draw

Array = NDArray[np.generic]
PERMUTATIONS = np.array(list(itertools.permutations(range(4))))


@njit
def orbit(x0: int, x1: int, x2: int, x3: int, k: int, inverse: Array) -> int:
    """Number the class of four distinct rows under all maps x -> a * x + b, a odd."""
    size = 1 << k
    d1, d2, d3 = (x1 - x0) % size, (x2 - x0) % size, (x3 - x0) % size
    first = 0
    while not (d1 | d2 | d3) & 1:
        d1, d2, d3 = d1 >> 1, d2 >> 1, d3 >> 1
        first += 3 * size * size
        size >>= 1
    which, a, u, v = 2, d3, d1, d2
    if d1 & 1:
        which, a, u, v = 0, d1, d2, d3
    elif d2 & 1:
        which, a, u, v = 1, d2, d1, d3
    u, v = (u * inverse[a]) & (size - 1), (v * inverse[a]) & (size - 1)
    return first + (which * size + u) * size + v


@njit
def advance(chance: Array, rows: int, shift: int, k: int, inverse: Array) -> Array:
    """Take the chance that four rows are all placed through ``shift`` and x*a + b.

    ``chance`` is a number for each orbit; sets with a row >= ``rows`` have none.
    """
    total = np.zeros(chance.size)
    for x3 in range(3, rows):
        y3 = x3 ^ (x3 >> shift)
        for x2 in range(2, x3):
            y2 = x2 ^ (x2 >> shift)
            for x1 in range(1, x2):
                y1 = x1 ^ (x1 >> shift)
                for x0 in range(x1):
                    to = orbit(x0 ^ (x0 >> shift), y1, y2, y3, k, inverse)
                    total[to] += chance[orbit(x0, x1, x2, x3, k, inverse)]
    out = np.zeros(chance.size)
    x = np.zeros(4, np.int64)
    for number in range(total.size):
        if total[number] == 0:
            continue
        rest, level, size = number, 0, 1 << k  # undo orbit(): one of its members
        while rest >= 3 * size * size:
            rest, level, size = rest - 3 * size * size, level + 1, size >> 1
        which, u, v = rest // (size * size), rest // size % size, rest % size
        x[1] = (1 if which == 0 else u) << level
        x[2] = (u if which == 0 else 1 if which == 1 else v) << level
        x[3] = (1 if which == 2 else v) << level
        members = (1 << k) * (size // 2)
        for p in PERMUTATIONS:
            to = orbit(x[p[0]], x[p[1]], x[p[2]], x[p[3]], k, inverse)
            out[to] += total[number] / members
    return out


@njit
def mates_squared(chance: Array, shift: int, k: int, inverse: Array) -> Array:
    """Sum, for each e, the chances of u, u ^ e, v, v ^ e over all distinct u and v."""
    out = np.zeros(1 << k)
    for e in range(1, 1 << k):
        before = e ^ (e >> shift)  # e before the last xor-shift, its own inverse
        for u in range(1 << k):
            for v in range(1 << k):
                if v not in (u, u ^ before):
                    number = orbit(u, u ^ before, v, v ^ before, k, inverse)
                    out[e] += chance[number]
    return out


@functools.cache
def inverses(k: int) -> Array:
    """Inverse modulo 2**k of odd numbers."""
    odd = draw.inverse_mod_2_32(np.arange(1 << k, dtype=np.uint32))
    return (odd & np.uint32((1 << k) - 1)).astype(np.int64)


@functools.cache
def chance_after(shifts: tuple[int, ...], k: int, count: int) -> Array:
    """Chance that four rows are all placed, before the xor-shift of the last round."""
    if not shifts:  # the first round's x * a + b: a shift by k changes nothing
        return advance(np.ones(4 * 4**k - 4), count, k, k, inverses(k))
    before = chance_after(shifts[:-1], k, count)
    return advance(before, 1 << k, shifts[-1], k, inverses(k))


def excess(shifts: list[int], k: int, count: int) -> NDArray[np.float64]:
    """Excess of the mates' variance as a fraction of chance's, for e = 1, 2, ..."""
    chunk = 1 << k
    together = np.cumprod([(count - i) / (chunk - i) for i in range(4)])  # 1 .. 4 rows
    distinct = chunk * (chunk - 2) * together[3]
    variance = 2 * chunk * together[1] + distinct - (chunk * together[1]) ** 2
    chance = chance_after(tuple(shifts[:-1]), k, count)
    return (mates_squared(chance, shifts[-1], k, inverses(k))[1:] - distinct) / variance


def main() -> None:
    """Print, for every bijection and number K of places, the worst excess."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", type=int, default=8, help="log2 of the chunk")
    parser.add_argument("bijections", nargs="*", default=BIJECTIONS)
    args = parser.parse_args()
    print("| bijection | k | K | worst excess | at e | keys for z = 5 |")
    print("|---|---|---|---|---|---|")
    for name, divisor in itertools.product(args.bijections, (2, 4, 10)):
        if name != "control":
            count = (1 << args.k) // divisor
            z = excess(shifts_of(name, args.k), args.k, count)
            e = int(np.argmax(np.abs(z)))
            row = f"{z[e]:+.1e} | {e + 1:#x} | {2 * (5 / z[e]) ** 2:.0e}"
            print(f"| {name} | {args.k} | {count} | {row} |", flush=True)


if __name__ == "__main__":
    main()
