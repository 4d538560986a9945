# SPDX-License-Identifier: Apache-2.0
"""The command line: a file for each subcommand."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from synjit import __version__

from . import backends, bench, conformance, demo, explain, export, warmup
from .output import UsageError

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


ABOUT = """
Random connectivity that is never stored, for spiking networks in JAX.

Start with 'synjit warmup', which compiles what the CPU needs, once, and 'synjit demo',
which simulates a piece of cortex and draws it."""
MORE = """
examples:
  synjit demo --scale 0.1 --duration 200         a tenth of the network, in seconds
  synjit explain events --shape 1000,800         which backend would run W @ events
  synjit bench --json times.json                 this machine, beside a stored matrix
  synjit export network.py:B --out net           the blocks B of a program, as SONATA

'synjit COMMAND --help' says a command's options, their units and defaults. Kernels and
certificates are kept in ~/.cache/synjit, or where SYNJIT_CACHE_DIR says;
SYNJIT_BACKEND sets a default backend. Exit status: 0 if all is well, 1 if a backend
does not conform, 2 if it was asked wrongly."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="synjit",
        description=ABOUT,
        epilog=MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"synjit {__version__}")
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", title="commands", dest="command"
    )

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    for module in (warmup, demo, explain, backends, bench, export, conformance):
        module.add(command)
    return parser
