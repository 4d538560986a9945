# SPDX-License-Identifier: Apache-2.0
"""Many connections are delivered: the places of some rows have sums at a time.

The connections with these rows are drawn three times: to ``clear`` the sums where they
arrive, to ``tally`` them there, with an election among them, and for the elected to
``settle``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from synjit.hookspecs import Matrix, Problem

from .atomics import load_where, scatter_add, scatter_any, store_where
from .delivery import Connection, Delivery, Drawn, weighed_sums
from .lanes import i32, lanes, zero
from .listing import Group
from .pieces import COUNTED, Plan
from .workspace import LANES

# What is counted of pieces besides: how many of the rows that have sums are its own,
# and which of the ring's is the first.
DIRECT = (*COUNTED, "rows", "sums")


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

    def of_group(group: Group) -> Callable[[Connection], None]:
        terms = planned.field("terms", group.piece.number)
        spot_of = _spots(own, first_row)

        def connection(found: Connection) -> None:
            spot = spot_of(found)

            def clear(term: jax.Array, state: None) -> None:
                cell, none = spot * i32(own.terms) + term, jnp.zeros_like(spot)
                store_where(found.inside, ones, cell, none)
                store_where(found.inside, sums, cell, none)
                return state

            lax.fori_loop(zero(), terms, clear, None)

        return connection

    Drawn(matrix, active, delays, now, problem, own).each(planned, of_group)


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

    def of_group(group: Group) -> Callable[[Connection], None]:
        term = planned.field("term", group.piece.number)
        spot_of = _spots(own, first_row)

        def connection(found: Connection) -> None:
            z, inside, spot = found.z, found.inside, spot_of(found)
            cell = spot * i32(own.terms) + term
            scatter_add(ones, cell, jnp.ones_like(z), inside, device=device)
            scatter_add(sums, cell, z, inside, device=device)
            scatter_any(leaders, spot, _lanes_of(group), inside, device=device)

        return connection

    Drawn(matrix, active, delays, now, problem, own).each(planned, of_group)


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

    def of_group(group: Group) -> Callable[[Connection], None]:
        refs = (ones, sums, loc, scale)
        weighed = weighed_sums(own, planned, group.piece.number, refs)
        spot_of = _spots(own, first_row)

        def connection(found: Connection) -> None:
            spot = spot_of(found)
            leads = load_where(found.inside, leaders, spot) == _lanes_of(group)
            leads = leads & found.inside
            place = own.place(found.slot, found.row, group.vector, own.rows)
            total, arrives = weighed(load_where(leads, ring, place), spot, leads)
            store_where(arrives, ring, place, total)

        return connection

    Drawn(matrix, active, delays, now, problem, own).each(planned, of_group)


def _spots(own: Delivery, first_row: Any) -> Callable[[Connection], jax.Array]:
    """Give what numbers a place among those of the rows that have sums."""
    first = first_row[0]

    def spot(found: Connection) -> jax.Array:
        row = found.row - first
        number: jax.Array = own.place(found.slot, row, found.group.vector, own.height)
        return number

    return spot


def _lanes_of(group: Group) -> jax.Array:
    """Number lanes: all connections of one arrive in different places."""
    return group.number * i32(LANES) + lanes()
