# SPDX-License-Identifier: Apache-2.0
"""The hooks of the backend "numba". Importing this imports no numba."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from synjit.hookspecs import Backend, Problem, hookimpl

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
        aliases=("numba_cpu",),
        priority=100,
        requires=("numba",),
        environment=("SYNJIT_NUM_THREADS",),
    )


@hookimpl
def synjit_refuses(problem: Problem) -> str:
    """Take every problem, if there is a compiler."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}:
        return "NUMBA_DISABLE_JIT is set, and there are no kernels without a compiler"
    return ""


@hookimpl
def synjit_events(
    problem: Problem,
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    events: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """See the contract."""
    from . import calls

    return calls.events(problem, seed, origin, law, events)


@hookimpl
def synjit_weighted(
    problem: Problem,
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    events: jax.Array,
    w_loc: jax.Array,
    w_scale: jax.Array,
) -> jax.Array:
    """See the contract."""
    from . import calls

    return calls.weighted(problem, seed, origin, law, events, w_loc, w_scale)


@hookimpl
def synjit_blocks(
    problem: Problem,
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    events: jax.Array,
    w_loc: jax.Array,
    w_scale: jax.Array,
) -> jax.Array:
    """See the contract."""
    from . import calls

    return calls.blocks(problem, seed, origin, law, events, w_loc, w_scale)


@hookimpl
def synjit_floats(
    problem: Problem,
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    values: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """See the contract."""
    from . import calls

    return calls.floats(problem, seed, origin, law, values)


@hookimpl
def synjit_dense(
    problem: Problem, seed: jax.Array, origin: jax.Array, law: jax.Array
) -> jax.Array:
    """See the contract."""
    from . import calls

    return calls.dense(problem, seed, origin, law)


@hookimpl
def synjit_custom_calls() -> dict[str, Callable[[], object]]:
    """All handlers, by the names that XLA knows them by."""
    from . import ffi

    return ffi.targets()
