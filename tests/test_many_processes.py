# SPDX-License-Identifier: Apache-2.0
"""The examples of two GPUs and of a cluster, on this machine: the same spikes."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from long import long_unless

from synjit import demo

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL = {"scale": 0.02, "duration": 50, "transient": 0, "seed": 1}
SECONDS = 240  # that an example may take on a busy machine


def start(name, *options):
    command = [sys.executable, EXAMPLES / name, *map(str, options)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def output(name, *options):
    process = start(name, *options)
    try:
        text, _ = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0, text
    return text


def given(**options):
    return [word for k, v in options.items() for word in (f"--{k}", v)]


def test_two_gpus():
    small = ("--cpu", *given(neurons=1005, steps=300))
    one, two = (output("two_gpus.py", *small, "--devices", n) for n in (1, 2))
    assert "1 devices, 1005 neurons each" in one
    assert "2 devices, 503 neurons each" in two  # two populations, one neuron to spare
    assert re.search(r"^[1-9]\d* spikes", two, re.MULTILINE)
    told = [text[text.index("neurons each") :] for text in (one, two)]
    assert told[0] == told[1]


def digest(activity):
    spikes = hashlib.sha256(activity.counts.tobytes())
    for part in (*activity.sample_times, *activity.sample_ids):
        spikes.update(np.ascontiguousarray(part).tobytes())
    return spikes.hexdigest()


@pytest.mark.parametrize("processes", long_unless(lambda _, n: n == 2, [2, 4]))
def test_several_processes_give_the_spikes_of_one(processes):
    right = demo.simulate(**SMALL)
    assert right.counts.sum() > 50
    text = output("cluster.py", *given(local=processes, **SMALL))
    assert f"on {processes} devices" in text
    assert f"{right.counts.sum()} spikes, {digest(right)}" in text


@pytest.mark.long
def test_if_a_process_dies_the_others_end_with_an_error_within_seconds():
    long = given(local=3, heartbeat=5, scale=0.01, duration=10**7, transient=0)
    cluster = start("cluster.py", *long)
    processes = []
    try:
        for line in cluster.stdout:
            processes += map(int, re.findall(r"process \d has the id (\d+)", line))
            if f"of {10**7} ms" in line:
                break
        assert len(processes) == 3
        os.kill(processes[1], signal.SIGKILL)
        killed = time.monotonic()
        said, _ = cluster.communicate(timeout=SECONDS)
        # By itself, 5 to 10; the rest is load. JAX's own heartbeat would take 100.
        assert time.monotonic() - killed < 90
        assert cluster.returncode == 1
        aborted, died = -signal.SIGABRT, -signal.SIGKILL
        assert f"codes {[aborted, died, aborted]}" in said
        assert "heartbeat" in said
    finally:
        for process in processes:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        cluster.kill()
