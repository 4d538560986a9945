# SPDX-License-Identifier: Apache-2.0
"""Events that many devices multiply: N and Z are added up before they are weighed.

Every device receives the bits of all events of its window, and unpacks them for a piece
of the columns at a time. N and Z of the pieces are added as integers, and so are those
of devices that share their rows: the bits are those of one product.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from . import dispatch, primitives, units, validation
from .blocks import JITBlocks
from .combine import weigh
from .cut import Cut, gather_bits, split
from .evaluation import coefficients
from .hookspecs import Matrix, Problem
from .jit_matrix import JITMatrix
from .windows import placed

Sums = tuple[jax.Array, jax.Array]  # N and Z, (rows, batch)


class _Block(NamedTuple):
    """What is known of a device's window of a block before it runs."""

    columns: int  # number of their group
    problem: Problem
    backend: str | None


class _Asked(NamedTuple):
    """What is known of a product before it runs."""

    blocks: tuple[_Block, ...]
    columns: Cut
    sharing: tuple[str, ...]  # axes of the devices that share their rows


def add_up(sums: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    """Add up over devices, and keep this one's part of the rows."""
    if not axes:
        return sums
    return lax.psum_scatter(sums, axes, scatter_dimension=0, tiled=True)


def add_events(
    window: JITMatrix | JITBlocks, part: jax.Array, rows: Cut, columns: Cut
) -> Any:
    """Multiply events, of which the device holds a part; gives its part of the rows.

    Parameters
    ----------
    window : JITMatrix or JITBlocks
        The device's.
    part : bool or float array (length of a part,) or (length of a part, batch)
    rows, columns : Cut
    """
    blocks = placed(window)
    own = [block.operands() for _, _, block in blocks]
    x = part.reshape(len(part), -1)
    dtype = validation.result_dtype(
        *(validation.result_dtype(*o.parameters, x) for o in own)
    )
    accurate = validation.compute_dtype(dtype)
    asked = _Asked(
        tuple(
            _Block(j, block.problem("events", o), dispatch.resolve(block.backend))
            for (_, j, block), o in zip(blocks, own, strict=True)
        ),
        columns,
        rows.inner,
    )
    matrices = tuple(o.matrix for o in own)
    if x.dtype == np.bool_:
        sums = _sums(matrices, x, asked)
    else:
        sums = _differentiable_sums(matrices, x, asked, str(accurate))
    groups: dict[int, jax.Array] = {}
    for (i, _, block), o, (n, z) in zip(blocks, own, sums, strict=True):
        loc, scale = coefficients(block.family(), o.parameters, accurate)
        y = weigh(jnp.asarray(loc), jnp.asarray(scale), n, z)
        if o.valid is not None:
            y = jnp.where(o.valid, y, jnp.nan)
        groups[i] = groups[i] + y if i in groups else y
    result = jnp.concatenate([groups[i] for i in sorted(groups)]).astype(dtype)
    return units.attach(result.reshape(-1, *part.shape[1:]), own[0].unit)


def _sums(matrices: Sequence[Matrix], x: jax.Array, asked: _Asked) -> list[Sums]:
    """N and Z of each block and of the devices together, this one's part of the rows.

    The blocks of one group of columns are gone through together, so that each piece is
    unpacked once.
    """
    columns, blocks = asked.columns, list(zip(matrices, asked.blocks, strict=True))
    if columns.inside == 1:  # the device has all events of its window
        events = split(x, columns.shares)
        sums = [_of_piece(*block, 0, events[block[1].columns]) for block in blocks]
    else:
        words = gather_bits(x, columns.inner)
        of_block: dict[int, Sums] = {}
        for j in range(len(columns.groups)):
            chosen = [b for b, (_, block) in enumerate(blocks) if block.columns == j]
            own = [blocks[b] for b in chosen]
            added = _over_pieces(own, words, columns, j)
            of_block |= zip(chosen, added, strict=True)
        sums = [of_block[b] for b in range(len(blocks))]
    return [(add_up(n, asked.sharing), add_up(z, asked.sharing)) for n, z in sums]


def _over_pieces(
    blocks: Sequence[tuple[Matrix, _Block]], words: jax.Array, columns: Cut, group: int
) -> list[Sums]:
    """N and Z of the blocks of one group of columns, added up over its pieces."""

    def of_piece(begin: Any) -> list[Sums]:
        first, events = columns.unpack(words, group, begin)
        return [_of_piece(*block, first, events) for block in blocks]

    begins = columns.pieces(group)
    if len(begins) == 1:
        return of_piece(begins[0])

    def zeros(shape: Any) -> jax.Array:
        return primitives.varying_alike([jnp.zeros(shape.shape, np.int32), words])[0]

    def add(sums: list[Sums], begin: Any) -> tuple[list[Sums], None]:
        return jax.tree.map(jnp.add, sums, of_piece(begin)), None

    start = jax.tree.map(zeros, jax.eval_shape(of_piece, begins[0]))
    return lax.scan(add, start, jnp.asarray(begins))[0]


def _of_piece(matrix: Matrix, block: _Block, first: Any, events: jax.Array) -> Sums:
    """N and Z of the columns of a block from ``first`` on, as many as the events."""
    problem = block.problem
    (m, n), (row, column) = problem.shape, jnp.asarray(matrix.origin)
    start = jnp.asarray(first).astype(jnp.uint32)
    if problem.transpose:
        m, row = len(events), row + start
    else:
        n, column = len(events), column + start
    piece = matrix._replace(origin=jnp.stack([row, column]))
    return primitives.product(
        piece, events, replace(problem, shape=(m, n)), block.backend
    )


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _differentiable_sums(
    matrices: Sequence[Matrix], x: jax.Array, asked: _Asked, dtype: str
) -> list[Sums]:
    """Give N and Z as floats; they vary as the float product of the change does."""
    sums = _sums(matrices, primitives.is_event(x), asked)
    return [(n.astype(dtype), z.astype(dtype)) for n, z in sums]


@_differentiable_sums.defjvp
def _differentiable_sums_jvp(
    asked: _Asked, dtype: str, primals: Any, tangents: Any
) -> tuple[Any, Any]:
    (matrices, x), (_, change) = primals, tangents
    value = _differentiable_sums(matrices, x, asked, dtype)
    change = asked.columns.gather(change, events=False).astype(dtype)
    parts = split(change, asked.columns.window()[0])
    changes = []
    for matrix, (j, problem, backend) in zip(matrices, asked.blocks, strict=True):
        floats = replace(problem, product="floats", dtype=dtype)
        a, b = primitives.product(matrix, parts[j], floats, backend)
        changes.append((add_up(a, asked.sharing), add_up(b, asked.sharing)))
    return value, changes
