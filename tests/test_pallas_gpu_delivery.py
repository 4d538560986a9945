# SPDX-License-Identifier: Apache-2.0
"""Delivery on a GPU: by a list or by places, the same bits, and nothing of the ring.

``make ptx`` executes what these kernels are compiled to.
"""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from long import long_unless
from ptx.variants import arguments_of
from test_pallas_gpu import equations, is_kernel

from synjit import FixedOutDegree, conformance, delivery
from synjit.backends.pallas_gpu import delivery_calls, plugin, workspace
from synjit.conformance.cases import SLOTS, Case
from synjit.demo.background import Each
from synjit.demo.dynamics import Neurons, connections, make_step
from synjit.demo.microcircuit import build
from synjit.hookspecs import Block, Grid, Problem

NAME = "pallas_gpu"

GRID = ((0.1, None, 0.3), (0.005, 1.0, None))
RULES = ((0.1, FixedOutDegree(40, 3000)), (FixedOutDegree(9, 3000), None))
LIKE = Case("deliver", 0.1, (601, 30), grid=GRID, now=SLOTS - 1)
ONE = Case("deliver", 0.3, (1300, 20), grid=((0.3,),), pattern="all")
CASES = {
    "one": replace(ONE, now=40),
    "blocks": LIKE,
    "all": replace(LIKE, pattern="all", origin=(700, 3)),
    "batch": replace(ONE, shape=(300, 40), batch=3, now=7),
    "tables": replace(LIKE, table="mixed", known=False, pattern="all"),
    "rules": replace(LIKE, grid=RULES, self_connections=False, pattern="all"),
    "no events": replace(ONE, pattern="none"),
    "as many slots as steps": replace(ONE, delays="one", slots=4, now=3),
}
SHORT = {"one", "batch"}


@pytest.mark.parametrize("name", long_unless(lambda _, n: n in SHORT, CASES))
@pytest.mark.parametrize("cells", [workspace.CELLS, 1])
def test_conforms_when_interpreted(name, cells, monkeypatch):
    """With room for a list, and with room for the places of some rows at a time."""
    case = CASES[name]
    if cells == 1:
        rows = min(case.shape[0], 150)
        case = replace(case, shape=(rows, case.shape[1]))
        cells = 20 * case.slots * case.batch
    monkeypatch.setattr(workspace, "CELLS", cells)
    assert conformance.check(NAME, case) == ""


@pytest.mark.parametrize("room", [True, False])
def test_a_list_is_made_where_there_is_room(room, monkeypatch):
    """Without the other way, the result is right or wrong."""
    monkeypatch.setattr(workspace, "CELLS", workspace.CELLS if room else 1)
    monkeypatch.setattr(
        delivery_calls, "_by_place", lambda kinds, given, ring, row: ring
    )
    case = replace(ONE, shape=(300, 20), pattern="one")
    assert (conformance.check(NAME, case) == "") == room


# --- lowered for a GPU ------------------------------------------------------------


def problem_of_blocks(slots: int, batch: int = 1, dtype: str = "float32") -> Problem:
    """State a delivery by 10^6 neurons to 10^6, of two kinds of blocks."""
    half = 500_000
    blocks = [
        Block(i, j, 20, (0, 2048), delays=(33 * j, 33 if j else 17))
        for i in range(2)
        for j in range(2)
    ]
    return Problem(
        "deliver", (2 * half, 2 * half), False, batch, dtype, True, None, 2048, "cuda",
        Grid((half, half), (half, half), tuple(blocks)), slots=slots,
    )  # fmt: skip


def trace(problem: Problem) -> Any:
    deliver = jax.jit(functools.partial(delivery_calls.deliver, problem))
    return deliver.trace(*arguments_of(problem))


