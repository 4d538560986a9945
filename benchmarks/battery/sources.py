# SPDX-License-Identifier: Apache-2.0
"""Where matrices come from: one interface, so that one battery judges them all."""

from __future__ import annotations

import functools
import json
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from synjit.backends.numba_cpu.chunks import scratch, window_connections
from synjit.backends.numba_cpu.draw import (
    LANES,
    Matrix,
    count_limits,
    make_keys,
)
from synjit.backends.numba_cpu.weights import weigh
from synjit.reference import count_distribution, normal, seed_words
from synjit.reference.draw import column_connections

u32 = np.uint32


class Connections(NamedTuple):
    """A matrix, column by column."""

    shape: tuple[int, int]
    starts: NDArray[np.int64]  # (columns + 1,)
    rows: NDArray[np.uint32]  # ascending in each column
    z: NDArray[np.float32]  # weights in standard deviations

    def columns(self) -> NDArray[np.int64]:
        """Column of every connection."""
        return np.repeat(np.arange(self.shape[1]), np.diff(self.starts))

    def dense(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Weights (0 where there is none) and mask, both (m, n)."""
        m, n = self.shape
        at = self.columns() * m + self.rows
        z, mask = np.zeros(n * m, np.float32), np.zeros(n * m, bool)
        z[at], mask[at] = self.z, True
        return z.reshape(n, m).T, mask.reshape(n, m).T


class Source(Protocol):
    """What the battery asks of a package that makes random matrices."""

    name: str

    def connections(
        self, seed: int, prob: float, shape: tuple[int, int]
    ) -> Connections:
        """List the connections of the matrix of this seed, prob and shape."""
        ...


# --- synjit -----------------------------------------------------------------------


class Synjit:
    """The kernels of the numba backend."""

    name = "synjit"

    def connections(
        self, seed: int, prob: float, shape: tuple[int, int]
    ) -> Connections:
        """List the connections, chunk by chunk."""
        m, n = shape
        counts = count_distribution(prob)
        capacity = int(m * n * prob + 20 * np.sqrt(m * n * prob) + 100)
        starts = np.zeros(n + 1, np.int64)
        rows, z = np.empty(capacity, np.uint32), np.empty(capacity, np.int32)
        words = np.array(seed_words(seed), np.uint32)
        origin, connectivity = np.zeros(2, np.uint32), counts.encode()
        table = np.array(normal.TABLE)  # writable, as the kernels' arrays are
        operands = (words, origin, connectivity, table)
        found = _list_all(*operands, m, n, starts, rows, z)
        weights = z[:found].astype(np.float32) / np.float32(2**normal.UNIT_BITS)
        return Connections(shape, starts, rows[:found], weights)


@njit  # not cached: numba would not see a change of the functions it calls
def _list_all(words, origin, connectivity, table, m, n, starts, rows, z):
    limits = count_limits(connectivity)
    matrix = Matrix(words, origin, connectivity, limits, table)
    columns, chunks, keys, some_rows, some_z = scratch()
    k = matrix.connectivity[0]
    n_chunks = ((m - 1) >> np.int64(k)) + 1
    total = 0
    for first in range(0, n * n_chunks, LANES):
        for lane in range(LANES):
            columns[lane] = u32((first + lane) // n_chunks)
            chunks[lane] = u32((first + lane) % n_chunks)
        make_keys(matrix, columns, chunks, keys)
        for lane in range(min(LANES, n * n_chunks - first)):
            found = window_connections(
                keys, lane, chunks[lane], matrix.connectivity, 0, m, some_rows
            )
            some_rows[:found].sort()
            weigh(matrix.table, keys, lane, 0, some_rows, found, some_z)
            for t in range(found):
                rows[total] = some_rows[t]
                z[total] = some_z[t]
                total += 1
            starts[columns[lane] + 1] = total
    return total


class Reference:
    """The reference in NumPy: slow, and the ground of the planted defects."""

    name = "reference"

    def connections(
        self, seed: int, prob: float, shape: tuple[int, int]
    ) -> Connections:
        """List the connections, column by column."""
        counts, words = count_distribution(prob), seed_words(seed)
        listed = [
            column_connections(words, counts, j, shape[0]) for j in range(shape[1])
        ]
        return from_columns(shape, listed)


def from_columns(shape: tuple[int, int], listed: list) -> Connections:
    """Join columns of (rows, integer z)."""
    starts = np.cumsum([0] + [len(rows) for rows, _ in listed])
    z = np.concatenate([z for _, z in listed]).astype(np.float32)
    rows = np.concatenate([rows for rows, _ in listed]).astype(np.uint32)
    return Connections(shape, starts, rows, z / np.float32(2**normal.UNIT_BITS))


# --- others -----------------------------------------------------------------------


class Control:
    """NumPy's generator: what passes here tells that the statistics are right."""

    name = "control"

    def connections(
        self, seed: int, prob: float, shape: tuple[int, int]
    ) -> Connections:
        """Walk down one column after the other by geometric gaps."""
        m, n = shape
        rng = np.random.default_rng([seed, *shape, int(prob * 2**52)])
        p = float(np.float32(prob))
        at, last = [np.zeros(0, np.int64)], -1
        while last < m * n:
            gaps = rng.geometric(p, int(min(1 << 22, m * n * p * 1.02 + 100)))
            at.append(last + np.cumsum(gaps))
            last = int(at[-1][-1])
        place = np.concatenate(at)
        place = place[place < m * n]
        starts = np.searchsorted(place, np.arange(n + 1) * m)
        z = rng.standard_normal(place.size, np.float32)
        return Connections(shape, starts, (place % m).astype(np.uint32), z)


class Brainevent:
    """brainevent's ``jitn`` in another environment, a matrix in files."""

    name = "brainevent"
    seed_bits = 31

    def __init__(self, python: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [python, "-W", "ignore", str(Path(__file__).with_name("other.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.version = self._ask({})

    def _ask(self, request: dict) -> str:
        to, back = self.process.stdin, self.process.stdout
        if to is None or back is None:
            raise RuntimeError("brainevent's process has no pipes")
        to.write(json.dumps(request) + "\n")
        to.flush()
        while line := back.readline():
            if line.startswith("="):
                return line[1:].strip()
        raise RuntimeError("brainevent's process has ended")

    def connections(
        self, seed: int, prob: float, shape: tuple[int, int]
    ) -> Connections:
        """Ask for the matrix."""
        folder = self.folder.name
        self._ask({"seed": seed, "prob": prob, "shape": shape, "folder": folder})
        arrays = [np.load(Path(folder) / f"{name}.npy") for name in ("starts", "rows")]
        return Connections(shape, *arrays, np.load(Path(folder) / "z.npy"))


@functools.cache
def open_source(name: str, python: str = "") -> Source:
    """Give the source of this name."""
    if name == "brainevent":
        return Brainevent(python)
    return {"synjit": Synjit, "reference": Reference, "control": Control}[name]()
