# SPDX-License-Identifier: Apache-2.0
"""What the first product of a fresh installation costs: kernels and gate, cache empty.

Each product is asked for in a process and a cache folder of its own. Seconds are
processor time, of all threads: a busy machine disturbs them less.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FIRST = {
    "README's example": "synjit.binary_jitnmv([1.0], [0.1], 0.5, x, 42, shape=(3, 5))",
    "transposed": "synjit.binary_jitnmv("
    "1.0, 0.1, 0.5, x, 42, shape=(5, 3), transpose=True)",
    "floats": "synjit.jitnmv(1.0, 0.1, 0.5, 1.0 * x, 42, shape=(3, 5))",
    "dense": "synjit.jitn(1.0, 0.1, 0.5, 42, shape=(3, 5))",
    "blocks": "synjit.JITBlocks([[synjit.JITNormal(1.0, 0.1, 0.5, 42, shape=(3, 5))],"
    "[synjit.JITNormal(1.0, 0.1, 0.5, 43, shape=(3, 5))]]) @ x",
}


def first_result(expression: str) -> dict[str, Any]:
    """Compute a first result in this process, and time its kernels."""
    start = time.process_time()
    import jax
    import jax.numpy as jnp

    import synjit
    from synjit.backends.numba_cpu import ffi

    kernels: dict[str, float] = {}
    compiles = ffi._compile  # noqa: SLF001

    def timed(handler: Any) -> Any:
        begin = time.thread_time()
        compiled = compiles(handler)
        kernels[handler.__name__] = time.thread_time() - begin
        return compiled

    ffi._compile = timed  # noqa: SLF001
    imported = time.process_time() - start
    x = jnp.array([True, False, True, True, False])
    names = {"synjit": synjit, "x": x}
    jax.block_until_ready(eval(expression, names))  # noqa: S307, of the table above
    return {"total": time.process_time() - start, "import": imported, **kernels}


def in_process(expression: str, folder: str) -> dict[str, Any]:
    """Compute it in a new process, with this cache folder."""
    command = [sys.executable, "-W", "ignore", __file__, "--first", expression]
    environment = os.environ | {"SYNJIT_CACHE_DIR": folder}
    output = subprocess.run(
        command, check=True, env=environment, stdout=subprocess.PIPE
    )
    return json.loads(output.stdout)


def main() -> None:
    """Print a table for each product."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help=f"one of {', '.join(map(repr, FIRST))}")
    parser.add_argument("--first", metavar="EXPRESSION", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.first:
        print(json.dumps(first_result(options.first)))
        return
    print("| product | what | seconds | kB |\n|---|---|---|---|")
    for name in [options.only] if options.only else FIRST:
        with tempfile.TemporaryDirectory() as folder:
            cold = in_process(FIRST[name], folder)
            total, imported = cold.pop("total"), cold.pop("import")
            sizes = {
                path.name.rpartition("-")[0]: path.stat().st_size / 1000
                for path in Path(folder).glob("numba/*/*")
            }
            warm = in_process(FIRST[name], folder)["total"]
        for kernel, seconds in cold.items():
            print(f"| {name} | kernel {kernel} | {seconds:.1f} | {sizes[kernel]:.0f} |")
        rest = total - imported - sum(cold.values())
        print(f"| {name} | imports | {imported:.1f} | |")
        print(f"| {name} | the gate's cases and the product | {rest:.1f} | |")
        print(f"| {name} | **all** | **{total:.1f}** | |")
        print(f"| {name} | all, in the next process | {warm:.1f} | |", flush=True)


if __name__ == "__main__":
    main()
