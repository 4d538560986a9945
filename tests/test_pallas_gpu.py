# SPDX-License-Identifier: Apache-2.0
"""The GPU backend where there is no GPU: interpreted, and lowered but not compiled.

The full set of quick cases takes some minutes when interpreted; these are one of each
kind. ``benchmarks/gpu_device.py`` runs them all on a device.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu
from long import long_unless

import synjit
from synjit import FixedOutDegree, conformance, dispatch, reference
from synjit.backends.pallas_gpu import atomics, calls, launch, workspace
from synjit.conformance.cases import Case
from synjit.conformance.expected import expected
from synjit.conformance.runner import Runner, operands_of, problem_of
from synjit.conformance.suite import run_check
from synjit.hookspecs import Matrix, Problem
from synjit.reference import draw
from synjit.registry import registry

NAME = "pallas_gpu"

CASES = [
    # many chunks; one, much longer than the window; a window across chunks' edges
    Case("events", 0.1, (2500, 50)),
    Case("events", 1e-4, (700, 300), pattern="all"),
    Case("events", 0.1, (1500, 60), origin=(700, 3), seed=-1, batch=5),
    # every entry asked for: dense, low, and a window lower than its chunk
    Case("events", 0.5, (1500, 30)),
    Case("events", 0.5, (257, 129)),
    Case("events", 0.01, (50, 60), origin=(8170, 9), batch=2),
    # listed where many rows are active, asked where few are
    Case("events", 0.1, (1500, 60), transpose=True, pattern="all"),
    Case("events", 0.1, (1500, 60), transpose=True, pattern="one", origin=(700, 3)),
    Case("events", 0.3, (511, 17), transpose=True, batch=9),
    Case("floats", 0.1, (1500, 60), batch=2),
    Case("floats", 0.77, (1100, 15), batch=5),
    Case("floats", 0.01, (8193, 40), transpose=True, batch=2),
    Case("dense", 0.01, (8193, 40)),
    Case("dense", 0.77, (300, 65), origin=(8170, 9), seed=2**40 + 5),
    # every form of the table of weights, with words of no law
    Case("events", 0.1, (1500, 60), batch=2, table="random"),
    Case("events", 0.5, (300, 60), table="random symmetric"),
    Case("events", 0.1, (1500, 60), transpose=True, pattern="all", table="random"),
    Case("events", 0.1, (1500, 60), table="constant"),
    Case("floats", 0.5, (300, 60), batch=2, table="constant"),
    Case("floats", 0.1, (1500, 60), transpose=True, table="lognormal"),
    Case("dense", 0.5, (260, 19), table="random"),
    Case("dense", 0.5, (260, 19), table="constant"),
    # rules of connections: listed and walked, asked and walked back, no diagonal
    Case("events", FixedOutDegree(40, 1500), (1500, 60), self_connections=False),
    Case("events", FixedOutDegree(700, 3000), (900, 60), origin=(2000, 1990), batch=2),
    Case("floats", FixedOutDegree(90, 1500), (1500, 60), transpose=True),
    Case("events", 0.5, (300, 60), origin=(1010, 1000), self_connections=False),
    Case("dense", FixedOutDegree(299, 300), (300, 40), self_connections=False),
]


def describe(case: Case) -> str:
    direction = "transpose" if case.transpose else "straight"
    rule = case.prob if case.self_connections else f"{case.prob}-no-self"
    return f"{case.product}-{rule}-{case.shape}-{direction}-{case.batch}-{case.table}"


# Each product and direction; batches, tables and rules.
SHORT = {2, 8, 9, 12, 14, 24, 25}


@pytest.mark.parametrize(
    "case", long_unless(lambda i, _: i in SHORT, CASES), ids=describe
)
def test_conforms_when_interpreted(case):
    assert conformance.check(NAME, case) == ""


def test_conforms_when_called_from_threads():
    runner = Runner(registry().backends[NAME], "cpu")
    del runner.devices[1:]  # it is compiled once, and not for each
    check = conformance.Check("threads", Case("events", 0.5, (60, 30)))
    assert run_check(runner, check).reason == ""


@pytest.mark.quick
@pytest.mark.parametrize("prob", [0.0, 0.1, 1.0])
def test_traced_law_gives_the_same(prob):
    case = Case("events", prob, (700, 40), batch=2)
    problem = replace(problem_of(case, "cpu"), log2_chunk=None)
    run = jax.jit(functools.partial(calls.product, problem))
    n, z = run(*operands_of(case))
    want = expected(case).results
    np.testing.assert_array_equal(n, want[0])
    np.testing.assert_array_equal(z, want[1])


@pytest.mark.parametrize(
    ("prob", "rows", "probes"),
    [
        # chunks of 1024 rows: listed where 3 * 1024 * prob connections cost less
        (0.07, 10**5, False),
        (0.25, 10**5, False),
        (0.4, 10**5, True),
        (1.0, 10**5, True),
        # the window is lower than its chunks
        (0.25, 400, True),
        (0.1, 280, True),
        (1e-3, 287, True),
        # longer chunks, of 64 to 128 connections
        (0.03, 10**5, False),
        (1e-3, 289, False),
        (1e-6, 10**6, False),
    ],
)
def test_what_is_cheaper_decides_between_probing_and_listing(prob, rows, probes):
    law = reference.count_distribution(prob)
    words = jnp.asarray(law.encode())
    known = Problem(
        "events", (rows, 10), False, 1, "int32", True, law.log2_chunk, 2048, "cuda"
    )
    sure = calls.probes_rows(known)
    assert (bool(calls._probes_now(known, words)) if sure is None else sure) == probes
    if rows > 288:  # of a traced prob only the law knows
        traced = replace(known, log2_chunk=None)
        assert calls.probes_rows(traced) is None
        assert bool(calls._probes_now(traced, words)) == probes


def test_columns_cut_into_bands_give_the_same(monkeypatch):
    case = Case("events", 0.01, (1500, 40))  # of two chunks at most
    monkeypatch.setattr(calls, "MAX_PAIRS", 50)
    traced = jax.make_jaxpr(functools.partial(calls.product, problem_of(case, "cpu")))
    kernels = [e for e in equations(traced(*operands_of(case)).jaxpr) if is_kernel(e)]
    assert len(kernels) == 2
    assert conformance.check(NAME, case) == ""


def test_named_it_runs_and_unnamed_it_does_not(monkeypatch):
    monkeypatch.setenv("SYNJIT_GATE", "off")  # it would interpret all quick cases
    events = np.arange(40) % 3 == 0
    product = functools.partial(
        synjit.binary_jitnmv, 1.0, 0.1, 0.5, events, 42, shape=(30, 40)
    )
    with pytest.warns(RuntimeWarning, match="SYNJIT_GATE"):
        named = product(backend=NAME)
    np.testing.assert_array_equal(named, product(backend="numba"))
    problem = Problem("events", (30, 40), False, 1, "int32", True, 8, 2048, "cpu")
    assert dispatch.choose(problem, None).backend.name == "numba"


# --- lowered for a GPU ------------------------------------------------------------


def arguments(problem: Problem) -> list[Any]:
    lengths = (2, 2, draw.CONNECTIVITY_WORDS, problem.weights)
    result = [Matrix(*(jax.ShapeDtypeStruct((w,), jnp.uint32) for w in lengths))]
    if problem.product != "dense":
        length = problem.shape[0] if problem.transpose else problem.shape[1]
        dtype = jnp.bool_ if problem.product == "events" else problem.dtype
        result.append(jax.ShapeDtypeStruct((length, problem.batch), dtype))
    return result


PROBLEMS = [
    Problem(product, (10**6, 10**6), transpose, batch, "float32", True, k, w, "cuda")
    for product in ("events", "floats")
    for transpose, batch, k, w in (
        (False, 1, 17, 2048),
        (False, 3, None, 8192),
        (False, 3, 10, 0),
        (True, 3, 17, 2048),
    )
] + [Problem("dense", (10**4, 10**4), False, 0, "int32", True, 13, 8192, "cuda")]
PROBLEMS += [
    replace(problem, rule="fixed_out_degree", self_connections=False)
    for problem in (PROBLEMS[0], PROBLEMS[3], PROBLEMS[-1])
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_lowers_without_a_gpu_and_within_its_memory(problem):
    hook = calls.dense if problem.product == "dense" else calls.product
    function = functools.partial(hook, problem)
    traced = jax.jit(function).trace(*arguments(problem))
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "xla.gpu.triton" in text
    bound = workspace.workspace_bytes(problem)
    results = {v.aval.shape for v in traced.jaxpr.jaxpr.outvars}
    for equation in equations(traced.jaxpr.jaxpr):
        for variable in equation.outvars:
            size = variable.aval.size * variable.aval.dtype.itemsize
            whole = problem.product == "dense" and variable.aval.size == 10**8
            assert size <= bound or whole or variable.aval.shape in results, equation


def test_lowers_inside_shard_map():
    """With its check of what varies over the mesh, which interpreters cannot pass."""
    mesh = jax.make_mesh((1,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    problem = Problem("events", (300, 100), False, 1, "int32", True, 10, 2048, "cuda")

    def part(matrix, x):
        matrix = jax.lax.pcast(matrix, ("x",), to="varying")
        return jax.lax.psum(calls.product(problem, matrix, x), "x")

    whole = jax.sharding.PartitionSpec()
    over = (whole, jax.sharding.PartitionSpec("x"))
    run = jax.jit(jax.shard_map(part, mesh=mesh, in_specs=over, out_specs=whole))
    traced = run.trace(*arguments(problem))
    if jax.__version_info__ >= (0, 11):  # it takes the mesh's device, which is a CPU
        with pytest.raises(RuntimeError, match="specify an abstract GPU"):
            traced.lower(lowering_platforms=("cuda",))
    else:
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
        assert "xla.gpu.triton" in text


def is_kernel(equation):
    return equation.primitive.name == "pallas_call"


def equations(jaxpr):
    """List the equations of a computation, but kernels' own: they are registers."""
    for equation in jaxpr.eqns:
        yield equation
        if is_kernel(equation):
            continue
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda p: hasattr(p, "jaxpr")
        ):
            if hasattr(inner, "jaxpr"):
                yield from equations(inner.jaxpr)


