# SPDX-License-Identifier: Apache-2.0
"""Run the battery: ``python -m battery [--short] [--seed N] [--source NAME]``.

Prints what fails and the worst of each statistic; --json keeps every p-value.
``--short --law "LogNormal(sigma=1.0)"`` puts the weights of another law through their
part of it, as normal scores.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import time
from pathlib import Path

from synjit.reference import DRAW_VERSION

from . import defects, plan
from .findings import FAMILY_ERROR, Finding, holm
from .sources import open_source
from .steps import OtherWeights
from .weight_law import LAWS

SEED = 20261123


def summary(findings: list[Finding]) -> str:
    """Give a line for each statistic: how many p-values, the smallest, and its z."""
    worst: dict[str, Finding] = {}
    number: dict[str, int] = {}
    for finding in findings:
        name = finding.statistic
        number[name] = number.get(name, 0) + 1
        if name not in worst or finding.p < worst[name].p:
            worst[name] = finding
    lines = [f"{'statistic':58} {'cases':>5} {'worst p':>9} {'z':>8}  at prob"]
    for name, f in worst.items():
        row = f"{name:58} {number[name]:5} {f.p:9.2g} {f.worst:8.2f}  {f.prob:.4g}"
        lines.append(row)
    return "\n".join(lines)


def plant(size: plan.Size, seed: int) -> list[dict]:
    """Run every planted defect; a list of what caught each."""
    rows = []
    for defect in (defects.Draw, *defects.DEFECTS):
        start = time.process_time()
        findings = [f for f in plan.run(defect(), size, seed) if f.size]
        failed = holm(findings)
        names = sorted({f.statistic for f in failed})
        row = {
            "defect": defect.name,
            "caught": bool(failed),
            "p_values": len(findings),
            "failed": len(failed),
            "by": names,
            "statistics": sorted({f.statistic for f in findings}),
            "first": failed[0]._asdict() if failed else None,
            "seconds": round(time.process_time() - start, 1),
        }
        rows.append(row)
        print(f"{defect.name}: {len(failed)} of {len(findings)} fail", flush=True)
    return rows


def write(path: Path, out: dict, findings: list[Finding], start: float) -> None:
    """Keep what there is so far."""
    out["seconds"] = round(time.process_time() - start)
    out["fields"] = Finding._fields
    out["findings"] = [
        [f.statistic, f.prob, float(f"{f.p:.4g}"), float(f"{f.worst:.4g}"), f.size]
        for f in findings
    ]
    text = json.dumps(out, separators=(",", ":"), default=float)
    path.write_text(text.replace("],[", "],\n[") + "\n")


def main() -> int:
    """Run, print, write; 1 if anything fails that should not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=lambda v: int(v, 0), default=SEED)
    parser.add_argument("--short", action="store_true", help="the form of the tests")
    parser.add_argument("--times", type=float, default=1, help="as much drawn")
    parser.add_argument("--source", default="synjit", help="or control, brainevent")
    parser.add_argument("--python", default="", help="a Python that has brainevent")
    laws = {repr(weights): weights for weights in LAWS}
    parser.add_argument("--law", choices=laws, help="weights alone")
    parser.add_argument("--defects", action="store_true", help="run the planted ones")
    parser.add_argument("--json", type=Path, help="where to write the findings")
    args = parser.parse_args()
    size = plan.SHORT if args.short else plan.FULL
    if args.defects:
        size = plan.TINY if args.short else plan.MIDDLE
    size = size._replace(
        connections=size.connections * args.times,
        pairs=size.pairs * args.times,
        weights=size.weights * args.times,
    )
    start = time.process_time()
    out = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "seed": args.seed,
        "family_error": FAMILY_ERROR,
        "size": size._asdict(),
        "draw_version": DRAW_VERSION,
    }
    if args.defects:
        findings: list[Finding] = []
        rows = out["defects"] = plant(size, args.seed)
        bad = [row["defect"] for row in rows[1:] if not row["caught"]]
        bad += [row["defect"] for row in rows[:1] if row["caught"]]
        print(f"{len(rows) - 1} defects, not caught: {bad or 'none'}")
        everything = {name for row in rows for name in row["statistics"]}
        mute = everything - {name for row in rows[1:] for name in row["by"]}
        print(f"{len(everything)} statistics, failed by no defect: {sorted(mute)}")
        out["mute"] = sorted(mute)
        for row in rows:
            del row["statistics"]
    else:
        source = open_source(args.source, args.python)
        run = plan.run
        if args.law:
            source, run = OtherWeights(laws[args.law]), plan.weights_alone
        out["source"] = f"{source.name} {getattr(source, 'version', '')}".strip()
        findings = []
        for finding in run(source, size, args.seed):
            if finding.size:
                findings.append(finding)
            if args.json and time.process_time() - start > out.get("seconds", 0) + 30:
                write(args.json, out, findings, start)
        bad = holm(findings)
        print(summary(findings))
        for f in bad:
            print(
                f"FAILS {f.statistic}, prob {f.prob:.4g}: p {f.p:.2g} z {f.worst:.1f}"
            )
        print(f"{len(bad)} of {len(findings)} p-values fail")
    print(f"{time.process_time() - start:.0f} s")
    if args.json:
        write(args.json, out, findings, start)
    return int(bool(bad or out.get("mute")))


if __name__ == "__main__":
    sys.exit(main())
