# SPDX-License-Identifier: Apache-2.0
"""How a call is cut into parts, and the scratch memory that it works in.

Work is counted in connections, of about two nanoseconds each. Rows are cut where
chunks are. Where there are too few chunks for the threads, the active columns of an
integer product are cut too ("splits"), and each thread then adds into accumulators of
its own, which are added up in the end: integer sums come out the same in any order.
The sums of floats would not, so that these are cut by rows alone.

A workspace begins with the partition, PARTITION_WORDS words of 64 bits; parts read it.
What is as large as what they need is memory of its own, for XLA would keep as much as
they might.
"""

from __future__ import annotations

from numba import njit

from .chunks import pair_range
from .draw import LANES, SHORT, typical_count
from .intrinsics import malloc
from .out_degree import is_fixed
from .threads import available_threads

# The partition.
ACTIVE = 0  # number of active columns, or rows
TILE_CHUNKS = 1  # chunks of rows in a part
TILES = 2
SPLITS = 3
THREADS = 4
SUM_WORDS = 5  # 64-bit words of one thread's accumulators
SUMS = 6  # address of the accumulators of all slots
PART_COLUMNS = 7
LIST = 8  # address of the list of active columns, or rows
FAILED = 9  # whether a part found no memory
PARTITION_WORDS = 16

WORTH = 1 << 13  # connections that make up for waking a thread
KEY_COST = 16  # of the keys of one chunk
PARTS_PER_THREAD = 4
TILE_ROWS = 1 << SHORT  # of short chunks, so that 16 bits number the rows
LINE = 64  # bytes of a cache line
# A block of keys is for LANES chunks: a part needs several blocks, to fill them.
LEAST_PAIRS = LANES // 2


@njit
def tile_chunks(log2_chunk, n_chunks, row_bytes, tile_bytes, n_active):
    """Chunks of rows in a tile, whose accumulators should take ``tile_bytes``."""
    chunks = max((tile_bytes // row_bytes) >> log2_chunk, -(-LEAST_PAIRS // n_active))
    return max(1, min(chunks, n_chunks, TILE_ROWS >> log2_chunk))


@njit
def partition_rows(frame, matrix, m, row_bytes, tile_bytes, may_split, partition):
    """Cut W @ x into tiles of rows, and into splits of the active columns.

    Parameters
    ----------
    frame : int
    matrix : draw.Matrix
    m : int
    row_bytes : int
        Size of the accumulators of one row, a multiple of 8.
    tile_bytes : int
        Wanted size of the accumulators of a part.
    may_split : bool
    partition : int64 array
        ``partition[ACTIVE]`` is given, and not 0; the rest is filled in.

    Returns
    -------
    int
        The number of parts: tiles times splits. 0 if there is no memory for them.
    """
    k = int(matrix.connectivity[0])
    n_active = partition[ACTIVE]
    top = int(matrix.origin[0])
    _, n_chunks = pair_range(matrix.connectivity, top, top + m)
    depth = tile_chunks(k, n_chunks, row_bytes, tile_bytes, n_active)
    if is_fixed(matrix.connectivity):
        depth = n_chunks
    tiles = -(-n_chunks // depth)
    splits, threads = 1, 1
    connections = (n_active * typical_count(matrix.connectivity) * m) >> k
    if connections * max(1, row_bytes // 32) > WORTH:
        threads = available_threads(frame)
        few = tiles < PARTS_PER_THREAD * threads
        if threads > 1 and few and may_split and connections > 4 * m:
            splits = min(-(-PARTS_PER_THREAD * threads // tiles), n_active)
        threads = min(threads, tiles * splits)
    whole = splits > 1 or is_fixed(matrix.connectivity)
    rows = m if whole else min(m, depth << k)
    partition[TILE_CHUNKS] = depth
    partition[TILES] = tiles
    partition[SPLITS] = splits
    partition[THREADS] = threads
    has_sums = make_sums(rows * row_bytes // 8, threads, partition)
    return tiles * splits if has_sums else 0


@njit
def make_sums(words, threads, partition):
    """Make accumulators of so many words for each thread; says if there was memory."""
    partition[SUM_WORDS] = -(-words * 8 // LINE) * (LINE // 8)
    partition[SUMS] = malloc(threads * 8 * partition[SUM_WORDS] + LINE)
    return partition[SUMS] != 0


@njit(forceinline=True)
def sums_of_slot(partition, slot):
    """Address of a slot's accumulators, at the beginning of a cache line."""
    first = -(-partition[SUMS] // LINE) * LINE
    return first + slot * 8 * partition[SUM_WORDS]


@njit
def partition_columns(frame, n, work, partition):
    """Cut a product by columns; returns the number of parts.

    ``work`` is that of one column, in connections.
    """
    threads, part = 1, n
    if work * n > WORTH:
        threads = available_threads(frame)
        if threads > 1:
            part = -(-n // (2 * PARTS_PER_THREAD * threads))
    part = -(-part // LANES) * LANES
    partition[THREADS] = threads
    partition[PART_COLUMNS] = part
    return -(-n // part)
