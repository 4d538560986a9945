# SPDX-License-Identifier: Apache-2.0
"""The conformance suite: that it is right, whole, and says what it saw."""

import json
import re
import tomllib
import types
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest

import synjit
from synjit import Backend, FixedOutDegree, cli, products, reference
from synjit.conformance import PRODUCTS, Case, check, full_cases, quick_cases, run_full
from synjit.conformance.case_lists import (
    FULL_COUNTS,
    QUICK_COUNTS,
    new_suite_seed,
    random_cases,
)
from synjit.conformance.cases import SEED, delay_words_of
from synjit.conformance.checks import FULL_COUNT, Check, full_checks
from synjit.conformance.diagnosis import difference
from synjit.conformance.expected import expected, window
from synjit.conformance.rare import (
    AT_LIMITS,
    limit_word,
    place_of_connection,
    place_of_word,
    tail_word,
)
from synjit.conformance.report import as_json, as_text, support_table
from synjit.conformance.suite import Report, Result, declared, stale_gaps
from synjit.conformance.transforms import TRANSFORMS, run_transform
from synjit.reference.delays import DELAY_PAIR, look_up
from synjit.reference.draw import mixed_word
from synjit.registry import registry

EXAMPLE = Path(__file__).parents[1] / "examples" / "synjit-xla"


@pytest.mark.parametrize("self_connections", [True, False])
@pytest.mark.parametrize(
    ("seed", "prob", "shape", "origin"),
    [
        (5, 0.1, (2100, 7), (700, 3)),
        (-1, 0.01, (8193, 4), (0, 0)),
        (2**40, 1.0, (300, 7), (1, 1)),
        (1, 0.3, (300, 3), (2**20, 2**31 - 100)),
        (1, 0.0, (10, 3), (0, 0)),
        (1, FixedOutDegree(100, 300), (200, 7), (0, 0)),
        (1, FixedOutDegree(2000, 70_000), (900, 7), (65_000, 65_003)),
    ],
)
def test_what_is_expected_is_what_the_reference_says(
    seed, prob, shape, origin, self_connections
):
    own = {"self_connections": self_connections}
    matrix = reference.Matrix(seed, prob, shape, origin, **own)
    case = Case("dense", prob, shape, seed, origin, **own)
    np.testing.assert_array_equal(window(case), matrix.dense())
    for transpose in (False, True):
        case = Case("events", prob, shape, seed, origin, transpose, 2, **own)
        right = matrix.events(case.operand(), transpose)
        np.testing.assert_array_equal(expected(case).results, right)
        case = replace(case, product="floats")
        right = matrix.floats(case.operand(), transpose)
        for a, b in zip(expected(case).results, right, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-9)


def test_no_case_is_missing():
    assert {p: len(quick_cases(p)) for p in PRODUCTS} == QUICK_COUNTS
    assert {p: len(full_cases(p)) for p in PRODUCTS} == FULL_COUNTS
    names = [str(c) for c in full_checks()]
    assert len(names) == len(set(names)) == FULL_COUNT


def test_cases_are_as_the_issue_lists_them():
    for product in PRODUCTS:
        cases = full_cases(product)
        of_grids = product in {"weighted", "deliver"}
        if of_grids:
            cases = [part for case in cases for part in case.of_blocks()]
        assert {0.0, 1.0} < {c.prob for c in cases}
        assert {c.known for c in cases} == {c.concrete for c in cases} == {True, False}
        assert any(c.seed >= 2**32 for c in cases)
        assert any(c.seed < 0 for c in cases)
        assert any(c.origin != (0, 0) for c in cases)
        for length in (1023, 1024, 1025):  # at a chunk's edge
            assert any(c.prob == 0.5 and c.shape[0] == length for c in cases)
        if product == "dense":
            continue
        directions = {False} if of_grids else {False, True}
        assert {c.transpose for c in cases} == directions
        assert {1, 2, 33} < {c.batch for c in cases}
        assert {"none", "one", "all", "random"} <= {c.pattern for c in cases}


def test_no_case_leaves_the_matrix():
    """Neither rows nor columns have greater numbers than 2^31 - 1."""
    for check_ in full_checks():
        if check_.case is None:
            continue
        for case in check_.case.of_blocks() if check_.case.grid else [check_.case]:
            for first, length in zip(case.origin, case.shape, strict=True):
                assert first + length <= 2**31, check_


@pytest.mark.parametrize("octave", [0, 7, 21, 30, 31])
@pytest.mark.parametrize("sign", [1, -1])
def test_rare_words_are_drawn_where_they_are_said_to_be(octave, sign):
    word = tail_word(octave, sign)
    row, column = place_of_word(SEED, word)
    z = reference.draw.weight(reference.seed_words(SEED), row, column)
    assert z == reference.normal.standard_normal(word)
    assert z * sign > 0 or octave == 0
    assert (abs(z) > 5 << 16) == (octave > 20)


