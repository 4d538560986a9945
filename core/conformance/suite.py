# SPDX-License-Identifier: Apache-2.0
"""Hold a backend to the reference, case by case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from synjit import reference
from synjit.hookspecs import Problem

from .cases import Case


@dataclass(frozen=True)
class Failure:
    """A case that went wrong, and how."""

    case: Case
    reason: str


@dataclass
class Report:
    """What was checked, and what failed."""

    backend: str
    platform: str
    checks: int = 0
    failures: list[Failure] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether anything was checked and nothing failed."""
        return self.checks > 0 and not self.failures


def run(registered: Any, platform: str, cases: Sequence[Case]) -> Report:
    """Run the cases on a backend, on this process's first device of a platform."""
    report = Report(registered.backend.name, platform)
    device = jax.local_devices(backend=platform)[0]
    for case in cases:
        report.checks += 1
        try:
            reason = _check(registered, platform, device, case)
        except Exception as error:  # noqa: BLE001, whatever a backend may raise
            reason = f"{type(error).__name__}: {error}"
        if reason:
            report.failures.append(Failure(case, reason))
    return report


def problem_of(case: Case, platform: str, law: reference.Law) -> Problem:
    """State a case in the words of the contract."""
    return Problem(
        product=case.product,
        shape=case.shape,
        transpose=case.transpose,
        batch=case.batch,
        dtype=case.dtype,
        corder=case.corder,
        log2_chunk=law.log2_chunk,
        platform=platform,
    )


def call(registered: Any, platform: str, device: Any, case: Case) -> list[NDArray]:
    """Run one case on a backend, under jit."""
    law = reference.law(case.prob)
    problem = problem_of(case, platform, law)
    refusal = registered.hook.synjit_refuses(problem=problem)
    if refusal:
        raise NotImplementedError(f"the backend refuses this problem: {refusal}")
    operands = {
        "seed": np.array(reference.seed_words(case.seed), np.uint32),
        "origin": np.array(case.origin, np.uint32),
        "law": law.encode(),
    }
    hook = getattr(registered.hook, f"synjit_{case.product}")
    if case.product != "dense":
        operands["events" if case.product == "events" else "values"] = case.operand()
    operands = jax.device_put(operands, device)
    results = jax.jit(lambda arrays: hook(problem=problem, **arrays))(operands)
    return [np.asarray(result) for result in jax.tree.leaves(results)]


def expected(case: Case) -> tuple[list[NDArray], list[NDArray]]:
    """Results of the reference, and how far a backend may be from each."""
    matrix = reference.Matrix(case.seed, case.prob, case.shape, case.origin)
    if case.product == "dense":
        return [matrix.dense()], [np.zeros((), np.int32)]
    operand = case.operand()
    if case.product == "events":
        results = list(matrix.events(operand, case.transpose))
        return results, [np.zeros((), np.int32)] * 2
    results = list(matrix.floats(operand, case.transpose))
    # A sum of k terms in any order is off by at most k units of rounding of the sum
    # of their magnitudes (Higham, Accuracy and Stability, 2nd ed., section 4.2).
    sizes = matrix.magnitudes(operand, case.transpose)
    terms = max(operand.shape[0], 1)
    unit = float(np.finfo(case.dtype).eps)
    return results, [size * terms * unit for size in sizes]


def _check(registered: Any, platform: str, device: Any, case: Case) -> str:
    got = call(registered, platform, device, case)
    want, bounds = expected(case)
    names = {"events": "NZ", "floats": "AB", "dense": "z"}[case.product]
    if len(got) != len(want):
        return f"returned {len(got)} arrays, not {len(want)}"
    dtype = np.dtype(case.dtype if case.product == "floats" else np.int32)
    return next(
        _differences(names, got, want, bounds, dtype),
        "",
    )


def _differences(
    names: str,
    got: list[NDArray],
    want: list[NDArray],
    bounds: list[NDArray],
    dtype: np.dtype,
) -> Iterable[str]:
    for name, result, right, bound in zip(names, got, want, bounds, strict=True):
        if result.shape != right.shape:
            yield f"{name} has shape {result.shape}, not {right.shape}"
        elif result.dtype != dtype:
            yield f"{name} has dtype {result.dtype}, not {dtype}"
        else:
            gap = np.abs(result.astype(np.float64) - right.astype(np.float64))
            bad = ~(gap <= bound)
            if bad.any():
                where = tuple(int(i) for i in np.argwhere(bad)[0])
                yield (
                    f"{name}{list(where)} is {result[where]}, not {right[where]} "
                    f"({int(bad.sum())} of {bad.size} entries differ)"
                )
