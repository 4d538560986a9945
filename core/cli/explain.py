# SPDX-License-Identifier: Apache-2.0
"""``synjit explain``: which backend would run a product, and why not the others."""

from __future__ import annotations

import argparse
from typing import Any

from synjit.hookspecs import PLATFORMS

from . import output
from .output import UsageError


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands(
        "explain", "say which backend would run a product, and why not the others"
    )
    parser.add_argument(
        "product",
        nargs="?",
        choices=("events", "floats", "dense"),
        default="events",
        help="W @ spikes, W @ numbers, or all of W (events)",
    )
    parser.add_argument(
        "--shape", type=_shape, default=(1000, 1000), help="of W, as ROWS,COLUMNS"
    )
    parser.add_argument("--prob", type=float, help="of a connection; any, if left out")
    parser.add_argument("--transpose", action="store_true", help="W.T for W")
    parser.add_argument("--batch", type=int, default=1, help="number of vectors (1)")
    parser.add_argument("--platform", choices=PLATFORMS, help="without one, JAX's own")
    parser.add_argument("--backend", help="name; without one, the best that conforms")
    output.add_json(parser)
    parser.set_defaults(run=run)


def _shape(text: str) -> tuple[int, int]:
    try:
        rows, columns = map(int, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be two numbers, as 1000,800; got {text!r}"
        ) from None
    return rows, columns


def run(options: argparse.Namespace) -> int:
    """Explain; 2 if there is no backend."""
    import synjit

    output.check_json(options)
    try:
        found = synjit.explain(
            options.product,
            shape=options.shape,
            prob=options.prob,
            transpose=options.transpose,
            batch=options.batch,
            platform=options.platform,
            backend=options.backend,
        )
    except (TypeError, ValueError) as error:
        raise UsageError(error) from error
    content = {
        "product": options.product,
        "backend": found.backend,
        "grade": found.grade,
        "reasons": found.reasons,
    }
    output.give(options, content, lambda: print(found))
    return 0 if found.backend else 2
