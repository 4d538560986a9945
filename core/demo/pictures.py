# SPDX-License-Identifier: Apache-2.0
"""Pictures of the microcircuit's activity; needs matplotlib (`synjit[demo]`)."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synjit import __version__
from synjit.files import write_whole

if TYPE_CHECKING:
    from .simulation import Activity

# Okabe and Ito's blue and vermilion: apart for colour-blind readers and in grey.
COLOURS = {True: "#0072B2", False: "#D55E00"}
NAMES = ("raster", "rates", "activity")
FORMATS = ("png", "svg")
FILES = tuple(f"{name}.{kind}" for name in NAMES for kind in FORMATS)
KINDS = {True: "excitatory", False: "inhibitory"}
RASTER_MS = 400  # the most that is shown of the raster and of the activity
BIN_MS = 2  # of the activity
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 200,
}


def draw(activity: Activity, folder: str | Path) -> list[Path]:
    """Write all pictures, as PNG and as SVG files.

    Parameters
    ----------
    activity : Activity
        What `simulate` returned.
    folder : path
        Is made where it does not exist.

    Returns
    -------
    list of pathlib.Path
        The files: raster, mean rates, activity.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    sizes = ((7.0, 6.0), (7.0, 3.4), (7.0, 7.2))
    painters = (_raster, _rates, _activity)
    for name, size, paint in zip(NAMES, sizes, painters, strict=True):
        with rc_context(STYLE):
            figure = Figure(figsize=size)
            paint(figure, activity)
            figure.supxlabel(
                _origin(activity), x=0.01, ha="left", fontsize=5, color="0.5"
            )
            for kind in FORMATS:
                picture = BytesIO()
                figure.savefig(picture, format=kind)
                paths.append(folder / f"{name}.{kind}")
                write_whole(paths[-1], picture.getvalue())
    return paths


def _origin(activity: Activity) -> str:
    """What a picture is of, in a line."""
    network = activity.network
    return (
        f"cortical microcircuit, scale {network.scale:g}, seed {network.seed}, a delay "
        f"for each {network.delays_of}, background: {network.background}; synjit "
        f"{__version__}"
    )


def _raster(figure: Any, activity: Activity) -> None:
    """Spikes of the sampled neurons, layers as in cortex: the upper ones on top."""
    axes = figure.add_subplot()
    begin = _begin(activity)
    total = sum(activity.sampled)
    top = total
    centres = []
    colours = [COLOURS[p.excitatory] for p in activity.network.parameters.populations]
    for p, colour in enumerate(colours):
        shown = activity.sample_times[p] >= begin
        axes.plot(
            activity.sample_times[p][shown],
            top - 1 - activity.sample_ids[p][shown],
            linestyle="none",
            marker=".",
            markersize=2.4,
            markeredgewidth=0,
            color=colour,
            rasterized=True,
        )
        centres.append(top - activity.sampled[p] / 2)
        top -= activity.sampled[p]
        axes.axhline(top, color="0.85", linewidth=0.6, zorder=0)
    axes.set_yticks(centres, _names(activity))
    axes.tick_params(axis="y", length=0)
    for label, colour in zip(axes.get_yticklabels(), colours, strict=True):
        label.set_color(colour)
    axes.set(
        xlim=(begin, activity.duration_ms),
        ylim=(0, total),
        xlabel="time after the transient (ms)",
        ylabel=f"population ({total:,} of {sum(activity.network.sizes):,} neurons)",
    )
    _legend(figure, "spike of an {} neuron")


def _rates(figure: Any, activity: Activity) -> None:
    """Mean rates, beside those of NEST if they can be compared."""
    axes = figure.add_subplot()
    populations = activity.network.parameters.populations
    places = np.arange(len(populations))
    width = 0.38
    for kind in (True, False):
        chosen = np.array([p.excitatory is kind for p in populations])
        bars = axes.bar(
            places[chosen] - width / 2,
            activity.rates[chosen],
            width,
            color=COLOURS[kind],
            label=f"this run, {KINDS[kind]}",
        )
        axes.bar_label(bars, fmt="%.2f", fontsize=7, padding=1)
    if activity.network.is_comparable:
        bars = axes.bar(
            places + width / 2,
            activity.network.nest_rates,
            width,
            color="white",
            edgecolor="0.35",
            hatch="////",
            linewidth=0.8,
            label="NEST, the same input",
        )
        axes.bar_label(bars, fmt="%.2f", fontsize=7, padding=1, color="0.35")
    axes.set_xticks(places, _names(activity))
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("mean rate (spikes/s)")
    axes.margins(y=0.12)
    axes.legend(loc="upper left")


def _activity(figure: Any, activity: Activity) -> None:
    """Rate of each population over time; how the neurons share it."""
    populations = activity.network.parameters.populations
    grid = figure.subplots(
        len(populations), 2, sharex="col", width_ratios=(2.6, 1), squeeze=False
    )
    begin = _begin(activity)
    whole = (activity.duration_ms - begin) // BIN_MS * BIN_MS or 1
    width = min(BIN_MS, whole)
    counts = activity.counts[begin : begin + whole].reshape(-1, width, len(populations))
    seconds = activity.duration_ms * 1e-3
    single = [
        np.bincount(ids, minlength=k) / seconds
        for ids, k in zip(activity.sample_ids, activity.sampled, strict=True)
    ]
    highest = max(1.0, *(np.percentile(rates, 99.5) for rates in single))
    per_bin = max(1, round(highest * seconds / 24)) / seconds
    edges = (np.arange(np.ceil(highest / per_bin) + 2) - 0.5) * per_bin

    for p, population in enumerate(populations):
        over_time, spread = grid[p]
        colour = COLOURS[population.excitatory]
        rate = counts[:, :, p].sum(1) / (activity.network.sizes[p] * width * 1e-3)
        times = begin + width * np.arange(len(rate) + 1)
        over_time.stairs(rate, times, fill=True, color=colour, linewidth=0)
        over_time.axhline(activity.rates[p], color="black", linewidth=0.7)
        over_time.set(xlim=(begin, times[-1]), ylim=(0, None))
        over_time.set_title(population.name, color=colour, pad=2, fontweight="bold")
        share = np.histogram(single[p], edges)[0] / activity.sampled[p]
        spread.stairs(100 * share, edges, fill=True, color=colour, linewidth=0)
        spread.axvline(activity.rates[p], color="black", linewidth=0.7)
        spread.set(xlim=(edges[0], edges[-1]), ylim=(0, None))
    figure.supylabel(f"population rate in bins of {width} ms (spikes/s)", fontsize=9)
    grid[-1, 0].set_xlabel("time after the transient (ms)")
    grid[-1, 1].set_xlabel("rate of a neuron (spikes/s)")
    grid[0, 1].set_title("neurons sampled (%)", color="black", pad=2)
    _legend(figure, "{}", line="mean rate")


def _begin(activity: Activity) -> int:
    """First ms that is shown."""
    return max(0, activity.duration_ms - RASTER_MS)


def _names(activity: Activity) -> list[str]:
    return [p.name for p in activity.network.parameters.populations]


def _legend(figure: Any, text: str, line: str | None = None) -> None:
    """One legend above the axes, its marks larger than those in the picture."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            *([], []),
            linestyle="none",
            marker="o",
            color=COLOURS[kind],
            label=text.format(KINDS[kind]),
        )
        for kind in (True, False)
    ]
    if line:
        handles.append(Line2D([], [], color="black", linewidth=0.7, label=line))
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
