# SPDX-License-Identifier: Apache-2.0
"""From the pieces of the blocks to what is asked of a whole matrix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synjit import units

from . import listing, memory, progress, selection
from .methods import Connections, Inspectable, Part

INDEX_BYTES = 4
STREAM = "take it in pieces by iter_connections(), or ask for fewer rows or columns"


def stream(matrix: Inspectable, rows: range, columns: range) -> Iterator[Connections]:
    """List connections piece by piece, in the unit of the weights."""
    for part in matrix._parts():  # noqa: SLF001
        listing.known(part.matrix)  # or an error, at once
    unit = matrix.unit
    return (
        found._replace(weights=units.attach(found.weights, unit))
        for found in pieces(matrix, rows, columns)
    )


def pieces(matrix: Inspectable, rows: range, columns: range) -> Iterator[Connections]:
    """List connections piece by piece, weights as plain numbers."""
    dtype = matrix.dtype
    for part in matrix._parts():  # noqa: SLF001
        for own in _of_part(part, rows, columns):
            at = np.repeat(own.columns, own.counts)
            found = (at, own.rows) if part.matrix.transposed else (own.rows, at)
            yield Connections(
                found[0] + np.int32(part.row),
                found[1] + np.int32(part.column),
                own.weights.astype(dtype, copy=False),
            )


def _of_part(part: Part, rows: range, columns: range) -> Iterator[listing.Piece]:
    m, n = part.matrix.shape
    inside = selection.cut(rows, part.row, m), selection.cut(columns, part.column, n)
    if part.matrix.transposed:
        inside = inside[::-1]
    return listing.pieces(part.matrix, *inside)


def expected(matrix: Inspectable, rows: range, columns: range) -> float:
    """Mean number of connections between some rows and columns."""
    total = 0.0
    for part in matrix._parts():  # noqa: SLF001
        m, n = part.matrix.shape
        local = selection.cut(rows, part.row, m), selection.cut(columns, part.column, n)
        total += listing.expected(part.matrix, len(local[0]), len(local[1]))
    return total


# --- lists ------------------------------------------------------------------------


class Growing:
    """Arrays that are filled from the front, and grow if they were made too short."""

    def __init__(self, room: int, dtypes: tuple[Any, ...]) -> None:
        # Of what is never written, no memory is taken.
        self.arrays = [np.empty(room, dtype) for dtype in dtypes]
        self.filled = 0

    def append(self, *values: NDArray) -> None:
        """Append to each array a piece of the same length."""
        end = self.filled + len(values[0])
        if end > len(self.arrays[0]):
            self.arrays = [np.resize(array, 2 * end) for array in self.arrays]
        for array, value in zip(self.arrays, values, strict=True):
            array[self.filled : end] = value
        self.filled = end

    def done(self) -> list[NDArray]:
        """Give what was filled."""
        return [array[: self.filled] for array in self.arrays]


def collect(matrix: Inspectable, rows: range, columns: range) -> Connections:
    """List connections between some rows and columns at once."""
    mean = expected(matrix, rows, columns)
    room = memory.likely_most(mean)
    each = 2 * INDEX_BYTES + matrix.dtype.itemsize
    memory.check_fits(room * each, f"a list of some {mean:,.0f} connections", STREAM)
    arrays = Growing(room, (np.int32, np.int32, matrix.dtype))
    for found in watched(matrix, rows, columns, "listing connections"):
        arrays.append(*found)
    found_rows, found_columns, weights = arrays.done()
    return Connections(found_rows, found_columns, units.attach(weights, matrix.unit))


def watched(
    matrix: Inspectable, rows: range, columns: range, what: str
) -> Iterator[Connections]:
    """List connections piece by piece, and show how far it is."""
    steps = ((found, len(found.rows)) for found in pieces(matrix, rows, columns))
    return progress.shown(steps, expected(matrix, rows, columns), what)


# --- counts -----------------------------------------------------------------------


def count(matrix: Inspectable, axis: int) -> NDArray[np.int64]:
    """Count the connections of each column, for axis 0, or of each row."""
    parts = matrix._parts()  # noqa: SLF001
    result = np.zeros(matrix.shape[1 - axis], np.int64)

    def steps() -> Iterator[tuple[tuple[NDArray, listing.Piece, bool], int]]:
        for part in parts:
            first = part.row if axis else part.column
            length = part.matrix.shape[1 - axis]
            of_columns = part.matrix.transposed == bool(axis)
            stored = part.matrix.shape[:: -1 if part.matrix.transposed else 1]
            windows = map(range, stored)
            for own in listing.pieces(part.matrix, *windows, weights=False):
                yield (result[first : first + length], own, of_columns), len(own.rows)

    mean = expected(matrix, *map(range, matrix.shape))
    for counts, own, of_columns in progress.shown(steps(), mean, "counting"):
        if of_columns:
            np.add.at(counts, own.columns, own.counts)
        else:
            np.add.at(counts, own.rows, 1)
    return result


# --- entries ----------------------------------------------------------------------


def diagonal(matrix: Inspectable) -> NDArray:
    """Give the entries (i, i) as plain numbers."""
    result = np.zeros(min(matrix.shape), matrix.dtype)
    for part in matrix._parts():  # noqa: SLF001
        (m, n), row, column = part.matrix.shape, part.row, part.column
        first = max(row, column)
        number = max(0, min(row + m, column + n) - first)
        place = (first - row, first - column)
        if part.matrix.transposed:
            place = place[::-1]
        for own in listing.diagonal(part.matrix, *place, number):
            result[own.rows - place[0] + first] = own.weights
    return result


def dense(matrix: Inspectable, rows: int | range, columns: int | range) -> NDArray:
    """Give entries as an array of plain numbers, without the axes of integers."""
    ranges = [range(k, k + 1) if isinstance(k, int) else k for k in (rows, columns)]
    ascending = [selection.ascending(numbers) for numbers in ranges]
    shape = tuple(map(len, ascending))
    room = memory.likely_most(expected(matrix, *ascending))
    memory.check_fits(
        (shape[0] * shape[1] + room) * matrix.dtype.itemsize + room * 2 * INDEX_BYTES,
        f"a dense array of shape {shape}",
        "ask for fewer rows or columns, or for the connections alone, by "
        "connections() or iter_connections()",
    )
    result = np.zeros(shape, matrix.dtype)
    for found in watched(matrix, ascending[0], ascending[1], "listing connections"):
        at = (
            (places - numbers.start) // numbers.step
            for places, numbers in zip(found[:2], ascending, strict=True)
        )
        result[tuple(at)] = found.weights
    turned = [slice(None, None, -1 if numbers.step < 0 else 1) for numbers in ranges]
    kept = [
        0 if isinstance(k, int) else turn
        for k, turn in zip((rows, columns), turned, strict=True)
    ]
    return result[tuple(kept)]
