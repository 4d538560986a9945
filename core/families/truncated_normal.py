# SPDX-License-Identifier: Apache-2.0
"""Normal weights between bounds: none has the wrong sign."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax
import numpy as np

from synjit import arguments, units
from synjit.jit_matrix import JITMatrix
from synjit.reference import TruncatedNormal


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
    prob, seed, shape, origin, corder, backend
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

    def __init__(
        self,
        w_loc: Any,
        w_scale: Any,
        prob: Any,
        seed: Any = None,
        *,
        low: Any = None,
        high: Any = None,
        bounds: tuple[float, float] | None = None,
        shape: tuple[int, int],
        origin: Any = (0, 0),
        corder: bool = True,
        backend: str | None = None,
    ) -> None:
        self.w_loc, self.w_scale = w_loc, w_scale
        if bounds is None:
            ends = [
                _standard(w_loc, w_scale, low, "low", -math.inf),
                _standard(w_loc, w_scale, high, "high", math.inf),
            ]
            bounds = min(ends), max(ends)
        elif low is not None or high is not None:
            raise TypeError("give low and high, or bounds, and not both")
        self.bounds = _checked(bounds)
        self._finish(prob, seed, shape, origin, corder, backend)

    def law(self) -> TruncatedNormal:
        """Give the law of x."""
        return TruncatedNormal(*self.bounds)


def _checked(bounds: Any) -> tuple[float, float]:
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise TypeError(
            "bounds must be two numbers of standard deviations, got "
            f"{arguments.describe(bounds)}"
        ) from None
    law = TruncatedNormal(low, high)
    return law.low, law.high


def _standard(w_loc: Any, w_scale: Any, bound: Any, name: str, without: float) -> float:
    """Give a bound in standard deviations from the mean."""
    values, names = (w_loc, w_scale), ("w_loc", "w_scale")
    (loc, scale), _ = arguments.check_parameters(values, names)
    if isinstance(scale, jax.core.Tracer):
        known = False
    else:
        known = not isinstance(loc, jax.core.Tracer)
        if known and not float(scale) != 0:
            raise ValueError(
                f"w_scale must not be 0 where weights have bounds, got {scale}: take "
                "JITConstant for weights that are all alike"
            )
    if bound is None:
        return -without if known and float(scale) < 0 else without
    if not known:
        raise TypeError(
            f"{name} needs a w_loc and a w_scale that are known when the matrix is "
            "made, and they are traced: give bounds, in standard deviations"
        )
    _, at, _ = units.split_pair(w_loc, bound, f"w_loc and {name}")
    if np.shape(at) not in {(), (1,)}:
        raise TypeError(f"{name} must be a number, got {arguments.describe(bound)}")
    return (float(np.reshape(at, ())) - float(loc)) / float(scale)
