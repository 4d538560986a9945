# SPDX-License-Identifier: Apache-2.0
"""Delivery as JAX sees it: an FFI call that writes the ring in place."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from synjit.hookspecs import Matrix, Problem

from .block_handlers import scratch_sizes
from .calls import places_of
from .delivery_handlers import RING_IN
from .ffi import target


def deliver(
    problem: Problem,
    matrix: Matrix,
    delays: jax.Array,
    x: jax.Array,
    w_loc: jax.Array,
    w_scale: jax.Array,
    ring: jax.Array,
    now: jax.Array,
) -> jax.Array:
    """The ring with what events add to it, in its own memory where that may be."""
    grid = problem.grid
    sizes = scratch_sizes(grid.rows, len(grid.blocks))
    results = (
        jax.ShapeDtypeStruct(ring.shape, ring.dtype),
        *(jax.ShapeDtypeStruct((size,), jnp.uint32) for size in sizes),
    )
    call = jax.ffi.ffi_call(
        target(f"deliver_{problem.dtype}"),
        results,
        input_output_aliases={RING_IN: 0},
    )
    tables = np.array([block.delays for block in grid.blocks], np.int32)
    operands = (
        *matrix,
        x,
        w_loc,
        w_scale,
        places_of(problem),
        delays,
        tables,
        ring,
        now,
    )
    return call(*operands)[0]
