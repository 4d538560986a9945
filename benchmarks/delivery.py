# SPDX-License-Identifier: Apache-2.0
"""What a delivery costs, beside the product without delays: the full microcircuit.

    SYNJIT_NUM_THREADS=1 python benchmarks/delivery.py

prints nanoseconds per connection, of processor time and of wall time, of steps in a
loop: ``B @ spikes``; read and deliver, with a ring of 64 slots, or ten times as many.
Spikes are random, at the published rates and at ten times these.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

import synjit
from synjit.demo.microcircuit import Network, build

STEPS, REPEATS = 50, 7
SLOTS = 64


def blocks(network: Network) -> synjit.JITBlocks:
    """Make all connections, with the delays of the model, in steps of 0.1 ms."""
    par = network.parameters
    count = len(network.sizes)
    grid: list[list[synjit.JITMatrix | None]] = [[None] * count for _ in range(count)]
    for block in network.blocks:
        excites = par.populations[block.source].excitatory
        mean = par.excitatory_delay if excites else par.inhibitory_delay
        grid[block.target][block.source] = synjit.JITNormal(
            block.w_loc.to_decimal(u.pA),
            block.w_scale.to_decimal(u.pA),
            block.prob,
            block.seed,
            delay=synjit.normal_delays(
                mean, mean * par.delay_relative_sd, par.time_step
            ),
            shape=block.shape,
        )
    return synjit.JITBlocks(grid)


def measure(run: Callable[[], object]) -> tuple[float, float]:
    """Give the least seconds of processor time, and of wall time."""
    jax.block_until_ready(run())
    best = [np.inf, np.inf]
    for _ in range(REPEATS):
        start = time.process_time(), time.perf_counter()
        jax.block_until_ready(run())
        end = time.process_time(), time.perf_counter()
        best = [min(b, e - s) for b, s, e in zip(best, start, end, strict=True)]
    return best[0], best[1]


def main() -> None:
    """Measure and print."""
    network = build()
    b = blocks(network)
    rates = [p.published_rate.to_decimal(u.Hz) for p in network.parameters.populations]
    targets = list(map(network.outdegree, range(len(rates))))
    rng = np.random.default_rng(0)

    @jax.jit
    def products(sent: jax.Array) -> jax.Array:
        def step(total: jax.Array, spikes: jax.Array) -> tuple[jax.Array, None]:
            return total * 0.9 + b @ spikes, None

        return jax.lax.scan(step, jnp.zeros(b.shape[0]), sent)[0]

    def deliveries(ring: synjit.Ring, sent: jax.Array) -> Callable[[], object]:
        def step(carry: tuple, spikes: jax.Array) -> tuple[tuple, None]:
            ring, now, total = carry
            current, ring = ring.read(now)
            return (b.deliver(spikes, ring, now), now + 1, total * 0.9 + current), None

        start = jnp.int32(0), jnp.zeros(b.shape[0])
        loop = jax.jit(
            lambda ring, sent: jax.lax.scan(step, (ring, *start), sent)[0],
            donate_argnums=0,
        )
        kept = [ring]

        def run() -> object:
            kept[0], *rest = loop(kept[0], sent)
            return rest

        return run

    for factor in (1, 10):
        chance = np.repeat(np.array(rates) * 1e-4 * factor, network.sizes)
        sent = jnp.asarray(rng.random((STEPS, b.shape[1])) < chance)
        connections = float(np.asarray(sent).sum(0) @ np.repeat(targets, network.sizes))
        runs = {"B @ spikes": lambda sent=sent: products(sent)}
        for slots in (SLOTS, 10 * SLOTS):
            runs[f"{slots} slots"] = deliveries(b.ring(slots=slots), sent)
        for name, run in runs.items():
            cpu, wall = (seconds / connections * 1e9 for seconds in measure(run))
            print(
                f"rates x {factor:<3} {name:12} {cpu:6.2f} ns of processor time a "
                f"connection, {wall:6.2f} of wall time",
                flush=True,
            )


if __name__ == "__main__":
    main()
