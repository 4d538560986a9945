# SPDX-License-Identifier: Apache-2.0
"""Read what the TPU compiler dumps of a kernel: its memory, and its innermost loop.

A TPU core issues one bundle of instructions a cycle, and nothing in these kernels
waits but on itself: the bundles of the innermost loop are a static model of its time.
The formats are the compiler's own, and may change with it; what cannot be read raises.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BUNDLE = re.compile(r"^\s*(?:0x[0-9a-f]+|0)\s+(?:[A-Z]{2})?\s*:")
BRANCH = re.compile(r"sbr\.rel .*?target = \$region(\d+)")
START = re.compile(r"(?<!empty )Start region (\d+)")
LANDING = re.compile(r"Start/End empty region (\d+)")
MULTIPLY = "= vmul.u32"
DELAY = 4  # bundles after a branch that are issued all the same
ALLOCATION = re.compile(r"#allocation\d+ \[.*?space=(\w+), size = 0x([0-9a-f]+)")
SPILLS = ("VLOAD:FILL", "VSTORE:SPILL")


@dataclass(frozen=True)
class Kernel:
    """What a kernel takes.

    Attributes
    ----------
    vmem, smem : int
        Bytes of vector and scalar memory.
    bundles : int
        Of the loop that multiplies most, without what it skips as a rule.
    busy : dict
        For each slot, the part of those bundles' slots that is filled.
    """

    vmem: int
    smem: int
    bundles: int
    busy: dict[str, float]

    @property
    def limit(self) -> str:
        """The slot that is filled most."""
        return max(self.busy, key=self.busy.__getitem__)


def read(dump: Path, name: str) -> Kernel:
    """Read the one kernel of this name in a dump folder."""
    memory = Counter[str]()
    for space, size in ALLOCATION.findall(_one(dump, name, "02-original").read_text()):
        memory[space] += int(size, 16)
    text = _one(dump, name, "[0-9][0-9]-final_bundles").read_text()
    lines = [line for line in text.splitlines() if BUNDLE.match(line)]
    use = _one(dump, name, "[0-9][0-9]-final_hlo-static-per-bundle-utilization")
    names, capacity, rows = _utilization(use.read_text())
    if len(rows) != len(lines):
        raise ValueError(f"{len(lines)} bundles, but {len(rows)} rows of utilization")
    inner = _inner_loop(lines)
    busy = {
        slot: sum(rows[i][s] for i in inner) / (len(inner) * capacity[s])
        for s, slot in enumerate(names)
        if slot not in SPILLS
    }
    return Kernel(memory["vmem"], memory["smem"], len(inner), busy)


def _one(dump: Path, name: str, stage: str) -> Path:
    found = list(dump.glob(f"*-{name}*-{stage}.txt"))
    if len(found) != 1:
        raise ValueError(f"{len(found)} dumps of {name} at {stage}, not one")
    return found[0]


def _utilization(text: str) -> tuple[list[str], list[int], list[list[int]]]:
    _, names, capacity, _, *rows = text.splitlines()
    return (
        [name.strip() for name in names.split(",")],
        [int(number) for number in capacity.split()],
        [[int(number) for number in row.split()] for row in rows if row.strip()],
    )


def _inner_loop(lines: list[str]) -> list[int]:
    """Bundles of the loop that multiplies most, without loops inside it.

    A loop is what a backward branch jumps over, and a forward branch skips what is
    not done as a rule (or, from before a loop, what need not be done at all).
    """
    starts = _places(lines, START)
    landings = _places(lines, LANDING)
    loops, skips = [], []
    for i, line in enumerate(lines):
        for region in BRANCH.findall(line):
            if starts.get(region, len(lines)) < i:
                loops.append(range(starts[region], i + 1 + DELAY))
            elif landings.get(region, 0) > i:
                skips.append(range(i + 1 + DELAY, landings[region]))

    def own(loop: range) -> list[int]:
        inside = [
            other
            for other in (*loops, *skips)
            if other != loop and loop.start < other.start and other.stop <= loop.stop
        ]
        return [i for i in loop if not any(i in other for other in inside)]

    return max(map(own, loops), key=lambda b: sum(lines[i].count(MULTIPLY) for i in b))


def _places(lines: list[str], mark: re.Pattern[str]) -> dict[str, int]:
    return {region: i for i, line in enumerate(lines) for region in mark.findall(line)}
