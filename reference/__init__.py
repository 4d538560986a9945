# SPDX-License-Identifier: Apache-2.0
"""The law: what W is, in NumPy and the standard library, meant to be read.

Read ``threefry``, ``quantile_table``, ``normal``, ``draw``, ``connection_rules``,
``weight_laws``, ``products`` and ``delays`` in this order. Every backend is held to
this package, and no constant of the draw stands elsewhere.
"""

from . import (
    connection_rules,
    delays,
    draw,
    normal,
    products,
    quantile_table,
    threefry,
    weight_laws,
)
from .connection_rules import Bernoulli, FixedOutDegree, Rule, connectivity_of
from .delays import Delays
from .draw import DRAW_VERSION, Connectivity, count_distribution, entry, seed_words
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
    "Bernoulli",
    "Connectivity",
    "Constant",
    "Delays",
    "Exponential",
    "FixedOutDegree",
    "FromQuantile",
    "LogNormal",
    "Matrix",
    "Normal",
    "Rule",
    "TruncatedNormal",
    "Uniform",
    "Weights",
    "connection_rules",
    "connectivity_of",
    "count_distribution",
    "delays",
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
