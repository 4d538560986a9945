# SPDX-License-Identifier: Apache-2.0
"""Run what Mosaic GPU makes of the dense kernel, and compare with the reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from synjit.backends.pallas_gpu import mosaic, workspace
from synjit.conformance.cases import Case
from synjit.conformance.expected import expected
from synjit.conformance.runner import operands_of, problem_of
from synjit.hookspecs import Matrix, Problem

from .assembly import assemble
from .compiling import compile_by_mosaic
from .execution import launch
from .gpus import Gpu
from .parsing import parse
from .variant_cases import cases_of
from .variants import arguments_of, label, variants
from .warpgroups import WARPS, warps_alone


def compile_dense(gpu: Gpu, problem: Problem) -> str:
    """Compile the dense product by way of Mosaic GPU; give its PTX."""

    def dense(matrix: Matrix) -> jax.Array:
        return mosaic.dense(problem, matrix)

    return compile_by_mosaic(gpu.device(), dense, arguments_of(problem))


def run_dense(text: str, problem: Problem, matrix: Matrix, seed: int) -> Any:
    """Run that, on a matrix; give the entries, and the instructions of warps."""
    m, n = problem.shape
    code = assemble(parse(warps_alone(text)))
    programs = -(-n // mosaic.LANES) * workspace.row_blocks(m) * WARPS
    inputs = [np.asarray(words) for words in matrix if words.size]
    done = launch(code, programs, inputs, [m * n], {}, seed)
    return done.results[0].view(np.int32).reshape(m, n), done.counts


def cases() -> Iterator[tuple[Problem, Case]]:
    """Give the dense variants, and windows of matrices, with their problems."""
    for problem in variants():
        if problem.product == "dense":
            yield from ((problem, case) for case in cases_of(problem))
    for case in (
        Case("dense", 0.77, (300, 65), origin=(8170, 9), seed=2**40 + 5),
        Case("dense", 0.01, (8193, 130), origin=(700, 3)),
        Case("dense", 0.5, (260, 19), table="random"),
    ):
        yield problem_of(case, "cuda"), case


def check(gpu: Gpu, only: str, seed: int) -> int:
    """Print what came of each; give how many are wrong."""
    wrong, instructions = 0, 0
    for problem, case in cases():
        name = f"  {label(problem)} {problem.shape}"
        if only not in name:
            continue
        text = compile_dense(gpu, problem)
        if ".shared" in text:
            print(f"{name}: compiled, and not run: its warps share memory", flush=True)
            continue
        (matrix,) = operands_of(case)
        got, counts = run_dense(text, problem, matrix, seed)
        differ = int((got != np.asarray(expected(case).results[0])).sum())
        wrong += differ > 0
        instructions += int(counts.sum())
        print(
            f"{name}: {f'{differ} differ' if differ else 'the same bits'}", flush=True
        )
    print(f"  {instructions / 1e6:.1f} million instructions of warps")
    return wrong
