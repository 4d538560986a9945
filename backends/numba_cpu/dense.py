# SPDX-License-Identifier: Apache-2.0
"""The matrix written out: z of every entry, or ABSENT."""

from __future__ import annotations

import numpy as np
from numba import njit

from synjit.reference import ABSENT

from .chunks import chunk_rows, pair_range, scratch, window_connections
from .draw import LANES, make_keys
from .out_degree import is_fixed
from .weights import weigh

u32 = np.uint32

# Chunks up to this length are filled just before they are written to, LANES columns
# at a time, and stay in cache between; longer ones, all columns of a part at once.
NARROW_FILL = 1024


@njit
def write(matrix, m, n, first, last, entries):
    """Write the columns first .. last - 1 of ``entries``, int32 (m, n).

    LANES neighbouring columns go down the rows together, so that a cache line is
    filled before it is left.
    """
    origin = matrix.origin
    columns, chunks, keys, rows, z = scratch()
    connectivity = matrix.connectivity
    top, bottom = np.int64(origin[0]), np.int64(origin[0]) + m
    offset = u32(top)
    first_chunk, n_chunks = pair_range(connectivity, top, bottom)
    for q in range(n_chunks):
        if is_fixed(connectivity):  # all segments write to all rows
            low, high = top, bottom if q == 0 else top
        else:
            low, high = chunk_rows(first_chunk + q, connectivity[0], top, bottom)
        narrow = high - low <= NARROW_FILL
        if not narrow:
            for row in range(low - top, high - top):
                entries[row * n + first : row * n + last] = ABSENT
        for column in range(first, last, LANES):
            lanes = min(np.int64(LANES), last - column)
            if narrow:
                for row in range(low - top, high - top):
                    at = row * n + column
                    entries[at : at + lanes] = ABSENT
            for lane in range(lanes):
                columns[lane] = u32(u32(column + lane) + origin[1])
                chunks[lane] = u32(first_chunk + q)
            make_keys(matrix, columns, chunks, keys)
            for lane in range(lanes):
                found = window_connections(
                    keys, lane, chunks[lane], connectivity, top, bottom, rows
                )
                weigh(matrix.table, keys, lane, u32(0), rows, found, z)
                at = np.uint64(column + lane)
                for t in range(found):
                    row = np.uint64(u32(rows[t] - offset))
                    entries[row * np.uint64(n) + at] = z[t]
