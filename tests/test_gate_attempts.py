# SPDX-License-Identifier: Apache-2.0
"""The gate's attempts: backends that end the process, that hang, or that must wait."""

import os
import signal
import subprocess
import sys
import threading
import time

import jax
import pytest
from long import long_unless

from synjit import gate
from synjit.gate import attempt, certificate, thread
from synjit.registry import registry

ASKED = gate.Asked("cpu", "events", "int32", x64=False)

CRASHES = """
import os
from synjit import Backend, hookimpl
from synjit.backends.numba_cpu import plugin as honest

@hookimpl
def synjit_backend():
    return Backend("crashes", "1", ("cpu",), contract=2, priority=1000)

@hookimpl
def synjit_refuses(problem):
    return None

@hookimpl
def synjit_product(problem, matrix, x):
    {crash}
    return honest.synjit_product(problem, matrix, x)

@hookimpl
def synjit_dense(problem, matrix):
    return honest.synjit_dense(problem, matrix)
"""

PROGRAM = """
import crashes, jax, synjit
from synjit.registry import registry
registry().register(crashes)
print(synjit.explain(platform="cpu", backend="crashes").reasons["crashes"])
"""


@pytest.fixture
def start(tmp_path):
    """Start a process that asks for a backend which ends the process."""
    package = tmp_path / "crashes"
    package.mkdir()
    environment = {
        **os.environ,
        "PYTHONFAULTHANDLER": "",  # pytest's may be on
        "SYNJIT_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": str(tmp_path),
    }

    def one(crash):
        (package / "__init__.py").write_text(CRASHES.replace("{crash}", crash))
        command = [sys.executable, "-c", PROGRAM]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )

    return one


def test_a_backend_that_crashes_is_refused_at_the_next_start(start):
    assert start("os.abort()").returncode == -signal.SIGABRT
    again = start("os.abort()")
    assert again.returncode == 0
    assert "died (Aborted) while it held this backend to the reference" in again.stdout
    assert "at events/prob=0.1/2100x37" in again.stdout
    assert "delete /" in again.stdout
    assert start("1 / 0").returncode == 0  # it has changed, and is tried again


def test_a_process_that_is_ended_is_no_crash_the_first_time(start):
    """It may have been killed from outside, by a time limit perhaps."""
    assert start("os.kill(os.getpid(), 9)").returncode == -signal.SIGKILL
    again = start("os.kill(os.getpid(), 9)")
    assert again.returncode == -signal.SIGKILL
    assert "it is tried again once" in again.stderr
    assert "a process died (twice" in start("os.kill(os.getpid(), 9)").stdout


@pytest.fixture
def subject(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNJIT_CACHE_DIR", str(tmp_path))
    numba, device = registry().backends["numba"], jax.local_devices()[0]
    return certificate.subject(numba, device, ASKED._asdict())


def test_an_attempt_that_goes_on_is_no_crash(subject):
    with attempt.marked(subject) as mark:
        mark("something")
        assert attempt.crash_of(subject) == ""
        (path,) = certificate.folder().glob("*.attempt")
        assert path.read_text() == "something\n"
    assert not list(certificate.folder().glob("*.attempt"))
    mark("too late")  # by a thread that was left to itself


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, TimeoutError])
def test_an_attempt_that_is_broken_off_is_no_crash(error, subject):
    with pytest.raises(error), attempt.marked(subject):
        raise error
    assert attempt.crash_of(subject) == ""
    assert not list(certificate.folder().iterdir())


def test_who_comes_through_is_forgiven(subject):
    name = certificate.name({**subject, "asked": None})
    certificate.folder().mkdir()
    (certificate.folder() / f"{name}.1.attempt").write_text("something\n")
    assert attempt.crash_of(subject) == ""
    (certificate.folder() / f"{name}.2.attempt").write_text("something\n")
    assert "at something" in attempt.crash_of(subject)
    attempt.forget(subject)
    assert attempt.crash_of(subject) == ""


def test_without_a_folder_there_is_no_mark(subject, monkeypatch):
    monkeypatch.setenv("SYNJIT_CACHE_DIR", "/dev/null")
    with attempt.marked(subject) as mark:
        mark("something")
    assert attempt.crash_of(subject) == ""


# --- the time limit ---------------------------------------------------------------


def test_progress_starts_the_clock_again():
    steps = []

    def work():
        for _ in range(30):
            time.sleep(0.1)
            steps.append(None)
        return "done"

    with pytest.raises(TimeoutError):
        thread.in_thread(work, 1.5)
    steps.clear()
    assert thread.in_thread(work, 1.5, lambda: len(steps)) == "done"


def test_waiting_for_a_processor_does_not_count(monkeypatch):
    """Other processes have nine tenths of the machine, as far as it can tell."""
    start = time.monotonic()
    served = lambda: 0.1 * (time.monotonic() - start)  # noqa: E731
    monkeypatch.setattr(thread.time, "process_time", served)
    assert thread.in_thread(lambda: time.sleep(1.5) or "done", 0.5) == "done"


def test_what_hangs_is_given_up_however_idle():
    release = threading.Event()
    with pytest.raises(TimeoutError):
        thread.in_thread(lambda: release.wait(60), 0.5)
    release.set()


# --- whatever JAX's configuration is ----------------------------------------------

SETTINGS = {
    "jax_debug_nans": True,
    "jax_debug_infs": True,
    "jax_default_matmul_precision": "bfloat16",
    "jax_disable_jit": True,
    "jax_check_tracer_leaks": True,
    "jax_enable_custom_prng": True,
    "jax_default_prng_impl": "rbg",
    "jax_debug_key_reuse": True,
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "raise",
    "jax_transfer_guard": "disallow",
}


@pytest.fixture
def unusual():
    """Set all that a user may have set, for the whole process."""
    settings = {**SETTINGS, "jax_default_device": jax.devices()[1]}
    before = {k: v for k, v in jax.config.values.items() if k in settings}
    for setting, value in settings.items():
        jax.config.update(setting, value)
    yield
    for setting, value in before.items():
        jax.config.update(setting, value)


@pytest.mark.parametrize(
    "product",
    long_unless(lambda i, _: i % 2, ["events", "floats", "dense", "weighted"]),
)
def test_the_gate_does_not_depend_on_settings(product, unusual):
    dtype = "float32" if product in {"floats", "weighted"} else "int32"
    asked = gate.Asked("cpu", product, dtype, x64=False)
    verdict = gate._quick_part(registry().backends["numba"], asked)
    assert verdict.grade == "proved", verdict.reason
