# SPDX-License-Identifier: Apache-2.0
"""The JAX primitives of delays, and their rules.

deliver: a ring, and events -> the ring with their weights added, slot by slot. only_if:
a ring -> itself, or no numbers where its matrix is none. read: a ring -> a slot of it,
and the ring with that slot cleared. Rings are (slots, m, batch).

A delivery of given events is linear in the ring and in the weights, and varies with a
vector of floats as the sums of ``delayed_sums`` do. No primitive copies a ring that is
used nowhere else, which takes some care of XLA (see ``_only_if`` and ``_read``).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core as jex
from jax.interpreters import ad, batching, mlir

from . import dispatch
from .combine import Z_UNIT, add_blocks
from .delayed_sums import collect, spread
from .hookspecs import Matrix, Problem, matrix_of_block
from .primitives import (
    bind,
    cut_as_batch,
    is_event,
    make_primitive,
    map_batches,
    result_like,
    varying_alike,
)

# Operands after those of the matrix.
DELAYS, X, LOC, SCALE, RING, NOW = 4, 5, 6, 7, 8, 9


def deliver(
    matrix: Matrix,
    delays: Any,
    x: jax.Array,
    loc: Any,
    scale: Any,
    ring: jax.Array,
    now: Any,
    problem: Problem,
    backend: str | None,
) -> jax.Array:
    """Add events (n, batch) to a ring (slots, m, batch), as ``synjit_deliver`` does."""
    operands = (*matrix, delays, x, loc, scale, ring, now)
    result: jax.Array = bind(deliver_p, operands, problem, backend)[0]
    return result


def only_if(valid: Sequence[jax.Array | None], ring: jax.Array) -> jax.Array:
    """Give a ring, but of what is not a number where what was traced is no matrix."""
    traced = [own for own in valid if own is not None]
    if not traced:
        return ring
    all_valid = functools.reduce(jnp.logical_and, traced)
    result: jax.Array = only_if_p.bind(*varying_alike([all_valid, ring]))
    return result


def read(ring: jax.Array, now: Any) -> tuple[jax.Array, jax.Array]:
    """Give the slot of a step, (m, batch), and the ring with that slot cleared."""
    current, ring = read_p.bind(*varying_alike([now, ring]))
    return current, ring


# --- deliver ----------------------------------------------------------------------


def _run(
    platform: str,
    *operands: jax.Array,
    problem: Problem,
    backend: str | None,
    x64: bool,
) -> list[jax.Array]:
    """Hand a delivery on to the backend chosen for the platform."""
    matrix, (delays, x, *rest) = Matrix(*operands[:DELAYS]), operands[DELAYS:]
    problem = replace(problem, platform=platform, batch=x.shape[1])
    with jax.enable_x64(x64):
        chosen = dispatch.choose(problem, backend)
        return chosen.call(problem, matrix, delays, is_event(x), *rest)


def _abstract(*operands: Any, **_: Any) -> list[Any]:
    ring = operands[RING]
    return [result_like(ring.shape, ring.dtype, operands)]


def _block(operands: Sequence[Any], problem: Problem, i: int) -> tuple[Any, ...]:
    """Give the matrix, the table of delays and the problem of one block."""
    own = replace(problem.of_block(i), slots=problem.slots)
    start, length = problem.grid.blocks[i].delays
    table = operands[DELAYS][start : start + length]
    return matrix_of_block(problem, Matrix(*operands[:DELAYS]), i), table, own


def _jvp(
    primals: Any,
    tangents: Any,
    *,
    problem: Problem,
    backend: str | None,
    x64: bool,
) -> tuple[list[Any], list[Any]]:
    """Deliver the changes of the weights to that of the ring; spread that of events."""
    static = {"problem": problem, "backend": backend, "x64": x64}
    results = deliver_p.bind(*primals, **static)
    change = tangents[RING]
    if any(type(tangents[i]) is not ad.Zero for i in (LOC, SCALE)):
        varied = list(primals)
        for i in (LOC, SCALE, RING):
            varied[i] = ad.instantiate_zeros(tangents[i])
        change = bind(deliver_p, varied, problem, backend)[0]
    events = primals[X]
    floating = jnp.issubdtype(events.dtype, jnp.floating)
    if floating and type(tangents[X]) is not ad.Zero:
        arrives = _spread(primals, tangents[X], problem)
        change = arrives if type(change) is ad.Zero else change + arrives
    return results, [change]


def _spread(operands: Sequence[Any], values: jax.Array, problem: Problem) -> Any:
    """Multiply values by the weights, and add them up where they arrive."""
    loc, scale, now = (operands[i] for i in (LOC, SCALE, NOW))
    values = values.astype(problem.dtype)

    def of_block(i: int) -> jax.Array:
        matrix, table, own = _block(operands, problem, i)
        part = values[problem.grid.window(problem.grid.blocks[i])[1]]
        ones, z = spread(matrix, table, part, now, own)
        sums = loc[i] * ones + scale[i] * (z * ones.dtype.type(Z_UNIT))
        return jnp.moveaxis(sums, 1, 0)

    return jnp.moveaxis(add_blocks(problem.grid, of_block), 0, 1)


def _transpose(
    cotangents: Sequence[Any],
    *operands: Any,
    problem: Problem,
    backend: str | None,
    x64: bool,
) -> list[Any]:
    """Pass the cotangent of the ring on; collect those of the weights of events."""
    del backend, x64
    (ct,) = cotangents
    results: list[Any] = [None] * len(operands)
    unknown = [i for i in (LOC, SCALE, RING) if ad.is_undefined_primal(operands[i])]
    if type(ct) is ad.Zero:
        for i in unknown:
            results[i] = ad.Zero(operands[i].aval)
        return results
    results[RING] = ct if RING in unknown else None
    if {LOC, SCALE} & set(unknown):
        sums = [_weights_of(ct, operands, problem, i) for i in _blocks(problem)]
        for k, i in enumerate((LOC, SCALE)):
            results[i] = jnp.stack([s[k] for s in sums]) if i in unknown else None
    return results


def _blocks(problem: Problem) -> range:
    return range(len(problem.grid.blocks))


def _weights_of(
    ct: jax.Array, operands: Sequence[Any], problem: Problem, i: int
) -> tuple[jax.Array, jax.Array]:
    """Cotangents of w_loc and w_scale of a block."""
    matrix, table, own = _block(operands, problem, i)
    rows, columns = problem.grid.window(problem.grid.blocks[i])
    events = operands[X][columns]
    if jnp.issubdtype(events.dtype, jnp.floating):
        events = event_p.bind(events)  # which has a derivative
    else:
        events = is_event(events)
    events = events.astype(ct.dtype)
    ones, z = collect(matrix, table, ct[:, rows], operands[NOW], own)
    unit = ct.dtype.type(Z_UNIT)
    return (ones * events).sum(), (z * events).sum() * unit


def _batch(args: Any, axes: Any, **static: Any) -> Any:
    """One matrix and many vectors, each with its ring: one delivery."""
    if any(axis is not None for i, axis in enumerate(axes) if i not in {X, RING}):
        bound = functools.partial(deliver_p.bind, **static)
        return map_batches(bound, args, axes), [0]
    args = list(args)
    size = next(args[i].shape[axes[i]] for i in (X, RING) if axes[i] is not None)
    for i in (X, RING):
        if axes[i] is None:
            args[i] = jnp.broadcast_to(args[i][..., None], (*args[i].shape, size))
        else:
            args[i] = jnp.moveaxis(args[i], axes[i], -1)
    own = args[X].shape[-2:]
    for i in (X, RING):
        args[i] = args[i].reshape(*args[i].shape[:-2], own[0] * own[1])
    results = [args[RING]]
    if args[RING].size > 0:  # backends are not asked for nothing
        results = deliver_p.bind(*args, **static)
    return [r.reshape(*r.shape[:-1], *own) for r in results], [3]


deliver_p = make_primitive("deliver", _abstract, _run)
ad.primitive_jvps[deliver_p] = _jvp
ad.primitive_transposes[deliver_p] = _transpose
batching.primitive_batchers[deliver_p] = cut_as_batch(_batch)


event_p = jex.Primitive("synjit_event")
event_p.def_abstract_eval(lambda x: x)
event_p.def_impl(jax.jit(event_p.bind))
mlir.register_lowering(
    event_p,
    mlir.lower_fun(lambda x: is_event(x).astype(x.dtype), multiple_results=False),
)
batching.defvectorized(event_p)
ad.primitive_jvps[event_p] = lambda x, change: (event_p.bind(*x), *change)


# --- only if valid ----------------------------------------------------------------


def _only_if(valid: jax.Array, ring: jax.Array) -> jax.Array:
    """Go through the ring in no or in all steps of a loop.

    A loop writes in the memory of the ring. Of the result of a condition, one of whose
    branches gives the ring as it is, XLA makes a copy.
    """

    def no_number(i: Any, ring: jax.Array) -> jax.Array:
        unknown = lax.dynamic_index_in_dim(ring, i, 0, keepdims=False) * jnp.nan
        return lax.dynamic_update_index_in_dim(ring, unknown, i, 0)

    steps = jnp.where(valid, np.int32(0), np.int32(len(ring)))
    result: jax.Array = lax.fori_loop(jnp.int32(0), steps, no_number, ring)
    return result


def _only_if_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, Any]:
    result, change = only_if_p.bind(*primals), tangents[1]
    if type(change) is ad.Zero:
        return result, ad.Zero(jax.typeof(result).to_tangent_aval())
    return result, only_if_p.bind(primals[0], change)


def _only_if_transpose(ct: Any, valid: jax.Array, ring: Any) -> list[Any]:
    if type(ct) is ad.Zero:
        return [None, ad.Zero(ring.aval)]
    return [None, only_if_p.bind(valid, ct)]


def _only_if_batch(args: Any, axes: Any) -> tuple[jax.Array, int]:
    if axes[0] is None:
        return only_if_p.bind(*args), axes[1]
    return map_batches(lambda *each: [only_if_p.bind(*each)], args, axes)[0], 0


only_if_p = jex.Primitive("synjit_only_if")
only_if_p.def_abstract_eval(lambda _, ring: ring)
only_if_p.def_impl(jax.jit(only_if_p.bind))
mlir.register_lowering(only_if_p, mlir.lower_fun(_only_if, multiple_results=False))
ad.primitive_jvps[only_if_p] = _only_if_jvp
ad.primitive_transposes[only_if_p] = _only_if_transpose
batching.primitive_batchers[only_if_p] = _only_if_batch


# --- read -------------------------------------------------------------------------


def _read(now: jax.Array, ring: jax.Array, *, in_order: bool) -> list[jax.Array]:
    """Read the slot, and clear it in the memory of the ring.

    XLA is free to read the slot wherever it is needed, later than it is cleared, and
    then copies the ring. A barrier keeps the two in order, but not on CPUs. There both
    are done behind conditions, which always hold though XLA cannot know it: results of
    a condition are kept, and the second depends on what the first has read. (Elsewhere
    conditions would copy the ring themselves.)
    """
    number = now.astype(jnp.int32)

    def slot(ring: jax.Array) -> jax.Array:
        return lax.dynamic_index_in_dim(ring, number, 0, keepdims=False)

    # A ring that was made outside of an explicit mesh has a sharding of its own.
    with jax.sharding.use_abstract_mesh(jax.typeof(ring).sharding.mesh):
        empty, _ = varying_alike([jnp.zeros(ring.shape[1:], ring.dtype), ring])

        def cleared(ring: jax.Array) -> jax.Array:
            return lax.dynamic_update_index_in_dim(ring, empty, number, 0)

        if in_order:
            current, ring = lax.optimization_barrier((slot(ring), ring))
            return [current, cleared(ring)]
        current = lax.cond(_is_something(number), slot, lambda _: empty, ring)
        words = lax.bitcast_convert_type(current[0, 0], jnp.uint32)
        has_been_read = _is_something(words if words.ndim == 0 else words[0])
        return [current, lax.cond(has_been_read, cleared, lambda ring: ring, ring)]


def _is_something(word: jax.Array) -> jax.Array:
    """Whether a word is one, as every word is."""
    return (word | word.dtype.type(1)) != word.dtype.type(0)


def _read_abstract(now: Any, ring: Any) -> list[Any]:
    operands = (now, ring)
    return [result_like(s, ring.dtype, operands) for s in (ring.shape[1:], ring.shape)]


def _read_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    results, change = read_p.bind(*primals), tangents[1]
    if type(change) is ad.Zero:
        return results, [ad.Zero(jax.typeof(r).to_tangent_aval()) for r in results]
    return results, read_p.bind(primals[0], change)


def _read_transpose(cotangents: Any, now: Any, ring: Any) -> list[Any]:
    """Put the cotangent of the slot in its place."""
    slot, rest = cotangents
    if type(slot) is ad.Zero and type(rest) is ad.Zero:
        return [None, ad.Zero(ring.aval)]
    slot, rest = ad.instantiate_zeros(slot), ad.instantiate_zeros(rest)
    number = now.astype(jnp.int32)
    return [None, lax.dynamic_update_index_in_dim(rest, slot, number, 0)]


def _read_batch(args: Any, axes: Any) -> Any:
    if axes[0] is not None:
        return map_batches(read_p.bind, args, axes), [0, 0]
    ring = jnp.moveaxis(args[1], axes[1], -1)
    own = ring.shape[-2:]
    flat = ring.reshape(*ring.shape[:-2], own[0] * own[1])
    if flat.size == 0:
        return [jnp.zeros(ring.shape[1:], ring.dtype), ring], [2, 3]
    results = read_p.bind(args[0], flat)
    return [r.reshape(*r.shape[:-1], *own) for r in results], [2, 3]


read_p = jex.Primitive("synjit_read")
read_p.multiple_results = True
read_p.def_abstract_eval(_read_abstract)
read_p.def_impl(jax.jit(read_p.bind))
for _platform in (None, "cpu"):
    _lower = functools.partial(_read, in_order=_platform != "cpu")
    _rule = mlir.lower_fun(_lower, multiple_results=True)
    mlir.register_lowering(read_p, _rule, platform=_platform)
ad.primitive_jvps[read_p] = _read_jvp
ad.primitive_transposes[read_p] = _read_transpose
batching.primitive_batchers[read_p] = cut_as_batch(_read_batch)
