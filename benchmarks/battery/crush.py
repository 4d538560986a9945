# SPDX-License-Identifier: Apache-2.0
"""The word streams through TestU01's SmallCrush, Crush or BigCrush, by ``streams.c``.

Needs a C compiler and TestU01 (L'Ecuyer & Simard, ACM Transactions on Mathematical
Software 33, 2007); Debian has it in non-free: ``apt install libtestu01-0-dev``. Another
place is given with --testu01. The stream writer gets the draw's constants from the
reference, and its words are compared with the reference's before a battery starts.

Each test of a battery is a process of its own, so that all cores work, and what is done
of a BigCrush (hours) is kept in a folder (--parts) should the machine stop.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synjit.reference import draw, normal, seed_words, threefry

Array = NDArray[np.uint32]

KINDS = ("keys", "places", "weights")
ORDERS = ("chunks", "columns", "seeds")
LANES = 1024
SEED = 20261123
# Two tests' seeds lie this far apart, more than a stream over seeds has lanes.
SEEDS_APART = 1 << 20
NAMES = {"small": "SmallCrush", "crush": "Crush", "big": "BigCrush"}
TESTS = {"small": 10, "crush": 96, "big": 106}
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


@dataclass(frozen=True)
class Part:
    """One test of a battery, on words of its own: each starts with another seed."""

    battery: str
    stream: tuple[str, str, str]
    seed: int
    test: int

    def text(self, program: Path, folder: Path) -> str:
        """Run the test, or read what an earlier run left of it in the folder."""
        kept = (
            folder / f"{self.battery}-{'-'.join(self.stream)}-{self.seed}-{self.test}"
        )
        if kept.exists():
            return kept.read_text()
        kind, order, bits = self.stream
        seed = str(self.seed + self.test * SEEDS_APART)
        command = [str(program), kind, order, seed, bits, self.battery, str(self.test)]
        text = subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout
        if "Total CPU time" not in text:
            raise SystemExit(f"{kept.name}: the test did not end")
        kept.with_suffix(".part").write_text(text)
        kept.with_suffix(".part").rename(kept)
        return text


def condense(parts: list[Part], texts: list[str]) -> tuple[str, str]:
    """Make a line of a table, and a log, of what TestU01 printed for a stream."""
    kind, order, bits = parts[0].stream
    title = f"{kind} over {order}, {bits}"
    log, found, statistics, seconds = ["=" * 70, title], [], 0, 0.0
    for part, text in zip(parts, texts, strict=True):
        body, _, summary = text.partition("========= Summary")
        log.append(f"-- test {part.test}")
        log += [line.rstrip() for line in body.splitlines() if KEPT.search(line)]
        statistics += int(re.findall(r"statistics: +(\d+)", summary)[0])
        hours, minutes, rest = re.findall(r"CPU time: +([\d:.]+)", summary)[0].split(
            ":"
        )
        seconds += 3600 * int(hours) + 60 * int(minutes) + float(rest)
        outside = re.findall(
            r"^ +\d+ +(\S.*?) +(\S+|1 - +\S+) *$", summary, re.MULTILINE
        )
        found += [f"{name}: {p}" for name, p in outside]
        if not outside and "All tests were passed" not in summary:
            raise SystemExit(f"{title}, test {part.test}: not understood: {summary}")
    time = f"{int(seconds) // 60} min {int(seconds) % 60} s"
    cells = (NAMES[parts[0].battery], title, str(statistics))
    line = f"| {' | '.join(cells)} | {'; '.join(found) or 'none'} | {time} |"
    return line, "\n".join([*log, line])


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
    parser.add_argument(
        "--tests", type=int, nargs="+", help="numbers of the tests; all of the battery"
    )
    parser.add_argument("--testu01", default="/usr", help="where it is installed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="at once")
    parser.add_argument(
        "--parts", type=Path, help="a folder for each test's text: a second run goes on"
    )
    parser.add_argument("--log", type=Path, help="where to append what was printed")
    args = parser.parse_args()
    every = itertools.product(KINDS, ORDERS, ("plain", "reversed"))
    streams = [s.split(",") for s in args.streams] or [list(s) for s in every]
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        program = compile_streams(Path(temporary), args.testu01)
        check(program)
        folder = args.parts or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(HEAD, flush=True)
        with ThreadPoolExecutor(args.jobs) as pool:
            waiting = []
            for kind, order, bits in streams:
                numbers = args.tests or range(1, TESTS[args.battery] + 1)
                stream = (kind, order, bits)
                parts = [Part(args.battery, stream, args.seed, n) for n in numbers]
                texts = [pool.submit(part.text, program, folder) for part in parts]
                waiting.append((parts, texts))
            for parts, texts in waiting:
                line, log = condense(parts, [text.result() for text in texts])
                print(line, flush=True)
                failed |= "eps" in line
                if args.log:
                    with args.log.open("a") as file:
                        file.write(log + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
