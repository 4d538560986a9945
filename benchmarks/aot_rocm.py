# SPDX-License-Identifier: Apache-2.0
"""Compile every GPU kernel, in all its variants, for AMD's GPUs with none at hand.

XLA's plugin for ROCm does not load without ROCm's libraries, which no package on PyPI
has. So what Pallas lowers to for ROCm, Triton's own language, is compiled by a release
of Triton itself, down to machine code. ``make aot-rocm`` installs that, and runs this.
It fails when a kernel does not compile, when one of an events product spills, and when
other kernels than those that should have atomics, or not all of them. Nothing is run.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import triton
from jax._src.interpreters import mlir  # the only way to read what Pallas made
from jax._src.lib.mlir import ir
from jax._src.lib.triton import dialect
from ptx.variants import arguments_of, function_of, kernel_names, label, variants
from triton.backends.compiler import GPUTarget

from synjit.hookspecs import Problem

WARP = 64
ATOMIC = ("scatter", "deliver_elect", "deliver_add", "deliver_tally")  # kernels
FACTS = ("vgpr_count", "sgpr_count", "vgpr_spill_count", "sgpr_spill_count")


def custom_calls(operation: Any) -> Iterator[Any]:
    """Find what XLA would have Triton compile."""
    for region in operation.regions:
        for block in region.blocks:
            for inner in block.operations:
                yield from custom_calls(inner.operation)
    name = operation.attributes.get("call_target_name")
    if name is not None and "triton" in str(name):
        yield operation.attributes["mhlo.backend_config"]


def kernels_of(problem: Problem) -> dict[str, str]:
    """Lower a product for ROCm; give the text of each of its kernels, by name."""
    with jax.enable_x64(problem.dtype == "float64"):
        traced = jax.jit(function_of(problem)).trace(*arguments_of(problem))
        lowered = traced.lower(lowering_platforms=("rocm",)).compiler_ir()
    found = {}
    context = mlir.make_ir_context()
    dialect.register_dialect(context)
    for config in custom_calls(lowered.operation):
        with context:
            module = ir.Module.parse(config["ir"].value_bytes)
            text = module.operation.get_asm(enable_debug_info=False)
        found[config["name"].value.removeprefix("synjit_")] = text
    if found.keys() != kernel_names(problem):
        raise RuntimeError(f"the kernels are {', '.join(found) or 'none'}")
    return found


def assemble(text: str, arch: str) -> str:
    """Compile a kernel, one warp to a program; give its assembly."""
    with tempfile.TemporaryDirectory(prefix="synjit-rocm-") as folder:
        source = Path(folder) / "kernel.ttir"
        source.write_text(text)
        options = {"num_warps": 1, "num_stages": 1}
        target = GPUTarget("hip", arch, WARP)
        return triton.compile(str(source), target=target, options=options).asm["amdgcn"]


def compile_all(arch: str, only: str) -> int:
    """Compile all variants, print a table; give how many failed."""
    failed = 0
    print(f"{'variant':36}{'kernel':20}{'vgpr':>6}{'sgpr':>6}{'spills':>8}  atomics")
    for problem in variants():
        if only not in label(problem):
            continue
        try:
            done = {k: assemble(t, arch) for k, t in kernels_of(problem).items()}
        except Exception as error:  # noqa: BLE001, whatever a compiler may raise
            failed += 1
            print(f"{label(problem):36}FAILED: {type(error).__name__}: {error}")
            continue
        for name, text in sorted(done.items()):
            numbers = [int(re.search(rf"\.{f}:\s+(\d+)", text)[1]) for f in FACTS]
            vector, scalar, *spills = numbers
            atomics = sorted(set(re.findall(r"\b\w+_atomic_\w+", text)))
            wrong = name.startswith(ATOMIC) != bool(atomics)
            wrong |= problem.product in {"events", "deliver"} and any(spills)
            failed += wrong
            print(
                f"{label(problem):36}{name:20}{vector:6}{scalar:6}{sum(spills):8}  "
                f"{', '.join(atomics)}{'  FAILED' if wrong else ''}",
                flush=True,
            )
    return failed


def main() -> int:
    """Compile; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="variants with this in their label")
    parser.add_argument(
        "--arch", default="gfx942", help="of AMD's names, as in rocminfo"
    )
    options = parser.parse_args()
    print(
        f"{options.arch}: lowered by jax {jax.__version__}, compiled by Triton "
        f"{triton.__version__}, not run"
    )
    failed = compile_all(options.arch, options.only)
    print(f"failed: {failed}" if failed else "all compiled")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
