# SPDX-License-Identifier: Apache-2.0
"""The JAX primitives and their rules.

events -> (N, Z), or their weighted sum, of one matrix or of a grid of them;
floats -> (A, B); dense -> z.
Two-dimensional operands, batch last. Each is lowered, platform by platform, to a
backend's hook. The float product is linear in its values, and its transpose is itself
in the other direction. Sums of events vary with the weights, and with a vector of
floats as the float product of its change does. These rules belong to the primitives,
for JAX confuses batch axes of a ``custom_jvp`` under jit.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex
from jax.interpreters import ad, batching, mlir

from . import dispatch
from .hookspecs import NO_GRID, PLATFORMS, Grid, Problem, Product
from .weighing import add_blocks, weigh


class Static(NamedTuple):
    """Parameters of a product that are known when it is traced.

    ``dtype`` is that in which ``events`` returns its sums: int32, or that of floats
    which have a derivative; ``x64`` is JAX's flag, which may be another when the
    product is lowered.
    """

    shape: tuple[int, int]
    transpose: bool = False
    corder: bool = True
    log2_chunk: int | None = None
    backend: str | None = None
    grid: Grid = NO_GRID
    dtype: str = "int32"
    x64: bool = False

    @property
    def length_out(self) -> int:
        """Length of the result."""
        return self.shape[1] if self.transpose else self.shape[0]

    def of_block(self, i: int) -> Static:
        """Parameters of the product with one block of the grid."""
        block = self.grid.blocks[i]
        shape, k = self.grid.shape(block), block.log2_chunk
        return self._replace(shape=shape, log2_chunk=k, grid=NO_GRID)


class Matrix(NamedTuple):
    """Operands that say which matrix: seed (2,), origin (2,), law (LAW_WORDS,).

    Of a grid, each has one more axis, of the blocks, in front.
    """

    seed: jax.Array
    origin: jax.Array
    law: jax.Array


def events(
    matrix: Matrix, vector: jax.Array, static: Static
) -> tuple[jax.Array, jax.Array]:
    """N and Z, (rows, batch), for a vector of events or numbers, (columns, batch)."""
    return tuple(_bind(events_p, (*matrix, vector), static))


def weighted(
    loc: jax.Array, scale: jax.Array, matrix: Matrix, vector: jax.Array, static: Static
) -> jax.Array:
    """``weigh`` of ``events``, (rows, batch) of the weights' dtype; also of a grid."""
    primitive = blocks_p if static.grid.blocks else weighted_p
    return _bind(primitive, (*matrix, vector, loc, scale), static)[0]


def floats(
    matrix: Matrix, values: jax.Array, static: Static
) -> tuple[jax.Array, jax.Array]:
    """A and B, float (rows, batch), for values, float32 or float64 (columns, batch)."""
    return tuple(_bind(floats_p, (*matrix, values), static._replace(dtype="int32")))


def dense(matrix: Matrix, static: Static) -> jax.Array:
    """Give z, int32 of ``static.shape``, ABSENT where there is no connection."""
    return _bind(dense_p, matrix, static)[0]


def is_event(vector: jax.Array) -> jax.Array:
    """Mark the entries above zero; neither -1 nor NaN is."""
    return vector if vector.dtype == np.bool_ else vector > vector.dtype.type(0)


def _from_sums(loc: Any, scale: Any, matrix: Any, vector: Any, static: Static) -> Any:
    """``weighted``, of sums that vary with the weights and the vector."""
    grid = static.grid
    if grid.blocks:

        def of_block(i: int) -> Any:
            _, columns = grid.window(grid.blocks[i])
            own = Matrix(*(operand[i] for operand in matrix))
            part = vector[columns]
            return _from_sums(loc[i], scale[i], own, part, static.of_block(i))

        return add_blocks(grid, of_block)
    if jnp.issubdtype(vector.dtype, jnp.floating):
        static = static._replace(dtype=str(loc.dtype))
    return weigh(loc, scale, *events(matrix, vector, static))


