# SPDX-License-Identifier: Apache-2.0
"""What events add to a ring of slots: sums of integers for each slot and row, weighed.

A tile is a range of rows with all delays of a law, and a cell is one row, one vector
and one delay of it: number ``(delay << stride) + row * batch + vector``, with delays
counted from the shortest. Where few columns are active, most cells stay empty, and most
others are met once. Connections are then listed, and the ring itself tells which of
them share a place: each leaves its mark there and keeps what it has found, which is
what the ring held or another's mark. Those that find their own mark again, and had not
found another's, are alone. Where connections are many, every cell has an accumulator
instead. Either way, a connection costs the same in a ring of any number of slots.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from synjit.reference.draw import MIN_LOG2_CHUNK

from .chunks import (
    block_of_pairs,
    long_connections,
    pair_range,
    scratch,
    short_connections,
)
from .delays import delay_span, make_delay_words, place_by_delay
from .draw import LANES, SHORT, make_keys, typical_connections
from .events import add, n_and_z, weighted_sum
from .intrinsics import (
    arrays_are_distinct,
    free,
    malloc,
    pointer_at,
    prefer_wide_vectors,
    prefetch_entry,
    stack_words,
)
from .naming import named_after
from .out_degree import is_fixed
from .partition import LINE
from .weights import HELD, HOLD, weigh

u16 = np.uint16
u32 = np.uint32

DELAY_WORDS = 2 * LANES
MOST_CELLS = 1 << 32
MOST_SHORT = 1 << 16  # rows that words of 16 bits count
GROUP = 1 << 15  # connections that are listed at a time, where cells are accumulators
NEAR_LIST = 1 << 13  # connections, whose lines of the ring fit the second-level cache
STEP = 32  # connections that are added to the ring at a time
STEP_WORDS = 2 * STEP  # of 64-bit numbers
DENSE = 6  # cells of a connection, with fewer of which all have accumulators
NEAR_CELLS = 1 << 16  # accumulators, 512 kB


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
def tile_rows(delays, batch):
    """Rows that a tile may have at most, so that 32 bits number its cells."""
    return max(1, MOST_CELLS // (2 * delays * batch))


@njit
def near_rows(connectivity, each, most):
    """Rows of a tile, in whole chunks, with up to ``most`` of what each row has."""
    chunk = np.int64(1) << np.int64(connectivity[0])
    rows = np.int64(1) << np.int64(MIN_LOG2_CHUNK)
    while 2 * rows * each <= most:
        rows *= 2
    return max(rows, chunk)


# --- a list of connections --------------------------------------------------------


def _lister(connections, word):
    """Make ``list_connections``, with rows listed as words of 16 or 32 bits."""

    @njit(forceinline=False)
    @named_after(connections, word)
    def list_connections(
        matrix, table, flags, batch, active, low, high, stride, cells, z
    ):
        origin, connectivity = matrix.origin, matrix.connectivity
        first_chunk, n_chunks = pair_range(connectivity, low, high)
        columns, chunks, keys, _, _ = scratch()
        words = carray(stack_words(DELAY_WORDS), (DELAY_WORDS,))
        rows = carray(stack_words(HELD), (HELD,)).view(word)
        own_cells = carray(stack_words(HELD), (HELD,))
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
                held += connections(
                    keys, lane, chunks[lane], connectivity, low, high, rows[held:]
                )
                if chunks[lane] != last_chunk and held <= HOLD:
                    continue
                # A column's chunks share the words that key its weights and delays.
                if batch == 1:
                    to_cells, to_z = cells[listed:], z[listed:]
                else:
                    to_cells, to_z = own_cells, own_z
                weigh(matrix.table, keys, lane, low, rows, held, to_z)
                place_by_delay(
                    table, words, lane, low, stride, batch, rows, held, to_cells
                )
                if batch == 1:
                    listed += held
                else:
                    at = np.int64(u32(columns[lane] - origin[1])) * batch
                    event = flags[at : at + batch]
                    listed = _list_vectors(
                        own_cells, own_z, held, event, cells, z, listed
                    )
                held = 0
        return listed

    return list_connections


_list_short = _lister(short_connections, u16)
_list_long = _lister(long_connections, u32)


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
        Filled, for each connection and vector with an event, and written beyond it up
        to a whole vector.

    Returns
    -------
    int
        How many there are.
    """
    k = matrix.connectivity[0]
    if (
        k <= u32(SHORT)
        and high - low <= MOST_SHORT
        and not is_fixed(matrix.connectivity)
    ):
        return _list_short(
            matrix, table, flags, batch, active, low, high, stride, cells, z
        )
    return _list_long(matrix, table, flags, batch, active, low, high, stride, cells, z)


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
def _locate(cells, ring_place, words, places):
    """Number cells in the ring, and fetch them into the second-level cache.

    The first has no room for as many, and only the second is asked in time.
    """
    prefer_wide_vectors()
    arrays_are_distinct()
    for first in range(0, places.size, STEP):
        own_cells, own = cells[first : first + STEP], places[first : first + STEP]
        for t in range(STEP):
            own[t] = _at(own_cells[t], ring_place)
        for t in range(STEP):
            prefetch_entry(words, own[t])


