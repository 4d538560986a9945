# SPDX-License-Identifier: Apache-2.0
"""The law: what W is, in NumPy and the standard library, meant to be read.

Read ``threefry``, ``quantile_table``, ``normal``, ``draw``, ``weight_laws`` and
``products`` in this order. Every backend is held to this package, and no constant of
the draw stands elsewhere.
"""

from . import draw, normal, products, quantile_table, threefry, weight_laws
from .draw import DRAW_VERSION, CountDistribution, count_distribution, entry, seed_words
from .products import ABSENT, Matrix, weigh
from .weight_laws import (
    Constant,
    Exponential,
    FromQuantile,
    LogNormal,
    Normal,
    TruncatedNormal,
    Uniform,
    Weights,
)

__all__ = [
    "ABSENT",
    "DRAW_VERSION",
    "Constant",
    "CountDistribution",
    "Exponential",
    "FromQuantile",
    "LogNormal",
    "Matrix",
    "Normal",
    "TruncatedNormal",
    "Uniform",
    "Weights",
    "count_distribution",
    "draw",
    "entry",
    "normal",
    "products",
    "quantile_table",
    "seed_words",
    "threefry",
    "weigh",
    "weight_laws",
]
