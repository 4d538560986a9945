# SPDX-License-Identifier: Apache-2.0
"""Connections as tables: a file of text, or of NumPy arrays, for each projection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from synjit import __version__
from synjit.inspection import memory, progress
from synjit.inspection.collecting import Growing
from synjit.reference import DRAW_VERSION

from .network import Edges, Network, Projection


def write_csv(network: Network, folder: Path) -> None:
    """Write a file of text for each projection, which pandas and NumPy read."""
    counts = {}
    for projection in network.projections:
        counts[projection.name] = 0
        with (folder / f"{projection.name}.csv").open("x") as file:
            delayed = projection.delay is not None
            file.write("source,target,weight" + ",delay" * delayed + "\n")
            for edges in watched(projection):
                values = [column.tolist() for column in edges if column is not None]
                digits = str if edges.weight.dtype == np.float64 else _float32
                values[2] = map(digits, edges.weight)
                lines = zip(*values, strict=True)
                file.writelines(",".join(map(str, line)) + "\n" for line in lines)
                counts[projection.name] += len(edges.source)
    _describe(network, folder, "csv", counts)


def _float32(number: np.float32) -> str:
    """Write the shortest number that is read as the same."""
    return np.format_float_scientific(number, unique=True, trim="-")


def write_npz(network: Network, folder: Path) -> None:
    """Write a file of arrays for each projection."""
    counts = {}
    for projection in network.projections:
        mean = projection.expected
        delayed = projection.delay is not None
        dtypes = [np.dtype(np.int32), np.dtype(np.int32), projection.dtype]
        dtypes += [np.dtype(np.float64)] * delayed
        names = ["source", "target", "weight", *["delay"] * delayed]
        each = sum(dtype.itemsize for dtype in dtypes)
        room = memory.likely_most(mean)
        memory.check_fits(
            room * each,
            f"projection {projection.name}, {mean:,.0f} connections as npz,",
            "take the format sonata or csv, which are written in pieces",
        )
        arrays = Growing(room, tuple(dtypes))
        for edges in watched(projection):
            arrays.append(*(column for column in edges if column is not None))
        columns = dict(zip(names, arrays.done(), strict=True))
        np.savez(folder / f"{projection.name}.npz", allow_pickle=False, **columns)
        counts[projection.name] = arrays.filled
    _describe(network, folder, "npz", counts)


def watched(projection: Projection) -> Iterator[Edges]:
    """List a projection, and show how far it is."""
    steps = ((edges, len(edges.source)) for edges in projection.pieces())
    return progress.shown(steps, projection.expected, f"writing {projection.name}")


def _describe(
    network: Network, folder: Path, suffix: str, counts: dict[str, int]
) -> None:
    """Say what the files are."""
    projections = [
        {
            "file": f"{projection.name}.{suffix}",
            "source": projection.source,
            "target": projection.target,
            "connections": counts[projection.name],
        }
        for projection in network.projections
    ]
    content = {
        "populations": network.populations,
        "projections": projections,
        "weight_unit": network.unit,
        "delay_unit": "ms",
        "synjit": __version__,
        "draw_version": DRAW_VERSION,
    }
    (folder / "network.json").write_text(json.dumps(content, indent=2) + "\n")
