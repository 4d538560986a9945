# SPDX-License-Identifier: Apache-2.0
"""One weight for all connections."""

from __future__ import annotations

from typing import Any, ClassVar

import jax

from synjit.aliases import Delay, Numbers, Place, Prob, Seed
from synjit.jit_matrix import JITMatrix
from synjit.reference import Constant
from synjit.validation import one_by_one


@jax.tree_util.register_pytree_node_class
class JITConstant(JITMatrix):
    """A random matrix whose connections all have the same weight.

    Parameters
    ----------
    weight : float, array of one element, or Quantity
    prob, seed, shape, origin, self_connections, delay, corder, backend
        As of ``JITMatrix``.

    Examples
    --------
    >>> import synjit
    >>> synjit.JITConstant(2.0, 1.0, 42, shape=(2, 2)).todense()
    Array([[2., 2.],
           [2., 2.]], dtype=float32)
    """

    PARAMETERS: ClassVar = ("weight",)
    FIXED: ClassVar = ()

    @one_by_one
    def __init__(
        self,
        weight: Numbers,
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
        self.weight = weight
        self._finish(
            prob, seed, shape, origin, corder, backend, self_connections, delay
        )

    @staticmethod
    def affine(weight: Any) -> tuple[Any, Any]:
        """Give loc and scale."""
        return weight, 0.0

    def law(self) -> Constant:
        """Give the law of x."""
        return Constant()