def _bind(primitive: jex.Primitive, operands: Sequence[Any], static: Static) -> Any:
    """Bind, with all operands marked as varying over the axes that any varies over."""
    varying = [_varying_axes(operand) for operand in operands]
    union = frozenset[str]().union(*varying)
    matched = [
        jax.lax.pcast(operand, tuple(sorted(union - axes)), to="varying")
        if axes != union
        else operand
        for operand, axes in zip(operands, varying, strict=True)
    ]
    static = static._replace(x64=bool(jax.config.read("jax_enable_x64")))
    return primitive.bind(*matched, static=static)


def _varying_axes(operand: Any) -> frozenset[str]:
    aval = jax.typeof(operand)
    if hasattr(aval, "manual_axis_type"):
        axes: frozenset[str] = aval.manual_axis_type.varying
        return axes
    return aval.vma  # its name before jax 0.10.2


def whole(operand: Any) -> Any:
    """Gather what a mesh of explicit axes has cut: every device draws for all of it."""
    cut = jax.typeof(operand).sharding
    if all(axis is None for axis in cut.spec):
        return operand
    return jax.sharding.reshard(operand, cut.update(spec=jax.sharding.PartitionSpec()))


def undifferentiable_prob(prob: jax.Array) -> jax.Array:
    """Pass prob on, and refuse to be differentiated."""
    return prob_p.bind(prob)


# --- definitions ------------------------------------------------------------------


def _product(name: str, abstract_eval: Any) -> jex.Primitive:
    primitive = jex.Primitive(f"synjit_{name}")
    primitive.multiple_results = True
    primitive.def_abstract_eval(abstract_eval)
    primitive.def_impl(functools.partial(_compiled, primitive))
    for platform in PLATFORMS:
        rule = mlir.lower_fun(
            functools.partial(_run, name, platform), multiple_results=True
        )
        mlir.register_lowering(primitive, rule, platform=platform)
    return primitive


def _compiled(primitive: jex.Primitive, *operands: Any, static: Static) -> Any:
    with jax.disable_jit(False):  # a kernel runs compiled, or not at all
        return _jitted(primitive, static)(*operands)


@functools.cache
def _jitted(primitive: jex.Primitive, static: Static) -> Any:
    return jax.jit(functools.partial(primitive.bind, static=static))


def _run(name: str, platform: str, *operands: jax.Array, static: Static) -> Any:
    """Hand a product on to the backend chosen for the platform."""
    product: Product = "events" if name == "weighted" else name  # type: ignore[assignment]
    operand = None if product == "dense" else operands[3]
    typed = {"floats": 3, "blocks": 4}.get(product)
    problem = Problem(
        product=product,
        shape=static.shape,
        transpose=static.transpose,
        batch=0 if operand is None else operand.shape[1],
        dtype="int32" if typed is None else str(operands[typed].dtype),
        corder=static.corder,
        log2_chunk=static.log2_chunk,
        platform=platform,
        grid=static.grid,
    )
    with jax.enable_x64(static.x64):
        return _traced(name, problem, operands, static)


def _traced(
    name: str, problem: Problem, operands: Sequence[jax.Array], static: Static
) -> Any:
    """Trace the hook of the backend that is chosen."""
    chosen = dispatch.choose(problem, static.backend)
    product = problem.product
    given = "values" if product == "floats" else "events"
    names = ("seed", "origin", "law", given, "w_loc", "w_scale")
    named = dict(zip(names, operands, strict=False))
    if given == "events" and given in named:
        named[given] = is_event(named[given])
    trace = chosen.weighted if name == "weighted" else chosen.call
    results = trace(problem, named)
    if name == "events":
        return [sums.astype(static.dtype) for sums in results]
    return results


