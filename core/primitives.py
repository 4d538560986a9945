# SPDX-License-Identifier: Apache-2.0
"""The JAX primitives and their rules.

product: events -> (N, Z), or floats -> (A, B); weighted: events -> their weighted sum,
of a grid of matrices; dense -> z. Two-dimensional operands, batch last. Each is
lowered, platform by platform, to a backend's hook.

The float product is linear in its values, and its transpose is itself in the other
direction. Sums of events vary with the weights, and with a vector of floats as the
float product of its change does. These rules belong to the primitives, for JAX confuses
batch axes of a ``custom_jvp`` under jit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex
from jax.interpreters import ad, batching, mlir

from . import dispatch
from .combine import weigh_blocks
from .hookspecs import PLATFORMS, Matrix, Problem

X, LOC, SCALE = 4, 5, 6  # operands after those of the matrix


def product(
    matrix: Matrix, x: jax.Array, problem: Problem, backend: str | None
) -> tuple[jax.Array, jax.Array]:
    """N and Z of a vector of events or numbers, or A and B, (rows, batch).

    Of "events", ``problem.dtype`` is that in which N and Z are wanted: int32, or that
    of floats, which have a derivative.
    """
    return tuple(bind(product_p, (*matrix, x), problem, backend))


def weighted(
    matrix: Matrix,
    x: jax.Array,
    loc: jax.Array,
    scale: jax.Array,
    problem: Problem,
    backend: str | None,
) -> jax.Array:
    """Weighted sum of events, (rows, batch) of the weights' dtype (blocks,)."""
    return bind(weighted_p, (*matrix, x, loc, scale), problem, backend)[0]


def dense(matrix: Matrix, problem: Problem, backend: str | None) -> jax.Array:
    """Give z, int32 of ``problem.shape``, ABSENT where there is no connection."""
    return bind(dense_p, matrix, problem, backend)[0]


def is_event(vector: jax.Array) -> jax.Array:
    """Mark the entries above zero; neither -1 nor NaN is."""
    return vector if vector.dtype == np.bool_ else vector > vector.dtype.type(0)


def _of_sums(*operands: Any, problem: Problem, backend: str | None) -> jax.Array:
    """``weighted``, made of sums that vary with the weights and the vector."""
    matrix, (x, loc, scale) = Matrix(*operands[:X]), operands[X:]
    floating = jnp.issubdtype(x.dtype, jnp.floating)

    def sums(own: Problem, block: Matrix, part: jax.Array) -> Sequence[jax.Array]:
        if floating:
            own = replace(own, dtype=problem.dtype)
        return product(block, part, own, backend)

    return weigh_blocks(problem, matrix, x, loc, scale, sums)


def bind(
    primitive: jex.Primitive,
    operands: Sequence[Any],
    problem: Problem,
    backend: str | None,
) -> Any:
    """Bind, with all operands marked as varying over the axes that any varies over.

    JAX's flag of 64 bits is bound as well, for it may be another when the product is
    lowered.
    """
    x64 = bool(jax.config.read("jax_enable_x64"))
    # A table without words is made here: of one that is a constant outside of
    # ``jax.shard_map`` the compiler of jaxlib 0.11.2 crashes.
    operands = [jnp.zeros(o.shape, o.dtype) if 0 in o.shape else o for o in operands]
    return primitive.bind(
        *varying_alike(operands), problem=problem, backend=backend, x64=x64
    )


def varying_alike(operands: Sequence[Any]) -> list[Any]:
    """Mark operands as varying over the axes that any of them varies over."""
    varying = [_varying_axes(operand) for operand in operands]
    union = frozenset[str]().union(*varying)
    return [
        jax.lax.pcast(operand, tuple(sorted(union - axes)), to="varying")
        if axes != union
        else operand
        for operand, axes in zip(operands, varying, strict=True)
    ]


def _varying_axes(operand: Any) -> frozenset[str]:
    aval = jax.typeof(operand)
    if hasattr(aval, "manual_axis_type"):
        axes: frozenset[str] = aval.manual_axis_type.varying
        return axes
    return aval.vma  # its name before jax 0.10.2


def replicate(operand: Any) -> Any:
    """Gather what a mesh of explicit axes has cut: every device draws for all of it."""
    cut = jax.typeof(operand).sharding
    if all(axis is None for axis in cut.spec):
        return operand
    return jax.sharding.reshard(operand, cut.update(spec=jax.sharding.PartitionSpec()))


def undifferentiable_prob(prob: jax.Array) -> jax.Array:
    """Pass prob on, and refuse to be differentiated."""
    return prob_p.bind(prob)


# --- definitions ------------------------------------------------------------------


def make_primitive(name: str, abstract_eval: Any, run: Any = None) -> jex.Primitive:
    """Make a primitive that ``run`` hands on to the backend of each platform."""
    run = run or _run
    primitive = jex.Primitive(f"synjit_{name}")
    primitive.multiple_results = True
    primitive.def_abstract_eval(abstract_eval)
    primitive.def_impl(functools.partial(_compiled, primitive))
    for platform in PLATFORMS:
        rule = mlir.lower_fun(functools.partial(run, platform), multiple_results=True)
        mlir.register_lowering(primitive, rule, platform=platform)
    return primitive


