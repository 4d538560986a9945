# SPDX-License-Identifier: Apache-2.0
"""A and B, of the mask and of its z times values: W @ v and W.T @ v.

An accumulator is a pair (or, in a batch, a row) of A and then of B. The order of the
additions into one never depends on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .chunks import block_of_pairs, has_any, pair_range, scratch, window_connections
from .draw import LANES, make_keys
from .weights import weigh

u32 = np.uint32


@njit
def list_nonzero(values, batch, items, active):
    """List the items (rows of ``values``) that are not all zero, ascending."""
    count = 0
    for j in range(items):
        active[count] = u32(j)
        count += np.int64(has_any(values, batch, j))
    return count


@njit
def accumulate(
    matrix, values, batch, active, first_chunk, n_chunks, top, bottom, base, sums
):
    """Add the columns ``active`` times their values, in some chunks.

    As ``events.accumulate``, with the accumulators float (rows, 2, batch).
    """
    origin, table = matrix.origin, matrix.table
    columns, chunks, keys, rows, z = scratch()
    connectivity = matrix.connectivity
    offset = u32(base)
    for first in range(0, active.size * n_chunks, LANES):
        lanes = block_of_pairs(
            first, active, origin, first_chunk, n_chunks, columns, chunks
        )
        make_keys(matrix, columns, chunks, keys)
        for lane in range(lanes):
            found = window_connections(
                keys, lane, chunks[lane], connectivity, top, bottom, rows
            )
            weigh(table, keys, lane, u32(0), rows, found, z)
            at = np.int64(u32(columns[lane] - origin[1])) * batch
            _add(rows, z, found, offset, values[at : at + batch], sums)


@njit
def _add(rows, z, found, offset, values, sums):
    batch = values.size
    if batch == 1:
        value = values[0]
        for t in range(found):
            into = np.uint64(u32(rows[t] - offset)) * np.uint64(2)
            sums[into] += value
            sums[into + np.uint64(1)] += value * values.dtype.type(z[t])
        return
    for t in range(found):
        into = np.int64(u32(rows[t] - offset)) * 2 * batch
        weight = values.dtype.type(z[t])
        for b in range(batch):
            sums[into + b] += values[b]
        for b in range(batch):
            sums[into + batch + b] += values[b] * weight


@njit
def unpack(sums, batch, a, b):
    """Part accumulators into A and B."""
    for i in range(a.size // batch):
        for j in range(batch):
            a[i * batch + j] = sums[2 * i * batch + j]
            b[i * batch + j] = sums[2 * i * batch + batch + j]


@njit
def gather(matrix, values, batch, m, first, last, a, b):
    """A and B of the columns first .. last - 1 of W.T @ values."""
    origin, table = matrix.origin, matrix.table
    columns, chunks, keys, rows, z = scratch()
    connectivity = matrix.connectivity
    top, bottom = np.int64(origin[0]), np.int64(origin[0]) + m
    a[first * batch : last * batch] = 0
    b[first * batch : last * batch] = 0
    first_chunk, n_chunks = pair_range(connectivity, top, bottom)
    for q in range(n_chunks):
        for column in range(first, last, LANES):
            lanes = min(np.int64(LANES), last - column)
            for lane in range(lanes):
                columns[lane] = u32(u32(column + lane) + origin[1])
                chunks[lane] = u32(first_chunk + q)
            make_keys(matrix, columns, chunks, keys)
            for lane in range(lanes):
                found = window_connections(
                    keys, lane, chunks[lane], connectivity, top, bottom, rows
                )
                weigh(table, keys, lane, u32(0), rows, found, z)
                into = (column + lane) * batch
                _gather(rows, z, found, u32(top), values, batch, into, a, b)


# Reassociation lets the sum of a chunk use all lanes of a vector. It happens when
# the kernel is compiled, so that the order of a sum is the same on every run.
@njit(fastmath={"reassoc", "contract"})
def _gather(rows, z, found, offset, values, batch, into, a, b):
    if batch == 1:
        a_sum = values.dtype.type(0)
        b_sum = values.dtype.type(0)
        for t in range(found):
            value = values[u32(rows[t] - offset)]
            a_sum += value
            b_sum += value * values.dtype.type(z[t])
        a[into] += a_sum
        b[into] += b_sum
        return
    for t in range(found):
        at = np.int64(u32(rows[t] - offset)) * batch
        weight = values.dtype.type(z[t])
        for i in range(batch):
            a[into + i] += values[at + i]
            b[into + i] += values[at + i] * weight
