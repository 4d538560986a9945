# SPDX-License-Identifier: Apache-2.0
"""The microcircuit from the command line: build, simulate, tell, draw."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import brainunit as u

from synjit import __version__, explain
from synjit.files import check_writable, write_whole
from synjit.reference import DRAW_VERSION

from .dynamics import connections
from .microcircuit import BYTES_PER_SYNAPSE
from .pictures import FILES, draw
from .simulation import simulate

if TYPE_CHECKING:
    from .microcircuit import DelaysOf, Quantity
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
) -> Activity:
    """Simulate the microcircuit and print what it is, does and did.

    Parameters
    ----------
    scale, duration, transient, seed, backend, devices, delays_of
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
        scale, duration, transient, seed, backend, _say, devices, delays_of
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
        numbers = summary(activity, scale=scale, seed=seed, backend=backend)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, (json.dumps(numbers, indent=1) + "\n").encode())
        _say(f"summary: {path}")
    return activity


def summary(
    activity: Activity, *, scale: float, seed: int, backend: str | None
) -> dict[str, Any]:
    """What was simulated, on what, and what came out, for JSON.

    Parameters
    ----------
    activity : Activity
    scale, seed, backend
        As given to `simulate`. Without a backend, the one that was chosen is named.

    Returns
    -------
    dict
        Rates in spikes/s, memory in bytes.
    """
    network = activity.network
    populations = network.parameters.populations
    grid = connections(network, backend).grid
    return {
        "populations": [p.name for p in populations],
        "sizes": list(network.sizes),
        "rates": activity.rates.tolist(),
        "published_rates": [p.published_rate.to_decimal(u.Hz) for p in populations],
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
        "seed": seed,
        "scale": scale,
        "delays_of": network.delays_of,
        "backend": backend or explain("weighted", grid=grid).backend,
        "versions": {
            "draw": DRAW_VERSION,
            "synjit": __version__,
            **{name: version(name) for name in ("jax", "numba", "numpy")},
        },
    }


def table(activity: Activity) -> str:
    """Mean rates beside the published ones, as text."""
    lines = ["population  neurons  rate (spikes/s)  published  deviation"]
    network = activity.network
    for p, population in enumerate(network.parameters.populations):
        size, rate = network.sizes[p], activity.rates[p]
        published = population.published_rate.to_decimal(u.Hz)
        lines.append(
            f"{population.name:10s}  {size:7,d}  {rate:15.3f}  {published:9.3f}"
            f"  {rate / published - 1:+9.1%}"
        )
    return "\n".join(lines)


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
