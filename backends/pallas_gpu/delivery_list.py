# SPDX-License-Identifier: Apache-2.0
"""Few connections are delivered: a list of them is made, each with room for sums.

1. ``list_all``: where each arrives, its weight, what the ring holds there; sums of 0.
2. ``elect``: each writes its number into the ring, where one of them stays: it leads.
   (Numbers are floats, as the ring is, and small enough to be exact.)
3. ``add``: each is added to the sums of the one that leads.
4. ``write``: those that have sums weigh them, and write the ring.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from synjit.hookspecs import Matrix, Problem

from .atomics import load_where, scatter_add, scatter_any, store_where
from .delivery import Connection, Delivery, Drawn, weighed_sums
from .lanes import i32, lanes, strided, zero
from .listing import Group
from .pieces import COUNTED, Plan
from .workspace import LANES

# What is counted of pieces besides: where the list of each begins, in vectors, and how
# many vectors a group has at most.
LISTED = (*COUNTED, "vectors", "trips")


def list_all(
    matrix: Matrix,
    plan: Any,
    active: Any,
    delays: Any,
    now: Any,
    ring: Any,
    *lists: Any,
    own: Delivery,
    problem: Problem,
) -> None:
    """Make the list: LANES connections for each trip of a group.

    Parameters
    ----------
    lists
        The place where each arrives, or -1 of none; its z; what the ring holds there;
        N and Z of each term. Of each group, how many trips it took.
    """
    places, weights, held, ones, sums, trips = lists[-6:]
    planned = Plan(plan, own.pieces, LISTED)

    def of_group(group: Group) -> Callable[[Connection], None]:
        trips[group.number] = group.trips
        first = _first_vector(planned, group.piece.number, group.number)
        terms = planned.field("terms", group.piece.number)

        def connection(found: Connection) -> None:
            place = own.place(found.slot, found.row, group.vector, own.rows)
            at = _entries(first + found.trip)
            places[at] = jnp.where(found.inside, place, i32(-1))
            weights[at] = found.z
            held[at] = load_where(found.inside, ring, place)

            def clear(term: jax.Array, state: None) -> None:
                ones[at * i32(own.terms) + term] = jnp.zeros_like(at)
                sums[at * i32(own.terms) + term] = jnp.zeros_like(at)
                return state

            lax.fori_loop(zero(), terms, clear, None)

        return connection

    Drawn(matrix, active, delays, now, problem, own).each(planned, of_group)


def elect(
    matrix: Matrix,
    plan: Any,
    trips: Any,
    places: Any,
    _: Any,
    ring: Any,
    *,
    own: Delivery,
    problem: Problem,
) -> None:
    """Leave the number of one connection in each place of the ring."""
    del matrix
    device = problem.platform != "cpu"

    def of_piece(_: Any) -> Callable[[jax.Array], None]:
        def entry(at: jax.Array) -> None:
            place, number = places[at], at.astype(ring.dtype)
            scatter_any(ring, place, number, place >= i32(0), device=device)

        return entry

    _each_entry(own, Plan(plan, own.pieces, LISTED), trips, of_piece)


def add(
    matrix: Matrix,
    plan: Any,
    trips: Any,
    places: Any,
    weights: Any,
    ring: Any,
    *ones_and_sums: Any,
    own: Delivery,
    problem: Problem,
) -> None:
    """Add 1 and z of each connection to the sums of the one that leads."""
    del matrix
    planned = Plan(plan, own.pieces, LISTED)
    device = problem.platform != "cpu"
    ones, sums = ones_and_sums[-2:]

    def of_piece(piece: Any) -> Callable[[jax.Array], None]:
        term = planned.field("term", piece)

        def entry(at: jax.Array) -> None:
            place, z = places[at], weights[at]
            inside = place >= i32(0)
            leader = load_where(inside, ring, place).astype(jnp.int32)
            cell = leader * i32(own.terms) + term
            scatter_add(ones, cell, jnp.ones_like(z), inside, device=device)
            scatter_add(sums, cell, z, inside, device=device)

        return entry

    _each_entry(own, planned, trips, of_piece)


def write(
    matrix: Matrix,
    plan: Any,
    trips: Any,
    places: Any,
    held: Any,
    ones: Any,
    sums: Any,
    loc: Any,
    scale: Any,
    _: Any,
    ring: Any,
    *,
    own: Delivery,
    problem: Problem,
) -> None:
    """Give the ring what it held, and the sums of the connections that lead."""
    del matrix, problem
    planned = Plan(plan, own.pieces, LISTED)

    def of_piece(piece: Any) -> Callable[[jax.Array], None]:
        weighed = weighed_sums(own, planned, piece, (ones, sums, loc, scale))

        def entry(at: jax.Array) -> None:
            place = places[at]
            total, arrives = weighed(held[at], at, place >= i32(0))
            store_where(arrives, ring, place, total)

        return entry

    _each_entry(own, planned, trips, of_piece)


def _first_vector(planned: Plan, piece: Any, group: Any) -> jax.Array:
    """Number of the first vector of LANES connections that a group lists."""
    own = group - planned.field("start", piece)
    first: jax.Array = planned.field("vectors", piece)
    return first + own * planned.field("trips", piece)


def _entries(vector: jax.Array) -> jax.Array:
    """Numbers of the connections of a vector, int32 (LANES,)."""
    return vector * i32(LANES) + lanes()


def _each_entry(
    own: Delivery,
    planned: Plan,
    trips: Any,
    of_piece: Callable[[Any], Callable[[jax.Array], None]],
) -> None:
    """Run what ``of_piece`` gives for a piece, for all that was listed of it."""

    def group(number: jax.Array, state: None) -> None:
        piece = planned.piece_of(number)
        first, body = _first_vector(planned, piece, number), of_piece(piece)

        def one(trip: jax.Array, state: None) -> None:
            body(_entries(first + trip))
            return state

        lax.fori_loop(zero(), trips[number], one, None)
        return state

    stop = planned.start(len(own.pieces))
    strided(pl.program_id(0), stop, own.programs, group)
