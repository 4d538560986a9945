# SPDX-License-Identifier: Apache-2.0
"""The full suite as pytest items: one for each check, and one for their number.

A known gap is a refusal that was declared, with a reason: it is reported as an
expected failure. A refusal that was not declared fails, as does a wrong result.
"""

from __future__ import annotations

import os
from typing import Any

import jax
import pytest

from synjit.conformance.case_lists import new_suite_seed
from synjit.conformance.checks import FULL_COUNT, Check, full_checks
from synjit.conformance.runner import Runner
from synjit.conformance.suite import (
    Result,
    declared,
    run_check,
    stale_gaps,
    too_few,
)
from synjit.gate.thread import in_thread
from synjit.hookspecs import Backend
from synjit.registry import registry

LIMIT = float(os.environ.get("SYNJIT_CHECK_SECONDS", "300"))


class Session:
    """A backend under test, and what became of the checks so far."""

    def __init__(self, config: pytest.Config) -> None:
        name = config.getoption("--synjit-backend")
        if name is None:
            pytest.skip("no --synjit-backend NAME was given")
        registered = registry().backends.get(name)
        if registered is None:
            reasons = registry().quarantine
            pytest.fail(f"no backend {name!r} is loaded; in quarantine: {reasons}")
        backend = registered.backend
        platform = config.getoption("--synjit-platform") or _first_here(backend)
        extra = (gap.partition("=") for gap in config.getoption("--synjit-known-gap"))
        self.gaps = (*backend.known_gaps, *((p, reason) for p, _, reason in extra))
        self.runner = Runner(registered, platform)
        self.results: list[Result] = []

    def run(self, check: Check) -> Result:
        """Run one check."""

        def work() -> Result:
            return declared(run_check(self.runner, check), self.gaps)

        result = in_thread(work, LIMIT)
        self.results.append(result)
        return result


def _first_here(backend: Backend) -> str:
    """Give the first of a backend's platforms of which there is a device."""
    for platform in backend.platforms:
        try:
            jax.local_devices(backend=platform)
        except RuntimeError:
            continue
        return platform
    pytest.fail(f"{backend.name} is for {', '.join(backend.platforms)}: none is here")


@pytest.fixture(scope="session")
def session(request: Any) -> Session:
    """Return the one session."""
    return Session(request.config)


@pytest.mark.parametrize("check", full_checks(new_suite_seed()), ids=str)
def test_check(check: Check, session: Session) -> None:
    """Hold the backend to the reference."""
    result = session.run(check)
    runner = session.runner
    if result.status == "known gap":
        pytest.xfail(f"known gap: {result.reason}")
    if result.status == "refused":
        pytest.fail(f"refused, and no known gap: {result.reason}", pytrace=False)
    if result.status == "failed":
        name = runner.registered.backend.name
        snippet = check.snippet(name, runner.platform)
        pytest.fail(f"{result.reason}\n\nTo see it:\n\n{snippet}", pytrace=False)


def test_no_check_is_missing(session: Session, request: Any) -> None:
    """Count: a suite that skipped is a suite that failed."""
    if request.config.getoption("keyword") or request.config.getoption("lf", False):
        pytest.skip("only a part was asked for")
    assert len(session.results) == FULL_COUNT
    assert stale_gaps(session.results, session.gaps) == []
    assert too_few(session.results) == []
