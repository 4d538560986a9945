# SPDX-License-Identifier: Apache-2.0
"""Sums of events are weighed, and blocks added up: every rounding is prescribed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from . import reference
from .hookspecs import matrix_of_block

if TYPE_CHECKING:
    from .hookspecs import Grid, Matrix, Problem

Z_UNIT = 2.0**-reference.normal.UNIT_BITS


def weigh(loc: jax.Array, scale: jax.Array, n: jax.Array, z: jax.Array) -> jax.Array:
    """w_loc * N + w_scale * Z * 2**-16, in the weights' dtype.

    Both conditions hold but for sums that wrapped. A compiler that cannot know it
    cannot fuse a product with the sum either, which would round once instead of twice,
    in one program and not in the next. Nor can it take 2**-16 to the other factor,
    which it may make a subnormal number, or 0.
    """
    n, z = n.astype(loc.dtype), z.astype(loc.dtype)
    ones = jnp.where(n >= 0, loc * n, 0)
    right = z > -(2.0**31)
    rest = jnp.where(right, z * loc.dtype.type(Z_UNIT), 0)
    return ones + jnp.where(right, scale * rest, 0)


def entries(loc: jax.Array, scale: jax.Array, z: jax.Array) -> jax.Array:
    """Entries of the matrix, as a product with one event gives them; 0 for ABSENT.

    All conditions say whether there is a connection. A compiler cannot know that they
    are one, and therefore cannot fuse the product with the sum, as in ``weigh``.
    """
    number = z.astype(loc.dtype)
    ones = jnp.where(z > reference.ABSENT, loc, 0)
    there = number > -(2.0**30)
    rest = jnp.where(there, number * loc.dtype.type(Z_UNIT), 0)
    return ones + jnp.where(there, scale * rest, 0)


def weigh_blocks(
    problem: Problem,
    matrix: Matrix,
    x: jax.Array,
    loc: jax.Array,
    scale: jax.Array,
    product: Callable[[Problem, Matrix, jax.Array], Sequence[jax.Array]],
) -> jax.Array:
    """Make every block of a grid a product of its own, weigh it, and add blocks up.

    Parameters
    ----------
    problem : Problem
        Of "weighted"; ``matrix`` and ``x`` are of the whole, ``loc`` and ``scale`` of
        each block.
    product : callable
        Gives N and Z of the problem, the matrix and the part of x of a block.
    """
    grid = problem.grid

    def of_block(i: int) -> jax.Array:
        part = x if problem.transpose else x[grid.window(grid.blocks[i])[1]]
        own = matrix_of_block(problem, matrix, i)
        n, z = product(problem.of_block(i), own, part)
        return weigh(loc[i], scale[i], n, z)

    return add_blocks(grid, of_block)


def add_blocks(grid: Grid, of_block: Callable[[int], jax.Array]) -> jax.Array:
    """Add up what the blocks give, each group of rows in the order of its columns.

    Parameters
    ----------
    grid : Grid
    of_block : callable
        Gives the product of block number i, (rows of its group, ...).
    """
    groups: list[list[jax.Array]] = [[] for _ in grid.rows]
    for i, block in enumerate(grid.blocks):
        groups[block.row].append(of_block(i))
    sums = []
    for first, *others in groups:
        total = first
        for other in others:
            total = total + other
        sums.append(total)
    return jnp.concatenate(sums) if len(sums) > 1 else sums[0]
