# SPDX-License-Identifier: Apache-2.0
"""``synjit warmup``: what a first product would wait for, done beforehand."""

from __future__ import annotations

import argparse
import time
from typing import Any

from synjit.hookspecs import PLATFORMS, Product, directions

from . import output
from .output import UsageError


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands(
        "warmup",
        "compile all kernels and hold them to the reference, once; minutes at most",
    )
    parser.add_argument("--platform", choices=PLATFORMS, help="without one, JAX's own")
    parser.add_argument("--backend", help="name; without one, the best that conforms")
    output.add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask for each kind of product, so that all of it is in the cache folder."""
    import jax

    from synjit import JITBlocks, JITNormal, explain
    from synjit.cache import cache_folder

    output.check_json(options)
    one, other = (JITNormal(1.0, 0.1, 0.5, s, delay=1, shape=(8, 8)) for s in (1, 2))
    blocks = JITBlocks([[one, other]])  # a single one has no kernel of its own
    kinds: dict[Product, dict[str, Any]] = {
        "events": {},
        "floats": {},
        "dense": {},
        "weighted": {"grid": blocks.grid},
        "deliver": {"grid": blocks.grid, "slots": 2},
    }
    done = []
    for product in output.steps(list(kinds), str):
        begun = time.monotonic()
        found = None
        for dtype in ("float32", "float64"):
            for transpose in directions(product):
                with jax.enable_x64(dtype == "float64"):
                    found = explain(
                        product,
                        dtype=dtype,
                        platform=options.platform,
                        backend=options.backend,
                        transpose=transpose,
                        **kinds[product],
                    )
        if found is None or found.backend is None:
            if product == "deliver":  # the optional one
                continue
            raise UsageError(f"no backend takes {product}:\n{found}")
        seconds = round(time.monotonic() - begun, 1)
        done.append({"product": product, "backend": found.backend, "seconds": seconds})
    folder = str(cache_folder())

    def show() -> None:
        output.show_table([list(done[0]), *(list(row.values()) for row in done)])
        print(f"\nkept in {folder}")

    output.give(options, {"products": done, "folder": folder}, show)
    return 0
