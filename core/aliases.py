# SPDX-License-Identifier: Apache-2.0
"""Types of what users pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, Union

import jax
from jax.typing import ArrayLike

from .reference import Delays, Rule

if TYPE_CHECKING:
    from brainunit import Quantity, Unit

# A number, or numbers, with a unit or without.
Numbers: TypeAlias = Union[ArrayLike, Sequence[float], "Quantity"]
# What a matrix can be scaled by.
Factor: TypeAlias = Union[ArrayLike, "Quantity", "Unit"]
# Probability of a connection, or another rule of connections.
Prob: TypeAlias = ArrayLike | Rule
# An integer, an array of one, or a key; None draws one.
Seed: TypeAlias = int | ArrayLike | jax.Array | None
# Steps, or a law of them.
Delay: TypeAlias = int | Delays | None
# Row and column.
Place: TypeAlias = tuple[ArrayLike, ArrayLike] | Sequence[int] | jax.Array
