# SPDX-License-Identifier: Apache-2.0
"""Uniform weights."""

from __future__ import annotations

from typing import Any, ClassVar

import jax

from synjit.aliases import Delay, Numbers, Place, Prob, Seed
from synjit.jit_matrix import JITMatrix
from synjit.reference import Uniform
from synjit.validation import one_by_one


@jax.tree_util.register_pytree_node_class
class JITUniform(JITMatrix):
    """A random matrix with uniform weights.

    Parameters
    ----------
    w_low, w_high : float, array of one element, or Quantity
        Bounds of the weights.
    prob, seed, shape, origin, self_connections, delay, corder, backend
        As of ``JITMatrix``.

    Examples
    --------
    >>> import synjit
    >>> W = synjit.JITUniform(2.0, 3.0, 1.0, 42, shape=(20, 20)).todense()
    >>> bool(((W > 2.0) & (W < 3.0)).all())
    True
    """

    PARAMETERS: ClassVar = ("w_low", "w_high")
    FIXED: ClassVar = ()

    @one_by_one
    def __init__(
        self,
        w_low: Numbers,
        w_high: Numbers,
        prob: Prob,
        seed: Seed = None,
        *,
        shape: tuple[int, int],
        origin: Place = (0, 0),
        self_connections: bool = True,
        delay: Delay = None,
        corder: bool = True,
        backend: str | None = None,
    ) -> None:
        self.w_low, self.w_high = w_low, w_high
        self._finish(
            prob, seed, shape, origin, corder, backend, self_connections, delay
        )

    @staticmethod
    def affine(w_low: Any, w_high: Any) -> tuple[Any, Any]:
        """Give loc and scale: the middle, and half of the width."""
        half = w_low.dtype.type(0.5)
        return (w_low + w_high) * half, (w_high - w_low) * half

    def law(self) -> Uniform:
        """Give the law of x."""
        return Uniform()
