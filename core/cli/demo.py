# SPDX-License-Identifier: Apache-2.0
"""``synjit demo``: the cortical microcircuit."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

from . import output
from .output import UsageError


def add(commands: Any) -> None:
    """Add the subcommand."""
    demo = commands("demo", "simulate the cortical microcircuit, and draw pictures")
    demo.add_argument(
        "--scale", type=float, default=1.0, help="fraction of the full network (1)"
    )
    demo.add_argument(
        "--duration", type=float, default=1000.0, help="biological time in ms (1000)"
    )
    demo.add_argument(
        "--transient", type=float, default=200.0, help="ms before, not counted (200)"
    )
    demo.add_argument("--seed", type=int, default=1, help="of the network (1)")
    demo.add_argument(
        "--out", type=Path, help="folder for pictures and summary.json (demo-out)"
    )
    demo.add_argument(
        "--no-pictures",
        action="store_true",
        help="needs no matplotlib; writes summary.json only, and that with --out only",
    )
    demo.add_argument("--backend", help="name; without one, the best that conforms")
    demo.add_argument(
        "--devices",
        type=int,
        default=1,
        help="cut the network over so many; a CPU is made to pass for them (1)",
    )
    demo.add_argument(
        "--delays",
        choices=("neuron", "synapse"),
        default="neuron",
        help="whether a neuron has one delay, or each synapse its own, as published, "
        "which takes longer (neuron)",
    )
    demo.add_argument(
        "--input",
        choices=("current", "poisson"),
        default="current",
        help="what stands for the neurons outside: a direct current, as in NEST's "
        "reference implementation, or Poisson spikes, as published (current)",
    )
    output.add_json(demo)
    demo.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Simulate, print, and draw."""
    import jax

    from synjit import demo

    output.check_json(options)
    if options.devices > 1:
        jax.config.update("jax_num_cpu_devices", options.devices)
    quiet = output.is_quiet(options)
    told = contextlib.redirect_stdout(sys.stderr if quiet else sys.stdout)
    try:
        with told:
            activity = demo.run(
                scale=options.scale,
                duration=options.duration,
                transient=options.transient,
                seed=options.seed,
                out=options.out or (None if options.no_pictures else "demo-out"),
                backend=options.backend,
                pictures=not options.no_pictures,
                devices=options.devices,
                delays_of=options.delays,
                background=options.input,
            )
    except (ValueError, ModuleNotFoundError) as error:
        raise UsageError(error) from error
    if options.json:
        numbers = demo.report.summary(activity, options.backend)
        output.give(options, numbers, lambda: None)  # all is told already
    return 0
