# SPDX-License-Identifier: Apache-2.0
"""The draw inside a kernel: which matrix, and keys of chunks, one to a lane.

All words are uint32, scalars or vectors of lanes, and stay in registers; only the
connectivity and the table of weights are looked up in memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synjit import draw_jax
from synjit.draw_jax import u32
from synjit.hookspecs import Matrix, Problem

from .workspace import LOG2_ROWS, ROWS


class Keys(NamedTuple):
    """Key words of chunks, and of the weights of their columns."""

    chunk: draw_jax.Keys
    weights: tuple[jax.Array, jax.Array]


class Window(NamedTuple):
    """Scalars that say which matrix, and which rows of it, a kernel is about.

    ``matrix`` has the references, and ``take`` looks words up in them.
    """

    matrix: Matrix
    seed: tuple[jax.Array, jax.Array]
    top: jax.Array
    left: jax.Array
    log2_chunk: jax.Array
    rows: Any  # uint32
    problem: Problem
    take: draw_jax.Take = draw_jax.take

    @property
    def device(self) -> bool:
        """Whether the kernel is compiled for a GPU, and not interpreted."""
        return self.problem.platform != "cpu"

    @property
    def chunk_rows(self) -> jax.Array:
        """Rows of a chunk."""
        return u32(1) << self.log2_chunk

    @property
    def first_chunk(self) -> jax.Array:
        """Chunk of the first row."""
        return self.top >> self.log2_chunk

    @property
    def last_chunk(self) -> jax.Array:
        """Chunk of the last row."""
        return (self.top + (self.rows - u32(1))) >> self.log2_chunk

    @property
    def chunks(self) -> jax.Array:
        """Number of chunks that the rows touch."""
        return count_chunks(self.top, self.rows, self.log2_chunk)

    def keys(self, column: jax.Array, chunk: jax.Array, *, inverse: bool) -> Keys:
        """Draw keys, ``inverse`` for ``connected`` and not for ``place``.

        ``column`` is a vector of lanes, ``chunk`` one or a scalar, both counted in the
        whole matrix.
        """
        chunk = jnp.broadcast_to(chunk, column.shape)
        connectivity, unrolled = self.matrix.connectivity, self.device
        return Keys(
            draw_jax.chunk_keys(
                self.seed,
                column,
                chunk,
                connectivity,
                inverse=inverse,
                unrolled=unrolled,
                take=self.take,
                rule=self.problem.rule,
                self_connections=self.problem.self_connections,
            ),
            draw_jax.weight_words(self.seed, column, unrolled=unrolled),
        )

    def place(self, keys: Keys, t: jax.Array) -> jax.Array:
        """Place of connection t, within the chunk."""
        return draw_jax.place(t, keys.chunk, self.log2_chunk)

    def holds(self, keys: Keys, row: jax.Array) -> jax.Array:
        """Whether a row that was listed is in the window, and may be connected."""
        inside = (row - self.top) < self.rows
        return inside & draw_jax.is_allowed(row, keys.chunk)

    def connected(self, keys: Keys, row: jax.Array) -> jax.Array:
        """Whether a row is connected, under keys made with ``inverse``."""
        return draw_jax.connected(row, keys.chunk, self.log2_chunk)

    def weight(self, keys: Keys, row: jax.Array) -> jax.Array:
        """Give z of a row of the keys' column, int32."""
        return draw_jax.weight(row, keys.weights, self.matrix.weights, take=self.take)


def window(matrix: Any, problem: Problem, rows: Any = None) -> Window:
    """Read the scalars from a kernel's operands; rows, if left, are the problem's."""
    seed, origin, connectivity, _ = matrix
    return Window(
        matrix,
        (seed[0], seed[1]),
        origin[0],
        origin[1],
        connectivity[0],
        u32(problem.shape[0]) if rows is None else rows,
        problem,
    )


def count_chunks(top: Any, rows: Any, log2_chunk: Any) -> Any:
    """Count the chunks that rows from ``top`` on touch, int32."""
    last = (top + (rows - u32(1))) >> log2_chunk
    return (last - (top >> log2_chunk) + u32(1)).astype(jnp.int32)


def rows_of_block(view: Window, block: jax.Array) -> tuple[jax.Array, ...]:
    """First row of a block of ROWS, and the range of it that is in the window, int32.

    Blocks start where chunks may; so the first may start before the window.
    """
    start = ((view.top >> u32(LOG2_ROWS)) << u32(LOG2_ROWS)) - view.top
    start = start.astype(jnp.int32) + block * np.int32(ROWS)
    low = jnp.maximum(start, np.int32(0))
    return start, low, jnp.minimum(start + np.int32(ROWS), np.int32(view.rows))
