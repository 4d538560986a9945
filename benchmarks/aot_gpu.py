# SPDX-License-Identifier: Apache-2.0
"""Compile every GPU kernel, in all its variants, for real GPUs with no GPU at hand.

It needs the packages jax-cuda13-plugin and jax-cuda13-pjrt of jax's own version, and
``ptxas``; with ``nvdisasm`` instructions are counted in machine code, without it in
PTX. ``make aot-gpu`` installs them all. Nothing is executed on a device.

It fails when a kernel does not compile; when one of an events product spills; when
atomics fence, or add floats where integers are summed; when XLA weighs sums with fused
multiply-adds; when it plans for more temporary memory than the backend states; and when
a loop of steps copies its ring.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ptx import compiling, microcircuit
from ptx.gpus import GPUS, Gpu
from ptx.variants import arguments_of, function_of, kernel_names, label, variants

import synjit
from synjit.backends.pallas_gpu import calls, workspace
from synjit.hookspecs import Problem


def compile_variant(device: Any, problem: Problem) -> compiling.Program:
    """Compile a product, to the kernels that it should have."""
    with jax.enable_x64(problem.dtype == "float64"):
        program = compiling.compile_for(
            device, function_of(problem), arguments_of(problem)
        )
    if set(program.kernels) != kernel_names(problem):
        raise RuntimeError(f"the kernels are {', '.join(program.kernels)}")
    return program


# --- what the compiled kernel is like ---------------------------------------------


def tool(name: str) -> str | None:
    """Find a program of the CUDA toolkit, in this environment's packages or on PATH."""
    packages = Path(sysconfig.get_path("platlib")) / "nvidia"
    for path in sorted(packages.glob(f"*/bin/{name}")):
        return str(path)
    return shutil.which(name)