@njit(forceinline=True)
def _mark(words, t):
    """Mark of the t-th connection of a list, as the ring holds it for a while."""
    return words.dtype.type(~words.dtype.type(t))


@njit(forceinline=False, _nrt=False)
def _leave_marks(places, words, found):
    """Leave the mark of each connection at its place, and keep what was found there."""
    arrays_are_distinct()
    for t in range(np.uint64(places.size)):
        found[t] = words[places[t]]
        words[places[t]] = _mark(words, t)


@njit
def _sum_of_place(t, places, z, loc, scale, found, held):
    """What the place of the t-th connection, the last to meet it, has to hold."""
    n, total, place = np.int32(1), z[t], places[t]
    while True:
        # The connection whose mark this is; or the ring held what looks like one.
        before = _mark(found, found[t])
        if before >= found.dtype.type(t) or places[np.int64(before)] != place:
            return held[t] + weighted_sum(n, total, loc, scale, held.dtype.type)
        t = np.int64(before)
        n, total = np.int32(n + 1), np.int32(total + z[t])


@njit(forceinline=False)
def _take_marks(places, z, loc, scale, words, found, held, shared):
    """Put in the place of each mark what the ring held, and what is added to it.

    ``shared`` is memory for the numbers of the connections that are not alone.
    """
    prefer_wide_vectors()
    arrays_are_distinct()
    real, count = held.dtype.type, places.size
    marks = carray(stack_words(STEP_WORDS), (STEP_WORDS,)).view(words.dtype)
    values = carray(stack_words(STEP_WORDS), (STEP_WORDS,)).view(held.dtype)
    written = values.view(words.dtype)
    lowest = _mark(words, count - 1)
    n_shared = 0
    for first in range(0, count, STEP):
        own, own_z = places[first : first + STEP], z[first : first + STEP]
        own_found, own_held = found[first : first + STEP], held[first : first + STEP]
        for t in range(STEP):
            more = weighted_sum(np.int32(1), own_z[t], loc, scale, real)
            values[t] = own_held[t] + more
            # What cannot be met where another's mark may have been found.
            is_first = own_found[t] < lowest
            marks[t] = _mark(words, first + t) if is_first else words.dtype.type(0)
        for t in range(np.uint64(own.size)):
            if words[own[t]] == marks[t]:
                words[own[t]] = written[t]
            else:
                shared[n_shared] = u32(first + np.int64(t))
                n_shared += 1
    for i in range(n_shared):
        t = np.int64(shared[i])
        if words[places[t]] == _mark(words, t):
            values[0] = _sum_of_place(t, places, z, loc, scale, found, held)
            words[places[t]] = written[0]


