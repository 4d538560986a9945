# SPDX-License-Identifier: Apache-2.0
"""Normal weights between bounds: none has the wrong sign."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax
import numpy as np

from synjit import units, validation
from synjit.aliases import Delay, Numbers, Place, Prob, Seed
from synjit.jit_matrix import JITMatrix
from synjit.reference import TruncatedNormal
from synjit.validation import one_by_one


@jax.tree_util.register_pytree_node_class
class JITTruncatedNormal(JITMatrix):
    """A random matrix with normal weights that are drawn again outside of bounds.

    With ``low=0`` no weight is negative, as Dale's law wants it of the excitatory ones.

    The law keeps the bounds in standard deviations from ``w_loc``. Where the weights
    change afterwards, in ``replace`` or by an optimiser, the bounds go with them; and
    derivatives by ``w_loc`` and ``w_scale`` are those at fixed ``bounds``.

    Parameters
    ----------
    w_loc, w_scale : float, array of one element, or Quantity
        Mean and standard deviation of the normal before it is cut.
    low, high : float or Quantity, optional
        Bounds of the weights. They need weights that are known when the matrix is made.
    bounds : (float, float), optional
        The same as numbers of standard deviations, ``(low - w_loc) / w_scale`` and
        ``(high - w_loc) / w_scale``, instead of low and high.
    prob, seed, shape, origin, self_connections, delay, corder, backend
        As of ``JITMatrix``.

    Examples
    --------
    >>> import synjit
    >>> M = synjit.JITTruncatedNormal(1.0, 1.0, 1.0, 42, low=0.0, shape=(20, 20))
    >>> bool((M.todense() > 0).all())
    True
    """

    PARAMETERS: ClassVar = ("w_loc", "w_scale")
    FIXED: ClassVar = ("bounds",)

    @one_by_one
    def __init__(
        self,
        w_loc: Numbers,
        w_scale: Numbers,
        prob: Prob,
        seed: Seed = None,
        *,
        low: Numbers | None = None,
        high: Numbers | None = None,
        bounds: tuple[float, float] | None = None,
        shape: tuple[int, int],
        origin: Place = (0, 0),
        self_connections: bool = True,
        delay: Delay = None,
        corder: bool = True,
        backend: str | None = None,
    ) -> None:
        self.w_loc, self.w_scale = w_loc, w_scale
        if bounds is None:
            bounds = _in_standard_deviations(w_loc, w_scale, low, high)
        elif low is not None or high is not None:
            raise TypeError("give low and high, or bounds, and not both")
        self.bounds = _checked(bounds)
        self._finish(
            prob, seed, shape, origin, corder, backend, self_connections, delay
        )

    def law(self) -> TruncatedNormal:
        """Give the law of x."""
        return TruncatedNormal(*self.bounds)


def _checked(bounds: Any) -> tuple[float, float]:
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise TypeError(
            "bounds must be two numbers of standard deviations, got "
            f"{validation.describe(bounds)}"
        ) from None
    law = TruncatedNormal(low, high)
    return law.low, law.high


def _in_standard_deviations(
    w_loc: Any, w_scale: Any, low: Any, high: Any
) -> tuple[float, float]:
    """Give low and high as numbers of standard deviations from the mean."""
    if low is None and high is None:
        return -math.inf, math.inf
    values, names = (w_loc, w_scale), ("w_loc", "w_scale")
    (loc, scale), _ = validation.check_parameters(values, names)
    if any(isinstance(number, jax.core.Tracer) for number in (loc, scale)):
        raise TypeError(
            "low and high need a w_loc and a w_scale that are known when the matrix is "
            "made, and they are traced: give bounds, in standard deviations"
        )
    if not float(scale) != 0:
        raise ValueError(
            f"w_scale must not be 0 where weights have bounds, got {scale}: take "
            "JITConstant for weights that are all alike"
        )

    def standard(bound: Any, name: str, without: float) -> float:
        if bound is None:
            return math.copysign(1.0, float(scale)) * without
        _, at, _ = units.split_pair(w_loc, bound, f"w_loc and {name}")
        if np.shape(at) not in {(), (1,)}:
            raise TypeError(
                f"{name} must be a number, got {validation.describe(bound)}"
            )
        return (float(np.reshape(at, ())) - float(loc)) / float(scale)

    ends = standard(low, "low", -math.inf), standard(high, "high", math.inf)
    return ends if float(scale) > 0 else ends[::-1]
