# SPDX-License-Identifier: Apache-2.0
"""The hooks of the backend "pallas_gpu". Importing this imports no Pallas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synjit.hookspecs import Backend, Matrix, Problem, hookimpl

from .workspace import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    import jax


@hookimpl
def synjit_backend() -> Backend:
    """Name, version, platforms."""
    return Backend(
        name="pallas_gpu",
        version="2",
        platforms=("cuda", "cpu"),
        contract=2,
        aliases=("pallas",),
        priority=100,
        interpreted_on=("cpu",),
    )


@hookimpl
def synjit_refuses(problem: Problem) -> str | None:
    """Say what is too large to be counted in 32 bits."""
    return refusal(problem)


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
def synjit_custom_calls() -> dict[str, Callable[[], object]]:
    """What Pallas makes for Triton, which XLA knows already."""
    return {"__gpu$xla.gpu.triton": lambda: None}
