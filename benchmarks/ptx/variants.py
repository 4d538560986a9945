# SPDX-License-Identifier: Apache-2.0
"""Every kernel of the GPU backend, with what decides its code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from synjit.backends.pallas_gpu import calls, delivery_calls
from synjit.conformance.runner import problem_of
from synjit.hookspecs import Matrix, Problem, Rule
from synjit.reference import draw
from synjit.reference.quantile_table import (
    CONSTANT_WORDS,
    GENERAL_WORDS,
    SYMMETRIC_WORDS,
)

from .variant_cases import cases_of_blocks, cases_of_deliveries

SHAPE = (100_000, 100_000)
# Every column of W.T is summed, and every entry of dense ones is written.
TRANSPOSED_SHAPE = (100_000, 20_000)
DENSE_SHAPE = (9_000, 1_000)


def variants() -> list[Problem]:
    """Return every kernel, with what decides its code.

    Chunks of 2**13 rows are prob 0.01's; the shortest, and those of a traced prob,
    have two kernels, one of which is run. Every kernel is compiled for the other forms
    of table too, with one vector. Blocks of several kinds have a kernel for each.
    """
    shortest = draw.MIN_LOG2_CHUNK
    found = []

    def add(
        product: str, dtype: str, transpose: bool, batch: int, k: int | None, words: int
    ) -> None:
        shape = TRANSPOSED_SHAPE if transpose else SHAPE
        shape = DENSE_SHAPE if product == "dense" else shape
        found.append(
            Problem(product, shape, transpose, batch, dtype, True, k, words, "cuda")
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
    of_blocks = [*cases_of_blocks(), *cases_of_deliveries()]
    return [*found, *(problem_of(case, "cuda") for case in of_blocks)]


def label(problem: Problem) -> str:
    """Name a variant in a table."""
    dtype = {"float32": " f32", "float64": " f64"}.get(problem.dtype, "")
    if problem.grid.blocks:
        blocks, kinds = len(problem.grid.blocks), len(kinds_of(problem))
        of_kinds = f" of {kinds} kinds" if kinds > 1 else ""
        name = f"{problem.product}{dtype if dtype == ' f64' else ''}"
        return f"{name} {blocks} blocks{of_kinds} x{problem.batch}"
    way = "W.T" if problem.transpose else "W"
    k = "traced" if problem.log2_chunk is None else f"k={problem.log2_chunk}"
    forms = {CONSTANT_WORDS: " constant", GENERAL_WORDS: " general"}
    form = forms.get(problem.weights, "")
    rule = " fixed" if problem.rule == "fixed_out_degree" else ""
    own = "" if problem.self_connections else " no self"
    return f"{problem.product}{dtype} {way} {k} x{problem.batch}{form}{rule}{own}"


def kernel_names(problem: Problem) -> set[str]:
    """Name the kernels that a product is compiled to."""
    if problem.product == "deliver":
        kinds = delivery_calls.kinds_of(problem)
        drawn = ("list_all", "clear", "tally", "settle")
        names = {f"{name}_{k.own.of.start}" for name in drawn for k in kinds}
        return {f"deliver_{n}" for n in {*names, "elect_0", "add_0", "write_0"}}
    if problem.grid.blocks:
        numbers = range(1, len(kinds_of(problem)))
        return {"scatter", *(f"scatter_{number}" for number in numbers)}
    if problem.product == "dense":
        return {"dense"}
    if problem.transpose:
        return {"gather"}
    probes = calls.probes_rows(problem)
    names = {True: "probe", False: "scatter"}
    return set(names.values()) if probes is None else {names[probes]}


def kinds_of(problem: Problem) -> set[Any]:
    """Tell blocks apart that have kernels of their own."""
    return {
        (b.rule, b.self_connections, b.table[1], b.delays[1])
        for b in problem.grid.blocks
    }


def function_of(problem: Problem) -> Any:
    """Give the product, as a function of the arguments."""
    hooks = {
        "dense": calls.dense,
        "weighted": calls.weighted,
        "deliver": delivery_calls.deliver,
    }
    hook = hooks.get(problem.product, calls.product)
    return lambda *operands: hook(problem, *operands)


def arguments_of(problem: Problem) -> list[Any]:
    """Give shapes and dtypes of the arguments."""
    blocks = (len(problem.grid.blocks),) if problem.grid.blocks else ()
    shapes = [(*blocks, words) for words in (2, 2, draw.CONNECTIVITY_WORDS)]
    shapes.append((problem.weights,))
    matrix = Matrix(*(jax.ShapeDtypeStruct(shape, jnp.uint32) for shape in shapes))
    if problem.product == "dense":
        return [matrix]
    length = problem.shape[0] if problem.transpose else problem.shape[1]
    dtype = jnp.dtype(problem.dtype)
    is_float = problem.product == "floats"
    x = jax.ShapeDtypeStruct((length, problem.batch), dtype if is_float else jnp.bool_)
    weights = [jax.ShapeDtypeStruct(blocks, dtype)] * (2 * len(blocks))
    if problem.product != "deliver":
        return [matrix, x, *weights]
    words = max(sum(block.delays) for block in problem.grid.blocks)
    delays, now = (jax.ShapeDtypeStruct(s, jnp.uint32) for s in ((words,), ()))
    ring = (problem.slots, problem.shape[0], problem.batch)
    return [matrix, delays, x, *weights, jax.ShapeDtypeStruct(ring, dtype), now]
