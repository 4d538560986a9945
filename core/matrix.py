# SPDX-License-Identifier: Apache-2.0
"""What random matrices have in common, and events to multiply them by."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self

import jax
import jax.numpy as jnp
import numpy as np

from . import units, validation
from .aliases import Factor, Numbers
from .inspection import Inspectable

if TYPE_CHECKING:
    from .sharding import ShardedMatrix


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

    def __init__(self, value: Numbers) -> None:
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


class RandomMatrix(Inspectable):
    """What the matrices share: products from the right, scaling, and equality."""

    __array_ufunc__ = None

    def __array__(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse to become an array: NumPy would make one of objects."""
        raise TypeError(
            f"a {type(self).__name__} is no array, for it is not stored: write M @ x "
            "for a product, M.todense() for the dense matrix, M[i, j] for an entry"
        )

    def __array_function__(self, function: Any, *_args: Any) -> NoReturn:
        """Refuse NumPy's functions, as ``__array__`` does."""
        self.__array__(function)

    def __eq__(self, other: object) -> bool:
        """Whether the other is made of the same numbers, in the same way."""
        if not isinstance(other, RandomMatrix):
            return NotImplemented
        leaves, structure = jax.tree.flatten(self)
        others, other_structure = jax.tree.flatten(other)
        if not bool(structure == other_structure):  # type: ignore[operator]
            return False
        return all(map(_same, leaves, others))

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

    def shard(
        self,
        mesh: jax.sharding.Mesh,
        *,
        rows: str | Sequence[str] | None = None,
        columns: str | Sequence[str] | None = None,
        batch: str | Sequence[str] | None = None,
    ) -> ShardedMatrix:
        """Cut the matrix over a mesh: each device draws its own window of it.

        Events are the only thing that devices exchange for ``S @ events`` where rows
        are cut: as packed bits, each device gets those of all. Where columns are cut,
        the devices' integer sums are added before they are weighed. So the result has
        the bits of one device, whatever the mesh; products of floats are within their
        bounds.

        Every vector is cut over all the devices: x over ``(columns, rows)`` and
        ``S @ x`` over ``(rows, columns)``, the outer axis first. A result can go into
        the next product as it is if just one of the two is given. A device's window
        of a matrix of blocks is an equal share of the rows and of the columns of every
        block.

        Parameters
        ----------
        mesh : jax.sharding.Mesh
            Of automatic or explicit axes, over the devices of one or of many processes.
        rows, columns : str or sequence of str, optional
            Mesh axes that rows and columns are cut over; one of the two is needed.
        batch : str or sequence of str, optional
            Mesh axes that a batch of vectors, x of shape (n, k), is cut over. Each of
            its devices draws the same windows.

        Returns
        -------
        ShardedMatrix
            What does not divide by the number of devices is filled up with rows and
            columns of zeros.

        Raises
        ------
        TypeError, ValueError
            It is no mesh, it has no such axes, or the rows or columns, filled up, would
            go beyond 2**31 - 1.

        Examples
        --------
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import synjit
        >>> mesh = jax.make_mesh((jax.device_count(),), ("n",))
        >>> M = synjit.JITNormal(1.0, 0.1, 0.5, 42, shape=(30, 50))
        >>> S = M.shard(mesh, rows="n")
        >>> spikes = jnp.arange(50) % 7 == 0
        >>> y = S.rows.collect(S @ S.columns.place(spikes))
        >>> bool((y == M @ spikes).all())
        True
        """
        from .sharding import ShardedMatrix

        return ShardedMatrix(self, mesh, rows, columns, batch)

    def __rmatmul__(self, other: Any) -> Any:
        """Multiply an array, or events, from the right."""
        if isinstance(other, Events):
            other = Events(other.value.T)
        elif rank(other) == 2:
            validation.check_array(other, "x")  # another package's .T may unwrap it
            other = other.T
        if self.unit is not None and _asked_by_brainunit():
            raise TypeError(
                "x @ M is taken apart by brainunit before 0.6 where x is a quantity, "
                "which would lose the unit of M: write M.T @ x, or (M.T @ x.T).T of a "
                "matrix x, or take a newer brainunit (it needs Python 3.12). So it is "
                "where M was multiplied by a unit from the left: write M * unit"
            )
        result = self.T @ other
        return result.T if result.ndim == 2 else result

    def __mul__(self, factor: Factor) -> Self:
        """Scale all weights by a number, a quantity or a unit."""
        if rank(factor) != 0 and not units.is_unit(factor):
            raise TypeError(
                f"a {type(self).__name__} can be scaled by a number, a quantity or a "
                f"unit, got {factor!r}"
            )
        return self._scaled(factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Factor) -> Self:
        """Divide all weights by a number, a quantity or a unit."""
        return self * (1.0 / divisor)

    def __neg__(self) -> Self:
        """Change the sign of all weights."""
        return self * -1.0


def operand(matrix: RandomMatrix, other: Any) -> tuple[Any, bool]:
    """Give the array that a matrix is to be multiplied by, and whether it is events."""
    value = other.value if isinstance(other, Events) else units.gather(other)
    validation.check_array(value, "x")
    if matrix.unit is not None and _asked_by_brainunit():
        raise TypeError(
            "a matrix that has a unit was multiplied by another from the left, and is "
            "now a brainunit.Quantity, whose products have a wrong unit: write "
            "M * unit, not unit * M"
        )
    if rank(value) not in {1, 2}:
        raise TypeError(
            f"a {type(matrix).__name__} can be multiplied by an array of one or two "
            f"axes, or by Events of such an array, got {other!r}"
        )
    events = isinstance(other, Events) or units.split(value)[0].dtype == np.bool_
    return value, events


def _asked_by_brainunit() -> bool:
    """Whether brainunit called us, with what a quantity was made of (before 0.6)."""
    frame, package = inspect.currentframe(), "synjit"
    while frame and package == "synjit":
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        frame = frame.f_back
    return package in {"brainunit", "saiunit"}


def rank(value: Any) -> int:
    """Give the number of axes; -1 of what has none."""
    if isinstance(value, (int, float)):
        return 0
    return getattr(value, "ndim", -1)


def _same(a: Any, b: Any) -> bool:
    """Whether two leaves are equal; what is traced is equal to itself."""
    if a is b or isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return a is b
    if is_key(a) or is_key(b):
        if not (is_key(a) and is_key(b)):
            return False
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    typed = {np.asarray(x).dtype for x in (a, b) if not isinstance(x, (int, float))}
    return len(typed) < 2 and np.array_equal(a, b)


def is_key(value: Any) -> bool:
    """Whether a value is a typed key of JAX."""
    return isinstance(value, jax.Array) and jnp.issubdtype(
        value.dtype, jax.dtypes.prng_key
    )
