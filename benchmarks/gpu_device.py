# SPDX-License-Identifier: Apache-2.0
"""Everything worth doing with a real GPU, in one go and within ten minutes.

Conformance, all quick cases; connections per second; the microcircuit; deliveries; the
same bits 100 times; the stored matrix, through jax.experimental.sparse and as an
event-driven gather; another package's kernels and compute-sanitizer, where they are. A
short table is printed and all of it written as JSON, part by part, so that being cut
off loses only the rest.

``--rehearse`` does the same on the CPU, tiny and interpreted: a test of this script.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import sparse

import synjit
from synjit import conformance, reference
from synjit.hookspecs import Matrix, Problem
from synjit.registry import registry

BACKEND = "pallas_gpu"
SECONDS = 570
SEED = 20140785

NORMAL = reference.Normal()
OTHERS = [reference.Constant(), reference.LogNormal(0.5)]  # of the first row, besides

# rows, columns, prob, share of active items, transpose
TABLE = [
    (100_000, 100_000, 0.01, 0.01, False),
    (100_000, 100_000, 0.01, 0.10, False),
    (100_000, 100_000, 0.01, 1.00, False),
    (100_000, 100_000, 0.01, 0.01, True),
    (100_000, 100_000, 0.1, 0.01, False),
    (20_000, 20_000, 0.1, 0.01, False),
    (20_000, 20_000, 0.5, 0.1, False),
    (1_000_000, 1_000_000, 0.001, 0.01, False),
]
REHEARSAL = [(600, 300, 0.1, 0.1, False), (600, 300, 0.1, 0.1, True)]


class Session:
    """What is measured, where, and until when."""

    def __init__(self, platform: str, out: Path) -> None:
        self.platform = platform
        self.out = out
        self.rehearsal = platform == "cpu"
        self.device = jax.local_devices(backend=platform)[0]
        self.backend = registry().backends[BACKEND]
        self.start = time.monotonic()
        self.results: dict[str, Any] = {
            "device": self.device.device_kind,
            "jax": jax.__version__,
            "date": time.strftime("%Y-%m-%d"),
            "draw": reference.DRAW_VERSION,
            "rehearsal": self.rehearsal,
        }

    def part(self, name: str, run: Callable[[], Any]) -> None:
        """Run one part, record it or why it failed, and save."""
        if time.monotonic() - self.start > SECONDS:
            self.results[name] = "skipped: out of time"
        else:
            try:
                self.results[name] = run()
            except Exception as error:  # noqa: BLE001, the other parts are to go on
                self.results[name] = f"failed: {type(error).__name__}: {error}"[:500]
        self.out.write_text(json.dumps(self.results, indent=1))
        print(f"{name}: {json.dumps(self.results[name])}", flush=True)

    def seconds(self, run: Callable[..., Any], *operands: Any) -> float:
        """Time one call: the best mean of five rounds, calls queued up in each."""
        jax.block_until_ready(run(*operands))
        calls = 2 if self.rehearsal else 20
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            results = [run(*operands) for _ in range(calls)]
            jax.block_until_ready(results)
            best = min(best, (time.perf_counter() - start) / calls)
        return best

    def product(
        self,
        name: str,
        shape: tuple[int, int],
        prob: float,
        operand: Any,
        transpose: bool = False,
        weights: reference.Weights = NORMAL,
    ) -> tuple[Callable[..., Any], tuple[Matrix, Any]]:
        """Jit a product of the backend, and put its operands on the device."""
        law = reference.count_distribution(prob)
        dtype = "float32" if name == "floats" else "int32"
        problem = Problem(
            name, shape, transpose, operand.shape[1], dtype, True, law.log2_chunk,
            len(weights.table), self.platform,
        )  # fmt: skip
        hook = self.backend.hook.synjit_product
        matrix = Matrix(
            np.array(reference.seed_words(SEED), np.uint32),
            np.zeros(2, np.uint32),
            law.encode(),
            weights.table,
        )
        run = jax.jit(lambda given: hook(problem=problem, matrix=given[0], x=given[1]))
        return run, jax.device_put((matrix, operand), self.device)


def conform(session: Session) -> dict[str, Any]:
    """Hold the backend to the reference on every quick case."""
    found = {}
    for product in conformance.PRODUCTS:
        cases = conformance.quick_cases(product)
        cases = cases[5:6] if session.rehearsal else cases
        report = conformance.run(session.backend, session.platform, cases)
        first = [f"{f.case}: {f.reason}" for f in report.failures[:3]]
        found[product] = {"cases": report.checks, "failed": len(report.failures)}
        found[product] |= {"first": first} if first else {}
    return found


def repeat(session: Session) -> dict[str, Any]:
    """Run the same 100 times, and count the different results."""
    size, times = (400, 3) if session.rehearsal else (30_000, 100)
    rng = np.random.default_rng(1)
    found = {}
    for name, prob, transpose in (
        ("events", 0.1, False), ("events", 0.1, True), ("events", 0.5, False),
        ("floats", 0.1, False), ("floats", 0.1, True), ("floats", 0.5, False),
    ):  # fmt: skip
        operand = rng.random((size, 1)) < 0.05
        if name == "floats":
            operand = np.where(operand, rng.normal(size=(size, 1)), 0).astype("float32")
        run, operands = session.product(name, (size, size), prob, operand, transpose)
        seen = {
            b"".join(np.asarray(part).tobytes() for part in run(operands))
            for _ in range(times)
        }
        way = "W.T" if transpose else "W"
        found[f"{name} {way} {prob}"] = f"{len(seen)} results in {times} runs"
    return found


def throughput(session: Session) -> list[dict[str, Any]]:
    """Count active connections per second."""
    table = REHEARSAL if session.rehearsal else TABLE
    tried = [(*row, NORMAL) for row in table] + [(*table[0], law) for law in OTHERS]
    rows = []
    for m, n, prob, activity, transpose, weights in tried:
        rng = np.random.default_rng(2)
        events = rng.random((m if transpose else n, 1)) < activity
        run, operands = session.product(
            "events", (m, n), prob, events, transpose, weights
        )
        seconds = session.seconds(run, operands)
        connections = float(np.asarray(run(operands)[0], np.int64).sum())
        rows.append(
            {
                "m": m, "n": n, "prob": prob, "active": activity, "W.T": transpose,
                "weights": repr(weights), "us": round(seconds * 1e6, 1),
                "10^9/s": round(connections / seconds / 1e9, 2),
            }
        )  # fmt: skip
        print("  ", json.dumps(rows[-1]), flush=True)
    return rows


def stored(session: Session) -> dict[str, Any]:
    """Time a stored matrix of as many entries: whole (CSR), and only active columns."""
    m, n, degree = (600, 300, 60) if session.rehearsal else (100_000, 100_000, 1000)
    key = jax.random.key(3)
    with jax.default_device(session.device):
        indices = jax.random.randint(key, (m, degree), 0, n, jnp.int32)
        data = jnp.ones(m * degree, jnp.float32)
        pointers = jnp.arange(m + 1, dtype=jnp.int32) * degree
        csr = sparse.BCSR((data, indices.reshape(-1), pointers), shape=(m, n))
        vector = (jax.random.uniform(key, (n,)) < 0.01).astype(jnp.float32)
        whole = session.seconds(jax.jit(lambda a, v: a @ v), csr, vector)
        coo = csr.to_bcoo()
        by_coo = session.seconds(jax.jit(lambda a, v: a @ v), coo, vector)

        @functools.partial(jax.jit, static_argnames="most")
        def gathered(columns: Any, weights: Any, vector: Any, most: int) -> Any:
            active = jnp.nonzero(vector, size=most, fill_value=n)[0]
            rows = columns.at[active].get(mode="fill", fill_value=m)
            terms = (
                weights.reshape(columns.shape).at[active].get(mode="fill", fill_value=0)
            )
            return jnp.zeros(m).at[rows].add(terms, mode="drop")

        rows = jax.random.randint(key, (n, degree), 0, m, jnp.int32)
        weights = jnp.ones((n, degree), jnp.float32)
        run = functools.partial(gathered, most=n // 50)
        by_events = session.seconds(run, rows, weights, vector)
    names = ("BCSR @ v", "BCOO @ v", "gather active columns, scatter-add")
    times = (whole, by_coo, by_events)
    return {name: f"{t * 1e6:.1f} us" for name, t in zip(names, times, strict=True)}


def other_package(session: Session) -> Any:
    """Time brainevent's event-driven product at the same size, if it is there."""
    try:
        import brainevent  # type: ignore[import-not-found]
    except Exception as error:  # noqa: BLE001
        return f"not there: {error}"
    m, n, prob = (600, 300, 0.1) if session.rehearsal else (100_000, 100_000, 0.01)
    with jax.default_device(session.device):
        vector = jax.random.uniform(jax.random.key(4), (n,)) < 0.01
        weights = jnp.array([1.0]), jnp.array([0.1])
        found: dict[str, Any] = {"version": getattr(brainevent, "__version__", "?")}
        for corder in (True, False):

            def run(vector: Any, corder: bool = corder) -> Any:
                return brainevent.binary_jitnmv(
                    *weights, prob, vector, 42, shape=(m, n), corder=corder
                )

            seconds = session.seconds(jax.jit(run), vector)
            found[f"corder={corder}"] = f"{seconds * 1e6:.1f} us"
    return found


