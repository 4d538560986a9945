# SPDX-License-Identifier: Apache-2.0
"""Which backend runs a product, and why that one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import jax

from . import conformance
from .hookspecs import Problem
from .registry import Registered, registry


class BackendError(RuntimeError):
    """No backend can run this: none of that name, or none that conforms."""


def choose(problem: Problem, name: str | None) -> Registered:
    """Take the backend of that name or, without one, the best that conforms.

    Raises
    ------
    BackendError
        There is none; the text says why not, for each that there is.
    """
    candidates = registry().named(name) if name else list(registry().backends.values())
    candidates.sort(key=lambda r: -r.backend.priority)
    reasons = {}
    for candidate in candidates:
        if not name and problem.platform in candidate.backend.interpreted_on:
            reason = f"it is interpreted on {problem.platform}: ask for it by name"
        else:
            reason = why_not(candidate, problem)
        if not reason:
            return candidate
        reasons[candidate.backend.name] = reason
    raise BackendError(_message(problem, name, reasons))


def check_name(name: str | None) -> None:
    """Refuse a name that no backend has, before anything is traced."""
    if name is not None and not registry().named(name):
        known = sorted(registry().backends)
        text = f"backend {name!r} is unknown; there are: {', '.join(known) or 'none'}"
        for broken, reason in registry().quarantine.items():
            text += f"\n  {broken}: not loaded: {reason}"
        raise BackendError(text)


def why_not(candidate: Registered, problem: Problem) -> str:
    """Give the reason why a backend cannot run a problem; empty if it can."""
    if problem.platform not in candidate.backend.platforms:
        return (
            f"it is for {', '.join(candidate.backend.platforms)}, "
            f"not for {problem.platform}"
        )
    refusal: str = candidate.hook.synjit_refuses(problem=problem)
    if refusal:
        return f"it refuses: {refusal}"
    return verdict(candidate, problem)


def _message(problem: Problem, name: str | None, reasons: dict[str, str]) -> str:
    what = f"backend {name!r}" if name else "no backend"
    cannot = "cannot run" if name else "can run"
    text = (
        f"{what} {cannot} this {problem.product} product of shape {problem.shape} "
        f"on {problem.platform}"
    )
    for backend, reason in reasons.items():
        text += f"\n  {backend}: {reason}"
    for broken, reason in registry().quarantine.items():
        text += f"\n  {broken}: not loaded: {reason}"
    return text


_lock = threading.RLock()
_verdicts: dict[tuple[int, str, str], str] = {}


def verdict(candidate: Registered, problem: Problem) -> str:
    """Hold a backend to the reference, once; empty if it conforms.

    A platform without a device in this process (an export, say) is not held up: what
    is lowered here is held to the reference where it runs.
    """
    key = (id(candidate), problem.platform, problem.product)
    with _lock:
        if key not in _verdicts:
            _verdicts[key] = _judge(candidate, problem)
        return _verdicts[key]


def _judge(candidate: Registered, problem: Problem) -> str:
    try:
        jax.local_devices(backend=problem.platform)
    except RuntimeError:
        return ""
    cases = conformance.quick_cases(problem.product)
    # A thread of its own: we may be in the midst of lowering another computation.
    with ThreadPoolExecutor(1, "synjit-gate") as thread:
        report = thread.submit(
            conformance.run, candidate, problem.platform, cases
        ).result()
    if report.passed:
        return ""
    failure = report.failures[0]
    return (
        f"it failed conformance ({len(report.failures)} of {report.checks} cases), "
        f"first {failure.case}: {failure.reason}"
    )
