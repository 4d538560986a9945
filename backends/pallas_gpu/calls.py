# SPDX-License-Identifier: Apache-2.0
"""The products as JAX sees them: kernels, numbers of programs, operands, results."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl

from synjit.draw_jax import BASE, LIMITS
from synjit.hookspecs import Matrix
from synjit.reference import draw

from . import dense as dense_kernel
from . import gather, probe, scatter
from .workspace import (
    COLUMN_TILE,
    LANES,
    MAX_PROGRAMS,
    ROW_TILE,
    max_chunks,
    row_blocks,
    splits,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from synjit.hookspecs import Problem

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
    out = _call(
        dense_kernel.kernel,
        problem,
        matrix,
        (blocks * row_blocks(m),),
        [jax.ShapeDtypeStruct((m * n,), jnp.int32)],
        columns=n,
        blocks=blocks,
    )
    return out[0].reshape(m, n)


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
    """List the connections of all columns, band by band."""
    total: Any = None
    for start, band in _bands(problem, x):
        shifted = matrix.origin + np.array([0, start], np.uint32)
        more = _scatter_band(problem, matrix._replace(origin=shifted), band)
        total = more if total is None else (total[0] + more[0], total[1] + more[1])
    return total


def _scatter_band(problem: Problem, matrix: Matrix, x: jax.Array) -> Arrays:
    shape = problem.shape[0], problem.batch
    if problem.product == "floats":
        a, b = _scattered(problem, matrix, x, 2, x.dtype)
        return a.reshape(shape), b.reshape(shape)
    with jax.enable_x64(True):  # for sums of 64 bits, which stay in here
        sums = _scattered(problem, matrix, x, 1, jnp.int64)[0]
        halves = jax.lax.bitcast_convert_type(sums, jnp.int32)
    return halves[:, 0].reshape(shape), halves[:, 1].reshape(shape)


def _scattered(
    problem: Problem, matrix: Matrix, x: jax.Array, n_sums: int, dtype: Any
) -> Sequence[jax.Array]:
    m, batch = problem.shape[0], problem.batch
    operand, active, before = _operand(problem, x)
    items = x.shape[0] * max_chunks(problem)
    programs = min(MAX_PROGRAMS, -(-items // LANES) * 32)
    sums = [jnp.zeros(m * batch, dtype) for _ in range(n_sums)]
    return _call(
        scatter.kernel,
        problem,
        matrix,
        (programs,),
        [jax.ShapeDtypeStruct(s.shape, s.dtype) for s in sums],
        active,
        before[-1:],
        operand,
        *sums,
        accumulators=n_sums,
        batch=batch,
        programs=programs,
        floats=problem.product == "floats",
    )


def _probe(problem: Problem, matrix: Matrix, x: jax.Array) -> Arrays:
    m, batch = problem.shape[0], problem.batch
    operand, active, before = _operand(problem, x)
    tile = min(ROW_TILE, batch)
    blocks, tiles = row_blocks(m), -(-batch // tile)
    shares = splits(blocks * tiles, -(-problem.shape[1] // LANES))
    parts = _call(
        probe.kernel,
        problem,
        matrix,
        (blocks * shares * tiles,),
        [_sums_like(problem, x, shares * m)] * 2,
        active,
        before[-1:],
        operand,
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
    operand, active, before = _operand(problem, x)
    typical = _typical_count(matrix.connectivity).astype(jnp.int32).reshape(1)
    tile = min(COLUMN_TILE, batch)
    blocks, tiles = -(-n // LANES), -(-batch // tile)
    shares = splits(blocks * tiles, max_chunks(problem))
    parts = _call(
        gather.kernel,
        problem,
        matrix,
        (blocks * shares * tiles,),
        [_sums_like(problem, x, shares * n)] * 2,
        active,
        before,
        typical,
        operand,
        columns=n,
        batch=batch,
        tile=tile,
        splits=shares,
        blocks=blocks,
        floats=problem.product == "floats",
    )
    return _sum_parts(parts, (shares, n, batch))


# --- helpers ----------------------------------------------------------------------


def _call(
    kernel: Callable[..., None],
    problem: Problem,
    matrix: Matrix,
    grid: tuple[int, ...],
    out: Sequence[jax.ShapeDtypeStruct],
    *operands: Any,
    accumulators: int = 0,
    **static: Any,
) -> Sequence[jax.Array]:
    """Run a kernel on whole arrays, one warp to a program.

    The last operands, as many as ``accumulators``, become the results. A table without
    words is no operand, and stands as it is where the kernel expects a reference.
    """
    interpreted = problem.platform == "cpu"
    tables = matrix if matrix.weights.shape[0] else matrix[:3]
    inputs, varying = _alike([*tables, *operands])

    def body(*refs: Any) -> None:
        own = Matrix(*[*refs[: len(tables)], np.zeros(0, np.uint32)][:4])
        kernel(own, *refs[len(tables) :], problem=problem, **static)

    first = len(inputs) - accumulators
    call = pl.pallas_call(
        body,
        out_shape=[jax.ShapeDtypeStruct(o.shape, o.dtype, **varying) for o in out],
        grid=grid,
        input_output_aliases={first + i: i for i in range(accumulators)},
        compiler_params=None if interpreted else _one_warp(),
        interpret=interpreted,
        name=f"synjit_{kernel.__module__.rpartition('.')[2]}",
    )
    with contextlib.nullcontext() if interpreted else _some_gpu():
        return call(*inputs)


def _one_warp() -> Any:
    """Have kernels compiled by way of Triton, one warp to a program."""
    from jax.experimental.pallas import triton

    return triton.CompilerParams(num_warps=1, num_stages=1)


def _some_gpu() -> Any:
    """Say which GPU is meant where there is none: jax 0.11 asks when it lowers.

    It makes no difference to the kernels, which are compiled where they run. Inside
    ``jax.shard_map`` the mesh says it, and cannot be told otherwise.
    """
    mesh = jax.sharding.get_abstract_mesh()
    here = jax.devices()[0].platform
    if jax.__version_info__ < (0, 11) or mesh.abstract_device or here == "gpu":
        return contextlib.nullcontext()
    chip = jax.sharding.AbstractDevice("NVIDIA H100", None, platform="gpu")
    return jax.sharding.use_abstract_mesh(mesh.update(abstract_device=chip))


def _alike(operands: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Any]]:
    """Make all operands vary over the mesh axes that any does, and results with them.

    Outside ``jax.shard_map`` there are no such axes, and nothing to be done.
    """
    types = [jax.typeof(operand) for operand in operands]
    if hasattr(types[0], "manual_axis_type"):
        name, axes = "manual_axis_type", [t.manual_axis_type.varying for t in types]
    else:
        name, axes = "vma", [t.vma for t in types]  # before jax 0.10.2
    union = frozenset[str]().union(*axes)
    if not union:
        return operands, {}
    alike = [
        jax.lax.pcast(operand, tuple(union - mine), to="varying")
        if mine != union
        else operand
        for operand, mine in zip(operands, axes, strict=True)
    ]
    return alike, {name: getattr(jax.typeof(alike[0]), name)}


def _sums_like(problem: Problem, x: jax.Array, length: int) -> jax.ShapeDtypeStruct:
    dtype = x.dtype if problem.product == "floats" else jnp.int32
    return jax.ShapeDtypeStruct((length * problem.batch,), dtype)


def _nothing(problem: Problem, dtype: Any) -> Arrays:
    length = problem.shape[1] if problem.transpose else problem.shape[0]
    zeros = jnp.zeros((length, problem.batch), dtype)
    return zeros, zeros


def _operand(problem: Problem, x: jax.Array) -> tuple[jax.Array, ...]:
    """Give what kernels read of x, and what ``_compact`` says of it."""
    if problem.product == "floats":
        return x.reshape(-1), *_compact(x != 0)
    return _words(x), *_compact(x)


def _words(events: jax.Array) -> jax.Array:
    """Pack events, bool (length, batch), 32 to a word, each item into its own words."""
    length, batch = events.shape
    if batch == 1:
        return events.reshape(-1).astype(jnp.uint32)
    padded = jnp.pad(events, ((0, 0), (0, -batch % 32)))
    bits = padded.reshape(length, -1, 32).astype(jnp.uint32)
    shifts = np.arange(32, dtype=np.uint32)[None, None]
    return jnp.sum(bits << shifts, axis=2, dtype=jnp.uint32).reshape(-1)


def _compact(present: jax.Array) -> Arrays:
    """Numbers of the items with anything in the batch, and how many are before each."""
    some = present.any(axis=1)
    length = some.shape[0]
    before = jnp.pad(jnp.cumsum(some, dtype=jnp.int32), (1, 0))
    where = jnp.where(some, before[:-1], np.int32(length))
    numbers = jax.lax.iota(jnp.int32, length)
    active = jnp.zeros(length, jnp.int32).at[where].set(numbers, mode="drop")
    return active, before


def _bands(problem: Problem, operand: jax.Array) -> list[tuple[int, jax.Array]]:
    """Cut the columns so that (column, chunk) pairs can be numbered in 31 bits.

    A pair may be shared by LANES lanes; the numbers stay below 2**31 even then, since
    only few pairs are shared.
    """
    width = (2**31 - 2 * LANES * MAX_PROGRAMS) // max_chunks(problem)
    n = operand.shape[0]
    return [(start, operand[start : start + width]) for start in range(0, n, width)]


def _sum_parts(parts: Sequence[jax.Array], shape: tuple[int, ...]) -> Arrays:
    first, second = (part.reshape(shape) for part in parts)
    if shape[0] == 1:
        return first[0], second[0]
    return first.sum(axis=0, dtype=first.dtype), second.sum(axis=0, dtype=second.dtype)
