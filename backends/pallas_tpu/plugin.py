# SPDX-License-Identifier: Apache-2.0
"""The hooks of the backend "pallas_tpu". Importing this imports no Pallas."""

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
        name="pallas_tpu",
        version="2",
        platforms=("tpu", "cpu"),
        contract=2,
        aliases=("pallas",),
        priority=100,
        interpreted_on=("cpu",),
    )


@hookimpl
def synjit_refuses(problem: Problem) -> str | None:
    """Refuse 64-bit words, and what cannot be addressed or does not fit."""
    return refusal(problem, _memory(problem.platform))


def _memory(platform: str) -> int | None:
    """Bytes of a TPU's main memory, if this process has one."""
    if platform != "tpu":
        return None
    import jax

    try:
        statistics = jax.local_devices(backend=platform)[0].memory_stats()
    except RuntimeError:  # an export, say
        return None
    return (statistics or {}).get("bytes_limit")


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
    """What Pallas makes for Mosaic, which XLA knows already."""
    return {"tpu_custom_call": lambda: None}
