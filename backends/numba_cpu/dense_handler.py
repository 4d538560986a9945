# SPDX-License-Identifier: Apache-2.0
"""Handler of the matrix written out."""

from __future__ import annotations

import numpy as np
from numba import njit

from . import partition as p
from .dense import write
from .draw import LANES, typical_connections
from .frame import BUFFER_DATA, array, dimension, is_handshake, result, word
from .intrinsics import advise_huge_pages
from .operands import matrix_of, workspace_of
from .threads import in_parts


@njit(forceinline=True)
def _dense(frame):
    out = result(frame, 0)
    m, n = dimension(out, 0), dimension(out, 1)
    partition, _ = workspace_of(frame, 1)
    return matrix_of(frame), m, n, array(out, np.int32, m * n), partition


@njit
def _dense_part(frame, part, slot, fresh):
    matrix, m, n, entries, partition = _dense(frame)
    first = part * partition[p.PART_COLUMNS]
    last = min(first + partition[p.PART_COLUMNS], n)
    write(matrix, m, n, first, last, entries)


_run_dense = in_parts(_dense_part)


def dense(frame):
    """Result int32 (m, n), in a buffer of floats."""
    if is_handshake(frame):
        return 0
    matrix, m, n, entries, partition = _dense(frame)
    if m == 0 or n == 0:
        return 0
    advise_huge_pages(word(result(frame, 0), BUFFER_DATA), 4 * m * n)
    work = typical_connections(matrix.connectivity, m)
    parts = p.partition_columns(frame, n, work + m // LANES + p.KEY_COST, partition)
    _run_dense(frame, parts, partition[p.THREADS])
    return 0
