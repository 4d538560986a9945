# SPDX-License-Identifier: Apache-2.0
"""The gate: its certificates, and how the backend of a call is chosen."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import synjit
from synjit import BackendError, Problem, gate
from synjit.backends.numba_cpu import plugin
from synjit.cache import cache_folder
from synjit.conformance import Check, suite
from synjit.conformance.checks import gate_cases
from synjit.gate import certificate
from synjit.registry import registry

PROBLEM = Problem("events", (1000, 50), False, 1, "int32", True, 10, 2048, "cpu")
ASKED = gate.Asked("cpu", "events", "int32", x64=False)


def numba():
    return registry().backends["numba"]


def judge():
    """Reach a verdict as a fresh process would."""
    gate._verdicts.pop((id(numba()), ASKED), None)
    return gate.verdict(numba(), PROBLEM)


def subject(**other):
    asked = ASKED._replace(**other)._asdict()
    return certificate.subject(numba(), jax.local_devices()[0], asked)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Use a fresh cache folder, with compiled kernels in it, and no quick part."""
    kernels = cache_folder() / "numba"
    judge()  # compiles them
    if kernels.exists():
        shutil.copytree(kernels, tmp_path / "numba")
    monkeypatch.setenv("SYNJIT_CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def no_quick_part(monkeypatch):
    """Count the quick parts that would have been run, and let them pass."""
    runs = []

    def passes(registered, asked, mark):
        runs.append(asked)
        return gate.Verdict("proved", "", frozenset({False}), "quick part")

    monkeypatch.setattr(gate, "_quick_part", passes)
    yield runs
    gate._verdicts.pop((id(numba()), ASKED), None)  # no test after it may rely on it


@pytest.mark.quick
def test_a_certificate_saves_the_quick_part(cache, no_quick_part):
    assert judge().source == "quick part"
    assert judge().source == "certificate"
    assert len(no_quick_part) == 1
    files = list((cache / "certificates").iterdir())
    assert sorted(f.suffix for f in files) == ["", ".json"]


def test_a_certificate_is_found_in_milliseconds(cache, no_quick_part):
    judge()
    times = []
    for _ in range(7):
        start = time.thread_time()  # not the clock: other tests run beside this one
        assert judge().source == "certificate"
        times.append(time.thread_time() - start)
    assert min(times) < 20e-3  # 2 to 4 on an idle machine; a quick part takes seconds


def damage(path, key):
    text = path.read_text()
    path.write_text(text[: len(text) // 2])


def empty(path, key):
    path.write_text("")


def edit(path, key):
    path.write_text(path.read_text().replace('"numba"', '"other"', 1))


def forge(path, key):
    body = path.read_text().partition("\n")[2]
    path.write_text(certificate._sign(b"0" * 32, body) + "\n" + body)


def swap(path, key):
    other = subject(product="dense")
    certificate.store(other, {"batched": [True]})
    certificate._path(other).replace(path)


def new_key(path, key):
    key.write_bytes(b"1" * 32)


def short_key(path, key):
    key.write_bytes(b"1")


@pytest.mark.parametrize(
    "spoil", [damage, empty, edit, forge, swap, new_key, short_key]
)
def test_a_spoilt_certificate_is_a_miss(spoil, cache, no_quick_part):
    judge()
    spoil(certificate._path(subject()), cache / "certificates" / "key")
    assert judge().source == "quick part"
    assert judge().source == "certificate"  # and is replaced


def test_everything_that_could_change_the_answer_is_in_it(cache, monkeypatch):
    names = {certificate._path(subject())}

    def is_new():
        size = len(names)
        names.add(certificate._path(subject()))
        return len(names) == size + 1

    assert not is_new()
    for target, name in (
        (certificate, "SUITE_VERSION"),
        (synjit.reference, "DRAW_VERSION"),
        (jax, "__version__"),
        (certificate.jaxlib.version, "__version__"),
    ):
        monkeypatch.setattr(target, name, "other")
        assert is_new(), name
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    assert is_new()
    # Work is cut among the cores, of which another machine may have more.
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(777))
    assert is_new()
    assert certificate._path(subject(x64=True)) not in names
    files = set(certificate.plugin_files(plugin))
    assert files == set(Path(plugin.__file__).parent.glob("*.py"))


def test_files_count_by_content(tmp_path):
    path = tmp_path / "kernel.py"
    path.write_text("a = 1")
    stat, before = path.stat(), certificate.digest([path])
    path.write_text("a = 2")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert certificate.digest([path]) != before


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_cannot_be_written(error, cache, no_quick_part, monkeypatch):
    def fails(*_, **__):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(certificate, "write_whole", fails)
    assert judge().source == "quick part"
    assert judge().grade == "proved"


def test_a_disk_that_fills_up_leaves_nothing_behind(cache, no_quick_part, monkeypatch):
    judge()
    before = {p.name for p in (cache / "certificates").iterdir()}

    def fails(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(certificate.os, "replace", fails)
    assert not certificate.store(subject(product="dense"), {"batched": []})
    assert {p.name for p in (cache / "certificates").iterdir()} == before


def test_a_cache_that_is_no_folder(tmp_path, no_quick_part, monkeypatch):
    path = tmp_path / "file"
    path.write_text("")
    monkeypatch.setenv("SYNJIT_CACHE_DIR", str(path))
    assert judge().grade == "proved"


# --- directions -------------------------------------------------------------------


def test_each_direction_is_judged_when_it_is_wanted(cache, no_quick_part):
    registered = replace(numba())  # of which there is no verdict in this process

    def standing():
        return gate.standing(registered, "cpu", "events")

    assert standing() == "not tried"
    gate.verdict(registered, PROBLEM)
    assert standing() == "proved, transposed not tried"
    gate.verdict(registered, replace(PROBLEM, transpose=True))
    assert standing() == "proved"
    assert [asked.transpose for asked in no_quick_part] == [False, True]


@pytest.mark.parametrize("product", ["events", "floats"])
def test_the_cases_of_both_directions_are_all_that_there_are(product, monkeypatch):
    """Those of one run no kernel of the other."""
    given = []

    def passes(registered, platform, cases, **_):
        given.append(cases)
        passed = [suite.Result(Check("case", cases[0]), "passed")]
        return suite.Report(registered.backend.name, platform, 1, passed)

    monkeypatch.setattr(suite, "run", passes)
    monkeypatch.setenv("SYNJIT_SUITE_SEED", "1")
    for transpose in (False, True):
        asked = ASKED._replace(product=product, transpose=transpose)
        assert gate._quick_part(numba(), asked).grade == "proved"
        assert {case.transpose for case in given[transpose]} == {transpose}
    assert set().union(*given) == set(gate_cases(product, 1, "float32"))


# --- other processes --------------------------------------------------------------

PROGRAM = """
import sys, time
import jax, synjit
assert "numba" not in sys.modules
assert not [m for m in sys.modules if m.startswith("synjit.backends.numba_cpu.")]
from synjit import gate
from synjit.registry import registry
problem = synjit.Problem(
    "events", (1000, 50), False, 1, "int32", True, 10, 2048, "cpu"
)
verdict = gate.verdict(registry().backends["numba"], problem)
print(verdict.source, verdict.grade, verdict.reason)
"""


def start(cache, **other):
    devices = str(len(jax.local_devices()))  # a certificate is for so many
    environment = {
        **os.environ,
        "SYNJIT_CACHE_DIR": str(cache),
        "JAX_NUM_CPU_DEVICES": devices,
        **other,
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.long
def test_two_processes_at_once(cache):
    processes = [start(cache) for _ in range(2)]
    for process in processes:
        assert process.communicate()[0] == "quick part proved \n"
    (path,) = (cache / "certificates").glob("*.json")
    assert json.loads(path.read_text().partition("\n")[2])["result"]["batched"]
    assert {p.name for p in path.parent.iterdir()} == {path.name, "key"}
    assert start(cache).communicate()[0] == "certificate proved \n"


@pytest.mark.long
def test_a_broken_kernel_is_refused_and_nothing_need_be_cleared(cache, tmp_path):
    copy = tmp_path / "copy" / "synjit"
    root = Path(synjit.__file__).parent
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root, copy, ignore=ignore)
    for package in ("backends", "reference"):
        source = Path(getattr(__import__(f"synjit.{package}"), package).__file__).parent
        shutil.copytree(source, copy / package, ignore=ignore, dirs_exist_ok=True)
    other = {"PYTHONPATH": str(copy.parent)}
    certificate.store(subject(), {"batched": [False]})
    assert start(cache, **other).communicate()[0] == "certificate proved \n"

    kernels = copy / "backends" / "numba_cpu"
    right, wrong = "n[i], z[i] = n_and_z(sums, i)", "n[i], z[i] = n_and_z(sums, 0)"
    (path,) = (p for p in kernels.glob("*.py") if right in p.read_text())
    path.write_text(path.read_text().replace(right, wrong))
    output = start(cache, **other).communicate()[0]
    assert "failed it failed conformance, check 1 of" in output
    assert "N[" in output


# --- choosing ---------------------------------------------------------------------


def product(backend=None):
    events = np.ones(10, bool)
    return synjit.binary_jitnmv(
        1.0, 0.1, 0.5, events, 1, shape=(9, 10), backend=backend
    )


def test_off_is_loud(monkeypatch, no_quick_part):
    monkeypatch.setenv("SYNJIT_GATE", "off")
    with pytest.warns(RuntimeWarning, match=r"SYNJIT_GATE=off.*without proof"):
        verdict = gate.verdict(numba(), PROBLEM)
    assert verdict.grade == "unproved"
    assert not no_quick_part
    with pytest.warns(RuntimeWarning, match="SYNJIT_GATE=off"):
        explanation = synjit.explain(platform="cpu")
    assert "the gate is off" in str(explanation)


@pytest.mark.quick
def test_unknown_names(monkeypatch):
    with pytest.raises(BackendError, match=r"'abacus' is unknown; there are: .*numba"):
        product("abacus")
    with pytest.raises(BackendError, match="'abacus' is unknown"):
        synjit.default_backend("abacus")
    monkeypatch.setenv("SYNJIT_BACKEND", "abacus")
    with pytest.raises(BackendError, match=r"'abacus' \(SYNJIT_BACKEND\) is unknown"):
        product()
    assert product("numba").shape == (9,)
    with synjit.default_backend("numba"):
        assert product().shape == (9,)


class Second:
    """A backend that says when it is called."""

    calls = 0

    @synjit.hookimpl
    def synjit_backend(self):
        return synjit.Backend("second", "1", ("cpu",), contract=2, priority=-1)

    @synjit.hookimpl
    def synjit_refuses(self, problem):
        return None

    @synjit.hookimpl
    def synjit_product(self, problem, matrix, x):
        type(self).calls += 1
        return plugin.synjit_product(problem, matrix, x)

    @synjit.hookimpl
    def synjit_dense(self, problem, matrix):
        return plugin.synjit_dense(problem, matrix)


@pytest.fixture
def second():
    """Register a second backend, and hold it to nothing."""
    registered = registry().register(Second())
    key = (id(registered), ASKED)
    gate._verdicts[key] = gate._Pending(registered)
    both = frozenset({False, True})
    gate._verdicts[key].verdict = gate.Verdict("proved", "", both)
    yield registered
    registry().unregister("second")


def test_a_default_does_not_mix_with_what_was_compiled(second):
    def f(events):
        return synjit.binary_jitnmv(1.0, 0.1, 0.5, events, 1, shape=(9, 10))

    jitted, events = jax.jit(f), jnp.ones(10, bool)
    y = jitted(events)
    assert Second.calls == 0
    with synjit.default_backend("second"):
        np.testing.assert_array_equal(jitted(events), y)
        assert Second.calls == 1
        assert synjit.explain(platform="cpu").backend == "second"
        with synjit.default_backend(None):
            jitted(events)
        jitted(events)
    jitted(events)
    assert Second.calls == 1


def test_explain(second):
    explanation = synjit.explain("events", shape=(9, 10), prob=0.5, platform="cpu")
    assert explanation.backend == "numba"
    assert "'numba' comes first" in explanation.reasons["second"]
    text = str(synjit.explain("floats", shape=(9, 10), platform="tpu", backend="numba"))
    assert "no backend" in text
    assert "numba: it is for cpu, not for tpu" in text
    assert "second: backend 'numba' was asked for" in text


def test_limits_that_are_no_number_of_seconds(monkeypatch):
    for wrong in ("abc", "-1", "nan"):
        monkeypatch.setenv("SYNJIT_GATE_SECONDS", wrong)
        with pytest.raises(ValueError, match=f"SYNJIT_GATE_SECONDS .* got '{wrong}'"):
            gate._limit(numba(), "cpu")


def test_versions_of_modules_that_are_not_named_as_what_they_come_from():
    assert certificate._version("_pytest") == f"pytest {metadata.version('pytest')}"
    assert certificate._version("jax.numpy") == metadata.version("jax")
    assert certificate._version("no_such_module") == "unknown"


def test_explain_of_the_dense_matrix_transposed():
    """It is drawn as it is, and transposed afterwards, as ``jitn`` does."""
    explained = synjit.explain("dense", transpose=True, platform="cpu")
    assert explained.backend == "numba"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"product": "binary_jitnmv"}, "product must be one of events, .*_jitnmv'"),
        ({"platform": "abacus"}, "platform must be one of cpu, .* got 'abacus'"),
        ({"shape": (3, -1)}, "shape must be two integers"),
        ({"batch": 0}, "batch must be 1 or more, got 0"),
        ({"prob": 1.5}, "prob must be one real number"),
        ({"product": "floats", "dtype": "float16"}, "dtype must be one of .*float16"),
        ({"product": "floats", "dtype": "float64"}, "float64 .* jax_enable_x64"),
    ],
)
def test_explain_of_what_cannot_be(changes, reason):
    with pytest.raises(ValueError, match=reason):
        synjit.explain(**changes)


def test_explain_takes_jax_s_name_of_a_gpu():
    assert synjit.explain(platform="gpu").problem.platform == "cuda"


def test_interpreted_is_taken_by_name_only(second):
    lesser = synjit.Backend(
        "second", "1", ("cpu",), 2, priority=10**6, interpreted_on=("cpu",)
    )
    object.__setattr__(second, "backend", lesser)
    explanation = synjit.explain(platform="cpu")
    assert explanation.backend == "numba"
    assert "a lesser grade, taken only by name" in explanation.reasons["second"]
    assert synjit.explain(platform="cpu", backend="second").backend == "second"
