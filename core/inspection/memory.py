# SPDX-License-Identifier: Apache-2.0
"""What would not fit in memory is refused before it starts."""

from __future__ import annotations

import math
import os
from pathlib import Path

SPREADS = 6  # standard deviations above the mean that are reckoned with


def likely_most(expected: float) -> int:
    """Number of connections that a listing with this mean does not exceed."""
    return math.ceil(expected + SPREADS * math.sqrt(expected)) + 1


def available() -> int:
    """Bytes of memory that this process may still take."""
    limits = [_of_system()]
    group = Path("/sys/fs/cgroup")
    try:
        most = (group / "memory.max").read_text().strip()
        used = (group / "memory.current").read_text()
        if most != "max":
            limits.append(max(0, int(most) - int(used)))
    except (OSError, ValueError):
        pass  # no control groups of version 2 here
    return min(limits)


def _of_system() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_fits(need: float, what: str, instead: str) -> None:
    """Refuse what would not fit.

    Parameters
    ----------
    need : float
        Bytes.
    what, instead : str
        What needs them, and what to do about it, for the error.

    Raises
    ------
    MemoryError
        It would not fit.
    """
    have = available()
    if need > have:
        raise MemoryError(
            f"{what} would take {need:,.0f} bytes, and {have:,} are available: "
            f"{instead}"
        )
