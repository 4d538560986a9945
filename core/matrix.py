# SPDX-License-Identifier: Apache-2.0
"""The random matrix as an object: M @ x, x @ M, M.T, M.todense()."""

from __future__ import annotations

import abc
import inspect
from typing import Any, Self

import jax
import numpy as np

from . import arguments, products, units


@jax.tree_util.register_pytree_node_class
class Events:
    """An array of which only the sign counts: an entry is an event if it is > 0.

    ``M @ Events(x)`` is an event-driven product where ``M @ x`` would multiply by the
    values of x. An array of booleans need not be wrapped.

    Parameters
    ----------
    value : array
        Boolean, integer or real, with or without a unit.
    """

    __array_ufunc__ = None  # numpy, leave @ to us

    def __init__(self, value: Any) -> None:
        self.value = units.gather(value)

    def __matmul__(self, matrix: Any) -> Any:
        """Multiply from the left."""
        if not isinstance(matrix, RandomMatrix):
            return NotImplemented
        return matrix.__rmatmul__(self)

    def __repr__(self) -> str:
        """Show the array."""
        return f"Events({self.value!r})"

    def tree_flatten(self) -> tuple[tuple[Any], None]:
        """Give the array as the only leaf."""
        return (self.value,), None

    @classmethod
    def tree_unflatten(cls, _aux: None, leaves: tuple[Any]) -> Events:
        """Wrap a leaf, as it is."""
        new = object.__new__(cls)
        (new.value,) = leaves
        return new


