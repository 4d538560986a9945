# SPDX-License-Identifier: Apache-2.0
"""The gate: whether a backend has been held to the reference, and did conform.

Before a backend is first used for a platform, a product and a direction, the quick part
of the suite is run, or a certificate of an earlier pass is found. What failed is tried
again in the next process; only passes are kept. Directions are judged one by one, so
that no kernel is compiled before somebody wants it.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from synjit.hookspecs import Problem, Product, directions, matrix_of_one_block
from synjit.registry import Registered
from synjit.settings import usual_settings

from . import attempt, certificate
from .thread import in_thread

if TYPE_CHECKING:  # the suite is imported where there is no certificate
    from synjit.conformance import Report

Grade = Literal["proved", "interpreted", "lowers", "unproved", "failed"]

MEANING: dict[Grade, str] = {
    "proved": "conforms, on this device",
    "interpreted": "conforms, but what ran was an interpreter of its kernels",
    "lowers": "lowers; there is no such device here to prove it on",
    "unproved": "not proved: the gate is off",
    "failed": "failed",
}

SECONDS = 600.0  # without a check that ends; compiling takes most of them
SECONDS_INTERPRETED = 1800.0
PATIENCE = 5.0  # seconds, after which it says what takes so long


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a backend, on a platform, for a product in a direction.

    Attributes
    ----------
    grade : str
    reason : str
        Why it failed.
    batched : set of bool
        Whether cases of one vector ran (False), and cases of a batch (True): to refuse
        all cases of one kind leaves that unproved.
    source : str
        "certificate", "quick part", or "" if nothing ran.
    """

    grade: Grade
    reason: str = ""
    batched: frozenset[bool] = frozenset()
    source: str = ""

    def why_not(self, problem: Problem) -> str:
        """Say why the problem may not be given to the backend; empty if it may."""
        if self.grade == "failed":
            return self.reason
        batch = problem.batch > 1
        if self.grade in {"proved", "interpreted"} and batch not in self.batched:
            return (
                "it refused all conformance cases of this kind (transpose="
                f"{problem.transpose}, {'a batch' if batch else 'one vector'}): none "
                "proves it"
            )
        return ""


class Asked(NamedTuple):
    """What a verdict is about, besides the backend."""

    platform: str
    product: Product
    dtype: str
    x64: bool  # jax_enable_x64, under which much JAX code gives other dtypes
    transpose: bool = False


class _Pending:
    """A verdict, and the lock under which it is reached."""

    def __init__(self, registered: Registered) -> None:
        self.registered = registered  # keeps its id from being used again
        self.lock = threading.Lock()
        self.verdict: Verdict | None = None


_log = logging.getLogger("synjit")
_lock = threading.Lock()
_verdicts: dict[Any, _Pending] = {}


def is_off() -> bool:
    """Whether ``SYNJIT_GATE=off`` was set."""
    return os.environ.get("SYNJIT_GATE", "").lower() in {"off", "0", "no", "false"}


def verdict(registered: Registered, problem: Problem) -> Verdict:
    """Hold a backend to the reference, once a process.

    A platform without a device in this process (an export, say) is held to lowering
    only: what is lowered here is held to the reference where it runs. The weighted sum
    of a single matrix is judged with the sums that it is made of.
    """
    if problem.product == "weighted" and len(problem.grid.blocks) == 1:
        problem = problem.of_block(0)
    name, product = registered.backend.name, problem.product
    if is_off():
        warnings.warn(
            f"SYNJIT_GATE=off: backend {name!r} is used without proof that it draws "
            "the right matrix",
            RuntimeWarning,
            stacklevel=2,
        )
        return Verdict("unproved")
    asked = Asked(
        problem.platform,
        product,
        problem.dtype,
        bool(jax.config.read("jax_enable_x64")),
        problem.transpose,
    )
    with _lock:
        pending = _verdicts.setdefault((id(registered), asked), _Pending(registered))
    with pending.lock:
        if pending.verdict is None:
            pending.verdict = _judge(registered, asked)
        return pending.verdict


def standing(registered: Registered, platform: str, product: Product) -> str:
    """Say in a word or two how a backend stands, and run nothing for it."""
    if product == "weighted" and not registered.supports_weighted:
        product = "events"  # of which its blocks are made
    if product == "deliver" and not registered.supports_delays:
        return "has none"
    grades = [_standing(registered, platform, product, d) for d in directions(product)]
    if len(set(grades)) == 1:
        return grades[0]
    return f"{grades[0]}, transposed {grades[1]}"


def _standing(
    registered: Registered, platform: str, product: Product, transpose: bool
) -> str:
    dtype = "int32" if product in {"events", "dense"} else "float32"
    x64 = bool(jax.config.read("jax_enable_x64"))
    asked = Asked(platform, product, dtype, x64, transpose)
    pending = _verdicts.get((id(registered), asked))
    if pending is not None and pending.verdict is not None:
        return pending.verdict.grade
    try:
        device = jax.local_devices(backend=platform)[0]
    except RuntimeError:
        return "no device"
    subject = certificate.subject(registered, device, asked._asdict())
    if subject is None:
        return "not tried"
    found = _certified(registered, asked.platform, subject)
    if found is None and attempt.crash_of(subject):
        return "failed"
    return found.grade if found else "not tried"


