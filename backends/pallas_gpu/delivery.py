# SPDX-License-Identifier: Apache-2.0
"""Events are delivered to a ring: how connections to one place of it find each other.

What a block delivers to a place is summed up in integers before it is weighed, and a
ring has too many places for each of them to have sums. So sums are kept only for what
is delivered, in one of two ways.

Of few connections a list is made (``delivery_list``), each with room for sums beside
it. Of many, the places of some rows have sums at a time (``delivery_places``). Either
way takes several launches, for programs do not wait for each other, and nothing is
cleared or read but what belongs to a connection. A place has sums for each block of its
row, the terms, which are added to the ring in the order of the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from synjit.combine import weigh
from synjit.delay_jax import delay, delay_words
from synjit.hookspecs import Matrix, Problem

from .atomics import load_where
from .lanes import i32, zero
from .listing import Group, each_group
from .pieces import Piece, Plan, Words


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
        of_group: Callable[[Group], Callable[[Connection], None]],
    ) -> None:
        """Run what ``of_group`` gives for a group, for every connection of it."""
        own, now = self.own, self.now[0].astype(jnp.int32)

        def each_of_group(group: Group) -> None:
            piece, view = group.piece, group.piece.view
            words = delay_words(view.seed, group.numbered, unrolled=view.device)
            first = planned.field("delays", piece.number)
            table = Words(self.delays, first, own.delays)
            body = of_group(group)

            def one(trip: Any, row: jax.Array, z: Any, inside: Any) -> None:
                steps = delay(view.top + row.astype(jnp.uint32), words, table)
                then = now + steps.astype(jnp.int32)
                slot = jnp.where(then < i32(own.slots), then, then - i32(own.slots))
                body(Connection(group, trip, piece.sums + row, slot, z, inside))

            group.each(one)

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


def weighed_sums(
    own: Delivery, planned: Plan, piece: Any, refs: Sequence[Any]
) -> Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    """Give what adds weighed sums to values, and says where there are any.

    ``refs`` are N and Z, and the weights of all blocks. The result takes the values,
    and the numbers of the sums, where they are masked.
    """
    ones, sums, loc, scale = refs
    first = planned.field("block", piece) - planned.field("term", piece)
    terms = planned.field("terms", piece)

    def weighed(value: jax.Array, at: jax.Array, mask: jax.Array) -> Any:
        def one(term: jax.Array, state: Any) -> Any:
            value, arrives = state
            cell, block = at * i32(own.terms) + term, first + term
            n, z = (load_where(mask, each, cell) for each in (ones, sums))
            some = n != i32(0)
            more = value + weigh(loc[block], scale[block], n, z)
            return jnp.where(some, more, value), arrives + some.astype(jnp.int32)

        start = value, jnp.zeros_like(at)
        value, arrives = lax.fori_loop(zero(), terms, one, start)
        return value, arrives > i32(0)

    return weighed
