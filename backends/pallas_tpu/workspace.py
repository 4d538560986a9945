# SPDX-License-Identifier: Apache-2.0
"""How a problem is cut into blocks, and the memory that this takes.

Nothing here needs JAX: the plugin asks it whether a problem fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from synjit.reference import draw

if TYPE_CHECKING:
    from synjit.hookspecs import Problem

LANES = 128
SUBLANES = 8
REGISTER = SUBLANES * LANES  # words of a vector register

# One pass of Threefry over eight columns' lanes makes the key words of this many
# neighbouring chunks: a tile has no more.
CHUNKS_AT_ONCE = LANES // draw.COUNTER_STRIDE
MIN_CHUNK = 2**draw.MIN_LOG2_CHUNK
MIN_TILE = 256  # it and its doubles divide a chunk, or are divided by it
MAX_TILE = 8192
MAX_TILE_SUMS = 2**16  # rows of a tile times vectors: 4 MB of partial sums

MAX_BATCH = 32  # of one pass over the matrix: events of a row or column are one word
MAX_UNROLL = 8  # registers worked on together: enough to hide how long a gather takes

DENSE_COLUMNS = REGISTER
LIST_BLOCK = REGISTER  # items of a list that are on the chip together

MAX_WORDS = 2**31 - 1  # of one array, so that offsets fit 32 bits


@dataclass(frozen=True)
class Sizes:
    """Blocks of a problem.

    Attributes
    ----------
    batch : int
        Vectors of one pass over the matrix.
    passes : int
        Passes, for all vectors.
    tile : int
        Rows (of W @ x, and of the dense matrix) that a block of the result holds.
    tiles : int
        Blocks that hold all rows, wherever in a block the first row lies.
    sublanes : int
        A block of columns is an array (sublanes, LANES).
    blocks : int
        Blocks of columns.
    """

    batch: int
    passes: int
    tile: int
    tiles: int
    sublanes: int
    blocks: int


def sizes(problem: Problem) -> Sizes:
    """Cut a problem into blocks."""
    m, n = problem.shape
    batch = max(1, min(problem.batch, MAX_BATCH))
    chunk = 2 ** (problem.log2_chunk or draw.MIN_LOG2_CHUNK)
    tile = MIN_TILE
    if problem.product != "dense":
        most = min(m, MAX_TILE, MAX_TILE_SUMS // batch, CHUNKS_AT_ONCE * chunk)
        while tile < most:
            tile *= 2
    sublanes = SUBLANES
    if problem.transpose:
        sublanes = _sublanes(n)
    return Sizes(
        batch=batch,
        passes=max(1, -(-problem.batch // batch)),
        tile=tile,
        tiles=(m + 2 * tile - 2) // tile,
        sublanes=sublanes,
        blocks=max(1, -(-n // (sublanes * LANES))),
    )


def _sublanes(n: int) -> int:
    """Weigh long blocks, which hide latencies, against the columns that fill them up.

    A turn of the loop over u registers takes about as long as 3 + 2 u (``make aot``).
    """
    registers = max(1, -(-n // REGISTER))
    choices = (8, 4, 2, 1)
    return SUBLANES * min(choices, key=lambda u: -(-registers // u) * (3 + 2 * u))


def workspace_bytes(problem: Problem) -> int:
    """Bytes of the chip's main memory beyond the operands and the results.

    Of the products, the operand in blocks and the results in blocks, before they are
    cut and put side by side; of the dense matrix, twice the matrix in whole tiles.
    """
    s = sizes(problem)
    m, n = problem.shape
    vectors = s.passes * s.batch
    padded_columns = s.blocks * s.sublanes * LANES
    padded_rows = s.tiles * s.tile
    if problem.product == "dense":
        return 2 * 4 * padded_rows * padded_columns
    length = m if problem.transpose else n
    out = padded_columns if problem.transpose else padded_rows
    length = LIST_BLOCK * max(1, -(-length // LIST_BLOCK))
    lists = 2 * (1 + (s.passes if problem.product == "events" else vectors))
    return 4 * (lists * length + 2 * 2 * out * vectors)


def unroll(problem: Problem) -> int:
    """Give the registers of rows that W @ x takes together, of one chunk and tile."""
    tile = sizes(problem).tile
    if problem.log2_chunk is None:
        tile = min(tile, MIN_CHUNK)
    elif problem.log2_chunk < tile.bit_length():
        tile = min(tile, 2**problem.log2_chunk)
    return min(tile // LANES, MAX_UNROLL)


def elements_at_once(problem: Problem) -> int:
    """Elements of W that one turn of the innermost loop asks for."""
    if problem.product == "dense":
        return MAX_UNROLL * REGISTER
    if problem.transpose:
        return sizes(problem).sublanes * LANES
    return unroll(problem) * REGISTER


def refusal(problem: Problem, memory: int | None = None) -> str | None:
    """Say why a problem cannot be taken; None if it can.

    Parameters
    ----------
    memory : int, optional
        Bytes of the device's main memory, where there is a device.
    """
    if problem.product == "floats" and problem.dtype != "float32":
        return (
            f"values of {problem.dtype}: the vector unit has 32-bit words only; "
            "use float32"
        )
    s = sizes(problem)
    columns = s.blocks * s.sublanes * LANES
    rows = s.tiles * s.tile
    m, n = problem.shape
    if problem.product == "dense":
        words = {"the dense matrix": rows * columns}
        whole = m * n
    else:
        vectors = s.passes * s.batch
        words = {
            "the operand": (m if problem.transpose else n) * vectors,
            "the result": (columns if problem.transpose else rows) * vectors,
        }
        whole = (m + n + (n if problem.transpose else m)) * problem.batch
    for what, size in words.items():
        if size > MAX_WORDS:
            return (
                f"{what}, padded to whole blocks, has {size} words, and the kernels "
                f"count to {MAX_WORDS}; take fewer rows, columns or vectors at a time"
            )
    needed = 4 * whole + workspace_bytes(problem)
    if memory is not None and needed > memory:
        return (
            f"operands, results and workspace take {needed} bytes, and the device "
            f"has {memory}; take fewer rows, columns or vectors at a time"
        )
    return None
