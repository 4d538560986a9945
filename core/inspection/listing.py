# SPDX-License-Identifier: Apache-2.0
"""Connections of one matrix, drawn in batches on the CPU by several threads.

A matrix is listed as it is stored, before any transpose: a column is cut into chunks,
and a batch is a number of pairs of a column and a chunk. XLA draws their key words and
places, NumPy sorts and compacts the rows, and XLA draws the weights of those. Where few
rows are asked for, each entry is asked for instead.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from synjit import draw_jax, validation
from synjit.evaluation import coefficients
from synjit.hookspecs import Matrix, Rule
from synjit.jit_matrix import JITMatrix
from synjit.reference import draw
from synjit.settings import usual_settings

from . import kernels

u32 = np.uint32

BATCHES = (16, 128, 2048)  # chunks that are drawn at once; each number is compiled for
PLACES = 2**22  # that a batch may have, unless one chunk has more
POINTS = (128, 2**16)  # entries that are asked for at once
FEW_ROWS = 8  # are asked for one by one, in all columns
RARE = 1e-5  # part of the chunks that may have more connections than there is room for


class Piece(NamedTuple):
    """Connections of some columns of a matrix as it is stored.

    Attributes
    ----------
    columns, counts : int32 (parts,)
        Columns, ascending, and how many connections of each follow. A column of several
        chunks comes up several times.
    rows : int32 (connections,)
        Ascending in each column.
    weights : array (connections,), or None
        None where they were not asked for.
    """

    columns: NDArray[np.int32]
    counts: NDArray[np.int32]
    rows: NDArray[np.int32]
    weights: Any


class Drawn(NamedTuple):
    """A matrix whose values are known, as drawing takes it; arrays are of NumPy."""

    matrix: Matrix
    loc: Any
    scale: Any
    dtype: np.dtype  # of the weights
    rule: Rule
    self_connections: bool

    @property
    def log2_chunk(self) -> int:
        """Rows of a chunk, as an exponent of 2."""
        return int(self.matrix.connectivity[0])

    def most(self, beyond: float = 0.0) -> int:
        """Give the count that a part ``beyond`` of the chunks exceeds at most."""
        below = (self._limits < (1 - beyond) * (2**32 - 1)).sum()
        return int(self.matrix.connectivity[draw_jax.BASE]) + int(below)

    def density(self) -> float:
        """Mean number of connections for each entry."""
        base = float(self.matrix.connectivity[draw_jax.BASE])
        mean = base + float((2.0**32 - 1 - self._limits).sum() / 2.0**32)
        walked = float(self.matrix.connectivity[draw.ROWS_WORD])
        return mean / (walked or 2.0**self.log2_chunk)

    @property
    def _limits(self) -> NDArray[np.uint32]:
        words = np.asarray(self.matrix.connectivity)
        return words[draw_jax.LIMITS : draw.ROWS_WORD]


def known(matrix: JITMatrix) -> Drawn:
    """Bring a matrix into the form that drawing takes.

    Raises
    ------
    TypeError
        Something that it is made of is traced.
    """
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(matrix)):
        raise TypeError(
            f"the connections of a {type(matrix).__name__} can be listed where its "
            "values are known, and here its weights, seed, prob or origin are traced "
            "(by jax.jit, jax.vmap or jax.grad): list them outside, and pass the arrays"
        )
    with jax.ensure_compile_time_eval():
        own = matrix.operands()
        dtype = validation.result_dtype(*own.parameters)
        accurate = validation.compute_dtype(dtype)
        loc, scale = coefficients(matrix.family(), own.parameters, accurate)
        words = Matrix(*map(np.asarray, own.matrix))
        weights = np.asarray(loc), np.asarray(scale), dtype
        return Drawn(words, *weights, own.rule, matrix.self_connections)


def expected(matrix: JITMatrix, rows: int, columns: int) -> float:
    """Mean number of connections between so many rows and columns."""
    drawn = known(matrix)
    return drawn.density() * rows * columns


# --- windows ----------------------------------------------------------------------


def pieces(
    matrix: JITMatrix, rows: range, columns: range, *, weights: bool = True
) -> Iterator[Piece]:
    """List the connections between some rows and columns, in pieces of a few MB.

    Parameters
    ----------
    matrix : JITMatrix
        Taken as it is stored, whether it is transposed or not.
    rows, columns : range
        Ascending, and inside of the matrix.
    weights : bool
        Whether weights are wanted.
    """
    drawn = known(matrix)
    if not rows or not columns:
        return iter(())
    if len(rows) > FEW_ROWS:
        return _listed(drawn, rows, columns, weights)

    def point(number: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
        column, row = np.divmod(number, len(rows))
        return rows.start + rows.step * row, columns.start + columns.step * column

    return _asked(drawn, len(rows) * len(columns), point, weights)


def diagonal(matrix: JITMatrix, row: int, column: int, number: int) -> Iterator[Piece]:
    """Ask for the entries (row + k, column + k), for k below a number."""
    drawn = known(matrix)
    return _asked(drawn, number, lambda k: (row + k, column + k), weights=True)


def _listed(
    drawn: Drawn, rows: range, columns: range, weights: bool
) -> Iterator[Piece]:
    first_row, first_column = map(int, drawn.matrix.origin)
    low, high = first_row + rows[0], first_row + rows[-1] + 1
    first_chunk = low >> drawn.log2_chunk
    chunks = ((high - 1) >> drawn.log2_chunk) + 1 - first_chunk
    number = len(columns) * chunks
    usual, most = _room(drawn.most(RARE)), _room(drawn.most())
    size = _size(number, BATCHES, PLACES // max(usual, 1))

    def of_batch(start: int) -> Piece:
        part = np.minimum(np.arange(start, start + size), number - 1)
        column = columns.start + columns.step * (part // chunks)
        chunk = (first_chunk + part % chunks).astype(u32)
        keys, words = kernels.keys(
            drawn.matrix.seed,
            drawn.matrix.connectivity,
            (first_column + column).astype(u32),
            chunk,
            rule=drawn.rule,
            self_connections=drawn.self_connections,
        )
        # What fills up the last batch ends before it begins.
        end = np.where(np.arange(start, start + size) < number, high, 0).astype(u32)
        room = usual if np.max(keys.counts) <= usual else most
        places = kernels.places(
            keys, drawn.matrix.connectivity[0], chunk, u32(low), end, room=room
        )
        row = np.sort(places, axis=-1)
        present = row != kernels.NO_ROW
        if rows.step != 1:
            present &= (row - low) % rows.step == 0
        value = None
        if weights:
            drawn_weights = kernels.weights(
                words, row, drawn.matrix.weights, drawn.loc, drawn.scale, drawn.dtype
            )
            value = np.asarray(drawn_weights)[present]
        return Piece(
            columns=column.astype(np.int32),
            counts=present.sum(axis=-1, dtype=np.int32),
            rows=row[present] - np.int32(first_row),
            weights=value,
        )

    return _in_threads(of_batch, range(0, number, size), drawn)


def _asked(
    drawn: Drawn,
    number: int,
    point: Callable[[NDArray[np.int64]], tuple[NDArray, NDArray]],
    weights: bool,
) -> Iterator[Piece]:
    """Ask for entries: ``point`` gives the rows and the columns of their numbers."""
    first_row, first_column = map(int, drawn.matrix.origin)
    size = _size(number, POINTS, max(POINTS))

    def of_batch(start: int) -> Piece:
        row, column = point(np.minimum(np.arange(start, start + size), number - 1))
        connected, words = kernels.connected(
            drawn.matrix.seed,
            drawn.matrix.connectivity,
            (first_row + row).astype(u32),
            (first_column + column).astype(u32),
            rule=drawn.rule,
            self_connections=drawn.self_connections,
        )
        present = np.asarray(connected) & (np.arange(start, start + size) < number)
        value = None
        if weights:
            row_in_matrix = (first_row + row).astype(np.int32)
            drawn_weights = kernels.weights(
                words,
                row_in_matrix[:, None],
                drawn.matrix.weights,
                drawn.loc,
                drawn.scale,
                drawn.dtype,
            )
            value = np.asarray(drawn_weights)[present, 0]
        columns = column[present].astype(np.int32)
        counts = np.ones(len(columns), np.int32)
        return Piece(columns, counts, row[present].astype(np.int32), value)

    return _in_threads(of_batch, range(0, number, size), drawn)


# --- batches and threads ----------------------------------------------------------


def _room(count: int) -> int:
    """Round up, so that few numbers are compiled for."""
    step = max(8, 2 ** (count.bit_length() - 4))
    return -(-count // step) * step


def _size(number: int, sizes: tuple[int, ...], most: int) -> int:
    """Choose the size of batches: the smallest that takes all, within the bound."""
    allowed = [size for size in sizes if size <= most] or [1]
    return next((size for size in allowed if size >= number), allowed[-1])


def _in_threads(
    draw: Callable[[int], Piece], starts: range, drawn: Drawn
) -> Iterator[Piece]:
    """Draw batches by several threads, and give them in order as they are taken."""
    device = _cpu()
    x64 = drawn.loc.dtype == np.float64

    def work(start: int) -> Piece:
        with usual_settings(x64), jax.default_device(device):
            return draw(start)

    threads = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(threads, "synjit-listing") as pool:
        waiting: collections.deque[Future[Piece]] = collections.deque()
        try:
            for start in starts:
                waiting.append(pool.submit(work, start))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _cpu() -> jax.Device:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError as error:
        raise RuntimeError(
            "connections are listed on the CPU, and JAX was told to leave it out: add "
            "cpu to JAX_PLATFORMS, as in JAX_PLATFORMS=cuda,cpu"
        ) from error
