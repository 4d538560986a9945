# SPDX-License-Identifier: Apache-2.0
"""Cases of other rules of connections than a prob, and of no self-connections.

Of every product three problems are compiled for each direction, and varied by what
they need not be compiled again for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from synjit.reference import FixedOutDegree

from .cases import Case

# Columns 1010 .. 1046 of rows from 1020 on: the diagonal lies across an edge of short
# chunks, and not where the window's own diagonal does.
ACROSS = (1020, 1010)
ASIDE = (500, 3)
# Rules for windows of 2100 rows. Many rows and few; of chunks that are nearly full,
# and half; with one connection, as many as there can be, and more than a chunk has of
# a prob.
OUT_DEGREES = (
    (FixedOutDegree(30, 2100), (0, 0)),
    (FixedOutDegree(1100, 2100), (0, 3)),
    (FixedOutDegree(2100, 2100), (0, 0)),
    (FixedOutDegree(0, 2100), (0, 0)),
    (FixedOutDegree(1, 2100), (0, 2**31 - 100)),
    (FixedOutDegree(2500, 4095), (1990, 5)),
    (FixedOutDegree(9000, 70_001), (65_000, 65_010)),
    (FixedOutDegree(2**21, 2**31 - 1), (2**31 - 2200, 3)),
    (FixedOutDegree(100, 2048), (1000, 3)),  # beyond all rows there is nothing
)
# Without self-connections; all windows have some of the diagonal.
WITHOUT_SELF = (
    (FixedOutDegree(40, 2100), (0, 0)),
    (FixedOutDegree(2099, 2100), (0, 20)),
    (FixedOutDegree(1500, 3300), (1100, 1090)),
)


def quick_rules(like: Case) -> Iterator[Case]:
    """Vary the rule of a case of a window of 2100 rows."""
    every = replace(like, pattern="all", known=False)
    without = replace(every, self_connections=False)
    for prob, origin in ((0.1, (0, 0)), (0.9, ACROSS), (0.9, ASIDE), (1.0, ACROSS)):
        yield replace(without, prob=prob, origin=origin)
    yield replace(without, prob=0.9, origin=ACROSS, pattern="random")
    for rule, origin in OUT_DEGREES:
        yield replace(every, prob=rule, origin=origin)
    yield replace(every, prob=OUT_DEGREES[1][0], origin=(0, 3), pattern="random")
    without = replace(without, known=True)
    for rule, origin in WITHOUT_SELF:
        yield replace(without, prob=rule, origin=origin)
    few = replace(without, pattern="one")
    yield replace(few, prob=WITHOUT_SELF[0][0])


# Rules side by side; which block has self-connections alternates.
RULES_GRID = (
    (0.5, FixedOutDegree(700, 9000)),
    (FixedOutDegree(30, 9000), 0.05),
    (FixedOutDegree(5000, 9000), None),
)


def quick_rules_of_blocks(like: Case) -> Iterator[Case]:
    """Vary the rules of a grid."""
    grid = replace(like, grid=RULES_GRID, prob=0.5, pattern="all")
    yield replace(grid, self_connections=False)
    yield replace(grid, self_connections=False, origin=(3, 5))
    yield replace(grid, self_connections=False, pattern="random", seeds="equal")


def full_rules_of_blocks(like: Case) -> Iterator[Case]:
    """Vary the rules of grids with all else."""
    grid = replace(like, grid=RULES_GRID, prob=0.5)
    yield grid
    yield replace(grid, batch=3, known=False, self_connections=False)
    yield replace(grid, table="mixed", concrete=True)
    yield replace(like, self_connections=False, pattern="all")


def full_rules(like: Case) -> Iterator[Case]:
    """Vary the rule with all else."""
    shapes: tuple[Any, ...] = (
        ((7, 5), FixedOutDegree(3, 7)),
        ((1, 5), FixedOutDegree(1, 1)),
        ((300, 300), FixedOutDegree(100, 300)),
        ((1024, 17), FixedOutDegree(1024, 1024)),
        ((1025, 17), FixedOutDegree(20, 1025)),
        ((3, 3001), FixedOutDegree(2, 3)),
        ((50, 60), FixedOutDegree(500, 100_000)),
        ((70_001, 3), FixedOutDegree(7000, 70_001)),
    )
    for shape, rule in shapes:
        own = replace(like, shape=shape, prob=rule)
        yield own
        yield replace(own, pattern="all")
        if rule.k < rule.rows:
            yield replace(own, self_connections=False)
            yield replace(own, self_connections=False, pattern="all", known=False)
    for shape in ((300, 300), (1024, 1024), (3, 3001), (1, 1)):
        own = replace(like, shape=shape, self_connections=False)
        for prob in (0.01, 0.3, 1.0):
            yield replace(own, prob=prob)
            yield replace(own, prob=prob, known=False, origin=(1, 1))
    for rule in (FixedOutDegree(200, 1500), FixedOutDegree(5, 1500), 0.1):
        own = replace(like, shape=(1500, 60), prob=rule, self_connections=False)
        yield replace(own, concrete=True)
        yield replace(own, corder=False)
        yield replace(own, table="lognormal")
        if like.product != "dense":
            for batch in (3, 33):
                yield replace(own, batch=batch)
                yield replace(own, batch=batch, self_connections=True)
