# SPDX-License-Identifier: Apache-2.0
"""The hooks of the backend "numba". Importing this imports no numba."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from synjit.hookspecs import Backend, Matrix, Problem, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    import jax


@hookimpl
def synjit_backend() -> Backend:
    """Name, version, platforms."""
    return Backend(
        name="numba",
        version="1",
        platforms=("cpu",),
        contract=2,
        aliases=("numba_cpu",),
        priority=100,
        requires=("numba",),
        environment=("SYNJIT_NUM_THREADS",),
    )


@hookimpl
def synjit_refuses(problem: Problem) -> str | None:
    """Take every problem, if there is a compiler."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}:
        return "NUMBA_DISABLE_JIT is set, and there are no kernels without a compiler"
    return None


@hookimpl
def synjit_product(
    problem: Problem, matrix: Matrix, x: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """See the contract."""
    from . import calls

    return calls.product(problem, matrix, x)


@hookimpl
def synjit_dense(problem: Problem, matrix: Matrix) -> jax.Array:
    """See the contract."""
    from . import calls

    return calls.dense(problem, matrix)


@hookimpl
def synjit_weighted(
    problem: Problem,
    matrix: Matrix,
    x: jax.Array,
    w_loc: jax.Array,
    w_scale: jax.Array,
) -> jax.Array:
    """See the contract."""
    from . import calls

    return calls.weighted(problem, matrix, x, w_loc, w_scale)


@hookimpl
def synjit_deliver(
    problem: Problem,
    matrix: Matrix,
    delays: jax.Array,
    x: jax.Array,
    w_loc: jax.Array,
    w_scale: jax.Array,
    ring: jax.Array,
    now: jax.Array,
) -> jax.Array:
    """See the contract."""
    from . import delivery_calls

    return delivery_calls.deliver(problem, matrix, delays, x, w_loc, w_scale, ring, now)


@hookimpl
def synjit_custom_calls() -> dict[str, Callable[[], object]]:
    """All handlers, by the names that XLA knows them by."""
    from . import ffi

    return ffi.targets()
