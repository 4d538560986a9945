# SPDX-License-Identifier: Apache-2.0
"""Say what is wrong with a wheel: tests, strays at its top, files that are missing."""

import re
import sys
import zipfile

TOP = {"synjit", "synjit_command", "synjit_pytest"}
NEEDED = {
    "synjit/__init__.py",
    "synjit/py.typed",
    "synjit/backends/numba_cpu/plugin.py",
    "synjit/conformance/test_backend.py",  # the suite that third parties run
    "synjit/reference/golden_v2.json",
    "synjit/reference/normal_table.txt",
}


def faults(names: list[str]) -> list[str]:
    """List the faults of a wheel that has these files."""
    found = [f"{name} is missing" for name in sorted(NEEDED - set(names))]
    for name in names:
        top = name.partition("/")[0]
        if top not in TOP and not re.fullmatch(r"synjit-[^/]*\.dist-info", top):
            found.append(f"{name} is beside the packages")
        is_test = re.search(r"(^|/)(tests/|conftest\.py|test_)", name)
        if is_test and name not in NEEDED:
            found.append(f"{name} is a test")
        if top in TOP and not name.endswith((".py", ".typed", ".json", ".txt")):
            found.append(f"{name} is no part of the package")
    return found


if __name__ == "__main__":
    for path in sys.argv[1:]:
        with zipfile.ZipFile(path) as wheel:
            problems = faults(wheel.namelist())
        if problems:
            sys.exit("\n".join([f"{path}:", *problems]))
