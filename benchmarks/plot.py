# SPDX-License-Identifier: Apache-2.0
"""Time of W @ events against activity, prob and size, beside a stored matrix.

Measures, writes the times as JSON, and draws them on logarithmic axes.
"""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path
from typing import Any

import jax
import matplotlib as mpl
import numpy as np
import stored
import timing
from timing import interleaved, timed

import synjit

SIZE, PROB, ACTIVITY = 10_000, 0.1, 0.01
SWEEPS: dict[str, tuple[float, ...]] = {
    "activity": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0),
    "prob": (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 0.77),
    "size": (1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6),
}
MOST_STORED = 8e7  # connections; what is larger is not stored here


def measure(size: int, prob: float, activity: float) -> dict[str, float]:
    """Time one product, in seconds, one thread; and the same stored, where it fits."""
    events = np.zeros(size, bool)
    active = np.random.default_rng(1).choice(size, round(size * activity), False)
    events[active] = True
    call = jax.jit(
        lambda x: synjit.binary_jitnmv(1.0, 0.1, prob, x, 42, shape=(size, size))
    )
    on_device = jax.device_put(events)
    runs: dict[str, Any] = {
        "synjit": lambda: timed(lambda: call(on_device).block_until_ready())
    }
    if size * size * prob <= MOST_STORED:
        matrix, out = stored.random_matrix(size, size, prob), np.zeros(size, np.float32)
        product = functools.partial(stored.product, matrix, events, out)
        runs["stored"] = lambda: timed(product)
    times = interleaved(runs, seconds=0.5)
    connections = active.size * size * prob
    return {"connections": connections} | {k: t.wall for k, t in times.items()}


def sweep(name: str) -> list[dict[str, float]]:
    """Vary one of the three; of a larger matrix, a lower prob and activity."""
    points = []
    for value in SWEEPS[name]:
        at = {"size": SIZE, "prob": PROB, "activity": ACTIVITY} | {name: value}
        if name == "size":
            at["prob"] = min(PROB, 1000 / value)  # as many inputs to each neuron
        points.append(
            at | measure(int(at["size"]), float(at["prob"]), float(at["activity"]))
        )
    return points


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw the sweeps side by side."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    labels = {
        "activity": f"fraction of columns active ({SIZE:,}$^2$, prob {PROB})",
        "prob": f"prob ({SIZE:,}$^2$, {ACTIVITY:.0%} active)",
        "size": f"neurons (at most 1000 inputs each, {ACTIVITY:.0%} active)",
    }
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), sharey=True)
    for axis, (name, points) in zip(axes, results["sweeps"].items(), strict=True):
        for kind, color in (("stored", "0.6"), ("synjit", "C0")):
            known = [p for p in points if kind in p]
            axis.loglog(
                [p[name] for p in known],
                [p[kind] * 1e3 for p in known],
                "o-",
                color=color,
                label={"stored": "stored matrix", "synjit": "synjit"}[kind],
            )
        axis.set_xlabel(labels[name])
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("time of one product (ms)")
    axes[0].legend(frameon=False)
    figure.suptitle(f"W @ events, one thread each; {results['machine']}", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, unless there are results already, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("json", type=Path, help="results, read if they are there")
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    if options.json.exists():
        results = json.loads(options.json.read_text())
    else:
        timing.limit_threads(1)
        results = {
            "machine": timing.machine(),
            "sweeps": {name: sweep(name) for name in SWEEPS},
        }
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    draw(results, options.picture)


if __name__ == "__main__":
    main()