def test_memory_is_bounded_by_what_goes_in_and_out():
    for problem in PROBLEMS[:-1]:
        m, n = problem.shape
        vectors = (m + n) * max(problem.batch, 1)
        assert workspace.workspace_bytes(problem) <= 100 * vectors + 2**27


def test_integers_are_added_by_relaxed_integer_atomics(capsys):
    assert atomics.RELAXED, "Pallas' helpers have moved: atomics fence now"

    def kernel(index, value, _, out):
        atomics.scatter_add(out, index[...], value[...], value[...] > 0, device=True)

    def add(*operands):
        return pl.pallas_call(
            kernel,
            out_shape=jax.ShapeDtypeStruct((64,), jnp.int32),
            input_output_aliases={2: 0},
            compiler_params=plgpu.CompilerParams(num_warps=1),
            debug=True,
        )(*operands)

    words = [jax.ShapeDtypeStruct((size,), jnp.int32) for size in (32, 32, 64)]
    with launch.some_gpu():
        jax.jit(add).trace(*words).lower(lowering_platforms=("cuda",))
    lines = [line for line in capsys.readouterr().out.splitlines() if "atomic" in line]
    triton = [line for line in lines if "tt.atomic_rmw" in line]
    assert len(triton) == 1
    assert "atomic_rmw add, relaxed, gpu" in triton[0]


