# SPDX-License-Identifier: Apache-2.0
"""Copies of a matrix that are stored: SciPy's sparse arrays, and JAX's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import jax
import numpy as np
from numpy.typing import NDArray

from synjit import units

from . import collecting, listing, memory, progress
from .methods import Inspectable, Part

INSTEAD = "stream the connections by iter_connections(), or multiply by the matrix"
MOST_IN_INT32 = 2**31 - 1


def factor(matrix: Inspectable, unit: Any) -> float:
    """Give what weights are to be multiplied by, to be in a unit.

    Raises
    ------
    TypeError
        A unit is missing, or is none.
    brainunit.UnitMismatchError
        The unit is of another dimension.
    """
    own = matrix.unit
    if own is None and unit is None:
        return 1.0
    if own is None:
        raise TypeError(
            f"the weights have no unit, so that none can be asked for; got {unit!r}"
        )
    if not units.is_unit(unit):
        raise TypeError(
            f"the weights are in {own}, and what is asked for has no units: say in "
            f"which unit they shall be written, as unit=M.unit; got {unit!r}"
        )
    import brainunit

    return float(brainunit.Quantity(1.0, unit=own).to_decimal(unit))


def scaled(numbers: NDArray, by: float) -> NDArray:
    """Multiply weights, if there is anything to do."""
    return numbers if by == 1.0 else numbers * numbers.dtype.type(by)


# --- SciPy ------------------------------------------------------------------------


def compressed(matrix: Inspectable, layout: Literal["csc", "csr"], unit: Any) -> Any:
    """Store a matrix in compressed columns or rows."""
    import scipy.sparse

    by = factor(matrix, unit)
    _check_dtype(matrix)
    parts = matrix._parts()  # noqa: SLF001
    every = map(range, matrix.shape)
    mean = collecting.expected(matrix, *every)
    each = collecting.INDEX_BYTES + matrix.dtype.itemsize
    # Another layout, and blocks that are put together, are a second copy.
    copies = 1 if len(parts) == 1 and _own_layout(parts[0]) == layout else 2
    if mean > MOST_IN_INT32:
        each += collecting.INDEX_BYTES
    need = memory.likely_most(mean) * each * copies + 8 * sum(matrix.shape)
    memory.check_fits(need, f"{mean:,.0f} connections in {layout}", INSTEAD)
    steps = ((own, len(own[1].rows)) for own in _pieces_of(parts))
    shown = progress.shown(steps, mean, "listing connections")
    stored = _store(parts, shown, matrix.dtype, by)
    if len(parts) == 1:
        result = stored[0].asformat(layout)
    else:
        result = scipy.sparse.block_array(_grid(parts, stored), format=layout)
    result.sort_indices()
    return result


def _own_layout(part: Part) -> str:
    return "csr" if part.matrix.transposed else "csc"


def _pieces_of(parts: list[Part]) -> Iterator[tuple[int, listing.Piece]]:
    for i, part in enumerate(parts):
        stored = part.matrix.shape[:: -1 if part.matrix.transposed else 1]
        for own in listing.pieces(part.matrix, *map(range, stored)):
            yield i, own


def _store(
    parts: list[Part],
    pieces: Iterator[tuple[int, listing.Piece]],
    dtype: np.dtype,
    by: float,
) -> list[Any]:
    """Store each part as it is listed."""
    import scipy.sparse

    arrays, ends = [], []
    for part in parts:
        m, n = part.matrix.shape
        room = memory.likely_most(listing.expected(part.matrix, m, n))
        arrays.append(collecting.Growing(room, (np.int32, dtype)))
        ends.append(np.zeros((m if part.matrix.transposed else n) + 1, np.int64))
    for i, own in pieces:
        arrays[i].append(own.rows, scaled(own.weights.astype(dtype, copy=False), by))
        np.add.at(ends[i], own.columns + 1, own.counts)
    result = []
    for part, filled, end in zip(parts, arrays, ends, strict=True):
        kind = getattr(scipy.sparse, f"{_own_layout(part)}_array")
        indices, data = filled.done()
        np.cumsum(end, out=end)
        if filled.filled <= MOST_IN_INT32:
            end = end.astype(np.int32)  # noqa: PLW2901
        result.append(kind((data, indices, end), shape=part.matrix.shape))
    return result


def _grid(parts: list[Part], stored: list[Any]) -> list[list[Any]]:
    rows = sorted({part.row for part in parts})
    columns = sorted({part.column for part in parts})
    grid: list[list[Any]] = [[None] * len(columns) for _ in rows]
    for part, array in zip(parts, stored, strict=True):
        grid[rows.index(part.row)][columns.index(part.column)] = array
    return grid


def coordinates(matrix: Inspectable, unit: Any) -> Any:
    """Store a matrix as a list of coordinates."""
    import scipy.sparse

    by = factor(matrix, unit)
    _check_dtype(matrix)
    found = collecting.collect(matrix, *map(range, matrix.shape))
    numbers = scaled(_plain(found.weights), by)
    return scipy.sparse.coo_array((numbers, found[:2]), shape=matrix.shape)


def _plain(weights: Any) -> NDArray:
    return np.asarray(units.split(weights)[0])


def _check_dtype(matrix: Inspectable) -> None:
    if matrix.dtype.itemsize < 4:
        raise TypeError(
            f"SciPy has no sparse arrays of {matrix.dtype}: take tobcoo(), "
            "connections(), or weights of float32"
        )


# --- JAX --------------------------------------------------------------------------


def bcoo(matrix: Inspectable, unit: Any) -> Any:
    """Store a matrix as JAX's batched coordinates."""
    from jax.experimental.sparse import BCOO

    by = factor(matrix, unit)
    found = collecting.collect(matrix, *map(range, matrix.shape))
    order = np.lexsort((found.columns, found.rows))
    indices = np.stack([found.rows[order], found.columns[order]], axis=1)
    numbers = scaled(_plain(found.weights)[order], by)
    with jax.ensure_compile_time_eval():
        return BCOO(
            (jax.numpy.asarray(numbers), jax.numpy.asarray(indices)),
            shape=matrix.shape,
            indices_sorted=True,
            unique_indices=True,
        )
