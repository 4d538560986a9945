# SPDX-License-Identifier: Apache-2.0
"""What a handler finds in its call frame: the matrix, the workspace, its own part.

Operands: seed (2,), origin (2,), connectivity (CONNECTIVITY_WORDS,), the table of the
weights, events or values, two-dimensional with the batch last, and of a weighted sum
w_loc and w_scale. Results: those of the product, then the workspace.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from synjit.reference.draw import CONNECTIVITY_WORDS, MIN_LOG2_CHUNK

from . import partition as p
from .chunks import count_active, list_active, pair_range
from .draw import LANES, Matrix, count_limits
from .frame import argument, array, dimension, result
from .intrinsics import malloc, pointer_at
from .out_degree import is_fixed

u32 = np.uint32

PARTITION_WORDS = 2 * p.PARTITION_WORDS  # of 32 bits
LIST_END = 2 * LANES  # that may be read or written beyond a list
FEW = 1 << 18  # items, for all of which a list may have room


def workspace_words(
    product: str, shape: tuple[int, int], transpose: bool, batch: int
) -> int:
    """32-bit words of scratch memory that a product with one matrix needs."""
    m, n = shape
    words = PARTITION_WORDS
    if product == "dense" or (product == "floats" and transpose):
        return words
    if transpose:
        words += bounds_words.py_func(m) + (m // 4 + 1 if batch > 1 else 0)
        return words + (2 * n * batch if product == "weighted" else 0)
    return words + (n + LIST_END if product == "floats" else 0)


@njit(forceinline=True)
def matrix_of(frame):
    """Read the operands that say which matrix."""
    connectivity, table = (
        array(argument(frame, 2), u32, CONNECTIVITY_WORDS),
        argument(frame, 3),
    )
    return Matrix(
        array(argument(frame, 0), u32, 2),
        array(argument(frame, 1), u32, 2),
        connectivity,
        count_limits(connectivity),
        array(table, u32, dimension(table, 0)),
    )


@njit(forceinline=True)
def workspace_of(frame, i):
    """The partition, and the words after it."""
    buffer = result(frame, i)
    words = array(buffer, u32, dimension(buffer, 0))
    return words[:PARTITION_WORDS].view(np.int64), words[PARTITION_WORDS:]


@njit
def make_list(flags, batch, items, partition):
    """List the active items in memory of its own; says if there was any."""
    room = items if items <= FEW else count_active(flags, batch, items)
    partition[p.LIST] = malloc(4 * (room + LIST_END))
    if partition[p.LIST] == 0:
        return False
    active = carray(pointer_at(partition[p.LIST], u32), (room + LIST_END,))
    partition[p.ACTIVE] = list_active(flags, batch, items, active)
    return True


@njit(forceinline=True)
def list_of(partition):
    """The list that ``make_list`` made."""
    return carray(pointer_at(partition[p.LIST], u32), (partition[p.ACTIVE],))


@njit(forceinline=True)
def accumulators_of(partition, slot, dtype, itemsize):
    """Those of a slot."""
    size = 8 * partition[p.SUM_WORDS] // itemsize
    return carray(pointer_at(p.sums_of_slot(partition, slot), dtype), (size,))


@njit(forceinline=True)
def share(total, i, shares):
    """Where the i-th of equal shares begins."""
    return total * i // shares


@njit(forceinline=True)
def tile_of(matrix, m, partition, part):
    """Chunks, and rows within the window, of a part's tile; and which split it is."""
    k = np.int64(matrix.connectivity[0])
    top = np.int64(matrix.origin[0])
    first, n_chunks = pair_range(matrix.connectivity, top, top + m)
    split, tile = divmod(part, partition[p.TILES])
    start = tile * partition[p.TILE_CHUNKS]
    depth = min(partition[p.TILE_CHUNKS], n_chunks - start)
    if is_fixed(matrix.connectivity):
        return first, n_chunks, top, top + m, split
    low = max(top, (first + start) << k)
    high = min(top + m, (first + start + depth) << k)
    return first + start, depth, low, high, split


@njit(forceinline=True)
def bounds_words(m):
    """Words for the bounds of the chunks of m rows, of which two may be partial."""
    return (m >> MIN_LOG2_CHUNK) + 3
