# SPDX-License-Identifier: Apache-2.0
"""The functions that XLA calls: each reads a call frame, and runs a kernel in parts.

A handler gets the address of a frame and returns the address of an error, or 0.
Operands: seed (2,), origin (2,), law (LAW_WORDS,), then events or values, two-
dimensional with the batch last. Results: those of the product, then the workspace.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from synjit.reference.draw import LAW_WORDS, MIN_LOG2_CHUNK

from . import dense as dense_kernel
from . import events as event_kernels
from . import floats as float_kernels
from . import plan as p
from .draw import LANES, count_limits, typical_count
from .frame import (
    BUFFER_DATA,
    argument,
    array,
    attribute,
    dimension,
    is_handshake,
    result,
    word,
)
from .intrinsics import free, pointer_at
from .threads import in_parts
from .windows import chunk_range, list_active

u32 = np.uint32

PLAN_WORDS = 2 * p.PLAN_WORDS  # of 32 bits
LIST_END = 2 * LANES  # that may be read or written beyond a list of rows


def workspace_words(
    product: str, shape: tuple[int, int], transpose: bool, batch: int, itemsize: int
) -> int:
    """32-bit words of scratch memory that a product needs.

    ``product`` is "weighted" or one of the contract's.
    """
    m, n = shape
    words = PLAN_WORDS
    if product == "dense" or (product == "floats" and transpose):
        return words
    if transpose:
        chunks = (m >> MIN_LOG2_CHUNK) + 3
        words += m + LIST_END + chunks + (m // 4 + 1 if batch > 1 else 0)
        return words + (2 * n * batch if product == "weighted" else 0)
    per_row = batch * (2 * itemsize if product == "floats" else 8)
    return words + m * per_row // 4 + n + LIST_END


@njit(forceinline=True)
def _matrix(frame):
    """Seed, origin, law, and how many of its limits matter."""
    law = array(argument(frame, 2), u32, LAW_WORDS)
    return (
        array(argument(frame, 0), u32, 2),
        array(argument(frame, 1), u32, 2),
        law,
        count_limits(law),
    )


@njit(forceinline=True)
def _workspace(frame, i):
    """The plan, and the words after it."""
    buffer = result(frame, i)
    words = array(buffer, u32, dimension(buffer, 0))
    return words[:PLAN_WORDS].view(np.int64), words[PLAN_WORDS:]


@njit(forceinline=True)
def _accumulators(frame, i, plan, slot, dtype, itemsize):
    """Those of a slot: the first has them in the workspace."""
    address = word(result(frame, i), BUFFER_DATA) + 8 * p.PLAN_WORDS
    if slot > 0:
        address = plan[p.PRIVATE] + (slot - 1) * 8 * plan[p.SUM_WORDS]
    size = 8 * plan[p.SUM_WORDS] // itemsize
    return carray(pointer_at(address, dtype), (size,))


@njit(forceinline=True)
def _share(total, i, shares):
    """Where the i-th of equal shares begins."""
    return total * i // shares


@njit(forceinline=True)
def _tile(matrix, m, plan, part):
    """Chunks, and rows within the window, of a part's tile; and which split it is."""
    _, origin, law, _ = matrix
    k = np.int64(law[0])
    top = np.int64(origin[0])
    first, n_chunks = chunk_range(top, top + m, law[0])
    split, tile = divmod(part, plan[p.TILES])
    start = tile * plan[p.TILE_CHUNKS]
    depth = min(plan[p.TILE_CHUNKS], n_chunks - start)
    low = max(top, (first + start) << k)
    high = min(top + m, (first + start + depth) << k)
    return first + start, depth, low, high, split


# --- events -----------------------------------------------------------------------

# Of W @ events, three handlers, which differ in what they make of the accumulators:
# N and Z, or their weighted sum, in float32 or float64. A ``writer`` is three numba
# functions of a frame that write a range of rows from accumulators, a range from N and
# Z, and all rows where there are no events; and the number of the workspace's result.


@njit(forceinline=True)
def _sums(frame):
    """N and Z, the results, as flat arrays."""
    out = result(frame, 0)
    size = dimension(out, 0) * dimension(out, 1)
    return array(out, np.int32, size), array(result(frame, 1), np.int32, size)


@njit
def _unpack_sums(frame, both, begin, end):
    n, z = _sums(frame)
    event_kernels.unpack(both, n[begin:end], z[begin:end])


@njit
def _zero_sums(frame):
    n, z = _sums(frame)
    n[:] = 0
    z[:] = 0


