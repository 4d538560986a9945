# SPDX-License-Identifier: Apache-2.0
"""The hooks of the backend "pallas_gpu". Importing this imports no Pallas."""

from __future__ import annotations

import functools
import importlib
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
        deterministic=False,  # floats are scattered by atomic additions
    )


@hookimpl
def synjit_refuses(problem: Problem) -> str | None:
    """Say what is too large to be counted in 32 bits, or that there is no Triton."""
    too_large = refusal(problem)
    return too_large or (None if problem.platform == "cpu" else _without_triton())


@functools.cache
def _without_triton() -> str | None:
    """Say that this JAX has no way to compile the kernels; None if it has."""
    from jax import __version__

    module = "jax.experimental.pallas.triton"
    try:
        importlib.import_module(module)
    except ImportError as error:
        return (
            f"its kernels are compiled by way of Triton, and jax {__version__} has "
            f"no {module} ({error}); jax 0.10 to 0.12 have"
        )
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
def synjit_custom_calls() -> dict[str, Callable[[], object]]:
    """What Pallas makes for Triton, which XLA knows already."""
    return {"__gpu$xla.gpu.triton": lambda: None}
