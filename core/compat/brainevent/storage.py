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
    brainevent.CSR, brainevent.CSC, brainevent.COO
        Or the classes of ``brainunit.sparse`` that these are made from, where
        brainevent is not imported. Weights have their unit; indices are sorted.

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
    return getattr(_classes(), kind)(content, shape=matrix.shape)


def _classes() -> Any:
    if "brainevent" in sys.modules:
        return sys.modules["brainevent"]
    import brainunit

    return brainunit.sparse
