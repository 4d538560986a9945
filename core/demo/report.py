# SPDX-License-Identifier: Apache-2.0
"""The microcircuit from the command line: build, simulate, tell, draw."""

from __future__ import annotations

import json
import math
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from synjit import __version__, explain
from synjit.files import check_writable, write_whole
from synjit.reference import DRAW_VERSION

from .dynamics import connections
from .microcircuit import BYTES_PER_SYNAPSE, LEAST_COMPARABLE
from .pictures import FILES, draw
from .simulation import simulate
from .statistics import COMPARED, correlations, interval_variation, synchrony

if TYPE_CHECKING:
    from .microcircuit import Background, DelaysOf, Quantity
    from .simulation import Activity

SUMMARY = "summary.json"


def run(
    scale: float = 1.0,
    duration: Quantity = 1000,
    transient: Quantity = 200,
    seed: int = 0,
    out: str | Path | None = None,
    backend: str | None = None,
    *,
    pictures: bool = True,
    devices: int = 1,
    delays_of: DelaysOf = "neuron",
    background: Background = "current",
) -> Activity:
    """Simulate the microcircuit and print what it is, does and did.

    Parameters
    ----------
    scale, duration, transient, seed, backend, devices, delays_of, background
        As for `simulate`.
    out : path, optional
        Folder for the pictures and `summary.json`; without one, neither is made.
    pictures : bool
        Whether to draw them; the numbers alone need no matplotlib.

    Returns
    -------
    Activity
    """
    folder = None if out is None else Path(out)
    if folder and pictures and find_spec("matplotlib") is None:
        raise ModuleNotFoundError(
            "the pictures need matplotlib: pip install 'synjit[demo]', or do without"
            " (--no-pictures)"
        )
    if folder:
        drawn = FILES if pictures else ()
        check_writable(*(folder / name for name in (*drawn, SUMMARY)))
    activity = simulate(
        scale,
        duration,
        transient,
        seed,
        backend,
        _say,
        devices,
        delays_of,
        background,
    )
    _say("")
    _say(table(activity))
    _say("")
    _say(_cost(activity))
    if folder and pictures:
        for path in draw(activity, folder):
            _say(f"picture: {path}")
    if folder:
        path = folder / SUMMARY
        numbers = summary(activity, backend)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, (json.dumps(numbers, indent=1) + "\n").encode())
        _say(f"summary: {path}")
    return activity


def summary(activity: Activity, backend: str | None) -> dict[str, Any]:
    """What was simulated, on what, and what came out, for JSON.

    Parameters
    ----------
    activity : Activity
    backend : str or None
        As given to `simulate`. Without one, the one that was chosen is named.

    Returns
    -------
    dict
        Rates in spikes/s, memory in bytes.
    """
    network = activity.network
    populations = network.parameters.populations
    grid = connections(network, backend).grid
    measured = measures(activity)
    return {
        "populations": [p.name for p in populations],
        "sizes": list(network.sizes),
        "rates": activity.rates.tolist(),
        "nest_rates": network.nest_rates,
        "comparable_with_nest": network.is_comparable,
        "interval_variation": [_number(m.variation) for m in measured],
        "correlations": [_number(m.correlation) for m in measured],
        "synchrony": [_number(m.synchrony) for m in measured],
        "neurons": sum(network.sizes),
        "synapses": round(network.expected_synapses),
        "stored_synapses_would_take_bytes": round(
            network.expected_synapses * BYTES_PER_SYNAPSE
        ),
        "synapse_memory_bytes": 0,
        "duration_ms": activity.duration_ms,
        "spikes": int(activity.counts.sum()),
        "seconds_per_biological_second": activity.wall_seconds
        / (activity.duration_ms * 1e-3),
        "peak_memory_bytes": peak_memory(),
        "seed": network.seed,
        "scale": network.scale,
        "delays_of": network.delays_of,
        "background": network.background,
        "backend": backend or explain("weighted", grid=grid).backend,
        "versions": {
            "draw": DRAW_VERSION,
            "synjit": __version__,
            **{name: version(name) for name in ("jax", "numba", "numpy")},
        },
    }


