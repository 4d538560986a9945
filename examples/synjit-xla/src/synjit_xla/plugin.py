# SPDX-License-Identifier: Apache-2.0
"""The hooks of the backend "xla": a walk over blocks of columns, in plain JAX."""

import jax
import jax.numpy as jnp

from synjit import Backend, hookimpl
from synjit.reference import ABSENT

ENTRIES = 1 << 20  # of the matrix, times vectors, that are looked at together


@hookimpl
def synjit_backend():
    platforms = ("cpu", "cuda", "rocm", "tpu")
    return Backend("xla", "0.2.0", platforms, contract=2, priority=-100)


@hookimpl
def synjit_refuses(problem):  # noqa: ARG001
    return None


def blocks_of_columns(problem, matrix):
    """Cut the columns into blocks; return their numbers, and what draws a block."""
    from synjit import draw_jax
    from synjit.reference.draw import MIN_LOG2_CHUNK

    m, n = problem.shape
    width = max(1, min(n, ENTRIES // (m * max(problem.batch, 1))))
    rows = matrix.origin[0] + jnp.arange(m, dtype=jnp.uint32)
    log2_chunk = matrix.connectivity[0]
    own = (rows >> log2_chunk) - (rows[0] >> log2_chunk)  # chunk, from the first one's
    most = ((m - 1) >> MIN_LOG2_CHUNK) + 2
    chunks = (rows[0] >> log2_chunk) + jnp.arange(most, dtype=jnp.uint32)[:, None]

    def draw_block(block):
        """Connected, and z: (rows, width)."""
        first = matrix.origin[1] + block * width
        columns = first + jnp.arange(width, dtype=jnp.uint32)
        keys = draw_jax.chunk_keys(
            matrix.seed,
            columns,
            chunks,
            matrix.connectivity,
            inverse=True,
            unrolled=False,
            rule=problem.rule,
            self_connections=problem.self_connections,
        )
        keys = jax.tree.map(lambda words: words[own], keys)
        key = draw_jax.weight_words(matrix.seed, columns, unrolled=False)
        connected = draw_jax.connected(rows[:, None], keys, log2_chunk)
        return connected, draw_jax.weight(rows[:, None], key, matrix.weights)

    return jnp.arange(-(-n // width), dtype=jnp.uint32), width, draw_block


@hookimpl
def synjit_product(problem, matrix, x):
    """Sum x, and z times x, over the connected rows or columns."""
    m, n = problem.shape
    blocks, width, draw_block = blocks_of_columns(problem, matrix)
    dtype = jnp.int32 if problem.product == "events" else x.dtype

    def sums(block, x, axis):
        connected, z = draw_block(block)
        zero = jnp.zeros((), dtype)
        x = jnp.where(connected[:, :, None], jnp.expand_dims(x, 1 - axis), zero)
        return x.sum(axis, dtype), (x * z[:, :, None].astype(dtype)).sum(axis, dtype)

    x = x.astype(dtype)
    if problem.transpose:
        parts = jax.lax.map(lambda block: sums(block, x, 0), blocks)
        return tuple(part.reshape(-1, problem.batch)[:n] for part in parts)

    def add(totals, step):
        parts = sums(*step, 1)
        return tuple(t + p for t, p in zip(totals, parts, strict=True)), None

    x = jnp.pad(x, ((0, len(blocks) * width - n), (0, 0)))
    x = x.reshape(len(blocks), width, problem.batch)
    start = (jnp.zeros((m, problem.batch), dtype),) * 2
    return jax.lax.scan(add, start, (blocks, x))[0]


@hookimpl
def synjit_dense(problem, matrix):
    """Write z where there is a connection."""
    blocks, _, draw_block = blocks_of_columns(problem, matrix)

    def entries(block):
        connected, z = draw_block(block)
        return jnp.where(connected, z, ABSENT)

    dense = jnp.moveaxis(jax.lax.map(entries, blocks), 0, 1)
    return dense.reshape(problem.shape[0], -1)[:, : problem.shape[1]]
