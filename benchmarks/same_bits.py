# SPDX-License-Identifier: Apache-2.0
"""What every machine must agree on, to the bit; ``--compare`` holds it to another's.

The frozen vectors of the draw, the cases that the gate checks of every product of a
backend, products of a larger matrix, and the spikes of a small microcircuit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

import synjit
from synjit.conformance import PRODUCTS, run
from synjit.conformance.checks import gate_cases
from synjit.demo import simulate
from synjit.reference import golden
from synjit.registry import registry

BACKEND = "numba"
SUITE_SEED = 16  # of the cases that are drawn at random
SHAPE = (20_000, 3_000)

FROZEN = {
    golden.PATH: golden.vectors,
    golden.WEIGHTS_PATH: golden.weight_vectors,
    golden.DELAYS_PATH: golden.delay_vectors,
    golden.RULES_PATH: golden.rule_vectors,
}


def frozen() -> str:
    """Hold the reference, as it computes here, to what was frozen."""
    for path, compute in FROZEN.items():
        if json.loads(json.dumps(compute())) != json.loads(path.read_text()):
            raise SystemExit(f"the reference computes other vectors than {path.name}")
    return f"{len(FROZEN)} files"


def conforms(product: Any) -> str:
    """Hold the backend to the reference, as the gate does."""
    cases = gate_cases(product, SUITE_SEED, "float32")
    registered = registry().backends[BACKEND]
    report = run(registered, "cpu", cases)
    for failure in report.failures:
        print(f"{failure.check}: {failure.reason}")
    if not report.passed or report.by_status("refused"):
        raise SystemExit(f"{BACKEND} does not conform: {product}")
    return f"{report.checks} checks"


def products() -> str:
    """Give a digest of weighted sums in both directions, which are prescribed."""
    given = {"shape": SHAPE, "backend": BACKEND}
    x = np.arange(max(SHAPE)) % 7 == 0
    sums = [
        synjit.binary_jitnmv(0.5, 0.2, prob, x[:length], 42, transpose=back, **given)
        for prob in (0.01, 0.3)
        for back, length in ((False, SHAPE[1]), (True, SHAPE[0]))
    ]
    return digest(map(np.asarray, sums))


def spikes() -> str:
    """Give a digest of the spikes of a fiftieth of the microcircuit, 200 ms."""
    activity = simulate(scale=0.02, duration=200, transient=0, backend=BACKEND)
    text = digest([activity.counts, *activity.sample_times, *activity.sample_ids])
    return f"{activity.counts.sum()} spikes, {text}"


def digest(arrays: Any) -> str:
    """Give a short digest of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def parts() -> Iterator[tuple[str, Callable[[], str]]]:
    """Name all parts, each with what computes it and says in brief what it found."""
    yield "frozen vectors", frozen
    for product in PRODUCTS:
        yield f"gate: {product}", lambda product=product: conforms(product)
    yield "products", products
    yield "microcircuit", spikes


def main() -> None:
    """Print a table; another machine's results are what they must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file to write the results to")
    parser.add_argument("--compare", type=Path, help="such a file of another machine")
    options = parser.parse_args()
    wanted = json.loads(options.compare.read_text()) if options.compare else None
    print(
        f"{platform.machine()}, Python {platform.python_version()}, {jax.__version__=}"
    )
    print("| what | found | seconds |\n|---|---|---|")
    results = {}
    for name, compute in parts():
        start = time.perf_counter()
        results[name] = compute()
        seconds = time.perf_counter() - start
        print(f"| {name} | {results[name]} | {seconds:.0f} |", flush=True)
        if wanted and results[name] != wanted[name]:
            raise SystemExit(f"{name}: the other machine had {wanted[name]}")
    if options.json:
        options.json.write_text(json.dumps(results))
    if wanted:
        print("all of it is what the other machine had")


if __name__ == "__main__":
    main()