@pytest.mark.parametrize("slots", [64, 640])
def test_nothing_but_the_ring_grows_with_the_slots(slots):
    """Every array but the ring stays within the memory that is stated for 64."""
    problem = problem_of_blocks(slots)
    bound = workspace.workspace_bytes(problem_of_blocks(64))
    assert workspace.workspace_bytes(problem) == bound
    traced = trace(problem)
    ring = slots * 10**6
    in_place = {"pallas_call", "reshape", "while", "jit", "pjit"}
    kernels = []
    for equation in equations(traced.jaxpr.jaxpr):
        for variable in equation.outvars:
            size = variable.aval.size * variable.aval.dtype.itemsize
            assert size <= bound or variable.aval.size == ring, equation
            if variable.aval.size == ring:
                assert equation.primitive.name in in_place, equation
        if is_kernel(equation):
            kernels.append(equation)
    names = [kernel.params["name"].split("_", 2)[2] for kernel in kernels]
    assert names == [
        "list_all_0", "list_all_2", "elect_0", "add_0", "write_0",
        "clear_0", "clear_2", "tally_0", "tally_2", "settle_0", "settle_2",
    ]  # fmt: skip
    for kernel in kernels:
        written = [i for i, v in enumerate(kernel.outvars) if v.aval.size == ring]
        aliases = {out for _, out in kernel.params["input_output_aliases"]}
        assert set(written) <= aliases
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("__gpu$xla.gpu.triton") == len(kernels)


def test_a_slot_is_read_in_place_and_before_it_is_cleared():
    """By a barrier: conditions, which CPUs need, would copy the ring on a GPU."""
    ring = jax.ShapeDtypeStruct((64, 1000, 1), jnp.float32)
    traced = jax.jit(delivery.read).trace(ring, jax.ShapeDtypeStruct((), jnp.uint32))
    for platform, ordered in (("cuda", True), ("tpu", True), ("cpu", False)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("optimization_barrier" in text) == ordered
        assert ("stablehlo.case" in text or "stablehlo.if" in text) != ordered


def test_what_is_too_large_is_refused_in_words():
    refuses = plugin.synjit_refuses
    assert refuses(problem_of_blocks(64)) is None
    assert "64000000000 elements" in refuses(problem_of_blocks(64, batch=1000))
    assert "chunks of columns and vectors" in refuses(
        replace(problem_of_blocks(2, batch=700), slots=2)
    )


def test_without_triton_deliveries_are_refused(monkeypatch):
    monkeypatch.setattr(plugin, "_missing", lambda module: "it is gone")
    for platform in ("cuda", "cpu"):
        problem = replace(problem_of_blocks(64), platform=platform)
        assert "it is gone" in plugin.synjit_refuses(problem)


@pytest.mark.parametrize("sharded", [False, True])
def test_a_step_of_the_microcircuit_is_five_launches_or_six(sharded):
    """At full size: two laws of delays; sharded as the demo is, on one device."""
    if sharded and jax.__version_info__ >= (0, 11):
        pytest.skip("inside shard_map, it takes the mesh's device, which is a CPU")
    network = build(1.0, delays_of="synapse")
    matrix = connections(network, None)
    if sharded:
        auto = (jax.sharding.AxisType.Auto,)
        mesh = jax.make_mesh((1,), ("neurons",), axis_types=auto)
        matrix = matrix.shard(mesh, rows="neurons")
    step = jax.jit(make_step(network, matrix))
    floats = jax.ShapeDtypeStruct((sum(network.sizes),), jnp.float32)
    words = jax.ShapeDtypeStruct(floats.shape, jnp.uint32)
    neurons = Neurons(floats, floats, words, jax.eval_shape(matrix.ring))
    now = jax.ShapeDtypeStruct((), jnp.int32)
    traced = step.trace(neurons, Each(None), floats, now)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    names = set(re.findall(r"synjit_deliver_(\w+)_\d+", text))
    assert {"list_all", "elect", "add", "write"} < names
    assert text.count("__gpu$xla.gpu.triton") == 5 + 6  # by list, and by places
