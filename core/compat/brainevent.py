# SPDX-License-Identifier: Apache-2.0
"""What users of brainevent 0.3.0 import to run their code on synjit.

The random matrices of brainevent's three families, its functions, and ``BinaryArray``,
under its names and with its signatures. ``docs/brainevent.md`` lists what differs.

As there, a matrix depends on its shape and on ``corder``: the matrix of the turned
shape and the other ``corder`` is its transpose, and ``JITC...R`` and ``JITC...C`` of
the same arguments are the same matrix. Without ``corder``, ``M @ events`` costs what
the active columns cost; with it, ``events @ M`` what the active rows do.
"""

from __future__ import annotations

import inspect
import operator
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn, Self

import jax
import jax.numpy as jnp
import numpy as np

from synjit import products, units, validation
from synjit.families import JITConstant, JITNormal, JITUniform
from synjit.hookspecs import Product
from synjit.jit_matrix import JITMatrix
from synjit.matrix import Events, RandomMatrix, rank

__all__ = [
    "BinaryArray",
    "JITCNormalC",
    "JITCNormalR",
    "JITCScalarC",
    "JITCScalarR",
    "JITCUniformC",
    "JITCUniformR",
    "binary_jitnmm",
    "binary_jitnmv",
    "binary_jitsmm",
    "binary_jitsmv",
    "binary_jitumm",
    "binary_jitumv",
    "jitn",
    "jitnmm",
    "jitnmv",
    "jits",
    "jitsmm",
    "jitsmv",
    "jitu",
    "jitumm",
    "jitumv",
]

# --- events -----------------------------------------------------------------------


@jax.tree_util.register_pytree_node_class
class BinaryArray:
    """An array of events: every entry that is not zero is one, as in brainevent.

    Negative entries and NaN are events too. By an array of floats, the derivative of
    a product is that of the product by numbers, the linear surrogate. For events that
    are entries above zero, take ``synjit.Events``. Matrices outside of this module
    refuse a ``BinaryArray``.

    Parameters
    ----------
    value : array
        Boolean, integer or real, with or without a unit.
    """

    __array_ufunc__ = None  # numpy, leave @ to us

    value: Any

    def __init__(self, value: Any) -> None:
        value = value.value if isinstance(value, BinaryArray) else value
        value = units.gather(value)
        self.value = jnp.asarray(value) if isinstance(value, np.ndarray) else value

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self.value.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.value.ndim

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(self.value.size)

    @property
    def dtype(self) -> np.dtype:
        """Type of the entries."""
        return self.value.dtype

    @property
    def T(self) -> Any:  # noqa: N802, as in NumPy
        """The array, transposed; no longer marked as events."""
        return self.value.T

    def with_value(self, value: Any) -> Self:
        """Mark another array."""
        return type(self)(value)

    def __len__(self) -> int:
        """Length of the first axis."""
        return len(self.value)

    def __getitem__(self, index: Any) -> Any:
        """Give a part of the array; no longer marked as events."""
        return self.value[index]

    def __matmul__(self, matrix: Any) -> Any:
        """Multiply from the left."""
        if not isinstance(matrix, RandomMatrix):
            return NotImplemented
        return matrix.__rmatmul__(self)

    def __repr__(self) -> str:
        """Show the array."""
        return f"BinaryArray({self.value!r})"

    def tree_flatten(self) -> tuple[tuple[Any], None]:
        """Give the array as the only leaf."""
        return (self.value,), None

    @classmethod
    def tree_unflatten(cls, _aux: None, leaves: tuple[Any]) -> BinaryArray:
        """Wrap a leaf, as it is."""
        new = object.__new__(cls)
        (new.value,) = leaves
        return new


def _events(value: Any) -> Events:
    """Mark what is not zero as events above zero."""
    number, unit = units.split(value)
    validation.check_array(number, "events")
    number = jnp.asarray(number)
    if jnp.issubdtype(number.dtype, jnp.floating):
        number = _nonzero(number)
    elif jnp.issubdtype(number.dtype, jnp.integer):
        number = number != 0
    return Events(units.attach(number, unit))


@jax.custom_jvp
def _nonzero(x: jax.Array) -> jax.Array:
    return (x != 0).astype(x.dtype)


