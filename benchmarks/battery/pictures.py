# SPDX-License-Identifier: Apache-2.0
"""The pictures of ``docs/the-draw.md``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from synjit.reference import count_distribution, draw, seed_words

from .masks import degree_counts
from .sources import open_source
from .weights import HALF, UNIT, add_to, empty_histogram

INK, PALE, WARM = "#20476b", "#c9d6e2", "#c4472b"
SEED = 42


def chunk() -> Figure:
    """Fill one chunk: t, then P(t), then the column."""
    prob, k = 0.1, draw.log2_chunk(0.1)
    words, counts = seed_words(SEED), count_distribution(prob)
    keys = draw.chunk_keys(words, 0, 0)
    count = int(counts.draw_count(keys.count_word)[0])
    t = np.arange(1 << k, dtype=np.uint32)
    rows = draw.place(t, keys, k)
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.plot(t[count:], rows[count:], ".", ms=1.5, color=PALE)
    left.plot(t[:count], rows[:count], ".", ms=3, color=INK)
    left.set(xlabel="t", ylabel="row P(t)", title=f"a bijection of {1 << k} rows")
    left.axvline(count, color=WARM, lw=1)
    grid = np.full(1 << k, np.nan)
    grid[rows[:count]] = t[:count]
    middle.imshow(grid.reshape(32, 32), cmap="viridis", interpolation="nearest")
    middle.set(title=f"the K = {count} rows with t < K", xlabel="row mod 32")
    middle.set_ylabel("row div 32")
    _, mask = open_source("synjit").connections(SEED, prob, (1 << k, 320)).dense()
    right.imshow(mask, cmap="binary", aspect="auto", interpolation="nearest")
    right.set(title="320 columns of W", xlabel="column", ylabel="row")
    return figure


def degrees() -> Figure:
    """Degrees of columns and rows, and the binomial."""
    side, prob = 16384, 0.02
    matrix = open_source("synjit").connections(SEED, prob, (side, side))
    binomial = stats.binom(side, prob)
    figure = Figure(figsize=(8, 3), layout="constrained")
    for axes, name, line in zip(
        figure.subplots(1, 2, sharey=True),
        ("column", "row"),
        (matrix.columns(), matrix.rows),
        strict=True,
    ):
        seen = degree_counts(line, side)
        values = np.arange(seen.size)
        keep = seen > 0
        expected = side * binomial.pmf(values)
        axes.fill_between(
            values,
            expected - 2 * np.sqrt(expected),
            expected + 2 * np.sqrt(expected),
            color=PALE,
            lw=0,
        )
        axes.plot(values[keep], seen[keep], ".", ms=4, color=INK)
        axes.set(xlabel=f"connections of a {name}", xlim=(245, 410), ylim=(0, None))
    figure.suptitle(f"{side} x {side}, prob {prob}: degrees, and binomial +- 2 sd")
    return figure


def quantiles() -> Figure:
    """Quantiles of 2^28 weights against the normal's, into the tails."""
    histogram, side = empty_histogram(), 4096
    for seed in range(16):
        matrix = open_source("synjit").connections(SEED + seed, 1.0, (side, side))
        add_to(histogram, matrix.z)
    n = int(histogram.sum())
    tail = np.unique(np.round(2.0 ** np.arange(0, 27.1, 0.25)).astype(int))
    rank = np.concatenate([tail, n - tail]) - 0.5
    at = np.searchsorted(np.cumsum(histogram), rank)
    observed, expected = (at - HALF) * UNIT, stats.norm.ppf(rank / n)
    error = np.sqrt(rank * (1 - rank / n)) / n / stats.norm.pdf(expected)
    order = np.argsort(expected)
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.axline((0, 0), slope=1, color=PALE)
    left.plot(expected, observed, ".", color=INK, ms=4)
    left.set(xlabel="quantile of the normal", ylabel="quantile of z")
    right.axhspan(-2, 2, color=PALE, lw=0)
    right.plot(expected[order], ((observed - expected) / error)[order], ".", color=INK)
    right.set(xlabel="quantile of the normal", ylabel="difference / standard error")
    figure.suptitle("2^28 weights")
    return figure


def draw_all(folder: Path) -> None:
    """Write every picture."""
    folder.mkdir(exist_ok=True)
    for make in (chunk, degrees, quantiles):
        figure = make()
        figure.savefig(folder / f"draw-{make.__name__}.png", dpi=100)
