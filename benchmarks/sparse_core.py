# SPDX-License-Identifier: Apache-2.0
"""Compile for a TPU's SparseCores what listing connections there would need.

An experiment, and no part of the backend: ``docs/tpu.md`` says why. It goes down the
columns of a list; of each chunk it draws key words, lists the places of all
connections, weighs them, and adds them to the sums of a subcore's own rows. Counts
are given, not drawn. It compiles, and its body on stand-ins gives the reference's
bits (``tests/test_sparse_core.py``); nothing here can run or interpret it as a whole.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas import tpu_sc as plsc

from synjit import draw_jax
from synjit.draw_jax import u32
from synjit.reference import draw, normal

LOG2_CHUNK = 13  # of prob 0.01; a subcore has the rows of one chunk
LISTED = 1024  # columns


def words(x: jax.Array) -> jax.Array:
    """Take int32 for the words that they are."""
    return plsc.bitcast(x, jnp.uint32)


def ints(x: jax.Array) -> jax.Array:
    """Take words for int32."""
    return plsc.bitcast(x, jnp.int32)


def take(table: Any, index: jax.Array, planes: int = 1) -> list[jax.Array]:
    """Look words up in a subcore's own memory."""
    words_of_plane = table.shape[0] // planes
    return [
        words(plsc.load_gather(table, [ints(index + u32(plane * words_of_plane))]))
        for plane in range(planes)
    ]


def leading_zeros(word: jax.Array) -> jax.Array:
    """Count leading zeros by comparing, there being no clz."""
    zeros = jnp.zeros_like(word)
    for step in (16, 8, 4, 2, 1):
        small = word < u32(2 ** (32 - step))
        zeros = zeros + jnp.where(small, u32(step), u32(0))
        word = jnp.where(small, word << u32(step), word)
    return zeros


def kernel(
    parameters: Any, listed: Any, counts: Any, table: Any, n_out: Any, z_out: Any,
    n: Any, z: Any, own: Any, columns: Any, count: Any, entries: Any,
) -> None:  # fmt: skip
    """Sum up one chunk of rows; the last six are a subcore's own memory."""
    info = plsc.get_sparse_core_info()
    lanes = info.num_lanes
    subcore = lax.axis_index("core") * info.num_subcores + lax.axis_index("subcore")
    for source, to in (
        (parameters, own), (listed, columns), (counts, count), (table, entries)
    ):  # fmt: skip
        pltpu.sync_copy(source, to)
    lane = lax.iota(jnp.int32, lanes)
    scalars = own[pl.ds(0, lanes)]
    seed = [words(jnp.full(lanes, scalars[i], jnp.int32)) for i in range(2)]

    def clear(i: jax.Array, _: None) -> None:
        n[pl.ds(i * lanes, lanes)] = jnp.zeros(lanes, jnp.int32)
        z[pl.ds(i * lanes, lanes)] = jnp.zeros(lanes, jnp.int32)

    lax.fori_loop(0, 2**LOG2_CHUNK // lanes, clear, None)

    def one_column(a: jax.Array, _: None) -> None:
        here = [jnp.full(lanes, a, jnp.int32)]
        column = words(plsc.load_gather(columns, here))
        length = plsc.load_gather(count, here)
        first = words(jnp.full(lanes, subcore * draw.COUNTER_STRIDE, jnp.int32))
        pairs = [
            draw_jax.threefry2x32(seed, (column, first + u32(r + 1)))
            for r in range(draw.ROUNDS)
        ]
        odd, addends = [a | u32(1) for a, _ in pairs], [b for _, b in pairs]
        keys = draw_jax.Keys(length, odd, addends)
        key = draw_jax.weight_words(seed, column)
        start = words(jnp.full(lanes, subcore << LOG2_CHUNK, jnp.int32))

        def some(i: jax.Array, _: None) -> None:
            t = i * lanes + lane
            place = draw_jax.place(words(t), keys, LOG2_CHUNK)
            inside = t < length  # places differ: no two lanes add to one sum
            weight = draw_jax.weight(
                start + place, key, entries, take=take, leading_zeros=leading_zeros
            )
            ones = jnp.full(lanes, 1, jnp.int32)
            plsc.addupdate_scatter(n, [ints(place)], ones, mask=inside)
            plsc.addupdate_scatter(z, [ints(place)], weight, mask=inside)

        turns = (length[0] + lanes - 1) // lanes
        lax.fori_loop(0, turns, some, None)

    lax.fori_loop(0, scalars[2], one_column, None)
    to = pl.ds(subcore * 2**LOG2_CHUNK, 2**LOG2_CHUNK)
    pltpu.sync_copy(n, n_out.at[to])
    pltpu.sync_copy(z, z_out.at[to])


def compile_for(device: Any) -> int:
    """Compile for a device of a topology; give the bytes of workspace.

    Raises
    ------
    RuntimeError
        It has no SparseCores.
    jax.errors.JaxRuntimeError
        The compiler refuses it.
    """
    alone = jax.sharding.Mesh(np.array([device]), ("device",))
    whole = jax.sharding.NamedSharding(alone, jax.P())
    with jax.set_mesh(alone):
        info = plsc.get_sparse_core_info()
        rows = info.num_cores * info.num_subcores * 2**LOG2_CHUNK
        sizes = (16, LISTED, LISTED, len(normal.TABLE))
        mesh = plsc.VectorSubcoreMesh(
            core_axis_name="core", subcore_axis_name="subcore"
        )
        listing = pl.kernel(
            kernel,
            out_type=[jax.ShapeDtypeStruct((rows,), jnp.int32)] * 2,
            mesh=mesh,
            # Without this, the gather is 'not supported'.
            compiler_params=pltpu.CompilerParams(needs_layout_passes=False),
            scratch_types=[
                pltpu.VMEM((size,), jnp.int32)
                for size in (2**LOG2_CHUNK, 2**LOG2_CHUNK, *sizes)
            ],
        )
        operands = [
            jax.ShapeDtypeStruct((s,), jnp.int32, sharding=whole) for s in sizes
        ]
        traced = jax.jit(listing).trace(*operands)
        compiled = traced.lower(lowering_platforms=("tpu",)).compile()
    return compiled.memory_analysis().temp_size_in_bytes
