# SPDX-License-Identifier: Apache-2.0
"""What commands write: tables, JSON, and how far they are."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from synjit.files import check_writable, write_whole

STANDARD_OUTPUT = "-"

T = TypeVar("T")


class UsageError(Exception):
    """The command cannot do what it was asked for; the text says why."""


def add_json(parser: argparse.ArgumentParser) -> None:
    """Let a command give its result as JSON as well."""
    parser.add_argument(
        "--json",
        nargs="?",
        const=STANDARD_OUTPUT,
        metavar="FILE",
        help="print the result as JSON and nothing else, or write it to FILE as well",
    )


def is_quiet(options: argparse.Namespace) -> bool:
    """Whether nothing but JSON may be printed."""
    return bool(options.json == STANDARD_OUTPUT)


def check_json(options: argparse.Namespace) -> None:
    """Fail before the work if its JSON cannot be written.

    Raises
    ------
    OSError
        There is no writing to the file that was named.
    """
    if options.json and not is_quiet(options):
        check_writable(Path(options.json))


def give(options: argparse.Namespace, content: Any, show: Callable[[], None]) -> None:
    """Print a result in the form that was asked for.

    Parameters
    ----------
    options : argparse.Namespace
        With ``json``, see ``add_json``.
    content : anything that JSON can hold, or JSON already, as str
    show : function
        Prints it for people.
    """
    text = content if isinstance(content, str) else json.dumps(content, indent=1)
    if is_quiet(options):
        print(text)
        return
    show()
    if options.json:
        path = Path(options.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, (text.rstrip("\n") + "\n").encode())


def is_rich() -> bool:
    """Whether rich may draw: it is installed, and a terminal shows what it draws."""
    return sys.stdout.isatty() and find_spec("rich") is not None


def show_table(rows: Sequence[Sequence[object]]) -> None:
    """Print rows of words, the first of which are the heads.

    With rich where that is installed and a terminal reads that is wide enough, without
    colours (but bold heads); else in plain columns.
    """
    from synjit.conformance.report import table

    plain = table(rows)
    if not is_rich():
        print(plain)
        return
    from rich import box, console, text
    from rich.table import Table

    head, *body = ([str(cell) for cell in row] for row in rows)
    drawn = Table(*head, box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for row in body:
        drawn.add_row(*(text.Text(cell) for cell in row))
    terminal = console.Console()
    unbounded = terminal.options.update(max_width=10_000)
    fits = terminal.measure(drawn, options=unbounded).maximum <= terminal.width
    if fits:
        terminal.print(drawn)
    else:  # it would cut words
        print(plain)


def steps(what: Sequence[T], name: Callable[[T], str]) -> Iterator[T]:
    """Pass steps on, and show on a terminal which of them is being done."""
    shown = sys.stderr.isatty()
    for number, step in enumerate(what):
        if shown:
            done = "#" * (20 * number // len(what))
            line = f"[{done:<20}] {number + 1} of {len(what)}: {name(step)}"
            sys.stderr.write(f"\r\033[K{line}")
            sys.stderr.flush()
        yield step
    if shown:
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()


def lines(texts: Iterable[str]) -> None:
    """Print lines."""
    for text in texts:
        print(text)