def _result(shape: tuple[int, ...], dtype: Any, operands: Sequence[Any]) -> Any:
    """Describe a result that varies over the mesh axes that the last operand does.

    ``_bind`` has seen to it that all operands vary over the same axes.
    """
    like = operands[-1]
    spec = jax.sharding.PartitionSpec(*[None] * len(shape))
    sharding = jax.sharding.NamedSharding(like.sharding.mesh, spec)
    return like.update(
        shape=shape, dtype=np.dtype(dtype), weak_type=False, sharding=sharding
    )


def _sums_abstract(dtype: Any, operands: Sequence[Any], static: Static) -> list[Any]:
    shape = (static.length_out, operands[3].shape[1])
    return [_result(shape, dtype, operands)] * 2


def _events_abstract(*operands: Any, static: Static) -> list[Any]:
    return _sums_abstract(static.dtype, operands, static)


def _weighted_abstract(*operands: Any, static: Static) -> list[Any]:
    return _sums_abstract(operands[4].dtype, operands, static)[:1]


def _floats_abstract(*operands: Any, static: Static) -> list[Any]:
    return _sums_abstract(operands[3].dtype, operands, static)


def _dense_abstract(*operands: Any, static: Static) -> list[Any]:
    return [_result(static.shape, np.int32, operands)]


events_p = _product("events", _events_abstract)
weighted_p = _product("weighted", _weighted_abstract)
blocks_p = _product("blocks", _weighted_abstract)
floats_p = _product("floats", _floats_abstract)
dense_p = _product("dense", _dense_abstract)


# --- derivatives ------------------------------------------------------------------


def _floats_transpose(
    cotangents: Sequence[Any],
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    values: Any,
    *,
    static: Static,
) -> list[Any]:
    """Return mask.T @ a + (mask * z).T @ b, every connection drawn once for both."""
    matrix = Matrix(seed, origin, law)
    back = static._replace(transpose=not static.transpose)
    a, b = cotangents
    batch = values.aval.shape[1]
    given = [ct for ct in (a, b) if type(ct) is not ad.Zero]
    if not given:
        return [None, None, None, ad.Zero(values.aval)]
    of_mask, of_z = floats(matrix, jnp.concatenate(given, axis=1), back)
    total = None
    if type(a) is not ad.Zero:
        total = of_mask[:, :batch]
    if type(b) is not ad.Zero:
        total = of_z[:, -batch:] if total is None else total + of_z[:, -batch:]
    return [None, None, None, total]


def _sums_jvp(
    primitive: jex.Primitive, primals: Any, tangents: Any, *, static: Static
) -> tuple[list[Any], list[Any]]:
    """Sums of floats, and of events as floats, vary as ``floats`` of the change."""
    results = primitive.bind(*primals, static=static)
    if not jnp.issubdtype(results[0].dtype, jnp.floating):
        return results, [_zero(r) for r in results]
    change = tangents[3]
    if type(change) is ad.Zero:
        return results, [_zero(r) for r in results]
    change = change.astype(results[0].dtype)
    return results, list(floats(Matrix(*primals[:3]), change, static))


def _weighted_jvp(
    primals: Any, tangents: Any, *, static: Static
) -> tuple[list[Any], list[Any]]:
    """Draw N and Z, and weigh them, for they are what varies."""
    varied = [i for i in (3, 4, 5) if type(tangents[i]) is not ad.Zero]

    def of_sums(*values: jax.Array) -> jax.Array:
        operands = list(primals)
        for i, value in zip(varied, values, strict=True):
            operands[i] = value
        *matrix, vector, loc, scale = operands
        result: jax.Array = _from_sums(loc, scale, Matrix(*matrix), vector, static)
        return result

    value, change = jax.jvp(
        of_sums, [primals[i] for i in varied], [tangents[i] for i in varied]
    )
    return [value], [change]


for _primitive in (events_p, floats_p):
    ad.primitive_jvps[_primitive] = functools.partial(_sums_jvp, _primitive)
for _primitive in (weighted_p, blocks_p):
    ad.primitive_jvps[_primitive] = _weighted_jvp
