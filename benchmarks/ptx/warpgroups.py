# SPDX-License-Identifier: Apache-2.0
"""Make programs of one warp of those of Mosaic GPU, which are of four.

The warps are run as programs by themselves: in any order, and with no barrier, which
allows all that the barriers do and more. They can have no shared memory, which is
refused; and what each leaves in global memory must not depend on the others, or the
executor says so.
"""

from __future__ import annotations

import re

WARPS = 4

# A debugger's lines, and what every kernel begins with: one warp is to do something for
# all. What is left out has no result then, and to read one is an error.
_LEFT_OUT = re.compile(
    r"\.(loc|file|minnctapersm)\b|fence\.mbarrier_init\.release\.cluster;"
    r"|bar\.sync\s+0;|elect\.sync\s|shfl\.sync\.idx\.b32\s"
)
_REWRITTEN = (
    (re.compile(r"\.maxntid 128, 1, 1"), ".reqntid 32, 1, 1"),
    (re.compile(r"mov\.u32\s+(%\w+), %ctaid\.x;"), r"shr.u32 \1, %ctaid.x, 2;"),
    (
        re.compile(r"mov\.u32\s+(%\w+), %tid\.x;"),
        r"and.b32 \1, %ctaid.x, 3; mad.lo.s32 \1, \1, 32, %tid.x;",
    ),
    (
        re.compile(r"ld\.global\.v2\.b32\s+\{(%\w+), (%\w+)\}, \[(%\w+)\];"),
        r"ld.global.b32 \1, [\3]; ld.global.b32 \2, [\3+4];",
    ),
)


def warps_alone(text: str) -> str:
    """Make programs of one warp of those of four; there are four times as many."""
    body, end, _ = text.partition("\n}\n")
    lines = []
    for line in (body + end).splitlines():
        stripped = line.strip()
        if _LEFT_OUT.match(stripped):
            continue
        for pattern, new in _REWRITTEN:
            stripped = pattern.sub(new, stripped)
        lines.append(stripped)
    return "\n".join(lines)
