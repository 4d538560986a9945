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

from synjit.reference import draw, normal, threefry

LOG2_CHUNK = 13  # of prob 0.01; a subcore has the rows of one chunk
LISTED = 1024  # columns
u32 = np.uint32


def words(x: jax.Array) -> jax.Array:
    """Take int32 for the words that they are."""
    return plsc.bitcast(x, jnp.uint32)


def ints(x: jax.Array) -> jax.Array:
    """Take words for int32."""
    return plsc.bitcast(x, jnp.int32)


def threefry2x32(key: Any, x0: jax.Array, x1: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Two words to a lane."""
    schedule = (*key, key[0] ^ key[1] ^ u32(threefry.PARITY))
    x0, x1 = x0 + schedule[0], x1 + schedule[1]
    for r in range(threefry.ROUNDS):
        rotation = threefry.ROTATIONS[r % 8]
        x0 = x0 + x1
        x1 = ((x1 << u32(rotation)) | (x1 >> u32(32 - rotation))) ^ x0
        if r % 4 == 3:
            i = r // 4 + 1
            x0 = x0 + schedule[i % 3]
            x1 = x1 + (schedule[(i + 1) % 3] + u32(i))
    return x0, x1


def weigh(table: Any, key: Any, row: jax.Array) -> jax.Array:
    """Weigh rows: z, int32; the octave is found by comparing, there being no clz."""
    s0, s1, s2, s3 = map(u32, draw.WEIGHT_SHIFTS)
    m0, m1, m2 = map(u32, draw.WEIGHT_MULTIPLIERS)
    x = row ^ key[0]
    x = (x ^ (x >> s0)) * m0
    x = ((x ^ (x >> s1)) + key[1]) * m1
    x = (x ^ (x >> s2)) * m2
    x = x ^ (x >> s3)
    aligned = (x << u32(1)) | u32(1)
    octave = jnp.zeros_like(aligned)
    for step in (16, 8, 4, 2, 1):
        small = aligned < u32(2 ** (32 - step))
        octave = octave + jnp.where(small, u32(step), u32(0))
        aligned = jnp.where(small, aligned << u32(step), aligned)
    cell_bits, fraction_bits = normal.CELL_BITS, normal.FRACTION_BITS
    cell = (aligned >> u32(31 - cell_bits)) & u32(2**cell_bits - 1)
    fraction = (aligned >> u32(31 - cell_bits - fraction_bits)) & u32(
        2**fraction_bits - 1
    )
    entry = words(plsc.load_gather(table, [ints((octave << u32(cell_bits)) | cell)]))
    slope = entry & u32(2**normal.SLOPE_BITS - 1)
    fall = (slope * fraction) >> u32(fraction_bits - 1)
    magnitude = ints(((entry >> u32(normal.SLOPE_BITS)) - fall) >> u32(2))
    return jnp.where(ints(x) < 0, -magnitude, magnitude)


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
    mask = u32(2**LOG2_CHUNK - 1)

    def clear(i: jax.Array, _: None) -> None:
        n[pl.ds(i * lanes, lanes)] = jnp.zeros(lanes, jnp.int32)
        z[pl.ds(i * lanes, lanes)] = jnp.zeros(lanes, jnp.int32)

    lax.fori_loop(0, 2**LOG2_CHUNK // lanes, clear, None)

    def one_column(a: jax.Array, _: None) -> None:
        here = [jnp.full(lanes, a, jnp.int32)]
        column = words(plsc.load_gather(columns, here))
        length = plsc.load_gather(count, here)
        first = words(jnp.full(lanes, subcore * draw.COUNTER_STRIDE, jnp.int32))
        keys = []
        for r in range(draw.ROUNDS):
            odd, addend = threefry2x32(seed, column, first + u32(r + 1))
            keys.append((odd | u32(1), addend))
        last = jnp.full(lanes, u32(draw.WEIGHT_PAIR))
        key = threefry2x32(seed, column, last)
        start = words(jnp.full(lanes, subcore << LOG2_CHUNK, jnp.int32))

        def some(i: jax.Array, _: None) -> None:
            t = i * lanes + lane
            place = words(t)
            for r, (multiplier, addend) in enumerate(keys):
                place = (place * multiplier + addend) & mask
                place = place ^ (place >> u32((LOG2_CHUNK + 1) // 2 + r % 2))
            inside = t < length  # places differ: no two lanes add to one sum
            weight = weigh(entries, key, start + place)
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
