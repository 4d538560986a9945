# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and giving up: at any moment, and Python does not crash when it ends."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from synjit.gate import thread

# What is printed first tells that Python itself has started.
COMMAND = "import synjit_command; print('started', flush=True); synjit_command.main()"
DEMO = ("demo", "--scale", "0.02", "--duration", "300", "--out")
COMPILES = "synjit compiles"
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="the time of a process is Linux's"
)


@pytest.fixture(autouse=True)
def heed_ctrl_c():
    """Heed Ctrl-C, here and in what is started, if the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def start(code, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(stream, text):
    lines = []
    for line in stream:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"no {text!r} in {lines}")


def interrupt(process, seconds=3.0):
    """Press Ctrl-C; return what is said on standard error then.

    Few seconds pass until the end: of its own, for others may have the processors.
    """
    before = seconds_of(process.pid) + seconds_of_ended()
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=100)[1]
    assert seconds_of_ended() - before < seconds
    return told


def seconds_of(pid):
    """Time that a running process has had on a processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seconds_of_ended():
    """Time that all ended processes of this one have had."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def check_whole(folder):
    for path in folder.rglob("*"):
        assert not path.name.startswith("."), path
        if path.suffix == ".png":
            assert path.read_bytes().endswith(b"IEND\xaeB`\x82")
        if path.name == "summary.json":
            json.loads(path.read_text())


# --- the command ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "delay"),
    [
        ("started", 0.1),  # an import
        ("neurons", 0.1),  # tracing, the gate
        ("compiled", 0.05),  # the loop
        ("peak memory", 0.3),  # pictures
    ],
)
def test_ctrl_c_ends_the_command(line, delay, tmp_path):
    process = start(COMMAND, *DEMO, str(tmp_path / "out"))
    wait_for(process.stdout, line)
    time.sleep(delay)
    assert interrupt(process).splitlines()[-1] == "synjit: interrupted"
    assert process.returncode == 130
    check_whole(tmp_path)


def test_ctrl_c_ends_the_command_while_it_compiles(tmp_path):
    cache = tmp_path / "cache"
    arguments = ("conformance", "numba", "--json", str(tmp_path / "report.json"))
    process = start(COMMAND, *arguments, SYNJIT_CACHE_DIR=str(cache))
    wait_for(process.stderr, COMPILES)
    time.sleep(0.5)
    assert interrupt(process) == "synjit: interrupted\n"
    assert process.returncode == 130
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_who_has_ctrl_c_ignored_is_not_interrupted():
    """As ``nohup`` has, and shells have of what runs in the background."""
    code = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {COMMAND}"
    process = start(code, "--version")
    wait_for(process.stdout, "started")
    process.send_signal(signal.SIGINT)
    assert process.communicate()[0].startswith("synjit ")
    assert process.returncode == 0


# --- a user's script --------------------------------------------------------------

SCRIPT = """
import signal
import numpy as np
import synjit
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
synjit.jitn(1., .1, .5, 1, shape=(3, 5))
"""


def test_ctrl_c_while_a_kernel_compiles_is_an_interrupt_as_any_other(tmp_path):
    process = start(SCRIPT, SYNJIT_CACHE_DIR=str(tmp_path))
    wait_for(process.stderr, COMPILES)
    time.sleep(0.5)
    told = interrupt(process, seconds=5.0)
    assert "\nKeyboardInterrupt\n" in told
    assert process.returncode == -signal.SIGINT
    check_whole(tmp_path)


def test_the_gate_gives_up_while_a_kernel_compiles(tmp_path):
    there = {"SYNJIT_CACHE_DIR": str(tmp_path), "SYNJIT_GATE_SECONDS": "0.5"}
    process = start(SCRIPT, **there)
    told = process.communicate()[1]
    assert "no end within 0.5 seconds" in told
    assert process.returncode == 1
    check_whole(tmp_path)


def stops():
    """Whether the thread ends, which it does when it next has a processor."""
    end = time.monotonic() + 30.0
    while time.monotonic() < end:
        names = [thread.name for thread in threading.enumerate()]
        if "synjit-conformance" not in names:
            return True
        time.sleep(0.05)
    return False


def runs_for_ever():
    while True:
        time.sleep(0.01)


def test_what_was_given_up_stops():
    with pytest.raises(TimeoutError, match=r"0\.1"):
        thread.in_thread(runs_for_ever, 0.1)
    assert stops()


def test_what_was_interrupted_stops():
    """Even if the signal does not wake the main thread, as one just before its wait."""
    timer = threading.Timer(0.1, signal.raise_signal, (signal.SIGINT,))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        thread.in_thread(runs_for_ever, float("inf"))
    assert stops()


def test_what_is_raised_in_the_thread_is_raised():
    with pytest.raises(SystemExit, match="quit"):
        thread.in_thread(lambda: sys.exit("quit"), 10.0)
    with contextlib.suppress(SystemExit):
        thread.in_thread(sys.exit, 10.0)
    assert thread.in_thread(lambda: 3, 10.0) == 3