class RandomMatrix(abc.ABC):
    """What the matrices share: products from the right, and scaling."""

    __array_ufunc__ = None

    @property
    @abc.abstractmethod
    def T(self) -> Self:  # noqa: N802, as in NumPy
        """The transpose."""

    @abc.abstractmethod
    def __matmul__(self, other: Any) -> Any:
        """Multiply an array, or events, from the left."""

    @abc.abstractmethod
    def _scaled(self, factor: Any) -> Self:
        """Multiply all weights by a factor that was checked."""

    def __rmatmul__(self, other: Any) -> Any:
        """Multiply an array, or events, from the right."""
        if isinstance(other, Events):
            other = Events(other.value.T)
        elif rank(other) == 2:
            other = other.T
        result = self.T @ other
        if units.is_quantity(result) and _asked_by_brainunit():
            raise TypeError(
                "x @ M is taken apart by brainunit where x is a quantity, which would "
                "lose the unit of M: write M.T @ x, or (M.T @ x.T).T of a matrix x"
            )
        return result.T if result.ndim == 2 else result

    def __mul__(self, factor: Any) -> Self:
        """Scale all weights by a number, a quantity or a unit."""
        if rank(factor) != 0 and not units.is_unit(factor):
            raise TypeError(
                f"a {type(self).__name__} can be scaled by a number, a quantity or a "
                f"unit, got {factor!r}"
            )
        return self._scaled(factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Self:
        """Divide all weights by a number, a quantity or a unit."""
        return self * (1.0 / divisor)

    def __neg__(self) -> Self:
        """Change the sign of all weights."""
        return self * -1.0


@jax.tree_util.register_pytree_node_class
class JITNormal(RandomMatrix):
    """A sparse random matrix with normal weights that is never stored.

    ``M @ x`` and ``x @ M`` multiply by the values of a float array, or by events if x
    is boolean or wrapped in ``Events``; see ``synjit.binary_jitnmv`` for what the
    matrix is. Products by events cost what their active columns cost in ``M @ x``,
    where columns are pre-synaptic: list what fires, and go down its column. For the
    other convention, ``spikes @ W`` with W of shape (pre, post), take
    ``JITNormal.pre_post``, whose events are as cheap there.

    brainunit takes apart what it finds on the left, and does not know this class. Write
    ``M * u.mV`` for ``u.mV * M``. Where the weights have a unit and x is a quantity,
    ``x @ M`` raises: write ``M.T @ x``.

    ``jax.grad`` by a matrix takes ``allow_int=True``, for the seed is part of it.

    Parameters
    ----------
    w_loc, w_scale : float, array of one element, or Quantity
        Mean and standard deviation of the weights.
    prob : float
        Probability of a connection, in [0, 1].
    seed : int, array or key, optional
        As in ``binary_jitnmv``; ``M.seed`` gives back the one that was drawn.
    shape : (int, int)
        Rows (post-synaptic) and columns (pre-synaptic).
    origin : (int, int), or integer array (2,)
        Row and column at which the window begins, as in ``binary_jitnmv``.
    corder : bool
        Hint on the order of work.
    backend : str, optional
        Name of a backend.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import synjit
    >>> M = synjit.JITNormal(1.0, 0.1, 0.5, 42, shape=(3, 5))
    >>> spikes = jnp.array([True, False, True, True, False])
    >>> bool(jnp.allclose(M @ spikes, M.todense() @ spikes.astype(jnp.float32)))
    True
    >>> W = synjit.JITNormal.pre_post(1.0, 0.1, 0.5, 42, shape=(5, 3))
    >>> bool((spikes @ W == M @ spikes).all())
    True
    """

    def __init__(
        self,
        w_loc: Any,
        w_scale: Any,
        prob: Any,
        seed: Any = None,
        *,
        shape: tuple[int, int],
        origin: Any = (0, 0),
        corder: bool = True,
        backend: str | None = None,
    ) -> None:
        arguments.check_weights(w_loc, w_scale)
        arguments.check_prob(prob)
        self.w_loc, self.w_scale = units.gather(w_loc), units.gather(w_scale)
        self.prob = units.gather(prob)
        self.key = arguments.check_seed(seed)[::-1]  # high word first, as in a JAX key
        self._stored_shape = arguments.check_shape(shape)
        arguments.check_origin(origin, self._stored_shape)
        self.origin = tuple(origin)
        self._known = self._what_is_known()
        self.corder = arguments.check_flag(corder, "corder")
        self.backend = backend
        self.transposed = False

    @classmethod
    def pre_post(
        cls,
        w_loc: Any,
        w_scale: Any,
        prob: Any,
        seed: Any = None,
        *,
        shape: tuple[int, int],
        origin: Any = (0, 0),
        corder: bool = True,
        backend: str | None = None,
    ) -> JITNormal:
        """Make a matrix of shape (pre, post), event-driven in ``spikes @ W``.

        It is the transpose of the matrix of shape (post, pre) with the same seed;
        ``origin`` is the first (pre, post).
        """
        n_pre, n_post = arguments.check_shape(shape)
        arguments.check_origin(origin, (n_pre, n_post))
        first_pre, first_post = origin
        matrix = cls(
            w_loc,
            w_scale,
            prob,
            seed,
            shape=(n_post, n_pre),
            origin=(first_post, first_pre),
            corder=corder,
            backend=backend,
        )
        return matrix.T

    # --- what it is ---------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        m, n = self._stored_shape
        return (n, m) if self.transposed else (m, n)

    @property
    def dtype(self) -> np.dtype:
        """Type of an entry."""
        weights = arguments.check_weights(self.w_loc, self.w_scale)
        return arguments.result_dtype(weights.loc, weights.scale)

    @property
    def seed(self) -> Any:
        """The seed: an integer, or what stands for its words (high, low)."""
        known = isinstance(self.key, (np.ndarray, jax.Array))
        if not known or isinstance(self.key, jax.core.Tracer):
            return self.key
        if self.key.shape != (2,) or self.key.dtype != np.uint32:
            return self.key
        high, low = (int(word) for word in np.asarray(self.key))
        return (high << 32) | low

    @property
    def T(self) -> JITNormal:  # noqa: N802, as in NumPy
        """The transpose."""
        return self.replace(transposed=not self.transposed)

    def todense(self) -> Any:
        """Write the matrix out."""
        return products.jitn(
            self.w_loc,
            self.w_scale,
            self.prob,
            self.key,
            shape=self._stored_shape,
            transpose=self.transposed,
            origin=self.origin,
            corder=self.corder,
            backend=self.backend,
        )

    def __repr__(self) -> str:
        """Show what makes the matrix."""
        start = self.origin[::-1] if self.transposed else self.origin
        placed = "" if self._known[1] and start == (0, 0) else start
        return (
            f"JITNormal(w_loc={self.w_loc}, w_scale={self.w_scale}, "
            f"prob={self.prob}, seed={self.seed}, shape={self.shape}"
            + (f", origin={placed})" if placed else ")")
        )

    # --- products -----------------------------------------------------------------

    def __matmul__(self, other: Any) -> Any:
        """Multiply an array, or events, from the left."""
        value, events = operand(self, other)
        product = {
            (True, 1): products.binary_jitnmv,
            (True, 2): products.binary_jitnmm,
            (False, 1): products.jitnmv,
            (False, 2): products.jitnmm,
        }[events, rank(value)]
        return product(
            self.w_loc,
            self.w_scale,
            self.prob,
            value,
            self.key,
            shape=self._stored_shape,
            transpose=self.transposed,
            origin=self.origin,
            corder=self.corder,
            backend=self.backend,
        )

    def _scaled(self, factor: Any) -> JITNormal:
        return self.replace(w_loc=self.w_loc * factor, w_scale=self.w_scale * factor)

    # --- as a pytree --------------------------------------------------------------

    def replace(self, **changes: Any) -> JITNormal:
        """Change attributes, unchecked."""
        new = object.__new__(JITNormal)
        new.__dict__.update(self.__dict__ | changes)
        new._known = new._what_is_known()
        return new

    def _what_is_known(self) -> tuple[bool, bool]:
        """Whether prob is a plain number, and whether origin is two of them."""
        numbers = (int, np.integer)
        prob = isinstance(self.prob, (float, np.floating, *numbers))
        return prob, all(isinstance(start, numbers) for start in self.origin)

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Weights and seed are leaves; so are prob and origin, unless plain numbers.

        A plain prob stays known under ``jax.jit``, which lets a backend prepare.
        """
        knows_prob, knows_origin = self._known
        leaves = (
            self.w_loc,
            self.w_scale,
            self.key,
            None if knows_prob else self.prob,
            None if knows_origin else self.origin,
        )
        known = (
            self._known,
            float(self.prob) if knows_prob else None,
            self.origin if knows_origin else None,
        )
        fixed = (self._stored_shape, self.corder, self.backend, self.transposed)
        return leaves, (known, fixed)

    @classmethod
    def tree_unflatten(cls, aux: tuple[Any, ...], leaves: tuple[Any, ...]) -> JITNormal:
        """Put the leaves back, unchecked: JAX flattens things that are no numbers."""
        new = object.__new__(cls)
        new.w_loc, new.w_scale, new.key, new.prob, new.origin = leaves
        (new._known, prob, origin), fixed = aux
        new._stored_shape, new.corder, new.backend, new.transposed = fixed
        if new._known[0]:
            new.prob = prob
        if new._known[1]:
            new.origin = origin
        return new


def operand(matrix: RandomMatrix, other: Any) -> tuple[Any, bool]:
    """Give the array that a matrix is to be multiplied by, and whether it is events."""
    value = other.value if isinstance(other, Events) else other
    if rank(value) not in {1, 2}:
        raise TypeError(
            f"a {type(matrix).__name__} can be multiplied by an array of one or two "
            f"axes, or by Events of such an array, got {other!r}"
        )
    return value, value is not other or units.split(value)[0].dtype == np.bool_


def _asked_by_brainunit() -> bool:
    """Whether the caller's caller is brainunit, with what a quantity was made of."""
    frame = inspect.currentframe()
    for _ in range(2):
        frame = frame and frame.f_back
    module = frame.f_globals.get("__name__", "") if frame else ""
    return module.partition(".")[0] in {"brainunit", "saiunit"}


def rank(value: Any) -> int:
    """Give the number of axes; -1 of what has none."""
    if isinstance(value, (int, float)):
        return 0
    return getattr(value, "ndim", -1)
