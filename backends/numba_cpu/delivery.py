# SPDX-License-Identifier: Apache-2.0
"""What events add to a ring of slots: sums of integers for each slot and row, weighed.

A tile is a range of rows with all delays of a law, and a cell is one row, one vector
and one delay of it: number ``(delay << stride) + row * batch + vector``, with delays
counted from the shortest. Where few columns are active, most cells stay empty, and
most others are met once. Connections are therefore listed first. To count how often the
hash of each cell is met tells those that are met once, and go straight to the ring,
from those that may be met again, which are summed up in a table. Where connections are
many, every cell has an accumulator instead. Either way, a connection costs the same in
a ring of any number of slots.
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
from .draw import LANES, SHORT, make_keys
from .events import weighted_sum
from .intrinsics import (
    arrays_are_distinct,
    free,
    malloc,
    pointer_at,
    prefer_wide_vectors,
    prefetch_entry,
    shift_right,
    stack_words,
)
from .naming import named_after
from .out_degree import is_fixed
from .weights import HELD, HOLD, weigh

u8 = np.uint8
u16 = np.uint16
u32 = np.uint32

DELAY_WORDS = 2 * LANES
MOST_CELLS = 1 << 32
MOST_SHORT = 1 << 16  # rows that words of 16 bits count
GROUP = 1 << 15  # connections that are listed at a time, where cells are accumulators
STEP = 32  # connections that are added to the ring at a time
STEP_WORDS = 2 * STEP  # of 64-bit numbers
AHEAD = 64  # connections before which the memory of one is fetched
DENSE = 6  # cells of a connection, with fewer of which all have accumulators
NEAR_CELLS = 1 << 16  # accumulators, 512 kB
BYTES = 16  # counters for each connection in a list
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
def tile_rows(delays, batch):
    """Rows that a tile may have at most, so that 32 bits number its cells."""
    return max(1, MOST_CELLS // (2 * delays * batch))


@njit
def dense_rows(connectivity, delays, batch):
    """Rows of a tile whose cells have accumulators: whole chunks, near the core."""
    chunk = np.int64(1) << np.int64(connectivity[0])
    rows = np.int64(1) << np.int64(MIN_LOG2_CHUNK)
    while 2 * rows * delays * batch <= NEAR_CELLS:
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


@njit(forceinline=True)
def _hash(cell, down):
    return shift_right(u32(cell * _HASH), down)


@njit(forceinline=True)
def _met_again(met, h):
    """Count to more than once, of which it does not matter how often."""
    met[h] = (met[h] << u8(1) | u8(1)) & u8(3)


@njit(forceinline=False, _nrt=False)
def _count(cells, down, met, hashes):
    """Count how often the hash of a cell is met: 0, 1, or 3 for more often."""
    prefer_wide_vectors()
    arrays_are_distinct()
    whole = cells.size // STEP * STEP
    for first in range(0, whole, STEP):
        for t in range(STEP):
            hashes[t] = _hash(cells[first + t], down)
        for t in range(STEP):
            _met_again(met, hashes[t])
    for t in range(whole, cells.size):
        _met_again(met, _hash(cells[t], down))


@njit(forceinline=False, _nrt=False)
def _add_met_once(
    cells, z, met, down, ring_place, loc, scale, ring, hashes, places, values
):
    """Add the connections whose cell is met once, and move the others to the front.

    Parameters
    ----------
    cells, z
        Of ``list_connections``; of the others, those first.
    met, down
        Of ``_count``. If ``met`` is empty, no cell is met twice.
    ring_place
        As of ``deliver``, with the stride of the cells before the entries of a slot.
    loc, scale, ring
        As of ``deliver``.
    hashes, places, values : uint32, int64 and float arrays (STEP,)

    Returns
    -------
    int
        Number of the others.
    """
    prefer_wide_vectors()
    arrays_are_distinct()
    real = ring.dtype.type
    others = 0
    all_once = met.size == 0
    whole = cells.size // STEP * STEP
    for first in range(0, whole, STEP):
        # Loops of constant length, which are vectors without a rest. Of memory that no
        # cache near the core holds, what comes later is fetched into the second level:
        # the first has no room for it.
        ahead = min(first + AHEAD, whole - STEP)
        for t in range(STEP):
            places[t] = _at(cells[ahead + t], ring_place)
        for t in range(STEP):
            prefetch_entry(ring, places[t])
        for t in range(STEP):
            cell = cells[first + t]
            hashes[t] = _hash(cell, down)
            places[t] = _at(cell, ring_place)
            values[t] = weighted_sum(np.int32(1), z[first + t], loc, scale, real)
        for t in range(STEP):
            if all_once or met[hashes[t]] == 1:
                ring[places[t]] += values[t]
            else:
                cells[others] = cells[first + t]
                z[others] = z[first + t]
                others += 1
    for t in range(whole, cells.size):
        cell, own_z = cells[t], z[t]
        if all_once or met[_hash(cell, down)] == 1:
            value = weighted_sum(np.int32(1), own_z, loc, scale, real)
            ring[_at(cell, ring_place)] += value
        else:
            cells[others] = cell
            z[others] = own_z
            others += 1
    return others


@njit
def _add_table(cells, z, names, sums, down, ring_place, loc, scale, ring):
    """Add connections that may share their cells, in a table of zeros to begin with."""
    real, mask = ring.dtype.type, names.size - 1
    for t in range(cells.size):
        i = np.int64(_hash(cells[t], down))
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


@njit(forceinline=False, _nrt=False)
def _add_where_any(sums, loc, scale, slot):
    """Add sums to the entries of a slot that they belong to, and leave the others."""
    prefer_wide_vectors()
    arrays_are_distinct()
    halves = sums.view(np.int32)
    for i in range(np.uint64(slot.size)):
        n, z = halves[2 * i], halves[2 * i + 1]
        more = slot[i] + weighted_sum(n, z, loc, scale, slot.dtype.type)
        slot[i] = more if sums[i] != 0 else slot[i]


@njit
def _add_accumulators(sums, entries, ring_place, loc, scale, ring):
    """Add what the cells of a tile of so many entries a slot have accumulated."""
    stride = ring_place[2]
    for first in range(0, sums.size, np.int64(1) << stride):
        at = _at(first, ring_place)
        own = sums[first : first + entries]
        _add_where_any(own, loc, scale, ring[at : at + entries])


# --- a tile -----------------------------------------------------------------------


@njit
def deliver(
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
    delays = delay_span(table)
    each = DENSE * most_connections(matrix, low, high)
    dense = active.size * each > delays * (high - low)
    rows = tile_rows(delays, batch)
    if dense:
        rows = min(rows, dense_rows(matrix.connectivity, delays, batch))
    own = matrix, table, flags, batch, active, loc, scale, ring
    first, done = low, True
    while first < high:
        last = min((first // rows + 1) * rows, high)
        stride = _log2((last - first) * batch)
        place = (start, slots, stride, slot_size, offset + (first - low) * batch)
        if dense:
            done &= _deliver_many(delays, first, last, place, *own)
        else:
            done &= _deliver_few(first, last, place, *own)
        first = last
    return done


@njit
def _deliver_few(
    low, high, place, matrix, table, flags, batch, active, loc, scale, ring
):
    """Deliver to a tile by a list."""
    size = active.size * most_connections(matrix, low, high) * batch + LANES
    memory = malloc(8 * size)
    if memory == 0:
        return False
    cells = carray(pointer_at(memory, u32), (size,))
    z = carray(pointer_at(memory + 4 * size, np.int32), (size,))
    count = list_connections(
        matrix, table, flags, batch, active, low, high, place[2], cells, z
    )
    alone = active.size == 1 and batch == 1  # then no cell is met twice
    done = _deliver_list(cells[:count], z[:count], alone, place, loc, scale, ring)
    free(memory)
    return done


@njit
def _deliver_list(cells, z, alone, place, loc, scale, ring):
    """Add a list of connections; returns whether there was memory for it."""
    exponent = min(_log2(BYTES * cells.size), MOST_BITS)
    size = np.int64(0) if alone else np.int64(1) << exponent
    memory = malloc(size)
    if memory == 0 and size > 0:
        return False
    met = carray(pointer_at(memory, u8), (size,))
    met[:] = 0
    down = u32(32 - exponent)
    hashes = carray(stack_words(STEP), (STEP,))
    if not alone:
        _count(cells, down, met, hashes)
    places = carray(stack_words(STEP_WORDS), (STEP_WORDS,)).view(np.int64)
    values = carray(stack_words(STEP_WORDS), (STEP_WORDS,)).view(ring.dtype)
    others = _add_met_once(
        cells, z, met, down, place, loc, scale, ring, hashes, places, values
    )
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
        for t in range(count):
            sums[cells[t]] += (np.int64(z[t]) << 32) + 1
    _add_accumulators(sums, (high - low) * batch, place, loc, scale, ring)
    free(memory)
    return True
