# SPDX-License-Identifier: Apache-2.0
"""What events add to a ring of slots: sums of integers for each slot and row, weighed.

A tile is a range of rows with all delays of a law, and a cell is one row, one vector
and one delay of it: number ``(delay << stride) + row * batch + vector``, with delays
counted from the shortest. Where few columns are active, most cells stay empty, and
most others are met once. Connections are therefore listed first. A bit for the hash of
each cell tells those that are met once, and go straight to the ring, from those that
may be met again, which are summed up in a table. Where connections are many, every cell
has an accumulator instead. Either way, a connection costs the same in a ring of any
number of slots.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from .chunks import block_of_pairs, long_connections, pair_range, scratch
from .delays import delay_span, make_delay_words, place_by_delay
from .draw import LANES, make_keys
from .events import weighted_sum
from .intrinsics import (
    arrays_are_distinct,
    free,
    malloc,
    pointer_at,
    prefer_wide_vectors,
    shift_right,
    stack_words,
)
from .out_degree import is_fixed
from .weights import HELD, HOLD, weigh

u32 = np.uint32
u64 = np.uint64

DELAY_WORDS = 2 * LANES
MOST_CELLS = 1 << 32
GROUP = 1 << 15  # connections that are listed at a time, where cells are accumulators
BLOCK = 1024  # connections that are added to the ring at a time
BLOCK_WORDS = 2 * BLOCK  # of 64-bit numbers
BITS = 16  # for each connection in a list
MOST_BITS = 31  # of their number
_HASH = u32(0x9E3779B1)  # odd, 2**32 over the golden ratio


@njit(forceinline=True)
def _log2(number):
    """Smallest power of two that is not below a number: its exponent."""
    exponent = np.int64(0)
    while (np.int64(1) << exponent) < number:
        exponent += 1
    return exponent


@njit(forceinline=True)
def most_connections(matrix, low, high):
    """Bound the connections of a column in the rows low .. high - 1."""
    most = np.int64(matrix.connectivity[1]) + matrix.n_limits
    if is_fixed(matrix.connectivity):
        return min(most, high - low)
    _, n_chunks = pair_range(matrix.connectivity, low, high)
    return n_chunks * most


@njit
def tile_rows(table, batch):
    """Rows that a tile may have at most, so that 32 bits number its cells."""
    return max(1, MOST_CELLS // (2 * delay_span(table) * batch))


# --- a list of connections --------------------------------------------------------


@njit
def list_connections(matrix, table, flags, batch, active, low, high, stride, cells, z):
    """List the connections of the active columns in the rows low .. high - 1.

    Parameters
    ----------
    matrix : draw.Matrix
    table : uint32 array
        Of the delays.
    flags : uint8 array (n * batch,)
    batch : int
    active : uint32 array
        Numbers of the columns to go through, within the window.
    low, high : int
        Rows of the matrix.
    stride : int
    cells, z : uint32 and int32 arrays
        Filled, for each connection and vector with an event.

    Returns
    -------
    int
        How many there are.
    """
    origin, connectivity = matrix.origin, matrix.connectivity
    first_chunk, n_chunks = pair_range(connectivity, low, high)
    columns, chunks, keys, _, _ = scratch()
    words = carray(stack_words(DELAY_WORDS), (DELAY_WORDS,))
    rows = carray(stack_words(HELD), (HELD,))
    own_z = carray(stack_words(HELD), (HELD,)).view(np.int32)
    last_chunk = u32(first_chunk + n_chunks - 1)
    held = listed = 0
    for first in range(0, active.size * n_chunks, LANES):
        lanes = block_of_pairs(
            first, active, origin, first_chunk, n_chunks, columns, chunks
        )
        make_keys(matrix, columns, chunks, keys)
        make_delay_words(matrix.seed, columns, words)
        for lane in range(lanes):
            held += long_connections(
                keys, lane, chunks[lane], connectivity, low, high, rows[held:]
            )
            if chunks[lane] != last_chunk and held <= HOLD:
                continue
            # A column's chunks share the words that key its weights and its delays.
            weigh(matrix.table, keys, lane, low, rows, held, own_z)
            place_by_delay(table, words, lane, low, stride, batch, rows, held)
            if batch == 1:
                for t in range(held):
                    cells[listed + t] = rows[t]
                    z[listed + t] = own_z[t]
                listed += held
            else:
                at = np.int64(u32(columns[lane] - origin[1])) * batch
                event = flags[at : at + batch]
                listed = _list_vectors(rows, own_z, held, event, cells, z, listed)
            held = 0
    return listed


@njit
def _list_vectors(rows, own_z, held, event, cells, z, listed):
    """List each connection once for each vector in which there is an event."""
    for b in range(event.size):
        if event[b]:
            for t in range(held):
                cells[listed + t] = u32(rows[t] + u32(b))
                z[listed + t] = own_z[t]
            listed += held
    return listed


# --- the ring ---------------------------------------------------------------------


@njit(forceinline=True)
def _at(cell, ring_place):
    """Number of a cell in the ring."""
    start, slots, stride, slot_size, offset = ring_place
    slot = start + (np.int64(cell) >> stride)
    slot -= slots if slot >= slots else 0
    within = np.int64(cell) & ((np.int64(1) << stride) - 1)
    return slot * slot_size + offset + within


@njit(forceinline=False, _nrt=False)
def _places(cells, count, ring_place, places):
    """Give the numbers of cells in the ring, in a loop without a branch."""
    prefer_wide_vectors()
    arrays_are_distinct()
    for t in range(np.uint64(count)):
        places[t] = _at(cells[t], ring_place)


@njit(forceinline=False, _nrt=False)
def _weights(z, count, loc, scale, values):
    """Weigh connections one by one."""
    prefer_wide_vectors()
    arrays_are_distinct()
    for t in range(np.uint64(count)):
        values[t] = weighted_sum(np.int32(1), z[t], loc, scale, values.dtype.type)


@njit(forceinline=False, _nrt=False)
def _add(places, values, count, ring):
    """Add to the ring, and do nothing else in this loop, which waits for memory."""
    for t in range(count):
        ring[places[t]] += values[t]


@njit
def _add_list(cells, z, ring_place, loc, scale, ring):
    """Add connections that all have a cell of their own."""
    places = carray(stack_words(BLOCK_WORDS), (BLOCK_WORDS,)).view(np.int64)
    values = carray(stack_words(BLOCK_WORDS), (BLOCK_WORDS,)).view(ring.dtype)
    for first in range(0, cells.size, BLOCK):
        count = min(BLOCK, cells.size - first)
        _places(cells[first:], count, ring_place, places)
        _weights(z[first:], count, loc, scale, values)
        _add(places, values, count, ring)


@njit
def _add_met_once(cells, z, seen, again, down, ring_place, loc, scale, ring):
    """Add the connections whose cell is met once, and move the others to the front.

    Returns the number of the others.
    """
    places = carray(stack_words(BLOCK_WORDS), (BLOCK_WORDS,)).view(np.int64)
    values = carray(stack_words(BLOCK_WORDS), (BLOCK_WORDS,)).view(ring.dtype)
    for t in range(cells.size):
        h = shift_right(u32(cells[t] * _HASH), down)
        word, bit = h >> u32(6), u64(1) << u64(h & u32(63))
        again[word] |= seen[word] & bit
        seen[word] |= bit
    others = 0
    nothing = ring.dtype.type(-0.0)  # to add it is to leave alone
    for first in range(0, cells.size, BLOCK):
        count = min(BLOCK, cells.size - first)
        _places(cells[first:], count, ring_place, places)
        _weights(z[first:], count, loc, scale, values)
        for t in range(count):
            cell = cells[first + t]
            h = shift_right(u32(cell * _HASH), down)
            is_other = (again[h >> u32(6)] >> u64(h & u32(63))) & u64(1)
            values[t] = nothing if is_other else values[t]
            cells[others] = cell
            z[others] = z[first + t]
            others += np.int64(is_other)
        _add(places, values, count, ring)
    return others


@njit
def _add_table(cells, z, names, sums, down, ring_place, loc, scale, ring):
    """Add connections that may share their cells, in a table of zeros to begin with."""
    real, mask = ring.dtype.type, names.size - 1
    for t in range(cells.size):
        i = np.int64(shift_right(u32(cells[t] * _HASH), down))
        while sums[i] != 0 and names[i] != cells[t]:
            i = (i + 1) & mask
        names[i] = cells[t]
        sums[i] += (np.int64(z[t]) << 32) + 1
    halves = sums.view(np.int32)
    for i in range(names.size):
        if sums[i] != 0:
            ring[_at(names[i], ring_place)] += weighted_sum(
                halves[2 * i], halves[2 * i + 1], loc, scale, real
            )


@njit
def _add_accumulators(sums, ring_place, loc, scale, ring):
    """Add what every cell of a tile has accumulated."""
    real, halves = ring.dtype.type, sums.view(np.int32)
    for i in range(sums.size):
        if sums[i] != 0:
            ring[_at(i, ring_place)] += weighted_sum(
                halves[2 * i], halves[2 * i + 1], loc, scale, real
            )


# --- a tile -----------------------------------------------------------------------


@njit
def deliver_tile(
    matrix, table, flags, batch, active, low, high, ring_place, loc, scale, ring
):
    """Add the connections of the active columns in the rows low .. high - 1.

    Parameters
    ----------
    matrix, table, flags, batch, active, low, high
        As of ``list_connections``.
    ring_place : (int, int, int, int)
        Slot of the shortest delay, number of slots, entries of a slot, and the entry of
        the first row in its slot.
    loc, scale : float
    ring : float array

    Returns
    -------
    bool
        Whether there was memory for it.
    """
    start, slots, slot_size, offset = ring_place
    stride = _log2((high - low) * batch)
    place = (start, slots, stride, slot_size, offset)
    n_cells = delay_span(table) << stride
    each = most_connections(matrix, low, high) * batch
    if each == 0:
        return True
    if 2 * active.size * each > n_cells:
        return _deliver_many(
            matrix,
            table,
            flags,
            batch,
            active,
            low,
            high,
            place,
            n_cells,
            each,
            loc,
            scale,
            ring,
        )
    size = active.size * each
    memory = malloc(8 * size)
    if memory == 0:
        return False
    cells = carray(pointer_at(memory, u32), (size,))
    z = carray(pointer_at(memory + 4 * size, np.int32), (size,))
    count = list_connections(
        matrix, table, flags, batch, active, low, high, stride, cells, z
    )
    if active.size == 1 and batch == 1:  # no cell is met twice
        _add_list(cells[:count], z[:count], place, loc, scale, ring)
        free(memory)
        return True
    done = _deliver_list(cells[:count], z[:count], place, loc, scale, ring)
    free(memory)
    return done


@njit
def _deliver_list(cells, z, place, loc, scale, ring):
    exponent = min(max(np.int64(6), _log2(BITS * cells.size)), MOST_BITS)
    words = (np.int64(1) << exponent) >> 6
    memory = malloc(16 * words)
    if memory == 0:
        return False
    bits = carray(pointer_at(memory, u64), (2 * words,))
    bits[:] = 0
    seen, again = bits[:words], bits[words:]
    down = u32(32 - exponent)
    others = _add_met_once(cells, z, seen, again, down, place, loc, scale, ring)
    free(memory)
    if others == 0:
        return True
    exponent = _log2(2 * others)
    size = np.int64(1) << exponent
    memory = malloc(12 * size)
    if memory == 0:
        return False
    sums = carray(pointer_at(memory, np.int64), (size,))
    sums[:] = 0
    names = carray(pointer_at(memory + 8 * size, u32), (size,))
    down = u32(32 - exponent)
    _add_table(cells[:others], z[:others], names, sums, down, place, loc, scale, ring)
    free(memory)
    return True


@njit
def _deliver_many(
    matrix,
    table,
    flags,
    batch,
    active,
    low,
    high,
    place,
    n_cells,
    each,
    loc,
    scale,
    ring,
):
    group = max(1, GROUP // each)
    size = group * each
    memory = malloc(8 * (n_cells + size))
    if memory == 0:
        return False
    sums = carray(pointer_at(memory, np.int64), (n_cells,))
    sums[:] = 0
    lists = memory + 8 * n_cells
    cells = carray(pointer_at(lists, u32), (size,))
    z = carray(pointer_at(lists + 4 * size, np.int32), (size,))
    for begin in range(0, active.size, group):
        own = active[begin : begin + group]
        count = list_connections(
            matrix, table, flags, batch, own, low, high, place[2], cells, z
        )
        for t in range(count):
            sums[cells[t]] += (np.int64(z[t]) << 32) + 1
    _add_accumulators(sums, place, loc, scale, ring)
    free(memory)
    return True