def _compiled(primitive: jex.Primitive, *operands: Any, **static: Any) -> Any:
    with jax.disable_jit(False):  # a kernel runs compiled, or not at all
        return _jitted(primitive, **static)(*operands)


@functools.cache
def _jitted(primitive: jex.Primitive, **static: Any) -> Any:
    return jax.jit(functools.partial(primitive.bind, **static))


def _run(
    platform: str,
    *operands: jax.Array,
    problem: Problem,
    backend: str | None,
    x64: bool,
) -> list[jax.Array]:
    """Hand a product on to the backend chosen for the platform."""
    matrix, rest = Matrix(*operands[:X]), list(operands[X:])
    wanted = problem.dtype
    if problem.product == "events":
        problem = replace(problem, dtype="int32")
    if problem.product in {"events", "weighted"}:
        rest[0] = is_event(rest[0])
    batch = rest[0].shape[1] if rest else 0
    problem = replace(problem, platform=platform, batch=batch)
    with jax.enable_x64(x64):
        chosen = dispatch.choose(problem, backend)
        results = chosen.call(problem, matrix, *rest)
        if problem.product == "events":
            return [sums.astype(wanted) for sums in results]
        return results


def result_like(shape: tuple[int, ...], dtype: Any, operands: Sequence[Any]) -> Any:
    """Describe a result that varies over the mesh axes that the last operand does.

    ``bind`` has seen to it that all operands vary over the same axes.
    """
    like = operands[-1]
    spec = jax.sharding.PartitionSpec(*[None] * len(shape))
    sharding = jax.sharding.NamedSharding(like.sharding.mesh, spec)
    return like.update(
        shape=shape, dtype=np.dtype(dtype), weak_type=False, sharding=sharding
    )


def _sums_abstract(*operands: Any, problem: Problem, **_: Any) -> list[Any]:
    length = problem.shape[1] if problem.transpose else problem.shape[0]
    result = result_like((length, operands[X].shape[1]), problem.dtype, operands)
    return [result] if problem.product == "weighted" else [result] * 2


def _dense_abstract(*operands: Any, problem: Problem, **_: Any) -> list[Any]:
    return [result_like(problem.shape, np.int32, operands)]


product_p = make_primitive("product", _sums_abstract)
weighted_p = make_primitive("weighted", _sums_abstract)
dense_p = make_primitive("dense", _dense_abstract)


# --- derivatives ------------------------------------------------------------------


def _product_transpose(
    cotangents: Sequence[Any],
    *operands: Any,
    problem: Problem,
    backend: str | None,
    x64: bool,
) -> list[Any]:
    """Return mask.T @ a + (mask * z).T @ b, every connection drawn once for both."""
    del x64
    matrix, values = Matrix(*operands[:X]), operands[X]
    back = replace(problem, transpose=not problem.transpose)
    none = [None] * X
    a, b = cotangents
    batch = values.aval.shape[1]
    given = [ct for ct in (a, b) if type(ct) is not ad.Zero]
    if not given:
        return [*none, ad.Zero(values.aval)]
    of_mask, of_z = product(matrix, jnp.concatenate(given, axis=1), back, backend)
    total = None
    if type(a) is not ad.Zero:
        total = of_mask[:, :batch]
    if type(b) is not ad.Zero:
        total = of_z[:, -batch:] if total is None else total + of_z[:, -batch:]
    return [*none, total]


def _product_jvp(
    primals: Any,
    tangents: Any,
    *,
    problem: Problem,
    backend: str | None,
    x64: bool,
) -> tuple[list[Any], list[Any]]:
    """Sums of floats, and of events as floats, vary as the float product does."""
    results = product_p.bind(*primals, problem=problem, backend=backend, x64=x64)
    change = tangents[X]
    if problem.dtype == "int32" or type(change) is ad.Zero:
        return results, [_zero(r) for r in results]
    floats = replace(problem, product="floats")
    change = change.astype(problem.dtype)
    return results, list(product(Matrix(*primals[:X]), change, floats, backend))


def _weighted_jvp(
    primals: Any,
    tangents: Any,
    *,
    problem: Problem,
    backend: str | None,
    x64: bool,
) -> tuple[list[Any], list[Any]]:
    """Draw N and Z, and weigh them, for they are what varies."""
    del x64
    varied = [i for i in (X, LOC, SCALE) if type(tangents[i]) is not ad.Zero]

    def of_sums(*values: jax.Array) -> jax.Array:
        operands = list(primals)
        for i, value in zip(varied, values, strict=True):
            operands[i] = value
        return _of_sums(*operands, problem=problem, backend=backend)

    value, change = jax.jvp(
        of_sums, [primals[i] for i in varied], [tangents[i] for i in varied]
    )
    return [value], [change]


