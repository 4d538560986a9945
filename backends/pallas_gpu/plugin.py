# SPDX-License-Identifier: Apache-2.0
"""The hooks of the backend "pallas_gpu". Importing this imports no Pallas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synjit.hookspecs import Backend, Problem, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    import jax

# Elements of an operand, a result or a table of partial sums: indices are int32.
MAX_ELEMENTS = 2**31 - 1


@hookimpl
def synjit_backend() -> Backend:
    """Name, version, platforms."""
    return Backend(
        name="pallas_gpu",
        version="1",
        platforms=("cuda", "cpu"),
        aliases=("pallas",),
        priority=100,
        interpreted_on=("cpu",),
    )


@hookimpl
def synjit_refuses(problem: Problem) -> str:
    """Say what is too large to be counted in 32 bits."""
    m, n = problem.shape
    sizes = {
        "events": max(m, n) * max(problem.batch, 1),
        "floats": max(m, n) * max(problem.batch, 1),
        "dense": m * n,
    }
    size = sizes[problem.product]
    if size > MAX_ELEMENTS:
        return f"an array of {size} elements, and it counts to {MAX_ELEMENTS}"
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
    """What Pallas makes for Triton, which XLA knows already."""
    return {"__gpu$xla.gpu.triton": lambda: None}
