# SPDX-License-Identifier: Apache-2.0
"""Handlers of events: N and Z, or their weighted sum, of W @ events and W.T @ events.

Of each direction there is one, for N and Z and for both dtypes of the sum: they differ
in what is written in the end, which the call frame says.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from . import events as kernels
from . import partition as p
from .chunks import chunk_range
from .draw import typical_connections
from .errors import out_of_memory
from .frame import (
    FLOAT32,
    argument,
    array,
    attribute,
    data_type,
    dimension,
    is_handshake,
    result,
    results,
)
from .intrinsics import free
from .operands import (
    accumulators_of,
    bounds_words,
    list_of,
    make_list,
    matrix_of,
    share,
    tile_of,
    workspace_of,
)
from .threads import in_parts

u32 = np.uint32


@njit(forceinline=True)
def _workspace(frame):
    """Number of the workspace among the results, the last of them."""
    return results(frame) - 1


@njit(forceinline=True)
def _sums(frame):
    """N and Z, the results, as flat arrays."""
    out = result(frame, 0)
    size = dimension(out, 0) * dimension(out, 1)
    return array(out, np.int32, size), array(result(frame, 1), np.int32, size)


@njit(forceinline=True)
def _weighted(frame, dtype):
    """w_loc, w_scale and y of a weighted sum."""
    out = result(frame, 0)
    loc = array(argument(frame, 5), dtype, 1)[0]
    scale = array(argument(frame, 6), dtype, 1)[0]
    return loc, scale, array(out, dtype, dimension(out, 0) * dimension(out, 1))


@njit
def _write(frame, both, begin, end):
    """Write the results' entries begin .. end - 1 from their accumulators."""
    if _workspace(frame) == 2:
        n, z = _sums(frame)
        kernels.unpack(both, n[begin:end], z[begin:end])
    elif data_type(result(frame, 0)) == FLOAT32:
        loc, scale, y = _weighted(frame, np.float32)
        kernels.weigh_accumulators(both, loc, scale, y[begin:end])
    else:
        loc_64, scale_64, y_64 = _weighted(frame, np.float64)
        kernels.weigh_accumulators(both, loc_64, scale_64, y_64[begin:end])


@njit
def _weigh(frame, n, z, begin, end):
    """Write the entries begin .. end - 1 of a weighted sum from N and Z."""
    if data_type(result(frame, 0)) == FLOAT32:
        loc, scale, y = _weighted(frame, np.float32)
        kernels.weigh_sums(n[begin:end], z[begin:end], loc, scale, y[begin:end])
    else:
        loc_64, scale_64, y_64 = _weighted(frame, np.float64)
        kernels.weigh_sums(
            n[begin:end], z[begin:end], loc_64, scale_64, y_64[begin:end]
        )


@njit
def _write_nothing(frame):
    """Write the results of no events."""
    if _workspace(frame) == 2:
        n, z = _sums(frame)
        n[:] = 0
        z[:] = 0
    elif data_type(result(frame, 0)) == FLOAT32:
        loc, scale, y = _weighted(frame, np.float32)
        kernels.weigh_nothing(loc, scale, y)
    else:
        loc_64, scale_64, y_64 = _weighted(frame, np.float64)
        kernels.weigh_nothing(loc_64, scale_64, y_64)


@njit(forceinline=True)
def _parse(frame):
    operand, out = argument(frame, 4), result(frame, 0)
    n, batch, m = dimension(operand, 0), dimension(operand, 1), dimension(out, 0)
    flags = array(operand, np.uint8, n * batch)
    partition, _ = workspace_of(frame, _workspace(frame))
    return matrix_of(frame), flags, batch, m, n, partition


@njit
def _run_part(frame, part, slot, fresh):
    matrix, flags, batch, m, _, partition = _parse(frame)
    first, depth, low, high, split = tile_of(matrix, m, partition, part)
    top = np.int64(matrix.origin[0])
    splits, n_active = partition[p.SPLITS], partition[p.ACTIVE]
    left, right = share(n_active, split, splits), share(n_active, split + 1, splits)
    active = list_of(partition)[left:right]
    both = accumulators_of(partition, slot, np.int64, 8)[: m * batch]
    begin, end = (low - top) * batch, (high - top) * batch
    if splits == 1:
        both = both[: end - begin]
    if splits == 1 or fresh:
        both[:] = 0
    tile, none = (first, depth, low, high), active[:0]
    own = both if splits == 1 else both[begin:end]
    kernels.accumulate(matrix, flags, batch, active, tile, own, none)
    if splits == 1:
        _write(frame, both, begin, end)


_run = in_parts(_run_part)


