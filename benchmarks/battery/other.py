# SPDX-License-Identifier: Apache-2.0
"""Make brainevent's matrices, for ``sources.Brainevent``, in its own environment.

Reads a JSON request a line, writes the connections of that matrix as .npy files, and
answers with a line. W is the matrix by which brainevent multiplies: ``corder=True``,
not transposed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import brainevent
import jax
import numpy as np


def transposed(indptr, indices, data, n):
    """Go from rows to columns."""
    rows = np.repeat(np.arange(indptr.size - 1, dtype=np.uint32), np.diff(indptr))
    order = np.argsort(indices, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(indices, minlength=n))])
    return starts, rows[order], data[order]


def connections(seed, prob, shape):
    """Give a matrix as starts, rows, z: by its dense form if that is not too large."""
    if shape[0] * shape[1] * (1 - prob) <= 2**28:
        w = np.asarray(brainevent.jitn(0.0, 1.0, prob, seed, shape=shape, corder=True))
        columns, rows = np.nonzero(w.T)
        starts = np.searchsorted(columns, np.arange(shape[1] + 1))
        return starts, rows.astype(np.uint32), w[rows, columns].astype(np.float32)
    w = brainevent.JITCNormalR((0.0, 1.0, prob, seed), shape=shape, corder=True).tocsr()
    parts = map(np.asarray, (w.indptr, w.indices, w.data))
    return transposed(*parts, shape[1])


def main() -> None:
    """Answer until there is nothing more to read."""
    jax.config.update("jax_enable_x64", True)
    for line in sys.stdin:
        request = json.loads(line)
        if request:
            arrays = connections(
                request["seed"], request["prob"], tuple(request["shape"])
            )
            for name, array in zip(("starts", "rows", "z"), arrays, strict=True):
                np.save(Path(request["folder"]) / f"{name}.npy", array)
        print(f"={brainevent.__version__}", flush=True)


if __name__ == "__main__":
    main()
