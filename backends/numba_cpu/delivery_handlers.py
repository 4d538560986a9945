# SPDX-License-Identifier: Apache-2.0
"""Handlers of delivery: what events add to a ring, which is written in place.

Parts are those of a grid of matrices (``block_handlers``): rows of one group, through
all of its blocks in order, each in tiles.

Operands: those of ``block_handlers`` up to the places; the tables of the delays, one
after the other; where each block's begins, and how many words it has (blocks, 2); the
ring (slots, m, batch); the slot of the step (). Results: the ring, in the same memory,
and the scratch memory below.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from synjit.reference.draw import CONNECTIVITY_WORDS

from . import partition as p
from .block_handlers import (
    BEGIN,
    COLUMN,
    END,
    FIRST,
    HIGH,
    LAST,
    LIMITS,
    LOW,
    PART_WORDS,
    PARTS,
    PLACE_WORDS,
    ROW,
    SCAN_WORDS,
    SCANS,
    cut_rows,
    partition_of,
    row_of,
    scan_blocks,
    scratch,
    table_of,
)
from .delivery import deliver
from .draw import Matrix
from .errors import out_of_memory
from .frame import argument, array, dimension, is_handshake, result
from .intrinsics import free, stack_words
from .naming import named_after
from .operands import list_of, make_list
from .threads import available_threads, in_parts

u32 = np.uint32

# Operands after those of ``block_handlers``, and results.
DELAYS, DELAY_PLACES, RING_IN, NOW = 8, 9, 10, 11
RING = 0


def _delivery(dtype, word):
    """Make the body of a handler; ``word`` is the unsigned type as large as a float."""

    @njit(forceinline=True)
    @named_after(dtype)
    def events(frame):
        operand = argument(frame, 4)
        n, batch = dimension(operand, 0), dimension(operand, 1)
        return array(operand, np.uint8, n * batch), n, batch

    @njit
    @named_after(dtype)
    def add_block(frame, b, low, high):
        """Add what a block gives the rows low .. high - 1 of its group."""
        flags, _, batch = events(frame)
        place = row_of(
            array(argument(frame, 7), np.int32, (b + 1) * PLACE_WORDS), b, PLACE_WORDS
        )
        scan = row_of(scratch(frame, SCANS), b, SCAN_WORDS)
        active = list_of(partition_of(frame))
        active = active[np.int64(scan[BEGIN]) : np.int64(scan[END])]
        if active.size == 0:
            return True
        # The list has columns of the whole: so must the window begin.
        origins = array(argument(frame, 1), u32, 2 * (b + 1))
        origin = carray(stack_words(2), (2,))
        origin[0] = origins[2 * b]
        origin[1] = u32(origins[2 * b + 1] - u32(place[COLUMN]))
        matrix = Matrix(
            row_of(array(argument(frame, 0), u32, 2 * (b + 1)), b, 2),
            origin,
            row_of(
                array(argument(frame, 2), u32, CONNECTIVITY_WORDS * (b + 1)),
                b,
                CONNECTIVITY_WORDS,
            ),
            np.int64(scan[LIMITS]),
            table_of(frame, place),
        )
        at = array(argument(frame, DELAY_PLACES), np.int32, 2 * (b + 1))
        begin, length = np.int64(at[2 * b]), np.int64(at[2 * b + 1])
        table = array(argument(frame, DELAYS), u32, begin + length)[begin:]
        loc = array(argument(frame, 5), dtype, b + 1)[b]
        scale = array(argument(frame, 6), dtype, b + 1)[b]
        out = result(frame, RING)
        slots, m = dimension(out, 0), dimension(out, 1)
        size = slots * m * batch
        start = np.int64(array(argument(frame, NOW), u32, 1)[0]) + np.int64(table[0])
        start -= slots if start >= slots else 0
        top = np.int64(origin[0])
        return deliver(
            matrix,
            table,
            flags,
            batch,
            active,
            top + low,
            top + high,
            (start, slots, m * batch, (np.int64(place[ROW]) + low) * batch),
            loc,
            scale,
            array(out, dtype, size),
            array(out, word, size),
        )

    @njit
    @named_after(dtype)
    def run_part(frame, part, slot, fresh):
        own = row_of(scratch(frame, PARTS), part, PART_WORDS)
        low, high = np.int64(own[LOW]), np.int64(own[HIGH])
        for b in range(np.int64(own[FIRST]), np.int64(own[LAST])):
            if not add_block(frame, b, low, high):
                partition_of(frame)[p.FAILED] = 1

    run = in_parts(run_part)

    @njit
    @named_after(dtype)
    def deliver_all(frame):
        """Go through the active columns; says whether there was memory for it."""
        n_blocks = dimension(argument(frame, 0), 0)
        origins = array(argument(frame, 1), u32, 2 * n_blocks)
        connectivities = array(argument(frame, 2), u32, CONNECTIVITY_WORDS * n_blocks)
        places = array(argument(frame, 7), np.int32, PLACE_WORDS * n_blocks)
        _, _, batch = events(frame)
        partition, scans = partition_of(frame), scratch(frame, SCANS)
        connections = scan_blocks(connectivities, places, list_of(partition), scans)
        threads = 1
        if connections * max(1, batch // 4) > p.WORTH:
            threads = available_threads(frame)
        parts = scratch(frame, PARTS)
        n_parts = cut_rows(origins, connectivities, places, scans, threads, parts)
        partition[p.FAILED] = 0
        run(frame, n_parts, min(threads, n_parts))
        return partition[p.FAILED] == 0

    @njit
    @named_after(dtype)
    def call(frame):
        flags, n, batch = events(frame)
        partition, done = partition_of(frame), True
        if not make_list(flags, batch, n, partition):
            return out_of_memory(frame)
        if partition[p.ACTIVE] > 0:
            done = deliver_all(frame)
        free(partition[p.LIST])
        return 0 if done else out_of_memory(frame)

    return call


_call_32, _call_64 = _delivery(np.float32, u32), _delivery(np.float64, np.uint64)


def deliver_float32(frame):
    """Result ring (slots, m, batch)."""
    return 0 if is_handshake(frame) else _call_32(frame)


def deliver_float64(frame):
    """Result ring (slots, m, batch)."""
    return 0 if is_handshake(frame) else _call_64(frame)
