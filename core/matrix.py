# SPDX-License-Identifier: Apache-2.0
"""The random matrix as an object: M @ x, x @ M, M.T, M.todense()."""

from __future__ import annotations

import abc
import inspect
from typing import Any, NamedTuple, NoReturn, Self

import jax
import jax.numpy as jnp
import numpy as np

from . import arguments, products, reference, seeding, units


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
    """What the matrices share: products from the right, scaling, and equality."""

    __array_ufunc__ = None

    def __array__(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse to become an array: NumPy would make one of objects."""
        raise TypeError(
            f"a {type(self).__name__} is no array, for it is not stored: write M @ x "
            "for a product, M.todense() for the dense matrix"
        )

    def __array_function__(self, function: Any, *_args: Any) -> NoReturn:
        """Refuse NumPy's functions, as ``__array__`` does."""
        self.__array__(function)

    def __eq__(self, other: object) -> bool:
        """Whether the other is made of the same numbers, in the same way."""
        if not isinstance(other, RandomMatrix):
            return NotImplemented
        ours, theirs = jax.tree.flatten(self), jax.tree.flatten(other)
        return bool(ours[1] == theirs[1]) and all(map(_same, ours[0], theirs[0]))

    def __hash__(self) -> int:
        """Hash what is known without looking at arrays."""
        return hash(jax.tree.structure(self))

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

    A matrix is a pytree whose leaves are its weights, so that ``jax.grad`` by it and
    optimisers change nothing else. A seed, ``prob`` or ``origin`` of Python or NumPy
    numbers is part of its structure: ``jax.jit`` compiles again for another one. Where
    they are to change without that, pass arrays of JAX, which are leaves; a seed is
    then kept as a JAX key, in which ``jax.grad`` takes ``allow_int=True``.

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
        self.seed = _kept_seed(seed)
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
    def T(self) -> JITNormal:  # noqa: N802, as in NumPy
        """The transpose."""
        return self._with(transposed=not self.transposed)

    def todense(self) -> Any:
        """Write the matrix out."""
        return products.jitn(
            self.w_loc,
            self.w_scale,
            self.prob,
            self.seed,
            shape=self._stored_shape,
            transpose=self.transposed,
            origin=self.origin,
            corder=self.corder,
            backend=self.backend,
        )

    def __repr__(self) -> str:
        """Show a call that makes the same matrix."""
        given = {
            "w_loc": self.w_loc,
            "w_scale": self.w_scale,
            "prob": self.prob,
            "seed": self.seed,
            "shape": self._stored_shape,
            "origin": self.origin,
            "corder": self.corder,
            "backend": self.backend,
        }
        usual = {"origin": (0, 0), "corder": True, "backend": None}
        shown = [
            f"{name}={_written(value)}"
            for name, value in given.items()
            if name not in usual or (value is not usual[name] and value != usual[name])
        ]
        return f"JITNormal({', '.join(shown)})" + (".T" if self.transposed else "")

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
            self.seed,
            shape=self._stored_shape,
            transpose=self.transposed,
            origin=self.origin,
            corder=self.corder,
            backend=self.backend,
        )

    def _scaled(self, factor: Any) -> JITNormal:
        return self._with(w_loc=self.w_loc * factor, w_scale=self.w_scale * factor)

    # --- as a pytree --------------------------------------------------------------

    def replace(self, **changes: Any) -> JITNormal:
        """Make a matrix of the same kind with other arguments.

        What was a leaf stays one. (Of a tree of axes for ``in_axes``, whose leaves are
        None or integers, anything can be replaced.)

        Parameters
        ----------
        w_loc, w_scale, prob, seed, shape, origin, corder, backend
            As of ``JITNormal``; of a transpose, the shape and the origin are its own.

        Raises
        ------
        TypeError, ValueError, brainunit.DimensionMismatchError
            As ``JITNormal`` raises them.
        """
        unknown = changes.keys() - _REPLACED
        if unknown:
            raise TypeError(
                f"a {type(self).__name__} has no {', '.join(sorted(unknown))} to be "
                f"replaced; it has {', '.join(_REPLACED)}"
            )
        if self.w_loc is None or self.w_scale is None:  # a tree of axes
            return self._with(**changes)
        if self.transposed:
            own = changes.keys() & {"shape", "origin"}
            changes |= {name: tuple(changes[name])[::-1] for name in own}
        given = {name: getattr(self, name) for name in _REPLACED}
        given |= {"shape": self._stored_shape} | changes
        new = JITNormal(**given)
        new.transposed = self.transposed
        new._known = _Known(*map(min, new._known, self._known))
        if not new._known.seed:
            new.seed = _key(seeding.check_seed(new.seed))
        return new

    def _with(self, **changes: Any) -> JITNormal:
        """Change attributes, unchecked."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__ | changes)
        return new

    def _what_is_known(self) -> _Known:
        """Say which are plain numbers, and therefore no leaves."""
        return _Known(
            isinstance(self.seed, int),
            isinstance(self.prob, (int, float, np.number)),
            all(isinstance(start, (int, np.integer)) for start in self.origin),
        )

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Weights are leaves; so are seed, prob and origin, unless plain numbers.

        A plain prob stays known under ``jax.jit``, which lets a backend prepare. A seed
        that is a leaf is a key, which nothing adds to or rounds.
        """
        known = self._known
        more = (self.seed, self.prob, self.origin)
        leaves = (None if k else leaf for k, leaf in zip(known, more, strict=True))
        kept = tuple(leaf if k else None for k, leaf in zip(known, more, strict=True))
        fixed = (self._stored_shape, self.corder, self.backend, self.transposed)
        return (self.w_loc, self.w_scale, *leaves), (known, kept, fixed)

    @classmethod
    def tree_unflatten(cls, aux: tuple[Any, ...], leaves: tuple[Any, ...]) -> JITNormal:
        """Put the leaves back, unchecked: JAX flattens things that are no numbers."""
        new = object.__new__(cls)
        new._known, kept, fixed = aux
        new.w_loc, new.w_scale, *more = leaves
        new.seed, new.prob, new.origin = (
            own if k else leaf
            for k, own, leaf in zip(new._known, kept, more, strict=True)
        )
        new._stored_shape, new.corder, new.backend, new.transposed = fixed
        return new

    def __getstate__(self) -> dict[str, Any]:
        """Give what is pickled: a key as its words, and the version of the draw."""
        state = self.__dict__ | {"draw_version": reference.DRAW_VERSION}
        if not self._known.seed:
            state["seed"] = np.asarray(jax.random.key_data(self.seed))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what was pickled, if it is still the same matrix."""
        version = state.pop("draw_version", None)
        if version != reference.DRAW_VERSION:
            raise ValueError(
                f"this {type(self).__name__} was stored under version {version} of the "
                f"draw, and this synjit has version {reference.DRAW_VERSION}, which "
                "draws another matrix from the same seed: load it with the synjit that "
                "stored it, and store what it draws (todense), or make it anew"
            )
        self.__dict__.update(state)
        if not self._known.seed:
            self.seed = jax.random.wrap_key_data(self.seed, impl=_KEY)


class _Known(NamedTuple):
    """Which of these are plain numbers, and part of the structure."""

    seed: bool
    prob: bool
    origin: bool


_REPLACED = (
    "w_loc",
    "w_scale",
    "prob",
    "seed",
    "shape",
    "origin",
    "corder",
    "backend",
)
_KEY = "threefry2x32"  # whose data are two words; only kept in it, not drawn from


def _kept_seed(seed: Any) -> Any:
    """Keep a seed as an integer or, if it is an array of JAX, as a key."""
    words = seeding.check_seed(seed)
    if isinstance(seed, jax.Array):
        return _key(words)
    low, high = (int(word) for word in words)
    return (high << 32) | low


def _key(words: Any) -> jax.Array:
    """Make a JAX key, high word first, of two words."""
    return jax.random.wrap_key_data(jnp.asarray(words[::-1]), impl=_KEY)


def _same(a: Any, b: Any) -> bool:
    """Whether two leaves are equal; what is traced is equal to itself."""
    if a is b or isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return a is b
    if _is_key(a) or _is_key(b):
        if not (_is_key(a) and _is_key(b)):
            return False
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    typed = {np.asarray(x).dtype for x in (a, b) if not isinstance(x, (int, float))}
    return len(typed) < 2 and np.array_equal(a, b)


def _is_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jnp.issubdtype(
        value.dtype, jax.dtypes.prng_key
    )


def _written(value: Any) -> str:
    """Write a number so that Python reads the same, given jax, jnp, np and Quantity."""
    if isinstance(value, jax.core.Tracer):
        return repr(value)
    if _is_key(value):
        words = _written(jax.random.key_data(value))
        return f"jax.random.wrap_key_data({words}, impl={_KEY!r})"
    if units.is_quantity(value):
        return f"Quantity({_written(value.mantissa)}, {str(value.unit)!r})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_written, value))})"
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        array = np.asarray(value)
        module = "jnp" if isinstance(value, jax.Array) else "np"
        return f"{module}.array({array.tolist()!r}, {str(array.dtype)!r})"
    return repr(value)


def operand(matrix: RandomMatrix, other: Any) -> tuple[Any, bool]:
    """Give the array that a matrix is to be multiplied by, and whether it is events."""
    value = other.value if isinstance(other, Events) else units.gather(other)
    arguments.check_array(value, "x")
    if rank(value) not in {1, 2}:
        raise TypeError(
            f"a {type(matrix).__name__} can be multiplied by an array of one or two "
            f"axes, or by Events of such an array, got {other!r}"
        )
    events = isinstance(other, Events) or units.split(value)[0].dtype == np.bool_
    return value, events


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
