# SPDX-License-Identifier: Apache-2.0
"""The law: what W is, in NumPy and the standard library, meant to be read.

Read ``threefry``, ``normal``, ``draw`` and ``products`` in this order. Every
backend is held to this package, and no constant of the draw stands elsewhere.
"""

from . import draw, normal, products, threefry
from .draw import DRAW_VERSION, Law, entry, law, seed_words
from .products import ABSENT, Matrix, weigh

__all__ = [
    "ABSENT",
    "DRAW_VERSION",
    "Law",
    "Matrix",
    "draw",
    "entry",
    "law",
    "normal",
    "products",
    "seed_words",
    "threefry",
    "weigh",
]
