# SPDX-License-Identifier: Apache-2.0
"""The microcircuit from the command line: build, simulate, tell, draw."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import brainunit as u

from .simulation import simulate

if TYPE_CHECKING:
    from pathlib import Path

    from .microcircuit import Quantity
    from .simulation import Activity


def run(
    scale: float = 1.0,
    duration: Quantity = 1000,
    transient: Quantity = 200,
    seed: int = 0,
    out: str | Path | None = None,
    backend: str | None = None,
) -> Activity:
    """Simulate the microcircuit and print what it is, does and did.

    Parameters
    ----------
    scale, duration, transient, seed, backend
        As for `simulate`.
    out : path, optional
        Folder for the pictures; None draws none.

    Returns
    -------
    Activity
    """
    if out is not None and find_spec("matplotlib") is None:
        raise ModuleNotFoundError(
            "the pictures need matplotlib: pip install 'synjit[demo]', or run without"
            " an output folder"
        )
    activity = simulate(scale, duration, transient, seed, backend, report=_say)
    _say("")
    _say(table(activity))
    _say("")
    _say(_cost(activity))
    if out is not None:
        from .pictures import draw

        for path in draw(activity, out):
            _say(f"picture: {path}")
    return activity


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
