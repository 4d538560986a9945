# SPDX-License-Identifier: Apache-2.0
"""Delays: how many steps a spike takes along a connection, drawn as its weight is.

d(i, j) comes from a keyed hash of the row, under two key words of the column that are
the delays' own, through a table. A law of delays is the law of ``loc + scale * x``
steps, rounded to the nearest (a half upwards), with x of a law as those of the weights
(``weight_laws``). The word u stands for the probability (u + 1/2) / 2**32, so that a
law is a number of words for each delay, 2**32 in all: there is no other approximation.

The table is that of the alias method (Walker, 1974; Vose, 1991) in integers. Of its
1 + 2**b words the first is the shortest delay; the others are buckets, one for each of
2**b delays from there on. The upper b bits of a word choose the bucket, and the rest
whether the delay is the bucket's own or the other one, its alias. A table of one word
is one delay for all.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, localcontext
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .draw import mixed_word
from .products import Matrix
from .table_builder import EXACT, Quantile
from .weight_laws import Weights

# The last pair of words but one of a column keys its delays.
DELAY_PAIR = 0xFFFFFFFE

MAX_LOG2_BUCKETS = 10
MAX_DELAY = 2**15 - 1  # steps

UInt32 = NDArray[np.uint32]


@dataclass(frozen=True)
class Delays:
    """A law of delays, in steps: ``loc + scale * x``, rounded to the nearest.

    Parameters
    ----------
    law : Weights
        Law of x.
    loc, scale : float
        In steps; the scale is not negative.

    Raises
    ------
    TypeError, ValueError
        At once for parameters that are none; when the table is first asked for, if a
        delay is not in 1 .. MAX_DELAY or they span more than 2**MAX_LOG2_BUCKETS.
    """

    law: Weights
    loc: float
    scale: float

    def __post_init__(self) -> None:
        """Check the parameters."""
        if not isinstance(self.law, Weights):
            raise TypeError(
                "the law of delays must be one as Constant() or TruncatedNormal(low=0),"
                f" got {self.law!r}"
            )
        for name in ("loc", "scale"):
            value = getattr(self, name)
            if not isinstance(value, Real) or isinstance(value, bool):
                raise TypeError(
                    f"{name} of Delays must be a real number of steps, got {value!r}"
                )
            if not math.isfinite(value):
                raise ValueError(f"{name} of Delays must be finite, got {value}")
            object.__setattr__(self, name, float(value) + 0.0)
        if self.scale < 0:
            raise ValueError(f"scale of Delays must not be negative, got {self.scale}")

    @property
    def table(self) -> UInt32:
        """Words that ``look_up`` reads; built when first asked for."""
        return _build(self)

    @property
    def bounds(self) -> tuple[int, int]:
        """Give the shortest and the longest delay."""
        delays, _ = _count_words(self)
        return delays[0], delays[-1]


def delay(
    seed: tuple[int, int], row: ArrayLike, column: ArrayLike, table: UInt32
) -> NDArray[np.int32]:
    """Give d(i, j) in steps, whether or not (i, j) is connected."""
    return look_up(table, mixed_word(seed, row, column, DELAY_PAIR))


def look_up(table: UInt32, word: ArrayLike) -> NDArray[np.int32]:
    """Map uniform words to delays, in steps."""
    word = np.asarray(word, np.uint32)
    first, buckets = table[0], table[1:]
    if not len(buckets):
        return np.full(word.shape, first, np.int32)
    b = np.uint32(len(buckets).bit_length() - 1)
    last = np.uint32(len(buckets) - 1)
    own = word >> (np.uint32(32) - b)
    bucket = buckets[own]
    # A bucket is the number of its own words, and in the lowest b bits the alias.
    is_own = (word << b | last) < bucket
    return (first + np.where(is_own, own, bucket & last)).astype(np.int32)


def deliver(
    matrix: Matrix, delays: Delays, events: ArrayLike, slots: int, now: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Give what the events of step ``now`` add to a ring of slots, one for each step.

    Parameters
    ----------
    matrix : Matrix
    delays : Delays
        The longest is below ``slots``.
    events : bool array (n, batch)
    slots : int
    now : int
        What arrives in step t is in slot ``t % slots``.

    Returns
    -------
    int32 arrays (slots, m, batch)
        N and Z of each slot. Their sums over the slots are ``matrix.events(events)``.
    """
    if delays.bounds[1] >= slots:
        raise ValueError(
            f"{delays!r} has delays of up to {delays.bounds[1]} steps: a ring for it "
            f"needs {delays.bounds[1] + 1} slots, and this one has {slots}"
        )
    events = np.asarray(events).astype(np.int64)
    m, n = matrix.shape
    top, left = matrix.origin
    sums = np.zeros((2, slots, m, events.shape[1]), np.int64)
    for j in range(n):
        rows, z = matrix.column(j)
        d = delay(matrix.seed, rows + top, left + j, delays.table)
        slot = (now + d) % slots
        for k, terms in enumerate((np.ones_like(z), z)):
            sums[k, slot, rows] += terms[:, None] * events[j]
    counts, weights = sums.astype(np.uint32).view(np.int32)
    return counts, weights