@_nonzero.defjvp
def _nonzero_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    """Pass the tangent on: the linear surrogate."""
    return _nonzero(*primals), *tangents  # type: ignore[return-value]


def _read(other: Any) -> Any:
    """Read an operand as brainevent does: our BinaryArray, or what it wraps itself."""
    if isinstance(other, (BinaryArray, _of_brainevent("BinaryArray"))):
        return _events(other.value)
    if isinstance(other, _of_brainevent("WeightedArray")):
        return other.value
    return other


def _of_brainevent(name: str) -> Any:
    """Give a class of brainevent, or no class where that is not imported."""
    return getattr(sys.modules.get("brainevent"), name, ())


# --- matrices ---------------------------------------------------------------------


class _JITC(JITMatrix):
    """What the classes of the three families share.

    A matrix with ``corder`` is kept as the transpose of what synjit draws for the
    turned shape.
    """

    FIXED: ClassVar = ()
    ARGUMENTS: ClassVar[tuple[str, ...]]  # of the constructor, before prob
    SHIFTED: ClassVar[tuple[str, ...]]  # parameters to add to what is added to weights
    OTHER: ClassVar[type[_JITC]]  # class of the transpose

    def _set(
        self,
        given: Sequence[Any],
        shape: tuple[int, int],
        corder: bool,
        backend: str | None,
    ) -> None:
        names = (*self.ARGUMENTS, "prob", "seed")
        if all(value is None for value in given[1:]):
            (given,) = given[:1]
        if not isinstance(given, (tuple, list)) or len(given) != len(names):
            raise TypeError(
                f"{type(self).__name__} takes {', '.join(names)}, or a tuple of these "
                f"{len(names)}, got {validation.describe(given)}"
            )
        *parameters, prob, seed = given
        for name, value in zip(self.PARAMETERS, parameters, strict=True):
            setattr(self, name, _array(value))
        if getattr(seed, "shape", ()) == (1,):
            seed = seed.reshape(())
        turned = slice(None, None, -1 if validation.check_flag(corder, "corder") else 1)
        stored = validation.check_shape(shape)[turned]
        _check_backend(backend)
        self._finish(prob, seed, stored, (0, 0), corder, backend)  # type: ignore[arg-type]
        self.transposed = self.corder

    @classmethod
    def pre_post(cls, *_: Any, **__: Any) -> NoReturn:
        """Refuse: corder says it here."""
        raise TypeError(
            f"{cls.__name__} has no pre_post: corder=True makes spikes @ W event-driven"
        )

    # --- what it is ---------------------------------------------------------------

    @property
    def T(self) -> Any:  # noqa: N802, as in NumPy
        """The transpose: of the other class, the turned shape, the other corder."""
        return self.transpose()

    def transpose(self, axes: None = None) -> Any:
        """Give the transpose, as ``T`` does."""
        if axes is not None:
            raise ValueError(f"transpose takes no axes, got {axes!r}")
        new = object.__new__(self.OTHER)
        turned = {"corder": not self.corder, "transposed": not self.transposed}
        new.__dict__.update(self.__dict__ | turned)
        return new

    @property
    def data(self) -> Any:
        """The parameters of the weights: an array, or a tuple of them."""
        values = tuple(getattr(self, name) for name in self.PARAMETERS)
        return values if len(values) > 1 else values[0]

    def with_data(self, data: Any) -> Self:
        """Make the same matrix with other parameters of the weights.

        Parameters
        ----------
        data
            As ``data`` gives it, each of the same shape and unit as before.

        Raises
        ------
        AssertionError
            A shape or a unit is another one.
        """
        values = data if len(self.PARAMETERS) > 1 else (data,)
        changes = {}
        for name, value in zip(self.PARAMETERS, values, strict=True):
            before, now = getattr(self, name), _array(value)
            if now.shape != before.shape or _unit(now) != _unit(before):
                raise AssertionError(
                    f"{name} must keep its shape and unit, {_kind(before)}; "
                    f"got {_kind(now)}"
                )
            changes[name] = now
        return self._with(**changes)

    def _arguments(self) -> dict[str, Any]:
        names = (*self.PARAMETERS, "prob", "seed")
        called = (*self.ARGUMENTS, "prob", "seed")
        given = {c: getattr(self, n) for c, n in zip(called, names, strict=True)}
        m, n = self._stored_shape
        given["shape"] = (n, m) if self.corder else (m, n)
        return given | {"corder": self.corder, "backend": self.backend}

    def replace(self, **changes: Any) -> Self:
        """Make a matrix of the same kind with other arguments of the constructor."""
        new = JITMatrix.replace(self._with(transposed=False), **changes)
        return new._with(transposed=new.corder)  # noqa: SLF001

    def __repr__(self) -> str:
        """Show a call that makes the same matrix."""
        return JITMatrix.__repr__(self._with(transposed=False))

    # --- products -----------------------------------------------------------------

    def __matmul__(self, other: Any) -> Any:
        """Multiply an array, or events, from the left."""
        return super().__matmul__(_read(other))

    def __rmatmul__(self, other: Any) -> Any:
        """Multiply an array, or events, from the right."""
        return super().__rmatmul__(_read(other))

    # --- operators ----------------------------------------------------------------

    def __mul__(self, factor: Any) -> Self:
        """Scale all weights, and so their standard deviation too."""
        return super().__mul__(_scalar(factor))

    __rmul__ = __mul__

    def __pos__(self) -> Self:
        """Give the same matrix."""
        return self

    def __add__(self, other: Any) -> Self:
        """Add a number to the weight of every connection."""
        other = _scalar(other)
        if rank(other) != 0:
            raise TypeError(
                f"a number can be added to the weights of a {type(self).__name__}, got "
                f"{validation.describe(other)}"
            )
        names = self.SHIFTED
        return self._with(**{name: getattr(self, name) + other for name in names})

    __radd__ = __add__

    def __sub__(self, other: Any) -> Self:
        """Take a number from the weight of every connection."""
        return self + (-other)

    def __rsub__(self, other: Any) -> Self:
        """Take the weight of every connection from a number."""
        return -self + other

    def apply(self, fn: Callable[[Any], Any]) -> Self:
        """Apply ``operator.neg`` or ``operator.pos``.

        Raises
        ------
        TypeError
            It is another function, which would make another law of the weights.
        """
        if fn not in {operator.neg, operator.pos}:
            raise TypeError(
                f"the weights of a {type(self).__name__} can be negated, scaled and "
                f"shifted: {fn!r} would give them another law; set their parameters "
                "by with_data"
            )
        return fn(self)

    def apply2(
        self, other: Any, fn: Callable[[Any, Any], Any], *, reverse: bool = False
    ) -> Any:
        """Apply an operator: ``fn(self, other)``, or ``fn(other, self)``."""
        return fn(other, self) if reverse else fn(self, other)