def _judge(registered: Registered, asked: Asked) -> Verdict:
    try:
        device = jax.local_devices(backend=asked.platform)[0]
    except RuntimeError:
        return _lowers(registered, asked)
    subject = certificate.subject(registered, device, asked._asdict())
    if subject is None:
        return _quick_part(registered, asked)
    certified = _certified(registered, asked.platform, subject)
    if certified is not None:
        return certified
    crash = attempt.crash_of(subject)
    if crash:
        return Verdict("failed", crash)
    with attempt.marked(subject) as mark:
        reached = _quick_part(registered, asked, mark)
    if reached.grade != "failed":
        certificate.store(subject, {"batched": sorted(reached.batched)})
        attempt.forget(subject)
    return reached


def _grade(registered: Registered, platform: str) -> Grade:
    interpreted = platform in registered.backend.interpreted_on
    return "interpreted" if interpreted else "proved"


def _certified(
    registered: Registered, platform: str, subject: certificate.Subject
) -> Verdict | None:
    result = certificate.load(subject)
    if result is None:
        return None
    batched = frozenset(map(bool, result["batched"]))
    return Verdict(_grade(registered, platform), "", batched, "certificate")


def _quick_part(
    registered: Registered,
    asked: Asked,
    mark: Callable[[str], None] = lambda _: None,
) -> Verdict:
    from synjit.conformance.case_lists import new_suite_seed
    from synjit.conformance.checks import gate_cases
    from synjit.conformance.runner import Runner
    from synjit.conformance.suite import run

    platform = asked.platform
    cases = gate_cases(asked.product, new_suite_seed(), _dtype(asked))
    cases = [case for case in cases if case.transpose == asked.transpose]
    runner = Runner(registered, platform, mark)

    def work() -> Report:
        x64 = asked.x64
        return run(registered, platform, cases, stop=True, runner=runner, x64=x64)

    slow = (
        "synjit holds backend %r to the reference for %s on %s: once, it may take half "
        "a minute, or minutes where it is interpreted"
    )
    product = f"{asked.product}{' transposed' if asked.transpose else ''}"
    about = registered.backend.name, product, platform
    notice = threading.Timer(PATIENCE, _log.warning, (slow, *about))
    notice.daemon = True
    notice.start()
    try:
        limit = _limit(registered, platform)
        report = in_thread(work, limit, lambda: runner.doing)
    except TimeoutError as late:
        return Verdict(
            "failed",
            f"it hangs: no end within {late} seconds, at {runner.doing} "
            "(SYNJIT_GATE_SECONDS sets another limit)",
        )
    finally:
        notice.cancel()
    if report.failures:
        failure = report.failures[0]
        snippet = failure.check.snippet(registered.backend.name, platform)
        indented = "".join(f"      {line}\n" for line in snippet.splitlines() if line)
        return Verdict(
            "failed",
            f"it failed conformance, check {len(report.results)} of "
            f"{report.required}, {failure.check}: {failure.reason}\n"
            f"    To see it again:\n{indented.rstrip()}",
        )
    if not report.passed:
        refusal = report.by_status("refused")[0].reason
        return Verdict("failed", f"it refused every conformance case: {refusal}")
    grade = _grade(registered, asked.platform)
    return Verdict(grade, "", frozenset(report.batched), "quick part")


def _lowers(registered: Registered, asked: Asked) -> Verdict:
    """Lower one case for a platform that is not here."""
    from synjit.conformance.case_lists import quick_cases
    from synjit.conformance.runner import operands_of, problem_of

    cases, platform = quick_cases(asked.product, _dtype(asked)), asked.platform
    cases = [case for case in cases if case.transpose == asked.transpose]

    def work() -> str:
        with usual_settings(asked.x64):
            return first_lowered()

    def first_lowered() -> str:
        for case in cases:
            problem = problem_of(case, platform)
            if registered.hook.synjit_refuses(problem=problem):
                continue
            matrix, *rest = jax.tree.map(jnp.asarray, operands_of(case))
            calls = [(problem, (matrix, *rest))]
            if asked.product == "events" and registered.supports_weighted:
                one = jnp.ones((1,))
                grid = problem.of_one_block("float32"), matrix_of_one_block(matrix)
                calls.append((grid[0], (grid[1], *rest, one, one)))
            for stated, given in calls:
                traced = jax.jit(functools.partial(registered.call, stated))
                traced.trace(*given).lower(lowering_platforms=(platform,))
            return ""
        return "it refused every conformance case"

    try:
        reason = in_thread(work, _limit(registered, platform))
    except TimeoutError as late:
        reason = (
            f"it hangs: not lowered for {platform} within {late} seconds "
            "(SYNJIT_GATE_SECONDS sets another limit)"
        )
    except Exception as error:  # noqa: BLE001, whatever a backend may raise
        text = " ".join(str(error).split())
        reason = (
            f"it claims the platform {platform}, and cannot be lowered for it: "
            f"{type(error).__name__}: {text}"
        )
    return Verdict("failed" if reason else "lowers", reason)


def _dtype(asked: Asked) -> str:
    """Give the dtype of the cases: that of the floats, where there are any."""
    return "float32" if asked.dtype == "int32" else asked.dtype


def _limit(registered: Registered, platform: str) -> float:
    interpreted = platform in registered.backend.interpreted_on
    usual = SECONDS_INTERPRETED if interpreted else SECONDS
    given = os.environ.get("SYNJIT_GATE_SECONDS", "")
    try:
        limit = float(given or usual)
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise ValueError(
            f"SYNJIT_GATE_SECONDS must be a number of seconds above 0, got {given!r}"
        )
    return limit
