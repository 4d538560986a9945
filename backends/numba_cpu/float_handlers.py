# SPDX-License-Identifier: Apache-2.0
"""Handlers of floats: A and B of W @ values and W.T @ values."""

from __future__ import annotations

import numpy as np
from numba import njit

from . import floats as kernels
from . import partition as p
from .draw import typical_connections
from .errors import out_of_memory
from .frame import argument, array, attribute, dimension, is_handshake, result
from .intrinsics import free
from .operands import accumulators_of, matrix_of, tile_of, workspace_of
from .threads import in_parts


@njit(forceinline=True)
def _floats(frame, dtype):
    matrix = matrix_of(frame)
    operand, out = argument(frame, 4), result(frame, 0)
    n, batch, m = dimension(operand, 0), dimension(operand, 1), dimension(out, 0)
    values = array(operand, dtype, n * batch)
    a = array(out, dtype, m * batch)
    b = array(result(frame, 1), dtype, m * batch)
    partition, active = workspace_of(frame, 2)
    return matrix, values, batch, m, n, a, b, partition, active


@njit(forceinline=True)
def _add_floats(frame, part, slot, dtype, itemsize):
    matrix, values, batch, m, _, a, b, partition, active = _floats(frame, dtype)
    first, depth, low, high, _ = tile_of(matrix, m, partition, part)
    top = np.int64(matrix.origin[0])
    sums = accumulators_of(partition, slot, dtype, itemsize)
    sums = sums[: (high - low) * 2 * batch]
    sums[:] = 0
    active = active[: partition[p.ACTIVE]]
    kernels.accumulate(
        matrix, values, batch, active, first, depth, top, top + m, low, sums
    )
    begin, end = (low - top) * batch, (high - top) * batch
    kernels.unpack(sums, batch, a[begin:end], b[begin:end])


@njit(forceinline=True)
def _call_floats(frame, run, dtype, itemsize):
    matrix, values, batch, m, n, a, b, partition, active = _floats(frame, dtype)
    n_active = kernels.list_nonzero(values, batch, n, active)
    if n_active == 0 or m == 0:
        a[:] = 0
        b[:] = 0
        return 0
    partition[p.ACTIVE] = n_active
    parts = p.partition_rows(
        frame, matrix, m, 2 * batch * itemsize, attribute(frame, 0), False, partition
    )
    if parts == 0:
        return out_of_memory(frame)
    run(frame, parts, partition[p.THREADS])
    free(partition[p.SUMS])
    return 0


@njit(forceinline=True)
def _floats_transposed(frame, dtype):
    matrix = matrix_of(frame)
    operand, out = argument(frame, 4), result(frame, 0)
    m, batch, n = dimension(operand, 0), dimension(operand, 1), dimension(out, 0)
    values = array(operand, dtype, m * batch)
    a = array(out, dtype, n * batch)
    b = array(result(frame, 1), dtype, n * batch)
    partition, _ = workspace_of(frame, 2)
    return matrix, values, batch, m, n, a, b, partition


@njit(forceinline=True)
def _gather_floats(frame, part, dtype):
    matrix, values, batch, m, n, a, b, partition = _floats_transposed(frame, dtype)
    first = part * partition[p.PART_COLUMNS]
    last = min(first + partition[p.PART_COLUMNS], n)
    kernels.gather(matrix, values, batch, m, first, last, a, b)


@njit(forceinline=True)
def _call_floats_transposed(frame, run, dtype):
    matrix, _, batch, m, n, a, b, partition = _floats_transposed(frame, dtype)
    if n == 0 or m == 0:
        a[:] = 0
        b[:] = 0
        return
    work = typical_connections(matrix.connectivity, m)
    parts = p.partition_columns(frame, n, work * batch + p.KEY_COST, partition)
    run(frame, parts, partition[p.THREADS])


@njit
def _floats_part_32(frame, part, slot, fresh):
    _add_floats(frame, part, slot, np.float32, 4)


@njit
def _floats_part_64(frame, part, slot, fresh):
    _add_floats(frame, part, slot, np.float64, 8)


@njit
def _floats_transposed_part_32(frame, part, slot, fresh):
    _gather_floats(frame, part, np.float32)


@njit
def _floats_transposed_part_64(frame, part, slot, fresh):
    _gather_floats(frame, part, np.float64)


_run_floats_32 = in_parts(_floats_part_32)
_run_floats_64 = in_parts(_floats_part_64)
_run_floats_transposed_32 = in_parts(_floats_transposed_part_32)
_run_floats_transposed_64 = in_parts(_floats_transposed_part_64)


def floats_float32(frame):
    """Operand (n, batch); results (m, batch), A and B."""
    if is_handshake(frame):
        return 0
    return _call_floats(frame, _run_floats_32, np.float32, 4)


def floats_float64(frame):
    """Operand (n, batch); results (m, batch), A and B."""
    if is_handshake(frame):
        return 0
    return _call_floats(frame, _run_floats_64, np.float64, 8)


def floats_transposed_float32(frame):
    """Operand (m, batch); results (n, batch), A and B."""
    if not is_handshake(frame):
        _call_floats_transposed(frame, _run_floats_transposed_32, np.float32)
    return 0


def floats_transposed_float64(frame):
    """Operand (m, batch); results (n, batch), A and B."""
    if not is_handshake(frame):
        _call_floats_transposed(frame, _run_floats_transposed_64, np.float64)
    return 0
