# SPDX-License-Identifier: Apache-2.0
"""The products as JAX sees them: FFI calls, scratch memory, the size of tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from synjit.hookspecs import Matrix, Problem, matrix_of_block

from .block_handlers import scratch_sizes
from .ffi import target
from .operands import workspace_words

# Accumulators of a tile of rows: rows first, they stay in a core's first-level cache
# while all columns are gone through; columns first, in its second.
TILE_BYTES = {True: 1 << 15, False: 1 << 20}


def product(
    problem: Problem, matrix: Matrix, x: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """N and Z of events, A and B of floats."""
    out = _like_rows(problem)
    first, second, _ = _call(
        _handler(problem), problem, (out, out, _workspace(problem)), *matrix, x
    )
    return first, second


def dense(problem: Problem, matrix: Matrix) -> jax.Array:
    """The entries, as the kernel writes them.

    Their bits are written as those of floats, so that XLA can compute the weights,
    floats of the same shape, in place.
    """
    out = jax.ShapeDtypeStruct(problem.shape, jnp.float32)
    bits, _ = _call("dense", problem, (out, _workspace(problem)), *matrix)
    return jax.lax.bitcast_convert_type(bits, jnp.int32)


def weighted(
    problem: Problem,
    matrix: Matrix,
    x: jax.Array,
    w_loc: jax.Array,
    w_scale: jax.Array,
) -> jax.Array:
    """The weighted sums of a single matrix, or of a grid, as the kernel writes them."""
    out = _like_rows(problem)
    if len(problem.grid.rows) == len(problem.grid.columns) == 1:
        one = matrix_of_block(problem, matrix, 0)
        results = (out, _workspace(problem))
        return _call(_handler(problem), problem, results, *one, x, w_loc, w_scale)[0]
    places = places_of(problem)
    sizes = scratch_sizes(problem.grid.rows, len(places))
    scratch = (jax.ShapeDtypeStruct((size,), jnp.uint32) for size in sizes)
    operands = (*matrix, x, w_loc, w_scale, places)
    return _call(f"blocks_{problem.dtype}", problem, (out, *scratch), *operands)[0]


def _handler(problem: Problem) -> str:
    """Name the handler of a product of one matrix with x."""
    direction = "_transposed" if problem.transpose else ""
    dtype = "" if problem.product == "events" else f"_{problem.dtype}"
    return f"{problem.product}{direction}{dtype}"


def _call(
    name: str,
    problem: Problem,
    results: tuple[jax.ShapeDtypeStruct, ...],
    *operands: Any,
) -> Sequence[jax.Array]:
    call = jax.ffi.ffi_call(target(name), results)
    return call(*operands, tile=np.int64(TILE_BYTES[problem.corder]))


def _like_rows(problem: Problem) -> jax.ShapeDtypeStruct:
    m, n = problem.shape
    length = n if problem.transpose else m
    return jax.ShapeDtypeStruct((length, problem.batch), problem.dtype)


def _workspace(problem: Problem) -> jax.ShapeDtypeStruct:
    words = workspace_words(
        problem.product, problem.shape, problem.transpose, problem.batch
    )
    return jax.ShapeDtypeStruct((words,), jnp.uint32)


def places_of(problem: Problem) -> np.ndarray:
    """Where each block lies in the whole, and its table among the tables."""
    places = []
    for block in problem.grid.blocks:
        rows, columns = problem.grid.window(block)
        m, n = problem.grid.shape(block)
        places.append((rows.start, m, columns.start, n, *block.table))
    return np.array(places, np.int32)
