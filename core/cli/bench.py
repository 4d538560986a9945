# SPDX-License-Identifier: Apache-2.0
"""``synjit bench``: this machine, beside the same matrix stored, in under a minute."""

from __future__ import annotations

import argparse
import functools
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from . import output

SECONDS = 0.5  # for each time
CASES = (  # rows and columns, prob, fraction of columns with an event
    (10_000, 0.1, 0.001),
    (10_000, 0.1, 0.01),
    (10_000, 0.1, 1.0),
    (100_000, 0.001, 0.001),
    (100_000, 0.001, 1.0),
)


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands(
        "bench",
        "time W @ spikes on this machine, beside the same matrix stored by columns; "
        "less than a minute",
    )
    parser.add_argument("--backend", help="name; without one, the best that conforms")
    output.add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Time each case, and show both medians."""
    import jax

    output.check_json(options)
    measured = [
        _measure(*case, options.backend)
        for case in output.steps(CASES, lambda case: f"{case[0]:,} neurons")
    ]

    def show() -> None:
        heads = ["neurons", "prob", "active", "synjit, us", "stored, us", "ratio"]
        heads += ["stored, MB"]
        body = [
            [
                f"{m['neurons']:,}",
                m["prob"],
                f"{m['active']:.1%}",
                f"{m['synjit_us']:.0f}",
                f"{m['stored_us']:.0f}",
                f"{m['synjit_us'] / m['stored_us']:.2f}",
                f"{m['stored_bytes'] / 1e6:.0f}",
            ]
            for m in measured
        ]
        output.show_table([heads, *body])
        print(
            "\nsynjit works with all threads, the stored matrix with one. The page on"
        )
        print("speed, in the docs, has ratios of one thread, and where the time goes.")

    about = {"jax": jax.__version__, "machine": platform.processor() or "unknown"}
    output.give(options, {**about, "cases": measured}, show)
    return 0


def _measure(size: int, prob: float, active: float, backend: str | None) -> Any:
    """Time one product both ways, and check that they agree."""
    import jax
    import jax.numpy as jnp

    import synjit

    matrix = synjit.JITNormal(1.0, 0.1, prob, 42, shape=(size, size), backend=backend)
    events = np.zeros(size, bool)
    events[np.random.default_rng(1).permutation(size)[: round(size * active)]] = True
    by_columns, total = matrix.tocsc(), np.zeros(size, np.float32)
    stored = by_columns.indptr, by_columns.indices, by_columns.data
    on_device, product = jnp.asarray(events), jax.jit(lambda x: matrix @ x)
    _walker()(*stored, events, total)
    if not np.allclose(product(on_device), total, rtol=1e-3, atol=1e-3):
        raise AssertionError("the stored matrix gave another product")
    return {
        "neurons": size,
        "prob": prob,
        "active": active,
        "synjit_us": _median(lambda: product(on_device).block_until_ready()) * 1e6,
        "stored_us": _median(lambda: _walker()(*stored, events, total)) * 1e6,
        "stored_bytes": sum(part.nbytes for part in stored),
    }


@functools.cache
def _walker() -> Callable[..., None]:
    """Compile the event-driven loop over a stored matrix."""
    from numba import njit

    def walk(first: Any, rows: Any, weights: Any, events: Any, total: Any) -> None:
        total[:] = 0
        for j in range(events.size):
            if events[j]:
                for t in range(first[j], first[j + 1]):
                    total[rows[t]] += weights[t]

    compiled: Callable[..., None] = njit(nogil=True)(walk)
    return compiled


def _median(call: Callable[[], object]) -> float:
    """Seconds of the median call."""
    times: list[float] = []
    until = time.perf_counter() + SECONDS
    while not times or time.perf_counter() < until:
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return float(np.median(times))