def _array(value: Any) -> Any:
    """Make arrays of numbers, which have a dtype and a shape."""
    value = units.gather(value)
    if units.is_quantity(value):
        import brainunit

        return brainunit.math.asarray(value)
    if isinstance(value, (bool, int, float, np.ndarray, np.generic)):
        return jnp.asarray(value)
    return value  # an array of JAX, or what the check of parameters refuses


def _scalar(value: Any) -> Any:
    """Give a number for an array of one."""
    if getattr(value, "size", 0) == 1 and value.ndim > 0:
        return value.reshape(())
    return value


def _unit(value: Any) -> Any:
    return units.split(value)[1]


def _kind(value: Any) -> str:
    unit = _unit(value)
    return f"{tuple(value.shape)} and {'no unit' if unit is None else unit}"


def _check_backend(backend: str | None) -> None:
    if backend == "cuda_raw":
        raise ValueError(
            "synjit has no backend 'cuda_raw': leave backend out, which takes the best "
            "for the platform, or say 'pallas_gpu'"
        )


def _by_weight(fn: Callable[[Any, Any], Any], *, reverse: bool = False) -> Any:
    """Make an operator of one of the weight."""
    return lambda self, other: self.apply2(other, fn, reverse=reverse)


class _Scalar(_JITC, JITConstant):
    """One weight for all connections: whatever is done to it is done to the matrix."""

    ARGUMENTS: ClassVar = ("weight",)

    def __init__(
        self,
        weight: Any,
        prob: Any = None,
        seed: Any = None,
        *,
        shape: tuple[int, int],
        corder: bool = False,
        backend: str | None = None,
    ) -> None:
        self._set((weight, prob, seed), shape, corder, backend)

    def apply(self, fn: Callable[[Any], Any]) -> Self:
        """Apply a function to the weight."""
        return self._with(weight=fn(self.weight))

    def apply2(
        self, other: Any, fn: Callable[[Any, Any], Any], *, reverse: bool = False
    ) -> Self:
        """Apply a function to the weight and a number, or another matrix's weight.

        Raises
        ------
        NotImplementedError
            The other matrix has other connections.
        """
        if isinstance(other, _Scalar):
            if self._with(weight=0.0) != other._with(weight=0.0):  # noqa: SLF001
                raise NotImplementedError(
                    "two matrices can be combined if their class, prob, seed, shape, "
                    f"corder and backend are the same, got {self!r} and {other!r}"
                )
            other = other.weight
        other, weight = _scalar(other), self.weight
        if rank(other) not in {0, rank(weight)} and not units.is_unit(other):
            raise TypeError(
                f"the weight of a {type(self).__name__} can be combined with a number, "
                f"got {validation.describe(other)}"
            )
        return self._with(weight=fn(other, weight) if reverse else fn(weight, other))

    def __abs__(self) -> Self:
        """Take the weight's magnitude."""
        return self.apply(abs)

    __mul__ = __rmul__ = _by_weight(operator.mul)
    __truediv__ = _by_weight(operator.truediv)
    __rtruediv__ = _by_weight(operator.truediv, reverse=True)
    __add__ = __radd__ = _by_weight(operator.add)
    __sub__ = _by_weight(operator.sub)
    __rsub__ = _by_weight(operator.sub, reverse=True)
    __mod__ = _by_weight(operator.mod)
    __rmod__ = _by_weight(operator.mod, reverse=True)


