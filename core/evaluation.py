# SPDX-License-Identifier: Apache-2.0
"""From parameters of the weights and a checked operand to the values of a product."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from . import combine, primitives
from .hookspecs import Matrix, Problem, matrix_of_one_block


class Family(NamedTuple):
    """How the weights, a + b * z * 2**-16, depend on parameters.

    Attributes
    ----------
    affine : callable
        Gives loc and scale of the parameters.
    mean, spread : float
        Of the law of x, with ``x = mean + spread * z * 2**-16``.
    """

    affine: Callable[..., tuple[Any, Any]]
    mean: float
    spread: float


def coefficients(
    family: Family, parameters: Sequence[Any], dtype: np.dtype
) -> tuple[Any, Any]:
    """Give a and b, of the dtype: in NumPy, where the parameters are known already.

    Every operation rounds on its own, as in ``combine``, in whatever program.
    """
    known = all(isinstance(p, (int, float, np.ndarray, np.generic)) for p in parameters)
    xp: Any = np if known else jnp
    loc, scale = family.affine(*(xp.asarray(p).astype(dtype) for p in parameters))
    loc, scale = xp.asarray(loc, dtype), xp.asarray(scale, dtype)
    with np.errstate(all="ignore"):
        if family.mean:
            shift = scale * dtype.type(family.mean)
            loc = loc + xp.where(scale == scale, shift, scale)  # noqa: PLR0124, NaN
        if family.spread != 1:
            scale = scale * dtype.type(family.spread)
    return loc, scale


@functools.partial(
    jax.jit, static_argnames=("dtype", "problem", "backend"), inline=True
)
def evaluate(
    loc: jax.Array,
    scale: jax.Array,
    matrix: Matrix,
    valid: jax.Array | None,
    value: Any,
    *,
    dtype: np.dtype,
    problem: Problem,
    backend: str | None,
) -> jax.Array:
    """Combine what the primitives sum up: a * ones + b * z * 2**-16.

    Parameters
    ----------
    loc, scale : float32 or float64
        a and b; of a grid, those of each block.
    valid : bool or None
        Where it is not, the result is NaN.
    value : array or None
        The vectors, as columns.
    dtype
        Of the result.
    """
    if 0 in problem.shape or (value is not None and 0 in value.shape):
        m, n = problem.shape
        length = n if problem.transpose else m
        shape = problem.shape if value is None else (length, *value.shape[1:])
        return jnp.zeros(shape, dtype)
    if problem.product == "events":
        problem = problem.of_one_block(str(loc.dtype))
        matrix = matrix_of_one_block(matrix)
        loc, scale = loc[None], scale[None]
    if problem.product == "dense":
        z = primitives.dense(matrix, problem, backend)
        result = combine.entries(loc, scale, z)
    elif problem.product == "floats":
        value = value.astype(problem.dtype)
        ones, z = primitives.product(matrix, value, problem, backend)
        result = loc * ones + scale * (z * ones.dtype.type(combine.Z_UNIT))
    else:
        result = primitives.weighted(matrix, value, loc, scale, problem, backend)
    if valid is not None:
        result = jnp.where(valid, result, jnp.nan)
    return result.astype(dtype)
