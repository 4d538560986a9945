# SPDX-License-Identifier: Apache-2.0
"""Handlers of a grid of matrices: y = W @ events, written once for all its blocks.

A part is a range of rows of one group of rows. It goes through the group's blocks in
order, and through each in tiles, which it weighs and adds to y.

Operands: of each block its seed (blocks, 2), origin (blocks, 2) and connectivity
(blocks, CONNECTIVITY_WORDS); the tables of the weights, one after the other; the
events; of each block w_loc and w_scale (blocks,), and its place (blocks, PLACE_WORDS),
sorted by row, then column. Results: y, and the scratch memory below.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from synjit.reference.draw import CONNECTIVITY_WORDS, MIN_LOG2_CHUNK

from . import events as kernels
from . import partition as p
from .chunks import pair_range
from .draw import Matrix, count_limits, typical_connections
from .errors import out_of_memory
from .frame import argument, array, attribute, dimension, is_handshake, result
from .intrinsics import free, stack_words
from .naming import named_after
from .operands import accumulators_of, list_of, make_list
from .out_degree import is_fixed
from .threads import available_threads, in_parts
from .weights import HELD, largest

u32 = np.uint32

# Results after y: scratch memory.
PARTITION, SCANS, PARTS = 1, 2, 3
# A place: the rows and the columns of the whole that a block takes up, and where its
# table begins, and how many words it has.
ROW, ROWS, COLUMN, COLUMNS, TABLE, TABLE_WORDS, PLACE_WORDS = 0, 1, 2, 3, 4, 5, 6
# A scan, made of a block before the parts begin: the number of its limits, where its
# columns begin and end in the list of active ones, and a bound of its table's z.
LIMITS, BEGIN, END, LARGEST, SCAN_WORDS = 0, 1, 2, 3, 4
NO_BOUND = u32(0xFFFFFFFF)
# A part: its group's blocks, from the first to before the last, and rows of the group.
FIRST, LAST, LOW, HIGH, PART_WORDS = 0, 1, 2, 3, 4
# Rows of a part, unless a chunk is longer: more than a tile, since the keys of chunks
# are made LANES at a time, and few enough for y to stay in the second-level cache.
PART_ROWS = 1 << 13
LEAST_ROWS = 1 << MIN_LOG2_CHUNK
FEW = 8  # times fewer connections than another block of its group has
TOUCHED = HELD  # rows in a list, at most
# What it costs to weigh a row that is found in a list, in rows weighed one by one.
TOUCHED_COST = 8


def scratch_sizes(rows: tuple[int, ...], blocks: int) -> list[int]:
    """Sizes of the scratch memory in words, for groups of rows of these lengths."""
    parts = sum((length >> MIN_LOG2_CHUNK) + 2 for length in rows)
    return [2 * p.PARTITION_WORDS, SCAN_WORDS * blocks, PART_WORDS * parts]


@njit(forceinline=True)
def scratch(frame, i):
    """Give the words of a piece of scratch memory."""
    buffer = result(frame, i)
    return array(buffer, u32, dimension(buffer, 0))


@njit(forceinline=True)
def partition_of(frame):
    """Give what the parts share."""
    return scratch(frame, PARTITION).view(np.int64)


@njit(forceinline=True)
def row_of(rows, i, words):
    """The i-th of rows of so many words."""
    return rows[i * words : (i + 1) * words]


@njit(forceinline=True)
def table_of(frame, place):
    """Table of the weights of a block."""
    end = np.int64(place[TABLE]) + np.int64(place[TABLE_WORDS])
    return array(argument(frame, 3), u32, end)[np.int64(place[TABLE]) :]


@njit
def _bound(active, column):
    """Where in the ascending list the columns from this one on begin."""
    low, high = 0, active.size
    while low < high:
        middle = (low + high) // 2
        if np.int64(active[middle]) < column:
            low = middle + 1
        else:
            high = middle
    return low


@njit
def _connections(connectivities, places, scans, b):
    """Connections of a block that are to be drawn, about."""
    connectivity = row_of(connectivities, b, CONNECTIVITY_WORDS)
    place, scan = row_of(places, b, PLACE_WORDS), row_of(scans, b, SCAN_WORDS)
    each = typical_connections(connectivity, np.int64(place[ROWS]))
    return (np.int64(scan[END]) - np.int64(scan[BEGIN])) * each


@njit
def scan_blocks(connectivities, places, active, scans):
    """Fill in the scans; returns the number of connections to be drawn, about."""
    connections = 0
    for b in range(scans.size // SCAN_WORDS):
        place, scan = row_of(places, b, PLACE_WORDS), row_of(scans, b, SCAN_WORDS)
        first = np.int64(place[COLUMN])
        scan[LIMITS] = count_limits(row_of(connectivities, b, CONNECTIVITY_WORDS))
        scan[BEGIN] = _bound(active, first)
        scan[END] = _bound(active, first + np.int64(place[COLUMNS]))
        scan[LARGEST] = NO_BOUND
        connections += _connections(connectivities, places, scans, b)
    return connections


@njit
def bound_weights(frame, places, scans):
    """Fill in the bounds of the scans, of a table once.

    It reads the tables: for calls of many connections, which make up for it.
    """
    for b in range(scans.size // SCAN_WORDS):
        place, scan = row_of(places, b, PLACE_WORDS), row_of(scans, b, SCAN_WORDS)
        before = row_of(places, max(b - 1, 0), PLACE_WORDS)
        if (
            b > 0
            and place[TABLE] == before[TABLE]
            and place[TABLE_WORDS] == before[TABLE_WORDS]
        ):
            scan[LARGEST] = row_of(scans, b - 1, SCAN_WORDS)[LARGEST]
        else:
            scan[LARGEST] = largest(table_of(frame, place))


@njit
def _part_length(connectivities, places, scans, first, last, rows, threads):
    """Choose the length of the parts of a group, with which no thread is left out.

    It should not cut chunks, whose keys and places each part would make again; but
    rather that than leave threads idle, and blocks of few connections do not count.
    """
    longest = np.int64(1)
    most = 0
    for b in range(first, last):
        most = max(most, _connections(connectivities, places, scans, b))
    for b in range(first, last):
        if _connections(connectivities, places, scans, b) * FEW > most:
            k = np.int64(connectivities[CONNECTIVITY_WORDS * b])
            longest = max(longest, np.int64(1) << k)
    wanted = -(-rows // (threads * p.PARTS_PER_THREAD))
    wanted = min(wanted, np.int64(PART_ROWS)) if threads > 1 else np.int64(PART_ROWS)
    length = -(-wanted // longest) * longest
    if length * threads > rows:
        length = -(-rows // threads)
    return -(-length // LEAST_ROWS) * LEAST_ROWS


@njit
def cut_rows(origins, connectivities, places, scans, threads, parts):
    """Cut every group of rows into parts; returns how many there are."""
    count = first = total = 0
    blocks = places.size // PLACE_WORDS
    for b in range(blocks):
        row = np.int64(places[PLACE_WORDS * b + ROW])
        total = max(total, row + np.int64(places[PLACE_WORDS * b + ROWS]))
    while first < blocks:
        row, last = places[PLACE_WORDS * first + ROW], first
        while last < blocks and places[PLACE_WORDS * last + ROW] == row:
            last += 1
        length = _part_length(
            connectivities, places, scans, first, last, total, threads
        )
        top = np.int64(origins[2 * first])
        rows, low = np.int64(places[PLACE_WORDS * first + ROWS]), 0
        while low < rows:
            high = min(rows, ((top + low) // length + 1) * length - top)
            part = row_of(parts, count, PART_WORDS)
            part[FIRST], part[LAST], part[LOW], part[HIGH] = first, last, low, high
            low = high
            count += 1
        first = last
    return count


def _blocks(dtype):
    """Make the body of a handler."""

    @njit(forceinline=True)
    @named_after(dtype)
    def matrices(frame):
        n_blocks = dimension(argument(frame, 0), 0)
        return (
            array(argument(frame, 0), u32, 2 * n_blocks),
            array(argument(frame, 1), u32, 2 * n_blocks),
            array(argument(frame, 2), u32, CONNECTIVITY_WORDS * n_blocks),
            array(argument(frame, 7), np.int32, PLACE_WORDS * n_blocks),
        )

    @njit(forceinline=True)
    @named_after(dtype)
    def events(frame):
        operand = argument(frame, 4)
        n, batch = dimension(operand, 0), dimension(operand, 1)
        return array(operand, np.uint8, n * batch), n, batch

    @njit
    @named_after(dtype)
    def add_tile(
        matrix, flags, batch, active, tile, sums, loc, scale, can_skip, is_first, y
    ):
        """Write what a tile's connections give its rows, or add it."""
        touched = carray(stack_words(TOUCHED), (TOUCHED,))
        count = kernels.accumulate(matrix, flags, batch, active, tile, sums, touched)
        if can_skip and 0 <= count * TOUCHED_COST < sums.size:
            kernels.weigh_touched(sums, touched[:count], loc, scale, y)
        else:
            kernels.weigh_onto(sums, loc, scale, is_first, y)

    @njit
    @named_after(dtype)
    def add_block(frame, b, part, is_first, is_solid, both):
        """Write what a block gives a part's rows, or add it.

        ``is_solid`` says that y is nowhere -0 so far, to which 0 can then be added by
        leaving it alone. Returns whether that is so from now on.
        """
        seeds, origins, connectivities, places = matrices(frame)
        flags, _, batch = events(frame)
        place = row_of(places, b, PLACE_WORDS)
        scan = row_of(scratch(frame, SCANS), b, SCAN_WORDS)
        low, high = np.int64(part[LOW]), np.int64(part[HIGH])
        row = np.int64(place[ROW])
        y = array(result(frame, 0), dtype, (row + high) * batch)[(row + low) * batch :]
        loc = array(argument(frame, 5), dtype, b + 1)[b]
        scale = array(argument(frame, 6), dtype, b + 1)[b]
        zero = kernels.weigh_zero(loc, scale, dtype)
        # -0 is added by leaving alone anything. A weighted sum is -0 only where both
        # of its terms are, of a negative or zero w_loc and a negative w_scale.
        can_skip = not is_first and zero == 0 and (is_solid or np.signbit(zero))
        gives_solid = not np.signbit(loc) or (loc < 0 and not np.signbit(scale))
        active = list_of(partition_of(frame))
        active = active[np.int64(scan[BEGIN]) : np.int64(scan[END])]
        if active.size == 0:
            if is_first:
                y[:] = zero
            elif not can_skip:
                for i in range(y.size):
                    y[i] += zero
            return is_solid or gives_solid
        # The list has columns of the whole: so must the window begin.
        origin = carray(stack_words(2), (2,))
        origin[0] = origins[2 * b]
        origin[1] = u32(origins[2 * b + 1] - u32(place[COLUMN]))
        matrix = Matrix(
            row_of(seeds, b, 2),
            origin,
            row_of(connectivities, b, CONNECTIVITY_WORDS),
            np.int64(scan[LIMITS]),
            table_of(frame, place),
        )
        k = np.int64(matrix.connectivity[0])
        top, bottom = np.int64(origin[0]) + low, np.int64(origin[0]) + high
        fixed = is_fixed(matrix.connectivity)
        chunk, n_chunks = pair_range(matrix.connectivity, top, bottom)
        narrow = kernels.is_narrow(active.size, scan[LARGEST])
        size = 4 if narrow else 8 * batch
        depth = p.tile_chunks(k, n_chunks, size, attribute(frame, 0), active.size)
        if fixed:
            depth = n_chunks
        own = matrix, flags, batch, active
        weights = loc, scale, can_skip, is_first
        for start in range(chunk, chunk + n_chunks, depth):
            end = min(start + depth, chunk + n_chunks)
            tile_low, tile_high = max(top, start << k), min(bottom, end << k)
            if fixed:
                tile_low, tile_high = top, bottom
            tile = (start, end - start, tile_low, tile_high)
            out = y[(tile_low - top) * batch : (tile_high - top) * batch]
            if narrow:
                add_tile(*own, tile, both.view(np.int32)[: out.size], *weights, out)
            else:
                add_tile(*own, tile, both[: out.size], *weights, out)
        return is_solid or gives_solid

    @njit
    @named_after(dtype)
    def run_part(frame, part, slot, fresh):
        both = accumulators_of(partition_of(frame), slot, np.int64, 8)
        if fresh:
            both[:] = 0
        own = row_of(scratch(frame, PARTS), part, PART_WORDS)
        first, is_solid = np.int64(own[FIRST]), False
        for b in range(first, np.int64(own[LAST])):
            is_solid = add_block(frame, b, own, b == first, is_solid, both)

    run = in_parts(run_part)

    @njit
    @named_after(dtype)
    def multiply(frame):
        """Go through the active columns; says whether there was memory for it."""
        _, origins, connectivities, places = matrices(frame)
        _, _, batch = events(frame)
        partition, scans = partition_of(frame), scratch(frame, SCANS)
        connections = scan_blocks(connectivities, places, list_of(partition), scans)
        threads = 1
        if connections * max(1, batch // 4) > p.WORTH:
            threads = available_threads(frame)
            if batch == 1:
                bound_weights(frame, places, scans)
        parts = scratch(frame, PARTS)
        n_parts = cut_rows(origins, connectivities, places, scans, threads, parts)
        threads, longest = min(threads, n_parts), 0
        for i in range(n_parts):
            part = row_of(parts, i, PART_WORDS)
            longest = max(longest, np.int64(part[HIGH]) - np.int64(part[LOW]))
        if not p.make_sums(longest * batch, threads, partition):
            return False
        run(frame, n_parts, threads)
        free(partition[p.SUMS])
        return True

    @njit
    @named_after(dtype)
    def call(frame):
        flags, n, batch = events(frame)
        partition = partition_of(frame)
        if not make_list(flags, batch, n, partition):
            return out_of_memory(frame)
        done = multiply(frame)
        free(partition[p.LIST])
        return 0 if done else out_of_memory(frame)

    return call


_call_32, _call_64 = _blocks(np.float32), _blocks(np.float64)


def blocks_float32(frame):
    """Result y (m, batch)."""
    return 0 if is_handshake(frame) else _call_32(frame)


def blocks_float64(frame):
    """Result y (m, batch)."""
    return 0 if is_handshake(frame) else _call_64(frame)
