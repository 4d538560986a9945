# SPDX-License-Identifier: Apache-2.0
"""The products as JAX sees them: kernels, numbers of programs, operands, results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from synjit.combine import add_blocks, weigh, weigh_blocks
from synjit.draw_jax import BASE, LIMITS
from synjit.hookspecs import matrix_of_one_block
from synjit.reference import draw

from . import dense as dense_kernel
from . import gather, probe, scatter
from .launch import launch
from .operands import prepare
from .pieces import Piece, count, lay_out, piece_of_block
from .workspace import (
    COLUMN_TILE,
    LANES,
    MAX_PAIRS,
    MAX_PROGRAMS,
    ROW_TILE,
    lists_at_once,
    max_chunks,
    row_blocks,
    splits,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synjit.hookspecs import Matrix, Problem

# What it costs to list a connection and add it to its row by an atomic, in units of
# what it costs to probe one entry (docs/gpu.md says where the number comes from).
LIST_COST = 3.0
# Connections of a chunk, about: between 2**LOG2_MEAN and twice that.
MEAN_COUNT = 1.5 * 2**draw.LOG2_MEAN

Arrays = tuple[jax.Array, jax.Array]


def product(problem: Problem, matrix: Matrix, x: jax.Array) -> Arrays:
    """N and Z of events, A and B of floats."""
    floats = problem.product == "floats"
    if 0 in x.shape or 0 in problem.shape:
        return _nothing(problem, x.dtype if floats else jnp.int32)
    if problem.transpose:
        return _gather(problem, matrix, x)
    probes = probes_rows(problem)
    if probes is None:
        return jax.lax.cond(
            _probes_now(problem, matrix.connectivity),
            lambda: _probe(problem, matrix, x),
            lambda: _scatter(problem, matrix, x),
        )
    return (_probe if probes else _scatter)(problem, matrix, x)


def dense(problem: Problem, matrix: Matrix) -> jax.Array:
    """Write out the window."""
    m, n = problem.shape
    if 0 in problem.shape:
        return jnp.zeros(problem.shape, jnp.int32)
    blocks = -(-n // LANES)
    out = launch(
        dense_kernel.kernel,
        problem,
        matrix,
        (blocks * row_blocks(m),),
        [jax.ShapeDtypeStruct((m * n,), jnp.int32)],
        columns=n,
        blocks=blocks,
    )
    return out[0].reshape(m, n)


def weighted(
    problem: Problem,
    matrix: Matrix,
    x: jax.Array,
    w_loc: jax.Array,
    w_scale: jax.Array,
) -> jax.Array:
    """Weigh the sums of every block, and add blocks up.

    Where there are several, they are listed, dense ones too: a launch costs more than
    probing could save.
    """
    if not lists_at_once(problem):
        return weigh_blocks(problem, matrix, x, w_loc, w_scale, product)
    sums = _scatter_blocks(problem, matrix, x)
    return add_blocks(problem.grid, lambda i: weigh(w_loc[i], w_scale[i], *sums[i]))


def probes_rows(problem: Problem) -> bool | None:
    """Whether it is cheaper to probe every entry than to list connections.

    It is in dense matrices, and in those much lower than their chunks. None: the
    connectivity says, when it runs, for the shortest chunks have any number of
    connections, and so has the one chunk of a fixed out-degree.
    """
    m, k = problem.shape[0], problem.log2_chunk
    if problem.rule == "fixed_out_degree":
        return None
    known = k is not None and k > draw.MIN_LOG2_CHUNK
    chunks = 1 if k is None else -(-m // 2**k)
    if m < LIST_COST * MEAN_COUNT * chunks:
        return True
    return False if known else None


def _probes_now(problem: Problem, connectivity: Any) -> jax.Array:
    """``probes_rows``, of the connectivity; rounding matters little."""
    m = problem.shape[0]
    chunks = (np.uint32(m - 1) >> connectivity[0]) + np.uint32(1)
    typical = _typical_count(connectivity).astype(jnp.float32)
    listed = typical * chunks.astype(jnp.float32)
    return jnp.less(np.float32(m), np.float32(LIST_COST) * listed)


def _typical_count(connectivity: Any) -> jax.Array:
    """Give the median number of connections of a chunk, uint32."""
    limits = connectivity[LIMITS : LIMITS + draw.MAX_LIMITS]
    below = jnp.sum(limits < np.uint32(2**31), dtype=jnp.uint32)
    return connectivity[BASE] + below


# --- one way through the matrix each ----------------------------------------------


def _scatter(problem: Problem, matrix: Matrix, x: jax.Array) -> Arrays:
    """List the connections of all columns, in bands that can be numbered."""
    (m, n), batch = problem.shape, problem.batch
    chunks = max_chunks(problem)
    width = MAX_PAIRS // chunks
    launches = [
        (problem, [Piece(0, m, chunks, start, min(start + width, n), 0, 0, 0)])
        for start in range(0, n, width)
    ]
    sums = _list_all(launches, matrix_of_one_block(matrix), x, m * batch)
    first, second = (each.reshape(m, batch) for each in sums)
    return first, second


def _scatter_blocks(problem: Problem, matrix: Matrix, x: jax.Array) -> list[Arrays]:
    """N and Z of every block; those that differ in numbers alone are one launch."""
    grid, batch = problem.grid, problem.batch
    launches: dict[Problem, list[Piece]] = {}
    places = []
    size = 0
    for i in range(len(grid.blocks)):
        alike, piece = piece_of_block(problem, i)
        launches.setdefault(alike, []).append(piece._replace(sums=size))
        end = size + piece.rows * batch
        places.append(slice(size, end))
        size = end
    n, z = _list_all([*launches.items()], matrix, x, size)
    return [(n[at].reshape(-1, batch), z[at].reshape(-1, batch)) for at in places]


def _list_all(
    launches: Sequence[tuple[Problem, Sequence[Piece]]],
    matrix: Matrix,
    x: jax.Array,
    size: int,
) -> Arrays:
    """Sum up what is listed in some launches, each of blocks of one problem.

    Their shapes may be any, and all launches add to the same ``size`` sums.
    """
    floats = launches[0][0].product == "floats"
    values, active, before = prepare(launches[0][0], x)
    plans = [lay_out(p, count(p, matrix, before)) for _, p in launches]

    def sums_of(dtypes: Sequence[Any]) -> Sequence[jax.Array]:
        sums: Sequence[jax.Array] = [jnp.zeros(size, dtype) for dtype in dtypes]
        for number, ((problem, pieces), planned) in enumerate(
            zip(launches, plans, strict=True)
        ):
            items = sum((p.end - p.begin) * p.chunks for p in pieces)
            programs = min(MAX_PROGRAMS, -(-items // LANES) * LANES)
            sums = launch(
                scatter.kernel,
                problem,
                matrix,
                (programs,),
                [jax.ShapeDtypeStruct(each.shape, each.dtype) for each in sums],
                planned,
                active,
                values,
                *sums,
                accumulators=len(sums),
                name=f"scatter_{number}" if number else "scatter",
                pieces=pieces,
                batch=problem.batch,
                programs=programs,
                floats=floats,
            )
        return sums

    if floats:
        a, b = sums_of([x.dtype] * 2)
        return a, b
    with jax.enable_x64(True):  # for sums of 64 bits, which stay in here
        halves = jax.lax.bitcast_convert_type(sums_of([np.int64])[0], jnp.int32)
    return halves[:, 0], halves[:, 1]


def _probe(problem: Problem, matrix: Matrix, x: jax.Array) -> Arrays:
    m, batch = problem.shape[0], problem.batch
    values, active, before = prepare(problem, x)
    tile = min(ROW_TILE, batch)
    blocks, tiles = row_blocks(m), -(-batch // tile)
    shares = splits(blocks * tiles, -(-problem.shape[1] // LANES))
    parts = launch(
        probe.kernel,
        problem,
        matrix,
        (blocks * shares * tiles,),
        [_sums_like(problem, x, shares * m)] * 2,
        active,
        before[-1:],
        values,
        rows=m,
        batch=batch,
        tile=tile,
        splits=shares,
        blocks=blocks,
        floats=problem.product == "floats",
    )
    return _sum_parts(parts, (shares, m, batch))


def _gather(problem: Problem, matrix: Matrix, x: jax.Array) -> Arrays:
    n, batch = problem.shape[1], problem.batch
    values, active, before = prepare(problem, x)
    typical = _typical_count(matrix.connectivity).astype(jnp.int32).reshape(1)
    tile = min(COLUMN_TILE, batch)
    blocks, tiles = -(-n // LANES), -(-batch // tile)
    shares = splits(blocks * tiles, max_chunks(problem))
    parts = launch(
        gather.kernel,
        problem,
        matrix,
        (blocks * shares * tiles,),
        [_sums_like(problem, x, shares * n)] * 2,
        active,
        before,
        typical,
        values,
        columns=n,
        batch=batch,
        tile=tile,
        splits=shares,
        blocks=blocks,
        floats=problem.product == "floats",
    )
    return _sum_parts(parts, (shares, n, batch))


# --- helpers ----------------------------------------------------------------------


def _sums_like(problem: Problem, x: jax.Array, length: int) -> jax.ShapeDtypeStruct:
    dtype = x.dtype if problem.product == "floats" else jnp.int32
    return jax.ShapeDtypeStruct((length * problem.batch,), dtype)


def _nothing(problem: Problem, dtype: Any) -> Arrays:
    length = problem.shape[1] if problem.transpose else problem.shape[0]
    zeros = jnp.zeros((length, problem.batch), dtype)
    return zeros, zeros


def _sum_parts(parts: Sequence[jax.Array], shape: tuple[int, ...]) -> Arrays:
    first, second = (part.reshape(shape) for part in parts)
    if shape[0] == 1:
        return first[0], second[0]
    return first.sum(axis=0, dtype=first.dtype), second.sum(axis=0, dtype=second.dtype)
