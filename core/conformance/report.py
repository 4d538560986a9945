# SPDX-License-Identifier: Apache-2.0
"""Reports of the suite: as text, as JSON, and many of them as a support table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import jaxlib.version

from synjit import reference
from synjit.gate.certificate import SUITE_VERSION
from synjit.hookspecs import Backend

from .suite import Report, Result, Status

FORMAT = 1


def table(rows: Sequence[Sequence[object]]) -> str:
    """Align rows of words, the first of which are the heads."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def as_text(report: Report, backend: Backend, shown: int = 5) -> str:
    """Sum a report up: a table, failures with programs that show them, refusals."""
    about = _about(report, backend)
    head = (
        f"{backend.name} {backend.version} on {report.platform} ({about['device']}), "
        f"{about['grade']}; jax {about['jax']}, suite {SUITE_VERSION}, "
        f"random cases of SYNJIT_SUITE_SEED={report.suite_seed}"
    )
    lines = [head, "", table(_rows(report.results))]
    for result in report.failures[:shown]:
        snippet = result.check.snippet(report.backend, report.platform)
        lines += ["", f"FAILED {result.check}", f"  {result.reason}", "  To see it:"]
        lines += [f"    {line}" for line in snippet.splitlines() if line]
    if len(report.failures) > shown:
        lines += ["", f"... and {len(report.failures) - shown} more failures"]
    for status in ("refused", "known gap"):
        found = report.by_status(status)
        for reason, count in Counter(r.reason for r in found).items():
            example = next(r.check for r in found if r.reason == reason)
            lines += ["", f"{status.upper()} {count} checks, as {example}: {reason}"]
    if report.by_status("refused"):
        lines += ["", "take what is refused, or declare it in known_gaps"]
    lines += ["", *report.faults] if report.faults else []
    if len(report.results) != report.required:
        missing = (
            f"{report.required - len(report.results)} of {report.required} checks "
            "have not run: a suite that skipped is a suite that failed"
        )
        lines += ["", missing]
    verdict = "conforms" if report.conforms else "DOES NOT CONFORM"
    verdict += f": {report.checks} of {report.required} checks ran"
    part = 0 < len(report.results) < report.required
    if part and len(report.by_status("passed")) == len(report.results):
        verdict = "is right so far: a part of the checks proves nothing yet"
    return "\n".join([*lines, "", f"{backend.name} {verdict}"])


def _rows(results: Iterable[Result]) -> list[list[object]]:
    rows: dict[str, list[Result]] = {}
    for result in results:
        rows.setdefault(result.check.section, []).append(result)
    statuses: tuple[Status, ...] = ("passed", "failed", "refused", "known gap")
    head: list[object] = ["checks", "grade", *statuses, "seconds"]
    body: list[list[object]] = []
    for section, found in rows.items():
        counts = Counter(r.status for r in found)
        seconds = f"{sum(r.seconds for r in found):.1f}"
        body.append(
            [section, found[0].check.grade, *(counts[s] for s in statuses), seconds]
        )
    return [head, *body]


def _about(report: Report, backend: Backend) -> dict[str, Any]:
    device = jax.local_devices(backend=report.platform)[0]
    return {
        "format": FORMAT,
        "backend": backend.name,
        "version": backend.version,
        "platform": report.platform,
        "device": device.device_kind,
        "grade": "interpreted"
        if report.platform in backend.interpreted_on
        else "on the device",
        "jax": jax.__version__,
        "jaxlib": jaxlib.version.__version__,
        "draw": reference.DRAW_VERSION,
        "suite": SUITE_VERSION,
        "suite seed": report.suite_seed,
    }


def as_json(report: Report, backend: Backend) -> str:
    """Write a report for machines: what passed by number, all else one by one."""
    head, *rows = _rows(report.results)
    content = {
        **_about(report, backend),
        "conforms": report.conforms,
        "required": report.required,
        "ran": report.checks,
        "known gaps": [list(gap) for gap in backend.known_gaps],
        "faults": report.faults,
        "sections": [
            {str(k): v for k, v in zip(head, row, strict=True)} for row in rows
        ],
        "not passed": [
            {
                "check": str(r.check),
                "status": r.status,
                "reason": r.reason,
                "snippet": r.check.snippet(report.backend, report.platform),
            }
            for r in report.results
            if r.status != "passed"
        ],
    }
    return json.dumps(content, indent=1) + "\n"


# --- the support table ------------------------------------------------------------


def support_table(paths: Iterable[Path]) -> str:
    """Make a table in Markdown of many JSON reports.

    Raises
    ------
    ValueError
        A file is not a report of this format.
    """
    rows = []
    for path in sorted(paths):
        text = path.read_bytes()
        try:
            content = json.loads(text)
            if content["format"] != FORMAT:
                raise ValueError(f"its format is {content['format']!r}")  # noqa: TRY301
            rows.append(_support_row(content))
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise ValueError(
                f"{path} is not a report of format {FORMAT}, as `synjit conformance "
                f"--json` writes it: {type(error).__name__}: {error}"
            ) from error
    head = (
        "| backend | platform | device | products | checks | grade | known gaps |",
        "|---|---|---|---|---|---|---|",
    )
    return "\n".join([*head, *sorted(rows)]) + "\n"


def _support_row(content: dict[str, Any]) -> str:
    products = [
        section["checks"]
        for section in content["sections"]
        if section["passed"] and not section["failed"]
    ]
    gaps = "; ".join(reason for _, reason in content["known gaps"]) or "none"
    grade = content["grade"] if content["conforms"] else "**does not conform**"
    cells = (
        f"{content['backend']} {content['version']}",
        content["platform"],
        content["device"],
        ", ".join(products),
        f"{content['ran']} of {content['required']}",
        grade,
        gaps,
    )
    return f"| {' | '.join(cells)} |"