class _Normal(_JITC, JITNormal):
    """Normal weights."""

    PARAMETERS: ClassVar = ("wloc", "wscale")
    ARGUMENTS: ClassVar = ("loc", "scale")
    SHIFTED: ClassVar = ("wloc",)

    def __init__(
        self,
        loc: Any,
        scale: Any = None,
        prob: Any = None,
        seed: Any = None,
        *,
        shape: tuple[int, int],
        corder: bool = False,
        backend: str | None = None,
    ) -> None:
        self._set((loc, scale, prob, seed), shape, corder, backend)


class _Uniform(_JITC, JITUniform):
    """Uniform weights."""

    PARAMETERS: ClassVar = ("wlow", "whigh")
    ARGUMENTS: ClassVar = ("low", "high")
    SHIFTED: ClassVar = PARAMETERS

    def __init__(
        self,
        low: Any,
        high: Any = None,
        prob: Any = None,
        seed: Any = None,
        *,
        shape: tuple[int, int],
        corder: bool = False,
        backend: str | None = None,
    ) -> None:
        self._set((low, high, prob, seed), shape, corder, backend)
        bounds, _ = self._check_parameters()
        known = not any(isinstance(bound, jax.core.Tracer) for bound in bounds)
        if known and float(bounds[0]) > float(bounds[1]):
            raise ValueError(
                f"wlow must not be above whigh, got {bounds[0]} and {bounds[1]}"
            )


@jax.tree_util.register_pytree_node_class
class JITCScalarR(_Scalar):
    """A random matrix whose connections all have the same weight.

    Parameters
    ----------
    weight : float, array of one element, or Quantity
        Or a tuple (weight, prob, seed).
    prob, seed
        As of ``synjit.JITConstant``.
    shape : (int, int)
        Rows and columns.
    corder : bool
        As the module says.
    backend : str, optional
        Name of a backend of synjit.

    Examples
    --------
    >>> from synjit.compat.brainevent import BinaryArray, JITCScalarR
    >>> M = JITCScalarR((2.0, 1.0, 42), shape=(2, 3))
    >>> M @ BinaryArray([1.0, 0.0, -1.0])
    Array([4., 4.], dtype=float32)
    """


@jax.tree_util.register_pytree_node_class
class JITCScalarC(_Scalar):
    """The same matrix as ``JITCScalarR`` of the same arguments."""