def _weighted(dtype):
    """Make the writer of y, given w_loc and w_scale as further operands."""

    @njit(forceinline=True)
    def parts(frame):
        out = result(frame, 0)
        loc = array(argument(frame, 4), dtype, 1)[0]
        scale = array(argument(frame, 5), dtype, 1)[0]
        return loc, scale, array(out, dtype, dimension(out, 0) * dimension(out, 1))

    @njit
    def accumulators(frame, both, begin, end):
        loc, scale, y = parts(frame)
        event_kernels.weigh_accumulators(both, loc, scale, y[begin:end])

    @njit
    def sums(frame, n, z, begin, end):
        loc, scale, y = parts(frame)
        event_kernels.weigh_sums(n[begin:end], z[begin:end], loc, scale, y[begin:end])

    @njit
    def nothing(frame):
        loc, scale, y = parts(frame)
        event_kernels.weigh_nothing(loc, scale, y)

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
    def parse(frame):
        operand, out = argument(frame, 3), result(frame, 0)
        n, batch, m = dimension(operand, 0), dimension(operand, 1), dimension(out, 0)
        flags = array(operand, np.uint8, n * batch)
        plan, words = _workspace(frame, workspace)
        return _matrix(frame), flags, batch, m, n, plan, words[2 * m * batch :]

    @njit
    def run_part(frame, part, slot, fresh):
        matrix, flags, batch, m, _, plan, active = parse(frame)
        first, depth, low, high, split = _tile(matrix, m, plan, part)
        top = np.int64(matrix[1][0])
        splits, n_active = plan[p.SPLITS], plan[p.ACTIVE]
        active = active[
            _share(n_active, split, splits) : _share(n_active, split + 1, splits)
        ]
        both = _accumulators(frame, workspace, plan, slot, np.int64, 8)
        begin, end = (low - top) * batch, (high - top) * batch
        if splits == 1:
            both = both[: end - begin]
        if splits == 1 or fresh:
            both[:] = 0
        tile = (first, depth, low, high)
        if splits == 1:
            event_kernels.accumulate(matrix, flags, batch, active, tile, both)
            write(frame, both, begin, end)
        else:
            event_kernels.accumulate(
                matrix, flags, batch, active, tile, both[begin:end]
            )

    run = in_parts(run_part)

    @njit
    def call(frame):
        matrix, flags, batch, m, n, plan, active = parse(frame)
        n_active = list_active(flags, batch, n, active)
        if n_active == 0 or m == 0:
            write_nothing(frame)
            return
        plan[p.ACTIVE] = n_active
        parts = p.plan_tiles(
            frame, matrix, m, 8 * batch, attribute(frame, 0), True, plan
        )
        slots = run(frame, parts, plan[p.THREADS])
        if plan[p.SPLITS] > 1:
            both = _accumulators(frame, workspace, plan, 0, np.int64, 8)
            for slot in range(1, slots):
                further = _accumulators(frame, workspace, plan, slot, np.int64, 8)
                for i in range(both.size):
                    both[i] += further[i]
            write(frame, both, 0, both.size)
        if plan[p.PRIVATE] != 0:
            free(plan[p.PRIVATE])

    return call


@njit(forceinline=True)
def _bounds(m):
    """Words for the bounds of the chunks of m rows, of which two may be partial."""
    return (m >> MIN_LOG2_CHUNK) + 3


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
    def parse(frame):
        operand, out = argument(frame, 3), result(frame, 0)
        m, batch, n = dimension(operand, 0), dimension(operand, 1), dimension(out, 0)
        flags = array(operand, np.uint8, m * batch)
        plan, words = _workspace(frame, workspace)
        active, words = words[: m + LIST_END], words[m + LIST_END :]
        bounds, words = words[: _bounds(m)], words[_bounds(m) :]
        counts, sums, words = sums_of(frame, words)
        any_flags = flags if batch == 1 else words.view(np.uint8)
        matrix = _matrix(frame)
        return matrix, flags, batch, m, n, counts, sums, plan, active, bounds, any_flags

    @njit
    def run_part(frame, part, slot, fresh):
        matrix, flags, batch, m, n, counts, sums, plan, active, bounds, any_flags = (
            parse(frame)
        )
        first = part * plan[p.PART_COLUMNS]
        last = min(first + plan[p.PART_COLUMNS], n)
        event_kernels.gather(
            matrix,
            flags,
            any_flags,
            batch,
            m,
            active[: plan[p.ACTIVE]],
            bounds,
            first,
            last,
            counts,
            sums,
        )
        write(frame, counts, sums, first * batch, last * batch)

    run = in_parts(run_part)

    @njit
    def call(frame):
        matrix, flags, batch, m, n, _, _, plan, active, bounds, any_flags = parse(frame)
        n_active = list_active(flags, batch, m, active)
        if n_active == 0 or n == 0:
            write_nothing(frame)
            return
        _, origin, law, _ = matrix
        top = np.int64(origin[0])
        for i in range(n_active):
            active[i] = u32(active[i] + origin[0])
        first_chunk, n_chunks = chunk_range(top, top + m, law[0])
        event_kernels.bound_chunks(
            active[:n_active], first_chunk, n_chunks, law[0], bounds
        )
        if batch > 1:
            any_flags[:m] = 0
            for i in range(n_active):
                any_flags[active[i] - origin[0]] = 1
        plan[p.ACTIVE] = n_active
        listed = (typical_count(law) * m) >> np.int64(law[0])
        work = min(n_active, listed) + p.KEY_COST * min(n_chunks, n_active)
        parts = p.plan_columns(frame, n, work, plan)
        run(frame, parts, plan[p.THREADS])

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


# --- floats -----------------------------------------------------------------------


