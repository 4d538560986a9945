# SPDX-License-Identifier: Apache-2.0
"""What the kernels have in common: a program is a warp of LANES threads.

(By way of Mosaic GPU it is more than one: a ``Route`` is what differs.)

Four ways through the matrix, told apart by what a lane stands for:

* ``scatter``: a lane is a chunk of an active column, or a share of one. It lists the
  connections of the chunk and adds each into the sums of its row: atomics.
* ``probe``: a lane is a row, or several. It asks each active column whether it is
  connected to that row, and keeps its sums to itself.
* ``gather``, for the transpose: a lane is a column, and keeps its sums to itself. It
  lists its connections, or probes the active rows where these are fewer.
* ``dense``: a lane is a column, and writes every row.

Every array is one-dimensional there, an element of a (length, batch) operand being at
``index * batch + b``. Lanes that stick out at the end of a result work on its last
element once more, and write what is written there already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from synjit import draw_jax

from .workspace import LANES

i32 = np.int32


class Route(NamedTuple):
    """What a kernel says in another way to each compiler that can be had.

    Attributes
    ----------
    width : int
        Lanes of a program.
    program : () -> int32
        Number of the program.
    lanes : () -> int32 (width,)
        Numbers of the lanes.
    take : draw_jax.Take
        Looks up words.
    store : (reference, indices, values) -> None
        Stores, each lane for itself.
    """

    width: int
    program: Callable[[], jax.Array]
    lanes: Callable[[], jax.Array]
    take: draw_jax.Take
    store: Callable[[Any, jax.Array, jax.Array], None]


def lanes() -> jax.Array:
    """Number the lanes, int32."""
    return lax.iota(jnp.int32, LANES)


def _store(ref: Any, index: jax.Array, value: jax.Array) -> None:
    ref[index] = value


TRITON = Route(LANES, lambda: pl.program_id(0), lanes, draw_jax.take, _store)


def zero() -> jax.Array:
    """0 as the loops want it."""
    return jnp.int32(0)


def strided(
    start: jax.Array,
    stop: jax.Array,
    step: int,
    body: Callable[[jax.Array, Any], Any],
    state: Any = None,
) -> Any:
    """Run ``body(i, state)`` for i = start, start + step, ... below stop."""
    trips = lax.div(stop - start + i32(step - 1), i32(step))
    return lax.fori_loop(
        zero(), trips, lambda i, s: body(start + i * i32(step), s), state
    )