def assemble(ptx: str, arch: str) -> tuple[dict[str, int], list[str]]:
    """Give registers, spills, shared memory; lines of machine code, or else of PTX."""
    ptxas = tool("ptxas")
    if ptxas is None:
        raise RuntimeError("there is no ptxas: pip install nvidia-cuda-nvcc")
    source, binary = compiling.DUMP / "kernel.ptx", compiling.DUMP / "kernel.cubin"
    source.write_text(ptx)
    command = [ptxas, "-v", f"-arch={arch}", str(source), "-o", str(binary)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = done.stdout + done.stderr
    numbers = {
        "registers": r"Used (\d+) registers",
        "spills": r"(\d+) bytes spill stores",
        "shared": r"(\d+) bytes smem",
    }
    found = {key: re.search(pattern, said) for key, pattern in numbers.items()}
    facts = {key: int(match[1]) if match else 0 for key, match in found.items()}
    nvdisasm = tool("nvdisasm")
    if nvdisasm is None:
        return facts, ptx.splitlines()
    done = subprocess.run(
        [nvdisasm, "-c", str(binary)], capture_output=True, text=True, check=True
    )
    return facts, done.stdout.splitlines()


def loops(lines: list[str]) -> tuple[int, list[tuple[int, int]]]:
    """Count instructions, and find the loops: first and last instruction of each."""
    labels: dict[str, int] = {}
    jumps: list[tuple[int, str]] = []
    count = 0
    for line in lines:
        text = re.sub(r"^\s*/\*[0-9a-f]+\*/", "", line).strip()
        if here := re.match(r"^(\.L_x_\w+|\$L__BB\w+):", text):
            labels[here[1]] = count
            continue
        if not text.endswith(";") or text.startswith("."):
            continue
        if jump := re.search(
            r"\bbra\b\S*\s+.*?(\.L_x_\w+|\$L__BB\w+)", text, re.IGNORECASE
        ):
            jumps.append((count, jump[1]))
        count += text.count(";")
    ends: dict[int, int] = {}
    for at, to in jumps:
        if labels.get(to, at + 1) < at:
            ends[labels[to]] = max(at, ends.get(labels[to], 0))
    return count, sorted(ends.items())


def per_term(kernel: str, batch: int, lines: list[str]) -> float | None:
    """Estimate a lane's instructions for one connection, or one entry probed.

    The innermost loop's, and a share of what is around it. A traced prob is taken to
    be like any, and a batch of many has a loop in the loop, as the blocks that a
    delivery adds up are: not estimated.
    """
    if batch > 1 or kernel.startswith("deliver"):
        return None
    count, found = loops(lines)
    inner = [
        (a, b)
        for a, b in found
        if not any(a <= c and d <= b and (a, b) != (c, d) for c, d in found)
    ]
    size = max(b - a + 1 for a, b in inner)
    around = count - sum(b - a + 1 for a, b in inner)
    if kernel == "dense":
        return size + around / workspace.ROWS
    if kernel == "probe":
        per_lane = workspace.ROWS // workspace.LANES
        return size / per_lane + around / (per_lane * workspace.LANES)
    return size + around / calls.MEAN_COUNT


# Kernels whose atomics add, and those that exchange.
ADDING = ("scatter", "deliver_add", "deliver_tally")
EXCHANGING = ("deliver_elect", "deliver_tally")


def complaints(
    problem: Problem, kernel: str, ptx: str, facts: dict[str, int], temp: int
) -> list[str]:
    """Say what is wrong with a kernel that did compile."""
    found = []
    events = problem.product in {"events", "weighted", "deliver"}
    if events and facts["spills"]:
        found.append(f"spills {facts['spills']} bytes")
    if re.search(r"\b(acq_rel|fence|membar)\b", ptx):
        found.append("an atomic fences")
    if events and re.search(r"\b(atom|red)\.\S*\.f(32|64)", ptx):
        found.append("adds floats, where integers are summed")
    for names, how in ((ADDING, "add"), (EXCHANGING, "exch")):
        does = kernel.startswith(names)
        if does != bool(re.search(rf"\b(atom|red)\.\S*relaxed\S*\.{how}", ptx)):
            kind = f"atomics that {how}"
            found.append(f"has no relaxed {kind}" if does else f"has {kind}")
    bound = workspace.workspace_bytes(problem)
    if temp > bound:
        found.append(f"takes {temp} temporary bytes, more than {bound}")
    return found


def may_fuse(ptx: str) -> bool:
    """Whether a product and a sum of floats are, or may become, one rounding.

    Without a way of rounding in its name, ptxas may fuse an instruction.
    """
    fused = r"\b(fma|mad)\.\S*f(32|64)|\b(mul|add|sub)(\.ftz)?\.f(32|64)"
    return bool(re.search(fused, ptx))


# --- a ring stays where it is -----------------------------------------------------

RING = (77_000, 2_000)  # rows, columns


def compile_steps(device: Any, slots: int) -> Any:
    """Compile a loop of steps that read a ring and deliver to it."""
    matrix = synjit.JITNormal(1.0, 0.1, 0.1, 1, delay=30, shape=RING)
    shapes = jax.eval_shape(lambda: (matrix.ring(slots=slots), jnp.ones(RING[1], bool)))
    sharding = jax.sharding.SingleDeviceSharding(device)
    shapes = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), shapes
    )

    def steps(ring: synjit.Ring, spikes: jax.Array) -> Any:
        def step(carry: Any, now: jax.Array) -> Any:
            ring, spikes = carry
            current, ring = ring.read(now)
            ring = matrix.deliver(spikes, ring, now)
            return (ring, current[: RING[1]] > 0.5), current.sum()

        return jax.lax.scan(step, (ring, spikes), jnp.arange(9))

    traced = jax.jit(steps, donate_argnums=0).trace(*shapes)
    return traced.lower(lowering_platforms=("cuda",)).compile()


