# SPDX-License-Identifier: Apache-2.0
"""Statistics of spike trains by which simulations of the microcircuit are compared.

Those of S. J. van Albada et al., Frontiers in Neuroinformatics 12 (2018) 291: rates of
single neurons, coefficients of variation of their inter-spike intervals, correlations
of pairs; and the synchrony of a population.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Integers = NDArray[np.integer]

COMPARED = 250  # neurons of each population
CORRELATED_MS = 2  # bin of spike counts that are correlated
SYNCHRONY_MS = 3  # bin of a population's spike counts
LEAST_INTERVALS = 2  # of a neuron, for a coefficient of variation


def single_rates(ids: Integers, number: int, duration_ms: float) -> Floats:
    """Mean rate of each of the first ``number`` neurons, (number,), spikes/s."""
    kept = ids[ids < number]
    rates: Floats = np.bincount(kept, minlength=number) / (duration_ms * 1e-3)
    return rates


def interval_variation(times: Floats, ids: Integers, number: int) -> Floats:
    """Coefficient of variation of the intervals of each neuron that has enough.

    Parameters
    ----------
    times : array (spikes,)
        In any unit, ascending.
    ids : integer array (spikes,)
        Neuron of each spike.
    number : int
        The first so many neurons count.

    Returns
    -------
    array
        One entry for each neuron of at least three spikes.
    """
    times, ids = times[ids < number], ids[ids < number]
    order = np.argsort(ids, kind="stable")
    trains = np.split(times[order], np.searchsorted(ids[order], np.arange(1, number)))
    intervals = [np.diff(train) for train in trains]
    enough = [gaps for gaps in intervals if len(gaps) >= LEAST_INTERVALS]
    return np.array([gaps.std() / gaps.mean() for gaps in enough])


def correlations(
    times: Floats, ids: Integers, number: int, duration_ms: float
) -> Floats:
    """Correlation coefficients of the spike counts of all pairs, in bins of 2 ms.

    Parameters
    ----------
    times : array (spikes,)
        In ms, in (0, duration_ms].
    ids : integer array (spikes,)
        Neuron of each spike.
    number : int
        The first so many neurons count, but for those without a spike.
    duration_ms : float

    Returns
    -------
    array (pairs,)
    """
    kept = ids < number
    bins = int(duration_ms // CORRELATED_MS)
    at = np.ceil(times[kept] / CORRELATED_MS).astype(int) - 1
    inside = (at >= 0) & (at < bins)
    counts = np.zeros((number, bins), np.float32)
    np.add.at(counts, (ids[kept][inside], at[inside]), 1)
    counts = counts[counts.any(axis=1)]
    if len(counts) < 2:
        return np.empty(0)
    pairs: Floats = np.atleast_2d(np.corrcoef(counts))
    return pairs[np.triu_indices(len(pairs), 1)]


def synchrony(counts: Integers) -> float:
    """Variance over mean of a population's spikes in bins of 3 ms; NaN without any.

    ``counts`` are the spikes of each millisecond. Of independent Poisson neurons it
    is 1.
    """
    whole = len(counts) // SYNCHRONY_MS * SYNCHRONY_MS
    binned = np.asarray(counts)[:whole].reshape(-1, SYNCHRONY_MS).sum(axis=1)
    return float(binned.var() / binned.mean()) if binned.sum() else float("nan")
