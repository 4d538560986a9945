# SPDX-License-Identifier: Apache-2.0
"""Planted defects of the weights, and of whole matrices."""

from __future__ import annotations

import numpy as np

from synjit.reference import draw, normal

from .sources import Connections, Control
from .steps import Array, Draw, Words

# --- weights ----------------------------------------------------------------------


class WeightsWithoutColumn(Draw):
    """All columns hash their rows under the same words."""

    name = "weights without the column"

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Forget the column."""
        return super().weight(seed, row, np.zeros_like(column))


class WeightsOfRowPairs(Draw):
    """Neighbouring rows of a column have equal weights."""

    name = "weights shared by two rows"

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Forget a bit of the row."""
        return super().weight(seed, row >> np.uint32(1), column)


class SymmetricWeights(Draw):
    """z(i, j) = z(j, i)."""

    name = "symmetric weights"

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Order row and column."""
        return super().weight(seed, np.maximum(row, column), np.minimum(row, column))


class WeakWeightHash(Draw):
    """One multiplication instead of three."""

    name = "weak weight hash"

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Mix too little."""
        w0, w1 = draw.threefry2x32(seed, (column, draw.WEIGHT_PAIR))
        return normal.standard_normal(
            (row ^ w0) * np.uint32(draw.WEIGHT_MULTIPLIERS[0]) + w1
        )


class WeightsByPlace(Draw):
    """Weights larger by a twentieth in the upper half of every 1024 rows."""

    name = "weights correlated with the row"

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Add a little."""
        z = super().weight(seed, row, column)
        return z + (row >> np.uint32(9) & np.uint32(1)).astype(np.int32) * 3277


class SumOfUniforms(Draw):
    """The sum of twelve uniforms, for a normal."""

    name = "sum of twelve uniforms"

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Add halves of six pairs of words."""
        total = np.zeros(np.broadcast(row, column).shape)
        for i in range(6):
            pair = draw.threefry2x32(seed, (column, row * np.uint32(6) + np.uint32(i)))
            total += (pair[0].astype(float) + pair[1]) / 2**32
        return np.rint((total - 6) * 2**normal.UNIT_BITS)


class CoarseWeights(Draw):
    """Weights rounded to 2^-5."""

    name = "weights rounded to 2^-5"

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Round."""
        return np.rint(super().weight(seed, row, column) / 2048) * 2048


class HeavyTails(Draw):
    """One weight in 512 is trebled."""

    name = "heavy tails"

    def weight(self, seed: Words, row: Array, column: Array) -> Array:
        """Let the weight of another row choose."""
        z = super().weight(seed, row, column)
        other = super().weight(seed, row ^ np.uint32(2**30), column)
        return np.where(other % 512 == 0, 3 * z, z)


class WeightsFollowMask(Draw):
    """Mean and spread of a weight depend on what is connected around it."""

    name = "weights that follow the mask"

    def connections(
        self, seed: int, prob: float, shape: tuple[int, int]
    ) -> Connections:
        """Shift and stretch by degrees and gaps."""
        matrix = super().connections(seed, prob, shape)
        column, row = matrix.columns(), matrix.rows.astype(np.int64)
        by_row = np.argsort(row * shape[1] + column)
        right = np.zeros(row.size)
        right[by_row] = np.diff(column[by_row], append=0).clip(0)
        below = np.diff(row, append=0).clip(0)
        z = matrix.z.astype(float)
        for c in (
            np.bincount(row)[row],
            np.bincount(column)[column],
            right,
            below,
            row,
            column,
        ):
            c_scaled = (c - c.mean()) / max(c.std(), 1)
            z = (z + 0.05 * c_scaled) * (1 + 0.05 * c_scaled)
        return matrix._replace(z=z.astype(np.float32))


# --- whole matrices ---------------------------------------------------------------


class SymmetricMatrix:
    """W(i, j) = W(j, i), as far as it is square; weights a tenth too large."""

    name = "symmetric matrix, weights too large"

    def connections(
        self, seed: int, prob: float, shape: tuple[int, int]
    ) -> Connections:
        """Mirror the upper triangle of each square."""
        z, mask = Control().connections(seed, prob, shape).dense()
        side = min(shape)
        for top in range(0, shape[0] - side + 1, side):
            for a in (z[top : top + side, :side], mask[top : top + side, :side]):
                a[:] = np.triu(a) + np.triu(a, 1).T
        return _from_dense(z + np.float32(0.1), mask)


class ToeplitzMatrix:
    """W(i, j) depends on i - j alone."""

    name = "same entries along diagonals"

    def connections(
        self, seed: int, prob: float, shape: tuple[int, int]
    ) -> Connections:
        """Take every entry from one long column."""
        m, n = shape
        z, mask = Control().connections(seed, prob, (m + n, 1)).dense()
        at = np.arange(m)[:, None] - np.arange(n) + n
        return _from_dense(z[at, 0], mask[at, 0])


def _from_dense(z: Array, mask: Array) -> Connections:
    columns, rows = np.nonzero(mask.T)
    starts = np.searchsorted(columns, np.arange(mask.shape[1] + 1))
    return Connections(mask.shape, starts, rows.astype(np.uint32), z[rows, columns])
