# SPDX-License-Identifier: Apache-2.0
"""Hold a backend to the reference, check by check."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeVar

import jax

from synjit.gate.thread import in_thread
from synjit.settings import usual_settings

from .case_lists import HUGE, new_suite_seed
from .cases import Case
from .checks import FULL_COUNT, Check, checks_of, full_checks
from .runner import NO_DELAYS, Refused, Runner
from .transforms import run_transform

Status = Literal["passed", "failed", "refused", "known gap"]
T = TypeVar("T")

PARTS = 256  # of a case of 2^31 entries, of which one tells how long all would take
SECONDS_OF_HUGE = 30.0  # a call
LEAST = 0.6  # of the checks of one product at least, or there is no such product


@dataclass(frozen=True)
class Result:
    """What became of one check."""

    check: Check
    status: Status
    reason: str = ""
    seconds: float = 0.0

    @property
    def case(self) -> Case | None:
        """The case that was checked."""
        return self.check.case


@dataclass
class Report:
    """What was to be checked, what was, and what came of it.

    Attributes
    ----------
    backend, platform : str
    required : int
        Number of checks that there must be.
    results : list of Result
    faults : list of str
        What is wrong beside the checks: gaps that are none any more, or that nearly
        all is one.
    suite_seed : int or None
        Of the cases that were drawn at random.
    """

    backend: str
    platform: str
    required: int = 0
    results: list[Result] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    suite_seed: int | None = None

    def by_status(self, status: Status) -> list[Result]:
        """Return the results of a status."""
        return [r for r in self.results if r.status == status]

    @property
    def checks(self) -> int:
        """Number of checks that ran, to whatever end."""
        return len(self.by_status("passed")) + len(self.by_status("failed"))

    @property
    def failures(self) -> list[Result]:
        """Checks that failed."""
        return self.by_status("failed")

    @property
    def passed(self) -> bool:
        """Whether something ran, nothing failed, and no check is missing."""
        complete = len(self.results) == self.required
        return complete and self.checks > 0 and not self.failures

    @property
    def conforms(self) -> bool:
        """Whether, besides, every refusal was declared."""
        return self.passed and not self.by_status("refused") and not self.faults

    @property
    def batched(self) -> set[bool]:
        """Whether cases of one vector ran (False), and cases of a batch (True)."""
        return {r.case.batch > 1 for r in self.by_status("passed") if r.case}


def run(
    registered: Any,
    platform: str,
    cases: Sequence[Case],
    *,
    stop: bool = False,
    runner: Runner | None = None,
    x64: bool | None = None,
) -> Report:
    """Run cases on a backend, on this process's first device of a platform.

    Parameters
    ----------
    registered : registry.Registered
    platform : str
    cases : sequence of Case
    stop : bool
        Stop at the first failure.
    runner : Runner, optional
        Supply one to observe progress.
    x64 : bool, optional
        Whether 64-bit types are on; as they are, if left.

    Returns
    -------
    Report
    """
    runner = runner or Runner(registered, platform)
    if x64 is None:
        x64 = bool(jax.config.read("jax_enable_x64"))
    checks = checks_of(cases, x64=x64)
    report = Report(registered.backend.name, platform, len(checks))
    for check in checks:
        result = run_check(runner, check)
        report.results.append(result)
        if stop and result.status == "failed":
            break
    return report


def run_full(
    registered: Any,
    platform: str,
    *,
    limit: float = 300.0,
    only: str = "*",
    progress: Callable[[Result], None] = lambda _: None,
) -> Report:
    """Run the full suite.

    Parameters
    ----------
    registered : registry.Registered
    platform : str
    limit : float
        Seconds that one check may take; one that takes longer ends the suite.
    only : str
        Pattern of the checks to run. What it leaves out is missing from the report,
        which then does not pass.
    progress : callable
        Called with each result.

    Returns
    -------
    Report
    """
    runner = Runner(registered, platform)
    report = Report(registered.backend.name, platform, FULL_COUNT)
    report.suite_seed = new_suite_seed()
    gaps = registered.backend.known_gaps
    for check in full_checks(report.suite_seed):
        if not fnmatchcase(str(check), only):
            continue

        def work(check: Check = check) -> Result:
            return declared(run_check(runner, check), gaps)

        try:
            result = in_thread(work, limit)
        except TimeoutError:
            reason = f"it hangs: no end within {limit:g} seconds"
            result = Result(check, "failed", reason, limit)
        report.results.append(result)
        progress(result)
        if result.seconds >= limit:
            break
    if only == "*":
        report.faults = stale_gaps(report.results, gaps) + too_few(report.results)
    return report


def run_check(runner: Runner, check: Check) -> Result:
    """Run one check, whatever JAX's configuration is."""
    start = time.perf_counter()
    status: Status
    try:
        with usual_settings(check.x64):
            if check.case is None:
                name = runner.registered.backend.name
                reason = run_transform(check.transform, name, runner.platform)
            elif check.case.shape == HUGE and (slow := _too_slow(runner, check.case)):
                return Result(check, "known gap", slow, time.perf_counter() - start)
            elif check.what == "calls":
                reason = runner.check_calls(check.case)
            elif check.what == "threads":
                reason = runner.check_threads(check.case)
            else:
                reason = runner.check(check.case)
        status = "failed" if reason else "passed"
    except Refused as refusal:
        reason, status = str(refusal), "refused"
    if status == "failed" and check.case and check.case.about:
        reason = f"{reason} ({check.case.about})"
    return Result(check, status, reason, time.perf_counter() - start)


