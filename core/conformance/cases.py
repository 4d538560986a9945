# SPDX-License-Identifier: Apache-2.0
"""The cases, as data: which matrices, which operands, which directions."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import product as pairs
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Product = Literal["events", "floats", "dense"]
PRODUCTS: tuple[Product, ...] = ("events", "floats", "dense")

Pattern = Literal["none", "one", "all", "random"]


@dataclass(frozen=True)
class Case:
    """One product that a backend is asked for, and all that decides its result."""

    product: Product
    prob: float
    shape: tuple[int, int]
    seed: int = 20140785
    origin: tuple[int, int] = (0, 0)
    transpose: bool = False
    batch: int = 1
    pattern: Pattern = "random"
    dtype: str = "float32"
    corder: bool = True

    def operand(self) -> NDArray:
        """Events or values, made from the case alone; empty for "dense"."""
        length = self.shape[0] if self.transpose else self.shape[1]
        if self.product == "dense":
            return np.zeros((0, 0), np.bool_)
        rng = np.random.default_rng(zlib.crc32(repr(self).encode()))
        events = {
            "none": lambda size: np.zeros(size, np.bool_),
            "one": lambda size: np.arange(size[0])[:, None] == rng.integers(size[0]),
            "all": lambda size: np.ones(size, np.bool_),
            "random": lambda size: rng.random(size) < 0.2,
        }[self.pattern]((length, self.batch))
        events = np.broadcast_to(events, (length, self.batch))
        if self.product == "events":
            return np.ascontiguousarray(events)
        return np.where(events, rng.normal(size=events.shape), 0).astype(self.dtype)


# A chunk is 256 rows long at prob 0.5 and above, 1024 at 0.1, 8192 at 0.01: the
# shapes lie just below, at and above chunks' edges, far inside one, and over many.
_PROBS = (0.0, 1e-4, 0.01, 0.1, 0.3, 0.5, 0.77, 0.9, 1.0)
_QUICK = (
    (0.0, (129, 37)),
    (1e-4, (700, 300)),
    (0.01, (8193, 40)),
    (0.1, (1, 7)),
    (0.1, (10, 10)),
    (0.1, (1024, 33)),
    (0.1, (2500, 50)),
    (0.3, (511, 17)),
    (0.5, (257, 129)),
    (0.77, (300, 65)),
    (0.9, (1, 1)),
    (1.0, (260, 19)),
)


def quick_cases(product: Product) -> list[Case]:
    """Return the cases of the gate: small, and every kind of thing once."""
    directions = (False,) if product == "dense" else (False, True)
    cases = [
        Case(product, prob, shape, transpose=transpose)
        for (prob, shape), transpose in pairs(_QUICK, directions)
    ]
    for transpose in directions:
        cases += [
            Case(product, 0.1, (1500, 60), seed=-1, transpose=transpose),
            Case(product, 0.1, (1500, 60), seed=2**40 + 5, transpose=transpose),
            Case(product, 0.1, (1500, 60), origin=(700, 3), transpose=transpose),
            Case(product, 0.01, (50, 60), origin=(8170, 9), transpose=transpose),
        ]
        if product == "dense":
            continue
        patterns: tuple[Pattern, ...] = ("none", "one", "all")
        cases += [
            Case(product, 0.1, (1500, 60), transpose=transpose, pattern=pattern)
            for pattern in patterns
        ]
        cases += [
            Case(product, 0.1, (1500, 60), transpose=transpose, batch=batch)
            for batch in (2, 5)
        ]
        cases.append(
            Case(product, 0.5, (900, 60), transpose=transpose, corder=False)
        )
    return cases
