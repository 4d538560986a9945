# SPDX-License-Identifier: Apache-2.0
"""How objects show themselves in a notebook: small tables, without styles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

from .reference import FixedOutDegree


def table(caption: str, rows: Iterable[Sequence[object]]) -> str:
    """Write a table in HTML; the first cell of each row is its head."""
    lines = [f"<table><caption>{escape(caption)}</caption>"]
    for head, *cells in rows:
        body = "".join(f"<td>{escape(str(cell))}</td>" for cell in cells)
        lines.append(f"<tr><th>{escape(str(head))}</th>{body}</tr>")
    return "\n".join([*lines, "</table>"])


def connections(matrices: Iterable[Any]) -> list[tuple[str, str]]:
    """Give a row with the mean number of connections, if it is known, and their size.

    Self-connections that are left out are counted.
    """
    number = 0.0
    for matrix in matrices:
        rule, shape = matrix.prob, matrix.shape
        if isinstance(rule, FixedOutDegree):
            number += rule.k * shape[0 if matrix.transposed else 1]
        elif isinstance(rule, (int, float, np.number)):
            number += float(rule) * shape[0] * shape[1]
        else:  # an array, which may not be known yet
            return []
    size, unit = 8 * number, "bytes"  # a row and a float32 weight
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    text = f"{number:,.0f} expected; stored {size:.3g} {unit}, here none"
    return [("connections", text)]