@jax.tree_util.register_pytree_node_class
class JITCNormalR(_Normal):
    """A random matrix with normal weights.

    Parameters
    ----------
    loc, scale : float, array of one element, or Quantity
        Mean and standard deviation; ``loc`` may be a tuple (loc, scale, prob, seed).
    prob, seed, shape, corder, backend
        As of ``JITCScalarR``.
    """


@jax.tree_util.register_pytree_node_class
class JITCNormalC(_Normal):
    """The same matrix as ``JITCNormalR`` of the same arguments."""


@jax.tree_util.register_pytree_node_class
class JITCUniformR(_Uniform):
    """A random matrix with uniform weights.

    Parameters
    ----------
    low, high : float, array of one element, or Quantity
        Bounds of the weights; ``low`` may be a tuple (low, high, prob, seed).
    prob, seed, shape, corder, backend
        As of ``JITCScalarR``.
    """


@jax.tree_util.register_pytree_node_class
class JITCUniformC(_Uniform):
    """The same matrix as ``JITCUniformR`` of the same arguments."""


for _r, _c in (
    (JITCScalarR, JITCScalarC),
    (JITCNormalR, JITCNormalC),
    (JITCUniformR, JITCUniformC),
):
    _r.OTHER, _c.OTHER = _c, _r  # type: ignore[attr-defined]


# --- functions --------------------------------------------------------------------


def _function(matrix: type[_JITC], like: Callable[..., Any]) -> Callable[..., Any]:
    """Make brainevent's function of the name of one of synjit's.

    The product is by the matrix of the shape that ``transpose`` gives and of
    ``corder``; events are what is not zero.
    """
    name = like.__name__
    product: Product = "events" if name.startswith("binary_") else "floats"
    own = inspect.signature(like).parameters
    before = [p for p in own.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    after = [own[key] for key in ("shape", "transpose", "corder", "backend")]
    signature = inspect.Signature([*before, *after])

    def function(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        m, n = validation.check_shape(given.pop("shape"))
        turned = validation.check_flag(given.pop("transpose"), "transpose")
        layout = {key: given.pop(key) for key in ("corder", "backend")}
        layout["shape"] = (n, m) if turned else (m, n)
        operand = next((key for key in ("vector", "B") if key in given), "")
        x = given.pop(operand, None)
        M = matrix(tuple(given.values()), **layout)  # type: ignore[call-arg]  # noqa: N806
        if not operand:
            return M.todense()
        if product == "events":
            x = _events(x).value
        return M.multiply(x, operand, 1 if operand == "vector" else 2, product)

    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__doc__ = (
        f"As ``synjit.{name}``, with brainevent's reading of its arguments.\n\n"
        "It is the product, or the matrix itself, of the shape that is left after "
        "``transpose`` and of ``corder``;\nevents are entries that are not zero.\n"
    )
    return function


jits = _function(JITCScalarR, products.jits)
jitsmv = _function(JITCScalarR, products.jitsmv)
jitsmm = _function(JITCScalarR, products.jitsmm)
binary_jitsmv = _function(JITCScalarR, products.binary_jitsmv)
binary_jitsmm = _function(JITCScalarR, products.binary_jitsmm)
jitn = _function(JITCNormalR, products.jitn)
jitnmv = _function(JITCNormalR, products.jitnmv)
jitnmm = _function(JITCNormalR, products.jitnmm)
binary_jitnmv = _function(JITCNormalR, products.binary_jitnmv)
binary_jitnmm = _function(JITCNormalR, products.binary_jitnmm)
jitu = _function(JITCUniformR, products.jitu)
jitumv = _function(JITCUniformR, products.jitumv)
jitumm = _function(JITCUniformR, products.jitumm)
binary_jitumv = _function(JITCUniformR, products.binary_jitumv)
binary_jitumm = _function(JITCUniformR, products.binary_jitumm)


# --- deprecated names -------------------------------------------------------------

_RENAMED = {
    "JITCHomoR": JITCScalarR,
    "JITCHomoC": JITCScalarC,
    "EventArray": BinaryArray,
}


def __getattr__(name: str) -> Any:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new = _RENAMED[name]
    message = f"{name} is a deprecated name of brainevent: take {new.__name__}"
    warnings.warn(message, DeprecationWarning, stacklevel=2)
    return new
