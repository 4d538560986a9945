# SPDX-License-Identifier: Apache-2.0
"""Products and deliveries over the devices of a mesh, each one ``jax.shard_map``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from . import dispatch, primitives, units
from .blocks import JITBlocks
from .cut import Cut, as_explicit
from .jit_matrix import JITMatrix
from .matrix import Events
from .ring import Ring, spec_of_ring
from .sums_of_devices import add_events, add_up
from .windows import window_of

if TYPE_CHECKING:
    from .sharding import ShardedMatrix


@functools.partial(jax.jit, static_argnames=("events", "backend"), inline=True)
def multiply(
    whole: ShardedMatrix, x: jax.Array, *, events: bool, backend: str | None
) -> Any:
    """Multiply, and cut the result as the rows are."""
    rows, columns = whole.rows, whole.columns
    if events and not jnp.issubdtype(x.dtype, jnp.floating):
        x = primitives.is_event(x)

    def local(matrix: JITMatrix | JITBlocks, part: jax.Array) -> Any:
        part = columns.keep_real(part)
        with dispatch.default_backend(backend):
            y = _in_window(matrix, part, rows, columns, events=events)
        number, unit = units.split(y)
        return units.attach(rows.keep_real(number), unit)

    over = jax.shard_map(
        local,
        mesh=whole.mesh,
        in_specs=(PartitionSpec(), columns.spec(x.ndim)),
        out_specs=rows.spec(x.ndim),
    )
    return over(whole.matrix, as_explicit(x, columns.sharding(x.ndim)))


@functools.partial(jax.jit, static_argnames="backend", inline=True)
def deliver(
    whole: ShardedMatrix, x: jax.Array, ring: Ring, now: Any, *, backend: str | None
) -> Ring:
    """Send spikes to the slots of each device's own rows."""
    rows, columns = whole.rows, whole.columns
    if not jnp.issubdtype(x.dtype, jnp.floating):
        x = primitives.is_event(x)

    def local(
        matrix: JITMatrix | JITBlocks, part: jax.Array, ring: Ring, now: Any
    ) -> Ring:
        own = columns.gather(columns.keep_real(part), events=True)
        with dispatch.default_backend(backend):
            return window_of(matrix, rows, columns).deliver(own, ring, now)

    spec = spec_of_ring(rows, len(ring.shape) == 3)
    over = jax.shard_map(
        local,
        mesh=whole.mesh,
        in_specs=(PartitionSpec(), columns.spec(x.ndim), spec, PartitionSpec()),
        out_specs=spec,
    )
    x = as_explicit(x, columns.sharding(x.ndim))
    return over(whole.matrix, x, ring.over(None), now).over(rows)


@functools.partial(jax.jit, static_argnames="backend", inline=True)
def todense(whole: ShardedMatrix, *, backend: str | None) -> Any:
    """Write out each device's window."""
    rows, columns = whole.rows, whole.columns

    def local(matrix: JITMatrix | JITBlocks) -> Any:
        with dispatch.default_backend(backend):
            dense = window_of(matrix, rows, columns).todense()
        number, unit = units.split(dense)
        number = rows.keep_real(rows.part(number), rows.inside)
        number = columns.keep_real(columns.part(number.T), columns.inside).T
        return units.attach(number, unit)

    spec = PartitionSpec(rows.outer or None, columns.outer or None)
    over = jax.shard_map(
        local, mesh=whole.mesh, in_specs=PartitionSpec(), out_specs=spec
    )
    return over(whole.matrix)


def _in_window(
    matrix: JITMatrix | JITBlocks,
    part: jax.Array,
    rows: Cut,
    columns: Cut,
    *,
    events: bool,
) -> Any:
    """Multiply x in the device's window; it holds a part of x, and gets one of y."""
    window = window_of(matrix, rows, columns)
    if events and (rows.inside > 1 or columns.in_pieces):
        return add_events(window, part, rows, columns)
    x = columns.gather(part, events=events)
    y, unit = units.split(window @ (Events(x) if events else x))
    return units.attach(add_up(rows.part(y), rows.inner), unit)
