# SPDX-License-Identifier: Apache-2.0
"""The TPU kernels, interpreted on the CPU, and lowered for a TPU that is not there."""

import dataclasses
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu
from long import long_unless

import synjit
from synjit import FixedOutDegree, Problem, conformance, dispatch, gate, reference
from synjit.backends.pallas_tpu import calls, plugin, workspace
from synjit.conformance.cases import Case
from synjit.conformance.expected import expected
from synjit.conformance.runner import Runner, operands_of, problem_of
from synjit.conformance.suite import run_check
from synjit.hookspecs import Matrix
from synjit.registry import registry

CASES = (
    Case("events", 0.5, (257, 129)),
    Case("events", 0.1, (1500, 60), seed=2**40 + 5, origin=(700, 3), batch=2),
    Case("events", 1e-4, (700, 300), pattern="none"),
    Case("events", 0.01, (8193, 20), origin=(5000, 0), pattern="all"),
    Case("events", 0.77, (300, 65), transpose=True, pattern="one"),
    Case("events", 0.1, (1500, 60), origin=(700, 3), transpose=True, batch=33),
    Case("events", 0.1, (400, 60), origin=(700, 3), transpose=True, batch=2),
    Case("floats", 0.1, (1024, 33), batch=3),
    Case("floats", 0.01, (50, 60), origin=(8170, 9), transpose=True, batch=2),
    Case("dense", 0.1, (1500, 60), origin=(700, 3)),
    Case("dense", 1.0, (260, 19)),
    # every form of the table of weights, with words of no law
    Case("events", 0.1, (1500, 60), batch=2, table="random"),
    Case("events", 0.1, (1500, 60), transpose=True, table="random symmetric"),
    Case("events", 0.1, (1500, 60), transpose=True, table="random"),
    Case("events", 0.1, (300, 60), table="constant"),
    Case("floats", 0.1, (300, 60), transpose=True, table="constant"),
    Case("floats", 0.5, (300, 60), table="lognormal"),
    Case("dense", 0.5, (260, 19), table="random"),
    Case("dense", 0.5, (260, 19), table="constant"),
    # rules of connections: listed and walked, asked and walked back, no diagonal
    Case("events", FixedOutDegree(40, 1500), (1500, 60), self_connections=False),
    Case("events", FixedOutDegree(700, 3000), (900, 60), origin=(2000, 1990), batch=2),
    Case("floats", FixedOutDegree(90, 1500), (1500, 60), transpose=True),
    Case("events", 0.5, (300, 60), origin=(1010, 1000), self_connections=False),
    Case("dense", FixedOutDegree(299, 300), (300, 40), self_connections=False),
)
TRACED = (
    Case("events", 0.01, (2100, 20), origin=(8170, 9)),
    Case("floats", 0.5, (300, 10), transpose=True),
)


def problem(product="events", **changes):
    whole = Problem(
        product=product,
        shape=(3000, 700),
        transpose=False,
        batch=0 if product == "dense" else 3,
        dtype="float32",
        corder=True,
        log2_chunk=10,
        weights=2048,
        platform="tpu",
    )
    return dataclasses.replace(whole, **changes)


