# SPDX-License-Identifier: Apache-2.0
"""``synjit export``: a network, in files that other simulators read."""

from __future__ import annotations

import argparse
import runpy
from pathlib import Path
from typing import Any

from . import output
from .output import UsageError


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands("export", "write a network to files that other simulators read")
    parser.add_argument(
        "network",
        metavar="FILE.py:NAME",
        help="a program, which is run, and the name of a matrix or of blocks in it",
    )
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument(
        "--format", choices=("sonata", "csv", "npz"), default="sonata", help="(sonata)"
    )
    parser.add_argument("--targets", help="names of the populations, as E,I")
    parser.add_argument("--sources", help="the same of the columns; if left, targets")
    parser.add_argument("--delay", type=float, help="of all connections, in ms")
    parser.add_argument("--dt", type=float, help="a step of drawn delays, in ms")
    parser.add_argument("--unit", help="of the weights, as pA, nS or mV")
    parser.add_argument(
        "--neuron-model", default="iaf_psc_exp", help="NEST's name (iaf_psc_exp)"
    )
    output.add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the network, and print the folder."""
    from synjit import export_network

    output.check_json(options)
    names = {
        key: value and value.split(",")
        for key, value in (("targets", options.targets), ("sources", options.sources))
    }
    try:
        unit = options.unit and _unit(options.unit)
        folder = export_network(
            _load(options.network),
            options.out,
            format=options.format,
            delays=options.delay,
            dt=options.dt,
            unit=unit,
            neuron_model=options.neuron_model,
            **names,
        )
    except (TypeError, ValueError, MemoryError, ModuleNotFoundError) as error:
        raise UsageError(error) from error
    content = {"folder": str(folder), "format": options.format}
    output.give(options, content, lambda: print(folder))
    return 0


def _load(where: str) -> Any:
    """Run a program, and give what it has under a name."""
    path, separator, name = where.rpartition(":")
    if not separator or not name.isidentifier():
        raise UsageError(f"say FILE.py:NAME, as network.py:B; got {where!r}")
    if not Path(path).is_file():
        raise UsageError(f"{path} is no file")
    found = runpy.run_path(path)
    if name not in found:
        raise UsageError(f"{path} has no {name!r} when it was run")
    return found[name]


def _unit(name: str) -> Any:
    import brainunit

    unit = getattr(brainunit, name, None)
    if not isinstance(unit, brainunit.Unit):
        raise UsageError(
            f"brainunit has no unit {name!r}: say pA, nS or mV for instance"
        )
    return unit
