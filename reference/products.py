# SPDX-License-Identifier: Apache-2.0
"""The products: plain, slow, right.

For events, W @ s = w_loc * N + w_scale * Z * 2**-16, where N counts the active
connections of a row and Z sums their integer weights. Both are int32 sums that
wrap, so they have no order, and every backend must give the same bits.

For floats v, W @ v = w_loc * A + w_scale * B * 2**-16 with A = mask @ v and
B = (mask * z) @ v: floats have an order, and a backend must come near.

So it is for normal weights. For those of another law, ``Weights.coefficients`` gives
what stands for w_loc and w_scale; N, Z, A and B are sums all the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .connection_rules import Rule, connectivity_of
from .draw import Connectivity, column_connections, seed_words
from .normal import UNIT_BITS
from .weight_laws import Normal, Weights

NORMAL = Normal()
ABSENT = -(2**31)  # stands for 'not connected' in the dense matrix of z


class Matrix:
    """The window of ``shape`` that starts at ``origin`` in the matrix of a seed.

    Parameters
    ----------
    seed : int
    prob : float or Rule
        Probability of a connection, or another rule of connections.
    shape : (int, int)
        Rows (post-synaptic) and columns (pre-synaptic) of the window.
    origin : (int, int), optional
        Its first row and column.
    weights : Weights, optional
        Law of the weights.
    self_connections : bool, optional
        Whether a row may be connected to the column of the same number.
    """

    def __init__(
        self,
        seed: int,
        prob: float | Rule,
        shape: tuple[int, int],
        origin: tuple[int, int] = (0, 0),
        weights: Weights = NORMAL,
        self_connections: bool = True,
    ) -> None:
        if not isinstance(weights, Weights):
            raise TypeError(
                "weights must be a law, such as Normal() or LogNormal(0.5), got "
                f"{weights!r}"
            )
        self.seed: tuple[int, int] = seed_words(seed)
        self.connectivity: Connectivity = connectivity_of(
            prob, shape[0], origin[0], self_connections
        )
        self.shape = shape
        self.origin = origin
        self.weights = weights

    def column(self, j: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Rows (ascending, of the window) and z of the connections of column j."""
        top, left = self.origin
        rows, z = column_connections(
            self.seed,
            self.connectivity,
            left + j,
            top + self.shape[0],
            self.weights.table,
        )
        inside = rows >= top
        return rows[inside].astype(np.int64) - top, z[inside]

    def dense(self) -> NDArray[np.int32]:
        """Z of every entry, ABSENT where there is no connection."""
        result = np.full(self.shape, ABSENT, np.int32)
        for j in range(self.shape[1]):
            rows, z = self.column(j)
            result[rows, j] = z
        return result

    def events(
        self, events: ArrayLike, transpose: bool = False
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """N and Z for each column of a boolean array (n, batch), or (m, batch)."""
        n, z = self._sum(np.asarray(events).astype(np.int64), transpose)
        return _wrap(n), _wrap(z)

    def floats(
        self, values: ArrayLike, transpose: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A and B, in float64, for each column of (n, batch), or of (m, batch)."""
        return self._sum(np.asarray(values, np.float64), transpose)

    def magnitudes(
        self, values: ArrayLike, transpose: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sums of the magnitudes of the terms of A and B: they bound the rounding."""
        return self._sum(np.abs(np.asarray(values, np.float64)), transpose, np.abs)

    def _sum(
        self,
        x: NDArray,
        transpose: bool,
        of_z: Callable[[NDArray], NDArray] = np.positive,
    ) -> tuple[NDArray, NDArray]:
        m, n = self.shape
        sums = np.zeros((2, n if transpose else m, x.shape[1]), x.dtype)
        for j in range(n):
            rows, z = self.column(j)
            ones_and_z = np.stack([np.ones_like(z), of_z(z)]).astype(x.dtype)
            if transpose:
                sums[:, j] = ones_and_z @ x[rows]
            else:
                sums[:, rows] += ones_and_z[:, :, None] * x[j]
        return sums[0], sums[1]


def weigh(
    w_loc: np.floating, w_scale: np.floating, n: NDArray[np.int32], z: NDArray[np.int32]
) -> NDArray:
    """w_loc * N + w_scale * Z * 2**-16 in the weights' dtype, rounded step by step.

    N and Z are converted first. Where N < 0 or Z = -2**31 then, which only sums that
    wrapped are, they add nothing.
    """
    n, z = n.astype(w_loc.dtype), z.astype(w_loc.dtype)
    rest = w_scale * (z * w_loc.dtype.type(2.0**-UNIT_BITS))
    return np.where(n >= 0, w_loc * n, 0) + np.where(z > -(2.0**31), rest, 0)


def _wrap(sums: NDArray[np.int64]) -> NDArray[np.int32]:
    return sums.astype(np.uint32).view(np.int32)
