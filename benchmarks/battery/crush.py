# SPDX-License-Identifier: Apache-2.0
"""The word streams through TestU01's SmallCrush, Crush or BigCrush, by ``streams.c``.

Needs a C compiler and TestU01 (L'Ecuyer & Simard, ACM Transactions on Mathematical
Software 33, 2007); Debian has it in non-free: ``apt install libtestu01-0-dev``. Another
place is given with --testu01. The stream writer gets the draw's constants from the
reference, and its words are compared with the reference's before a battery starts.
"""

from __future__ import annotations

import argparse
import itertools
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synjit.reference import draw, normal, seed_words, threefry

Array = NDArray[np.uint32]

KINDS = ("keys", "places", "weights")
ORDERS = ("chunks", "columns", "seeds")
LANES = 1024
SEED = 20261123
# What a log keeps of TestU01's: tests, parameters, p-values, and the summary.
KEPT = re.compile(
    r"test:$|^ +N = |p-value|^Test .* calling|Summary|statistics:|CPU time:"
)


def compile_streams(folder: Path, testu01: str) -> Path:
    """Compile the stream writer with the constants of the draw."""
    constants = {
        "ROUNDS": draw.ROUNDS,
        "STRIDE": draw.COUNTER_STRIDE,
        "PARITY": f"{threefry.PARITY}u",
        "WEIGHT_PAIR": f"{draw.WEIGHT_PAIR}u",
    }
    constants |= {f"S{i}": s for i, s in enumerate(draw.WEIGHT_SHIFTS)}
    constants |= {f"M{i}": f"{m}u" for i, m in enumerate(draw.WEIGHT_MULTIPLIERS)}
    program = folder / "streams"
    include, lib = f"{testu01}/include", f"{testu01}/lib"
    places = [f"-I{include}", f"-I{include}/x86_64-linux-gnu"]
    for path in (lib, f"{lib}/x86_64-linux-gnu"):
        places += [f"-L{path}", f"-Wl,--disable-new-dtags,-rpath,{path}"]
    subprocess.run(
        [
            *(shutil.which("cc") or "cc", "-O3", "-march=native", *places),
            *(f"-D{name}={value}" for name, value in constants.items()),
            *(str(Path(__file__).with_name("streams.c")), "-o", str(program)),
            *("-ltestu01", "-ltestu01probdist", "-ltestu01mylib", "-lm"),
        ],
        check=True,
    )
    return program


def first_words(kind: str, order: str, seed: int) -> Array:
    """Make the first block of a stream, by the reference; weights as z."""
    lane = np.arange(LANES)
    zero = np.zeros(LANES, np.int64)
    seeds = seed + (lane if order == "seeds" else zero)
    words = [seed_words(int(s)) for s in seeds]
    key = tuple(np.array(word, np.uint32) for word in zip(*words, strict=True))
    column = lane if order == "columns" else zero
    chunk = lane if order == "chunks" else zero
    if kind == "keys":
        first = (chunk * draw.COUNTER_STRIDE).astype(np.uint32)
        pairs = [
            threefry.threefry2x32(key, (column, first + np.uint32(pair)))
            for pair in range(1 + draw.ROUNDS)
        ]
        block = np.array([word for pair in pairs for word in pair])
    elif kind == "places":
        keys = draw.chunk_keys(key, column, chunk)
        places = np.array([draw.place(t, keys, 31) for t in range(32)])
        spare = places[31] >> np.arange(31, dtype=np.uint32)[:, None]
        block = (places[:31] << np.uint32(1)) | (spare & np.uint32(1))
    else:
        row = np.arange(32)[:, None] + (lane * 32 if order == "chunks" else 0)
        block = draw.weight(key, row, column).view(np.uint32)
    return (block.T if order == "chunks" else block).ravel()


def check(program: Path) -> None:
    """Compare the first words of every stream with the reference."""
    for kind, order in itertools.product(KINDS, ORDERS):
        expected = first_words(kind, order, SEED)
        command = [str(program), kind, order, str(SEED), "plain", "words"]
        done = subprocess.run(
            [*command, str(expected.size)], capture_output=True, check=True
        )
        words = np.frombuffer(done.stdout, "<u4")
        if kind == "weights":
            words = normal.standard_normal(words).view(np.uint32)
        if not np.array_equal(words, expected):
            raise SystemExit(f"{kind} over {order}: not the words of the reference")


def run(program: Path, battery: str, stream: list[str], seed: int) -> tuple[str, str]:
    """Put one stream through a battery: a line of a table, and a log."""
    kind, order, bits = stream
    command = [str(program), kind, order, str(seed), bits, battery]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return condense(text, kind, order, bits)


def condense(text: str, kind: str, order: str, bits: str) -> tuple[str, str]:
    """Make a line of a table, and a log, of what TestU01 printed."""
    body, _, summary = text.partition("========= Summary")
    if "Total CPU time" not in summary:
        raise SystemExit(f"{kind} over {order}, {bits}: the battery did not end")
    kept = [line.rstrip() for line in body.splitlines() if KEPT.search(line)]
    battery = re.search(r"results of (\w+)", summary)
    number = re.search(r"statistics: +(\d+)", summary)
    cpu = re.search(r"CPU time: +([\d:.]+)", summary)
    outside = re.findall(r"^ +\d+ +(\S.*?) +(\S+|1 - +\S+) *$", summary, re.MULTILINE)
    found = (
        "none"
        if "All tests were passed" in summary
        else "; ".join(f"{name}: {p}" for name, p in outside)
    )
    cells = (
        battery[1] if battery else "?",
        f"{kind} over {order}, {bits}",
        number[1] if number else "?",
        found,
        cpu[1] if cpu else "?",
    )
    return f"| {' | '.join(cells)} |", "\n".join(["=" * 70, cells[1], *kept, summary])


HEAD = (
    "| battery | stream | statistics | p outside [0.001, 0.999] | CPU time |\n"
    "|---|---|---|---|---|"
)


def main() -> int:
    """Run; 1 if any p-value lies outside [1e-10, 1 - 1e-10], a clear failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("battery", choices=("small", "crush", "big"))
    parser.add_argument("streams", nargs="*", help="such as weights,columns,plain")
    parser.add_argument("--seed", type=lambda v: int(v, 0), default=SEED)
    parser.add_argument("--testu01", default="/usr", help="where it is installed")
    parser.add_argument("--log", type=Path, help="where to append what was printed")
    args = parser.parse_args()
    every = itertools.product(KINDS, ORDERS, ("plain", "reversed"))
    streams = [s.split(",") for s in args.streams] or [list(s) for s in every]
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        program = compile_streams(Path(folder), args.testu01)
        check(program)
        print(HEAD, flush=True)
        for stream in streams:
            line, log = run(program, args.battery, stream, args.seed)
            print(line, flush=True)
            failed |= "eps" in line
            if args.log:
                with args.log.open("a") as file:
                    file.write(log + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