def microcircuit(session: Session) -> Any:
    """Simulate the cortical microcircuit, without and with a delay of each synapse."""
    from synjit import demo

    size, backend = (1.0, 1000, 200), BACKEND
    if session.rehearsal:  # kernels inside of jax.shard_map cannot be interpreted
        size, backend = (0.01, 20, 10), "numba"
    found = {}
    for delays_of in ("neuron", "synapse"):
        with jax.default_device(session.device):
            activity = demo.simulate(*size, backend=backend, delays_of=delays_of)
        found[delays_of] = {
            "s a biological second": round(activity.wall_seconds / size[1] * 1000, 2),
            "spikes": int(activity.counts.sum()),  # docs/microcircuit.md has a CPU's
        }
    return found


def deliveries(session: Session) -> list[dict[str, Any]]:
    """Time deliveries beside products, of one matrix with a normal law of delays."""
    m, n, slots = (600, 300, 64) if session.rehearsal else (77_000, 2_000, 64)
    law = synjit.normal_delays(1.5, 0.75, dt=0.1)
    given = {"delay": law, "shape": (m, n), "backend": BACKEND}
    matrix = synjit.JITNormal(1.0, 0.1, 0.1, SEED, **given)
    product = jax.jit(lambda spikes: matrix @ spikes)

    @functools.partial(jax.jit, static_argnames="steps")
    def steps(spikes: Any, ring: Any, steps: int) -> Any:
        def step(now: Any, carry: Any) -> Any:
            ring, total = carry
            current, ring = ring.read(now)
            return matrix.deliver(spikes, ring, now), total + current.sum()

        return jax.lax.fori_loop(0, steps, step, (ring, jnp.float32(0)))[1]

    with jax.default_device(session.device):
        ring = matrix.ring(slots=slots)
    many, rows = 2 if session.rehearsal else 100, []
    for active in (1, 8) if session.rehearsal else (8, 40, 200, 2000):
        with jax.default_device(session.device):
            spikes = jnp.arange(n) < active
            undelayed = session.seconds(product, spikes)
            once, often = (
                session.seconds(functools.partial(steps, steps=k), spikes, ring)
                for k in (1, 1 + many)
            )
        rows.append(
            {
                "m": m, "n": n, "active": active,
                "product, us": round(undelayed * 1e6, 1),
                "read and delivery, us": round((often - once) / many * 1e6, 1),
            }
        )  # fmt: skip
    return rows


