# SPDX-License-Identifier: Apache-2.0
"""Events are delivered to a ring: how connections to one place of it find each other.

What a block delivers to a place is summed up in integers before it is weighed, and a
ring has too many places for each of them to have sums. So sums are kept only for what
is delivered, in one of two ways.

Of few connections a list is made, each with room for sums beside it:

1. ``list_all``: where each arrives, its weight, what the ring holds there; sums of 0.
2. ``elect``: each writes its number into the ring, where one of them stays: it leads.
   (Numbers are floats, as the ring is, and small enough to be exact.)
3. ``add``: each is added to the sums of the one that leads.
4. ``write``: those that have sums weigh them, and write the ring.

Of many, the places of some rows have sums, and the connections with these rows are
drawn three times: to ``clear`` the sums where they arrive, to ``tally`` them there,
with an election among them, and for the elected to ``settle``.

Each of these is a launch, for programs do not wait for each other. Nothing is cleared
or read but what belongs to a connection. A place has sums for each block of its row,
the terms, which are added to the ring in the order of the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from synjit.combine import weigh
from synjit.delay_jax import delay, delay_words
from synjit.hookspecs import Matrix, Problem

from .atomics import load_where, scatter_add, scatter_any, store_where
from .lanes import i32, lanes, strided, zero
from .listing import Group, each_group
from .pieces import COUNTED, Piece, Plan, Words
from .workspace import LANES

# What is counted of pieces besides. LISTED: where the list of each begins, in vectors,
# and how many vectors a group has at most. DIRECT: how many of the rows that have sums
# are its own, and which of the ring's is the first.
LISTED = (*COUNTED, "vectors", "trips")
DIRECT = (*COUNTED, "rows", "sums")


@dataclass(frozen=True)
class Delivery:
    """What is known of a launch when it is traced.

    Attributes
    ----------
    pieces : sequence of Piece
        All there are; ``sums`` is the first row of each in the ring.
    slots, rows, batch : int
        Of the ring.
    terms : int
        Blocks that a row has at most.
    programs : int
    height : int
        Rows that have sums at a time, where places have.
    of : range
        Of pieces: those that are drawn, by the same code.
    delays : int
        Words of the delays of each of these.
    """

    pieces: Sequence[Piece]
    slots: int
    rows: int
    batch: int
    terms: int
    programs: int
    height: int
    of: range = range(0)
    delays: int = 0

    def place(self, slot: Any, row: Any, vector: Any, rows: int) -> Any:
        """Number a place of a ring that has some rows."""
        return (slot * i32(rows) + row) * i32(self.batch) + vector


class Connection(NamedTuple):
    """Connections of LANES lanes, where they are ``inside``.

    Attributes
    ----------
    group : Group
    trip : int32 scalar
        Of the group.
    row : int32
        Of the ring.
    slot, z : int32
    inside : bool
    """

    group: Group
    trip: jax.Array
    row: jax.Array
    slot: jax.Array
    z: jax.Array
    inside: jax.Array


class Drawn(NamedTuple):
    """References by which connections are drawn, and what is known of a launch."""

    matrix: Matrix
    active: Any
    delays: Any
    now: Any
    problem: Problem
    own: Delivery

    def each(
        self,
        planned: Plan,
        body: Callable[[Connection], None],
        at_end: Callable[[Group], None] | None = None,
    ) -> None:
        """Run ``body`` for every connection, and ``at_end`` for every group."""
        own, now = self.own, self.now[0].astype(jnp.int32)

        def each_of_group(group: Group) -> None:
            piece, view = group.piece, group.piece.view
            words = delay_words(view.seed, group.numbered, unrolled=view.device)
            first = planned.field("delays", piece.number)
            table = Words(self.delays, first, own.delays)

            def one(trip: Any, row: jax.Array, z: Any, inside: Any) -> None:
                steps = delay(view.top + row.astype(jnp.uint32), words, table)
                then = now + steps.astype(jnp.int32)
                slot = jnp.where(then < i32(own.slots), then, then - i32(own.slots))
                body(Connection(group, trip, piece.sums + row, slot, z, inside))

            group.each(one)
            if at_end is not None:
                at_end(group)

        each_group(
            planned,
            self.active,
            self.matrix,
            self.problem,
            each_of_group,
            programs=own.programs,
            vectors=own.batch,
            of=own.of,
        )


# --- few connections: a list ------------------------------------------------------


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

    def connection(found: Connection) -> None:
        group, inside = found.group, found.inside
        place = own.place(found.slot, found.row, group.vector, own.rows)
        at = _entries(planned, group.piece.number, group.number, found.trip)
        places[at] = jnp.where(inside, place, i32(-1))
        weights[at] = found.z
        held[at] = load_where(inside, ring, place)

        def clear(term: jax.Array, state: None) -> None:
            ones[at * i32(own.terms) + term] = jnp.zeros_like(at)
            sums[at * i32(own.terms) + term] = jnp.zeros_like(at)
            return state

        _each_term(planned, group.piece.number, clear, None)

    def note_trips(group: Group) -> None:
        trips[group.number] = group.trips

    drawn = Drawn(matrix, active, delays, now, problem, own)
    drawn.each(planned, connection, note_trips)


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

    def entry(_: Any, at: jax.Array) -> None:
        place, number = places[at], at.astype(ring.dtype)
        scatter_any(ring, place, number, place >= i32(0), device=device)

    _each_entry(own, Plan(plan, own.pieces, LISTED), trips, entry)


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

    def entry(piece: Any, at: jax.Array) -> None:
        place, z = places[at], weights[at]
        inside = place >= i32(0)
        leader = load_where(inside, ring, place).astype(jnp.int32)
        cell = leader * i32(own.terms) + planned.field("term", piece)
        scatter_add(ones, cell, jnp.ones_like(z), inside, device=device)
        scatter_add(sums, cell, z, inside, device=device)

    _each_entry(own, planned, trips, entry)


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

    def entry(piece: Any, at: jax.Array) -> None:
        place = places[at]
        inside = place >= i32(0)
        cells = (ones, sums, loc, scale)
        total, arrives = _weigh(own, planned, piece, held[at], at, inside, *cells)
        store_where(arrives, ring, place, total)

    _each_entry(own, planned, trips, entry)


def _entries(planned: Plan, piece: Any, group: Any, trip: Any) -> jax.Array:
    """Numbers of the connections that a group lists in a trip, int32 (LANES,)."""
    own = group - planned.field("start", piece)
    vectors = planned.field("vectors", piece) + own * planned.field("trips", piece)
    return (vectors + trip) * i32(LANES) + lanes()


def _each_entry(
    own: Delivery, planned: Plan, trips: Any, body: Callable[[Any, jax.Array], None]
) -> None:
    """Run ``body(piece, at)`` for all that was listed."""

    def group(number: jax.Array, state: None) -> None:
        piece = planned.piece_of(number)

        def one(trip: jax.Array, state: None) -> None:
            body(piece, _entries(planned, piece, number, trip))
            return state

        lax.fori_loop(zero(), trips[number], one, None)
        return state

    stop = planned.start(len(own.pieces))
    strided(pl.program_id(0), stop, own.programs, group)


# --- many connections: sums for the places of some rows ---------------------------


def clear(
    matrix: Matrix,
    plan: Any,
    active: Any,
    delays: Any,
    now: Any,
    first_row: Any,
    *all_sums: Any,
    own: Delivery,
    problem: Problem,
) -> None:
    """Clear N and Z of each term, wherever a connection arrives."""
    planned = Plan(plan, own.pieces, DIRECT)
    ones, sums, _ = all_sums[-3:]

    def connection(found: Connection) -> None:
        spot = _spot(own, found, first_row)

        def term(term: jax.Array, state: None) -> None:
            cell, none = spot * i32(own.terms) + term, jnp.zeros_like(spot)
            store_where(found.inside, ones, cell, none)
            store_where(found.inside, sums, cell, none)
            return state

        _each_term(planned, found.group.piece.number, term, None)

    Drawn(matrix, active, delays, now, problem, own).each(planned, connection)


def tally(
    matrix: Matrix,
    plan: Any,
    active: Any,
    delays: Any,
    now: Any,
    first_row: Any,
    *all_sums: Any,
    own: Delivery,
    problem: Problem,
) -> None:
    """Add 1 and z to the sums of a place, and leave the number of a lane there."""
    planned = Plan(plan, own.pieces, DIRECT)
    device = problem.platform != "cpu"
    ones, sums, leaders = all_sums[-3:]

    def connection(found: Connection) -> None:
        z, inside = found.z, found.inside
        spot = _spot(own, found, first_row)
        term = planned.field("term", found.group.piece.number)
        cell = spot * i32(own.terms) + term
        scatter_add(ones, cell, jnp.ones_like(z), inside, device=device)
        scatter_add(sums, cell, z, inside, device=device)
        scatter_any(leaders, spot, _lane_of(found), inside, device=device)

    Drawn(matrix, active, delays, now, problem, own).each(planned, connection)


def settle(
    matrix: Matrix,
    plan: Any,
    active: Any,
    delays: Any,
    now: Any,
    first_row: Any,
    ones: Any,
    sums: Any,
    leaders: Any,
    loc: Any,
    scale: Any,
    _: Any,
    ring: Any,
    *,
    own: Delivery,
    problem: Problem,
) -> None:
    """Add the sums of a place to the ring, by the connection that leads there."""
    planned = Plan(plan, own.pieces, DIRECT)

    def connection(found: Connection) -> None:
        group, spot = found.group, _spot(own, found, first_row)
        leads = load_where(found.inside, leaders, spot) == _lane_of(found)
        leads = leads & found.inside
        place = own.place(found.slot, found.row, group.vector, own.rows)
        piece = group.piece.number
        value, cells = load_where(leads, ring, place), (ones, sums, loc, scale)
        total, arrives = _weigh(own, planned, piece, value, spot, leads, *cells)
        store_where(arrives, ring, place, total)

    Drawn(matrix, active, delays, now, problem, own).each(planned, connection)


def _spot(own: Delivery, found: Connection, first_row: Any) -> jax.Array:
    """Number a place among those of the rows that have sums."""
    row = found.row - first_row[0]
    return own.place(found.slot, row, found.group.vector, own.height)


def _lane_of(found: Connection) -> jax.Array:
    """Number the lane of a connection: all of a lane arrive in different places."""
    return found.group.number * i32(LANES) + lanes()


# --- terms ------------------------------------------------------------------------


def _each_term(
    planned: Plan, piece: Any, body: Callable[[jax.Array, Any], Any], state: Any
) -> Any:
    """Run ``body(term, state)`` for the blocks of the rows of a piece."""
    return lax.fori_loop(zero(), planned.field("terms", piece), body, state)


def _weigh(
    own: Delivery,
    planned: Plan,
    piece: Any,
    value: jax.Array,
    at: jax.Array,
    mask: jax.Array,
    ones: Any,
    sums: Any,
    loc: Any,
    scale: Any,
) -> tuple[jax.Array, jax.Array]:
    """Add the weighed sums ``at`` to a value, and say where there are any."""
    first = planned.field("block", piece) - planned.field("term", piece)

    def one(term: jax.Array, state: Any) -> Any:
        value, arrives = state
        cell, block = at * i32(own.terms) + term, first + term
        n, z = (load_where(mask, each, cell) for each in (ones, sums))
        some = n != i32(0)
        more = value + weigh(loc[block], scale[block], n, z)
        return jnp.where(some, more, value), arrives + some.astype(jnp.int32)

    value, arrives = _each_term(planned, piece, one, (value, jnp.zeros_like(at)))
    return value, arrives > i32(0)
