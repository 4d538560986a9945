# SPDX-License-Identifier: Apache-2.0
"""Rows and columns that users ask for: numbers, slices, and pairs of them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from synjit.validation import describe


def neuron(number: Any, length: int, what: str) -> int:
    """Check the number of a row or a column, which is 0 or more.

    Parameters
    ----------
    number : int
    length : int
        How many there are.
    what : str
        "row" or "column", for errors.

    Raises
    ------
    TypeError, IndexError
        It is no integer, or there is no such row or column.
    """
    index = _integer(number, what)
    if not 0 <= index < length:
        negative = f" (M[...] takes negative {what}s, as NumPy does)"
        raise IndexError(
            f"there is no {what} {index}: they are 0 .. {length - 1}"
            + (negative if index < 0 else "")
            if length
            else f"there is no {what} {index}: the matrix has no {what}s"
        )
    return index


def window(wanted: Any, length: int, what: str) -> range:
    """Read what is wanted of rows or columns: None for all, a number, or a slice.

    Returns
    -------
    range
        Ascending.

    Raises
    ------
    TypeError, ValueError, IndexError
        It is none of these.
    """
    if wanted is None:
        return range(length)
    if isinstance(wanted, slice):
        return ascending(range(length)[_slice(wanted, what)])
    index = neuron(wanted, length, what)
    return range(index, index + 1)


def ascending(numbers: range) -> range:
    """Give the same numbers from the lowest up."""
    return numbers if numbers.step > 0 else numbers[::-1]


def pair(key: Any) -> tuple[Any, Any]:
    """Take the index of a matrix apart into that of the rows and of the columns."""
    rows, columns = key, slice(None)
    if isinstance(key, tuple):
        if len(key) > 2:
            raise IndexError(
                f"a matrix has 2 axes, and {len(key)} indices were given: {key!r}"
            )
        rows, columns = (*key, slice(None), slice(None))[:2]
    return rows, columns


def numpy_index(index: Any, length: int, what: str) -> int | range:
    """Read one index as NumPy does: an integer, from the end if negative, or a slice.

    Raises
    ------
    TypeError, ValueError, IndexError
        It is something else, or out of range.
    """
    if isinstance(index, slice):
        return range(length)[_slice(index, what)]
    number = _integer(index, what)
    if not -length <= number < length:
        raise IndexError(
            f"{what} {number} is out of range: there are {length}, numbered "
            f"{-length} .. {length - 1}"
        )
    return number % length


def _slice(index: slice, what: str) -> slice:
    """Check the parts of a slice."""
    parts = (index.start, index.stop, index.step)
    start, stop, step = (None if p is None else _integer(p, what) for p in parts)
    if step == 0:
        raise ValueError(f"the step of a slice of {what}s must not be 0")
    return slice(start, stop, step)


def _integer(value: Any, what: str) -> int:
    wanted = f"{what} must be an integer"
    if isinstance(value, bool) or getattr(value, "dtype", None) == np.bool_:
        raise TypeError(f"{wanted}, got {describe(value)}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"{wanted}, got {describe(value)}: of several that are no slice, ask one "
            "by one"
        ) from None


def cut(numbers: range, first: int, length: int) -> range:
    """Those of ascending numbers in first .. first + length - 1, counted from first."""
    step = numbers.step
    skipped = max(0, -(-(first - numbers.start) // step))
    ahead = max(0, -(-(first + length - numbers.start) // step))
    inside = numbers[skipped:ahead]
    return range(inside.start - first, inside.stop - first, step)


def axis(number: Any) -> int:
    """Read an axis of a matrix: 0 or 1.

    Raises
    ------
    TypeError, ValueError
        It is none.
    """
    index = _integer(number, "axis")
    if not -2 <= index <= 1:
        raise ValueError(
            "axis must be 0, for the connections of each column, or 1, for those of "
            f"each row; got {index}"
        )
    return index % 2
