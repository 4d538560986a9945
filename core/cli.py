# SPDX-License-Identifier: Apache-2.0
"""The command line: backends, their conformance, the demonstration, and export."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
import threading
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .files import check_writable, write_whole
from .hookspecs import PLATFORMS

if TYPE_CHECKING:
    from synjit.hookspecs import Backend


BROKEN_PIPE = 141  # as of a command that SIGPIPE ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Returns
    -------
    int
        0 if all is well, 1 if a backend does not conform, 2 if it was asked wrongly,
        141 if whoever read its output had enough, as in ``synjit demo | head``.
    """
    from synjit.dispatch import BackendError

    try:
        try:
            options = _parser().parse_args(arguments)
            code: int = options.run(options)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return BROKEN_PIPE
    except (UsageError, BackendError, OSError) as wrong:
        print(f"synjit: {wrong}", file=sys.stderr)
        _drop_output()
        return 2
    return code


def _drop_output() -> None:
    """Drop what cannot be written: Python would try again when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())


class UsageError(Exception):
    """The command cannot do what it was asked for; the text says why."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="synjit", description=__doc__)
    parser.add_argument("--version", action="version", version=f"synjit {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    backends = command(
        "backends", "what is installed, its grade, and what is in quarantine"
    )
    backends.set_defaults(run=_backends)

    conformance = command(
        "conformance", "hold a backend to the reference with the full suite"
    )
    conformance.add_argument("name", help="of the backend")
    conformance.add_argument(
        "--platform",
        choices=PLATFORMS,
        help="without one, the backend's first that is here",
    )
    conformance.add_argument("--json", type=Path, help="file to write a report to")
    conformance.add_argument(
        "--only",
        default="*",
        help="pattern of the checks to run, as 'events/*transpose*'; never a pass",
    )
    conformance.add_argument(
        "--list", action="store_true", help="print the checks' names, and run nothing"
    )
    conformance.add_argument(
        "--limit",
        type=_seconds,
        default=300.0,
        help="seconds that one check may take (300)",
    )
    conformance.set_defaults(run=_conformance)

    support = command("support-table", "make a table in Markdown of JSON reports")
    support.add_argument("reports", nargs="+", type=Path)
    support.set_defaults(run=_support_table)

    demo = command("demo", "simulate the cortical microcircuit, and draw pictures")
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
    demo.set_defaults(run=_demo)

    export = command("export", "write a network to files that other simulators read")
    export.add_argument(
        "network",
        metavar="FILE.py:NAME",
        help="a program, which is run, and the name of a matrix or of blocks in it",
    )
    export.add_argument("--out", type=Path, required=True, help="a new folder")
    export.add_argument(
        "--format", choices=("sonata", "csv", "npz"), default="sonata", help="(sonata)"
    )
    export.add_argument("--targets", help="names of the populations, as E,I")
    export.add_argument("--sources", help="the same of the columns; if left, targets")
    export.add_argument("--delay", type=float, help="of all connections, in ms")
    export.add_argument("--dt", type=float, help="a step of drawn delays, in ms")
    export.add_argument("--unit", help="of the weights, as pA, nS or mV")
    export.add_argument(
        "--neuron-model", default="iaf_psc_exp", help="NEST's name (iaf_psc_exp)"
    )
    export.set_defaults(run=_export)
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"must be seconds above 0, got {text!r}")
    return seconds


def _backends(options: argparse.Namespace) -> int:
    del options
    from synjit import gate
    from synjit.conformance import PRODUCTS
    from synjit.conformance.report import table
    from synjit.registry import registry

    rows = [["backend", "version", "platform", *PRODUCTS, "from"]]
    ranked = sorted(registry().backends.values(), key=lambda r: -r.backend.priority)
    for registered in ranked:
        backend = registered.backend
        for platform in backend.platforms:
            grades = [
                gate.standing(registered, platform, product) for product in PRODUCTS
            ]
            rows.append(
                [backend.name, backend.version, platform, *grades, registered.source]
            )
    print(table(rows))
    for name, reason in registry().quarantine.items():
        print(f"\nIN QUARANTINE {name}: {reason}")
    if gate.is_off():
        print("\nSYNJIT_GATE=off: backends are used without proof")
    return 0


def _conformance(options: argparse.Namespace) -> int:
    from synjit.conformance import full_checks, run_full
    from synjit.conformance.report import as_json, as_text
    from synjit.dispatch import check_name
    from synjit.registry import registry

    registered = registry().backends.get(options.name)
    if registered is None:
        check_name(options.name)  # an alias, if it passes
        raise UsageError(f"{options.name!r} is an alias: name the backend")
    backend = registered.backend
    names = [str(check) for check in full_checks()]
    chosen = [name for name in names if fnmatchcase(name, options.only)]
    if not chosen:
        raise UsageError(
            f"no check's name matches {options.only!r}; --list prints them all"
        )
    if options.list:
        print("\n".join(chosen))
        return 0
    platform = _platform(backend, options.platform)
    if options.json:
        check_writable(options.json)
    show = sys.stderr.isatty()

    def progress(result: object) -> None:
        if show:
            print(f"\r\033[K{result.check}", end="", file=sys.stderr)  # type: ignore[attr-defined]

    report = run_full(
        registered,
        platform,
        limit=options.limit,
        only=options.only,
        progress=progress,
    )
    if show:
        print("\r\033[K", end="", file=sys.stderr)
    print(as_text(report, backend))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        write_whole(options.json, as_json(report, backend).encode())
    return 0 if report.conforms else 1


def _platform(backend: Backend, wanted: str | None) -> str:
    """Give the platform that was asked for, or the backend's first that is here."""
    platforms = [p for p in backend.platforms if wanted in {None, p} and _is_here(p)]
    if not platforms:
        raise UsageError(
            f"backend {backend.name!r} is for {', '.join(backend.platforms)}; "
            f"{wanted or 'that'} is not among them, or JAX has no such device here"
        )
    return platforms[0]


def _is_here(platform: str) -> bool:
    import jax

    try:
        return bool(jax.local_devices(backend=platform))
    except RuntimeError:
        return False


def _support_table(options: argparse.Namespace) -> int:
    from synjit.conformance.report import support_table

    try:
        print(support_table(options.reports), end="")
    except ValueError as error:
        raise UsageError(error) from error
    return 0


def _demo(options: argparse.Namespace) -> int:
    import jax

    from synjit import demo

    if options.devices > 1:
        jax.config.update("jax_num_cpu_devices", options.devices)
    try:
        demo.run(
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
    return 0


def _export(options: argparse.Namespace) -> int:
    from synjit import export_network

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
    print(folder)
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


if __name__ == "__main__":
    sys.exit(main())