def _dense_jvp(
    primals: Any, _tangents: Any, **static: Any
) -> tuple[list[Any], list[Any]]:
    """Integers have no derivative."""
    results = dense_p.bind(*primals, **static)
    return results, [_zero(r) for r in results]


def _zero(result: jax.Array) -> Any:
    return ad.Zero(jax.typeof(result).to_tangent_aval())


ad.primitive_jvps[product_p] = _product_jvp
ad.primitive_transposes[product_p] = _product_transpose
ad.primitive_jvps[weighted_p] = _weighted_jvp
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


def cut_as_batch(rule: Callable[..., Any]) -> Callable[..., Any]:
    """Make a batching rule for batches that a mesh of explicit axes may have cut.

    Every device makes all of the batch, and its results are cut as it was.
    """

    def of_cut(args: Any, axes: Any, **static: Any) -> tuple[list[jax.Array], Any]:
        cut = _cut_of_batch(args, axes)
        results, places = rule([replicate(arg) for arg in args], axes, **static)
        cut_results = [
            _cut_batch(result, cut, place)
            for result, place in zip(results, places, strict=True)
        ]
        return cut_results, places

    return of_cut


def _cut_of_batch(args: Any, axes: Any) -> Any:
    """Give the sharding of the batch's axis; None where it is not cut."""
    for arg, axis in zip(args, axes, strict=True):
        sharding = jax.typeof(arg).sharding
        if axis is not None and sharding.spec[axis] is not None:
            return sharding.update(spec=jax.sharding.PartitionSpec(sharding.spec[axis]))
    return None


def _cut_batch(result: jax.Array, cut: Any, axis: int) -> jax.Array:
    """Cut a result along the axis of the batch."""
    if cut is None:
        return result
    names: list[Any] = [None] * result.ndim
    (names[axis],) = cut.spec
    spec = jax.sharding.PartitionSpec(*names)
    return jax.sharding.reshard(result, cut.update(spec=spec))


def _batching_rule(primitive: jex.Primitive) -> Callable[..., Any]:
    return cut_as_batch(functools.partial(_batch, primitive))


def _batch(
    primitive: jex.Primitive, args: Any, axes: Any, **static: Any
) -> tuple[list[jax.Array], list[int]]:
    """One matrix and many vectors: one product. Many matrices: one after the other."""
    if all(axis is None for i, axis in enumerate(axes) if i != X):
        results = _batch_vectors(primitive, args, axes[X], **static)
    else:
        bound = functools.partial(primitive.bind, **static)
        results = map_batches(bound, args, axes)
    return results, [0] * len(results)


def map_batches(
    bind: Callable[..., list[jax.Array]], args: Sequence[Any], axes: Sequence[Any]
) -> list[jax.Array]:
    """Bind a primitive for one element of the batch after the other.

    The batch is the first axis of the results.
    """
    batched = [
        jnp.moveaxis(arg, axis, 0)
        for arg, axis in zip(args, axes, strict=True)
        if axis is not None
    ]

    def one(slices: Sequence[jax.Array]) -> list[jax.Array]:
        rest = iter(slices)
        operands = [
            arg if axis is None else next(rest)
            for arg, axis in zip(args, axes, strict=True)
        ]
        return bind(*operands)

    return jax.lax.map(one, batched)


def _batch_vectors(
    primitive: jex.Primitive, args: list[Any], axis: int, **static: Any
) -> list[jax.Array]:
    """Make one product of all vectors."""
    vectors = jnp.moveaxis(args[X], axis, -1)
    length, batch, size = vectors.shape
    if not isinstance(batch, int) or not isinstance(size, int):
        raise TypeError(
            "the size of a batch decides what is compiled, and must be a number; "
            f"got {batch} by {size}: export a program for each"
        )
    args[X] = vectors.reshape(length, batch * size)
    product = functools.partial(primitive.bind, **static)
    if args[X].size == 0:  # backends are not asked for nothing
        results = [jnp.zeros(r.shape, r.dtype) for r in jax.eval_shape(product, *args)]
    else:
        results = product(*args)
    results = [r.reshape(len(r), batch, size) for r in results]
    # First, for JAX takes it so of functions with a custom_jvp around a product.
    return [jnp.moveaxis(r, 2, 0) for r in results]


def _batch_weighted(
    args: Any, axes: Any, *, problem: Problem, backend: str | None, x64: bool
) -> tuple[list[jax.Array], list[int]]:
    """One matrix and many weights: N and Z are drawn once for all."""
    if axes[:X] != (None,) * X or axes[LOC:] == (None,) * 2:
        static = {"problem": problem, "backend": backend, "x64": x64}
        results: tuple[list[jax.Array], list[int]]
        results = _batching_rule(weighted_p)(args, axes, **static)
        return results
    of_sums = functools.partial(_of_sums, problem=problem, backend=backend)
    return [jax.vmap(of_sums, in_axes=axes)(*args)], [0]


for _each in (product_p, dense_p):
    batching.primitive_batchers[_each] = _batching_rule(_each)
batching.primitive_batchers[weighted_p] = _batch_weighted
