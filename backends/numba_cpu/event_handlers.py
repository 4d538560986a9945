# SPDX-License-Identifier: Apache-2.0
"""Handlers of events: N and Z, or their weighted sum, of W @ events and W.T @ events.

Each body is made once for N and Z and once for each dtype of the sum: they differ in
what is written in the end. A ``write`` function writes a range of the results' entries,
``write_nothing`` all of them, where there are no events.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from . import events as kernels
from . import partition as p
from .chunks import chunk_range, list_active
from .draw import typical_connections
from .frame import argument, array, attribute, dimension, is_handshake, result
from .intrinsics import free
from .naming import named_after
from .operands import (
    LIST_END,
    accumulators_of,
    bounds_words,
    matrix_of,
    share,
    tile_of,
    workspace_of,
)
from .threads import in_parts

u32 = np.uint32


@njit(forceinline=True)
def _sums(frame):
    """N and Z, the results, as flat arrays."""
    out = result(frame, 0)
    size = dimension(out, 0) * dimension(out, 1)
    return array(out, np.int32, size), array(result(frame, 1), np.int32, size)


@njit
def _unpack_sums(frame, both, begin, end):
    n, z = _sums(frame)
    kernels.unpack(both, n[begin:end], z[begin:end])


@njit
def _zero_sums(frame):
    n, z = _sums(frame)
    n[:] = 0
    z[:] = 0


def _weighted(dtype):
    """Make the writer of y, given w_loc and w_scale as further operands."""

    @njit(forceinline=True)
    @named_after(dtype)
    def parts(frame):
        out = result(frame, 0)
        loc = array(argument(frame, 5), dtype, 1)[0]
        scale = array(argument(frame, 6), dtype, 1)[0]
        return loc, scale, array(out, dtype, dimension(out, 0) * dimension(out, 1))

    @njit
    @named_after(dtype)
    def accumulators(frame, both, begin, end):
        loc, scale, y = parts(frame)
        kernels.weigh_accumulators(both, loc, scale, y[begin:end])

    @njit
    @named_after(dtype)
    def sums(frame, n, z, begin, end):
        loc, scale, y = parts(frame)
        kernels.weigh_sums(n[begin:end], z[begin:end], loc, scale, y[begin:end])

    @njit
    @named_after(dtype)
    def nothing(frame):
        loc, scale, y = parts(frame)
        kernels.weigh_nothing(loc, scale, y)

    return accumulators, sums, nothing


def _events(workspace, write, write_nothing):
    """Make the body of a handler of W @ events.

    Parameters
    ----------
    workspace : int
        Number of the result that is the workspace.
    write : numba function (frame, both, begin, end)
        Writes the results' entries begin .. end - 1 from their accumulators.
    write_nothing : numba function (frame,)
        Writes the results of no events.
    """

    @njit(forceinline=True)
    @named_after(workspace, write, write_nothing)
    def parse(frame):
        operand, out = argument(frame, 4), result(frame, 0)
        n, batch, m = dimension(operand, 0), dimension(operand, 1), dimension(out, 0)
        flags = array(operand, np.uint8, n * batch)
        partition, words = workspace_of(frame, workspace)
        return matrix_of(frame), flags, batch, m, n, partition, words[2 * m * batch :]

    @njit
    @named_after(workspace, write, write_nothing)
    def run_part(frame, part, slot, fresh):
        matrix, flags, batch, m, _, partition, active = parse(frame)
        first, depth, low, high, split = tile_of(matrix, m, partition, part)
        top = np.int64(matrix.origin[0])
        splits, n_active = partition[p.SPLITS], partition[p.ACTIVE]
        active = active[
            share(n_active, split, splits) : share(n_active, split + 1, splits)
        ]
        both = accumulators_of(frame, workspace, partition, slot, np.int64, 8)
        begin, end = (low - top) * batch, (high - top) * batch
        if splits == 1:
            both = both[: end - begin]
        if splits == 1 or fresh:
            both[:] = 0
        tile, none = (first, depth, low, high), active[:0]
        own = both if splits == 1 else both[begin:end]
        kernels.accumulate(matrix, flags, batch, active, tile, own, none)
        if splits == 1:
            write(frame, both, begin, end)

    run = in_parts(run_part)

    @njit
    @named_after(workspace, write, write_nothing)
    def call(frame):
        matrix, flags, batch, m, n, partition, active = parse(frame)
        n_active = list_active(flags, batch, n, active)
        if n_active == 0 or m == 0:
            write_nothing(frame)
            return
        partition[p.ACTIVE] = n_active
        parts = p.partition_rows(
            frame, matrix, m, 8 * batch, attribute(frame, 0), True, partition
        )
        slots = run(frame, parts, partition[p.THREADS])
        if partition[p.SPLITS] > 1:
            both = accumulators_of(frame, workspace, partition, 0, np.int64, 8)
            for slot in range(1, slots):
                further = accumulators_of(
                    frame, workspace, partition, slot, np.int64, 8
                )
                for i in range(both.size):
                    both[i] += further[i]
            write(frame, both, 0, both.size)
        if partition[p.PRIVATE] != 0:
            free(partition[p.PRIVATE])

    return call


def _events_transposed(workspace, sums_of, write, write_nothing):
    """Make the body of a handler of W.T @ events.

    Parameters
    ----------
    workspace, write_nothing
        As of ``_events``.
    sums_of : numba function (frame, words)
        N and Z, int32 arrays, and what is left of the workspace's words.
    write : numba function (frame, n, z, begin, end)
        Writes the results' entries begin .. end - 1, if they are not N and Z.
    """

    @njit(forceinline=True)
    @named_after(workspace, sums_of, write, write_nothing)
    def parse(frame):
        operand, out = argument(frame, 4), result(frame, 0)
        m, batch, n = dimension(operand, 0), dimension(operand, 1), dimension(out, 0)
        flags = array(operand, np.uint8, m * batch)
        partition, words = workspace_of(frame, workspace)
        active, words = words[: m + LIST_END], words[m + LIST_END :]
        bounds, words = words[: bounds_words(m)], words[bounds_words(m) :]
        counts, sums, words = sums_of(frame, words)
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
            active,
            bounds,
            any_flags,
        )

    @njit
    @named_after(workspace, sums_of, write, write_nothing)
    def run_part(frame, part, slot, fresh):
        (
            matrix,
            flags,
            batch,
            m,
            n,
            counts,
            sums,
            partition,
            active,
            bounds,
            any_flags,
        ) = parse(frame)
        first = part * partition[p.PART_COLUMNS]
        last = min(first + partition[p.PART_COLUMNS], n)
        kernels.gather(
            matrix,
            flags,
            any_flags,
            batch,
            m,
            active[: partition[p.ACTIVE]],
            bounds,
            first,
            last,
            counts,
            sums,
        )
        write(frame, counts, sums, first * batch, last * batch)

    run = in_parts(run_part)

    @njit
    @named_after(workspace, sums_of, write, write_nothing)
    def call(frame):
        matrix, flags, batch, m, n, _, _, partition, active, bounds, any_flags = parse(
            frame
        )
        n_active = list_active(flags, batch, m, active)
        if n_active == 0 or n == 0:
            write_nothing(frame)
            return
        origin, k = matrix.origin, matrix.connectivity[0]
        top = np.int64(origin[0])
        for i in range(n_active):
            active[i] = u32(active[i] + origin[0])
        first_chunk, n_chunks = chunk_range(top, top + m, k)
        kernels.bound_chunks(active[:n_active], first_chunk, n_chunks, k, bounds)
        if batch > 1:
            any_flags[:m] = 0
            for i in range(n_active):
                any_flags[active[i] - origin[0]] = 1
        partition[p.ACTIVE] = n_active
        listed = typical_connections(matrix.connectivity, m)
        work = min(n_active, listed) + p.KEY_COST * min(n_chunks, n_active)
        parts = p.partition_columns(frame, n, work, partition)
        run(frame, parts, partition[p.THREADS])

    return call


@njit(forceinline=True)
def _sums_are_results(frame, words):
    n, z = _sums(frame)
    return n, z, words


@njit(forceinline=True)
def _sums_in_workspace(frame, words):
    out = result(frame, 0)
    size = dimension(out, 0) * dimension(out, 1)
    n, z = words[:size].view(np.int32), words[size : 2 * size].view(np.int32)
    return n, z, words[2 * size :]


@njit
def _write_no_more(frame, n, z, begin, end):
    pass


_weighted_32, _weighted_64 = _weighted(np.float32), _weighted(np.float64)
_call_events = _events(2, _unpack_sums, _zero_sums)
_call_weighted_32 = _events(1, _weighted_32[0], _weighted_32[2])
_call_weighted_64 = _events(1, _weighted_64[0], _weighted_64[2])
_call_events_transposed = _events_transposed(
    2, _sums_are_results, _write_no_more, _zero_sums
)
_call_weighted_transposed_32 = _events_transposed(
    1, _sums_in_workspace, _weighted_32[1], _weighted_32[2]
)
_call_weighted_transposed_64 = _events_transposed(
    1, _sums_in_workspace, _weighted_64[1], _weighted_64[2]
)


def events(frame):
    """Operand bool (n, batch); results int32 (m, batch), N and Z."""
    if not is_handshake(frame):
        _call_events(frame)
    return 0


def events_transposed(frame):
    """Operand bool (m, batch); results int32 (n, batch), N and Z."""
    if not is_handshake(frame):
        _call_events_transposed(frame)
    return 0


def weighted_float32(frame):
    """Operands bool (n, batch), w_loc, w_scale; result y (m, batch)."""
    if not is_handshake(frame):
        _call_weighted_32(frame)
    return 0


def weighted_float64(frame):
    """Operands bool (n, batch), w_loc, w_scale; result y (m, batch)."""
    if not is_handshake(frame):
        _call_weighted_64(frame)
    return 0


def weighted_transposed_float32(frame):
    """Operands bool (m, batch), w_loc, w_scale; result y (n, batch)."""
    if not is_handshake(frame):
        _call_weighted_transposed_32(frame)
    return 0


def weighted_transposed_float64(frame):
    """Operands bool (m, batch), w_loc, w_scale; result y (n, batch)."""
    if not is_handshake(frame):
        _call_weighted_transposed_64(frame)
    return 0
