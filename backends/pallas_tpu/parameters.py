# SPDX-License-Identifier: Apache-2.0
"""The scalars that all kernels take, and the sums that all kernels add to."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from synjit.hookspecs import Matrix, Problem
from synjit.reference.draw import ROWS_WORD

SIZE = 8


def pack(
    matrix: Matrix,
    *,
    top: jax.Array,
    count: jax.Array,
    bottom: jax.Array,
) -> jax.Array:
    """Write the scalars down, int32 (SIZE,), as ``Parameters`` reads them."""
    seed, origin, connectivity, _ = matrix
    words = [seed[0], seed[1], connectivity[0], top, bottom, origin[1], count]
    words.append(connectivity[ROWS_WORD])
    return jnp.stack([_int32(word) for word in words])


def _int32(word: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(jnp.asarray(word), jnp.int32)


class Parameters:
    """The scalars, read from scalar memory inside a kernel.

    Attributes
    ----------
    seed : pair of uint32
    log2_chunk : int, or int32 where ``prob`` is traced
    top, bottom : int32
        The first row of the first tile, and the first row after the last.
    left : uint32
        The first column.
    count : int32
        Length of the list of active columns or rows; for the dense matrix, columns.
    last : uint32 or None
        As of ``draw_jax.Keys``.
    """

    def __init__(self, ref: Any, problem: Problem) -> None:
        log2_chunk = problem.log2_chunk
        self.seed = (self.word(ref[0]), self.word(ref[1]))
        self.log2_chunk = ref[2] if log2_chunk is None else log2_chunk
        self.top = ref[3]
        self.bottom = ref[4]
        self.left = self.word(ref[5])
        self.count = ref[6]
        self.last = None
        if problem.rule == "fixed_out_degree":
            self.last = self.word(ref[7] - 1)
        self.self_connections = problem.self_connections

    def own(self, columns: jax.Array) -> jax.Array | None:
        """Give the rows that columns leave out, as of ``draw_jax.Keys``."""
        return None if self.self_connections else columns

    @staticmethod
    def word(number: jax.Array) -> jax.Array:
        """Take an int32 for the word that it is."""
        return number.astype(jnp.uint32)

    def chunk(self, row: jax.Array) -> jax.Array:
        """Give the chunk, int32, of a row, int32."""
        return lax.shift_right_logical(row, jnp.int32(self.log2_chunk))


def shared_log2(log2_chunk: jax.Array | int, log2_tile: int) -> jax.Array | int:
    """log2 of the rows that a chunk and a tile have in common."""
    if isinstance(log2_chunk, int):
        return min(log2_chunk, log2_tile)
    return jnp.minimum(log2_chunk, log2_tile)


def blocks(length: jax.Array, log2: jax.Array | int) -> jax.Array:
    """Give the number of blocks of 2**log2 that hold a length, int32, 0 or more."""
    rounded = length + ((jnp.int32(1) << jnp.int32(log2)) - 1)
    return lax.shift_right_logical(rounded, jnp.int32(log2))


def add(
    refs: tuple[Any, Any], at: Any, connected: jax.Array, z: jax.Array, given: jax.Array
) -> None:
    """Add what connections give to the sums of one vector.

    Parameters
    ----------
    refs : two references
        To N and Z, int32, or to A and B, float32.
    given : int32 or float32
        1 or 0 for an event or none, or a value.
    """
    ones, weighted = refs
    if given.dtype == jnp.float32:
        ones[at] += jnp.where(connected, given, 0.0)
        weighted[at] += jnp.where(connected, given * z.astype(jnp.float32), 0.0)
    else:
        active = connected & (given != 0)
        ones[at] += jnp.where(active, 1, 0)
        weighted[at] += jnp.where(active, z, 0)