def check_ring(gpu: Gpu) -> bool:
    """Whether no step copies a ring, or takes more memory with ten times the slots."""
    device, memory, copies = gpu.device(), [], 0
    for slots in (64, 640):
        compiled = compile_steps(device, slots)
        memory.append(compiled.memory_analysis().temp_size_in_bytes)
        ring = rf"f32\[({slots},{RING[0]},1|{slots * RING[0]})\]\S* copy\("
        copies += len(re.findall(ring, compiled.as_text()))
    print(
        f"steps with a ring of 64 and of 640 slots: {copies} copies of it, "
        f"{' and '.join(f'{size / 1e6:.2f}' for size in memory)} MB of memory"
    )
    return not copies and memory[0] == memory[1]


# --- all of it --------------------------------------------------------------------

HEADER = (
    f"{'variant':34}{'kernel':20}{'registers':>10}{'spills':>8}{'shared':>8}"
    f"{'temp MB':>9}{'compile, s':>12}{'instr':>8}{'10^9/s':>8}"
)


def compile_all(gpu: Gpu, only: str) -> int:
    """Compile all variants for a GPU, print a table; give how many failed."""
    device = gpu.device()
    failed = 0
    print(f"{gpu.name} ({gpu.arch})\n{HEADER}", flush=True)
    for problem in [*variants(), microcircuit.problem()]:
        if only not in label(problem):
            continue
        start = time.perf_counter()
        try:
            program = compile_variant(device, problem)
            ptx = {name: kernel.ptx for name, kernel in program.kernels.items()}
            temp = program.temporary_bytes
            assembled = {name: assemble(text, gpu.arch) for name, text in ptx.items()}
        except Exception as error:  # noqa: BLE001, whatever a compiler may raise
            failed += 1
            print(f"{label(problem):34} FAILED: {type(error).__name__}: {error}")
            continue
        seconds = time.perf_counter() - start
        for name, (facts, lines) in sorted(assembled.items()):
            row = f"{label(problem):34}{name:20}{facts['registers']:10}"
            row += f"{facts['spills']:8}{facts['shared']:8}{temp / 1e6:9.2f}"
            row += f"{seconds:12.1f}"
            # For who knows how long, and which of the kernels does.
            rules = {problem.rule, *(block.rule for block in problem.grid.blocks)}
            walks = "fixed_out_degree" in rules
            if not walks and (instructions := per_term(name, problem.batch, lines)):
                rate = gpu.integer_lanes_per_second / instructions / 1e9
                row += f"{instructions:8.0f}{rate:8.0f}"
            wrong = complaints(problem, name, ptx[name], facts, temp)
            weighed = {"weighted": program.others, "deliver": [ptx[name]]}
            if any(map(may_fuse, weighed.get(problem.product, ()))):
                wrong.append("sums are weighed with fused multiply-adds")
            failed += bool(wrong)
            print(row + "".join(f"  FAILED: {what}" for what in wrong), flush=True)
    if not only:
        failed += not check_ring(gpu)
    return failed


def main() -> int:
    """Compile for each GPU in a process of its own; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="variants with this in their label")
    parser.add_argument("--gpus", nargs="*", choices=list(GPUS), default=list(GPUS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--compile", choices=list(GPUS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compile:
        return int(compile_all(GPUS[options.compile], options.only) > 0)
    print(
        "Compiled, not run. 'instr' is a lane's instructions per connection listed or"
    )
    print("entry probed, 10^9/s what integer units alone would allow: estimates.\n")
    command = [sys.executable, __file__, "--only", options.only, "--compile"]

    def compile_apart(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, name], capture_output=True, text=True, check=False
        )

    failed = []
    with ThreadPoolExecutor(options.processes) as pool:
        done = pool.map(compile_apart, options.gpus)
        for name, child in zip(options.gpus, done, strict=True):
            print(child.stdout, flush=True)
            if child.returncode:
                failed.append(name)
                print(child.stderr[-2000:], file=sys.stderr)
    print(f"failed: {', '.join(failed)}" if failed else "all compiled")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