def sanitize(session: Session) -> str:
    """Run small products under compute-sanitizer, if it is there."""
    sanitizer = shutil.which("compute-sanitizer")
    if session.rehearsal or sanitizer is None:
        return "not there" if sanitizer is None else "not for a rehearsal"
    code = (
        "from synjit import conformance as c; from synjit.registry import registry\n"
        f"b = registry().backends[{BACKEND!r}]\n"
        "for p in c.PRODUCTS:\n"
        " r = c.run(b, 'cuda', c.quick_cases(p)[3:9])\n"
        " print(p, r.checks, r.failures[:1])\n"
    )
    command = [sanitizer, "--tool", "memcheck", sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=150, check=False
    )
    return "\n".join((done.stdout + done.stderr).splitlines()[-6:])


def main() -> None:
    """Run all parts in the order of their worth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rehearse", action="store_true", help="tiny, on the CPU")
    parser.add_argument("--out", type=Path, default=Path("gpu_device.json"))
    given = parser.parse_args()
    session = Session("cpu" if given.rehearse else "cuda", given.out)
    parts = [conform, throughput, microcircuit, deliveries, repeat, stored]
    parts += [other_package, sanitize]
    for run in parts:
        session.part(run.__name__, functools.partial(run, session))
    seconds = time.monotonic() - session.start
    print(f"{session.results['device']}: {seconds:.0f} s, written to {given.out}")


if __name__ == "__main__":
    main()