@njit
def _call(frame):
    _, flags, batch, m, n, partition = _parse(frame)
    done = True
    if not make_list(flags, batch, n, partition):
        return out_of_memory(frame)
    if partition[p.ACTIVE] == 0 or m == 0:
        _write_nothing(frame)
    else:
        done = _multiply(frame)
    free(partition[p.LIST])
    return 0 if done else out_of_memory(frame)


@njit
def _multiply(frame):
    """Go through the active columns; says whether there was memory for it."""
    matrix, _, batch, m, _, partition = _parse(frame)
    parts = p.partition_rows(
        frame, matrix, m, 8 * batch, attribute(frame, 0), True, partition
    )
    if parts == 0:
        return False
    slots = _run(frame, parts, partition[p.THREADS])
    if partition[p.SPLITS] > 1:
        both = accumulators_of(partition, 0, np.int64, 8)[: m * batch]
        for slot in range(1, slots):
            further = accumulators_of(partition, slot, np.int64, 8)
            for i in range(both.size):
                both[i] += further[i]
        _write(frame, both, np.int64(0), both.size)
    free(partition[p.SUMS])
    return True


# --- transposed -------------------------------------------------------------------


@njit(forceinline=True)
def _sums_of(frame, words):
    """N and Z, and what is left of the words of the workspace."""
    if _workspace(frame) == 2:
        n, z = _sums(frame)
        return n, z, words
    out = result(frame, 0)
    size = dimension(out, 0) * dimension(out, 1)
    n, z = words[:size].view(np.int32), words[size : 2 * size].view(np.int32)
    return n, z, words[2 * size :]


@njit(forceinline=True)
def _parse_transposed(frame):
    operand, out = argument(frame, 4), result(frame, 0)
    m, batch, n = dimension(operand, 0), dimension(operand, 1), dimension(out, 0)
    flags = array(operand, np.uint8, m * batch)
    partition, words = workspace_of(frame, _workspace(frame))
    bounds, words = words[: bounds_words(m)], words[bounds_words(m) :]
    counts, sums, words = _sums_of(frame, words)
    any_flags = flags if batch == 1 else words.view(np.uint8)
    matrix = matrix_of(frame)
    return (
        matrix,
        flags,
        batch,
        m,
        n,
        counts,
        sums,
        partition,
        bounds,
        any_flags,
    )


@njit
def _run_part_transposed(frame, part, slot, fresh):
    (
        matrix,
        flags,
        batch,
        m,
        n,
        counts,
        sums,
        partition,
        bounds,
        any_flags,
    ) = _parse_transposed(frame)
    first = part * partition[p.PART_COLUMNS]
    last = min(first + partition[p.PART_COLUMNS], n)
    kernels.gather(
        matrix,
        flags,
        any_flags,
        batch,
        m,
        list_of(partition),
        bounds,
        first,
        last,
        counts,
        sums,
    )
    if _workspace(frame) == 1:
        _weigh(frame, counts, sums, first * batch, last * batch)


_run_transposed = in_parts(_run_part_transposed)


@njit
def _call_transposed(frame):
    _, flags, batch, m, n, _, _, partition, _, _ = _parse_transposed(frame)
    if not make_list(flags, batch, m, partition):
        return out_of_memory(frame)
    if partition[p.ACTIVE] == 0 or n == 0:
        _write_nothing(frame)
    else:
        _multiply_transposed(frame)
    free(partition[p.LIST])
    return 0


@njit
def _multiply_transposed(frame):
    """Go through all columns, for the sake of the active rows."""
    matrix, _, batch, m, n, _, _, partition, bounds, any_flags = _parse_transposed(
        frame
    )
    active = list_of(partition)
    n_active = active.size
    origin, k = matrix.origin, matrix.connectivity[0]
    top = np.int64(origin[0])
    for i in range(n_active):
        active[i] = u32(active[i] + origin[0])
    first_chunk, n_chunks = chunk_range(top, top + m, k)
    kernels.bound_chunks(active, first_chunk, n_chunks, k, bounds)
    if batch > 1:
        any_flags[:m] = 0
        for i in range(n_active):
            any_flags[active[i] - origin[0]] = 1
    listed = typical_connections(matrix.connectivity, m)
    work = min(n_active, listed) + p.KEY_COST * min(n_chunks, n_active)
    parts = p.partition_columns(frame, n, work, partition)
    _run_transposed(frame, parts, partition[p.THREADS])


# --- handlers ---------------------------------------------------------------------


def events(frame):
    """Operand bool (n, batch); results int32 (m, batch), N and Z.

    Of the weighted sum w_loc and w_scale are operands too, and the result is y.
    """
    return 0 if is_handshake(frame) else _call(frame)


def events_transposed(frame):
    """Operand bool (m, batch); results (n, batch), as of ``events``."""
    return 0 if is_handshake(frame) else _call_transposed(frame)
