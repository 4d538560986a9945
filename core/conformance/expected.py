# SPDX-License-Identifier: Apache-2.0
"""What the reference says of a case, many columns at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synjit import reference
from synjit.reference import draw
from synjit.reference.quantile_table import look_up

from .cases import Case, Prob, Table, connectivity_of, delay_words_of, words_of

BLOCK = 1 << 16  # entries drawn at once
LARGE = 1 << 24  # entries, of which only those are drawn that an operand asks for


class Expected(NamedTuple):
    """Results, and how far a backend may be from each: integers, not at all."""

    names: tuple[str, ...]
    dtype: np.dtype
    results: list[NDArray]
    bounds: list[NDArray]


# Gives z, of the words of a table and uniform words.
LookUp = Callable[[NDArray[np.uint32], NDArray[np.uint32]], NDArray[np.int32]]


class Law(NamedTuple):
    """How a matrix is drawn: the reference's way, or a mistaken one.

    Attributes
    ----------
    look_up : callable
        ``reference.quantile_table.look_up``, or a misreading of tables.
    is_connected : callable
        ``reference.draw.is_connected``, or a misreading of the rule.
    """

    look_up: LookUp = look_up
    is_connected: Callable[..., NDArray[np.bool_]] = draw.is_connected


LAW = Law()


def expected(case: Case, operand: NDArray | None = None, law: Law = LAW) -> Expected:
    """Compute the results of a case, on its own operand or on another."""
    if operand is None:
        operand = case.operand()
    if case.product == "weighted":
        return _blocks(case, operand, law)
    if case.product == "deliver":
        return delivered(case, operand)
    if case.shape[0] * case.shape[1] > LARGE and case.product != "dense":
        case, operand = _active_part(case, operand)
    z = window(case, law)
    exact = np.zeros((), np.int64)
    if case.product == "dense":
        return Expected(("z",), np.dtype(np.int32), [z], [exact])
    if case.transpose:
        z = z.T
    mask = z != reference.ABSENT
    weights = np.where(mask, z, 0)
    if case.product == "events":
        sums = [_integer_sums(x, operand) for x in (mask, weights)]
        return Expected(("N", "Z"), np.dtype(np.int32), sums, [exact] * 2)
    # A sum of k terms in any order is off by at most k units of rounding of the sum
    # of their magnitudes (Higham, Accuracy and Stability, 2nd ed., section 4.2).
    unit = float(np.finfo(case.dtype).eps) * max(case.operand_length, 1)
    values = np.where(np.isfinite(operand), operand, 0).astype(np.float64)
    results: list[NDArray] = []
    bounds: list[NDArray] = []
    for factor in (mask.astype(np.float64), weights.astype(np.float64)):
        total = factor @ values
        for j, b in np.argwhere(~np.isfinite(operand)):
            total[mask[:, j], b] += operand[j, b] * factor[mask[:, j], j]
        results.append(total)
        bounds.append(np.abs(factor) @ np.abs(values) * unit)
    return Expected(("A", "B"), np.dtype(case.dtype), results, bounds)


def _active_part(case: Case, operand: NDArray) -> tuple[Case, NDArray]:
    """Leave out columns of W (or rows, of W.T) before and after all that is not 0."""
    active = np.flatnonzero(operand.any(axis=1))
    first, last = (active[0], active[-1]) if len(active) else (0, 0)
    length, axis = int(last - first) + 1, 0 if case.transpose else 1
    shape, origin = list(case.shape), list(case.origin)
    shape[axis], origin[axis] = length, origin[axis] + int(first)
    m, n = shape
    part = replace(case, shape=(m, n), origin=(origin[0], origin[1]))
    return part, operand[first : first + length]


def weights_of(case: Case, number: int) -> tuple[NDArray, NDArray]:
    """w_loc and w_scale of so many blocks, whose products must be rounded.

    Where there are no events, what even 0 times a weight may be: -0 in every block or,
    of a batch, not a number in some.
    """
    one = np.arange(1, number + 1)
    loc, scale = case.weights[0] * one * (-1.0) ** one, case.weights[1] / one
    if case.pattern == "none" and case.batch == 1:
        loc, scale = -np.abs(loc), -np.abs(scale)
    elif case.pattern == "none":
        loc[::3], scale[1::3] = np.inf, np.nan
    return loc.astype(case.dtype), scale.astype(case.dtype)


def weighted(sums: Expected, dtype: str, weights: tuple[float, float]) -> Expected:
    """Weigh the sums of events as ``synjit_weighted`` must, rounding by rounding."""
    with np.errstate(invalid="ignore"):
        y = reference.weigh(*np.array(weights, dtype), *sums.results)
    return Expected(("y",), np.dtype(dtype), [y], sums.bounds[:1])


def _blocks(case: Case, events: NDArray, law: Law) -> Expected:
    grid, parts = case.problem_grid, case.of_blocks()
    y = np.zeros((case.shape[0], case.batch), case.dtype)
    done = set()
    weights = zip(*weights_of(case, len(parts)), strict=True)
    for part, block, own in zip(parts, grid.blocks, weights, strict=True):
        rows, columns = grid.window(block)
        sums = expected(part, events[columns], law)
        product = weighted(sums, case.dtype, own)
        # Not added to 0, but put there: -0 + 0 is 0.
        with np.errstate(invalid="ignore"):
            total = y[rows] + product.results[0]
        y[rows] = total if block.row in done else product.results[0]
        done.add(block.row)
    return Expected(("y",), y.dtype, [y], [np.zeros((), np.int64)])


def delivered(
    case: Case,
    events: NDArray,
    steps: Callable[[NDArray], NDArray] = lambda delay: delay,
) -> Expected:
    """Add what blocks deliver to a ring; ``steps`` may mistake delays for others."""
    grid, parts = case.problem_grid, case.of_blocks()
    ring = case.ring()
    weights = zip(*weights_of(case, len(parts)), strict=True)
    tables = map(delay_words_of, case.delay_tables(len(parts)))
    for part, block, own, table in zip(
        parts, grid.blocks, weights, tables, strict=True
    ):
        rows, columns = grid.window(block)
        z = window(part)
        i, j = np.nonzero(z != reference.ABSENT)
        seed, (top, left) = reference.seed_words(part.seed), part.origin
        d = steps(reference.delays.delay(seed, i + top, j + left, table))
        slot = (case.now + d) % case.slots
        sums = np.zeros((2, case.slots, *part.shape[:1], case.batch), np.int64)
        for b in range(case.batch):
            sent = events[columns, b][j]
            at = slot[sent], i[sent], b
            np.add.at(sums[0], at, 1)
            np.add.at(sums[1], at, z[i, j][sent])
        n, total = sums.astype(np.uint32).view(np.int32)
        with np.errstate(invalid="ignore"):
            weighed = reference.weigh(own[0], own[1], n, total)
            added = ring[:, rows] + weighed
        ring[:, rows] = np.where(n != 0, added, ring[:, rows])
    return Expected(("ring",), ring.dtype, [ring], [np.zeros((), np.int64)])


def _integer_sums(factor: NDArray, events: NDArray) -> NDArray[np.int32]:
    """Sum up, and wrap as int32 does; below 2**53, float64 sums are exact."""
    sums = factor.astype(np.float64) @ events.astype(np.float64)
    return sums.astype(np.int64).astype(np.uint32).view(np.int32)


def window(case: Case, law: Law = LAW) -> NDArray[np.int32]:
    """``reference.Matrix(...).dense()``, chunk by chunk instead of column by column."""
    matrix = (case.prob, case.self_connections, case.table)
    return _window(case.seed, case.shape, case.origin, *matrix, law)


@functools.lru_cache(maxsize=64)
def _window(
    seed: int,
    shape: tuple[int, int],
    origin: tuple[int, int],
    prob: Prob,
    self_connections: bool,
    table: Table,
    law: Law,
) -> NDArray[np.int32]:
    words, c = reference.seed_words(seed), connectivity_of(prob, self_connections)
    (m, n), (top, left) = shape, origin
    columns = left + np.arange(n, dtype=np.uint32)
    result = np.full(shape, reference.ABSENT, np.int32)
    length = 1 << c.log2_chunk
    chunks = -(-(top + m) // length) - top // length
    at_once = min(chunks, max(1, BLOCK // (length * n))) * length
    for start in range(top // length * length, top + m, at_once):
        low, high = max(start, top), min(start + at_once, top + m)
        if at_once == length:  # one chunk, which may be far longer than the window
            rows = np.arange(low, high, dtype=np.uint32)[None, :, None]
            first = low
        else:
            rows = start + np.arange(at_once, dtype=np.uint32).reshape(-1, length, 1)
            first = start
        keys = draw.chunk_keys(words, columns, rows[:, :1] >> c.log2_chunk)
        z = law.look_up(words_of(table), draw.weight_word(words, rows, columns))
        there = law.is_connected(rows, columns, keys, c)
        z = np.where(there, z, reference.ABSENT).reshape(-1, n)
        result[low - top : high - top] = z[low - first : high - first]
    result.flags.writeable = False
    return result
