# SPDX-License-Identifier: Apache-2.0
"""A lane is a column, and writes every row: the dense matrix."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from synjit.hookspecs import Matrix, Problem
from synjit.reference import ABSENT

from .draw import rows_of_block, window
from .lanes import TRITON, Route, i32


def kernel(
    matrix: Matrix,
    out: Any,
    *,
    columns: int,
    blocks: int,
    problem: Problem,
    route: Route = TRITON,
) -> None:
    """Write z of ROWS rows and a column to each lane, (rows * columns,), or ABSENT."""
    program = route.program()
    view = window(matrix, problem)._replace(take=route.take)
    mine = lax.rem(program, i32(blocks)) * i32(route.width) + route.lanes()
    mine = jnp.minimum(mine, i32(columns - 1))
    column = view.left + mine.astype(jnp.uint32)
    _, low, high = rows_of_block(view, lax.div(program, i32(blocks)))
    chunk = (view.top + low.astype(jnp.uint32)) >> view.log2_chunk
    keys = view.keys(column, chunk, inverse=True)

    def one(i: jax.Array, state: None) -> None:
        row = view.top + i.astype(jnp.uint32)
        connected, z = view.connected(keys, row), view.weight(keys, row)
        entry = jnp.where(connected, z, i32(ABSENT))
        route.store(out, i * i32(columns) + mine, entry)
        return state

    lax.fori_loop(low, high, one, None)