def table(activity: Activity) -> str:
    """Mean rates beside NEST's, and how regular and synchronous, as text.

    NEST's are those of the reference implementation at full size with the same input:
    of Poisson input those published, of a direct current those of ``Parameters``.
    CV is that of the inter-spike intervals of a neuron, on average; corr is the mean
    correlation of pairs of neurons, in bins of 2 ms; var/mean is that of the
    population's spikes in bins of 3 ms.
    """
    header = "population  neurons  rate (spikes/s)       NEST  deviation    CV"
    lines = [f"{header}  1000 corr  var/mean"]
    for p, row in enumerate(measures(activity)):
        size = activity.network.sizes[p]
        in_nest = deviation = "-"
        if activity.network.is_comparable:
            in_nest = f"{row.in_nest:.3f}"
            deviation = f"{row.rate / row.in_nest - 1:+.1%}"
        lines.append(
            f"{row.name:10s}  {size:7,d}  {row.rate:15.3f}  {in_nest:>9s}"
            f"  {deviation:>9s}  {_cell(row.variation, 4, 2)}"
            f"  {_cell(1e3 * row.correlation, 9, 1)}  {_cell(row.synchrony, 8, 1)}"
        )
    if not activity.network.is_comparable:
        lines.append(
            f"Not compared with the rates in NEST: below scale {LEAST_COMPARABLE},"
            " what neurons share of\ntheir inputs grows as in-degrees shrink, and with"
            " it their correlations, which no choice of\nweights or drive makes up for"
            " (S. J. van Albada, M. Helias and M. Diesmann, PLoS Computational\nBiology"
            " 11 (2015) e1004490); populations burst together, above all L2/3E."
        )
    return "\n".join(lines)


def _cell(value: float, width: int, digits: int) -> str:
    return f"{'-' if math.isnan(value) else f'{value:.{digits}f}':>{width}s}"


class Measures(NamedTuple):
    """What was measured of a population."""

    name: str
    rate: float  # spikes/s
    in_nest: float
    variation: float  # of inter-spike intervals, mean coefficient
    correlation: float  # of pairs, mean
    synchrony: float


def measures(activity: Activity) -> list[Measures]:
    """Measure each population; the first 250 neurons stand for all in CV and corr."""
    rows, network = [], activity.network
    for p, population in enumerate(network.parameters.populations):
        times, ids = activity.sample_times[p], activity.sample_ids[p]
        number = min(COMPARED, activity.sampled[p])
        pairs = correlations(times, ids, number, activity.duration_ms)
        intervals = interval_variation(times, ids, number)
        rows.append(
            Measures(
                population.name,
                float(activity.rates[p]),
                network.nest_rates[p],
                float(intervals.mean()) if intervals.size else math.nan,
                float(pairs.mean()) if pairs.size else math.nan,
                synchrony(activity.counts[:, p]),
            )
        )
    return rows


def _cost(activity: Activity) -> str:
    """Time, work and memory."""
    seconds = activity.duration_ms * 1e-3
    text = (
        f"{activity.wall_seconds / seconds:.2f} s per biological second"
        f" ({activity.wall_seconds:.2f} s for {activity.duration_ms} ms)\n"
        f"{activity.counts.sum() / seconds:,.0f} spikes and"
        f" {activity.synaptic_events / seconds / 1e6:,.1f} million synaptic events"
        " per biological second"
    )
    text += "\n0 bytes of synapse memory: each is drawn when a spike needs it"
    if memory := peak_memory():
        text += f"\npeak memory {memory / 1e9:.2f} GB, Python and JAX included"
    return text


def _number(value: float) -> float | None:
    """A number for JSON, which has none for what was not measured."""
    return None if math.isnan(value) else value


def peak_memory() -> int | None:
    """Peak resident memory of this process in bytes, where the system tells."""
    try:
        import resource
    except ModuleNotFoundError:  # not a POSIX system
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _say(text: str) -> None:
    print(text, flush=True)