# --- the table ----------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _build(delays: Delays) -> UInt32:
    steps, numbers = _count_words(delays)
    span = steps[-1] - steps[0] + 1
    b = (span - 1).bit_length()
    if b > MAX_LOG2_BUCKETS:
        raise ValueError(
            f"{delays!r} has delays of {steps[0]} to {steps[-1]} steps; a law may "
            f"span {2**MAX_LOG2_BUCKETS} of them"
        )
    words = [steps[0]]
    if b > 0:
        masses = [0] * 2**b
        for step, number in zip(steps, numbers, strict=True):
            masses[step - steps[0]] = number
        words += _alias_table(masses, b)
    table = np.array(words, np.uint32)
    table.flags.writeable = False
    return table


def _alias_table(masses: list[int], b: int) -> list[int]:
    """Fill buckets of 2**(32 - b) words: each with its own, and those of one other."""
    room = 2 ** (32 - b)
    left = list(masses)
    buckets = [(room, i) for i in range(len(left))]
    small = [i for i, mass in enumerate(left) if mass < room]
    large = [i for i, mass in enumerate(left) if mass > room]
    while small:
        i, other = small.pop(), large[-1]
        buckets[i] = (left[i], other)
        left[other] -= room - left[i]
        if left[other] <= room:
            large.pop()
            if left[other] < room:
                small.append(other)
    # Of a full bucket the alias is itself, and the number does not matter.
    return [(own % room) << b | alias for own, alias in buckets]


@functools.lru_cache(maxsize=256)
def _count_words(delays: Delays) -> tuple[list[int], list[int]]:
    """Give the delays that occur, ascending, and the number of words of each."""
    with localcontext(EXACT):
        step = _step_of_word(delays)
        first, last = step(0), step(2**32 - 1)
        if first < 1 or last > MAX_DELAY:
            raise ValueError(
                f"{delays!r} has delays of {first} to {last} steps, and 1 to "
                f"{MAX_DELAY} are allowed: a bounded law, such as TruncatedNormal or "
                "Uniform, keeps them inside"
            )
        steps, ends = [], []
        begin = 0
        while begin < 2**32:  # the words from here on, as far as the delay is the same
            here = step(begin)
            end = _first_above(step, here, begin, 2**32)
            steps.append(here)
            ends.append(end)
            begin = end
    return steps, [b - a for a, b in zip([0, *ends], ends, strict=False)]


def _first_above(step: Callable[[int], int], value: int, low: int, high: int) -> int:
    """Give the first word above ``low`` whose delay is greater; ``high`` if none is."""
    while high - low > 1:
        middle = (low + high) // 2
        if step(middle) > value:
            high = middle
        else:
            low = middle
    return high


def _step_of_word(delays: Delays) -> Callable[[int], int]:
    """Make the function from a word, a Python integer, to its delay."""
    quantile: Quantile = delays.law.quantile_function()
    loc, scale = Decimal(delays.loc), Decimal(delays.scale)
    half = Decimal("0.5")

    def step(word: int) -> int:
        w = 2 * word + 1  # of 2**33
        upper = w > 2**32
        p = Decimal(2**33 - w if upper else w) / 2**33
        exact = loc + scale * quantile(p, upper) + half
        return int(exact.to_integral_value(rounding=ROUND_FLOOR))

    return step
