# SPDX-License-Identifier: Apache-2.0
"""Whether the tests see what is wrong: faults planted one by one in a copy.

    python benchmarks/planted_faults.py [WORD]

plants each fault whose file has the word in its name, runs the tests that should see
it, and fails if any fault gets past them. Kernels that are changed are compiled again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PARTS = {"core": ".", "reference": "reference", "backends": "backends"}


class Fault(NamedTuple):
    """A change of a file, and the test files that should fail with it."""

    file: str
    right: str
    wrong: str
    tests: str


FAULTS = [
    Fault(
        "reference/draw.py",
        "x = (x ^ (x >> s2)) * m2",
        "x = (x ^ (x >> s1)) * m2",
        "reference",
    ),
    Fault(
        "reference/draw.py",
        "(number < c.draw_count",
        "(number <= c.draw_count",
        "reference",
    ),
    Fault(
        "reference/draw.py",
        "s = s + (s >= np.asarray(column, np.uint32))",
        "s = s + (s > np.asarray(column, np.uint32))",
        "connection_rules reference",
    ),
    Fault(
        "reference/delays.py",
        "is_own = (word << b | last) < bucket",
        "is_own = (word << b) < bucket",
        "delay_laws",
    ),
    Fault(
        "reference/delays.py",
        "np.where(is_own, own, bucket & last)",
        "np.where(is_own, bucket & last, own)",
        "delay_laws",
    ),
    Fault(
        "core/combine.py",
        "total = total + other",
        "total = other + other",
        "blocks",
    ),
    Fault(
        "core/units.py",
        "return number, second.in_unit(unit).mantissa, unit",
        "return number, second.mantissa, unit",
        "units",
    ),
    Fault(
        "core/units.py",
        "if value.dim.is_dimensionless:",
        "if False:",
        "units",
    ),
    Fault(
        "core/validation.py",
        "not all(0 <= length <= MAX_LENGTH",
        "not all(length <= MAX_LENGTH",
        "bad_input",
    ),
    Fault(
        "core/validation.py",
        "if not isinstance(value, (bool, np.bool_)):",
        "if False:",
        "bad_input",
    ),
    Fault(
        "core/ring.py",
        "return np.uint32(number % slots)",
        "return np.uint32(number)",
        "delivery",
    ),
    Fault(
        "core/blocks.py",
        "ready = all(not b.transposed and 0 not in b.shape",
        "ready = all(0 not in b.shape",
        "blocks",
    ),
    Fault(
        "core/blocks.py",
        "groups[i] = groups[i] & own",
        "groups[i] = own",
        "blocks bad_input",
    ),
    Fault(
        "core/cut.py",
        "if number * len(begins) > self.inside:",
        "if False:",
        "sharded_pieces",
    ),
    Fault(
        "core/sums_of_devices.py",
        "n, column = len(events), column + start",
        "n = len(events)",
        "sharded_pieces",
    ),
    Fault(
        "backends/numba_cpu/chunks.py",
        "rows[at] = rows[found - 1]\n    return found - 1",
        "return found - 1",
        "connection_rules",
    ),
    Fault(
        "backends/numba_cpu/chunks.py",
        "kept += np.int64(u16(row - u16(first - low)) < inside)",
        "kept += np.int64(u16(row - u16(first - low)) <= inside)",
        "windows blocks",
    ),
    Fault(
        "backends/numba_cpu/events.py",
        "bits &= np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(4 * LANES - valid)",
        "pass",
        "one_matrix batching",
    ),
    Fault(
        "backends/numba_cpu/events.py",
        "        sums[row] = 0\n",
        "        pass\n",
        "blocks delivery one_matrix",
    ),
    Fault(
        "backends/numba_cpu/events.py",
        "columns < (1 << NARROW_N_BITS) and",
        "columns <= (1 << NARROW_N_BITS) and",
        "blocks",
    ),
    Fault(
        "backends/numba_cpu/events.py",
        "and columns * np.int64(largest) < most",
        "and columns > 0",
        "blocks",
    ),
    Fault(
        "backends/numba_cpu/out_degree.py",
        "walking[t] = u32(s + u32(s >= own))",
        "walking[t] = u32(s + u32(s > own))",
        "connection_rules",
    ),
    Fault(
        "backends/numba_cpu/block_handlers.py",
        "gives_solid = not np.signbit(loc) or (",
        "gives_solid = True or (",
        "blocks",
    ),
    Fault(
        "backends/numba_cpu/delays.py",
        "is_own = u32(shift_left(word, bits) | last) < bucket",
        "is_own = u32(shift_left(word, bits)) < bucket",
        "delay_laws delivery",
    ),
    Fault(
        "backends/numba_cpu/delivery.py",
        "or places[np.int64(before)] != place:",
        "or False:",
        "delivery",
    ),
    Fault(
        "backends/numba_cpu/delivery.py",
        "offset + (first - low) * batch)",
        "offset)",
        "delivery",
    ),
    Fault(
        "backends/numba_cpu/delivery.py",
        "slot[i] = more if sums[i] != 0 else slot[i]",
        "slot[i] = more",
        "delivery",
    ),
    Fault(
        "backends/numba_cpu/threads.py",
        "while atomic_add(job + 8 * FINISHED, 0) < parts:",
        "while atomic_add(job + 8 * FINISHED, 0) < parts - 1:",
        "threads one_matrix",
    ),
    Fault(
        "backends/numba_cpu/weights.py",
        "fall = u32(u32(fall ^ lower) - lower)  # negated",
        "fall = u32(fall ^ lower)  # negated",
        "weight_laws families",
    ),
    Fault(
        "backends/pallas_gpu/gather.py",
        "inside = (t < length) & view.holds(keys, row)",
        "inside = (t <= length) & view.holds(keys, row)",
        "pallas_gpu",
    ),
    Fault(
        "backends/pallas_gpu/pieces.py",
        'begins = self._field("start", piece + i32(step)) <= group',
        'begins = self._field("start", piece + i32(step)) < group',
        "pallas_gpu_blocks",
    ),
    Fault(
        "backends/pallas_gpu/probe.py",
        "n_active = jnp.where(low < high, count[0], i32(0))",
        "n_active = count[0] - i32(1)",
        "pallas_gpu",
    ),
    Fault(
        "backends/pallas_tpu/probe.py",
        "add(sums, (b, into), connected, z, spread_ref[b])",
        "add(sums, (b, into), connected, z, spread_ref[0])",
        "pallas_tpu",
    ),
]


def plant(fault: Fault, folder: Path) -> dict[str, str]:
    """Copy what is tracked, with the fault; returns the environment of its tests."""
    command = [shutil.which("git") or "git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    path = folder / fault.file
    text = path.read_text()
    if text.count(fault.right) != 1:
        sys.exit(f"{fault.file} has {fault.right!r} {text.count(fault.right)} times")
    path.write_text(text.replace(fault.right, fault.wrong))
    package = folder / "build" / "synjit"
    for part, place in PARTS.items():
        shutil.copytree(folder / part, package / place, dirs_exist_ok=True)
    return {**os.environ, "PYTHONPATH": str(package.parent)}


def is_seen(fault: Fault) -> bool:
    """Run the tests, and say whether one fails."""
    with tempfile.TemporaryDirectory() as folder:
        environment = plant(fault, Path(folder))
        files = [f"tests/test_{name}.py" for name in fault.tests.split()]
        command = [sys.executable, "-m", "pytest", "-qxp", "no:cacheprovider", *files]
        run = subprocess.run(
            command,
            check=False,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
    if run.returncode > 1:  # neither a verdict nor a crash
        sys.exit(run.stdout + run.stderr)
    return run.returncode != 0


def main() -> None:
    """Plant all that is asked for."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    missed = 0
    for fault in FAULTS:
        if word not in fault.file:
            continue
        start = time.perf_counter()
        seen = is_seen(fault)
        missed += not seen
        print(
            f"{'seen  ' if seen else 'MISSED'} {fault.file}: {fault.wrong!r} for "
            f"{fault.right!r} (tests: {fault.tests}; "
            f"{time.perf_counter() - start:.0f} s)",
            flush=True,
        )
    sys.exit(f"{missed} faults were missed" if missed else 0)


if __name__ == "__main__":
    main()
