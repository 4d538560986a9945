# SPDX-License-Identifier: Apache-2.0
"""Planted defects: draws with one thing wrong, each of which must be caught.

All but those of whole matrices stand on the reference and replace one step of it.
"""

from __future__ import annotations

from .steps import Draw
from .wrong_places import (
    BiasedThresholds,
    ColumnsComeAgain,
    FewRounds,
    FixedCounts,
    FourRounds,
    NoBijection,
    OneWordForAllRounds,
    RoundedStride,
    SameKeysInEveryChunk,
    SameKeysInTwoColumns,
    SeedBitIgnored,
    SharedCountWord,
    TwoRounds,
    UnkeyedMultipliers,
)
from .wrong_weights import (
    CoarseWeights,
    HeavyTails,
    SumOfUniforms,
    SymmetricMatrix,
    SymmetricWeights,
    ToeplitzMatrix,
    WeakWeightHash,
    WeightsByPlace,
    WeightsFollowMask,
    WeightsOfRowPairs,
    WeightsWithoutColumn,
)

DEFECTS = (
    TwoRounds,
    FewRounds,
    FourRounds,
    UnkeyedMultipliers,
    OneWordForAllRounds,
    NoBijection,
    SameKeysInEveryChunk,
    SameKeysInTwoColumns,
    ColumnsComeAgain,
    SeedBitIgnored,
    SharedCountWord,
    BiasedThresholds,
    FixedCounts,
    RoundedStride,
    WeightsWithoutColumn,
    WeightsOfRowPairs,
    SymmetricWeights,
    WeakWeightHash,
    WeightsByPlace,
    SumOfUniforms,
    CoarseWeights,
    HeavyTails,
    WeightsFollowMask,
    SymmetricMatrix,
    ToeplitzMatrix,
)

__all__ = ["DEFECTS", "Draw"]
