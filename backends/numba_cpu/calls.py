# SPDX-License-Identifier: Apache-2.0
"""The products as JAX sees them: FFI calls, scratch memory, the size of tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from .block_handlers import scratch_sizes
from .ffi import target
from .operands import workspace_words

if TYPE_CHECKING:
    from synjit.hookspecs import Problem

# Accumulators of a tile of rows: rows first, they stay in a core's first-level cache
# while all columns are gone through; columns first, in its second.
TILE_BYTES = {True: 1 << 15, False: 1 << 20}


def _call(
    name: str,
    problem: Problem,
    results: tuple[jax.ShapeDtypeStruct, ...],
    *operands: jax.Array,
    product: str = "",
) -> list[jax.Array]:
    words = workspace_words(
        product or problem.product,
        problem.shape,
        problem.transpose,
        problem.batch,
        np.dtype(problem.dtype).itemsize,
    )
    workspace = jax.ShapeDtypeStruct((words,), jnp.uint32)
    call = jax.ffi.ffi_call(target(name), (*results, workspace))
    return call(*operands, tile=np.int64(TILE_BYTES[problem.corder]))[:-1]


def _like_rows(problem: Problem, dtype: Any) -> jax.ShapeDtypeStruct:
    m, n = problem.shape
    return jax.ShapeDtypeStruct((n if problem.transpose else m, problem.batch), dtype)


def events(
    problem: Problem,
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    events: jax.Array,
) -> list[jax.Array]:
    """N and Z."""
    name = "events_transposed" if problem.transpose else "events"
    out = _like_rows(problem, jnp.int32)
    return _call(name, problem, (out, out), seed, origin, law, events)


def weighted(
    problem: Problem,
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    events: jax.Array,
    w_loc: jax.Array,
    w_scale: jax.Array,
) -> jax.Array:
    """The weighted sum of N and Z, as the kernel writes it."""
    direction = "weighted_transposed" if problem.transpose else "weighted"
    operands = (seed, origin, law, events, w_loc, w_scale)
    out = _like_rows(problem, w_loc.dtype)
    name = f"{direction}_{w_loc.dtype}"
    return _call(name, problem, (out,), *operands, product="weighted")[0]


def blocks(
    problem: Problem,
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    events: jax.Array,
    w_loc: jax.Array,
    w_scale: jax.Array,
) -> jax.Array:
    """The sum of weighted sums, as the kernel writes it."""
    grid = problem.grid
    windows = [grid.window(block) for block in grid.blocks]
    places = np.array(
        [(r.start, r.stop - r.start, c.start, c.stop - c.start) for r, c in windows],
        np.int32,
    )
    out = _like_rows(problem, w_loc.dtype)
    sizes = scratch_sizes(grid.rows, problem.shape[1], len(windows), problem.batch)
    scratch = [jax.ShapeDtypeStruct((size,), jnp.uint32) for size in sizes]
    call = jax.ffi.ffi_call(target(f"blocks_{w_loc.dtype}"), (out, *scratch))
    operands = (seed, origin, law, events, w_loc, w_scale, places)
    return call(*operands, tile=np.int64(TILE_BYTES[problem.corder]))[0]


def floats(
    problem: Problem,
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    values: jax.Array,
) -> list[jax.Array]:
    """A and B."""
    direction = "floats_transposed" if problem.transpose else "floats"
    out = _like_rows(problem, values.dtype)
    name = f"{direction}_{problem.dtype}"
    return _call(name, problem, (out, out), seed, origin, law, values)


def dense(
    problem: Problem, seed: jax.Array, origin: jax.Array, law: jax.Array
) -> jax.Array:
    """The entries, as the kernel writes them.

    Their bits are written as those of floats, so that XLA can compute the weights,
    floats of the same shape, in place.
    """
    out = jax.ShapeDtypeStruct(problem.shape, jnp.float32)
    bits = _call("dense", problem, (out,), seed, origin, law)[0]
    return jax.lax.bitcast_convert_type(bits, jnp.int32)
