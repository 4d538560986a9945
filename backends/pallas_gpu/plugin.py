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

# Pallas' two ways to compile for a GPU. All kernels are written for the first; where it
# is gone, the dense product is compiled by the other (docs/gpu.md says why).
TRITON = "jax.experimental.pallas.triton"
MOSAIC = "jax.experimental.pallas.mosaic_gpu"


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
    """Say what is too large to be counted in 32 bits, or cannot be compiled here."""
    # Interpreted, only deliveries need what kernels are compiled by: masked loads.
    interpreted = problem.platform == "cpu" and problem.product != "deliver"
    return refusal(problem) or (None if interpreted else _not_compiled(problem.product))


def _not_compiled(product: str) -> str | None:
    """Say why this JAX cannot compile the kernels of a product; None if it can."""
    from jax import __version__

    if not (triton := _missing(TRITON)):
        return None
    reason = (
        f"its kernels are compiled by way of Triton, and jax {__version__} has no "
        f"{TRITON} ({triton}); jax 0.10 to 0.12 have. Without it there are dense "
        "matrices only"
    )
    if product != "dense":
        return reason
    mosaic = _missing(MOSAIC)
    return f"{reason}, and they need {MOSAIC} ({mosaic})" if mosaic else None


@functools.cache
def _missing(module: str) -> str | None:
    """Say why a module cannot be imported; None if it can."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        return str(error)
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
    """See the contract. This is where one of two compilers is chosen."""
    if problem.platform != "cpu" and _missing(TRITON):
        from . import mosaic

        return mosaic.dense(problem, matrix)
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
    """What Pallas makes for its compilers, which XLA knows already."""
    return dict.fromkeys(("__gpu$xla.gpu.triton", "mosaic_gpu_v2"), lambda: None)