@pytest.fixture(autouse=True)
def usual_settings():
    """Trace kernels as the dispatcher does: strictness is for users' code."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def run(case, asked):
    """Trace and run a product, all of whose operands are traced."""
    product = calls.dense if case.product == "dense" else calls.product
    return jax.jit(lambda *args: product(asked, *args))(*operands_of(case))


def differences(case, got):
    _, _, want, bounds = expected(case)
    assert len(got) == len(want)
    for result, right, bound in zip(got, want, bounds, strict=True):
        assert result.shape == right.shape
        assert result.dtype == (np.float32 if case.product == "floats" else np.int32)
        gap = np.abs(np.asarray(result, np.float64) - right)
        assert (gap <= bound).all()


# --- the same bits ----------------------------------------------------------------


# Each product and direction; batches, tables and rules.
SHORT = {0, 6, 7, 9, 11, 21, 22}


@pytest.mark.parametrize("case", long_unless(lambda i, _: i in SHORT, CASES), ids=repr)
def test_conforms_interpreted(case):
    assert conformance.check("pallas_tpu", case) == ""


def test_conforms_when_called_from_threads():
    runner = Runner(registry().backends["pallas_tpu"], "cpu")
    del runner.devices[1:]  # it is compiled once, and not for each
    check = conformance.Check("threads", Case("events", 0.5, (60, 30)))
    assert run_check(runner, check).reason == ""


@pytest.mark.parametrize("case", TRACED, ids=repr)
def test_a_traced_prob_gives_the_same_bits(case):
    known = problem_of(case, "cpu")
    unknown = dataclasses.replace(known, log2_chunk=None)
    differences(case, run(case, unknown))


def test_rows_and_columns_up_to_the_last():
    shape, origin = (200, 3), (2**32 - 300, 2**32 - 5)
    case = Case("dense", 0.1, shape, origin=origin)
    law = reference.count_distribution(case.prob)
    got = run(case, problem_of(case, "cpu"))
    rows = np.arange(origin[0], origin[0] + shape[0])[:, None]
    columns = np.arange(origin[1], origin[1] + shape[1])
    connected, z = reference.entry(reference.seed_words(case.seed), law, rows, columns)
    assert (np.asarray(got) == np.where(connected, z, reference.ABSENT)).all()


@pytest.mark.long
def test_no_two_blocks_write_one_place(monkeypatch):
    from jax._src.pallas.mosaic.interpret import interpret_pallas_call

    call = calls.pl.pallas_call
    racing = pltpu.InterpretParams(detect_races=True, num_cores_or_threads=2)

    def detecting(body, **arguments):
        return call(body, **{**arguments, "interpret": racing})

    monkeypatch.setattr(calls.pl, "pallas_call", detecting)
    case = Case("events", 0.1, (10, 10), pattern="all")  # two tiles, on two cores
    got = run(case, problem_of(case, "cpu"))
    jax.block_until_ready(got)
    assert not interpret_pallas_call.races.races_found
    differences(case, got)


# --- lowering ---------------------------------------------------------------------


EVENTS = (("events", False), ("events", True))
EVERY = (*EVENTS, ("floats", False), ("floats", True), ("dense", False))
# Whether 64-bit types are on, log2_chunk, words; all products, or those that suffice.
LOWERED = [
    *((*each, False, 10, 2048) for each in EVERY),
    *((*each, True, None, 2048) for each in EVERY),
    *((*each, False, 17, 2048) for each in EVENTS),
    *((*each, False, 10, words) for each in EVENTS for words in (0, 8192)),
]


@pytest.mark.parametrize(
    ("product", "transpose", "x64", "log2_chunk", "words"), LOWERED
)
def test_lowers_for_tpu(product, transpose, x64, log2_chunk, words):
    asked = problem(product, transpose=transpose, log2_chunk=log2_chunk, weights=words)
    assert plugin.synjit_refuses(asked) is None
    lengths = (2, 2, reference.draw.CONNECTIVITY_WORDS, words)
    arguments = [Matrix(*(jax.ShapeDtypeStruct((n,), "uint32") for n in lengths))]
    hook = calls.dense
    if product != "dense":
        hook = calls.product
        dtype = "bool" if product == "events" else "float32"
        x = jax.ShapeDtypeStruct((3000 if transpose else 700, 3), dtype)
        arguments.append(x)
    function = jax.jit(lambda *args: hook(asked, *args))
    with jax.enable_x64(x64):
        exported = jax.export.export(function, platforms=("tpu",))(*arguments)
    assert "tpu_custom_call" in exported.mlir_module()


# --- refusals ---------------------------------------------------------------------


def test_refuses_64_bit_values():
    assert "32-bit" in workspace.refusal(problem("floats", dtype="float64"))


@pytest.mark.parametrize(
    "asked",
    [
        problem("dense", shape=(2**17, 2**15)),
        problem("events", shape=(10, 2**20), batch=2**12),
        problem("floats", shape=(2**20, 10), batch=2**12),
    ],
    ids=["dense", "operand", "result"],
)
def test_refuses_what_it_cannot_count(asked):
    assert "take fewer" in workspace.refusal(asked)


def test_refuses_what_does_not_fit_the_device():
    asked = problem("dense", shape=(2**14, 2**14))
    assert workspace.refusal(asked) is None
    assert "bytes" in workspace.refusal(asked, memory=2**31)
    assert workspace.refusal(asked, memory=2**33) is None


def test_what_does_not_fit_is_refused_before_it_is_lowered(monkeypatch):
    monkeypatch.setattr(plugin, "_memory", lambda _: 2**30)

    @jax.jit
    def dense(seed):
        return synjit.jitn(
            1.0, 0.1, 0.5, seed, shape=(2**14, 2**14), backend="pallas_tpu"
        )

    refusal = "bytes, and the device has 1073741824; take fewer"
    with pytest.raises(synjit.BackendError, match=refusal):
        dense.trace(np.int32(1)).lower(lowering_platforms=("tpu",))


def test_many_vectors_keep_to_one_pass_of_vector_memory():
    small, large = problem(batch=32), problem(batch=3200)
    assert workspace.sizes(large).batch == workspace.sizes(small).batch
    assert workspace.sizes(large).passes == 100


# --- choice -----------------------------------------------------------------------


def test_interpreted_kernels_are_run_only_by_name(monkeypatch):
    monkeypatch.setattr(gate, "verdict", lambda *_: gate.Verdict("unproved"))
    asked = problem(platform="cpu")
    assert dispatch.choose(asked, None).backend.name != "pallas_tpu"
    assert dispatch.choose(asked, "pallas_tpu").backend.name == "pallas_tpu"
    on_tpu = problem(platform="tpu")
    assert dispatch.choose(on_tpu, None).backend.name == "pallas_tpu"
    assert dispatch.choose(on_tpu, "pallas").backend.name == "pallas_tpu"


def test_the_plugin_alone_imports_no_kernels():
    code = (
        "import sys, synjit.registry; synjit.registry.registry(); "
        "assert 'synjit.backends.pallas_tpu.plugin' in sys.modules; "
        "assert 'synjit.backends.pallas_tpu.calls' not in sys.modules; "
        "assert 'jax.experimental.pallas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
