# SPDX-License-Identifier: Apache-2.0
"""Run brainevent's products in another environment, for ``bench.py``.

Started with a Python that has brainevent, it reads one JSON request a line: a case to
prepare, or "run" to run it once. It answers each with a line: the wall and the
processor time of the run.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import timing


class Beside:
    """The other side of it: a process with brainevent."""

    def __init__(self, python: str) -> None:
        self.process = subprocess.Popen(
            [python, "-W", "ignore", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ask("hello")

    def ask(self, request: Any) -> Any:
        """Send a request and wait for the answer."""
        requests, answers = self.process.stdin, self.process.stdout
        if requests is None or answers is None:
            raise RuntimeError("brainevent's process was started without pipes")
        requests.write(json.dumps(request) + "\n")
        requests.flush()
        while line := answers.readline():
            if line.startswith("="):
                return json.loads(line[1:])
        raise RuntimeError("brainevent's process has ended")

    def prepare(self, **case: Any) -> None:
        """Compile a case, and run it once."""
        self.process.send_signal(signal.SIGCONT)
        self.ask(case)

    def run(self) -> timing.Time:
        """Run the case once; between runs the process stands still.

        Threads that spin in wait of their next call would take a core from ours.
        """
        self.process.send_signal(signal.SIGCONT)
        time = timing.Time(*self.ask("run"))
        self.process.send_signal(signal.SIGSTOP)
        return time


def prepare(case: dict[str, Any]) -> Any:
    """Make a call of a case."""
    import brainevent
    import jax
    import numpy as np

    m, n = case["shape"]
    product = getattr(brainevent, case["product"])
    static = {"shape": (m, n), "transpose": case["transpose"], "corder": case["corder"]}
    weights = np.float32([1.0]), np.float32([0.1])
    if case["product"] == "jitn":
        call = jax.jit(lambda: product(*weights, case["prob"], 42, **static))
        return lambda: call().block_until_ready()
    operand = np.load(case["operand"])
    call = jax.jit(lambda x: product(*weights, case["prob"], x, 42, **static))
    on_device = jax.device_put(operand)
    return lambda: call(on_device).block_until_ready()


def main() -> None:
    """Answer until there is nothing more to read."""
    call = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: Any = "ready"
        if request == "run":
            answer = timing.timed(call)
        elif request != "hello":
            call = prepare(request)
            call()
        print("=" + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
