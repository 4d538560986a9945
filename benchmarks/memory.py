# SPDX-License-Identifier: Apache-2.0
"""Memory of a network against its size: synjit beside stored formats.

    python benchmarks/memory.py memory.json memory.png

Each point is a process of its own, that builds a matrix of n x n with 1000 connections
a column, multiplies it by events once, and says how much its resident memory grew.
The lines are computed: 5 bytes a neuron (an event and a float32 result) of what is not
stored; 8 bytes a connection (a row and a float32 weight) and 4 a column in CSC, 12
(row, column and weight) in BCOO.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CONNECTIONS = 1000  # of a column
SIZES = {
    "synjit": (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000),
    "SciPy CSC": (10_000, 30_000, 100_000, 200_000),
    "BCOO": (10_000, 30_000, 100_000),
}
COLOURS = {"synjit": "#0072B2", "SciPy CSC": "#D55E00", "BCOO": "0.5"}


def computed(kind: str, n: int) -> int:
    """Bytes of the matrix and of one product, by the sizes of its arrays."""
    vectors = 5 * n
    per_connection = {"synjit": 0, "SciPy CSC": 8, "BCOO": 12}[kind]
    starts = 4 * (n + 1) if kind == "SciPy CSC" else 0
    return vectors + per_connection * CONNECTIONS * n + starts


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure(kind: str, n: int) -> int:
    """Bytes by which this process grows."""
    import jax.numpy as jnp
    import numpy as np

    import synjit

    def matrix(n: int) -> synjit.JITNormal:
        prob = min(1.0, CONNECTIONS / n)
        return synjit.JITNormal(1.0, 0.1, prob, 42, shape=(n, n))

    def product(n: int) -> Any:
        if kind == "synjit":
            events = jnp.arange(n) % 1000 == 0
            return events, (matrix(n) @ events).block_until_ready()
        if kind == "BCOO":
            from jax.experimental.sparse import BCOO

            rng = np.random.default_rng(1)
            places = np.empty((n * CONNECTIONS, 2), np.int32)
            places[:, 0] = rng.integers(0, n, n * CONNECTIONS, np.int32)
            places[:, 1] = np.repeat(np.arange(n, dtype=np.int32), CONNECTIONS)
            weights = jnp.ones(n * CONNECTIONS, jnp.float32)
            stored = BCOO((weights, jnp.asarray(places)), shape=(n, n))
            del places
            return stored, (stored @ jnp.ones(n)).block_until_ready()
        from scipy.sparse import csc_array

        rows = np.random.default_rng(1).integers(0, n, n * CONNECTIONS, np.int32)
        starts = np.arange(0, n * CONNECTIONS + 1, CONNECTIONS, dtype=np.int32)
        stored = csc_array((np.ones(rows.size, np.float32), rows, starts), (n, n))
        return stored, stored @ (np.arange(n) % 1000 == 0)

    product(2000)  # what is loaded and compiled is no part of the matrix
    before = resident()
    kept = product(n)
    grown = resident() - before
    del kept
    return grown


def run(kind: str, n: int) -> int:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--one", kind, str(n)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def draw(points: list[dict[str, Any]], path: Path) -> None:
    """Draw measured points over computed lines."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axes = figure.subplots()
    for kind, colour in COLOURS.items():
        sizes = np.geomspace(1e4, 1e7, 50)
        axes.plot(
            sizes, [computed(kind, int(n)) for n in sizes], color=colour, label=kind
        )
        own = [p for p in points if p["kind"] == kind]
        axes.plot([p["n"] for p in own], [p["bytes"] for p in own], "o", color=colour)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel=f"neurons, {CONNECTIONS} connections each",
        ylabel="bytes",
    )
    axes.grid(color="0.9")
    figure.legend(
        loc="outside right upper",
        frameon=False,
        title="lines computed,\npoints measured",
    )
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure all points, or one, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="?", help="JSON; kept if it exists")
    parser.add_argument("picture", type=Path, nargs="?", help="PNG")
    parser.add_argument("--one", nargs=2, metavar=("KIND", "N"), help="one point")
    options = parser.parse_args()
    if options.one:
        print(measure(options.one[0], int(options.one[1])))
        return
    if options.results is None or options.picture is None:
        parser.error("say where to write: memory.json memory.png")
    if not options.results.exists():
        points = []
        for kind, sizes in SIZES.items():
            for n in sizes:
                points.append({"kind": kind, "n": n, "bytes": run(kind, n)})
                print(points[-1], "computed", computed(kind, n), flush=True)
        options.results.write_text(json.dumps(points, indent=1) + "\n")
    draw(json.loads(options.results.read_text()), options.picture)


if __name__ == "__main__":
    main()
