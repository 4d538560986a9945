# SPDX-License-Identifier: Apache-2.0
"""Sums of floats over delayed connections, from columns to slots and back.

They are what the derivatives of a delivery are made of, and are written once, in JAX,
for every platform: slower than a backend's kernels, and they draw all columns. The two
directions are each other's transpose.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core as jex
from jax.interpreters import ad, batching, mlir

from . import draw_jax
from .delay_jax import delay, delay_words
from .hookspecs import Matrix, Problem
from .primitives import cut_as_batch, map_batches, result_like, varying_alike
from .reference import draw

u32 = np.uint32

PAIRS = 64  # of a column and a chunk, at a time
EACH = 128  # connections of each, at a time
VALUES, NOW = 5, 6  # operands, after the matrix and the table of its delays


def spread(
    matrix: Matrix, table: Any, values: jax.Array, now: jax.Array, problem: Problem
) -> tuple[jax.Array, jax.Array]:
    """Add the values of columns, and z times them, where their connections arrive.

    Parameters
    ----------
    matrix : Matrix
    table : uint32 array
        Of the delays.
    values : float array (n, batch)
    now : uint32
        Slot of the step.
    problem : Problem
        Of one matrix.

    Returns
    -------
    two float arrays (slots, m, batch)
    """
    first, second = _bind(matrix, table, values, now, problem)
    return first, second


def collect(
    matrix: Matrix, table: Any, values: jax.Array, now: jax.Array, problem: Problem
) -> tuple[jax.Array, jax.Array]:
    """Sum up, for each column, values where its connections arrive, and z times them.

    Parameters
    ----------
    matrix, table, now, problem
        As of ``spread``.
    values : float array (slots, m, batch)

    Returns
    -------
    two float arrays (n, batch)
    """
    turned = replace(problem, transpose=True)
    first, second = _bind(matrix, table, values, now, turned)
    return first, second


def _bind(
    matrix: Matrix, table: Any, values: jax.Array, now: jax.Array, problem: Problem
) -> Any:
    operands = varying_alike([*matrix, table, values, now])
    return delayed_p.bind(*operands, problem=problem)


# --- the sums ---------------------------------------------------------------------


class _Connections(NamedTuple):
    """Connections of PAIRS columns and chunks: arrays (PAIRS, EACH), columns (PAIRS,).

    Rows of what is no connection of the window are m.
    """

    columns: jax.Array
    rows: jax.Array
    slots: jax.Array
    z: jax.Array


def _delayed(*operands: Any, problem: Problem) -> list[jax.Array]:
    matrix, (table, values, now) = Matrix(*operands[:4]), operands[4:]
    (m, n), batch, dtype = problem.shape, values.shape[-1], values.dtype

    def scatter(sums: Any, found: _Connections) -> Any:
        own = values[found.columns][:, None]
        terms = own, own * found.z[..., None].astype(dtype)
        shape = (*found.rows.shape, batch)
        return [
            total.at[found.slots, found.rows].add(
                jnp.broadcast_to(term, shape), mode="drop"
            )
            for total, term in zip(sums, terms, strict=True)
        ]

    def gather(sums: Any, found: _Connections) -> Any:
        arrive = values.at[found.slots, found.rows].get(mode="fill", fill_value=0)
        terms = arrive, arrive * found.z[..., None].astype(dtype)
        return [
            total.at[found.columns].add(term.sum(1, dtype=dtype))
            for total, term in zip(sums, terms, strict=True)
        ]

    size = (n,) if problem.transpose else (problem.slots, m)
    zero, _ = varying_alike([jnp.zeros((*size, batch), dtype), values])
    zeros = [zero, zero]
    add = gather if problem.transpose else scatter
    return _over_connections(matrix, table, now, problem, add, zeros)


def _over_connections(
    matrix: Matrix, table: Any, now: Any, problem: Problem, add: Any, sums: Any
) -> Any:
    """Go through all connections of the window."""
    m, n = problem.shape
    seed = matrix.seed[0], matrix.seed[1]
    top, left = matrix.origin[0], matrix.origin[1]
    log2_chunk: Any = problem.log2_chunk
    if log2_chunk is None:
        log2_chunk = matrix.connectivity[0]
    k = jnp.asarray(log2_chunk, jnp.uint32)
    is_one_chunk = matrix.connectivity[draw.ROWS_WORD] != u32(0)  # a fixed out-degree
    first_chunk = jnp.where(is_one_chunk, u32(0), top >> k)
    last_chunk = jnp.where(is_one_chunk, u32(0), (top + u32(m - 1)) >> k)
    n_chunks = last_chunk + u32(1) - first_chunk
    blocks = -(-n // PAIRS)

    def of_block(i: Any, sums: Any) -> Any:
        block, chunk = i % u32(blocks), first_chunk + i // u32(blocks)
        column = block * u32(PAIRS) + jnp.arange(PAIRS, dtype=jnp.uint32)
        keys = draw_jax.chunk_keys(
            seed,
            column + left,
            jnp.full(PAIRS, chunk, jnp.uint32),
            matrix.connectivity,
            inverse=False,
            unrolled=False,
            rule=problem.rule,
            self_connections=problem.self_connections,
        )
        keys = jax.tree.map(lambda words: words[:, None], keys)
        counts = jnp.where(column[:, None] < u32(n), keys.counts, u32(0))
        columns = jnp.minimum(column, u32(n - 1)).astype(jnp.int32)
        of_weights = draw_jax.weight_words(seed, column + left, unrolled=False)
        of_delays = delay_words(seed, column + left, unrolled=False)

        def of_part(part: Any, sums: Any) -> Any:
            t = part * u32(EACH) + jnp.arange(EACH, dtype=jnp.uint32)[None]
            row = (chunk << k) + draw_jax.place(t, keys, log2_chunk)
            inside = (t < counts) & (row >= top) & (row - top < u32(m))
            inside = inside & draw_jax.is_allowed(row, keys)
            words = [(a[:, None], b[:, None]) for a, b in (of_weights, of_delays)]
            z = draw_jax.weight(row, words[0], matrix.weights)
            steps = now.astype(jnp.uint32) + delay(row, words[1], table)
            slot = (steps % u32(problem.slots)).astype(jnp.int32)
            rows = jnp.where(inside, row - top, u32(m)).astype(jnp.int32)
            return add(sums, _Connections(columns, rows, slot, z))

        parts = (counts.max() + u32(EACH - 1)) // u32(EACH)
        return lax.fori_loop(u32(0), parts, of_part, sums)

    return lax.fori_loop(u32(0), n_chunks * u32(blocks), of_block, sums)


# --- the primitive ----------------------------------------------------------------


def _abstract(*operands: Any, problem: Problem) -> list[Any]:
    values = operands[VALUES]
    m, n = problem.shape
    size = (n,) if problem.transpose else (problem.slots, m)
    return [result_like((*size, values.shape[-1]), values.dtype, operands)] * 2


def _transpose(cotangents: Any, *operands: Any, problem: Problem) -> list[Any]:
    """Sum up the other way, every connection drawn once for both."""
    matrix, (table, values, now) = Matrix(*operands[:4]), operands[4:]
    given = [ct for ct in cotangents if type(ct) is not ad.Zero]
    none = [None] * VALUES
    if not given:
        return [*none, ad.Zero(values.aval), None]
    back = replace(problem, transpose=not problem.transpose)
    both = _bind(matrix, table, jnp.concatenate(given, axis=-1), now, back)
    batch, total = values.aval.shape[-1], None
    if type(cotangents[0]) is not ad.Zero:
        total = both[0][..., :batch]
    if type(cotangents[1]) is not ad.Zero:
        second = both[1][..., -batch:]
        total = second if total is None else total + second
    return [*none, total, None]


def _jvp(primals: Any, tangents: Any, *, problem: Problem) -> Any:
    results = delayed_p.bind(*primals, problem=problem)
    change = tangents[VALUES]
    if type(change) is ad.Zero:
        return results, [ad.Zero(jax.typeof(r).to_tangent_aval()) for r in results]
    varied = [*primals[:VALUES], change, *primals[NOW:]]
    return results, delayed_p.bind(*varied, problem=problem)


def _batch(args: Sequence[Any], axes: Sequence[Any], *, problem: Problem) -> Any:
    """One matrix and many vectors at once; many matrices one after the other."""
    args = list(args)
    if all(axis is None for i, axis in enumerate(axes) if i != VALUES):
        values = jnp.moveaxis(args[VALUES], axes[VALUES], -1)
        own = values.shape[-2:]
        args[VALUES] = values.reshape(*values.shape[:-2], own[0] * own[1])
        results = delayed_p.bind(*args, problem=problem)
        results = [r.reshape(*r.shape[:-1], *own) for r in results]
        return results, [r.ndim - 1 for r in results]
    bound = functools.partial(delayed_p.bind, problem=problem)
    results = map_batches(bound, args, axes)
    return results, [0] * len(results)


@functools.cache
def _jitted(problem: Problem) -> Any:
    return jax.jit(functools.partial(delayed_p.bind, problem=problem))


delayed_p = jex.Primitive("synjit_delayed")
delayed_p.multiple_results = True
delayed_p.def_abstract_eval(_abstract)
delayed_p.def_impl(lambda *operands, problem: _jitted(problem)(*operands))


mlir.register_lowering(delayed_p, mlir.lower_fun(_delayed, multiple_results=True))
ad.primitive_jvps[delayed_p] = _jvp
ad.primitive_transposes[delayed_p] = _transpose
batching.primitive_batchers[delayed_p] = cut_as_batch(_batch)
