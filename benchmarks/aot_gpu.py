# SPDX-License-Identifier: Apache-2.0
"""Compile every GPU kernel, in all its variants, for real GPUs with no GPU at hand.

It needs the packages jax-cuda13-plugin and jax-cuda13-pjrt of jax's own version, and
``ptxas``; with ``nvdisasm`` instructions are counted in machine code, without it in
PTX. ``make aot-gpu`` installs them all. Nothing is executed on a device.

It fails when a kernel does not compile; when one of an events product spills; when
atomics fence, or add floats where integers are summed; and when XLA plans for more
temporary memory than the backend states.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

FOLDER = tempfile.TemporaryDirectory(prefix="synjit-aot-")
DUMP = Path(FOLDER.name)
os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"  # of libraries not used here
os.environ["LLVM_DISABLE_SYMBOLIZATION"] = "1"  # of stack traces that nobody reads
os.environ["XLA_FLAGS"] = (
    f"--xla_gpu_autotune_level=0 --xla_dump_to={DUMP} --xla_dump_emitter_re=.*"
)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from jax.experimental import topologies  # noqa: E402

from synjit.backends.pallas_gpu import calls, workspace  # noqa: E402
from synjit.hookspecs import Matrix, Problem, Rule  # noqa: E402
from synjit.reference import draw  # noqa: E402
from synjit.reference.quantile_table import (  # noqa: E402
    CONSTANT_WORDS,
    GENERAL_WORDS,
    SYMMETRIC_WORDS,
)


@dataclass(frozen=True)
class Gpu:
    """Published facts of a GPU: its whitepaper, and the CUDA programming guide."""

    name: str
    arch: str
    major: int
    multiprocessors: int
    clock_ghz: float
    shared_memory: int
    bandwidth: int
    memory: int
    l2: int

    def target(self) -> str:
        """Write what XLA wants to know of it."""
        return f"""
            gpu_device_info {{
              threads_per_block_limit: 1024
              threads_per_warp: 32
              threads_per_core_limit: 2048
              registers_per_core_limit: 65536
              registers_per_block_limit: 65536
              shared_memory_per_block: 49152
              shared_memory_per_block_optin: {self.shared_memory - 1024}
              shared_memory_per_core: {self.shared_memory}
              core_count: {self.multiprocessors}
              fpus_per_core: 64
              block_dim_limit_x: 2147483647
              block_dim_limit_y: 65535
              block_dim_limit_z: 65535
              memory_bandwidth: {self.bandwidth}
              device_memory_size: {self.memory}
              l2_cache_size: {self.l2}
              clock_rate_ghz: {self.clock_ghz}
              cuda_compute_capability {{ major: {self.major} }}
            }}
            platform_name: "CUDA"
            device_description_str: "{self.name}"
        """

    @property
    def integer_lanes_per_second(self) -> float:
        """32-bit integer instructions: 64 lanes a clock and multiprocessor."""
        return self.multiprocessors * 64 * self.clock_ghz * 1e9


_GPUS = (
    Gpu("H100", "sm_90a", 9, 132, 1.755, 233472, 3352 * 10**9, 80 * 2**30, 50 * 2**20),
    Gpu("A100", "sm_80", 8, 108, 1.41, 167936, 1555 * 10**9, 40 * 2**30, 40 * 2**20),
)
GPUS = {gpu.name: gpu for gpu in _GPUS}


def variants() -> list[Problem]:
    """Return every kernel, with what decides its code.

    Chunks of 2**13 rows are prob 0.01's; the shortest, and those of a traced prob,
    have two kernels, one of which is run. Every kernel is compiled for the other forms
    of table too, with one vector.
    """
    shape = (100_000, 100_000)
    shortest = draw.MIN_LOG2_CHUNK
    found = []

    def add(
        product: str, dtype: str, transpose: bool, batch: int, k: int | None, words: int
    ) -> None:
        size = (10_000, 10_000) if product == "dense" else shape
        found.append(
            Problem(product, size, transpose, batch, dtype, True, k, words, "cuda")
        )

    for product, dtypes in (("events", ("int32",)), ("floats", ("float32", "float64"))):
        for dtype in dtypes:
            for k, transpose in (
                (13, False),
                (None, False),
                (shortest, False),
                (13, True),
            ):
                batches = (1, 3, 40) if k == 13 else (1, 6)
                if dtype == "float64":
                    batches = batches[:2]
                for batch in batches:
                    add(product, dtype, transpose, batch, k, SYMMETRIC_WORDS)
    add("dense", "int32", False, 0, 13, SYMMETRIC_WORDS)
    for words in (CONSTANT_WORDS, GENERAL_WORDS):
        for product, dtype in (("events", "int32"), ("floats", "float32")):
            add(product, dtype, False, 1, None, words)
            add(product, dtype, True, 1, 13, words)
        add("dense", "int32", False, 0, 13, words)
    rules: list[tuple[Rule, bool]]
    rules = [("fixed_out_degree", True), ("fixed_out_degree", False)]
    rules += [("bernoulli", False)]
    events = ("events", "int32")
    for rule, self_connections in rules:
        first = len(found)
        add(*events, False, 1, 17, SYMMETRIC_WORDS)
        add(*events, True, 1, 17, SYMMETRIC_WORDS)
        add("dense", "int32", False, 0, 17, SYMMETRIC_WORDS)
        found[first:] = [
            replace(one, rule=rule, self_connections=self_connections)
            for one in found[first:]
        ]
    return found


def label(problem: Problem) -> str:
    """Name a variant in the table."""
    way = "W.T" if problem.transpose else "W"
    k = "traced" if problem.log2_chunk is None else f"k={problem.log2_chunk}"
    dtype = {"float32": " f32", "float64": " f64"}.get(problem.dtype, "")
    forms = {CONSTANT_WORDS: " constant", GENERAL_WORDS: " general"}
    form = forms.get(problem.weights, "")
    rule = " fixed" if problem.rule == "fixed_out_degree" else ""
    own = "" if problem.self_connections else " no self"
    return f"{problem.product}{dtype} {way} {k} x{problem.batch}{form}{rule}{own}"


def compile_for(device: Any, problem: Problem, name: str) -> tuple[dict[str, str], int]:
    """Compile; give the PTX of each kernel, and the temporary bytes of the whole."""
    m, n = problem.shape
    sharding = jax.sharding.SingleDeviceSharding(device)

    def argument(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    lengths = (2, 2, draw.CONNECTIVITY_WORDS, problem.weights)
    arguments = [Matrix(*(argument((words,), jnp.uint32) for words in lengths))]
    hook = calls.dense if problem.product == "dense" else calls.product
    if problem.product != "dense":
        dtype = jnp.bool_ if problem.product == "events" else jnp.dtype(problem.dtype)
        arguments.append(
            argument((m if problem.transpose else n, problem.batch), dtype)
        )

    def product(*operands: Any) -> Any:
        return hook(problem, *operands)

    product.__name__ = name
    wide = problem.dtype == "float64"
    with jax.enable_x64(wide):
        traced = jax.jit(product).trace(*arguments)
        compiled = traced.lower(lowering_platforms=("cuda",)).compile()
    texts = [path.read_text() for path in DUMP.glob(f"*.jit_{name}.*.ptx")]
    kernels: dict[str, str] = {}
    for text in texts:
        if entry := re.search(r"\.entry synjit_(\w+)", text):
            kernels[entry[1]] = text
    if kernels.keys() != expected_kernels(problem):
        raise RuntimeError(f"the kernels are {', '.join(kernels) or 'none'}")
    return kernels, compiled.memory_analysis().temp_size_in_bytes


def expected_kernels(problem: Problem) -> set[str]:
    """Name the kernels that a product is compiled to."""
    if problem.product == "dense":
        return {"dense"}
    if problem.transpose:
        return {"gather"}
    probes = calls.probes_rows(problem)
    names = {True: "probe", False: "scatter"}
    return set(names.values()) if probes is None else {names[probes]}


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
    source, binary = DUMP / "kernel.ptx", DUMP / "kernel.cubin"
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
    be like any, and a batch of many has a loop in the loop: not estimated.
    """
    if batch > 1:
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


