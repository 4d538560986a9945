# SPDX-License-Identifier: Apache-2.0
"""How many programs and vectors there are, and the memory that this takes.

Beyond operands and results there are: the list of active items and their numbering
(8 bytes an item), a bit for each event of a batch, and sums of 8 bytes (floats: two
values) for each element of a result, or for MAX_PROGRAMS programs: never anything of
the size of the matrix. Blocks of a grid that are listed at once have sums of their own
for each row of theirs. ``workspace_bytes`` states the bound.

Nothing here needs JAX: the plugin asks it whether a problem can be taken.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from synjit.reference import draw

if TYPE_CHECKING:
    from synjit.hookspecs import Grid, Problem

LANES = 32  # a warp: programs need no barrier
LOG2_ROWS = 8  # rows to a program; no chunk is shorter
ROWS = 2**LOG2_ROWS

# Programs that are enough to fill a device: more work is more of it for each.
MAX_PROGRAMS = 4096
MAX_SPLITS = 64
# Vectors of a batch whose sums fit into a program's registers.
ROW_TILE = 4
COLUMN_TILE = 6  # 8 spills on an A100

# N and Z that a delivery keeps at once, for each row and vector, and at most: those of
# the connections of a list, or of the places of some rows, one of each block of a row.
CELLS_OF_ROW = 64
CELLS = 2**23

# Elements of an operand, a result or a table of partial sums: indices are int32.
MAX_ELEMENTS = 2**31 - 1
# (column, chunk) pairs of a launch, which are numbered in 31 bits. A pair may be shared
# by LANES lanes; the numbers stay below 2**31 even then, since only few pairs are.
MAX_PAIRS = 2**31 - 2 * LANES * MAX_PROGRAMS


def refusal(problem: Problem) -> str | None:
    """Say why a problem cannot be taken; None if it can."""
    m, n = problem.shape
    dense, deliver = problem.product == "dense", problem.product == "deliver"
    size = m * n if dense else max(m, n) * max(problem.batch, 1)
    if deliver:
        size = max(size, problem.slots * max(m, terms(problem)) * problem.batch)
    if size > MAX_ELEMENTS:
        return (
            f"an array of {size} elements, and it counts to {MAX_ELEMENTS}; take "
            "fewer rows, columns or vectors at a time"
        )
    if deliver and 0 not in problem.shape and pairs(problem) > MAX_PAIRS:
        return (
            f"{pairs(problem)} chunks of columns and vectors, and it counts to "
            f"{MAX_PAIRS}; take fewer rows, columns or vectors at a time"
        )
    return None


def pairs(problem: Problem) -> int:
    """Count the chunks of all blocks' columns, of a delivery of all vectors'."""
    blocks = [problem.of_block(i) for i in range(len(problem.grid.blocks))]
    vectors = problem.batch if problem.product == "deliver" else 1
    return sum(b.shape[1] * max_chunks(b) for b in blocks if 0 not in b.shape) * vectors


def terms(problem: Problem) -> int:
    """Count the blocks of the row that has most."""
    return max(Counter(block.row for block in problem.grid.blocks).values())


def cells(problem: Problem) -> int:
    """Bound what a delivery keeps at once: connections of a list, or places."""
    most = min(CELLS_OF_ROW * problem.shape[0] * problem.batch, CELLS)
    return max(most // terms(problem) // LANES, 1) * LANES


def lists_at_once(problem: Problem) -> bool:
    """Whether the blocks of a grid are listed together: if they can be numbered."""
    grid = problem.grid
    if len(grid.blocks) < 2 or 0 in (*grid.rows, *grid.columns, problem.batch):
        return False
    few = pairs(problem) <= MAX_PAIRS
    return few and _rows(grid) * problem.batch <= MAX_ELEMENTS


def _rows(grid: Grid) -> int:
    """Count the rows of all blocks."""
    return sum(grid.shape(block)[0] for block in grid.blocks)


def workspace_bytes(problem: Problem) -> int:
    """Bound the memory that a product takes beyond its operands and results."""
    m, n = problem.shape
    size_in, size_out = (m, n) if problem.transpose else (n, m)
    if problem.product == "weighted" and len(problem.grid.blocks) > 1:
        size_out = _rows(problem.grid)
    word = 8 if problem.dtype == "float64" else 4
    if problem.product == "dense":
        return 2**16
    if problem.product == "deliver":
        pair_lists = 32 * (n * problem.batch + 1) + 2**16
        return pair_lists + 2 * _bytes_of_delivery(problem, word)
    lists = 32 * (size_in + 1) + 8 * size_in * problem.batch
    sums = 2 * word * (2 * size_out * problem.batch + MAX_PROGRAMS * ROWS * ROW_TILE)
    return lists + 2 * sums + 2**16 + 64 * len(problem.grid.blocks)


def _bytes_of_delivery(problem: Problem, word: int) -> int:
    """Bytes of a list with its sums, or of the sums of some rows."""
    connections, blocks = cells(problem), terms(problem)
    listed = connections * (8 + word + 8 * blocks) + 4 * connections // LANES
    places = max(connections, problem.slots * problem.batch)
    return max(listed, places * (4 + 8 * blocks))


def max_chunks(problem: Problem) -> int:
    """Chunks that the window can touch, wherever it begins."""
    k = problem.log2_chunk
    shortest = 2 ** (draw.MIN_LOG2_CHUNK if k is None else k)
    return (problem.shape[0] - 1) // shortest + 2


def row_blocks(rows: int) -> int:
    """Blocks of ROWS rows that the window can touch, wherever it begins."""
    return (rows - 1) // ROWS + 2


def splits(programs: int, most: int) -> int:
    """Shares that a program's work is cut into, where there are few programs."""
    return max(1, min(MAX_PROGRAMS // programs, MAX_SPLITS, most))
