# SPDX-License-Identifier: Apache-2.0
"""The products as JAX sees them: FFI calls, and the unpacking of their results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from .ffi import target
from .kernels import workspace_words

if TYPE_CHECKING:
    from synjit.hookspecs import Problem

# Rows whose accumulators fit, with room to spare, into a core's own cache.
TILE_BYTES = 1 << 20


def _call(
    name: str, problem: Problem, out: jax.ShapeDtypeStruct, *operands: jax.Array
) -> jax.Array:
    m, n = problem.shape
    words = workspace_words(m, n, problem.batch)
    workspace = jax.ShapeDtypeStruct((words,), jnp.uint32)
    tile = TILE_BYTES // (8 * max(problem.batch, 1)) if problem.corder else 0
    call = jax.ffi.ffi_call(target(name), (out, workspace))
    return call(*operands, tile=np.int64(tile))[0]


def events(
    problem: Problem,
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    events: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """N and Z from the kernel's 64-bit sums, of which Z is the low half."""
    m, n = problem.shape
    name = "events_transposed" if problem.transpose else "events"
    out = jax.ShapeDtypeStruct(
        (n if problem.transpose else m, problem.batch, 2), jnp.int32
    )
    flags = events.astype(jnp.uint8)
    sums = _call(name, problem, out, seed, origin, law, flags)
    z, high = sums[..., 0], sums[..., 1]
    return high + (z < 0).astype(jnp.int32), z


def floats(
    problem: Problem,
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    values: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """A and B."""
    m, n = problem.shape
    name = f"floats_transposed_{problem.dtype}"
    if not problem.transpose:
        name = f"floats_{problem.dtype}"
    out = jax.ShapeDtypeStruct(
        (n if problem.transpose else m, 2, problem.batch), values.dtype
    )
    sums = _call(name, problem, out, seed, origin, law, values)
    return sums[:, 0], sums[:, 1]


def dense(
    problem: Problem, seed: jax.Array, origin: jax.Array, law: jax.Array
) -> jax.Array:
    """The entries, as the kernel writes them."""
    out = jax.ShapeDtypeStruct(problem.shape, jnp.int32)
    return _call("dense", problem, out, seed, origin, law)
