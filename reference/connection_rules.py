# SPDX-License-Identifier: Apache-2.0
"""Rules of connections: which neurons are connected, whatever the weights.

A rule is data: what ``draw.Connectivity`` holds. Wherever a product or a matrix takes
``prob``, it takes a rule instead.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from numbers import Real
from typing import TypeAlias

import numpy as np

from .draw import MAX_LIMITS, MIN_LOG2_CHUNK, Connectivity, count_distribution

MAX_ROWS = 2**31 - 1


@dataclass(frozen=True)
class Bernoulli:
    """Every pair of neurons is connected with the same probability, independently.

    ``Bernoulli(0.1)`` is what the number 0.1 stands for.

    Parameters
    ----------
    prob : float
        In [0, 1].

    Examples
    --------
    >>> import synjit
    >>> rule = synjit.Bernoulli(0.5)
    >>> M = synjit.JITNormal(1.0, 0.1, rule, 42, shape=(3, 5))
    >>> M == synjit.JITNormal(1.0, 0.1, 0.5, 42, shape=(3, 5))
    True
    """

    prob: float

    def __post_init__(self) -> None:
        """Check the probability."""
        if not isinstance(self.prob, Real):
            raise TypeError(
                "the prob of Bernoulli must be a Python or NumPy number, got "
                f"{self.prob!r}: give one that is traced without Bernoulli(...)"
            )
        if not 0 <= self.prob <= 1:
            raise ValueError(f"prob must be in [0, 1], got {self.prob}")
        object.__setattr__(self, "prob", float(self.prob))


@dataclass(frozen=True)
class FixedOutDegree:
    """Every pre-synaptic neuron has exactly k targets, all different.

    Each set of k rows is as likely as any other for a column, and columns are
    independent: the number of connections of a row is Binomial(columns, k / rows).
    A product ``M @ events`` costs what the connections of the active columns cost, as
    with a ``prob``. The transpose has a fixed in-degree, k sources for each row; a
    product with it looks at every column, for k connections or for each active row,
    whichever are fewer.

    The k targets depend on the number of rows: a smaller matrix is **not** the corner
    of a larger one, as it is with a ``prob``. So a window of a matrix must be told
    how many rows there are in all.

    Parameters
    ----------
    k : int
        Number of connections of each column, from 0 to the number of rows, or to one
        less without self-connections. It is known when the matrix is made: of Python
        or NumPy, not traced.
    rows : int, optional
        Number of rows of the whole matrix; without it, those of the matrix itself. A
        window that begins in another row than 0, or has fewer rows than there are,
        needs it.

    Examples
    --------
    >>> import synjit
    >>> rule = synjit.FixedOutDegree(3)
    >>> W = synjit.jits(1.0, rule, 42, shape=(10, 4))
    >>> W.sum(axis=0)
    Array([3., 3., 3., 3.], dtype=float32)
    >>> rule = synjit.FixedOutDegree(3, rows=10)
    >>> lower = synjit.jits(1.0, rule, 42, shape=(5, 4), origin=(5, 0))
    >>> bool((W[5:] == lower).all())
    True
    """

    k: int
    rows: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers, as far as they can be without a shape."""
        object.__setattr__(self, "k", _index(self.k, "k"))
        if self.rows is None:
            return
        object.__setattr__(self, "rows", _index(self.rows, "rows"))
        if not self.k <= self.rows <= MAX_ROWS:
            raise ValueError(
                f"FixedOutDegree needs rows from k, {self.k}, to {MAX_ROWS}, got "
                f"{self.rows}: a column has k different rows"
            )

    def connectivity(self, rows: int, self_connections: bool = True) -> Connectivity:
        """Give what a draw needs to know, for a matrix of so many rows in all.

        Raises
        ------
        ValueError
            There are fewer rows than k.
        """
        allowed = rows - (not self_connections)
        if self.k > max(allowed, 0):
            without = "" if self_connections else ", without the neuron itself,"
            raise ValueError(
                f"FixedOutDegree(k={self.k}) needs {self.k} different rows{without} "
                f"and there are {max(allowed, 0)}: take a smaller k, or a prob"
            )
        none = np.full(MAX_LIMITS, 2**32 - 1, np.uint32)
        log2_chunk = max(MIN_LOG2_CHUNK, (rows - 1).bit_length())
        return Connectivity(log2_chunk, self.k, none, max(rows, 1), self_connections)

    def rows_of(self, first_row: int | None, rows: int) -> int:
        """Number of rows of the whole, of a window that begins at ``first_row``.

        Raises
        ------
        ValueError
            It is not said, or the window does not fit. (A first row that is not known
            yet is None, and is not looked at.)
        """
        if self.rows is None:
            if first_row == 0:
                return rows
            begins = "in a row that is traced" if first_row is None else first_row
            raise ValueError(
                f"{self!r} must be told the number of rows of the whole matrix, for a "
                f"window of it with an origin ({begins}): give FixedOutDegree("
                f"{self.k}, rows=...)"
            )
        last = (first_row or 0) + rows
        if last > self.rows:
            raise ValueError(
                f"{self!r} has {self.rows} rows in all, and the window ends at row "
                f"{last}: give as rows those of the whole matrix"
            )
        return self.rows


Rule: TypeAlias = Bernoulli | FixedOutDegree


def connectivity_of(
    rule: float | Rule,
    rows: int,
    first_row: int = 0,
    self_connections: bool = True,
) -> Connectivity:
    """Give what a draw needs to know, of a rule or a prob and a window's rows."""
    if isinstance(rule, FixedOutDegree):
        return rule.connectivity(rule.rows_of(first_row, rows), self_connections)
    prob = rule.prob if isinstance(rule, Bernoulli) else rule
    return count_distribution(prob)._replace(self_connections=self_connections)


def _index(value: object, name: str) -> int:
    wanted = f"{name} of FixedOutDegree must be a Python or NumPy integer of 0 or more"
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{wanted}, got {value!r}")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{wanted}, got {value!r} of {type(value).__name__}") from None
    if number < 0:
        raise ValueError(f"{wanted}, got {number}")
    return number
