# SPDX-License-Identifier: Apache-2.0
"""A device's window of a matrix that is cut, or of each of its blocks."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from . import validation
from .blocks import JITBlocks
from .cut import Cut
from .jit_matrix import JITMatrix
from .reference import FixedOutDegree


def groups_of(
    matrix: JITMatrix | JITBlocks,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Lengths of the groups of rows and of columns."""
    if isinstance(matrix, JITBlocks):
        return matrix.groups
    (m, n) = matrix.shape
    return (m,), (n,)


def placed(matrix: JITMatrix | JITBlocks) -> list[tuple[int, int, JITMatrix]]:
    """List the blocks, each with its group of rows and of columns."""
    if isinstance(matrix, JITMatrix):
        return [(0, 0, matrix)]
    return [
        (i, j, block)
        for i, row in enumerate(matrix.blocks)
        for j, block in enumerate(row)
        if block is not None
    ]


def window_of(
    matrix: JITMatrix | JITBlocks, rows: Cut, columns: Cut
) -> JITMatrix | JITBlocks:
    """Give the device's window of a matrix, or of each of its blocks."""
    (m, first_rows), (n, first_columns) = rows.window(), columns.window()
    windows = [
        _of_block(
            block,
            (rows.filled[i], columns.filled[j]),
            (m[i], n[j]),
            (first_rows[i], first_columns[j]),
        )
        for i, j, block in placed(matrix)
    ]
    if isinstance(matrix, JITMatrix):
        return windows[0]
    places = tuple((i, j) for i, j, _ in placed(matrix))
    return JITBlocks.tree_unflatten((places, tuple(m), tuple(n)), tuple(windows))


def _of_block(
    block: JITMatrix,
    filled: tuple[int, int],
    shape: tuple[int, int],
    first: tuple[Any, Any],
) -> JITMatrix:
    """Give a window of a matrix that is filled up, from a row and a column of it on."""
    if block.transposed:
        filled, shape, first = filled[::-1], shape[::-1], first[::-1]
    origin = validation.check_origin(block.origin, filled)
    starts = [
        word + jnp.uint32(start)
        for word, start in zip(origin.words, first, strict=True)
    ]
    if origin.valid is not None:
        nowhere = np.uint32(2**32 - 1)  # which makes NaN
        starts = [jnp.where(origin.valid, start, nowhere) for start in starts]
    return block._with(  # noqa: SLF001
        prob=rule_of_windows(block),
        origin=tuple(starts),
        _stored_shape=shape,
        _known=block._known._replace(origin=False),  # noqa: SLF001
    )


def rule_of_windows(block: JITMatrix) -> Any:
    """Give the rule of connections, told of the rows of the whole if it needs them."""
    rule = block.prob
    if not isinstance(rule, FixedOutDegree):
        return rule
    (m, n), (row, _) = block.shape, block.origin
    known = int(row) if isinstance(row, (int, np.integer)) else None
    return FixedOutDegree(
        rule.k, rows=rule.rows_of(known, n if block.transposed else m)
    )
