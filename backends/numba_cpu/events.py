# SPDX-License-Identifier: Apache-2.0
"""N and Z of W @ events, and of W.T @ events.

An accumulator is one word, N in its low bits and Z above, so that one addition counts
and sums at once. N never leaves its bits: it is at most the number of columns. Of 64
bits, each has a half; where columns are few, words of 32 bits take half the memory.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from synjit.reference.quantile_table import UNIT_BITS

from .chunks import (
    block_of_pairs,
    chunk_range,
    long_connections,
    scratch,
    short_connections,
    window_connections,
)
from .draw import (
    COUNT,
    LANES,
    NO_ROW,
    OWN,
    SHORT,
    WEIGHT_0,
    WEIGHT_1,
    invert_keys,
    make_keys,
    probe_rows,
    typical_count,
)
from .intrinsics import (
    arrays_are_distinct,
    bits_of_bytes,
    prefer_wide_vectors,
    stack_words,
    trailing_zeros,
)
from .naming import named_after
from .out_degree import is_fixed, probe_rows_of_columns, segments
from .weights import (
    HELD,
    HOLD,
    PAIR_COLUMN,
    PAIR_ROW,
    PAIR_WEIGHT_0,
    PAIR_WEIGHT_1,
    weigh,
    weigh_pairs,
)

u16 = np.uint16
u32 = np.uint32

Z_UNIT = 2.0**-UNIT_BITS
NARROW_N_BITS = 6  # of an accumulator of 32 bits
_NARROW_BITS, _NARROW_N = np.int32(NARROW_N_BITS), np.int32((1 << NARROW_N_BITS) - 1)
_N = np.int64((1 << 32) - 1)
PAIR_WORDS = 4 * HELD
FLAG_WORDS = LANES  # of four flags: four rows
# Nanoseconds, about: to probe a row, what a row found to be connected costs then, and
# to list a connection and look at its row's event.
PROBE_COST, FOUND_COST, LIST_COST = 1, 12, 2
PROBE_COST_OF_FIXED = 4  # of a fixed out-degree, whose walks are long


def _accumulator(connections, word):
    """Make ``accumulate``, with the rows of a tile listed as words of 16 or 32 bits."""

    @njit(forceinline=False)
    @named_after(connections, word)
    def accumulate(matrix, flags, batch, active, tile, sums, touched):
        prefer_wide_vectors()
        origin, connectivity = matrix.origin, matrix.connectivity
        first_chunk, n_chunks, low, high = tile
        table = matrix.table
        columns, chunks, keys, _, _ = scratch()
        rows = carray(stack_words(HELD), (HELD,)).view(word)
        z = carray(stack_words(HELD), (HELD,)).view(np.int32)
        held = weighed = 0
        in_one_go = batch == 1
        last_chunk = u32(first_chunk + n_chunks - 1)
        for first in range(0, active.size * n_chunks, LANES):
            lanes = block_of_pairs(
                first, active, origin, first_chunk, n_chunks, columns, chunks
            )
            make_keys(matrix, columns, chunks, keys)
            for lane in range(lanes):
                held += connections(
                    keys, lane, chunks[lane], connectivity, low, high, rows[held:]
                )
                if chunks[lane] != last_chunk and held <= HOLD:
                    continue
                # A column's chunks share the words that key its weights.
                new = held - weighed
                weigh(table, keys, lane, low, rows[weighed:], new, z[weighed:])
                if batch > 1:
                    at = np.int64(u32(columns[lane] - origin[1])) * batch
                    _add_batch(rows, z, held, flags[at : at + batch], sums)
                    held = 0
                elif held > HOLD:
                    add(rows, z, held, sums)
                    held = 0
                    in_one_go = False
                weighed = held
        add(rows, z, held, sums)
        if not in_one_go or held > touched.size:
            return -1
        for t in range(held):
            touched[t] = u32(rows[t])
        return held

    return accumulate


_accumulate_short = _accumulator(short_connections, u16)
_accumulate_long = _accumulator(long_connections, u32)


@njit
def accumulate(matrix, flags, batch, active, tile, sums, touched):
    """Add the connections of the active columns in a tile of rows.

    Parameters
    ----------
    matrix : draw.Matrix
    flags : uint8 array (n * batch,)
        Events, one byte each, 0 or 1.
    active : uint32 array
        Numbers of the columns to go through, within the window.
    tile : (first chunk, chunks, first row, row after the last)
        At most ``partition.TILE_ROWS`` rows, unless it is one long chunk. Of a fixed
        out-degree, all segments and all rows.
    sums : int64 or int32 array
        Accumulators (rows, batch); of 32 bits where they are of one vector and narrow.
    touched : uint32 array
        Where to list the rows that were added to, of one vector: some of them twice.

    Returns
    -------
    int
        How many rows were listed; -1 if there were too many, and none is.
    """
    if matrix.connectivity[0] <= u32(SHORT) and not is_fixed(matrix.connectivity):
        return _accumulate_short(matrix, flags, batch, active, tile, sums, touched)
    return _accumulate_long(matrix, flags, batch, active, tile, sums, touched)


@njit(forceinline=True)
def n_and_z(sums, i):
    """N and Z in an accumulator."""
    word = sums[i]
    if sums.itemsize == 4:
        return np.int32(word & _NARROW_N), np.int32(word >> _NARROW_BITS)
    return np.int32(word & _N), np.int32(word >> 32)


@njit(forceinline=True)
def is_narrow(columns, largest):
    """Whether accumulators of 32 bits do, for so many columns with weights up to this.

    ``largest`` is that of ``weights.largest``.
    """
    most = np.int64(1) << (31 - NARROW_N_BITS)
    return columns < (1 << NARROW_N_BITS) and columns * np.int64(largest) < most


@njit
def add(rows, z, held, sums):
    """Add listed connections to the accumulators of their rows; may write over z."""
    if sums.itemsize == 4:
        for t in range(held):
            z[t] = np.int32(np.int32(z[t] << _NARROW_BITS) + np.int32(1))
        for t in range(held):
            sums[rows[t]] = np.int32(sums[rows[t]] + z[t])
    else:
        for t in range(held):
            sums[rows[t]] += (np.int64(z[t]) << 32) + 1


@njit
def _add_batch(rows, z, held, flags, sums):
    batch = flags.size
    for t in range(held):
        into = np.int64(rows[t]) * batch
        one_and_z = (np.int64(z[t]) << 32) + 1
        for b in range(batch):
            sums[into + b] += one_and_z & -np.int64(flags[b])


@njit(forceinline=False)
def unpack(sums, n, z):
    """Part accumulators into N and Z."""
    prefer_wide_vectors()
    for i in range(np.uint64(n.size)):
        n[i], z[i] = n_and_z(sums, i)


@njit(forceinline=True)
def weighted_sum(n, z, loc, scale, real):
    """``primitives.weigh`` of one row: each operation rounds once."""
    n, z = real(n), real(z)
    ones = loc * n if n >= 0 else real(0)
    rest = scale * (z * real(Z_UNIT)) if z > real(-(2.0**31)) else real(0)
    return ones + rest


@njit(forceinline=False)
def weigh_accumulators(sums, loc, scale, y):
    """Write the weighted sums of accumulators."""
    prefer_wide_vectors()
    for i in range(np.uint64(y.size)):
        n, z = n_and_z(sums, i)
        y[i] = weighted_sum(n, z, loc, scale, y.dtype.type)


@njit(forceinline=False)
def weigh_sums(n, z, loc, scale, y):
    """Write the weighted sums of N and Z."""
    prefer_wide_vectors()
    for i in range(y.size):
        y[i] = weighted_sum(n[i], z[i], loc, scale, y.dtype.type)


@njit(forceinline=False)
def _add_weighted(sums, loc, scale, y):
    prefer_wide_vectors()
    arrays_are_distinct()
    for i in range(np.uint64(y.size)):
        n, z = n_and_z(sums, i)
        y[i] += weighted_sum(n, z, loc, scale, y.dtype.type)
        sums[i] = 0


@njit
def weigh_onto(sums, loc, scale, is_first, y):
    """Write weighted sums, or add them to y, and set the accumulators to zero."""
    if is_first:
        weigh_accumulators(sums, loc, scale, y)
        sums[:] = 0
    else:
        _add_weighted(sums, loc, scale, y)


@njit
def weigh_touched(sums, touched, loc, scale, y):
    """Add to y at the rows in a list alone, and set their accumulators to zero."""
    for row in touched:
        # A row that came before has no sums any more, whose 0 changes nothing.
        n, z = n_and_z(sums, row)
        y[row] += weighted_sum(n, z, loc, scale, y.dtype.type)
        sums[row] = 0


@njit
def weigh_zero(loc, scale, real):
    """Give the weighted sum of no events."""
    return weighted_sum(np.int32(0), np.int32(0), loc, scale, real)


@njit
def weigh_nothing(loc, scale, y):
    """Write the weighted sums of no events."""
    y[:] = weigh_zero(loc, scale, y.dtype.type)


# --- transposed -------------------------------------------------------------------


@njit
def bound_chunks(active, first_chunk, n_chunks, log2_chunk, bounds):
    """Where in the ascending ``active`` rows each chunk begins."""
    i = 0
    for q in range(n_chunks + 1):
        start = (first_chunk + q) << np.int64(log2_chunk)
        while i < active.size and np.int64(active[i]) < start:
            i += 1
        bounds[q] = u32(i)


@njit
def gather(matrix, flags, any_flags, batch, m, active, bounds, first, last, n, z):
    """N and Z of the columns first .. last - 1 of W.T @ events.

    A chunk is either listed, and the events of its rows looked up, or, where few rows
    are active in it, probed for those.

    Parameters
    ----------
    matrix : draw.Matrix
    flags : uint8 array (m * batch,)
    any_flags : uint8 array (m,)
        Whether a row has any event in the batch.
    active : uint32 array
        Absolute numbers of the rows with any event, ascending.
    bounds : uint32 array
        ``bound_chunks`` of ``active``.
    n, z : int32 arrays (columns * batch,)
    """
    origin, connectivity, table = matrix.origin, matrix.connectivity, matrix.table
    columns, chunks, keys, rows, weights = scratch()
    pairs = carray(stack_words(PAIR_WORDS), (4, HELD))
    k = connectivity[0]
    typical, chunk = typical_count(connectivity), np.int64(1) << np.int64(k)
    probe = PROBE_COST_OF_FIXED if is_fixed(connectivity) else PROBE_COST
    few = LIST_COST * typical * chunk // (probe * chunk + FOUND_COST * typical)
    top, bottom = np.int64(origin[0]), np.int64(origin[0]) + m
    n[first * batch : last * batch] = 0
    z[first * batch : last * batch] = 0
    first_chunk, n_chunks = chunk_range(top, bottom, k)
    n_segments = segments(connectivity, m)
    held = 0
    for q in range(n_chunks):
        candidates = active[np.int64(bounds[q]) : np.int64(bounds[q + 1])]
        if candidates.size == 0:
            continue
        for column in range(first, last, LANES):
            lanes = min(np.int64(LANES), last - column)
            for lane in range(lanes):
                columns[lane] = u32(u32(column + lane) + origin[1])
                chunks[lane] = u32(first_chunk + q)
            make_keys(matrix, columns, chunks, keys)
            if candidates.size < few:
                held = _probe_block(
                    table,
                    keys,
                    connectivity,
                    candidates,
                    column,
                    lanes,
                    u32(top),
                    batch,
                    flags,
                    pairs,
                    held,
                    n,
                    z,
                )
                continue
            for pair in range(lanes * n_segments):
                lane, segment = divmod(pair, n_segments)
                chunk = u32(chunks[lane] + u32(segment))
                found = window_connections(
                    keys, lane, chunk, connectivity, top, bottom, rows
                )
                if active.size < m:
                    found = _keep_active(rows, found, u32(top), any_flags)
                weigh(table, keys, lane, u32(0), rows, found, weights)
                into = (column + lane) * batch
                if batch == 1:
                    n[into] += np.int32(found)
                    z[into] += _sum(weights, found)
                else:
                    _sum_batch(rows, weights, found, u32(top), batch, flags, into, n, z)
    _add_pairs(table, pairs, held, u32(top), batch, flags, n, z)


@njit
def _probe_block(
    table,
    keys,
    connectivity,
    candidates,
    column,
    lanes,
    top,
    batch,
    flags,
    pairs,
    held,
    n,
    z,
):
    """Ask for the candidate rows of a block of columns, and hold what is connected."""
    invert_keys(keys)
    connected = carray(stack_words(FLAG_WORDS), (FLAG_WORDS,))
    flag_of_lane = connected.view(np.uint8)
    for lane in range(lanes, LANES):
        keys[COUNT, lane] = u32(0)
    last = candidates.size - 1
    for first in range(0, candidates.size, 4):
        rows = (
            candidates[first],
            candidates[min(first + 1, last)],
            candidates[min(first + 2, last)],
            candidates[min(first + 3, last)],
        )
        if is_fixed(connectivity):
            probe_rows_of_columns(connectivity, keys, rows, flag_of_lane)
        else:
            probe_rows(keys, connectivity[0], rows, flag_of_lane)
        bits = bits_of_bytes(flag_of_lane)
        if keys[OWN, 0] != NO_ROW and _near(rows, keys[OWN, 0]):
            for i in range(4):  # lanes are neighbouring columns
                lane_of_own = np.uint64(u32(rows[i] - keys[OWN, 0]))
                if lane_of_own < np.uint64(LANES):
                    bit_of_own = np.uint64(i * LANES) + lane_of_own
                    bits &= ~(np.uint64(1) << bit_of_own)
        valid = min(4, candidates.size - first) * LANES
        bits &= np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(4 * LANES - valid)
        while bits != 0:
            bit = trailing_zeros(bits)
            bits &= bits - np.uint64(1)
            lane = bit % np.uint64(LANES)
            pairs[PAIR_ROW, held] = candidates[
                np.uint64(first) + bit // np.uint64(LANES)
            ]
            pairs[PAIR_WEIGHT_0, held] = keys[WEIGHT_0, lane]
            pairs[PAIR_WEIGHT_1, held] = keys[WEIGHT_1, lane]
            pairs[PAIR_COLUMN, held] = u32(np.uint64(column) + lane)
            held += 1
        if held > HOLD:
            _add_pairs(table, pairs, held, top, batch, flags, n, z)
            held = 0
    return held


@njit(forceinline=True)
def _near(rows, own):
    """Whether ascending rows may be those that a block of columns leaves out."""
    last = np.int64(own) + LANES
    return np.int64(rows[3]) >= np.int64(own) and np.int64(rows[0]) < last


@njit
def _add_pairs(table, pairs, held, top, batch, flags, n, z):
    weights = carray(stack_words(HELD), (HELD,)).view(np.int32)
    weigh_pairs(table, pairs, held, weights)
    for t in range(held):
        into = np.uint64(pairs[PAIR_COLUMN, t]) * np.uint64(batch)
        if batch == 1:
            n[into] += np.int32(1)
            z[into] += weights[t]
        else:
            at = np.uint64(u32(pairs[PAIR_ROW, t] - top)) * np.uint64(batch)
            for b in range(np.uint64(batch)):
                flag = np.int32(flags[at + b])
                n[into + b] += flag
                z[into + b] += weights[t] & np.int32(-flag)


@njit
def _keep_active(rows, found, offset, any_flags):
    kept = 0
    for t in range(found):
        row = rows[t]
        rows[kept] = row
        kept += np.int64(any_flags[u32(row - offset)])
    return kept


@njit
def _sum(z, found):
    total = np.int32(0)
    for t in range(found):
        total = np.int32(total + z[t])
    return total


@njit
def _sum_batch(rows, weights, found, offset, batch, flags, into, n, z):
    for t in range(found):
        at = np.int64(u32(rows[t] - offset)) * batch
        weight = weights[t]
        for b in range(batch):
            flag = np.int32(flags[at + b])
            n[into + b] += flag
            z[into + b] += weight & np.int32(-flag)
