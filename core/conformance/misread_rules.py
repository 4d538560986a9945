# SPDX-License-Identifier: Apache-2.0
"""Mistaken readings of the rules of connections, for a diagnosis to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synjit.reference import Connectivity, FixedOutDegree, draw

from .cases import Case

# In the place of ``draw.is_connected``.
IsConnected = Callable[..., NDArray[np.bool_]]


def misread_rules(case: Case) -> Iterator[tuple[IsConnected, str]]:
    """Give readings of a case's rule that are wrong, and what each is as if."""
    rules = [prob for row in case.grid for prob in row] or [case.prob]
    if not case.self_connections:
        guess = "it is as if there were self-connections: is self_connections ignored?"
        yield _with_self, guess
        guess = (
            "it is as if row i and column i of the window were the same neuron: the "
            "origin counts"
        )
        yield _local(case), guess
    if any(isinstance(rule, FixedOutDegree) for rule in rules):
        yield (
            _not_walked,
            "it is as if connections beyond the last row were lost: they must walk on",
        )
        yield _walked_once, "it is as if P were applied once more, and not until inside"


def _with_self(row: Any, column: Any, keys: Any, c: Connectivity) -> NDArray[np.bool_]:
    return draw.is_connected(row, column, keys, c._replace(self_connections=True))


def _local(case: Case) -> IsConnected:
    top, left = case.origin

    def is_connected(
        row: Any, column: Any, keys: Any, c: Connectivity
    ) -> NDArray[np.bool_]:
        connected = _with_self(row, column, keys, c)
        if c.self_connections:
            return connected
        return connected & (np.int64(row) - top != np.int64(column) - left)

    return is_connected


def _not_walked(row: Any, column: Any, keys: Any, c: Connectivity) -> NDArray[np.bool_]:
    return draw.is_connected(row, column, keys, c._replace(rows=0))


def _walked_once(
    row: Any, column: Any, keys: Any, c: Connectivity
) -> NDArray[np.bool_]:
    if not c.rows:
        return draw.is_connected(row, column, keys, c)
    first = draw.place_inverse(row, keys, c.log2_chunk)
    second = draw.place_inverse(first, keys, c.log2_chunk)
    inside = draw.is_allowed(first, column, c)
    number = np.where(inside, first, second)
    there = inside | draw.is_allowed(second, column, c)
    if not c.self_connections:
        number = number - (number > column)
    return draw.is_allowed(row, column, c) & there & (number < c.base)
