# SPDX-License-Identifier: Apache-2.0
"""The products that users call: units and checks here, then one call below."""

from __future__ import annotations

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import arguments, dispatch, primitives, seeding, units, weighing
from .hookspecs import Product
from .primitives import Matrix, Static


def binary_jitnmv(
    w_loc: Any,
    w_scale: Any,
    prob: Any,
    vector: Any,
    seed: Any = None,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    origin: Any = (0, 0),
    corder: bool = True,
    backend: str | None = None,
) -> Any:
    """Multiply a random matrix, made as it is needed, by a vector of events.

    ``W[i, j]`` is present with probability ``prob`` and then has the weight
    ``w_loc + w_scale * z``, z standard normal. It depends on ``seed``, ``prob``, i and
    j alone: every product with the same seed and prob sees the same matrix, and a
    smaller shape is the corner of a larger one.

    Parameters
    ----------
    w_loc, w_scale : float, array of one element, or Quantity
        Mean and standard deviation of the weights, of one dimension.
    prob : float
        Probability of a connection, in [0, 1], rounded to float32. It may be traced;
        a traced prob outside [0, 1] gives NaN.
    vector : array (n,), or (m,) if ``transpose``
        Boolean, integer or real, with or without a unit. An entry is an event if
        it is > 0: neither -1 nor NaN is one.
    seed : int, array or key, optional
        A Python or NumPy integer in [-2**63, 2**64), a scalar integer array (which may
        be traced), or a JAX key. JAX cuts an integer to 32 bits when it traces it
        without ``jax_enable_x64``: trace a key instead, the two words of which,
        ``np.array([seed >> 32, seed & 0xFFFFFFFF], np.uint32)``, are the same seed.
        Without one, a seed is drawn; ``synjit.last_seed()`` gives it back.
    shape : (int, int)
        Rows (post-synaptic) m and columns (pre-synaptic) n of W.
    transpose : bool
        Multiply by W.T, the transpose of the same matrix.
    origin : (int, int), or integer array (2,)
        Row and column of the matrix at which W begins, 0 or more: W is then the
        window ``[row : row + m, column : column + n]``, as a device draws it that has
        just these rows. ``row + m`` and ``column + n`` are below 2**31. Either may be
        traced; a traced one outside of that gives NaN.
    corder : bool
        Hint on the order of work, never on the result: rows first, or columns first.
    backend : str, optional
        Name of a backend; without one, the best that conforms for the platform.

    Returns
    -------
    array (m,), or (n,) if ``transpose``
        In the weights' unit times the vector's; its dtype is the one that JAX promotes
        the weights and the vector to.

    Raises
    ------
    ValueError, TypeError
        An argument is not what is said above.
    brainunit.DimensionMismatchError
        ``w_loc`` and ``w_scale`` have different dimensions.
    BackendError
        The backend is unknown, or none that conforms can run this.

    Notes
    -----
    The number N of active connections of a row, and the sum Z of their integer z, are
    exact, and the same on every backend; the result is ``w_loc * N + w_scale * Z``
    with Z in units of 2**-16. N and Z are also the derivatives by ``w_loc`` and
    ``w_scale``. By a vector of floats the derivative is that of ``W @ vector``, the
    linear surrogate; a vector of booleans or integers has none.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import synjit
    >>> events = jnp.array([True, False, True, True, False])
    >>> y = synjit.binary_jitnmv([1.0], [0.1], 0.5, events, 42, shape=(3, 5))
    >>> W = synjit.jitn([1.0], [0.1], 0.5, 42, shape=(3, 5))
    >>> bool(jnp.allclose(y, W @ events.astype(jnp.float32)))
    True
    """
    shape = arguments.check_shape(shape)
    value, unit = arguments.check_operand(vector, "vector", shape, transpose, 1)
    static = Static(shape, transpose, corder, backend=backend)
    operand = (value[:, None], unit)
    result = _product("events", w_loc, w_scale, prob, operand, seed, origin, static)
    return result[:, 0]


def binary_jitnmm(
    w_loc: Any,
    w_scale: Any,
    prob: Any,
    B: Any,  # noqa: N803, its name since the operator was first documented
    seed: Any = None,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    origin: Any = (0, 0),
    corder: bool = True,
    backend: str | None = None,
) -> Any:
    """Multiply a random matrix by a matrix of events, each connection drawn once.

    Parameters
    ----------
    B : array (n, k), or (m, k) if ``transpose``
        k vectors of events, as columns; see ``binary_jitnmv`` for what an event is,
        and for all other parameters.

    Returns
    -------
    array (m, k), or (n, k) if ``transpose``
        Each column as ``binary_jitnmv`` gives it.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import synjit
    >>> events = jnp.array([[True, False], [True, True], [False, True]])
    >>> synjit.binary_jitnmm(1.0, 0.0, 1.0, events, 42, shape=(2, 3))
    Array([[2., 2.],
           [2., 2.]], dtype=float32)
    """
    shape = arguments.check_shape(shape)
    operand = arguments.check_operand(B, "B", shape, transpose, 2)
    static = Static(shape, transpose, corder, backend=backend)
    return _product("events", w_loc, w_scale, prob, operand, seed, origin, static)


