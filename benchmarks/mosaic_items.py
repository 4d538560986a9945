# SPDX-License-Identifier: Apache-2.0
"""What the GPU kernels need, or could do with, in a smallest kernel of Mosaic GPU each.

``mosaic_gpu.py`` compiles them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from synjit.backends.pallas_gpu.mosaic import LANES, LAYOUT, load, store

TABLE = 1024  # elements of what is looked up in, or added to
i32, u32 = np.int32, np.uint32


@dataclass(frozen=True)
class Item:
    """What a kernel needs, in the smallest kernel that does.

    Attributes
    ----------
    name : str
    kernel : callable
        Of references: inputs, and an output.
    inputs : tuple of arrays or their types
    output : jax.ShapeDtypeStruct
    """

    name: str
    kernel: Callable[..., None]
    inputs: tuple[Any, ...]
    output: Any


def vector(dtype: Any = jnp.int32, length: int = LANES) -> Any:
    """Give the type of an array of one dimension."""
    return jax.ShapeDtypeStruct((length,), dtype)


def lanes_of(x: Any) -> Any:
    """Load a whole vector, one element to a thread."""
    return plgpu.layout_cast(x[...], LAYOUT)


def of_vector(
    name: str, function: Callable[[Any], Any], of: Any = jnp.int32, to: Any = None
) -> Item:
    """Make an item of a function of a vector."""

    def kernel(x: Any, out: Any) -> None:
        out[...] = function(lanes_of(x))

    return Item(name, kernel, (vector(of),), vector(of if to is None else to))


# --- through inline_mgpu: MLIR, element by element --------------------------------


def elements(array: Any) -> Iterator[tuple[Any, Any]]:
    """Give a thread's elements, and where each stands among its registers."""
    from jax.extend.mlir import ir
    from jax.extend.mlir.dialects import vector as mlir_vector

    first = ir.DenseI64ArrayAttr.get([0])
    for at, register in np.ndenumerate(array.registers):
        yield at, mlir_vector.extract(register, [], first)


def inline_add(kind: str) -> Callable[[Any, Any], None]:
    """Add 1s of a PTX type to the places of a vector of indices, by relaxed atomics."""

    def kernel(x: Any, out: Any) -> None:
        from jax._src.lib.mlir.dialects import llvm
        from jax.experimental.mosaic.gpu import utils
        from jax.extend.mlir import ir

        @plgpu.inline_mgpu(arg_types=(plgpu.RefType(), LAYOUT, LAYOUT))
        def add(_: Any, ref: Any, index: Any, value: Any) -> None:
            nothing = ir.Type.parse("!llvm.void")
            register = {"u32": "r", "u64": "l", "f32": "f"}[kind]
            values, base = dict(elements(value)), utils.memref_ptr(ref)
            for at, i in elements(index):
                address = utils.getelementptr(base, [i], values[at].type)
                llvm.inline_asm(
                    nothing,
                    [address, values[at]],
                    f"red.global.gpu.relaxed.add.{kind} [$0], $1;",
                    f"l,{register}",
                    has_side_effects=True,
                )

        index = lanes_of(x)
        add(out, index, plgpu.layout_cast(jnp.ones(LANES, out.dtype), LAYOUT))

    return kernel


def inline_fencing_add(x: Any, out: Any) -> None:
    """Add 1s likewise, by what MLIR has for it: no other order can be asked for."""
    from jax.extend.mlir import ir
    from jax.extend.mlir.dialects import arith, memref

    @plgpu.inline_mgpu(arg_types=(plgpu.RefType(), LAYOUT, LAYOUT))
    def add(_: Any, ref: Any, index: Any, value: Any) -> None:
        place, values = ir.IndexType.get(), dict(elements(value))
        for at, i in elements(index):
            where = [arith.index_cast(place, i)]
            memref.atomic_rmw(arith.AtomicRMWKind.addi, values[at], ref, where)

    add(out, lanes_of(x), plgpu.layout_cast(jnp.ones(LANES, out.dtype), LAYOUT))


