# SPDX-License-Identifier: Apache-2.0
"""Delivery as JAX sees it: launches that write the ring in place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synjit.draw_jax import ANY, BASE, LIMITS
from synjit.hookspecs import Matrix
from synjit.reference import draw

from . import delivery_list as by_list
from . import delivery_places as by_place
from .delivery import Delivery
from .lanes import i32
from .launch import launch
from .operands import compact
from .pieces import Piece, count, lay_out, of_pieces, piece_of_block
from .workspace import LANES, MAX_PROGRAMS, cells, pairs, terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synjit.hookspecs import Problem


class Kind(NamedTuple):
    """Pieces whose connections are drawn by the same code."""

    problem: Problem
    own: Delivery


class Operands(NamedTuple):
    """What all launches of a delivery read."""

    matrix: Matrix
    delays: jax.Array
    active: jax.Array
    before: jax.Array
    loc: jax.Array
    scale: jax.Array
    now: jax.Array


def deliver(
    problem: Problem,
    matrix: Matrix,
    delays: jax.Array,
    x: jax.Array,
    w_loc: jax.Array,
    w_scale: jax.Array,
    ring: jax.Array,
    now: jax.Array,
) -> jax.Array:
    """See the contract. A list is made if there is room; if not, sums are of places."""
    if 0 in ring.shape or 0 in x.shape:
        return ring
    active, before = compact(x.reshape(-1, 1))
    given = Operands(matrix, delays, active, before, w_loc, w_scale, now.reshape(1))
    kinds = kinds_of(problem)
    if not kinds:
        return ring
    flat, fits = _by_list(problem, kinds, given, ring.reshape(-1))
    height = kinds[0].own.height
    rounds = -(-problem.shape[0] // height)

    def some_rows(number: jax.Array, flat: jax.Array) -> jax.Array:
        return _by_place(kinds, given, flat, number * i32(height))

    # No loop, or all of it: branches of a condition would copy the ring.
    trips = jnp.where(fits, i32(0), i32(rounds))
    flat = jax.lax.fori_loop(jnp.int32(0), trips, some_rows, flat)
    return flat.reshape(ring.shape)


def kinds_of(problem: Problem) -> list[Kind]:
    """Sort the blocks by the code that draws their connections."""
    blocks, batch, m = problem.grid.blocks, problem.batch, problem.shape[0]
    found: dict[tuple[Problem, int], list[Piece]] = {}
    terms_of_row = Counter(block.row for block in blocks)
    first_of_row: dict[int, int] = {}
    for i, block in enumerate(blocks):
        first = first_of_row.setdefault(block.row, i)
        if 0 in problem.grid.shape(block):
            continue
        alike, piece = piece_of_block(problem, i)
        piece = piece._replace(
            begin=piece.begin * batch,  # in the list of all columns' vectors
            end=piece.end * batch,
            term=i - first,
            terms=terms_of_row[block.row],
        )
        found.setdefault((alike, block.delays[1]), []).append(piece)
    pieces = [piece for some in found.values() for piece in some]
    whole = Delivery(
        pieces=pieces,
        slots=problem.slots,
        rows=m,
        batch=batch,
        terms=terms(problem),
        programs=min(MAX_PROGRAMS, -(-pairs(problem) // LANES) * LANES),
        height=min(m, max(cells(problem) // (problem.slots * batch), 1)),
    )
    kinds, first = [], 0
    for (alike, words), some in found.items():
        of = range(first, first := first + len(some))
        kinds.append(Kind(alike, replace(whole, of=of, delays=words)))
    return kinds


def _by_list(
    problem: Problem, kinds: Sequence[Kind], given: Operands, ring: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Deliver, if there is room to list all connections; and say whether there is."""
    matrix, own, length = given.matrix, kinds[0].own, cells(problem)
    counted = count(own.pieces, matrix, given.before)
    words = jnp.asarray(matrix.connectivity)[of_pieces(own.pieces, "block")]
    limits = words[:, LIMITS : LIMITS + draw.MAX_LIMITS]
    longest = words[:, BASE] + jnp.sum(limits != ANY, axis=1, dtype=jnp.uint32)
    share = i32(1) << counted.log2_share
    trips = (longest.astype(jnp.int32) + share - i32(1)) >> counted.log2_share
    wanted = counted.groups.astype(jnp.float32) * trips.astype(jnp.float32)
    fits = jnp.sum(wanted) <= np.float32(length // LANES)
    counted = counted._replace(groups=jnp.where(fits, counted.groups, i32(0)))
    vectors = counted.groups * trips
    ends = jnp.cumsum(vectors, dtype=jnp.int32)
    plan = lay_out(own.pieces, counted, ends - vectors, trips)

    of_each, terms = _new(length), [_new(length * own.terms)] * 2
    lists: Sequence[Any] = [of_each, of_each, _new(length, ring.dtype), *terms]
    lists = [*lists, _new(length // LANES)]
    reads: tuple[Any, ...] = (plan, given.active, given.delays, given.now, ring)
    for kind in kinds:
        lists = _run(by_list.list_all, kind, matrix, reads, lists)
    places, weights, held, ones, sums, taken = lists
    listed, any_kind = (plan, taken, places), kinds[0]
    (ring,) = _run(by_list.elect, any_kind, matrix, listed, [ring])
    reads = (*listed, weights, ring)
    ones, sums = _run(by_list.add, any_kind, matrix, reads, [ones, sums])
    reads = (*listed, held, ones, sums, given.loc, given.scale)
    (ring,) = _run(by_list.write, any_kind, matrix, reads, [ring])
    return ring, fits


def _by_place(
    kinds: Sequence[Kind], given: Operands, ring: jax.Array, row: jax.Array
) -> jax.Array:
    """Deliver what arrives at the rows from ``row`` on, as many as may have sums."""
    own = kinds[0].own
    block, first = (of_pieces(own.pieces, name) for name in ("block", "sums"))
    end = first + of_pieces(own.pieces, "rows")
    low = jnp.maximum(first, row)
    rows = jnp.maximum(jnp.minimum(end, row + i32(own.height)) - low, i32(0))
    below = (low - first).astype(jnp.uint32)
    origin = jnp.asarray(given.matrix.origin).at[block, 0].add(below)
    matrix = given.matrix._replace(origin=origin)
    counted = count(own.pieces, matrix, given.before, rows)
    plan = lay_out(own.pieces, counted, rows, low)

    reads = (plan, given.active, given.delays, given.now, row.reshape(1))
    places = own.height * own.slots * own.batch
    sums: Sequence[Any] = [_new(places * own.terms)] * 2
    sums = [*sums, _new(places)]
    for kernel in (by_place.clear, by_place.tally):
        for kind in kinds:
            sums = _run(kernel, kind, matrix, reads, sums)
    for kind in kinds:
        of_sums = (*sums, given.loc, given.scale)
        (ring,) = _run(by_place.settle, kind, matrix, (*reads, *of_sums), [ring])
    return ring


def _new(length: int, dtype: Any = jnp.int32) -> jax.ShapeDtypeStruct:
    """Ask for an array that holds anything."""
    return jax.ShapeDtypeStruct((length,), dtype)


def _run(
    kernel: Callable[..., None],
    kind: Kind,
    matrix: Matrix,
    reads: Sequence[Any],
    results: Sequence[Any],
) -> Sequence[jax.Array]:
    """Launch a kernel that writes arrays in place, or new ones of these shapes."""
    given = [each for each in results if isinstance(each, jax.Array)]
    return launch(
        kernel,
        kind.problem,
        matrix,
        (kind.own.programs,),
        [jax.ShapeDtypeStruct(each.shape, each.dtype) for each in results],
        *reads,
        *given,
        accumulators=len(given),
        name=f"deliver_{kernel.__name__}_{kind.own.of.start}",
        own=kind.own,
    )
