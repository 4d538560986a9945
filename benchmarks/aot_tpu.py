# SPDX-License-Identifier: Apache-2.0
"""Compile every TPU kernel for chips that are not there, and print what they take.

With libtpu installed (no TPU is needed), ``python benchmarks/aot_tpu.py`` compiles all
variants for all chips with the real compiler, prints a table, and fails where one does
not compile. Nothing is run: the rates are bundles and clocks, an upper bound for the
innermost loop.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Topology, and the clock of a core in GHz. The clock is the published peak of bfloat16
# over the multiplications that the matrix units do in a cycle.
CHIPS = {
    "v5e": ("v5e:2x2", 1.50),
    "v5p": ("v5p:2x2x1", 1.75),
    "v6e": ("v6e:2x2", 1.75),
    "tpu7x": ("tpu7x:2x2x1", 2.20),
}
WITH_SPARSE_CORES = ("v5p", "v6e", "tpu7x")
SHAPE = (2500, 5000)
CONSTANT_WORDS, SYMMETRIC_WORDS, GENERAL_WORDS = 0, 2048, 8192
FORMS = {CONSTANT_WORDS: ", constant", SYMMETRIC_WORDS: "", GENERAL_WORDS: ", general"}
SLACK = 2**20  # bytes of workspace for tables, scalars and the sort


@dataclass(frozen=True)
class Variant:
    """One kernel as the products call for it; ``traced`` is about its prob.

    ``words`` are those of the table of weights.
    """

    product: str
    transpose: bool = False
    prob: float = 0.1
    traced: bool = False
    batch: int = 1
    words: int = SYMMETRIC_WORDS
    rule: str = "bernoulli"
    self_connections: bool = True

    def __str__(self) -> str:
        """Name it for the table."""
        name = self.product + (" W.T" if self.transpose else " W")
        known = "traced" if self.traced else f"{self.prob:g}"
        if self.rule != "bernoulli":
            known = f"{self.rule} {known}"
        own = "" if self.self_connections else ", no self"
        return f"{name}, prob {known}, batch {self.batch}{FORMS[self.words]}{own}"


def variants() -> list[Variant]:
    """Every kernel, with a traced prob, and many vectors; W @ x with long chunks.

    Every kernel is compiled for each form of the table of weights too. Chunks are
    shortest from prob 1/16 up: 0.1 stands for them all.
    """
    result = []
    for product in ("events", "floats"):
        for transpose in (False, True):
            result += [
                Variant(product, transpose),
                Variant(product, transpose, traced=True),
                Variant(product, transpose, batch=40),
            ]
        result.append(Variant(product, prob=0.01))
    result += [Variant("dense"), Variant("dense", traced=True)]
    for words in (CONSTANT_WORDS, GENERAL_WORDS):
        for transpose in (False, True):
            result += [
                Variant("events", transpose, words=words),
                Variant("floats", transpose, words=words),
            ]
        result.append(Variant("dense", words=words))
    for self_connections in (True, False):
        fixed = {"rule": "fixed_out_degree", "self_connections": self_connections}
        for product in ("events", "floats"):
            result += [Variant(product, way, **fixed) for way in (False, True)]
        result.append(Variant("dense", **fixed))
    result += [Variant("events", way, self_connections=False) for way in (False, True)]
    return result


STEP = "a step of the microcircuit, over all devices"
SPARSE_CORE = "SparseCore: listing connections, an experiment"


def wanted(chip: str, only: str) -> list[Variant | str]:
    """What is compiled for a chip."""
    everything: list[Variant | str] = [*variants(), STEP]
    if chip in WITH_SPARSE_CORES:
        everything.append(SPARSE_CORE)
    return [one for one in everything if only in str(one)]


# --- one chip, in a process of its own ---------------------------------------------


def compile_all(chip: str, only: str) -> None:
    """Compile all that is wanted for a chip; print a line of JSON for each."""
    with tempfile.TemporaryDirectory() as dump:
        os.environ.update(
            ALLOW_MULTIPLE_LIBTPU_LOAD="1",
            TPU_SKIP_MDS_QUERY="1",
            JAX_PLATFORMS="cpu",
            LLVM_DISABLE_SYMBOLIZATION="1",  # of stack traces that nobody reads
            LIBTPU_INIT_ARGS=f"--xla_jf_dump_to={dump} --xla_jf_dump_llo_text=true",
        )
        from jax.experimental import topologies

        topology = topologies.get_topology_desc(
            platform="tpu", topology_name=CHIPS[chip][0]
        )
        for one in wanted(chip, only):
            start = time.perf_counter()
            try:
                answer = compile_one(one, topology.devices, Path(dump))
            except Exception as error:  # noqa: BLE001, whatever the compiler may raise
                answer = {"error": f"{type(error).__name__}: {error}"}
            answer["seconds"] = time.perf_counter() - start
            print(json.dumps(answer), flush=True)
            for file in Path(dump).iterdir():
                file.unlink()


def compile_one(one: Variant | str, devices: list[Any], dump: Path) -> dict[str, Any]:
    """Compile one line of the table."""
    if one == STEP:
        return compile_step(devices)
    if one == SPARSE_CORE:
        import sparse_core

        return {"workspace": sparse_core.compile_for(devices[0])}
    return measure(one, devices[0], dump)


def measure(variant: Variant, device: Any, dump: Path) -> dict[str, Any]:
    """Compile one variant and read the dump of its kernel."""
    import jax
    import tpu_bundles
    from jax.sharding import SingleDeviceSharding

    from synjit import Problem, reference
    from synjit.backends.pallas_tpu import calls, workspace
    from synjit.hookspecs import Matrix

    k = reference.count_distribution(variant.prob).log2_chunk
    dense = variant.product == "dense"
    problem = Problem(
        product=variant.product,  # type: ignore[arg-type]
        shape=SHAPE,
        transpose=variant.transpose,
        batch=0 if dense else variant.batch,
        dtype="float32",
        corder=True,
        log2_chunk=None if variant.traced else k,
        weights=variant.words,
        platform="tpu",
        rule=variant.rule,  # type: ignore[arg-type]
        self_connections=variant.self_connections,
    )
    sharding = SingleDeviceSharding(device)

    def argument(shape: tuple[int, ...], dtype: str) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    lengths = (2, 2, reference.draw.CONNECTIVITY_WORDS, variant.words)
    operands = [Matrix(*(argument((length,), "uint32") for length in lengths))]
    if not dense:
        length = SHAPE[0] if variant.transpose else SHAPE[1]
        dtype = "bool" if variant.product == "events" else "float32"
        operands.append(argument((length, variant.batch), dtype))
    product = calls.dense if dense else calls.product
    traced = jax.jit(lambda *args: product(problem, *args)).trace(*operands)
    compiled = traced.lower(lowering_platforms=("tpu",)).compile()
    taken = compiled.memory_analysis().temp_size_in_bytes
    stated = workspace.workspace_bytes(problem)
    if taken > stated + SLACK:
        raise MemoryError(f"takes {taken} bytes of workspace; stated: {stated}")
    way = "gather" if variant.transpose else "dense" if dense else "probe"
    kernel = tpu_bundles.read(dump, f"synjit_{way}")
    return {
        "prob": variant.prob,
        "elements": workspace.elements_at_once(problem),
        "workspace": taken,
        "vmem": kernel.vmem,
        "bundles": kernel.bundles,
        "limit": kernel.limit,
        "busy": kernel.busy[kernel.limit],
    }


def compile_step(devices: list[Any]) -> dict[str, Any]:
    """Compile a step of a small microcircuit, its neurons cut over all devices."""
    import jax
    import numpy as np

    from synjit.demo import Parameters, build
    from synjit.demo.background import Each
    from synjit.demo.dynamics import Neurons, connections, make_step

    mesh = jax.sharding.Mesh(np.array(devices), ("rows",))
    network = build(parameters=Parameters().only({"L4E": 1600, "L4I": 400}))

    matrix = connections(network, None).shard(mesh, rows="rows")

    def argument(dtype: str) -> Any:
        sharding = matrix.columns.sharding()
        return jax.ShapeDtypeStruct((sum(network.sizes),), dtype, sharding=sharding)

    step = make_step(network, matrix)
    neurons = Neurons(argument("float32"), argument("float32"), argument("uint32"))
    traced = jax.jit(step).trace(neurons, Each(argument("uint8")), argument("float32"))
    compiled = traced.lower(lowering_platforms=("tpu",)).compile()
    kernels = compiled.as_text().count('custom_call_target="tpu_custom_call"')
    if kernels != len(network.blocks):
        raise RuntimeError(f"{kernels} kernels for {len(network.blocks)} blocks")
    return {"workspace": compiled.memory_analysis().temp_size_in_bytes}


# --- the table --------------------------------------------------------------------


def row(chip: str, variant: object, answer: dict[str, Any]) -> str:
    """One line of the table."""
    if "error" in answer:
        return f"| {chip} | {variant} | **{answer['error'].splitlines()[0][:200]}** |"
    if "bundles" not in answer:
        workspace = f"{answer['workspace'] / 2**20:.1f}"
        return f"| {chip} | {variant} | {workspace} ||||||| {answer['seconds']:.1f} |"
    elements = answer["elements"] / answer["bundles"] * CHIPS[chip][1]
    return (
        f"| {chip} | {variant} | {answer['workspace'] / 2**20:.1f} "
        f"| {answer['vmem'] / 2**20:.2f} "
        f"| {answer['bundles']} | {answer['elements']} | {elements:.1f} "
        f"| {elements * answer['prob']:.2f} "
        f"| {answer['limit']} {answer['busy']:.0%} | {answer['seconds']:.1f} |"
    )


def ask(chip: str, only: str) -> tuple[list[dict[str, Any]], str]:
    """Run a chip's process; returns its answers, and what it said if it broke."""
    command = [sys.executable, __file__, "--compile", chip, "--only", only]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return [json.loads(line) for line in lines], done.stderr[-2000:]


def main() -> int:
    """Print the table; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chips", nargs="*", choices=CHIPS, default=list(CHIPS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="lines with this in their name")
    parser.add_argument("--compile", choices=CHIPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compile:
        compile_all(options.compile, options.only)
        return 0
    print("| chip | kernel | workspace, MB | VMEM, MB | bundles | elements ", end="")
    print("| G elements/s | G connections/s | fullest slot | compile, s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    total = failures = 0
    with ThreadPoolExecutor(options.processes) as pool:
        asked = pool.map(functools.partial(ask, only=options.only), options.chips)
        for chip, (answers, said) in zip(options.chips, asked, strict=True):
            lines = wanted(chip, options.only)
            for one, answer in zip(lines, answers, strict=False):
                print(row(chip, one, answer), flush=True)
            broken = sum("error" in answer for answer in answers)
            missing = len(lines) - len(answers)
            total += len(lines)
            failures += broken + missing
            if missing:
                print(f"{chip}: {missing} kernels were not reached\n{said}")
    print(f"\n{total} compilations, {failures} failed")
    return int(failures > 0 or total == 0)


if __name__ == "__main__":
    sys.exit(main())
