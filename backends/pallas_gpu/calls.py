# SPDX-License-Identifier: Apache-2.0
"""The products as JAX sees them: which kernel, how many programs, what goes in and out.

Beyond operands and results there are: the list of active items and their numbering
(8 bytes an item), a bit for each event of a batch, and sums of 8 bytes (floats: two
values) for each element of a result, or for MAX_PROGRAMS programs: never anything of
the size of the matrix. ``temporary_bytes`` states the bound.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu

from synjit.reference import draw, normal

from .asking import ask_rows
from .lanes import LANES, ROWS
from .listing import list_columns
from .summing import sum_columns
from .writing import write_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from synjit.hookspecs import Problem

# Programs that are enough to fill a device: more work is more of it for each.
MAX_PROGRAMS = 4096
MAX_SPLITS = 64
# Vectors of a batch whose sums fit into a program's registers.
ROW_TILE = 4
COLUMN_TILE = 6  # 8 spills on an A100

# What it costs to list a connection and add it to its row by an atomic, in units of
# what it costs to ask for one entry (docs/gpu.md says where the number comes from).
LIST_COST = 3.0
# Connections of a chunk, about: between 2**LOG2_MEAN and twice that.
MEAN_COUNT = 1.5 * 2**draw.LOG2_MEAN

Arrays = tuple[jax.Array, jax.Array]


def temporary_bytes(problem: Problem) -> int:
    """Bound the memory that a product takes beyond its operands and results."""
    m, n = problem.shape
    size_in, size_out = (m, n) if problem.transpose else (n, m)
    word = 8 if problem.dtype == "float64" else 4
    if problem.product == "dense":
        return 2**16
    lists = 32 * (size_in + 1) + 8 * size_in * problem.batch
    sums = 2 * word * (2 * size_out * problem.batch + MAX_PROGRAMS * ROWS * ROW_TILE)
    return lists + 2 * sums + 2**16


def asks_rows(problem: Problem) -> bool | None:
    """Whether it is cheaper to ask for every entry than to list connections.

    It is in dense matrices, and in those much lower than their chunks. None: the law
    says, when it runs, for the shortest chunks have any number of connections.
    """
    m, k = problem.shape[0], problem.log2_chunk
    known = k is not None and k > draw.MIN_LOG2_CHUNK
    chunks = 1 if k is None else -(-m // 2**k)
    if m < LIST_COST * MEAN_COUNT * chunks:
        return True
    return False if known else None


def _asks_now(problem: Problem, law: jax.Array) -> jax.Array:
    """``asks_rows``, of the law; rounding matters little."""
    m = problem.shape[0]
    chunks = (np.uint32(m - 1) >> law[0]) + np.uint32(1)
    listed = _typical_count(law).astype(jnp.float32) * chunks.astype(jnp.float32)
    return np.float32(m) < np.float32(LIST_COST) * listed


def _typical_count(law: jax.Array) -> jax.Array:
    """Give the median number of connections of a chunk, uint32."""
    below = jnp.sum(law[2:] < np.uint32(2**31), dtype=jnp.uint32)
    return law[1] + below


def events(
    problem: Problem,
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    events: jax.Array,
) -> Arrays:
    """N and Z."""
    matrix = (seed, origin, law)
    if 0 in events.shape or 0 in problem.shape:
        return _nothing(problem, jnp.int32)
    if problem.transpose:
        return _sum_columns(problem, matrix, _words(events), events, jnp.int32)

    def ask() -> Arrays:
        return _ask_rows(problem, matrix, _words(events), events, jnp.int32)

    return _cheaper(problem, law, ask, lambda: _list(problem, matrix, events))


def floats(
    problem: Problem,
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    values: jax.Array,
) -> Arrays:
    """Give A and B."""
    matrix = (seed, origin, law)
    if 0 in values.shape or 0 in problem.shape:
        return _nothing(problem, values.dtype)
    flat, present = values.reshape(-1), values != 0
    if problem.transpose:
        return _sum_columns(problem, matrix, flat, present, values.dtype)

    def ask() -> Arrays:
        return _ask_rows(problem, matrix, flat, present, values.dtype)

    return _cheaper(problem, law, ask, lambda: _list(problem, matrix, values))


def _cheaper(
    problem: Problem,
    law: jax.Array,
    ask: Callable[[], Arrays],
    list_: Callable[[], Arrays],
) -> Arrays:
    asks = asks_rows(problem)
    if asks is None:
        found: Arrays = jax.lax.cond(_asks_now(problem, law), ask, list_)
        return found
    return ask() if asks else list_()


def dense(
    problem: Problem, seed: jax.Array, origin: jax.Array, law: jax.Array
) -> jax.Array:
    """Write out the window."""
    m, n = problem.shape
    if 0 in problem.shape:
        return jnp.zeros(problem.shape, jnp.int32)
    blocks = -(-n // LANES)
    out = _call(
        write_columns,
        problem,
        (blocks * _row_blocks(m),),
        [jax.ShapeDtypeStruct((m * n,), jnp.int32)],
        (seed, origin, law, _table()),
        rows=m,
        columns=n,
        blocks=blocks,
    )
    return out[0].reshape(m, n)


# --- one way through the matrix each ----------------------------------------------


def _list(problem: Problem, matrix: Any, operand: jax.Array) -> Arrays:
    """List the connections of all columns, band by band."""
    seed, origin, law = matrix
    band_sums = _list_events if problem.product == "events" else _list_floats
    total: Any = None
    for start, band in _bands(problem, operand):
        shifted = origin + np.array([0, start], np.uint32)
        more = band_sums(problem, (seed, shifted, law), band)
        total = more if total is None else (total[0] + more[0], total[1] + more[1])
    return total


def _list_events(problem: Problem, matrix: Any, events: jax.Array) -> Arrays:
    m, batch = problem.shape[0], problem.batch
    with jax.enable_x64(True):  # for sums of 64 bits, which stay in here
        sums = _list_band(problem, matrix, _words(events), events, 1, jnp.int64)[0]
        halves = jax.lax.bitcast_convert_type(sums, jnp.int32)
    z, high = halves[:, 0], halves[:, 1]
    n = high + (z < 0).astype(jnp.int32)
    return n.reshape(m, batch), z.reshape(m, batch)


def _list_floats(problem: Problem, matrix: Any, values: jax.Array) -> Arrays:
    m, batch = problem.shape[0], problem.batch
    a, b = _list_band(problem, matrix, values.reshape(-1), values != 0, 2, values.dtype)
    return a.reshape(m, batch), b.reshape(m, batch)


def _list_band(
    problem: Problem, matrix: Any, operand: Any, present: Any, n_sums: int, dtype: Any
) -> Sequence[jax.Array]:
    m, batch = problem.shape[0], problem.batch
    active, before = _compact(present)
    items = present.shape[0] * _max_chunks(problem)
    programs = min(MAX_PROGRAMS, -(-items // LANES) * 32)
    sums = [jnp.zeros(m * batch, dtype) for _ in range(n_sums)]
    inputs = (*matrix, _table(), active, before[-1:], operand)
    return _call(
        list_columns,
        problem,
        (programs,),
        [jax.ShapeDtypeStruct(s.shape, s.dtype) for s in sums],
        (*inputs, *sums),
        aliases={len(inputs) + i: i for i in range(n_sums)},
        rows=m,
        batch=batch,
        programs=programs,
        floats=problem.product == "floats",
    )


def _ask_rows(
    problem: Problem, matrix: Any, operand: Any, present: Any, dtype: Any
) -> Arrays:
    m, batch = problem.shape[0], problem.batch
    active, before = _compact(present)
    tile = min(ROW_TILE, batch)
    blocks, tiles = _row_blocks(m), -(-batch // tile)
    splits = _splits(blocks * tiles, -(-problem.shape[1] // LANES))
    parts = _call(
        ask_rows,
        problem,
        (blocks * splits * tiles,),
        [jax.ShapeDtypeStruct((splits * m * batch,), dtype)] * 2,
        (*matrix, _table(), active, before[-1:], operand),
        rows=m,
        batch=batch,
        tile=tile,
        splits=splits,
        blocks=blocks,
        floats=problem.product == "floats",
    )
    return _sum_parts(parts, (splits, m, batch))


def _sum_columns(
    problem: Problem, matrix: Any, operand: Any, present: Any, dtype: Any
) -> Arrays:
    m, n = problem.shape
    batch = problem.batch
    active, before = _compact(present)
    typical = _typical_count(matrix[2]).astype(jnp.int32).reshape(1)
    tile = min(COLUMN_TILE, batch)
    blocks, tiles = -(-n // LANES), -(-batch // tile)
    splits = _splits(blocks * tiles, _max_chunks(problem))
    parts = _call(
        sum_columns,
        problem,
        (blocks * splits * tiles,),
        [jax.ShapeDtypeStruct((splits * n * batch,), dtype)] * 2,
        (*matrix, _table(), active, before, typical, operand),
        rows=m,
        columns=n,
        batch=batch,
        tile=tile,
        splits=splits,
        blocks=blocks,
        floats=problem.product == "floats",
    )
    return _sum_parts(parts, (splits, n, batch))


# --- helpers ----------------------------------------------------------------------


def _call(
    kernel: Callable[..., None],
    problem: Problem,
    grid: tuple[int, ...],
    out: Sequence[jax.ShapeDtypeStruct],
    operands: Sequence[Any],
    aliases: dict[int, int] | None = None,
    **static: Any,
) -> Sequence[jax.Array]:
    """Run a kernel on whole arrays, one warp to a program."""
    interpreted = problem.platform == "cpu"
    operands, varying = _alike(operands)
    call = pl.pallas_call(
        functools.partial(kernel, device=not interpreted, **static),
        out_shape=[jax.ShapeDtypeStruct(o.shape, o.dtype, **varying) for o in out],
        grid=grid,
        input_output_aliases=aliases or {},
        compiler_params=plgpu.CompilerParams(num_warps=1, num_stages=1),
        interpret=interpreted,
        name=f"synjit_{kernel.__name__}",
    )
    with contextlib.nullcontext() if interpreted else _some_gpu():
        return call(*operands)


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


def _table() -> np.ndarray:
    return np.asarray(normal.TABLE)


def _nothing(problem: Problem, dtype: Any) -> Arrays:
    length = problem.shape[1] if problem.transpose else problem.shape[0]
    zeros = jnp.zeros((length, problem.batch), dtype)
    return zeros, zeros


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


def _max_chunks(problem: Problem) -> int:
    """Chunks that the window can touch, wherever it begins."""
    k = problem.log2_chunk
    shortest = 2 ** (draw.MIN_LOG2_CHUNK if k is None else k)
    return (problem.shape[0] - 1) // shortest + 2


def _row_blocks(rows: int) -> int:
    """Blocks of ROWS rows that the window can touch, wherever it begins."""
    return (rows - 1) // ROWS + 2


def _splits(programs: int, most: int) -> int:
    return max(1, min(MAX_PROGRAMS // programs, MAX_SPLITS, most))


def _bands(problem: Problem, operand: jax.Array) -> list[tuple[int, jax.Array]]:
    """Cut the columns so that (column, chunk) pairs can be numbered in 31 bits.

    A pair may be shared by LANES lanes; the numbers stay below 2**31 even then, since
    only few pairs are shared.
    """
    width = (2**31 - 2 * LANES * MAX_PROGRAMS) // _max_chunks(problem)
    n = operand.shape[0]
    return [(start, operand[start : start + width]) for start in range(0, n, width)]


def _sum_parts(parts: Sequence[jax.Array], shape: tuple[int, ...]) -> Arrays:
    first, second = (part.reshape(shape) for part in parts)
    if shape[0] == 1:
        return first[0], second[0]
    return first.sum(axis=0, dtype=first.dtype), second.sum(axis=0, dtype=second.dtype)
