# SPDX-License-Identifier: Apache-2.0
"""Blocks on a GPU: one launch for all that are alike, and the bits of the reference."""

from __future__ import annotations

import functools
from dataclasses import replace

import jax
import numpy as np
import pytest
from jax.experimental import pallas as pl
from long import long_unless

from synjit import FixedOutDegree, conformance
from synjit.backends.pallas_gpu import calls, workspace
from synjit.conformance.cases import Case
from synjit.conformance.runner import operands_of, problem_of
from synjit.demo.background import Each
from synjit.demo.dynamics import Neurons, connections, make_step
from synjit.demo.microcircuit import build

NAME = "pallas_gpu"

GRID = ((0.1, None, 0.5, 0.0), (0.005, 1.0, 0.05, None))
FIXED = FixedOutDegree(40, 3000), FixedOutDegree(9, 3000)
RULES = ((0.1, *FIXED), (0.3, None, 0.2))
LIKE = Case("weighted", 0.1, (2301, 60), grid=GRID)
CASES = {
    "one kind": replace(LIKE, origin=(700, 3), pattern="all"),
    "tables": replace(LIKE, table="mixed", known=False),
    "rules": replace(LIKE, grid=RULES, self_connections=False, batch=3),
    "no events": replace(LIKE, pattern="none", batch=3),
    "one block": replace(LIKE, grid=((0.1,),), shape=(1500, 60)),
}


@pytest.mark.parametrize(
    "name", long_unless(lambda _, n: n not in {"no events", "one kind"}, CASES)
)
def test_conforms_when_interpreted(name):
    assert conformance.check(NAME, CASES[name]) == ""


@pytest.fixture
def kernels(monkeypatch):
    """List the names of the kernels that are traced."""
    names = []
    pallas_call = pl.pallas_call

    def traced(*args, name, **options):
        names.append(name)
        return pallas_call(*args, name=name, **options)

    monkeypatch.setattr(pl, "pallas_call", traced)
    return names


@pytest.mark.parametrize(("name", "number"), [("one kind", 1), ("tables", 3)])
def test_blocks_of_a_kind_are_one_launch(name, number, kernels):
    problem = problem_of(CASES[name], "cuda")
    jax.eval_shape(
        functools.partial(calls.weighted, problem), *operands_of(CASES[name])
    )
    assert (
        kernels == ["synjit_scatter", "synjit_scatter_1", "synjit_scatter_2"][:number]
    )


def test_another_rule_and_no_self_connections_are_kinds(kernels):
    case = CASES["rules"]
    blocks = case.problem_grid.blocks
    kinds = {(block.rule, block.self_connections) for block in blocks}
    jax.eval_shape(
        functools.partial(calls.weighted, problem_of(case, "cuda")), *operands_of(case)
    )
    assert len(set(kernels)) == len(kernels) == len(kinds) == 4


@pytest.mark.parametrize(
    ("limit", "least"), [("MAX_PAIRS", 225), ("MAX_ELEMENTS", 6903)]
)
def test_blocks_that_cannot_be_numbered_together_are_launches_of_their_own(
    limit, least, kernels, monkeypatch
):
    problem, operands = problem_of(LIKE, "cuda"), operands_of(LIKE)
    monkeypatch.setattr(workspace, limit, least)
    assert workspace.lists_at_once(problem)
    monkeypatch.setattr(workspace, limit, least - 1)
    jax.eval_shape(functools.partial(calls.weighted, problem), *operands)
    assert kernels.count("synjit_scatter") == len(problem.grid.blocks)


def test_launches_of_their_own_give_the_same(monkeypatch):
    case = replace(LIKE, grid=((0.01, 0.02),), shape=(300, 40))
    monkeypatch.setattr(workspace, "MAX_PAIRS", 1)
    assert conformance.check(NAME, case) == ""


# --- the microcircuit -------------------------------------------------------------


@pytest.mark.parametrize("sharded", [False, True])
def test_a_step_of_the_microcircuit_is_one_launch(sharded):
    """At full size: 55 blocks; sharded as the demo is, on one device."""
    if sharded and jax.__version_info__ >= (0, 11):
        pytest.skip("inside shard_map, it takes the mesh's device, which is a CPU")
    network = build(1.0)
    assert len(network.blocks) == 55
    matrix = connections(network, None)
    if sharded:
        auto = (jax.sharding.AxisType.Auto,)
        mesh = jax.make_mesh((1,), ("neurons",), axis_types=auto)
        matrix = matrix.shard(mesh, rows="neurons")
    step = jax.jit(make_step(network, matrix))
    floats = jax.ShapeDtypeStruct((sum(network.sizes),), np.float32)
    words = jax.ShapeDtypeStruct(floats.shape, np.uint32)
    each = Each(jax.ShapeDtypeStruct(floats.shape, np.uint8))
    traced = step.trace(Neurons(floats, floats, words), each, floats)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("__gpu$xla.gpu.triton") == 1
