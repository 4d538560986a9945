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

import numpy as np

SHORT, LONG = 0.1, 0.2  # seconds: repeated for so long, or not at all
MOST_REPEATS = 1000


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
    """Medians over rounds, in each of which everything is run.

    There are at least 5 rounds, and about as many as fit into the time. A call counts
    with the median of several in a row, as it would run in a loop: what the other side
    left in the caches, and how long a core sleeps that had nothing to do, is then no
    part of it.
    """
    repeats = {name: _repeats(run) for name, run in runs.items()}
    start = time.perf_counter()
    times: dict[str, list[Time]] = {name: [] for name in runs}
    rounds = 0
    while rounds < 5 or (rounds < 200 and time.perf_counter() - start < seconds):
        for name, run in runs.items():
            times[name].append(_middle([run() for _ in range(repeats[name])]))
        rounds += 1
    return {name: _middle(each) for name, each in times.items()}


def _repeats(run: Callable[[], Time]) -> int:
    run()  # compiles, perhaps
    seconds = run().wall
    return max(3 if seconds < LONG else 1, min(MOST_REPEATS, int(SHORT / seconds)))


def _middle(times: list[Time]) -> Time:
    return Time(median(t.wall for t in times), median(t.cpu for t in times))


def limit_threads(number: int) -> None:
    """Let products take so many threads from now on; 0 for all there are."""
    os.environ["SYNJIT_NUM_THREADS"] = str(number)


def machine() -> str:
    """Name the processor, what is compiled for, and how busy the cores are."""
    name = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    for line in about.read_text().splitlines() if about.exists() else []:
        if line.startswith("model name"):
            name = line.split(":")[1].strip()
            break
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    cores = len(os.sched_getaffinity(0))
    return (
        f"{name}, {cores} cores, {platform.system()}; kernels for {instructions()}; "
        f"load average {load}"
    )


def instructions() -> str:
    """Name the processor that numba compiles for, and the vectors that it uses.

    Another one may be asked for by NUMBA_CPU_NAME, with an empty NUMBA_CPU_FEATURES,
    and the vectors are seen in what was compiled.
    """
    from numba import njit
    from numba.core.registry import cpu_target

    from synjit.backends.numba_cpu.intrinsics import prefer_wide_vectors

    @njit("void(uint32[::1], uint32[::1])")
    def add(x: np.ndarray, y: np.ndarray) -> None:
        prefer_wide_vectors()
        for i in range(x.size):
            x[i] += y[i]

    (assembly,) = add.inspect_asm().values()
    _, name, _ = cpu_target.target_context.codegen().magic_tuple()
    for register, bits in (("zmm", 512), ("ymm", 256)):
        if register in assembly:
            return f"{name} with {bits}-bit vectors"
    return f"{name} with 128-bit vectors or none"