def inline_warp_max(x: Any, out: Any) -> None:
    """Give each lane the largest element of its warp."""
    from jax._src.lib.mlir.dialects import nvvm
    from jax.extend.mlir import ir

    @plgpu.inline_mgpu(
        arg_types=(LAYOUT,),
        return_type=plgpu.ShapeDtypeStruct((LANES,), jnp.int32, layout=LAYOUT),
    )
    def largest(_: Any, x: Any) -> Any:
        from jax.experimental.mosaic.gpu import utils

        every = utils.c(-1, ir.IntegerType.get_signless(32))
        return x.foreach(
            lambda v, _: nvvm.redux_sync(v, nvvm.ReductionKind.MAX, every),
            create_array=True,
            is_signed=True,
        )

    out[...] = largest(lanes_of(x))


# --- the items --------------------------------------------------------------------


def vector_items() -> Iterator[Item]:
    """Loads and stores by vectors of indices."""
    table, index, into = vector(length=TABLE), vector(), vector(length=TABLE)

    def load_public(table: Any, x: Any, out: Any) -> None:
        out[...] = table[lanes_of(x)]

    def load_inline(table: Any, x: Any, out: Any) -> None:
        out[...] = load(table, lanes_of(x))

    def store_public(x: Any, out: Any) -> None:
        out[lanes_of(x)] = lanes_of(x)

    def store_inline(x: Any, out: Any) -> None:
        store(out, lanes_of(x), lanes_of(x))

    for name, kernel in (("load", load_public), ("inline load", load_inline)):
        yield Item(f"{name} by a vector", kernel, (table, index), vector())
        shared = in_shared_memory(kernel)
        yield Item(f"{name}, shared memory", shared, (table, index), vector())
    yield Item("store by a vector", store_public, (index,), into)
    yield Item("inline store by a vector", store_inline, (index,), into)


def in_shared_memory(kernel: Callable[..., None]) -> Callable[..., None]:
    """Have a kernel's first input in shared memory."""

    def copied(table: Any, *refs: Any) -> None:
        def inside(shared: Any) -> None:
            shared[...] = table[...]
            kernel(shared, *refs)

        pl.run_scoped(inside, plgpu.SMEM((TABLE,), jnp.int32))

    return copied


def atomic_items() -> Iterator[Item]:
    """Additions that other programs make too."""

    def add(x: Any, out: Any) -> None:
        plgpu.atomic_add(out.at[lanes_of(x)], lanes_of(x))

    def add_one(x: Any, out: Any) -> None:
        plgpu.atomic_add(out.at[x[0]], x[1])

    def add_slice(x: Any, out: Any) -> None:
        plgpu.atomic_add(out.at[pl.ds(x[0], LANES)], lanes_of(x))

    def addupdate(x: Any, out: Any) -> None:
        jax.ref.addupdate(out, (lanes_of(x),), lanes_of(x))

    into = vector(length=TABLE)
    yield Item("atomic_add by a vector", add, (vector(),), into)
    yield Item("atomic_add of a scalar", add_one, (vector(),), into)
    yield Item("atomic_add to a slice", add_slice, (vector(),), into)
    yield Item("ref.addupdate by a vector", addupdate, (vector(),), into)
    for kind, dtype in (("u32", jnp.uint32), ("f32", jnp.float32), ("u64", jnp.uint64)):
        name = f"inline atomic by a vector, {kind}"
        yield Item(name, inline_add(kind), (vector(),), vector(dtype, TABLE))
    wide = vector(jnp.int64, TABLE)
    yield Item("inline memref.atomic_rmw", inline_fencing_add, (vector(),), wide)


def scalar_items() -> Iterator[Item]:
    """Scalars and slices at indices that are known at run time."""
    table, big = vector(length=TABLE), vector(length=4 * LANES)

    def load(x: Any, table: Any, out: Any) -> None:
        out[...] = lanes_of(x) + table[table[0]]

    def store(x: Any, out: Any) -> None:
        out[x[0]] = x[x[1]]

    def load_slice(x: Any, out: Any) -> None:
        out[...] = plgpu.layout_cast(x[pl.ds(x[0], LANES)], LAYOUT)

    def store_slice(x: Any, out: Any) -> None:
        out[pl.ds(x[0], LANES)] = lanes_of(x)

    yield Item("load of a scalar", load, (vector(), table), vector())
    yield Item("store of a scalar", store, (vector(),), vector())
    yield Item("load of a slice", load_slice, (big,), vector())
    yield Item("store of a slice", store_slice, (vector(),), big)


