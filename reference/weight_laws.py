# SPDX-License-Identifier: Apache-2.0
"""Laws of weights: W[i, j] = loc + scale * x(i, j), with x of one of these laws.

A law is data: a table, a mean and a spread, with x = mean + spread * z * 2**-16, where
the integer z comes from the hash of (i, j) through the table. To add one, write down
its parameters and its quantile function.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import normal
from .quantile_table import CONSTANT_WORDS
from .table_builder import Quantile, QuantileTable, build

INFINITY = math.inf
FURTHEST_BOUND = 12  # standard deviations, of a truncated normal


@dataclass(frozen=True, repr=False)
class Weights:
    """A law of weights; see its subclasses, and ``from_quantile`` for any other.

    Laws are compared by kind and parameters, and can be keys. The table of one is built
    when it is first asked for, and kept while the process runs.
    """

    @property
    def table(self) -> NDArray[np.uint32]:
        """Words that ``quantile_table.look_up`` reads: 0, 2048 or 8192 of them."""
        return self.quantile_table.words

    @property
    def mean(self) -> float:
        """What is added to ``spread * z * 2**-16``, so that z is centred."""
        return self.quantile_table.mean

    @property
    def spread(self) -> float:
        """Power of two near the standard deviation."""
        return self.quantile_table.spread

    @property
    def quantile_table(self) -> QuantileTable:
        """Table, mean and spread."""
        return _build(self)

    def is_symmetric(self) -> bool:
        """Whether x and -x have the same law; its table is then the shorter."""
        return False

    def support(self) -> tuple[float, float]:
        """Bounds of x, which no value reaches."""
        return -INFINITY, INFINITY

    def quantile_function(self) -> Quantile:
        """Give the function of (p, upper) that ``table_builder.Quantile`` describes.

        It computes in the current decimal context.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no quantile function: take one of the laws "
            "derived from it, or Weights.from_quantile"
        )

    def coefficients(
        self, loc: np.floating, scale: np.floating
    ) -> tuple[np.floating, np.floating]:
        """Give a and b with W = a * N + b * Z * 2**-16, in the dtype of loc and scale.

        A law with mean 0 leaves loc alone, even where scale is not finite.
        """
        real = loc.dtype.type
        a = loc + scale * real(self.mean) if self.mean else loc
        return a, scale * real(self.spread)

    def __repr__(self) -> str:
        """Give an expression that makes the law again."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return (
            f"{type(self).__name__}({', '.join(f'{n}={_show(v)}' for n, v in values)})"
        )

    @staticmethod
    def from_quantile(
        function: Callable[[Decimal], Any],
        low: float = -INFINITY,
        high: float = INFINITY,
        symmetric: bool = False,
    ) -> FromQuantile:
        """Make a law from anybody's quantile function.

        Parameters
        ----------
        function : callable
            Takes a probability, a Decimal in (0, 1) of up to 45 digits, and gives a
            finite Decimal, int or float; never falls. It is called some 8000 times in a
            context of 45 digits. A jump becomes a ramp across one cell of the table,
            at most 2**-8 of the probability. Floats are taken as they are, so that the
            bits of the weights are those of the libm they came from.
        low, high : float, optional
            Bounds that no weight may reach.
        symmetric : bool, optional
            Whether ``function(1 - u) == -function(u)``.

        Raises
        ------
        ValueError, TypeError
            When the table is first asked for, if the function is not as it should be.
        """
        return FromQuantile(function, low, high, symmetric)


@functools.lru_cache(maxsize=256)
def _build(law: Weights) -> QuantileTable:
    low, high = law.support()
    return build(
        repr(law),
        law.quantile_function,
        law.is_symmetric(),
        (Decimal(low), Decimal(high)),
    )


# --- the laws ---------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Constant(Weights):
    """x = 0: every weight is loc, whatever the scale."""

    @property
    def quantile_table(self) -> QuantileTable:
        """No words: there is nothing to look up."""
        return QuantileTable(np.zeros(CONSTANT_WORDS, np.uint32), 0.0, 1.0)

    def quantile_function(self) -> Quantile:
        """Give 0."""
        return lambda _p, _upper: Decimal(0)


@dataclass(frozen=True, repr=False)
class Normal(Weights):
    """The standard normal, by the table that is frozen in ``normal_table.txt``."""

    @property
    def quantile_table(self) -> QuantileTable:
        """Give the frozen words."""
        return QuantileTable(normal.TABLE, 0.0, 1.0)

    def quantile_function(self) -> Quantile:
        """Give the quantiles of the normal."""
        z = normal.Quantile()
        return lambda p, upper: z(p) if upper else -z(p)


@dataclass(frozen=True, repr=False)
class Uniform(Weights):
    """Uniform on [-1, 1]."""

    def is_symmetric(self) -> bool:
        """Give True."""
        return True

    def support(self) -> tuple[float, float]:
        """Bounds of x, which no value reaches."""
        return -1.0, 1.0

    def quantile_function(self) -> Quantile:
        """Give 1 - 2 p, or its negative."""
        return lambda p, upper: 1 - 2 * p if upper else 2 * p - 1


@dataclass(frozen=True, repr=False)
class LogNormal(Weights):
    """exp(sigma * z) with z a standard normal: the median is 1.

    Parameters
    ----------
    sigma : float
    """

    sigma: float

    def support(self) -> tuple[float, float]:
        """Bounds of x, which no value reaches."""
        return 0.0, INFINITY

    def __post_init__(self) -> None:
        """Check the parameter."""
        _set_real(self, "sigma")
        if not 0 < self.sigma < INFINITY:
            raise ValueError(
                f"sigma must be positive and finite, got {self.sigma} (sigma = 0 is "
                "Constant() with loc + scale for loc)"
            )

    def quantile_function(self) -> Quantile:
        """Give the exponential of the normal's quantile."""
        z, sigma = normal.Quantile(), Decimal(self.sigma)
        return lambda p, upper: (sigma * z(p) if upper else -sigma * z(p)).exp()


