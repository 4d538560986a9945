# SPDX-License-Identifier: Apache-2.0
"""One table of ratios: synjit beside a stored matrix, BCOO, dense and brainevent.

Every figure is a ratio of medians from interleaved rounds in one run. "wall" is by
the clock; "cpu" is processor time, which a busy machine disturbs less, and which says
nothing of threads.
"""

from __future__ import annotations

import argparse
import datetime as dt
import functools
import itertools
import operator
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import stored
import timing
from beside import Beside
from jax.experimental import sparse
from timing import Time, interleaved, limit_threads, timed

import synjit
from synjit.demo import build
from synjit.demo.dynamics import connections

Row = tuple[str, str, float, float, float, float]  # two seconds and two ratios


def wait(call: Callable[[], Any]) -> Callable[[], Time]:
    """Time a JAX call to the end of its result."""
    return lambda: timed(lambda: jax.block_until_ready(call()))


def with_threads(number: int, run: Callable[[], Time]) -> Callable[[], Time]:
    """Set the limit first."""

    def limited() -> Time:
        limit_threads(number)
        return run()

    return limited


def product(
    name: str, shape: tuple[int, int], prob: float, x: Any, **static: Any
) -> Any:
    """Jit a product of synjit and bind its operand."""
    function = getattr(synjit, name)
    if x is None:
        return jax.jit(lambda: function(1.0, 0.1, prob, 42, shape=shape, **static))
    call = jax.jit(lambda x: function(1.0, 0.1, prob, x, 42, shape=shape, **static))
    return functools.partial(call, jax.device_put(x))


def row(what: str, against: str, ours: Time, theirs: Time) -> Row:
    """Ratios are theirs over ours: above 1, ours is faster."""
    return (
        what,
        against,
        ours.wall,
        theirs.wall,
        theirs.wall / ours.wall,
        theirs.cpu / ours.cpu if ours.cpu else float("nan"),
    )


def events_of(length: int, activity: float, batch: int = 0) -> np.ndarray:
    """Draw events; of a batch, as many in each column."""
    rng = np.random.default_rng(0)
    return rng.random((length, batch) if batch else length) < activity


# --- sections ---------------------------------------------------------------------


def beside_stored(connections: float) -> Iterator[Row]:
    """One thread against the stored matrix, and two against one."""
    probs = (0.01, 0.1, 0.5, 0.77)
    sizes = [(m, p) for m in (2**14, 2**17) for p in probs]
    for m, prob in [*sizes, (2**16, 0.077), (2**20, 0.001)]:
        n = max(int(connections / (m * prob)), 1)
        matrix = stored.random_matrix(m, n, prob)
        events, out = np.ones(n, bool), np.zeros(m, np.float32)
        ours = wait(product("binary_jitnmv", (m, n), prob, events))
        times = interleaved(
            {
                "stored": functools.partial(
                    timed, functools.partial(stored.product, matrix, events, out)
                ),
                "one": with_threads(1, ours),
                "two": with_threads(2, ours),
            }
        )
        what = f"events, one thread, m=2^{m.bit_length() - 1}, prob {prob}"
        yield row(what, "stored matrix", times["one"], times["stored"])
        what = f"events, two threads, m=2^{m.bit_length() - 1}, prob {prob}"
        yield row(what, "one thread", times["two"], times["one"])
    limit_threads(0)


def beside_jax(size: int) -> Iterator[Row]:
    """Against what JAX itself offers for a stored matrix."""
    for prob, activity in itertools.product((0.01, 0.1, 0.77), (0.01, 1.0)):
        entries = synjit.jitn(1.0, 0.1, prob, 42, shape=(size, size))
        coo = sparse.BCOO.fromdense(entries)
        events = events_of(size, activity)
        floats = jnp.asarray(events, jnp.float32)
        matmul = jax.jit(operator.matmul)
        times = interleaved(
            {
                "ours": wait(product("binary_jitnmv", (size, size), prob, events)),
                "BCOO": wait(functools.partial(matmul, coo, floats)),
                "dense": wait(functools.partial(matmul, entries, floats)),
            }
        )
        what = f"events, {size}^2, prob {prob}, activity {activity:.0%}"
        for other in ("BCOO", "dense"):
            yield row(what, f"{other} matmul", times["ours"], times[other])


