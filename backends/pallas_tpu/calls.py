# SPDX-License-Identifier: Apache-2.0
"""The products as JAX sees them: operands cut into blocks, and results put together."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from synjit.hookspecs import Matrix

from . import columns, gather, parameters, probe
from . import dense as dense_kernel
from .draw import CONNECTIVITY_ROWS, as_table
from .workspace import (
    DENSE_COLUMNS,
    LANES,
    LIST_BLOCK,
    SUBLANES,
    Sizes,
    sizes,
    unroll,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from synjit.hookspecs import Problem

P = ParamSpec("P")
R = TypeVar("R")


def _in_32_bits(hook: Callable[P, R]) -> Callable[P, R]:
    """Trace a product as if JAX had 32-bit words only, whatever the user has set."""

    @functools.wraps(hook)
    def traced(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.enable_x64(False):
            return hook(*args, **kwargs)

    return traced


@_in_32_bits
def product(
    problem: Problem, matrix: Matrix, x: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """N and Z of events, A and B of floats."""
    cut = sizes(problem)
    listing = _list_all if problem.product == "floats" else _list_active
    run = _gather if problem.transpose else _probe
    return run(problem, cut, matrix, *listing(_pad_batch(x, cut), cut))


@_in_32_bits
def dense(problem: Problem, matrix: Matrix) -> jax.Array:
    """Give the entries, cut out of whole tiles."""
    cut = sizes(problem)
    m, n = problem.shape
    row, offset = _first_row(matrix.origin, cut.tile)
    scalars = parameters.pack(
        matrix, top=row - offset, bottom=row + m, count=jnp.int32(n)
    )
    entries = _pallas_call(
        dense_kernel.kernel,
        problem,
        scalars,
        matrix,
        grid=(cut.blocks, cut.tiles),
        operands=[],
        specs=[],
        out_shape=_shape((cut.tiles * cut.tile, cut.blocks * DENSE_COLUMNS), jnp.int32),
        out_specs=pl.BlockSpec(
            (cut.tile, DENSE_COLUMNS), lambda column, tile, *_: (tile, column)
        ),
        scratch=[
            pltpu.VMEM((columns.KEY_ROWS, SUBLANES, LANES), jnp.uint32),
            pltpu.SMEM((1,), jnp.int32),
        ],
    )
    return lax.dynamic_slice(entries, (offset, 0), (m, n))


# --- lists ------------------------------------------------------------------------


def _pad_batch(operand: jax.Array, cut: Sizes) -> jax.Array:
    """Append vectors of nothing, so that all passes are alike."""
    length, batch = operand.shape
    missing = (-length % LIST_BLOCK, cut.passes * cut.batch - batch)
    return jnp.pad(operand, ((0, missing[0]), (0, missing[1])))


def _list_active(
    events: jax.Array, cut: Sizes
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """List the items with any event, ascending, before all others.

    Returns
    -------
    items : uint32 (length,)
    given : int32 (passes, 1, length)
        Bit b stands for vector b of the pass.
    count : int32
        Number of items with any event.
    """
    length = len(events)
    passes = events.reshape(length, cut.passes, cut.batch).astype(jnp.int32)
    bits = jnp.left_shift(passes, jnp.arange(cut.batch, dtype=jnp.int32))
    words = jnp.sum(bits, axis=2, dtype=jnp.int32)
    active = jnp.any(events, axis=1)
    number = jnp.arange(length, dtype=jnp.int32)
    number = jnp.where(active, number, length)
    columns = [words[:, p] for p in range(cut.passes)]
    items, *given = lax.sort((number, *columns), num_keys=1)
    count = jnp.sum(active, dtype=jnp.int32)
    return items.astype(jnp.uint32), jnp.stack(given)[:, None], count


def _list_all(values: jax.Array, cut: Sizes) -> tuple[jax.Array, jax.Array, jax.Array]:
    """List all items: as ``_list_active``, given float32 (passes, batch, length)."""
    length = len(values)
    items = jnp.arange(length, dtype=jnp.uint32)
    given = values.T.reshape(cut.passes, cut.batch, length)
    return items, given, jnp.int32(length)


# --- calls ------------------------------------------------------------------------


def _probe(
    problem: Problem,
    cut: Sizes,
    matrix: Matrix,
    items: jax.Array,
    given: jax.Array,
    count: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    m, _ = problem.shape
    row, offset = _first_row(matrix.origin, cut.tile)
    scalars = parameters.pack(matrix, top=row - offset, bottom=row + m, count=count)
    blocks = jnp.maximum(1, parameters.blocks(count, _log2(LIST_BLOCK)))
    dtype = given.dtype
    block = (1, 1, cut.batch, cut.tile // LANES, LANES)
    sums = (cut.batch, cut.tile // LANES, SUBLANES, LANES)
    columns = _in_lists(items + matrix.origin[1])
    given = _in_lists(given)
    rows = _shape((cut.passes, cut.tiles, *block[2:]), dtype)
    outs = pl.BlockSpec(block, lambda run, tile, *_: (run, tile, 0, 0, 0))
    n, z = _pallas_call(
        probe.kernel,
        problem,
        scalars,
        matrix,
        grid=(cut.passes, cut.tiles, blocks),
        operands=[columns, given],
        specs=[
            pl.BlockSpec(
                (1, SUBLANES, LANES), lambda _run, _tile, listed, *_: (listed, 0, 0)
            ),
            pl.BlockSpec(
                (1, given.shape[1], 1, SUBLANES, LANES),
                lambda run, _tile, listed, *_: (run, 0, listed, 0, 0),
            ),
        ],
        out_shape=(rows, rows),
        out_specs=(outs, outs),
        scratch=[
            pltpu.VMEM(sums, dtype),
            pltpu.VMEM(sums, dtype),
            pltpu.VMEM((cut.batch, SUBLANES, LANES), dtype),
        ],
        unroll=unroll(problem),
    )
    return _put_together(n, offset, problem), _put_together(z, offset, problem)


def _gather(
    problem: Problem,
    cut: Sizes,
    matrix: Matrix,
    items: jax.Array,
    given: jax.Array,
    count: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    zero = jnp.int32(0)
    scalars = parameters.pack(matrix, top=zero, bottom=zero, count=count)
    rows = lax.bitcast_convert_type(items + matrix.origin[0], jnp.int32)
    blocks = jnp.maximum(1, parameters.blocks(count, _log2(LIST_BLOCK)))
    block = (1, 1, cut.batch, cut.sublanes, LANES)
    out = _shape((cut.passes, cut.blocks, *block[2:]), given.dtype)
    outs = pl.BlockSpec(block, lambda run, column, *_: (run, column, 0, 0, 0))
    n, z = _pallas_call(
        gather.kernel,
        problem,
        scalars,
        matrix,
        grid=(cut.passes, cut.blocks, blocks),
        operands=[rows.reshape(-1, 1, LIST_BLOCK), given],
        specs=[
            pl.BlockSpec(
                (1, 1, LIST_BLOCK),
                lambda _run, _column, listed, *_: (listed, 0, 0),
                memory_space=pltpu.SMEM,
            ),
            pl.BlockSpec(
                (1, given.shape[1], LIST_BLOCK),
                lambda run, _column, listed, *_: (run, 0, listed),
                memory_space=pltpu.SMEM,
            ),
        ],
        out_shape=(out, out),
        out_specs=(outs, outs),
        scratch=[
            pltpu.VMEM((columns.KEY_ROWS, cut.sublanes, LANES), jnp.uint32),
            pltpu.SMEM((1,), jnp.int32),
        ],
    )
    return _put_together(n, zero, problem), _put_together(z, zero, problem)


def _put_together(blocks: jax.Array, offset: jax.Array, problem: Problem) -> jax.Array:
    """Bring (passes, blocks, batch, sublanes, LANES) to (length, batch)."""
    passes, _, batch = blocks.shape[:3]
    sums = jnp.moveaxis(blocks, 1, 2).reshape(passes * batch, -1)
    length = problem.shape[1] if problem.transpose else problem.shape[0]
    return lax.dynamic_slice_in_dim(sums[: problem.batch], offset, length, axis=1).T


def _in_lists(items: jax.Array) -> jax.Array:
    """Cut (..., length) into (..., blocks, SUBLANES, LANES), sublanes first."""
    blocks = items.reshape(*items.shape[:-1], -1, LANES, SUBLANES)
    return jnp.swapaxes(blocks, -1, -2)


def _first_row(origin: Any, tile: int) -> tuple[jax.Array, jax.Array]:
    """Give the first row, int32, and its offset in the first tile."""
    row = lax.bitcast_convert_type(origin[0], jnp.int32)
    return row, row & (tile - 1)


def _pallas_call(
    kernel: Any,
    problem: Problem,
    scalars: jax.Array,
    matrix: Matrix,
    *,
    grid: tuple[Any, ...],
    operands: list[jax.Array],
    specs: list[Any],
    out_shape: Any,
    out_specs: Any,
    scratch: list[Any],
    **static: Any,
) -> Any:
    """Call a kernel with its scalars prefetched, and the two tables.

    A table of weights without words is no operand, and stands as it is where the
    kernel expects a reference.
    """
    tables = [as_table(matrix.connectivity, CONNECTIVITY_ROWS)]
    if words := matrix.weights.shape[0]:
        tables.append(as_table(matrix.weights, words // LANES))
    prefetched_and_tables = 1 + len(tables)

    def body(*refs: Any) -> None:
        first = [*refs[:prefetched_and_tables], np.zeros((0, LANES), np.uint32)][:3]
        kernel(
            *first,
            *refs[prefetched_and_tables:],
            sizes=sizes(problem),
            problem=problem,
            **static,
        )

    operands = [_varying_as(scalars, array) for array in (*tables, *operands)]
    whole = [pl.BlockSpec(table.shape, lambda *_: (0, 0)) for table in tables]
    return pl.pallas_call(
        body,
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=grid,
            in_specs=[*whole, *specs],
            out_specs=out_specs,
            scratch_shapes=scratch,
        ),
        out_shape=jax.tree.map(functools.partial(_like, scalars), out_shape),
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=[pltpu.PARALLEL] * (len(grid) - 1) + [pltpu.ARBITRARY]
        ),
        interpret=problem.platform != "tpu",
        name=f"synjit_{kernel.__module__.rpartition('.')[2]}",
    )(scalars, *operands)


def _log2(power: int) -> int:
    return power.bit_length() - 1


_shape: Any = jax.ShapeDtypeStruct  # which has no types


# --- inside shard_map -------------------------------------------------------------


def _axes(array: jax.Array) -> frozenset[str]:
    """Mesh axes over which an array varies."""
    aval = jax.typeof(array)
    if hasattr(aval, "manual_axis_type"):
        axes: frozenset[str] = aval.manual_axis_type.varying
    else:
        axes = aval.vma  # its name before jax 0.10.2
    return axes


def _varying_as(like: jax.Array, array: jax.Array) -> jax.Array:
    """Mark an array as varying over the mesh axes that another varies over."""
    missing = _axes(like) - _axes(array)
    if not missing:
        return array
    varying: jax.Array = lax.pcast(array, tuple(sorted(missing)), to="varying")
    return varying


def _like(like: jax.Array, out: Any) -> Any:
    """Describe a result that varies over the mesh axes that an array varies over."""
    aval = jax.typeof(like)
    name = "manual_axis_type" if hasattr(aval, "manual_axis_type") else "vma"
    return _shape(out.shape, out.dtype, **{name: getattr(aval, name)})
