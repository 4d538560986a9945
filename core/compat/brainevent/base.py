# SPDX-License-Identifier: Apache-2.0
"""What brainevent's classes of random matrices share."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn, Self

import jax.numpy as jnp
import numpy as np

from synjit import units, validation
from synjit.jit_matrix import JITMatrix
from synjit.matrix import rank

from .events import read
from .storage import store


class JITC(JITMatrix):
    """What the classes of the three families share.

    A matrix with ``corder`` is kept as the transpose of what synjit draws for the
    turned shape.
    """

    FIXED: ClassVar = ()
    ARGUMENTS: ClassVar[tuple[str, ...]]  # of the constructor, before prob
    SHIFTED: ClassVar[tuple[str, ...]]  # parameters to add to what is added to weights
    OTHER: ClassVar[type[JITC]]  # class of the transpose

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
            setattr(self, name, array(value))
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
            before, now = getattr(self, name), array(value)
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

    # --- copies -------------------------------------------------------------------

    def tocsr(self) -> Any:  # type: ignore[override]
        """Store the connections in compressed rows, with their unit."""
        return store(self, "CSR")

    def tocsc(self) -> Any:  # type: ignore[override]
        """Store the connections in compressed columns, with their unit."""
        return store(self, "CSC")

    def tocoo(self) -> Any:  # type: ignore[override]
        """Store the connections as a list of coordinates, with their unit."""
        return store(self, "COO")

    # --- products -----------------------------------------------------------------

    def __matmul__(self, other: Any) -> Any:
        """Multiply an array, or events, from the left."""
        return super().__matmul__(read(other))

    def __rmatmul__(self, other: Any) -> Any:
        """Multiply an array, or events, from the right."""
        return super().__rmatmul__(read(other))

    # --- operators ----------------------------------------------------------------

    def __mul__(self, factor: Any) -> Self:
        """Scale all weights, and so their standard deviation too."""
        return super().__mul__(scalar(factor))

    __rmul__ = __mul__

    def __pos__(self) -> Self:
        """Give the same matrix."""
        return self

    def __add__(self, other: Any) -> Self:
        """Add a number to the weight of every connection."""
        other = scalar(other)
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


def array(value: Any) -> Any:
    """Make arrays of numbers, which have a dtype and a shape."""
    value = units.gather(value)
    if units.is_quantity(value):
        import brainunit

        return brainunit.math.asarray(value)
    if isinstance(value, (bool, int, float, np.ndarray, np.generic)):
        return jnp.asarray(value)
    return value  # an array of JAX, or what the check of parameters refuses


def scalar(value: Any) -> Any:
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