def beside_brainevent(python: str, size: int) -> Iterator[Row]:
    """Against brainevent in its own process; the better of its two orders."""
    other = Beside(python)
    shape = (size, size)
    cases = [
        ("binary_jitnmv", prob, activity, transpose)
        for prob, transpose in itertools.product((0.01, 0.1, 0.77), (False, True))
        for activity in (0.001, 0.01, 0.1, 1.0)
    ]
    cases += [
        (name, prob, activity, False)
        for prob in (0.01, 0.1, 0.77)
        for name, activity in [
            ("jitnmv", 1.0),
            ("jitn", None),
            ("binary_jitnmm", 0.1),
            ("jitnmm", 1.0),
        ]
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "operand.npy"
        for name, prob, activity, transpose in cases:
            x = None
            if activity is not None:
                x = events_of(size, activity, 10 if name.endswith("mm") else 0)
                if not name.startswith("binary"):
                    x = x.astype(np.float32)
                np.save(path, x)
            ours = wait(product(name, shape, prob, x, transpose=transpose))
            for corder in (True, False):
                other.prepare(
                    product=name,
                    shape=shape,
                    prob=prob,
                    transpose=transpose,
                    corder=corder,
                    operand=str(path),
                )
                times = interleaved({"ours": ours, "theirs": other.run})
                what = f"{name}{'.T' * transpose}, {size}^2, prob {prob}"
                if activity is not None:
                    what += f", activity {activity:.1%}"
                against = f"brainevent, corder={corder}"
                yield row(what, against, times["ours"], times["theirs"])


def one_by_one() -> Iterator[Row]:
    """All connections of the microcircuit at once, against a product for each block."""
    network = build(1.0)
    matrix = connections(network, None)
    rng = np.random.default_rng(0)
    per_step = [
        float(p.published_rate * network.parameters.time_step)
        for p in network.parameters.populations
    ]
    events = rng.random(sum(network.sizes)) < np.repeat(per_step, network.sizes)
    groups = np.cumsum(network.sizes[:-1])

    @jax.jit
    def each(x: jax.Array) -> list[Any]:
        parts = jnp.split(x, groups)
        return [
            functools.reduce(
                operator.add,
                (b @ part for b, part in zip(row, parts, strict=True) if b is not None),
            )
            for row in matrix.blocks
        ]

    at_once = jax.jit(lambda x: matrix @ x)
    x = jax.device_put(events)
    ours, theirs = (wait(functools.partial(f, x)) for f in (at_once, each))
    for threads in (1, 2):
        runs = {"ours": ours, "theirs": theirs}
        times = interleaved({k: with_threads(threads, v) for k, v in runs.items()})
        what = f"events, a step of the microcircuit, {threads} threads"
        yield row(what, "its 55 products", times["ours"], times["theirs"])
    limit_threads(0)


def small_things() -> Iterator[Row]:
    """Costs of a call that has little to do."""
    events = events_of(10, 0.3)
    plain = functools.partial(
        jax.jit(lambda x: x.astype(jnp.float32) * 2), jax.device_put(events)
    )
    for prob in (0.1, 0.77):
        times = interleaved(
            {
                "ours": wait(product("binary_jitnmv", (10, 10), prob, events)),
                "plain": wait(plain),
            }
        )
        what = f"jitted call, (10, 10), prob {prob}"
        yield row(what, "a plain jitted call", times["ours"], times["plain"])

    def scan(step: Callable[[Any], Any]) -> Callable[[], Time]:
        loop = jax.jit(
            lambda x: jax.lax.scan(lambda c, _: (step(c), None), x, length=1000)[0]
        )
        return wait(functools.partial(loop, jax.device_put(events)))

    for prob in (0.1, 0.77):

        def ours(c: Any, prob: float = prob) -> Any:
            y = synjit.binary_jitnmv(1.0, 0.1, prob, c, 42, shape=(10, 10))
            return (y > 0.5) ^ c

        times = interleaved(
            {"ours": scan(ours), "plain": scan(lambda c: jnp.roll(c, 1) ^ c)}
        )
        what = f"1000 steps of a scan, (10, 10), prob {prob}"
        yield row(what, "roll and xor", times["ours"], times["plain"])

    n = 10**5
    fill = wait(jax.jit(lambda: jnp.zeros(n, jnp.float32)))
    for prob in (0.01, 0.77):
        call = wait(product("binary_jitnmv", (n, n), prob, np.zeros(n, bool)))
        times = interleaved({"ours": call, "fill": fill})
        what = f"no events, (10^5, 10^5), prob {prob}"
        yield row(what, "zero fill of the output", times["ours"], times["fill"])


def start_up() -> Iterator[Row]:
    """Import, and a first result with a warm cache; against JAX's own."""

    def process(script: str) -> Callable[[], Time]:
        command = [sys.executable, "-W", "ignore", "-c", script]
        return lambda: timed(lambda: subprocess.run(command, check=True))

    first = "import jax, numpy as np; x = np.ones(10, bool); "
    pairs = [
        ("import", "import jax", "import synjit"),
        (
            "first result",
            first + "jax.jit(lambda x: ~x)(x).block_until_ready()",
            first + "import synjit; f = lambda x: synjit.binary_jitnmv("
            "1.0, 0.1, 0.1, x, 42, shape=(10, 10)); jax.jit(f)(x).block_until_ready()",
        ),
    ]
    for what, plain, ours in pairs:
        times = interleaved({"ours": process(ours), "jax": process(plain)})
        yield row(f"{what}, a new process", "jax alone", times["ours"], times["jax"])


# --- the table --------------------------------------------------------------------


def seconds(value: float) -> str:
    """Write a time in the unit that suits it."""
    if value >= 1:
        return f"{value:.3g} s"
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} us"


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brainevent", metavar="PYTHON", help="a Python that has it")
    parser.add_argument("--connections", type=float, default=4e6)
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--only", default="", help="sections, separated by commas")
    options = parser.parse_args()
    sections = {
        "stored": functools.partial(beside_stored, options.connections),
        "jax": functools.partial(beside_jax, 4096),
        "blocks": one_by_one,
        "small": small_things,
        "start": start_up,
    }
    if options.brainevent:
        sections["brainevent"] = functools.partial(
            beside_brainevent, options.brainevent, options.size
        )
    wanted = options.only.split(",") if options.only else list(sections)
    print(f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {timing.machine()}\n")
    print("Ratios are theirs over ours: above 1, synjit is faster.\n", flush=True)
    print("| what | against | ours | theirs | ratio, wall | ratio, cpu |")
    print("|---|---|---|---|---|---|")
    for name in wanted:
        for what, against, ours, theirs, wall, cpu in sections[name]():
            print(
                f"| {what} | {against} | {seconds(ours)} | {seconds(theirs)} "
                f"| {wall:.3g} | {cpu:.3g} |",
                flush=True,
            )
    print(f"\nAt the end: {timing.machine()}")


if __name__ == "__main__":
    main()
