# SPDX-License-Identifier: Apache-2.0
"""Stored copies of a matrix, in the classes that brainevent has for them."""

from __future__ import annotations

import sys
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from synjit import units
from synjit.jit_matrix import JITMatrix


def store(matrix: JITMatrix, kind: Literal["CSR", "CSC", "COO"]) -> Any:
    """Store the connections, those whose weight is 0 too.

    Parameters
    ----------
    matrix : JITMatrix
    kind : {"CSR", "CSC", "COO"}

    Returns
    -------
    brainevent.CSR, brainevent.CSC, brainunit.sparse.COO
        Where brainevent is not imported, all three of ``brainunit.sparse``. Weights
        have their unit; indices are sorted.

    Raises
    ------
    TypeError, MemoryError
        As of ``connections``.
    """
    found = matrix.connections()
    by_row = kind != "CSC"
    outer, inner = found[:2] if by_row else found[1::-1]
    order = np.lexsort((inner, outer))
    number, unit = units.split(found.weights)
    data = units.attach(jnp.asarray(np.asarray(number)[order]), unit)
    indices = jnp.asarray(inner[order])
    if kind == "COO":
        content = (data, jnp.asarray(outer[order]), indices)
    else:
        counts = np.bincount(outer, minlength=matrix.shape[0 if by_row else 1])
        ends = np.concatenate([[0], np.cumsum(counts)])
        content = (data, indices, jnp.asarray(ends, np.int32))
    return _class(kind)(content, shape=matrix.shape)


def _class(kind: str) -> Any:
    if kind != "COO" and "brainevent" in sys.modules:
        return getattr(sys.modules["brainevent"], kind)
    import brainunit

    return getattr(brainunit.sparse, kind)
