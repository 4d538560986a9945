# SPDX-License-Identifier: Apache-2.0
"""Lognormal weights."""

from __future__ import annotations

from typing import Any, ClassVar

import jax

from synjit.aliases import Delay, Numbers, Place, Prob, Seed
from synjit.jit_matrix import JITMatrix
from synjit.reference import LogNormal
from synjit.validation import one_by_one


@jax.tree_util.register_pytree_node_class
class JITLogNormal(JITMatrix):
    """A random matrix with lognormal weights, which all have one sign.

    Weights are ``w_median * exp(sigma * z)``, z standard normal. Their mean is
    ``w_median * exp(sigma**2 / 2)``; those of ``lognormal(mu, sigma)`` elsewhere have
    the median ``exp(mu)``.

    Parameters
    ----------
    w_median : float, array of one element, or Quantity
        Median of the weights.
    sigma : float
        Standard deviation of their logarithm: known when the matrix is made, for it
        decides the table that is drawn from. There is no derivative by it.
    prob, seed, shape, origin, self_connections, delay, corder, backend
        As of ``JITMatrix``.

    Examples
    --------
    >>> import synjit
    >>> W = synjit.JITLogNormal(-0.5, 1.0, 42, sigma=1.0, shape=(20, 20)).todense()
    >>> bool((W < 0).all())
    True
    """

    PARAMETERS: ClassVar = ("w_median",)
    FIXED: ClassVar = ("sigma",)

    @one_by_one
    def __init__(
        self,
        w_median: Numbers,
        prob: Prob,
        seed: Seed = None,
        *,
        sigma: float,
        shape: tuple[int, int],
        origin: Place = (0, 0),
        self_connections: bool = True,
        delay: Delay = None,
        corder: bool = True,
        backend: str | None = None,
    ) -> None:
        self.w_median, self.sigma = w_median, LogNormal(sigma).sigma
        self._finish(
            prob, seed, shape, origin, corder, backend, self_connections, delay
        )

    @staticmethod
    def affine(w_median: Any) -> tuple[Any, Any]:
        """Give loc and scale."""
        return 0.0, w_median

    def law(self) -> LogNormal:
        """Give the law of x."""
        return LogNormal(self.sigma)
