# SPDX-License-Identifier: Apache-2.0
"""Write the tables of ``docs/the-draw.md``, and its pictures, from committed results.

A table stands between ``<!-- name -->`` and ``<!-- end -->``; the text around is left
as it is. Results are in ``benchmarks/results/statistics``, pictures are drawn anew.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from . import pictures
from .findings import FAMILY_ERROR, Finding, holm

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "statistics"
PAGE = ROOT / "docs" / "the-draw.md"

# What a statistic's name must begin with to belong to a line of the table.
GROUPS = {
    "density": ("density",),
    "degrees of columns and rows": ("degrees", "count of a chunk"),
    "gaps along columns and rows": ("gaps",),
    "common neighbours": ("common neighbours",),
    "places within a chunk": ("places",),
    "pairs within a chunk: differences, xors": ("differences in", "xors in"),
    "mates: mean and variance for each xor": ("mates",),
    "pairs and triples of row classes": ("pairs of classes", "triples"),
    "pairs across chunks of a column": ("next chunk",),
    "pairs across columns": ("next column", "column bit"),
    "pairs across seeds": ("seed",),
    "rank, singular values": (
        *("rank", "real rank", "largest", "smallest", "trace", "determinant"),
    ),
    "cycles of 2, 3 and 4": ("cycles", "rectangles"),
    "weights: moments to the 8th": ("moment",),
    "weights: Kolmogorov-Smirnov, Anderson-Darling": ("Kolmogorov", "Anderson"),
    "weights: tails from 3 to 6": ("above", "below"),
    "weights against place and mask": (
        *("weight and", "square and", "weight by", "square by"),
    ),
}


def load(name: str) -> dict:
    """Read a result."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def findings_of(result: dict) -> list[Finding]:
    """Findings of a run of the battery."""
    return [Finding(*row) for row in result["findings"]]


def group_of(finding: Finding) -> str:
    """Give the line of the table that a finding belongs to."""
    for group, beginnings in GROUPS.items():
        if finding.statistic.startswith(beginnings):
            return group
    raise KeyError(finding.statistic)


def table(head: str, rows: list[tuple]) -> str:
    """Lay out a table."""
    titles = head.split("|")
    lines = [f"| {' | '.join(title.strip() for title in titles)} |"]
    lines.append("|---" * len(titles) + "|")
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines)


def battery() -> str:
    """Lay out the full battery on synjit: a line for each group."""
    result = load("synjit")
    findings = findings_of(result)
    bad = holm(findings)
    rows = []
    for group in GROUPS:
        ours = [f for f in findings if group_of(f) == group]
        worst = min(ours, key=lambda f: f.p)
        failing = sum(group_of(f) == group for f in bad)
        scores = f"{sum(f.size for f in ours):,}"
        where = f"{worst.statistic}, prob {worst.prob:.3g}"
        rows.append((group, len(ours), scores, f"{worst.p:.1g}", where, failing))
    text = table("statistic | p-values | of | smallest p | where | failing", rows)
    smallest = min(f.p for f in findings)
    return (
        f"{result['date']}, seed {result['seed']}, draw version "
        f"{result['draw_version']}, {result['seconds'] / 60:.0f} minutes of one core: "
        f"{len(bad)} of {len(findings):,} p-values fail. The smallest is "
        f"{smallest:.1g}, and {FAMILY_ERROR / len(findings):.1g} would fail.\n\n{text}"
    )


def planted() -> str:
    """Lay out the planted defects, and what catches each."""
    result = load("defects")
    rows = []
    for row in result["defects"]:
        first, shown = row["first"], "nothing"
        if first:
            shown = f"{first['statistic']}, prob {first['prob']:.3g}"
            shown += f", z = {first['worst']:.1f}"
        rows.append((row["defect"], f"{row['failed']} of {row['p_values']}", shown))
    text = table("what is wrong | p-values that fail | the first of them", rows)
    mute = ", ".join(result["mute"]) or "none"
    return f"{text}\n\nStatistics that no defect makes fail: {mute}."


