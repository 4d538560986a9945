# SPDX-License-Identifier: Apache-2.0
"""Normal weights."""

from __future__ import annotations

from typing import ClassVar

import jax

from synjit.aliases import Delay, Numbers, Place, Prob, Seed
from synjit.jit_matrix import JITMatrix
from synjit.reference import Normal
from synjit.validation import one_by_one


@jax.tree_util.register_pytree_node_class
class JITNormal(JITMatrix):
    """A random matrix with normal weights.

    Parameters
    ----------
    w_loc, w_scale : float, array of one element, or Quantity
        Mean and standard deviation of the weights.
    prob, seed, shape, origin, self_connections, delay, corder, backend
        As of ``JITMatrix``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import synjit
    >>> M = synjit.JITNormal(1.0, 0.1, 0.5, 42, shape=(3, 5))
    >>> spikes = jnp.array([True, False, True, True, False])
    >>> bool(jnp.allclose(M @ spikes, M.todense() @ spikes.astype(jnp.float32)))
    True
    >>> W = synjit.JITNormal.pre_post(1.0, 0.1, 0.5, 42, shape=(5, 3))
    >>> bool((spikes @ W == M @ spikes).all())
    True
    """

    PARAMETERS: ClassVar = ("w_loc", "w_scale")
    FIXED: ClassVar = ()

    @one_by_one
    def __init__(
        self,
        w_loc: Numbers,
        w_scale: Numbers,
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
        self.w_loc, self.w_scale = w_loc, w_scale
        self._finish(
            prob, seed, shape, origin, corder, backend, self_connections, delay
        )

    def law(self) -> Normal:
        """Give the law of x."""
        return Normal()
