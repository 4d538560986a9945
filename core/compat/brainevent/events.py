# SPDX-License-Identifier: Apache-2.0
"""Events as brainevent reads them: whatever is not zero."""

from __future__ import annotations

import sys
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from synjit import units, validation
from synjit.matrix import Events, RandomMatrix


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


def events(value: Any) -> Events:
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


def read(other: Any) -> Any:
    """Read an operand as brainevent does: our BinaryArray, or what it wraps itself."""
    if isinstance(other, (BinaryArray, _of_brainevent("BinaryArray"))):
        return events(other.value)
    if isinstance(other, _of_brainevent("WeightedArray")):
        return other.value
    return other


def _of_brainevent(name: str) -> Any:
    """Give a class of brainevent, or no class where that is not imported."""
    return getattr(sys.modules.get("brainevent"), name, ())
