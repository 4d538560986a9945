# SPDX-License-Identifier: Apache-2.0
"""A lane is a column, and writes every row: the dense matrix."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from synjit.reference import ABSENT

from .draw import make_keys, probe, u32, weight, window
from .lanes import LANES, LOG2_ROWS, ROWS, i32, lanes


def write_columns(
    seed: Any,
    origin: Any,
    law: Any,
    table: Any,
    out: Any,
    *,
    rows: int,
    columns: int,
    blocks: int,
    device: bool,
) -> None:
    """Write z of ROWS rows of LANES columns, (rows * columns,), or ABSENT."""
    program = pl.program_id(0)
    view = window(seed, origin, law, rows, device)
    mine = lax.rem(program, i32(blocks)) * i32(LANES) + lanes()
    mine = jnp.minimum(mine, i32(columns - 1))
    column = view.left + mine.astype(jnp.uint32)
    start = ((view.top >> u32(LOG2_ROWS)) << u32(LOG2_ROWS)) - view.top
    start = start.astype(jnp.int32) + lax.div(program, i32(blocks)) * i32(ROWS)
    low = jnp.maximum(start, i32(0))
    high = jnp.minimum(start + i32(ROWS), i32(rows))
    chunk = (view.top + low.astype(jnp.uint32)) >> view.log2_chunk
    keys = make_keys(view, law, column, jnp.full_like(column, 0) + chunk, inverse=True)

    def one(i: jax.Array, state: None) -> None:
        row = view.top + i.astype(jnp.uint32)
        z = weight(table, keys.weights, row)
        connected = probe(view, keys, row)
        out[i * i32(columns) + mine] = jnp.where(connected, z, i32(ABSENT))
        return state

    lax.fori_loop(low, high, one, None)
