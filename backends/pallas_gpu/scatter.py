# SPDX-License-Identifier: Apache-2.0
"""Connections of active columns are listed, and added into the sums of their rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from synjit.hookspecs import Matrix, Problem

from .accumulators import terms_of
from .atomics import scatter_add
from .lanes import i32, zero
from .listing import Group, each_group
from .pieces import Piece, Plan


def kernel(
    matrix: Matrix,
    plan: Any,
    active: Any,
    operand: Any,
    *sums: Any,
    pieces: Sequence[Piece],
    batch: int,
    programs: int,
    problem: Problem,
    floats: bool,
) -> None:
    """Add all connections of the active columns into the sums of their rows.

    Parameters
    ----------
    matrix
        Operands of the blocks of a grid, all words one after the other.
    plan
        Of the pieces that are listed, as ``pieces.plan`` lays it out.
    active
        Numbers of the active columns.
    operand
        Words of event bits, or values, of all columns.
    sums
        Accumulators, ``batch`` for each row of each block, given (and not used) as
        inputs before they are given as outputs: for events one, int64, N in its low
        and Z in its high half; for floats A and B.
    problem
        That of any of the blocks: its shape says nothing.
    """
    sums = sums[len(sums) // 2 :]
    terms = terms_of(operand, batch, floats=floats, active=True)
    device = problem.platform != "cpu"

    def list_group(group: Group) -> None:
        def connection(_: Any, row: jax.Array, z: jax.Array, inside: jax.Array) -> None:
            at = group.piece.sums + row * i32(batch)
            if not floats:
                one_and_z = (z.astype(jnp.int64) << np.int64(32)) + np.int64(1)

            def add(b: Any) -> None:
                mask = inside & terms.present(group.column, b)
                new = terms.of(group.column, b, z) if floats else (one_and_z,)
                for ref, term in zip(sums, new, strict=True):
                    scatter_add(ref, at + b, term, mask, device=device)

            _each(batch, add)

        group.each(connection)

    planned = Plan(plan, pieces)
    each_group(planned, active, matrix, problem, list_group, programs=programs)


def _each(batch: int, body: Callable[[Any], None]) -> None:
    """Run ``body(b)`` for every b of the batch."""
    if batch == 1:
        body(zero())
    else:
        lax.fori_loop(zero(), jnp.int32(batch), lambda b, _: body(b), None)