ad.primitive_transposes[floats_p] = _floats_transpose


def _zero(result: jax.Array) -> Any:
    return ad.Zero(jax.typeof(result).to_tangent_aval())


def _dense_jvp(
    primals: Any, _tangents: Any, *, static: Static
) -> tuple[list[Any], list[Any]]:
    """Integers have no derivative."""
    results = dense_p.bind(*primals, static=static)
    return results, [_zero(r) for r in results]


ad.primitive_jvps[dense_p] = _dense_jvp

prob_p = jex.Primitive("synjit_prob")
prob_p.def_abstract_eval(lambda prob: prob)
prob_p.def_impl(lambda prob: prob)
mlir.register_lowering(
    prob_p, mlir.lower_fun(lambda prob: prob, multiple_results=False)
)
batching.defvectorized(prob_p)


def _prob_jvp(_primals: Any, _tangents: Any) -> Any:
    raise TypeError(
        "synjit: the product has no derivative by prob: a connection is there or not. "
        "Differentiate by w_loc, w_scale or the vector, and pass prob through "
        "jax.lax.stop_gradient where it comes from something differentiated."
    )


ad.primitive_jvps[prob_p] = _prob_jvp


# --- batching ---------------------------------------------------------------------


def _batch(primitive: jex.Primitive, args: Any, axes: Any, *, static: Static) -> Any:
    """One matrix and many vectors: one product. Many matrices: one after the other."""
    args = [whole(arg) for arg in args]
    if all(axis is None for i, axis in enumerate(axes) if i != 3):
        *matrix, operand = args[:4]
        operand = jnp.moveaxis(operand, axes[3], -1)
        length, batch, size = operand.shape
        if not isinstance(batch, int) or not isinstance(size, int):
            raise TypeError(
                "the size of a batch decides what is compiled, and must be a number; "
                f"got {batch} by {size}: export a program for each"
            )
        operand = operand.reshape(length, batch * size)
        product = functools.partial(primitive.bind, static=static)
        if operand.size == 0:  # backends are not asked for nothing
            like = jax.eval_shape(product, *matrix, operand, *args[4:])
            results = [jnp.zeros(r.shape, r.dtype) for r in like]
        else:
            results = product(*matrix, operand, *args[4:])
        results = [r.reshape(len(r), batch, size) for r in results]
        # First, for JAX takes it so of functions with a custom_jvp around a product.
        return [jnp.moveaxis(r, 2, 0) for r in results], [0] * len(results)

    batched = [
        jnp.moveaxis(arg, axis, 0)
        for arg, axis in zip(args, axes, strict=True)
        if axis is not None
    ]

    def one(slices: list[jax.Array]) -> list[jax.Array]:
        rest = iter(slices)
        operands = [
            arg if axis is None else next(rest)
            for arg, axis in zip(args, axes, strict=True)
        ]
        return primitive.bind(*operands, static=static)

    results = jax.lax.map(one, batched)
    return results, [0] * len(results)


for _primitive in (events_p, floats_p, dense_p):
    batching.primitive_batchers[_primitive] = functools.partial(_batch, _primitive)


def _batch_weighted(
    primitive: jex.Primitive, args: Any, axes: Any, *, static: Static
) -> Any:
    """One matrix and many weights: N and Z are drawn once for all."""
    if axes[:3] != (None,) * 3 or axes[4:] == (None,) * 2:
        return _batch(primitive, args, axes, static=static)

    def of_sums(*operands: jax.Array) -> jax.Array:
        *matrix, active, loc, scale = operands
        result: jax.Array = _from_sums(loc, scale, Matrix(*matrix), active, static)
        return result

    return [jax.vmap(of_sums, in_axes=axes)(*args)], [0]


for _primitive in (weighted_p, blocks_p):
    batching.primitive_batchers[_primitive] = functools.partial(
        _batch_weighted, _primitive
    )
