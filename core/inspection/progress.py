# SPDX-License-Identifier: Apache-2.0
"""How far something long is: one line on a terminal or in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

DELAY = 2.0  # seconds before anything is shown
INTERVAL = 0.2  # seconds between two changes of the line

T = TypeVar("T")


def shown(steps: Iterable[tuple[T, float]], total: float, what: str) -> Iterator[T]:
    """Pass steps on, and show how much of the total is done once that takes long.

    Parameters
    ----------
    steps : iterable of (step, amount)
    total : float
        What the amounts will add up to, about.
    what : str
        What is being done.
    """
    if not (sys.stderr.isatty() or "ipykernel" in sys.modules):
        yield from (step for step, _ in steps)
        return
    begun = time.monotonic()
    due, done = begun + DELAY, 0.0
    written = False
    try:
        for step, amount in steps:
            yield step
            done += amount
            now = time.monotonic()
            if now < due:
                continue
            part = min(done / total, 1.0) if total else 1.0
            left = (now - begun) * (1 / part - 1) if part else 0.0
            line = f"{what}: {part:4.0%}, about {left:.0f} s left"
            _show(line)
            due, written = now + INTERVAL, True
    finally:
        if written:
            _show("")


def _show(line: str) -> None:
    """Put a line in the place of the one before."""
    sys.stderr.write(f"\r{line:<70}\r")
    sys.stderr.flush()
