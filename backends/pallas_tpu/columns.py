# SPDX-License-Identifier: Apache-2.0
"""Key words of a block of columns, a register's 1024 at a time, kept in vector memory.

The kernels in which lanes are columns share them: a chunk's words are made once, and
serve for all rows of the chunk that are asked for one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax

from synjit import draw_jax
from synjit.draw_jax import u32
from synjit.reference.draw import COUNTER_STRIDE, ROUNDS

from . import draw
from .workspace import LANES

if TYPE_CHECKING:
    from .parameters import Parameters

COUNT = 0
INVERSES = 1
ADDENDS = INVERSES + ROUNDS
WEIGHT = ADDENDS + ROUNDS
KEY_ROWS = WEIGHT + 2


def numbers(p: Parameters, block: jax.Array, sublanes: int) -> jax.Array:
    """Columns of a block, uint32 (sublanes, LANES), along the lanes first."""
    shape = (sublanes, LANES)
    sublane = lax.broadcasted_iota(jnp.uint32, shape, 0)
    lane = lax.broadcasted_iota(jnp.uint32, shape, 1)
    first = p.left + p.word(block * (sublanes * LANES))
    return first + (sublane * u32(LANES) + lane)


def make_weight_words(p: Parameters, columns: jax.Array, keys_ref: Any) -> None:
    """Write the words that key the weights: they hold for all chunks."""
    keys_ref[WEIGHT], keys_ref[WEIGHT + 1] = draw_jax.weight_words(p.seed, columns)


def make_chunk_words(
    p: Parameters,
    columns: jax.Array,
    chunk: jax.Array,
    connectivity: jax.Array,
    keys_ref: Any,
) -> None:
    """Write the words of one chunk of each column, ready for ``connected``."""
    first_pair = p.word(chunk * COUNTER_STRIDE)
    word, _ = draw_jax.threefry2x32(p.seed, (columns, first_pair))
    keys_ref[COUNT] = draw.draw_count(word, connectivity)

    def one_round(r: jax.Array, _: None) -> None:
        pair = first_pair + p.word(r + 1)
        multiplier, addend = draw_jax.threefry2x32(p.seed, (columns, pair))
        keys_ref[INVERSES + r] = draw_jax.inverse_mod_2_32(multiplier | u32(1))
        keys_ref[ADDENDS + r] = addend

    lax.fori_loop(0, ROUNDS, one_round, None)


def load(
    keys_ref: Any, sublanes: Any, p: Parameters, own: jax.Array | None
) -> tuple[draw_jax.Keys, tuple[jax.Array, jax.Array]]:
    """Read the words of some sublanes: of the chunk, and of the weights."""
    keys = draw_jax.Keys(
        keys_ref[COUNT, sublanes],
        [keys_ref[INVERSES + r, sublanes] for r in range(ROUNDS)],
        [keys_ref[ADDENDS + r, sublanes] for r in range(ROUNDS)],
        p.last,
        own,
    )
    return keys, (keys_ref[WEIGHT, sublanes], keys_ref[WEIGHT + 1, sublanes])