@dataclass(frozen=True, repr=False)
class TruncatedNormal(Weights):
    """The standard normal between two bounds: drawn again, not clipped, outside.

    Parameters
    ----------
    low, high : float, optional
        Bounds, in standard deviations; no x reaches them.
    """

    low: float = -INFINITY
    high: float = INFINITY

    def __post_init__(self) -> None:
        """Check the bounds."""
        _set_real(self, "low")
        _set_real(self, "high")
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.low > FURTHEST_BOUND or self.high < -FURTHEST_BOUND:
            raise ValueError(
                f"the part of the normal from {self.low} to {self.high} lies beyond "
                f"{FURTHEST_BOUND} standard deviations; so far out it is nearly an "
                "exponential law: use Exponential()"
            )

    def is_symmetric(self) -> bool:
        """Whether the bounds are."""
        return self.low == -self.high

    def support(self) -> tuple[float, float]:
        """Bounds of x, which no value reaches."""
        return self.low, self.high

    def quantile_function(self) -> Quantile:
        """Give the quantiles of a part of the normal, from its mode outwards."""
        low, high = Decimal(self.low), Decimal(self.high)
        mode, mass = min(max(low, Decimal(0)), high), normal.mass(low, high)
        above, below = normal.mass(mode, high) / mass, normal.mass(low, mode) / mass
        upper_z = normal.Quantile(mode, above, mass)
        lower_z = normal.Quantile(-mode, below, mass)
        return lambda p, upper: upper_z(p) if upper else -lower_z(p)


@dataclass(frozen=True, repr=False)
class Exponential(Weights):
    """The exponential law of mean 1; x is positive."""

    def support(self) -> tuple[float, float]:
        """Bounds of x, which no value reaches."""
        return 0.0, INFINITY

    def quantile_function(self) -> Quantile:
        """Give minus the logarithm of the probability above."""
        return lambda p, upper: -(p if upper else 1 - p).ln()


@dataclass(frozen=True, repr=False)
class FromQuantile(Weights):
    """What ``Weights.from_quantile`` makes; the same function, the same law."""

    function: Callable[[Decimal], Any]
    low: float = -INFINITY
    high: float = INFINITY
    symmetric: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked before the function is called."""
        if not callable(self.function):
            raise TypeError(
                "a quantile function is a function of a probability, got "
                f"{self.function!r}"
            )
        _set_real(self, "low")
        _set_real(self, "high")
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")

    def support(self) -> tuple[float, float]:
        """Bounds of x, which no value reaches."""
        return self.low, self.high

    def is_symmetric(self) -> bool:
        """Give what was said of it."""
        return self.symmetric

    def quantile_function(self) -> Quantile:
        """Give the function, by the probability of either side."""

        def quantile(p: Decimal, upper: bool) -> Decimal:
            u = 1 - p if upper else p
            try:
                return _decimal(self.function(u))
            except Exception as error:
                error.add_note(f"in {self!r}, for the probability {u:.12g}")
                raise

        return quantile


# --- parameters -------------------------------------------------------------------


def _set_real(law: Weights, name: str) -> None:
    """Make a field a float, and refuse what is none."""
    value = getattr(law, name)
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(
            f"{name} of {type(law).__name__} must be a real number that is known when "
            f"the law is made (it cannot be traced, and has no derivative), got "
            f"{value!r}"
        )
    if math.isnan(value):
        raise ValueError(f"{name} of {type(law).__name__} must be a number, got nan")
    object.__setattr__(law, name, float(value) + 0.0)  # and -0.0 is 0.0


def _decimal(x: Any) -> Decimal:
    """Take a real number as it is."""
    if isinstance(x, Decimal | int | float):
        return Decimal(x)
    if isinstance(x, Real):
        return Decimal(float(x))
    raise TypeError(f"a quantile must be a Decimal, an int or a float, got {x!r}")


def _show(value: Any) -> str:
    if isinstance(value, float) and math.isinf(value):
        return f"float('{value}')"
    return getattr(value, "__qualname__", None) or repr(value)
