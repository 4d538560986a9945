# SPDX-License-Identifier: Apache-2.0
"""The microcircuit beside NEST: what it costs, and whether the spikes are alike.

    python benchmarks/microcircuit_compare.py build/nest/55.npz build/nest/56.npz

after ``make bench-nest`` has written the spikes of two of NEST's seeds. Prints tables
of rates and of Kolmogorov-Smirnov distances, as docs/microcircuit.md has them: of the
rates of single neurons, of the variation of their inter-spike intervals, and of the
correlations of pairs, for 250 neurons of each population. NEST's two seeds are as far
apart as two runs of one model are; synjit's runs are held to that.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import ks_2samp

from synjit.demo import simulate
from synjit.demo.microcircuit import Parameters
from synjit.demo.report import peak_memory
from synjit.demo.statistics import (
    COMPARED,
    correlations,
    interval_variation,
    single_rates,
    synchrony,
)

QUANTITIES = ("rate", "CV", "correlation")
NAMES = [p.name for p in Parameters().populations]


class Run(NamedTuple):
    """What is compared of a run; lists run over populations."""

    name: str
    rates: list[float]
    synchrony: list[float]
    single: list[dict[str, np.ndarray]]


def _run(name: str, times: list, ids: list, counts: np.ndarray, sizes: list) -> Run:
    ms = len(counts)
    single = [
        {
            "rate": single_rates(i, COMPARED, ms),
            "CV": interval_variation(t, i, COMPARED),
            "correlation": correlations(t, i, COMPARED, ms),
        }
        for t, i in zip(times, ids, strict=True)
    ]
    rates = counts.sum(axis=0) / (ms * 1e-3) / np.asarray(sizes)
    return Run(name, list(rates), [synchrony(c) for c in counts.T], single)


def of_nest(path: Path) -> Run:
    """Read what ``microcircuit_nest.py`` wrote."""
    stored = np.load(path)
    sizes, ms = stored["sizes"], int(stored["duration_ms"])
    ends = np.cumsum(sizes)
    order = np.argsort(stored["times"], kind="stable")
    times, senders = stored["times"][order].astype(float), stored["senders"][order]
    population = np.searchsorted(ends, senders, side="right")
    in_ms = np.clip(np.ceil(times - 1e-3).astype(int) - 1, 0, ms - 1)
    counts = np.zeros((ms, len(sizes)), np.int64)
    np.add.at(counts, (in_ms, population), 1)
    own = [population == p for p in range(len(sizes))]
    ids = [senders[o] - (ends[p] - sizes[p]) for p, o in enumerate(own)]
    return _run(f"NEST {path.stem}", [times[o] for o in own], ids, counts, sizes)


def of_synjit(
    seed: int, delays_of: str, duration: int, transient: int
) -> tuple[Run, dict]:
    """Simulate; gives what it cost as well."""
    activity = simulate(1.0, duration, transient, seed, delays_of=delays_of)
    seconds = activity.duration_ms * 1e-3
    told = {
        "name": f"synjit, seed {seed}, a delay for each {delays_of}",
        "build_seconds": 0.0,
        "seconds_per_biological_second": activity.wall_seconds / seconds,
        "processor_seconds_per_biological_second": activity.processor_seconds / seconds,
        "peak_memory_bytes": peak_memory(),
        "spikes": int(activity.counts.sum()),
    }
    run = _run(
        f"synjit {seed}, {delays_of}",
        list(activity.sample_times),
        list(activity.sample_ids),
        activity.counts,
        list(activity.network.sizes),
    )
    return run, told


def distances(a: Run, b: Run, quantity: str) -> list[float]:
    """Kolmogorov-Smirnov distances of two runs, a population each."""
    return [
        float(ks_2samp(x[quantity], y[quantity]).statistic)
        for x, y in zip(a.single, b.single, strict=True)
    ]


def _row(name: str, values: list[float], digits: int) -> str:
    return f"| {name} | " + " | ".join(f"{v:.{digits}f}" for v in values) + " |"


def main() -> None:
    """Compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nest", type=Path, nargs=2)
    parser.add_argument("--duration", type=int, default=4000, help="ms")
    parser.add_argument("--transient", type=int, default=500, help="ms")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args()

    first, second = map(of_nest, options.nest)
    costs = [json.loads(path.with_suffix(".json").read_text()) for path in options.nest]
    runs = []
    for delays_of in ("synapse", "neuron"):
        for seed in range(options.seeds):
            run, cost = of_synjit(seed, delays_of, options.duration, options.transient)
            runs.append(run)
            costs.append(cost)
    print("| | s to build | s / biological s | processor s | GB | spikes |")
    print("|---|---|---|---|---|---|")
    for cost in costs:
        print(
            f"| {cost['name']} | {cost['build_seconds']:.0f} "
            f"| {cost['seconds_per_biological_second']:.1f} "
            f"| {cost['processor_seconds_per_biological_second']:.1f} "
            f"| {cost['peak_memory_bytes'] / 1e9:.1f} | {cost['spikes']:,} |"
        )
    head = "| | " + " | ".join(NAMES) + " |\n|---|" + "---|" * len(NAMES)
    print("\nMean rates, spikes/s\n\n" + head)
    for run in (first, second, *runs):
        print(_row(run.name, run.rates, 3))
    print("\nVariance over mean of a population's spikes in 3 ms\n\n" + head)
    for run in (first, second, *runs):
        print(_row(run.name, run.synchrony, 1))
    print("\nMean correlation of pairs (times 1000)\n\n" + head)
    for run in (first, second, *runs):
        means = [1000 * float(np.nanmean(p["correlation"])) for p in run.single]
        print(_row(run.name, means, 1))
    figures: dict = {
        r.name: {"rates": r.rates, "synchrony": r.synchrony}
        for r in (first, second, *runs)
    }
    for quantity in QUANTITIES:
        print(f"\nKolmogorov-Smirnov distances of the {quantity}\n\n{head}")
        own = distances(first, second, quantity)
        print(_row("NEST, two seeds", own, 3))
        figures.setdefault("NEST, two seeds", {})[quantity] = own
        for run in runs:
            each = [distances(run, nest, quantity) for nest in (first, second)]
            mean = list(np.mean(each, axis=0))
            print(_row(f"{run.name}, to NEST", mean, 3))
            figures[run.name][quantity] = mean
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
