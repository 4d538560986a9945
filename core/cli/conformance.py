# SPDX-License-Identifier: Apache-2.0
"""``synjit conformance`` and ``synjit support-table``."""

from __future__ import annotations

import argparse
import sys
import threading
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synjit.hookspecs import PLATFORMS

from . import output
from .output import UsageError

if TYPE_CHECKING:
    from synjit.hookspecs import Backend


def add(commands: Any) -> None:
    """Add the subcommands."""
    parser = commands(
        "conformance", "hold a backend to the reference with the full suite"
    )
    parser.add_argument("name", help="of the backend")
    parser.add_argument(
        "--platform",
        choices=PLATFORMS,
        help="without one, the backend's first that is here",
    )
    parser.add_argument(
        "--only",
        default="*",
        help="pattern of the checks to run, as 'events/*transpose*'; never a pass",
    )
    parser.add_argument(
        "--list", action="store_true", help="print the checks' names, and run nothing"
    )
    parser.add_argument(
        "--limit",
        type=_seconds,
        default=300.0,
        help="seconds that one check may take (300)",
    )
    output.add_json(parser)
    parser.set_defaults(run=run)

    support = commands("support-table", "make a table in Markdown of JSON reports")
    support.add_argument("reports", nargs="+", type=Path)
    support.set_defaults(run=run_support_table)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"must be seconds above 0, got {text!r}")
    return seconds


def run(options: argparse.Namespace) -> int:
    """Run the suite, or list its checks; 1 if the backend does not conform."""
    from synjit.conformance import full_checks, run_full
    from synjit.conformance.report import as_json, as_text
    from synjit.dispatch import check_name
    from synjit.registry import registry

    registered = registry().backends.get(options.name)
    if registered is None:
        check_name(options.name)  # an alias, if it passes
        raise UsageError(f"{options.name!r} is an alias: name the backend")
    backend = registered.backend
    names = [str(check) for check in full_checks()]
    chosen = [name for name in names if fnmatchcase(name, options.only)]
    if not chosen:
        raise UsageError(
            f"no check's name matches {options.only!r}; --list prints them all"
        )
    if options.list:
        output.give(options, chosen, lambda: output.lines(chosen))
        return 0
    platform = _platform(backend, options.platform)
    output.check_json(options)
    show = sys.stderr.isatty()

    def progress(result: object) -> None:
        if show:
            print(f"\r\033[K{result.check}", end="", file=sys.stderr)  # type: ignore[attr-defined]

    report = run_full(
        registered,
        platform,
        limit=options.limit,
        only=options.only,
        progress=progress,
    )
    if show:
        print("\r\033[K", end="", file=sys.stderr)
    text = as_json(report, backend)
    output.give(options, text, lambda: print(as_text(report, backend)))
    return 0 if report.conforms else 1


def _platform(backend: Backend, wanted: str | None) -> str:
    """Give the platform that was asked for, or the backend's first that is here."""
    platforms = [p for p in backend.platforms if wanted in {None, p} and _is_here(p)]
    if not platforms:
        raise UsageError(
            f"backend {backend.name!r} is for {', '.join(backend.platforms)}; "
            f"{wanted or 'that'} is not among them, or JAX has no such device here"
        )
    return platforms[0]


def _is_here(platform: str) -> bool:
    import jax

    try:
        return bool(jax.local_devices(backend=platform))
    except RuntimeError:
        return False


def run_support_table(options: argparse.Namespace) -> int:
    """Print one table of many reports."""
    from synjit.conformance.report import support_table

    try:
        print(support_table(options.reports), end="")
    except ValueError as error:
        raise UsageError(error) from error
    return 0
