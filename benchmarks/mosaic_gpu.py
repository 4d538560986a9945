# SPDX-License-Identifier: Apache-2.0
"""Compile, piece by piece, what the GPU kernels need by way of Mosaic GPU.

Mosaic GPU is Pallas' successor to Triton. Each item is the smallest kernel that needs
one thing, on a vector of a warpgroup, 128 lanes; it is compiled for a GPU that is not
there, down to machine code, and not run. A table says what compiles, and to which
instructions of PTX, or how it fails, in the first words of the error. ``docs/gpu.md``
has the table and what follows from it. ``make mosaic`` runs this; it needs what
``make aot-gpu`` needs, and absl-py.

LLVM ends the process when it fails: a child compiles, and another one goes on from
there.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from typing import Any

import jax
from jax.experimental.pallas import mosaic_gpu as plgpu
from mosaic_items import Item, items
from ptx.compiling import compile_by_mosaic
from ptx.gpus import GPUS

# Instructions that tell what was made of it, but those that all kernels begin with.
TELLING = re.compile(r"^\s*(?:@!?%\w+ )?((?:atom|red|redux|shfl|bar|vote)\b[\w.:]*)")
BEGINS = {"bar.sync", "shfl.sync.idx.b32"}


def compile_item(item: Item, gpu: str, semantics: Any) -> str:
    """Compile one; give the instructions that tell something of it."""
    with jax.enable_x64(True):
        kernel = plgpu.kernel(
            item.kernel,
            out_type=item.output,
            grid=(4,),
            grid_names=("program",),
            compiler_params=plgpu.CompilerParams(lowering_semantics=semantics),
        )
        text = compile_by_mosaic(GPUS[gpu].device(), kernel, item.inputs)
    found = {match[1] for match in map(TELLING.match, text.splitlines()) if match}
    return ", ".join(sorted(found - BEGINS))


def tell(gpu: str, semantics: str, only: str, first: int) -> None:
    """Compile the items from one on; print a line for each."""
    for item in chosen(only)[first:]:
        try:
            what = compile_item(item, gpu, plgpu.LoweringSemantics[semantics])
            print(f"yes {what}", flush=True)
        except Exception as error:  # noqa: BLE001, whatever a compiler may raise
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            print(f"no  {said}", flush=True)


def outcomes(gpu: str, semantics: str, only: str) -> list[str]:
    """Compile the items in children; give "yes" or "no", and words, for each."""
    found: list[str] = []
    command = [sys.executable, "-W", "ignore", __file__, "--gpu", gpu, "--only", only]
    while len(found) < len(chosen(only)):
        which = ["--semantics", semantics, "--first", str(len(found))]
        done = subprocess.run(
            [*command, *which], capture_output=True, text=True, check=False
        )
        found += done.stdout.splitlines()
        if done.returncode:
            found.append(f"no  {done.stderr.splitlines()[0]}")
    return found


def chosen(only: str) -> list[Item]:
    """List the items with this in their names."""
    return [item for item in items() if only in item.name]


def main() -> int:
    """Print the table; 1 if an escape, by inline_mgpu, does not compile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpu", choices=list(GPUS), default="H100")
    parser.add_argument("--only", default="", help="items with this in their names")
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--semantics", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.semantics:
        tell(options.gpu, options.semantics, options.only, options.first)
        return 0
    by_lane, by_group = (
        outcomes(options.gpu, semantics, options.only)
        for semantics in ("Lane", "Warpgroup")
    )
    print(f"jax {jax.__version__}, {options.gpu}; in Lane, in Warpgroup semantics:")
    failed = 0
    for item, *told in zip(chosen(options.only), by_lane, by_group, strict=True):
        words = [each[:4] for each in told]
        said = min(told)[4:]  # why not, if there is a no
        print(f"{item.name:36}{''.join(words)}{said[:90]}")
        failed += "inline" in item.name and "no  " in words
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
