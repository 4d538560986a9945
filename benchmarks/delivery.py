# SPDX-License-Identifier: Apache-2.0
"""What a delivery costs, beside the product without delays.

    SYNJIT_NUM_THREADS=1 python benchmarks/delivery.py

prints nanoseconds of processor time per connection, of steps in a loop: of
``M @ spikes``, and of a read and a delivery with a ring of 64 slots, or ten times as
many. First of the full microcircuit, with random spikes at the published rates and at
ten times these, then of one matrix. Rounds are interleaved, and medians are given.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

import synjit
from synjit.demo.dynamics import connections
from synjit.demo.microcircuit import build

STEPS, ROUNDS = 50, 9
SLOTS = 64
ROWS, COLUMNS = 77_000, 2_000  # of the one matrix
# Its prob, and columns with an event.
ACTIVE = ((0.1, 8), (0.1, 40), (0.1, 200), (0.1, 2000), (0.01, 200), (0.01, 2000))
MOST = 2e6  # connections of a round of it, about


def products(matrix: synjit.JITMatrix | synjit.JITBlocks, sent: jax.Array) -> Callable:
    """Make the loop of ``matrix @ spikes``."""

    @jax.jit
    def loop(start: jax.Array, sent: jax.Array) -> jax.Array:
        def step(total: jax.Array, spikes: jax.Array) -> tuple[jax.Array, None]:
            return total * 0.9 + matrix @ spikes, None

        return jax.lax.scan(step, start, sent)[0]

    start = matrix @ sent[0]
    return lambda: loop(start, sent)


def deliveries(
    matrix: synjit.JITMatrix | synjit.JITBlocks, sent: jax.Array, slots: int
) -> Callable:
    """Make the loop of reads and deliveries, whose ring stays where it is."""

    def step(carry: tuple, spikes: jax.Array) -> tuple[tuple, None]:
        ring, now, total = carry
        current, ring = ring.read(now)
        ring = matrix.deliver(spikes, ring, now)
        return (ring, now + 1, total * 0.9 + current), None

    @jax.jit(donate_argnames="ring")
    def loop(ring: synjit.Ring, start: jax.Array, sent: jax.Array) -> tuple:
        return jax.lax.scan(step, (ring, jnp.int32(0), start), sent)[0]

    kept, start = [matrix.ring(slots=slots)], matrix @ sent[0]

    def run() -> object:
        kept[0], *rest = loop(kept[0], start, sent)
        return rest

    return run


def compare(
    name: str, matrix: synjit.JITMatrix | synjit.JITBlocks, sent: np.ndarray, n: float
) -> None:
    """Measure and print nanoseconds for each of ``n`` connections."""
    spikes = jnp.asarray(sent)
    runs = {"product": products(matrix, spikes)}
    for slots in (SLOTS, 10 * SLOTS):
        runs[f"{slots} slots"] = deliveries(matrix, spikes, slots)
    times: dict[str, list[float]] = {which: [] for which in runs}
    for turn in range(ROUNDS + 1):
        for which, run in runs.items():
            start = time.process_time()
            jax.block_until_ready(run())
            if turn:  # the first compiles
                times[which].append(time.process_time() - start)
    product, *others = (float(np.median(t)) / n * 1e9 for t in times.values())
    told = ", ".join(
        f"{which} {ns:.2f} ({ns / product:.2f} times)"
        for which, ns in zip(list(runs)[1:], others, strict=True)
    )
    print(f"{name:22} product {product:.2f} ns, {told}", flush=True)


def main() -> None:
    """Measure and print."""
    network = build(delays_of="synapse")
    matrix = connections(network, None)
    rates = [p.published_rate.to_decimal(u.Hz) for p in network.parameters.populations]
    targets = np.repeat(list(map(network.outdegree, range(len(rates)))), network.sizes)
    rng = np.random.default_rng(0)
    for factor in (1, 10):
        chance = np.repeat(np.array(rates) * 1e-4 * factor, network.sizes)
        sent = rng.random((STEPS, matrix.shape[1])) < chance
        compare(
            f"network, rates x {factor}", matrix, sent, float(sent.sum(0) @ targets)
        )
    delay = synjit.normal_delays(1.5 * u.ms, 0.75 * u.ms, 0.1 * u.ms)
    for prob, active in ACTIVE:
        one = synjit.JITNormal(1.0, 0.1, prob, 1, shape=(ROWS, COLUMNS), delay=delay)
        n = active * ROWS * prob
        steps = max(2, min(20, round(MOST / n)))
        sent = rng.permuted(np.tile(np.arange(COLUMNS) < active, (steps, 1)), axis=1)
        compare(f"prob {prob}, {active} columns", one, sent, steps * n)


if __name__ == "__main__":
    main()
