# SPDX-License-Identifier: Apache-2.0
"""Compile for GPUs that are not there, run what was compiled, and compare.

Every variant of the kernels (``variants``), and the quick cases of conformance: events
and floats in both directions, dense, weighted sums, deliveries; with 64-bit types, the
floats and rings of 64 bits; the microcircuit's step; the dense product by way of Mosaic
GPU. It fails if a
result is wrong, if a program does what it must not, if a kernel of a variant, or a kind
of instruction, was never run, or if a planted fault is not seen.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import jax

from synjit.conformance import Runner, quick_cases, run_check
from synjit.conformance.checks import Check, checks_of
from synjit.conformance.runner import problem_of
from synjit.hookspecs import Product
from synjit.registry import registry

from . import microcircuit
from .backend import Executed
from .executor import Executor
from .faults import check as check_faults
from .gpus import GPUS
from .variant_cases import cases_of
from .variants import label, variants

QUICK: tuple[Product, ...] = ("events", "floats", "dense", "weighted", "deliver")
PARTS = ("faults", "variants", "quick", "quick64", "microcircuit", "mosaic")


def variant_checks() -> list[Check]:
    """List checks of all variants, which are those problems and no others."""
    found = []
    for problem in variants():
        for case in cases_of(problem):
            own = replace(problem_of(case, "cuda"), corder=problem.corder)
            if own != problem:
                raise ValueError(f"{case} is not {label(problem)}: {own}, {problem}")
            found.append(Check("case", case, x64=problem.dtype == "float64"))
    return found


def quick_checks() -> list[Check]:
    """List the checks of the gate."""
    return [check for product in QUICK for check in checks_of(quick_cases(product))]


def checks_in(part: str) -> list[Check]:
    """List the checks of a part; "quick64" are the gate's of 64 bits."""
    if part == "variants":
        return variant_checks()
    if part == "quick":
        return quick_checks()
    wide: tuple[Product, ...] = ("floats", "deliver")
    return [c for p in wide for c in checks_of(quick_cases(p, "float64"), x64=True)]


def run(gpu: str, part: str, only: str, seed: int) -> int:
    """Run one part on what is compiled for one GPU; give how many failed."""
    if part == "mosaic":
        from . import mosaic

        print(f"{gpu}, the dense product by way of Mosaic GPU:")
        return mosaic.check(GPUS[gpu], only, seed)
    executor = Executor(GPUS[gpu].device(), seed)
    if part == "faults":
        print(f"{gpu}, planted faults:")
        return check_faults(executor)
    registered = registry().register(Executed(gpu, executor))
    if part == "microcircuit":
        print(f"{gpu}, the microcircuit at full size:")
        failed = microcircuit.check(executor, registered.backend.name)
        tell(executor, names=True)
        return failed
    runner = Runner(registered, "cpu")
    checks = [check for check in checks_in(part) if only in str(check)]
    start, used = time.perf_counter(), time.process_time()
    statuses: Counter[str] = Counter()
    for number, check in enumerate(checks):
        if sys.stderr.isatty() or number % 20 == 0:
            print(f"{gpu} {part} {number}/{len(checks)}", file=sys.stderr, flush=True)
        result = run_check(runner, check)
        statuses[result.status] += 1
        if result.status != "passed":
            print(f"{result.status.upper()} {check}: {result.reason}", flush=True)
    print(
        f"{gpu}, {part}: {len(checks)} checks of seed {seed}: "
        f"{', '.join(f'{n} {status}' for status, n in statuses.items())}; "
        f"{time.perf_counter() - start:.0f} s, {time.process_time() - used:.0f} s of "
        "processor time"
    )
    failed = len(checks) - statuses["passed"]
    tell(executor, names=part == "variants")
    if only:
        return failed
    never = executor.never_launched() if part == "variants" else []
    return failed + len(executor.tally.never_met()) + len(never)


def tell(executor: Executor, *, names: bool) -> None:
    """Print what was run, and what was not, with the names of these kernels or without.

    Where ``prob`` decides between two kernels, one of them is not run.
    """
    tally, never_launched = executor.tally, executor.never_launched()
    places = sum(tally.compiled.values())
    missed = sum(map(len, tally.missed.values()))
    print(
        f"  {sum(tally.launches.values())} launches of {len(tally.launches)} kernels, "
        f"{tally.instructions / 1e6:.1f} million instructions of warps"
    )
    print(
        f"  {len(tally.executed)} opcodes; of {places} places in these kernels, "
        f"{places - missed} were run"
    )
    print(f"  opcodes never run: {', '.join(tally.never_met()) or 'none'}")
    print(f"  kernels compiled and never run: {len(never_launched)}")
    for name in never_launched if names else ():
        print(f"    {name}")


def main() -> int:
    """Run each GPU in a process of its own; 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m ptx", description=__doc__)
    parser.add_argument("--gpus", nargs="*", choices=list(GPUS), default=list(GPUS))
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--only", default="", help="checks with this in their names")
    parser.add_argument("--seed", type=int, default=1, help="of the orders of programs")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    todo = [(gpu, part) for part in options.parts for gpu in options.gpus]
    if len(todo) == 1:
        print(f"jax {jax.__version__}", flush=True)
        return int(run(*todo[0], options.only, options.seed) > 0)

    def apart(one: tuple[str, str]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ptx", "--gpus", one[0], "--parts", one[1]]
        command += ["--only", options.only, "--seed", str(options.seed)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    failed = []
    with ThreadPoolExecutor(options.processes) as pool:
        for one, child in zip(todo, pool.map(apart, todo), strict=True):
            print(child.stdout, flush=True)
            if child.returncode:
                failed.append(" ".join(one))
                print(child.stderr[-2000:], file=sys.stderr)
    print(f"failed: {'; '.join(failed)}" if failed else "all passed")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