def beside() -> str:
    """Lay out the short form on both packages."""
    runs = [load("synjit-short"), load("brainevent-short")]
    found = [findings_of(run) for run in runs]
    bad = [holm(findings) for findings in found]
    rows = []
    for group in GROUPS:
        row: list = [group]
        for findings, failing in zip(found, bad, strict=True):
            number = sum(group_of(f) == group for f in findings)
            failures = [f for f in failing if group_of(f) == group]
            row.append(f"{len(failures)} of {number}")
        worst = [f for f in bad[1] if group_of(f) == group]
        row.append(_largest(worst))
        rows.append(tuple(row))
    names = [run["source"] for run in runs]
    text = table(f"statistic | {names[0]} | {names[1]} | its worst", rows)
    totals = [f"{len(b)} of {len(f)}" for b, f in zip(bad, found, strict=True)]
    return (
        f"Failing p-values, {runs[1]['date']}, seed {runs[1]['seed']}: "
        f"{totals[0]} with {names[0]}, {totals[1]} with {names[1]}.\n\n{text}\n\n"
        + _by_prob(names, found, bad)
    )


def _by_prob(
    names: list[str], found: list[list[Finding]], bad: list[list[Finding]]
) -> str:
    rows = []
    for prob in sorted({f.prob for f in found[0]}):
        cells = [
            f"{sum(f.prob == prob for f in b)} of {sum(f.prob == prob for f in a)}"
            for a, b in zip(found, bad, strict=True)
        ]
        density = [f for f in found[1] if f.prob == prob and f.statistic == "density"]
        cells.append(f"{density[0].worst:.1f}" if density else "")
        rows.append((f"{prob:.4g}", *cells))
    return table(f"prob | {names[0]} | {names[1]} | z of its density", rows)


def _largest(findings: list[Finding]) -> str:
    if not findings:
        return ""
    worst = max(findings, key=lambda f: abs(f.worst))
    return f"{worst.statistic}, prob {worst.prob:.3g}, z = {worst.worst:.0f}"


def law() -> str:
    """Lay out the exact law of the weights."""
    result = load("weight_law")["laws"]["Normal()"]
    rows = [
        ("Kolmogorov distance", f"{result['kolmogorov']:.3e}", "0"),
        ("the same, times 2^17", f"{result['kolmogorov'] * 2**17:.4f}", "0"),
        ("mean", f"{result['mean']:g}", "0"),
        ("variance - 1", f"{result['variance'] - 1:.2e}", "0"),
        ("skewness", f"{result['skewness']:g}", "0"),
        ("kurtosis - 3", f"{result['kurtosis'] - 3:.2e}", "0"),
        ("6th moment", f"{result['sixth']:.6f}", "15"),
        ("8th moment", f"{result['eighth']:.5f}", "105"),
        ("largest magnitude", f"{result['largest']:.4f}", ""),
    ]
    return table("| over all 2^32 words | of the normal", rows)


def laws() -> str:
    """Lay out the exact laws of all weights beside what is meant."""
    rows = []
    for name, result in load("weight_law")["laws"].items():
        meant = result["meant"]
        deviation = meant["variance"] ** 0.5
        skewness = f"{result['skewness']:.4g} ({meant['skewness']:.4g})"
        rows.append(
            (
                f"`{name}`",
                f"{result['kolmogorov']:.1e}",
                f"{(result['mean'] - meant['mean']) / deviation:.0e}",
                f"{result['variance'] / meant['variance'] - 1:.0e}",
                skewness,
                f"{result['smallest']:.6g} to {result['largest']:.6g}",
            )
        )
    head = "law | Kolmogorov distance | mean | variance | skewness | x from, to"
    return table(head, rows)


def streams() -> str:
    """Copy the table of TestU01."""
    return (RESULTS / "testu01.md").read_text().strip()


def main() -> None:
    """Write the page."""
    text = PAGE.read_text()
    for make in (battery, planted, beside, law, laws, streams):
        name = re.escape(make.__name__)
        between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not between.search(text):
            raise SystemExit(f"{PAGE.name} has no place for '{make.__name__}'")
        made = make()
        text = between.sub(lambda m, made=made: f"{m[1]}{made}\n{m[2]}", text)
    PAGE.write_text(text)
    pictures.draw_all(ROOT / "docs" / "pictures")


if __name__ == "__main__":
    main()
