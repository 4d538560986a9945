# SPDX-License-Identifier: Apache-2.0
"""The arrays that a kernel is given, and who did what to each of their words.

Everything is counted in cells of 32 bits. A launch has the address of each array at a
distance from all others, so that an index that is too large, or below 0, is outside of
all. A cell knows whether it holds a value, which program stored or loaded it, and
what atomics did to it; it is an error if

* a cell without a value is loaded or added to,
* a program loads what another one stores, or stores what another one loads,
* two programs, or two lanes of one, store different values (equal ones are allowed),
* a cell is added to by atomics, and loaded, stored or exchanged besides,
* a cell is exchanged by atomics, and loaded, stored or added to besides,

in whichever order that happened to come: the result would depend on the order. Which
of several exchanges is the last depends on it too; whoever exchanges says that it may.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

SPACE = 40  # bits of an address that are left to one array
SEVERAL = -1  # programs
NO_WORD = 0xDEADBEEF  # what memory holds that was never written, from launch to launch
ADDED, EXCHANGED = 1, 2

(
    FINE, OUTSIDE, MISALIGNED, NO_VALUE, STORED_BY_ANOTHER, LOADED_BY_ANOTHER,
    OTHER_VALUE, LANES_DISAGREE, ATOMIC_TOO, NO_REGISTER_VALUE, LANES_PART,
    NOT_ALL_LANES, DIVISION_BY_0, TOO_LONG, PAST_END,
) = range(15)  # fmt: skip

FAULTS = {
    OUTSIDE: "an access outside of the arrays",
    MISALIGNED: "an address that is no multiple of the size of the access",
    NO_VALUE: "it reads memory that was never written",
    STORED_BY_ANOTHER: "it loads what another program of the launch stores",
    LOADED_BY_ANOTHER: "it stores what another program of the launch loads",
    OTHER_VALUE: "it stores a value where another program stores a different one",
    LANES_DISAGREE: "two lanes store different values in one place",
    ATOMIC_TOO: "it does something else to what atomics write, in the same launch",
    NO_REGISTER_VALUE: "it reads a register that was never written",
    LANES_PART: "a jump that only some lanes of a warp take: this is not known here",
    NOT_ALL_LANES: "not all lanes of the warp take part",
    DIVISION_BY_0: "it divides by 0",
    TOO_LONG: "it does not end",
    PAST_END: "it runs past its last instruction",
}


class Memory(NamedTuple):
    """Arrays of a launch; ``longs``, ``floats`` and ``doubles`` are views of ``cells``.

    Attributes
    ----------
    cells : uint32 (cells,)
    longs, floats, doubles
    bases, sizes : int64 (arrays,)
        Address and bytes of each array.
    first : int64 (arrays,)
        Its first cell, an even number.
    filled : bool (cells,)
        Whether a cell has a value.
    atomic : uint8 (cells,)
        Which atomics wrote it: 0, ``ADDED`` or ``EXCHANGED``.
    writer, reader : int32 (cells,)
        Program that stored and loaded it, counted from 1; 0 if none, or ``SEVERAL``.
    """

    cells: NDArray[np.uint32]
    longs: NDArray[np.uint64]
    floats: NDArray[np.float32]
    doubles: NDArray[np.float64]
    bases: NDArray[np.int64]
    sizes: NDArray[np.int64]
    first: NDArray[np.int64]
    filled: NDArray[np.bool_]
    atomic: NDArray[np.uint8]
    writer: NDArray[np.int32]
    reader: NDArray[np.int32]


def allocate(
    arrays: Sequence[NDArray[np.uint32] | int], alignments: Sequence[int]
) -> Memory:
    """Place arrays: those that are given, and empty ones of a number of cells.

    What a launch before has left without a value, ``NO_WORD``, has none here either.

    Each is at a multiple of its alignment, in bytes, but not of twice that.
    """
    lengths = [a if isinstance(a, int) else a.size for a in arrays]
    if min(alignments, default=8) < 8:
        raise ValueError(f"alignments of 8 bytes and more are known, not {alignments}")
    if max(lengths, default=0) >= 2 ** (SPACE - 3):
        raise ValueError(f"arrays of {lengths} cells are too long")
    first = np.cumsum([0, *(n + n % 2 for n in lengths)], dtype=np.int64)
    total = int(first[-1])
    cells = np.full(total, NO_WORD, np.uint32)
    filled = np.zeros(total, np.bool_)
    for start, array in zip(first, arrays, strict=False):
        if not isinstance(array, int):
            cells[start : start + array.size] = array
            filled[start : start + array.size] = array != NO_WORD
    return Memory(
        cells,
        cells.view(np.uint64),
        cells.view(np.float32),
        cells.view(np.float64),
        np.array([(i + 1 << SPACE) + a for i, a in enumerate(alignments)], np.int64),
        np.array(lengths, np.int64) * 4,
        first[:-1].copy(),
        filled,
        np.zeros(total, np.uint8),
        np.zeros(total, np.int32),
        np.zeros(total, np.int32),
    )


# What follows is called by the machine. Results below 0 are faults.


@njit(cache=True)
def find(memory, address, size):
    """Cell of an address of ``size`` bytes, or the fault, negative."""
    array = (address >> SPACE) - 1
    if array < 0 or array >= len(memory.sizes):
        return -OUTSIDE
    offset = address - memory.bases[array]
    if offset < 0 or offset + size > memory.sizes[array]:
        return -OUTSIDE
    if address % size:
        return -MISALIGNED
    return memory.first[array] + (offset >> 2)


@njit(cache=True)
def load(memory, address, size, program):
    """Cell to load from."""
    place = find(memory, address, size)
    if place < 0:
        return place
    for cell in range(place, place + (size >> 2)):
        if not memory.filled[cell]:
            return -NO_VALUE
        if memory.atomic[cell]:
            return -ATOMIC_TOO
        if memory.writer[cell] not in (0, program):
            return -STORED_BY_ANOTHER
        if memory.reader[cell] != program:
            memory.reader[cell] = SEVERAL if memory.reader[cell] else program
    return place


@njit(cache=True)
def store(memory, address, size, value, program):
    """Store the bits of a value; give the cell."""
    place = find(memory, address, size)
    if place < 0:
        return place
    for cell in range(place, place + (size >> 2)):
        bits = np.uint32(value & 0xFFFFFFFF)
        value >>= 32
        if memory.atomic[cell]:
            return -ATOMIC_TOO
        if memory.reader[cell] not in (0, program):
            return -LOADED_BY_ANOTHER
        if memory.writer[cell] not in (0, program):
            if memory.cells[cell] != bits:
                return -OTHER_VALUE
            memory.writer[cell] = SEVERAL
        else:
            memory.writer[cell] = program
        memory.cells[cell] = bits
        memory.filled[cell] = True
    return place


@njit(cache=True)
def change(memory, address, size, how):
    """Cell to change by an atomic, ``ADDED`` or ``EXCHANGED``."""
    place = find(memory, address, size)
    if place < 0:
        return place
    for cell in range(place, place + (size >> 2)):
        if how == ADDED and not memory.filled[cell]:
            return -NO_VALUE
        if memory.writer[cell] or memory.reader[cell]:
            return -ATOMIC_TOO
        if memory.atomic[cell] not in (0, how):
            return -ATOMIC_TOO
        memory.atomic[cell], memory.filled[cell] = how, True
    return place
