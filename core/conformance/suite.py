# SPDX-License-Identifier: Apache-2.0
"""Hold a backend to the reference, case by case."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .cases import Case
from .runner import Refused, Runner

Status = Literal["passed", "failed", "refused"]


@dataclass(frozen=True)
class Result:
    """What became of one check."""

    case: Case
    what: Literal["case", "calls"]
    status: Status
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Failure:
    """A case that went wrong, and how."""

    case: Case
    reason: str

    def snippet(self, backend: str, platform: str) -> str:
        """Give a program that shows the failure."""
        return (
            "from synjit.conformance import Case, check\n\n"
            f"case = {self.case!r}\n"
            f"print(check({backend!r}, case, platform={platform!r}))\n"
        )


@dataclass
class Report:
    """What was to be checked, what was, and what failed."""

    backend: str
    platform: str
    required: int = 0
    results: list[Result] = field(default_factory=list)

    @property
    def checks(self) -> int:
        """Number of checks that ran, to whatever end."""
        return sum(r.status != "refused" for r in self.results)

    @property
    def failures(self) -> list[Failure]:
        """Checks that failed."""
        return [Failure(r.case, r.reason) for r in self.results if r.status == "failed"]

    @property
    def refusals(self) -> list[Result]:
        """Checks that did not run, because the backend does not take the problem."""
        return [r for r in self.results if r.status == "refused"]

    @property
    def passed(self) -> bool:
        """Whether something ran, nothing failed, and no check is missing."""
        complete = len(self.results) == self.required
        return complete and self.checks > 0 and not self.failures

    @property
    def kinds(self) -> set[tuple[bool, bool]]:
        """Kinds of problem, (transpose, batched), of which at least one case ran."""
        return {
            kind_of(r.case.transpose, r.case.batch)
            for r in self.results
            if r.status == "passed"
        }


def kind_of(transpose: bool, batch: int) -> tuple[bool, bool]:
    """Give the kind of a problem: refusing all cases of one leaves it unproved."""
    return transpose, batch > 1


def run(
    registered: Any,
    platform: str,
    cases: Sequence[Case],
    *,
    stop: bool = False,
    runner: Runner | None = None,
) -> Report:
    """Run the cases on a backend, on this process's first device of a platform.

    Parameters
    ----------
    registered : registry.Registered
    platform : str
    cases : sequence of Case
    stop : bool
        Stop at the first failure.
    runner : Runner, optional
        For who wants to watch.

    Returns
    -------
    Report
    """
    runner = runner or Runner(registered, platform)
    small = [c for c in cases if c.shape[0] * c.shape[1] < 100 and c.pattern == "all"]
    plan = [("case", case) for case in cases] + [("calls", case) for case in small]
    report = Report(registered.backend.name, platform, len(plan))
    for what, case in plan:
        result = run_one(runner, case, what)
        report.results.append(result)
        if stop and result.status == "failed":
            break
    return report


def run_one(runner: Runner, case: Case, what: Any = "case") -> Result:
    """Run one check."""
    start = time.perf_counter()
    check = runner.check if what == "case" else runner.check_calls
    try:
        reason = check(case)
        status: Status = "failed" if reason else "passed"
    except Refused as refusal:
        reason, status = str(refusal), "refused"
    return Result(case, what, status, reason, time.perf_counter() - start)