def arithmetic_items() -> Iterator[Item]:
    """What is done to vectors."""
    word = jnp.uint32
    mixed = lambda x: (x * u32(0x9E3779B9)) ^ (x >> u32(16)) ^ (x << u32(3))  # noqa: E731
    yield of_vector("uint32: *, ^, >>, <<", mixed, word)
    yield of_vector("shift by a vector", lambda x: x >> (x & u32(31)), word)
    yield of_vector("int32: arithmetic >>", lambda x: x >> i32(31))
    yield of_vector(
        "int32: div, rem", lambda x: lax.div(x, i32(7)) + lax.rem(x, i32(5))
    )
    yield of_vector("compare, select", lambda x: jnp.where(x < u32(7), x, u32(5)), word)
    yield of_vector("clz of int32", lax.clz)
    yield of_vector("clz of uint32", lax.clz, word)
    yield of_vector("population_count", lax.population_count, word)
    if hasattr(lax, "mulhi"):
        yield of_vector("mulhi", lambda x: lax.mulhi(x, x), word)
    wide = lambda x: (x.astype(jnp.int64) << np.int64(32)) + np.int64(1)  # noqa: E731
    yield of_vector("int64: <<, +", wide, to=jnp.int64)
    double = lambda x: x.astype(jnp.float64) * np.float64(3)  # noqa: E731
    yield of_vector("float64: *", double, to=jnp.float64)
    yield of_vector("iota", lambda x: x + lax.iota(jnp.int32, LANES))
    spread = lambda x: x + plgpu.broadcasted_iota(x.dtype, (LANES,), 0, layout=LAYOUT)  # noqa: E731
    yield of_vector("broadcasted_iota with a layout", spread)


def control_items() -> Iterator[Item]:
    """Loops and branches."""

    def loop(trips: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: lax.fori_loop(
            jnp.int32(0), trips(x), lambda i, total: total + i, x
        )

    def walk(x: Any) -> Any:
        return lax.while_loop(lambda x: jnp.max(x) > i32(3), lambda x: x >> i32(1), x)

    def branch(x: Any) -> Any:
        return lax.cond(jnp.max(x) > i32(3), lambda x: x + i32(1), lambda x: x, x)

    def when(x: Any, out: Any) -> None:
        @pl.when(x[0] > i32(3))
        def _() -> None:
            out[...] = lanes_of(x)

    yield of_vector("fori_loop that carries a vector", loop(lambda _: jnp.int32(9)))
    yield of_vector("fori_loop, max(vector) times", loop(jnp.max))
    yield of_vector("while_loop until max(vector)", walk)
    yield of_vector("cond on max(vector)", branch)
    yield Item("when", when, (vector(),), vector())


def lanes_items() -> Iterator[Item]:
    """What lanes have in common, and warps by themselves."""
    yield of_vector("max over 128 lanes", lambda x: x + jnp.max(x))
    total = lambda x: x + jnp.sum(x, dtype=jnp.uint32)  # noqa: E731
    yield of_vector("uint32: sum over 128 lanes", total, jnp.uint32)
    some = lambda x: jnp.where(jnp.any(x > i32(3)), x, i32(0))  # noqa: E731
    yield of_vector("any over 128 lanes", some)
    yield Item("inline max over a warp", inline_warp_max, (vector(),), vector())

    def in_a_warp(body: Callable[[Any, Any, Any], None]) -> Callable[..., None]:
        def kernel(x: Any, out: Any) -> None:
            mesh = plgpu.WarpMesh(axis_name="warp")

            @pl.core_map(mesh)
            def _() -> None:
                body(lax.axis_index("warp"), x, out)

        return kernel

    def scalars(warp: Any, x: Any, out: Any) -> None:
        out[warp] = x[warp] + i32(1)

    def vectors(warp: Any, x: Any, out: Any) -> None:
        out[pl.ds(warp * i32(32), 32)] = x[pl.ds(warp * i32(32), 32)] + i32(1)

    yield Item("a warp by itself: scalars", in_a_warp(scalars), (vector(),), vector())
    yield Item("a warp by itself: vectors", in_a_warp(vectors), (vector(),), vector())


def items() -> list[Item]:
    """List everything that the kernels need, or could do with."""
    groups = vector_items, atomic_items, scalar_items
    groups += arithmetic_items, control_items, lanes_items
    return [item for group in groups for item in group()]