def jitnmv(
    w_loc: Any,
    w_scale: Any,
    prob: Any,
    vector: Any,
    seed: Any = None,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    origin: Any = (0, 0),
    corder: bool = True,
    backend: str | None = None,
) -> Any:
    """Multiply a random matrix, made as it is needed, by a vector of numbers.

    Parameters
    ----------
    vector : array (n,), or (m,) if ``transpose``
        Multiplied as it is, negative entries and fractions too; see ``binary_jitnmv``
        for all other parameters.

    Returns
    -------
    array (m,), or (n,) if ``transpose``
        In the weights' unit times the vector's. A sum over k connections is off by at
        most k units of rounding of the sum of the magnitudes of ``w_loc * x`` and
        ``w_scale * z * x``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import synjit
    >>> synjit.jitnmv(1.0, 0.0, 1.0, jnp.array([2.0, -3.0, 0.5]), 42, shape=(2, 3))
    Array([-0.5, -0.5], dtype=float32)
    """
    shape = arguments.check_shape(shape)
    value, unit = arguments.check_operand(vector, "vector", shape, transpose, 1)
    static = Static(shape, transpose, corder, backend=backend)
    operand = (value[:, None], unit)
    result = _product("floats", w_loc, w_scale, prob, operand, seed, origin, static)
    return result[:, 0]


def jitnmm(
    w_loc: Any,
    w_scale: Any,
    prob: Any,
    B: Any,  # noqa: N803
    seed: Any = None,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    origin: Any = (0, 0),
    corder: bool = True,
    backend: str | None = None,
) -> Any:
    """Multiply a random matrix by a matrix of numbers, each connection drawn once.

    Parameters
    ----------
    B : array (n, k), or (m, k) if ``transpose``
        k vectors, as columns; see ``binary_jitnmv`` for all other parameters.

    Returns
    -------
    array (m, k), or (n, k) if ``transpose``
        Each column as ``jitnmv`` gives it.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import synjit
    >>> synjit.jitnmm(1.0, 0.0, 1.0, jnp.eye(2), 42, shape=(3, 2))
    Array([[1., 1.],
           [1., 1.],
           [1., 1.]], dtype=float32)
    """
    shape = arguments.check_shape(shape)
    operand = arguments.check_operand(B, "B", shape, transpose, 2)
    static = Static(shape, transpose, corder, backend=backend)
    return _product("floats", w_loc, w_scale, prob, operand, seed, origin, static)


def jitn(
    w_loc: Any,
    w_scale: Any,
    prob: Any,
    seed: Any = None,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    origin: Any = (0, 0),
    corder: bool = True,
    backend: str | None = None,
) -> Any:
    """Write out the random matrix.

    Parameters
    ----------
    w_loc, w_scale, prob, seed, shape, transpose, origin, corder, backend
        See ``binary_jitnmv``.

    Returns
    -------
    array (m, n), or (n, m) if ``transpose``
        In the unit of the weights; 0 where there is no connection.

    Examples
    --------
    >>> import synjit
    >>> W = synjit.jitn(1.0, 0.1, 0.5, 42, shape=(3, 5))
    >>> corner = synjit.jitn(1.0, 0.1, 0.5, 42, shape=(2, 2))
    >>> bool((W[:2, :2] == corner).all())
    True
    >>> lower = synjit.jitn(1.0, 0.1, 0.5, 42, shape=(1, 5), origin=(2, 0))
    >>> bool((W[2:] == lower).all())
    True
    """
    shape = arguments.check_shape(shape)
    transpose = arguments.check_flag(transpose, "transpose")
    static = Static(shape, corder=corder, backend=backend)
    result = _product("dense", w_loc, w_scale, prob, None, seed, origin, static)
    return result.T if transpose else result


# --- one call ---------------------------------------------------------------------


def _product(
    product: Product,
    w_loc: Any,
    w_scale: Any,
    prob: Any,
    operand: tuple[jax.Array, Any] | None,
    seed: Any,
    origin: Any,
    static: Static,
) -> Any:
    """Check what is left to check, compute, and put the unit back."""
    static = static._replace(
        backend=dispatch.resolve(static.backend),
        corder=arguments.check_flag(static.corder, "corder"),
    )
    weights = arguments.check_weights(w_loc, w_scale)
    probability = arguments.check_prob(prob)
    words = seeding.check_seed(seed)
    start = arguments.check_origin(origin, static.shape)
    valid = [v for v in (probability.valid, start.valid) if v is not None]
    value, unit = operand or (None, None)
    factors = [weights.loc, weights.scale] + ([] if value is None else [value])
    result = compute(
        weights.loc,
        weights.scale,
        Matrix(words, start.words, probability.law),
        functools.reduce(operator.and_, valid) if valid else None,
        value,
        product=product,
        dtype=arguments.result_dtype(*factors),
        static=static._replace(log2_chunk=probability.log2_chunk),
    )
    return units.attach(result, weights.unit, unit)


@functools.partial(jax.jit, static_argnames=("product", "dtype", "static"), inline=True)
def compute(
    loc: jax.Array,
    scale: jax.Array,
    matrix: Matrix,
    valid: jax.Array | None,
    value: Any,
    *,
    product: Product,
    dtype: np.dtype,
    static: Static,
) -> jax.Array:
    """Combine what the primitives sum up: w_loc * ones + w_scale * z * 2**-16."""
    accurate = arguments.compute_dtype(dtype)
    loc, scale = (jnp.asarray(weight).astype(accurate) for weight in (loc, scale))
    if 0 in static.shape or (value is not None and 0 in value.shape):
        rest = static.shape if value is None else (static.length_out, *value.shape[1:])
        return jnp.zeros(rest, dtype)
    if product == "dense":
        result = weighing.entries(loc, scale, primitives.dense(matrix, static))
    elif product == "floats":
        ones, z = primitives.floats(matrix, value.astype(accurate), static)
        result = loc * ones + scale * (z * accurate.type(weighing.Z_UNIT))
    else:
        result = primitives.weighted(loc, scale, matrix, value, static)
    if valid is not None:
        result = jnp.where(valid, result, jnp.nan)
    return result.astype(dtype)
