# SPDX-License-Identifier: Apache-2.0
"""The products that users call, as functions of what a matrix is made of."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from . import validation
from .aliases import Numbers, Place, Prob, Seed
from .families import JITConstant, JITLogNormal, JITNormal, JITUniform
from .hookspecs import Product
from .jit_matrix import JITMatrix


def binary_jitnmv(
    w_loc: Numbers,
    w_scale: Numbers,
    prob: Prob,
    vector: Numbers,
    seed: Seed = None,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    origin: Place = (0, 0),
    self_connections: bool = True,
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
    prob : float or rule
        Probability of a connection, in [0, 1], rounded to float32. It may be traced;
        a traced prob outside [0, 1] gives NaN. Or another rule of connections:
        ``FixedOutDegree(k)``.
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
    self_connections : bool
        Whether ``W[i, i]`` may be a connection, i counted in the whole matrix, whatever
        the origin. Without them, a ``prob`` loses these entries and keeps all others
        as they are; ``FixedOutDegree(k)`` keeps k targets, of the other rows.
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
    M = JITNormal(  # noqa: N806
        w_loc,
        w_scale,
        prob,
        seed,
        shape=shape,
        origin=origin,
        self_connections=self_connections,
        corder=corder,
        backend=backend,
    )
    return _multiply(M, vector, "vector", 1, "events", transpose)


def binary_jitnmm(
    w_loc: Numbers,
    w_scale: Numbers,
    prob: Prob,
    B: Numbers,  # noqa: N803, its name since the operator was first documented
    seed: Seed = None,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    origin: Place = (0, 0),
    self_connections: bool = True,
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
    M = JITNormal(  # noqa: N806
        w_loc,
        w_scale,
        prob,
        seed,
        shape=shape,
        origin=origin,
        self_connections=self_connections,
        corder=corder,
        backend=backend,
    )
    return _multiply(M, B, "B", 2, "events", transpose)


def jitnmv(
    w_loc: Numbers,
    w_scale: Numbers,
    prob: Prob,
    vector: Numbers,
    seed: Seed = None,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    origin: Place = (0, 0),
    self_connections: bool = True,
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
    M = JITNormal(  # noqa: N806
        w_loc,
        w_scale,
        prob,
        seed,
        shape=shape,
        origin=origin,
        self_connections=self_connections,
        corder=corder,
        backend=backend,
    )
    return _multiply(M, vector, "vector", 1, "floats", transpose)


def jitnmm(
    w_loc: Numbers,
    w_scale: Numbers,
    prob: Prob,
    B: Numbers,  # noqa: N803
    seed: Seed = None,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    origin: Place = (0, 0),
    self_connections: bool = True,
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
    M = JITNormal(  # noqa: N806
        w_loc,
        w_scale,
        prob,
        seed,
        shape=shape,
        origin=origin,
        self_connections=self_connections,
        corder=corder,
        backend=backend,
    )
    return _multiply(M, B, "B", 2, "floats", transpose)


def jitn(
    w_loc: Numbers,
    w_scale: Numbers,
    prob: Prob,
    seed: Seed = None,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    origin: Place = (0, 0),
    self_connections: bool = True,
    corder: bool = True,
    backend: str | None = None,
) -> Any:
    """Write out the random matrix.

    Parameters
    ----------
    w_loc, w_scale, prob, seed, shape, transpose, origin, self_connections, corder,
    backend
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
    M = JITNormal(  # noqa: N806
        w_loc,
        w_scale,
        prob,
        seed,
        shape=shape,
        origin=origin,
        self_connections=self_connections,
        corder=corder,
        backend=backend,
    )
    return _dense(M, transpose)


def _multiply(
    matrix: JITMatrix, x: Any, name: str, axes: int, product: Product, transpose: bool
) -> Any:
    transpose = validation.check_flag(transpose, "transpose")
    return (matrix.T if transpose else matrix).multiply(x, name, axes, product)


def _dense(matrix: JITMatrix, transpose: bool) -> Any:
    transpose = validation.check_flag(transpose, "transpose")
    return (matrix.T if transpose else matrix).todense()


# --- the other families -----------------------------------------------------------


def _functions(family: type[JITMatrix], stem: str) -> list[Callable[..., Any]]:
    """Make the five functions of a family, as those of the normal are.

    They take the arguments of the family's class and, before the seed, the operand.
    """
    return [
        _function(family, stem, f"{binary}{stem}{kind}")
        for binary, kind in (
            ("binary_", "mv"),
            ("binary_", "mm"),
            ("", "mv"),
            ("", "mm"),
        )
    ] + [_function(family, stem, stem)]


def _function(family: type[JITMatrix], stem: str, name: str) -> Callable[..., Any]:
    like = globals()[name.replace(stem, "jitn")]
    of_class = inspect.signature(family).parameters.values()
    before = [p for p in of_class if p.kind is p.POSITIONAL_OR_KEYWORD]
    after = [p for p in of_class if p.kind is p.KEYWORD_ONLY]
    own = inspect.signature(like).parameters
    vector = [own[k] for k in ("vector", "B") if k in own]
    seed = before.pop()
    signature = inspect.Signature([*before, *vector, seed, *after, own["transpose"]])
    product: Product = "events" if name.startswith("binary_") else "floats"

    def function(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        transpose = given.pop("transpose")
        if not vector:
            return _dense(family(**given), transpose)
        x = given.pop(vector[0].name)
        axes = 1 if vector[0].name == "vector" else 2
        return _multiply(family(**given), x, vector[0].name, axes, product, transpose)

    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    function.__signature__ = signature  # type: ignore[attr-defined]
    first = inspect.getdoc(like).splitlines()[0]  # type: ignore[union-attr]
    function.__doc__ = (
        f"{first}\n\nAs ``{like.__name__}``, of a matrix of the family "
        f"``{family.__name__}``, whose parameters come first.\n"
    )
    return function


binary_jitsmv, binary_jitsmm, jitsmv, jitsmm, jits = _functions(JITConstant, "jits")
binary_jitumv, binary_jitumm, jitumv, jitumm, jitu = _functions(JITUniform, "jitu")
binary_jitlmv, binary_jitlmm, jitlmv, jitlmm, jitl = _functions(JITLogNormal, "jitl")
