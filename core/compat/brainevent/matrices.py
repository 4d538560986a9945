# SPDX-License-Identifier: Apache-2.0
"""The classes of brainevent's three families of random matrices."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar, Self

import jax

from synjit import units, validation
from synjit.families import JITConstant, JITNormal, JITUniform
from synjit.matrix import rank

from .base import JITC, scalar


def _by_weight(fn: Callable[[Any, Any], Any], *, reverse: bool = False) -> Any:
    """Make an operator of one of the weight."""
    return lambda self, other: self.apply2(other, fn, reverse=reverse)


class _Scalar(JITC, JITConstant):
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
        other, weight = scalar(other), self.weight
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


class _Normal(JITC, JITNormal):
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


class _Uniform(JITC, JITUniform):
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