def test_interpreted_atomics_add_up_repeated_indices():
    def kernel(index, value, _, out):
        atomics.scatter_add(out, index[...], value[...], value[...] > 1, device=False)

    add = pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((4,), jnp.int32),
        input_output_aliases={2: 0},
        interpret=True,
    )
    index, value = jnp.array([1, 1, 3, 2]), jnp.array([2, 5, 7, 1])
    result = add(index, value, jnp.zeros(4, jnp.int32))
    np.testing.assert_array_equal(result, [0, 7, 0, 7])


# --- the door ---------------------------------------------------------------------


@pytest.mark.quick
def test_refuses_in_words_what_it_cannot_count():
    hook = registry().backends[NAME].hook
    large = Problem("dense", (2**16, 2**16), False, 0, "int32", True, 8, 2048, "cuda")
    assert "4294967296 elements" in hook.synjit_refuses(problem=large)
    large = Problem("events", (2**20, 10), False, 2**12, "int32", True, 8, 2048, "cuda")
    assert "elements" in hook.synjit_refuses(problem=large)
    assert not hook.synjit_refuses(problem=replace(large, batch=1))


def test_without_triton_dense_matrices_are_left_and_the_rest_is_refused_in_words():
    code = """
import sys
for name in ("jax.experimental.pallas.triton", "jax._src.pallas.triton"):
    sys.modules[name] = None
import jax
from synjit.backends.pallas_gpu import plugin
from synjit.conformance import Case, check
from synjit.hookspecs import Matrix, Problem
from synjit.reference.draw import CONNECTIVITY_WORDS
from synjit.registry import registry
shape = (30, 40), False, 1, "int32", True, 8, 2048
hook = registry().backends["pallas_gpu"].hook
print(hook.synjit_refuses(problem=Problem("events", *shape, "cuda")))
print(hook.synjit_refuses(problem=Problem("events", *shape, "cpu")))
print(repr(check("pallas_gpu", Case("events", 0.5, (30, 40)))))
dense = Problem("dense", *shape, "cuda")
print(hook.synjit_refuses(problem=dense))
sizes = 2, 2, CONNECTIVITY_WORDS, 2048
words = [jax.ShapeDtypeStruct((size,), "uint32") for size in sizes]
run = jax.jit(lambda *m: hook.synjit_dense(problem=dense, matrix=Matrix(*m)))
text = run.trace(*words).lower(lowering_platforms=("cuda",)).as_text()
print("mosaic_gpu" in text, "triton" in text)
sys.modules["jax.experimental.pallas.mosaic_gpu"] = None
plugin._missing.cache_clear()
print(hook.synjit_refuses(problem=dense))
"""
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    on_gpu, on_cpu, checked, dense, lowered, neither = done.stdout.splitlines()
    assert "compiled by way of Triton" in on_gpu
    assert "has no jax.experimental.pallas.triton" in on_gpu
    assert "dense matrices only" in on_gpu
    assert (on_cpu, checked) == ("None", "''")
    assert (dense, lowered) == ("None", "True False")
    assert "they need jax.experimental.pallas.mosaic_gpu" in neither


def test_the_plugin_imports_no_pallas():
    code = "import sys, synjit.backends.pallas_gpu.plugin; "
    code += "print('jax.experimental.pallas' in sys.modules)"
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
