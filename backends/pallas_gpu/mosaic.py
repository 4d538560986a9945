# SPDX-License-Identifier: Apache-2.0
"""The dense matrix by way of Mosaic GPU, where JAX has no way through Triton any more.

Mosaic GPU is Pallas' other compiler for GPUs. A program of it is a warpgroup, and it
has no loads or stores by a vector of indices: these are written in MLIR, an element
at a time, by ``inline_mgpu``, its public escape.

``docs/gpu.md`` says what the other kernels would need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental.pallas import mosaic_gpu as plgpu

from synjit.hookspecs import Matrix, Problem

from . import dense as dense_kernel
from .lanes import Route
from .workspace import row_blocks

LANES = 128  # a warpgroup: four warps, which need no barrier here either
LAYOUT = plgpu.Layout.WG_STRIDED((LANES,), vec_size=1)


def dense(problem: Problem, matrix: Matrix) -> jax.Array:
    """Write out the window, as ``calls.dense`` does."""
    m, n = problem.shape
    if 0 in problem.shape:
        return jnp.zeros(problem.shape, jnp.int32)
    blocks = -(-n // LANES)
    tables = matrix if matrix.weights.shape[0] else matrix[:3]

    def synjit_dense(*refs: Any) -> None:
        own = Matrix(*[*refs[: len(tables)], np.zeros(0, np.uint32)][:4])
        dense_kernel.kernel(
            own, refs[-1], columns=n, blocks=blocks, problem=problem, route=MOSAIC
        )

    call = plgpu.kernel(
        synjit_dense,
        out_type=jax.ShapeDtypeStruct((m * n,), jnp.int32),
        grid=(blocks * row_blocks(m),),
        grid_names=("program",),
    )
    return call(*tables).reshape(m, n)


def _program() -> jax.Array:
    return lax.axis_index("program")


def _lanes() -> jax.Array:
    return plgpu.broadcasted_iota(jnp.int32, (LANES,), 0, layout=LAYOUT)


def load(ref: Any, index: jax.Array) -> jax.Array:
    """Load from the places of a vector of indices."""
    from jax.extend.mlir import ir
    from jax.extend.mlir.dialects import arith, memref

    def inline(_: Any, ref: Any, index: Any) -> Any:
        place = ir.IndexType.get()
        return index.foreach(
            lambda i, _: memref.load(ref, [arith.index_cast(place, i)]),
            create_array=True,
            is_signed=jnp.issubdtype(dtype, jnp.signedinteger),
        )

    dtype = ref.dtype
    result = plgpu.ShapeDtypeStruct((LANES,), dtype, layout=LAYOUT)
    call = plgpu.inline_mgpu(arg_types=(plgpu.RefType(), LAYOUT), return_type=result)(
        inline
    )
    return call(ref, plgpu.layout_cast(index, LAYOUT))


def store(ref: Any, index: jax.Array, value: jax.Array) -> None:
    """Store into the places of a vector of indices."""
    from jax.extend.mlir import ir
    from jax.extend.mlir.dialects import arith, memref, vector

    def inline(_: Any, ref: Any, index: Any, value: Any) -> None:
        place, first = ir.IndexType.get(), ir.DenseI64ArrayAttr.get([0])
        pairs = zip(index.registers.flat, value.registers.flat, strict=True)
        for registers in pairs:  # vectors of one element
            i, v = (vector.extract(r, [], first) for r in registers)
            memref.store(v, ref, [arith.index_cast(place, i)])

    call = plgpu.inline_mgpu(arg_types=(plgpu.RefType(), LAYOUT, LAYOUT))(inline)
    call(ref, *(plgpu.layout_cast(x, LAYOUT) for x in (index, value)))


def take(table: Any, index: jax.Array, planes: int = 1) -> Sequence[jax.Array]:
    """Look words up as ``draw_jax.take`` does."""
    words = table.shape[0] // planes
    index = index.astype(jnp.int32)
    return [load(table, index + np.int32(plane * words)) for plane in range(planes)]


MOSAIC = Route(LANES, _program, _lanes, take, store)
