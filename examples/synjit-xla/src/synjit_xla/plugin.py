# SPDX-License-Identifier: Apache-2.0
"""The hooks of the backend "xla": who it is, and a walk over blocks of columns."""

import jax
import jax.numpy as jnp

from synjit import Backend, Problem, hookimpl
from synjit.reference import ABSENT

ENTRIES = 1 << 20  # of the matrix, times vectors, that are looked at together


@hookimpl
def synjit_backend() -> Backend:
    return Backend("xla", "0.1.0", ("cpu", "cuda", "rocm", "tpu"), priority=-100)


@hookimpl
def synjit_refuses(problem: Problem) -> str:  # noqa: ARG001
    return ""


def blocks_of_columns(problem, seed, origin, law):
    """Cut the columns into blocks; return their numbers, and what draws a block."""
    from .draw import draw

    m, n = problem.shape
    width = max(1, min(n, ENTRIES // (m * max(problem.batch, 1))))
    rows = origin[0] + jnp.arange(m, dtype=jnp.uint32)

    def draw_block(block):
        columns = origin[1] + block * width + jnp.arange(width, dtype=jnp.uint32)
        return draw(seed, law, rows, columns)

    return jnp.arange(-(-n // width), dtype=jnp.uint32), width, draw_block


def product(problem, seed, origin, law, operand, dtype):
    """Sum operand, and z times operand, over the connected rows or columns."""
    blocks, width, draw_block = blocks_of_columns(problem, seed, origin, law)
    zero = jnp.zeros((), dtype)

    def sums(block, x, axis):
        connected, z = draw_block(block)
        x = jnp.where(connected[:, :, None], jnp.expand_dims(x, 1 - axis), zero)
        return x.sum(axis, dtype), (x * z[:, :, None].astype(dtype)).sum(axis, dtype)

    operand = operand.astype(dtype)
    if problem.transpose:
        parts = jax.lax.map(lambda block: sums(block, operand, 0), blocks)
        return [x.reshape(-1, problem.batch)[: problem.shape[1]] for x in parts]

    def add(totals, step):
        parts = sums(*step, 1)
        return [t + p for t, p in zip(totals, parts, strict=True)], None

    missing = len(blocks) * width - problem.shape[1]
    operand = jnp.pad(operand, ((0, missing), (0, 0)))
    operand = operand.reshape(len(blocks), width, problem.batch)
    start = [jnp.zeros((problem.shape[0], problem.batch), dtype)] * 2
    return jax.lax.scan(add, start, (blocks, operand))[0]


@hookimpl
def synjit_events(problem, seed, origin, law, events):
    return tuple(product(problem, seed, origin, law, events, jnp.int32))


@hookimpl
def synjit_floats(problem, seed, origin, law, values):
    return tuple(product(problem, seed, origin, law, values, values.dtype))


@hookimpl
def synjit_dense(problem, seed, origin, law):
    blocks, _, draw_block = blocks_of_columns(problem, seed, origin, law)

    def entries(block):
        connected, z = draw_block(block)
        return jnp.where(connected, z, ABSENT)

    dense = jnp.moveaxis(jax.lax.map(entries, blocks), 0, 1)
    return dense.reshape(problem.shape[0], -1)[:, : problem.shape[1]]
