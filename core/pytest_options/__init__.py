# SPDX-License-Identifier: Apache-2.0
"""Options of ``pytest --pyargs synjit.conformance --synjit-backend NAME``.

pytest loads this at every start, wherever synjit is installed. So it is a package of
its own, ``synjit_pytest``: its import must not import synjit, and JAX with it, before
a project's own conftest has had its say.
"""

from __future__ import annotations

import os
import secrets

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add options for which backend to hold to the reference, and where."""
    group = parser.getgroup("synjit", "conformance of synjit's backends")
    group.addoption("--synjit-backend", metavar="NAME", help="the backend to check")
    group.addoption("--synjit-platform", metavar="PLATFORM", help="its first, if left")
    group.addoption(
        "--synjit-known-gap",
        action="append",
        default=[],
        metavar="PATTERN=REASON",
        help="a declared refusal, besides those that the backend declares itself",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Draw a seed of random cases for all of pytest's processes: xdist's inherit it."""
    if config.getoption("--synjit-backend") is None:
        return
    os.environ.setdefault("SYNJIT_SUITE_SEED", str(secrets.randbelow(2**32)))


def pytest_report_header(config: pytest.Config) -> str | None:
    """Name the seed, where a backend is held to the reference."""
    if config.getoption("--synjit-backend") is None:
        return None
    return (
        f"synjit: random cases of SYNJIT_SUITE_SEED={os.environ['SYNJIT_SUITE_SEED']}"
    )
