# SPDX-License-Identifier: Apache-2.0
"""Interleaved rounds: what is compared is run in turn, so that it meets one machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

SHORT = 0.02


class Time(NamedTuple):
    """Seconds of one call: on the clock, and of processor time, of all threads."""

    wall: float
    cpu: float


def timed(call: Callable[[], object]) -> Time:
    """Time one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return Time(time.perf_counter() - wall, time.process_time() - cpu)


def interleaved(
    runs: dict[str, Callable[[], Time]], seconds: float = 1.0
) -> dict[str, Time]:
    """Medians over rounds, of which each runs everything; the first is dropped.

    There are at least 5 rounds, and about as many as fit into the time. Before a short
    call is timed it is made once: what ran in between has had the caches.
    """
    short = {name: run().wall < SHORT for name, run in runs.items()}
    start = time.perf_counter()
    times: dict[str, list[Time]] = {name: [] for name in runs}
    rounds = 0
    while rounds < 5 or (rounds < 200 and time.perf_counter() - start < seconds):
        for name, run in runs.items():
            if short[name]:
                run()
            times[name].append(run())
        rounds += 1
    return {
        name: Time(median(t.wall for t in each), median(t.cpu for t in each))
        for name, each in times.items()
    }


def limit_threads(number: int) -> None:
    """Let products take so many threads from now on; 0 for all there are."""
    os.environ["SYNJIT_NUM_THREADS"] = str(number)


def machine() -> str:
    """Name the processor, the cores, and how busy they are with other things."""
    name = platform.processor() or platform.machine()
    try:
        with Path("/proc/cpuinfo").open() as lines:
            name = next(
                line.split(":")[1].strip() for line in lines if "model name" in line
            )
    except (OSError, StopIteration):
        pass
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    cores = len(os.sched_getaffinity(0))
    return f"{name}, {cores} cores, {platform.system()}; load average {load}"