def _too_slow(runner: Runner, case: Case) -> str:
    """Say that a case of 2^31 entries is too much for who goes through all of them.

    By the time of a part of it, unless what runs is an interpreter, which is.
    """
    if runner.platform in runner.registered.backend.interpreted_on:
        return "an interpreter is not asked for a matrix of 2^31 entries"
    part = replace(case, shape=(case.shape[0], case.shape[1] // PARTS))
    try:
        seconds = PARTS * runner.seconds(part)
    except Refused:
        raise
    except Exception:  # noqa: BLE001, whatever a backend may raise: the check says what
        return ""
    if seconds < SECONDS_OF_HUGE:
        return ""
    return f"2^31 entries would take {seconds:.0f} s, by a part of them: not asked for"


# --- known gaps -------------------------------------------------------------------


def declared(result: Result, gaps: Sequence[tuple[str, str]]) -> Result:
    """Mark a refusal that the backend declared, be it by lacking an optional hook."""
    if result.status != "refused":
        return result
    if result.reason == NO_DELAYS:
        return Result(result.check, "known gap", NO_DELAYS, result.seconds)
    for pattern, reason in gaps:
        if fnmatchcase(str(result.check), pattern):
            return Result(result.check, "known gap", reason, result.seconds)
    return result


def stale_gaps(results: Sequence[Result], gaps: Sequence[tuple[str, str]]) -> list[str]:
    """Name the declared gaps that nothing fell into: they are to be taken away."""
    fell = [str(r.check) for r in results if r.status == "known gap"]
    return [
        f"the known gap {pattern!r} ({reason}) is none: no check was refused there"
        for pattern, reason in gaps
        if not any(fnmatchcase(name, pattern) for name in fell)
    ]


def too_few(results: Sequence[Result]) -> list[str]:
    """Say that a backend refuses too much to be called one: in words, or nothing."""
    all_of = Counter(r.case.product for r in results if r.case)
    ran = [r for r in results if r.status in {"passed", "failed"}]
    ran_of = Counter(r.case.product for r in ran if r.case)
    if any(ran_of[product] >= LEAST * all_of[product] for product in all_of):
        return []
    fault = (
        f"only {len(ran)} of {len(results)} checks ran, and of no product "
        f"{LEAST:.0%} of its own: gaps excuse what a backend cannot take, not that it "
        "takes next to nothing"
    )
    return [fault]
