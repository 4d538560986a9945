# SPDX-License-Identifier: Apache-2.0
"""Run brainevent's own tests of its random matrices on synjit.compat.brainevent.

    pip install . brainevent==0.3.0 brainstate pytest   # Python 3.12 or later
    python benchmarks/brainevent_checks.py

Every name that compat has replaces brainevent's, in its package and in the modules that
its tests import from; then pytest runs the tests of the three families. Those that
cannot pass are listed below with the reason: one that fails without a reason, or passes
with one, is an error.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import os
import pathlib
import re
import sys

import brainevent
import pytest

from synjit.compat import brainevent as compat

FAMILIES = ("_jit_scalar", "_jit_normal", "_jit_uniform")
FILES = (
    "main_test.py",
    "binary_test.py",
    "float_test.py",
    "csr_test.py",
    "dt2t_test.py",
)

# Of a test's name, with its file: why it cannot pass.
NOT_FINITE = (
    "W = loc * N + scale * Z: a weight of NaN or infinity reaches what has no event "
    "too, as in a dense product"
)
REASONS = {
    r"/csr_test\.py|Notrans_Trans_Dense_CSR": (
        "compat has no jits_to_csr, nor its like, nor what they call"
    ),
    r"/dt2t_test\.py": "compat has no dt2t, a value for each connection in CSR order",
    r"test_inactive_events_|test_weighted_jitc_mv_skips_zero_events": NOT_FINITE,
    r"_matches_(numpy|light_rng)_reference": "it asks for brainevent's bits",
    r"_jit_normal/float_test.py::test_jitnmm_vjp_wscale\[True-True-shape1": (
        "its difference in float32 is a multiple of 0.012, and its tolerance 0.02"
    ),
}


class Report:
    """Collects what became of each test."""

    def __init__(self) -> None:
        """Begin with none."""
        self.outcomes: dict[str, str] = {}
        self.unexpected: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note an outcome; that of the call counts, or of what went wrong around it."""
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid] = report.outcome
            expected = report.passed == (not reason(report.nodeid))
            if not (expected or report.skipped):
                self.unexpected.append(report.nodeid)
                why = report.longreprtext.strip().splitlines()[-3:]
                print(
                    f"\nunexpected: {report.nodeid} {report.outcome}", *why, sep="\n  "
                )


def replace() -> None:
    """Put compat's names in brainevent's place."""
    modules = [brainevent] + [
        importlib.import_module(f"brainevent.{family}.{module}")
        for family in FAMILIES
        for module in ("main", "float", "binary")
    ]
    for module in modules:
        for name in compat.__all__:
            if hasattr(module, name):
                setattr(module, name, getattr(compat, name))
    # Some tests call the layer below, which takes 2 / prob.
    below = importlib.import_module("brainevent._jit_normal.binary")
    below.binary_jitnmm_p_call = lambda loc, scale, length, matrix, seed, **layout: (
        compat.binary_jitnmm(loc, scale, 2 / float(length), matrix, seed, **layout),
    )


def reason(test: str) -> str:
    """Give the reason why a test cannot pass; empty if it should."""
    return next((why for what, why in REASONS.items() if re.search(what, test)), "")


def main() -> int:
    """Run the tests, and say what passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--their-events",
        action="store_true",
        help="keep brainevent's own BinaryArray, which compat's matrices take too",
    )
    parser.add_argument("files", nargs="*", help="as _jit_normal/main_test.py")
    asked = parser.parse_args()
    theirs = brainevent.BinaryArray
    replace()
    if asked.their_events:
        brainevent.BinaryArray = theirs
    root = pathlib.Path(brainevent.__file__).parent
    files = asked.files or [f"{family}/{file}" for file in FILES for family in FAMILIES]
    report = Report()
    pytest.main(
        [
            *(str(root / file) for file in files),
            f"--rootdir={root}",
            f"--config-file={os.devnull}",
            "--import-mode=importlib",
            "-p",
            "no:cacheprovider",
            "--quiet",
            "--no-header",
            "--tb=line",
            "--disable-warnings",
        ],
        plugins=[report],
    )
    return say(report)


def say(report: Report) -> int:
    """Print what passed and why the others did not; give the exit status."""
    counts = collections.Counter(report.outcomes.values())
    print(f"\n{counts['passed']} passed, {counts['skipped']} skipped", end="")
    print(f", {counts['failed']} failed")
    failed = [test for test, outcome in report.outcomes.items() if outcome == "failed"]
    whys = collections.Counter(filter(None, map(reason, failed)))
    for why, count in whys.most_common():
        print(f"{count} cannot pass: {why}")
    print(f"{len(report.unexpected)} not as expected")
    return int(bool(report.unexpected) or not counts["passed"])


if __name__ == "__main__":
    sys.exit(main())
