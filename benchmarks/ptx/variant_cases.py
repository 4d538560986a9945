# SPDX-License-Identifier: Apache-2.0
"""Cases that run every variant: with few events, for the matrices are large."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from synjit.conformance.cases import Case, Prob, Table
from synjit.conformance.runner import problem_of
from synjit.hookspecs import Problem
from synjit.reference import FixedOutDegree
from synjit.reference.quantile_table import CONSTANT_WORDS, GENERAL_WORDS

# A prob whose chunks have 2**k rows, and, of a k of which two kernels are compiled,
# one that takes the other.
_PROBS: dict[int | None, tuple[Prob, ...]] = {
    13: (0.01,),
    17: (6e-4,),
    10: (0.1, 0.5),
    None: (0.01, 0.5),
}
_TABLES: dict[int, Table] = {CONSTANT_WORDS: "constant", GENERAL_WORDS: "lognormal"}
# Active rows, of W.T: fewer than the connections of a chunk, which are probed, and
# more, for which chunks are listed. Those of W are columns.
FEW, MANY = 3, 110
MOST = 700  # of the columns of a delivery, too many for a list


@dataclass(frozen=True)
class FewEvents(Case):
    """A case whose last events only are there, of blocks those of each."""

    events: int = FEW

    def operand(self) -> NDArray:
        """Events or values, few of which are not 0."""
        size = (self.operand_length, self.batch)
        rng = np.random.default_rng(self.events)
        active = np.zeros(size, np.bool_)
        groups = self.problem_grid.columns or size[:1]
        for end in np.cumsum(groups):
            last = slice(end - self.events, end)
            active[last] = rng.random((self.events, self.batch)) < 0.7
        active[-1] = True
        if self.product != "floats":
            return active
        values = np.zeros(size, self.dtype)
        values[active] = rng.normal(size=int(active.sum()))
        return values


def cases_of_blocks() -> list[Case]:
    """List cases of blocks: of one kind, of several tables, of several rules."""
    grid = ((0.01, None, 0.1), (6e-4, 0.5, None))
    fixed = FixedOutDegree(100, 100_000), FixedOutDegree(9, 100_000)
    rules = ((0.01, *fixed), (0.1, None, 6e-4))
    of_one = FewEvents("weighted", 0.01, (100_000, 99_999), grid=grid)
    return [
        of_one,
        replace(of_one, batch=3),
        replace(of_one, table="mixed", known=False),
        replace(of_one, grid=rules, self_connections=False),
    ]


def cases_of_deliveries() -> list[Case]:
    """List deliveries: of one kind, of several, and of one vector and more."""
    grid = ((0.01, None, 0.1), (6e-4, 0.5, None))
    fixed = FixedOutDegree(100, 9_000)
    one = FewEvents("deliver", 0.01, (2_000, 2_999), grid=((0.01, 0.1),), now=40)
    one = replace(one, delays="normal")
    mixed = replace(one, grid=grid, delays="mixed", table="mixed", known=False)
    return [
        one,
        replace(one, batch=3),
        replace(one, dtype="float64"),
        mixed,
        replace(one, grid=((0.01, fixed),), self_connections=False),
    ]


def cases_of(problem: Problem) -> Iterator[Case]:
    """Give cases that take every way through the kernels of a variant."""
    if problem.grid.blocks:
        of_blocks = [*cases_of_blocks(), *cases_of_deliveries()]
        (case,) = (c for c in of_blocks if problem_of(c, "cuda") == problem)
        yield case
        if problem.product == "deliver":  # by a list, and by places
            yield replace(case, events=MOST)
        return
    m = problem.shape[0]
    probs = _PROBS[problem.log2_chunk]
    if problem.rule == "fixed_out_degree":
        rows = 100_000
        probs = (FixedOutDegree(100, rows), FixedOutDegree(rows // 2, rows))
        probs = probs[: 1 if problem.transpose or problem.product == "dense" else 2]
    for prob in probs:
        case = FewEvents(
            problem.product,
            prob,
            problem.shape,
            transpose=problem.transpose,
            batch=max(problem.batch, 1),
            dtype="float64" if problem.dtype == "float64" else "float32",
            known=problem.log2_chunk is not None,
            table=_TABLES.get(problem.weights, "normal"),
            self_connections=problem.self_connections,
            events=min(FEW, m),
        )
        yield case
        if problem.transpose:
            yield replace(case, events=MANY)