def complaints(
    problem: Problem, kernel: str, ptx: str, facts: dict[str, int], temp: int
) -> list[str]:
    """Say what is wrong with a kernel that did compile."""
    found = []
    if problem.product == "events" and facts["spills"]:
        found.append(f"spills {facts['spills']} bytes")
    if re.search(r"\b(acq_rel|fence|membar)\b", ptx):
        found.append("an atomic fences")
    if problem.product == "events" and re.search(r"\b(atom|red)\.\S*\.f(32|64)", ptx):
        found.append("adds floats, where integers are summed")
    scatters = kernel == "scatter"
    if scatters != bool(re.search(r"\b(atom|red)\.\S*relaxed\S*\.add", ptx)):
        found.append("has atomics" if not scatters else "has no relaxed atomics")
    bound = workspace.workspace_bytes(problem)
    if temp > bound:
        found.append(f"takes {temp} temporary bytes, more than {bound}")
    return found


HEADER = (
    f"{'variant':34}{'kernel':8}{'registers':>10}{'spills':>8}{'shared':>8}"
    f"{'temp MB':>9}{'compile, s':>12}{'instr':>8}{'10^9/s':>8}"
)


def compile_all(gpu: Gpu, only: str) -> int:
    """Compile all variants for a GPU, print a table; give how many failed."""
    topology = topologies.get_topology_desc(
        gpu.name.lower(), "cuda", target_config=gpu.target(), topology="1x1x1"
    )
    failed = 0
    print(f"{gpu.name} ({gpu.arch})\n{HEADER}", flush=True)
    for number, problem in enumerate(variants()):
        if only not in label(problem):
            continue
        start = time.perf_counter()
        try:
            kernels, temp = compile_for(topology.devices[0], problem, f"v{number}")
            assembled = {name: assemble(ptx, gpu.arch) for name, ptx in kernels.items()}
        except Exception as error:  # noqa: BLE001, whatever a compiler may raise
            failed += 1
            print(f"{label(problem):34} FAILED: {type(error).__name__}: {error}")
            continue
        seconds = time.perf_counter() - start
        for name, (facts, lines) in sorted(assembled.items()):
            row = f"{label(problem):34}{name:8}{facts['registers']:10}"
            row += f"{facts['spills']:8}{facts['shared']:8}{temp / 1e6:9.2f}"
            row += f"{seconds:12.1f}"
            walks = problem.rule == "fixed_out_degree"  # for who knows how long
            if not walks and (instructions := per_term(name, problem.batch, lines)):
                rate = gpu.integer_lanes_per_second / instructions / 1e9
                row += f"{instructions:8.0f}{rate:8.0f}"
            wrong = complaints(problem, name, kernels[name], facts, temp)
            failed += bool(wrong)
            print(row + "".join(f"  FAILED: {what}" for what in wrong), flush=True)
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
