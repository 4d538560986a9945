# SPDX-License-Identifier: Apache-2.0
"""``synjit backends``: what is installed, and how far it is proved."""

from __future__ import annotations

import argparse
from typing import Any

from . import output


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands(
        "backends", "what is installed, its grade, and what is in quarantine"
    )
    output.add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """List every backend for each of its platforms."""
    from synjit import gate
    from synjit.conformance import PRODUCTS
    from synjit.registry import registry

    output.check_json(options)
    found = []
    for registered in sorted(
        registry().backends.values(), key=lambda r: -r.backend.priority
    ):
        backend = registered.backend
        for platform in backend.platforms:
            grades: dict[str, str] = {
                product: gate.standing(registered, platform, product)
                for product in PRODUCTS
            }
            found.append(
                {
                    "backend": backend.name,
                    "version": backend.version,
                    "platform": platform,
                    **grades,
                    "from": registered.source,
                }
            )
    quarantine = dict(registry().quarantine.items())

    def show() -> None:
        heads = ["backend", "version", "platform", *PRODUCTS, "from"]
        output.show_table([heads, *([row[head] for head in heads] for row in found)])
        for name, reason in quarantine.items():
            print(f"\nIN QUARANTINE {name}: {reason}")
        if gate.is_off():
            print("\nSYNJIT_GATE=off: backends are used without proof")

    content = {
        "backends": found,
        "quarantine": {name: str(reason) for name, reason in quarantine.items()},
        "gate": not gate.is_off(),
    }
    output.give(options, content, show)
    return 0