@njit(forceinline=True)
def _floats(frame, dtype, itemsize):
    matrix = _matrix(frame)
    operand, out = argument(frame, 3), result(frame, 0)
    n, batch, m = dimension(operand, 0), dimension(operand, 1), dimension(out, 0)
    values = array(operand, dtype, n * batch)
    a = array(out, dtype, m * batch)
    b = array(result(frame, 1), dtype, m * batch)
    plan, words = _workspace(frame, 2)
    active = words[m * batch * 2 * itemsize // 4 :]
    return matrix, values, batch, m, n, a, b, plan, active


@njit(forceinline=True)
def _add_floats(frame, part, slot, dtype, itemsize):
    matrix, values, batch, m, _, a, b, plan, active = _floats(frame, dtype, itemsize)
    first, depth, low, high, _ = _tile(matrix, m, plan, part)
    top = np.int64(matrix[1][0])
    sums = _accumulators(frame, 2, plan, slot, dtype, itemsize)
    sums = sums[: (high - low) * 2 * batch]
    sums[:] = 0
    active = active[: plan[p.ACTIVE]]
    float_kernels.accumulate(
        matrix, values, batch, active, first, depth, top, top + m, low, sums
    )
    begin, end = (low - top) * batch, (high - top) * batch
    float_kernels.unpack(sums, batch, a[begin:end], b[begin:end])


@njit(forceinline=True)
def _call_floats(frame, run, dtype, itemsize):
    matrix, values, batch, m, n, a, b, plan, active = _floats(frame, dtype, itemsize)
    n_active = float_kernels.list_nonzero(values, batch, n, active)
    if n_active == 0 or m == 0:
        a[:] = 0
        b[:] = 0
        return
    plan[p.ACTIVE] = n_active
    parts = p.plan_tiles(
        frame, matrix, m, 2 * batch * itemsize, attribute(frame, 0), False, plan
    )
    run(frame, parts, plan[p.THREADS])
    if plan[p.PRIVATE] != 0:
        free(plan[p.PRIVATE])


@njit(forceinline=True)
def _floats_transposed(frame, dtype):
    matrix = _matrix(frame)
    operand, out = argument(frame, 3), result(frame, 0)
    m, batch, n = dimension(operand, 0), dimension(operand, 1), dimension(out, 0)
    values = array(operand, dtype, m * batch)
    a = array(out, dtype, n * batch)
    b = array(result(frame, 1), dtype, n * batch)
    plan, _ = _workspace(frame, 2)
    return matrix, values, batch, m, n, a, b, plan


@njit(forceinline=True)
def _gather_floats(frame, part, dtype):
    matrix, values, batch, m, n, a, b, plan = _floats_transposed(frame, dtype)
    first = part * plan[p.PART_COLUMNS]
    last = min(first + plan[p.PART_COLUMNS], n)
    float_kernels.gather(matrix, values, batch, m, first, last, a, b)


@njit(forceinline=True)
def _call_floats_transposed(frame, run, dtype):
    matrix, _, batch, m, n, a, b, plan = _floats_transposed(frame, dtype)
    if n == 0 or m == 0:
        a[:] = 0
        b[:] = 0
        return
    work = (typical_count(matrix[2]) * m) >> np.int64(matrix[2][0])
    parts = p.plan_columns(frame, n, work * batch + p.KEY_COST, plan)
    run(frame, parts, plan[p.THREADS])


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
    if not is_handshake(frame):
        _call_floats(frame, _run_floats_32, np.float32, 4)
    return 0


def floats_float64(frame):
    """Operand (n, batch); results (m, batch), A and B."""
    if not is_handshake(frame):
        _call_floats(frame, _run_floats_64, np.float64, 8)
    return 0


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


# --- dense ------------------------------------------------------------------------


@njit(forceinline=True)
def _dense(frame):
    out = result(frame, 0)
    m, n = dimension(out, 0), dimension(out, 1)
    plan, _ = _workspace(frame, 1)
    return _matrix(frame), m, n, array(out, np.int32, m * n), plan


@njit
def _dense_part(frame, part, slot, fresh):
    matrix, m, n, entries, plan = _dense(frame)
    first = part * plan[p.PART_COLUMNS]
    last = min(first + plan[p.PART_COLUMNS], n)
    dense_kernel.write(matrix, m, n, first, last, entries)


_run_dense = in_parts(_dense_part)


def dense(frame):
    """Result int32 (m, n)."""
    if is_handshake(frame):
        return 0
    matrix, m, n, entries, plan = _dense(frame)
    if m == 0 or n == 0:
        return 0
    work = (typical_count(matrix[2]) * m) >> np.int64(matrix[2][0])
    parts = p.plan_columns(frame, n, work + m // LANES + p.KEY_COST, plan)
    _run_dense(frame, parts, plan[p.THREADS])
    return 0


HANDLERS = {
    handler.__name__: handler
    for handler in (
        events,
        events_transposed,
        weighted_float32,
        weighted_float64,
        weighted_transposed_float32,
        weighted_transposed_float64,
        floats_float32,
        floats_float64,
        floats_transposed_float32,
        floats_transposed_float64,
        dense,
    )
}