@njit(forceinline=False, _nrt=False)
def _add_where_any(sums, loc, scale, slot):
    """Add sums to the entries of a slot that they belong to, and leave the others."""
    prefer_wide_vectors()
    arrays_are_distinct()
    for i in range(np.uint64(slot.size)):
        n, z = n_and_z(sums, i)
        more = slot[i] + weighted_sum(n, z, loc, scale, slot.dtype.type)
        slot[i] = more if sums[i] != 0 else slot[i]


@njit
def _add_accumulators(sums, entries, ring_place, loc, scale, ring):
    """Add what the cells of a tile of so many entries a slot have accumulated."""
    step = np.int64(1) << ring_place[2]
    for first in range(0, sums.size, step):
        coming = _at(first + step, ring_place)
        for i in range(0, entries, LINE // ring.itemsize):
            prefetch_entry(ring, coming + i)
        at = _at(first, ring_place)
        own = sums[first : first + entries]
        _add_where_any(own, loc, scale, ring[at : at + entries])


# --- a tile -----------------------------------------------------------------------


@njit
def deliver(
    matrix, table, flags, batch, active, low, high, ring_place, loc, scale, ring, words
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
    words : unsigned array
        The same memory.

    Returns
    -------
    bool
        Whether there was memory for it.
    """
    start, slots, slot_size, offset = ring_place
    delays = delay_span(table)
    most = active.size * most_connections(matrix, low, high)
    dense = DENSE * most > delays * (high - low)
    rows = tile_rows(delays, batch)
    if dense:
        near = near_rows(matrix.connectivity, delays * batch, NEAR_CELLS)
    else:
        own = typical_connections(matrix.connectivity, 1 << 16)  # of as many rows
        each = max(1, own * active.size * batch)
        near = near_rows(matrix.connectivity, each, NEAR_LIST << 16)
    rows = min(rows, near)
    own = matrix, table, flags, batch, active, loc, scale, ring
    first, done = low, True
    while first < high:
        last = min((first // rows + 1) * rows, high)
        stride = _log2((last - first) * batch)
        place = (start, slots, stride, slot_size, offset + (first - low) * batch)
        if dense:
            done &= _deliver_many(delays, first, last, place, *own)
        else:
            done &= _deliver_few(first, last, place, *own, words)
        first = last
    return done


@njit
def _deliver_few(
    low, high, place, matrix, table, flags, batch, active, loc, scale, ring, words
):
    """Deliver to a tile by a list."""
    size = active.size * most_connections(matrix, low, high) * batch + STEP
    memory = malloc((16 + words.itemsize) * size)
    if memory == 0:
        return False
    places = carray(pointer_at(memory, np.uint64), (size,))
    found = carray(pointer_at(memory + 8 * size, words.dtype), (size,))
    lists = memory + (8 + words.itemsize) * size
    cells = carray(pointer_at(lists, u32), (size,))
    z = carray(pointer_at(lists + 4 * size, np.int32), (size,))
    count = list_connections(
        matrix, table, flags, batch, active, low, high, place[2], cells, z
    )
    places = places[:count]
    _locate(cells, place, words, places)
    _leave_marks(places, words, found)
    held, shared = found.view(ring.dtype), cells
    _take_marks(places, z, loc, scale, words, found, held, shared)
    free(memory)
    return True


@njit
def _deliver_many(
    delays, low, high, place, matrix, table, flags, batch, active, loc, scale, ring
):
    """Deliver to a tile by an accumulator for each of its cells."""
    each = max(1, most_connections(matrix, low, high) * batch)
    n_cells = delays << place[2]
    group = max(1, GROUP // each)
    size = group * each + LANES
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
        add(cells, z, count, sums)
    _add_accumulators(sums, (high - low) * batch, place, loc, scale, ring)
    free(memory)
    return True