@pytest.mark.parametrize("name", ["normal", "random"])
def test_a_delay_at_its_limit_is_drawn_where_it_is_said_to_be(name):
    table = delay_words_of(name)
    word = limit_word(table)
    row, column = place_of_word(SEED, word, pair=DELAY_PAIR)
    assert mixed_word(reference.seed_words(SEED), row, column, DELAY_PAIR) == word
    own = table[0] + (word >> (33 - (len(table) - 1).bit_length()))
    assert look_up(table, word) != own == look_up(table, word - 1)


def test_rare_counts_and_connections_are_where_they_are_said_to_be():
    words = reference.seed_words(SEED)
    for prob, column in AT_LIMITS:
        keys = reference.draw.chunk_keys(words, column, 0)
        assert keys.count_word in reference.count_distribution(prob).limits
    for prob in (1e-6, 1e-10):
        place = place_of_connection(SEED, prob)
        assert reference.entry(words, reference.count_distribution(prob), *place)[0]


def test_some_cases_are_new_in_each_run(monkeypatch):
    drawn = [set(full_checks(new_suite_seed())) for _ in range(2)]
    assert len(drawn[0] - drawn[1]) == len(drawn[1] - drawn[0]) > 20
    monkeypatch.setenv("SYNJIT_SUITE_SEED", "5")
    assert full_checks(new_suite_seed()) == full_checks(5)
    assert "SYNJIT_SUITE_SEED=5" in random_cases("events", 5)[0].about
    monkeypatch.setenv("SYNJIT_SUITE_SEED", "five")
    with pytest.raises(ValueError, match=r"SYNJIT_SUITE_SEED .* got 'five'"):
        new_suite_seed()


def guess(case, spoil):
    """Say what is wrong with right results that were spoilt."""
    want = expected(case)
    return difference(case, want, [spoil(np.array(r)) for r in want.results])


def test_a_guess_does_not_mislead():
    case = Case("floats", 0.1, (2100, 37), pattern="nonfinite")
    assert "a NaN or an infinity" not in guess(case, lambda r: np.where(r == 0, 1, r))
    assert "a NaN or an infinity" in guess(case, np.nan_to_num)
    case = Case("events", 0.0001, (10, 10), origin=(700, 3), pattern="all")
    assert not expected(replace(case, origin=(0, 0))).results[0].any()
    assert "origin" not in guess(replace(case, prob=0.9), lambda r: 0 * r)
    case = Case("events", 0.0001, (300, 3), origin=(700, 3), batch=70)
    told = guess(replace(case, prob=0.5), lambda r: np.where(np.arange(70) < 64, r, 7))
    assert "vectors of the batch from number 64 on are wrong, none before" in told


def test_positive_events_are_more_than_a_float32_holds():
    found = [c for c in quick_cases("events") if c.pattern == "positive"]
    assert {c.transpose for c in found} == {True, False}
    for case in found:
        assert expected(case).results[1].flat[0] > 2**25


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_pass(name):
    assert run_transform(name, "numba", "cpu") == ""


def test_a_transform_that_is_wrong_is_seen(monkeypatch):
    product = products.jitnmv

    def wrong(*operands, **options):
        return 1.001 * product(*operands, **options)

    monkeypatch.setattr(products, "jitnmv", wrong)
    assert "not" in run_transform("grad_values", "numba", "cpu")


ONE = "x64/calls/floats*"


@pytest.fixture(scope="module")
def part():
    """Run a part of the full suite."""
    return run_full(registry().backends["numba"], "cpu", only=ONE)


def test_a_part_is_not_a_pass(part):
    matching = [c for c in full_checks() if fnmatchcase(str(c), ONE)]
    assert len(part.results) == part.checks == len(matching) == 2
    assert not part.failures
    assert not part.passed
    text = as_text(part, registry().backends["numba"].backend)
    assert f"{FULL_COUNT - 2} of {FULL_COUNT} checks have not run" in text
    assert "is right so far: a part of the checks proves nothing" in text


def test_a_whole_one_is(part, tmp_path):
    backend = registry().backends["numba"].backend
    whole = Report("numba", "cpu", 2, part.results)
    assert whole.conforms
    assert as_text(whole, backend).endswith("numba conforms: 2 of 2 checks ran")
    path = tmp_path / "numba.json"
    path.write_text(as_json(whole, backend))
    assert json.loads(path.read_text())["conforms"] is True
    assert "| numba 1 | cpu |" in support_table([path])


def test_an_undeclared_refusal_is_not_a_pass():
    check_ = Check("case", Case("events", 0.1, (10, 10), batch=2))
    refused = Result(check_, "refused", "no batches")
    gaps = (("events/*batch=*", "not written yet"), ("dense/*", "nor this"))
    report = Report("some", "cpu", 2, [Result(check_, "passed"), refused])
    backend = Backend("some", "1", ("cpu",), contract=2)
    assert report.passed
    assert not report.conforms
    example = f"as {check_}"
    assert f"REFUSED 1 checks, {example}: no batches" in as_text(report, backend)
    report.results[1] = declared(refused, gaps)
    assert report.conforms
    text = as_text(report, backend)
    assert f"KNOWN GAP 1 checks, {example}: not written yet" in text
    assert len(stale_gaps(report.results, gaps)) == 1


def test_a_gap_does_not_excuse_a_wrong_result():
    failed = Result(Check("case", Case("events", 0.1, (10, 10))), "failed", "wrong")
    assert declared(failed, (("*", "we know"),)).status == "failed"


def test_command(capsys, tmp_path):
    path = tmp_path / "report.json"
    code = cli.main(["conformance", "numba", "--only", ONE, "--json", str(path)])
    assert code == 1
    assert "have not run" in capsys.readouterr().out
    assert json.loads(path.read_text())["ran"] == 2
    assert cli.main(["support-table", str(path)]) == 0
    assert "**does not conform**" in capsys.readouterr().out
    assert cli.main(["conformance", "numba", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == FULL_COUNT
    assert cli.main(["backends"]) == 0
    assert "numba" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("conformance abacus", "backend 'abacus' is unknown; there are: "),
        ("conformance abacus --list", "backend 'abacus' is unknown; there are: "),
        ("conformance pallas", "'pallas' is an alias"),
        ("conformance numba --platform tpu", "'numba' is for cpu; tpu is not among"),
        ("conformance numba --only nothing/*", "no check's name matches 'nothing/*'"),
        ("conformance numba --json /dev/null/report", "/dev/null/report"),
        ("support-table /dev/null/report", "/dev/null/report"),
        ("support-table /dev/null", "/dev/null is not a report of format 1"),
        ("demo --out /dev/null/out", "/dev/null/out/raster.png cannot be written: Not"),
        ("demo --scale 0", "scale must be in (0, 1], got 0.0"),
        ("demo --duration -5", "duration must be a whole number"),
        ("demo --seed -1", "seed must be an integer"),
        ("demo --out /dev/null", "/dev/null"),
        ("demo --scale 0.01 --no-pictures --backend abacus", "'abacus' is unknown"),
    ],
)
def test_commands_that_cannot_be(command, reason, capsys, monkeypatch, tmp_path):
    """Told in words before any work, by the exit status 2; nothing is left behind."""

    def work(*_given, **_options):
        raise AssertionError("it set to work")

    monkeypatch.setattr("synjit.conformance.run_full", work)
    monkeypatch.setattr("synjit.demo.simulation._spikes", work)
    monkeypatch.chdir(tmp_path)
    assert cli.main(command.split()) == 2
    told = capsys.readouterr().err
    assert told.startswith("synjit: ")
    assert reason in told
    assert not list(tmp_path.iterdir())


def test_demo_without_pictures(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("synjit.demo.report.find_spec", lambda _name: None)
    command = "demo --scale 0.01 --duration 5 --transient 0"
    assert cli.main(command.split()) == 2
    assert "(--no-pictures)" in capsys.readouterr().err
    assert cli.main([*command.split(), "--no-pictures"]) == 0
    assert not list(tmp_path.iterdir())


# --- the example ------------------------------------------------------------------


@pytest.fixture
def example(monkeypatch):
    """Load the example as its entry point would, unless it is installed."""
    text = (EXAMPLE / "pyproject.toml").read_text()
    entry = tomllib.loads(text)["project"]["entry-points"]["synjit.backends"]
    monkeypatch.syspath_prepend(str(EXAMPLE / "src"))
    if "xla" in registry().backends:
        yield registry().backends["xla"]
        return
    import importlib

    yield registry().register(importlib.import_module(entry["xla"]))
    registry().unregister("xla")


@pytest.mark.parametrize(
    "case",
    [
        Case("events", 0.1, (2100, 37), -1, (700, 3), batch=2, known=False),
        Case("events", 0.5, (300, 300), transpose=True, pattern="all"),
        Case("floats", 0.3, (511, 17), pattern="nonfinite", concrete=True),
        Case("dense", 0.01, (300, 5), origin=(8000, 1)),
    ],
    ids=str,
)
def test_the_example_is_right(example, case):
    assert example.backend.platforms == ("cpu", "cuda", "rocm", "tpu")
    assert check("xla", case) == ""


@pytest.fixture
def of_the_page(monkeypatch):
    """Make a module of the plugin that the page has newcomers start from."""
    page = Path(__file__).parents[1] / "docs" / "writing-a-backend.md"
    code = re.search(
        r"```python\n(import jax.numpy as jnp\n.*?)```", page.read_text(), re.DOTALL
    )[1]
    module = types.ModuleType("synjit_mine")
    exec(code, module.__dict__)
    yield registry().register(module)
    registry().unregister("mine")


@pytest.mark.parametrize(
    "case",
    [
        Case("events", 0.1, (2100, 37), -1, (700, 3), batch=2, known=False),
        Case("events", 0.9, (1501, 3), transpose=True, pattern="positive"),
        Case("floats", 0.3, (511, 17), pattern="nonfinite", concrete=True),
        Case("dense", 0.01, (300, 5), origin=(8000, 1)),
    ],
    ids=str,
)
def test_the_plugin_of_the_page_is_right(of_the_page, case):
    assert check("mine", case) == ""


def test_check_of_an_unknown_backend():
    with pytest.raises(synjit.BackendError, match="'quiet' is unknown; there are"):
        check("quiet", Case("dense", 0.1, (1, 1)))
