# SPDX-License-Identifier: Apache-2.0
"""Why a backend would run a product, and the others not."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any, get_args

import jax
import jax.numpy as jnp

from . import gate, html, validation
from .dispatch import candidates, resolve, unfit, why_not
from .hookspecs import NO_GRID, PLATFORMS, Grid, Problem, Product
from .reference import FixedOutDegree, Normal, Rule, Weights
from .registry import Registered, registry

NORMAL = Normal()


@dataclass(frozen=True)
class Explanation:
    """Which backend runs a problem, and why not the others.

    Attributes
    ----------
    problem : Problem
    backend : str or None
        None if there is none, and the product would raise.
    grade : str
        What its choice rests on, in words.
    reasons : dict
        For every other backend, loaded or not, why it is not taken.
    """

    problem: Problem
    backend: str | None
    grade: str
    reasons: dict[str, str]

    def __str__(self) -> str:
        """Write it out, a line for each backend."""
        p = self.problem
        lines = [
            f"{p.product}{' transposed' if p.transpose else ''}, shape {p.shape}, "
            f"batch {p.batch}, on {p.platform}: {self.backend or 'no backend'}"
            + (f" ({self.grade})" if self.grade else "")
        ]
        lines += [f"{name}: {reason}" for name, reason in self.reasons.items()]
        return "\n  ".join(lines)

    def _repr_html_(self) -> str:
        """Show it in a notebook, a row for each backend."""
        head, *_ = str(self).split("\n")
        return html.table(head, self.reasons.items())


def explain(
    product: Product = "events",
    *,
    shape: tuple[int, int] = (1000, 1000),
    grid: Grid = NO_GRID,
    slots: int = 0,
    prob: float | Rule | None = None,
    weights: Weights = NORMAL,
    self_connections: bool = True,
    transpose: bool = False,
    batch: int = 1,
    dtype: Any = "float32",
    platform: str | None = None,
    backend: str | None = None,
) -> Explanation:
    """Say which backend would run a product, and for every other one why not.

    Parameters
    ----------
    product : {"events", "floats", "dense", "weighted", "deliver"}
        Of ``binary_jitnmv``, ``jitnmv`` and ``jitn``, and their like; of ``JITBlocks``
        with events; of ``deliver``.
    shape, prob, self_connections, transpose, backend
        As of the call; the shape of blocks is that of their grid. A prob that is
        traced is left out.
    weights : reference.Weights
        The law of the weights; blocks have their own.
    grid : Grid
        Of "weighted" and "deliver": ``JITBlocks.grid``.
    slots : int
        Of "deliver": those of the ring.
    batch : int
        Number of vectors.
    dtype : dtype
        Of the sums of "floats", "weighted" and "deliver": float32 or float64.
    platform : str, optional
        "cpu", "cuda" (which "gpu" stands for), "rocm" or "tpu"; without one, JAX's
        default.

    Returns
    -------
    Explanation
        To be printed. The gate has been passed by the backend that it names.

    Raises
    ------
    ValueError, TypeError
        There is no such problem.
    BackendError
        The backend is unknown.

    Examples
    --------
    >>> import synjit
    >>> synjit.explain(shape=(100, 100), platform="cpu").backend
    'numba'
    """
    problem = _problem(
        product,
        shape,
        grid,
        slots,
        prob,
        weights,
        self_connections,
        transpose,
        batch,
        dtype,
        platform,
    )
    name = resolve(backend)
    chosen: Registered | None = None
    reasons = {}
    for candidate in candidates(None):
        own = candidate.backend
        if name is not None and candidate not in registry().named(name):
            reasons[own.name] = f"backend {name!r} was asked for"
        elif chosen is not None:
            reasons[own.name] = unfit(own, problem, name) or (
                f"{chosen.backend.name!r} comes first "
                f"(priority {chosen.backend.priority}, this one {own.priority})"
            )
        else:
            reason = why_not(candidate, problem, name)
            if reason:
                reasons[own.name] = reason
            else:
                chosen = candidate
    for broken, reason in registry().quarantine.items():
        reasons[broken] = f"not loaded: {reason}"
    if chosen is None:
        return Explanation(problem, None, "", reasons)
    grade = gate.MEANING[gate.verdict(chosen, chosen.asked(problem)[0]).grade]
    return Explanation(problem, chosen.backend.name, grade, reasons)


def _problem(
    product: Product,
    shape: tuple[int, int],
    grid: Grid,
    slots: int,
    prob: float | Rule | None,
    weights: Weights,
    self_connections: bool,
    transpose: bool,
    batch: int,
    dtype: Any,
    platform: str | None,
) -> Problem:
    """State the problem that such a call would be, if it could be made."""
    _check_one_of("product", product, get_args(Product))
    platform = platform or jax.default_backend()
    platform = {"gpu": "cuda"}.get(platform, platform)
    _check_one_of("platform", platform, PLATFORMS)
    of_blocks = product in {"weighted", "deliver"}
    if of_blocks != bool(grid.blocks):
        raise ValueError(
            f'only "weighted" and "deliver" take a grid, and of some blocks; got '
            f"{product!r} with {len(grid.blocks)} blocks"
        )
    slots = operator.index(slots)
    if (product == "deliver") != (slots > 0):
        raise ValueError(
            f'"deliver" and no other product takes a ring of slots; got {product!r} '
            f"with {slots} slots"
        )
    transpose = validation.check_flag(transpose, "transpose")
    if of_blocks and transpose:
        raise ValueError(
            "blocks are not multiplied transposed at once: B.T is a product for each "
            "block, of events or of floats"
        )
    batch = operator.index(batch)
    if batch < 1:
        raise ValueError(f"batch must be 1 or more, got {batch}")
    shape = validation.check_shape(shape)
    if grid.blocks:
        shape = sum(grid.rows), sum(grid.columns)
    self_connections = validation.check_flag(self_connections, "self_connections")
    log2_chunk = None
    if prob is not None and not grid.blocks:
        own = validation.check_connections(prob, shape, (0, 0), self_connections)
        log2_chunk = own.log2_chunk
    floats = product in {"floats", "weighted", "deliver"}
    return Problem(
        product=product,
        shape=shape,
        transpose=transpose and product != "dense",  # which is transposed afterwards
        batch=0 if product == "dense" else batch,
        dtype=_dtype_of_sums(dtype) if floats else "int32",
        corder=True,
        log2_chunk=log2_chunk,
        weights=grid.words if grid.blocks else len(weights.table),
        platform=platform,
        grid=grid,
        rule="fixed_out_degree" if isinstance(prob, FixedOutDegree) else "bernoulli",
        self_connections=self_connections,
        slots=slots,
    )


def _check_one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def _dtype_of_sums(dtype: Any) -> str:
    name = str(jnp.dtype(dtype))
    _check_one_of("dtype", name, ("float32", "float64"))
    if name == "float64" and not jax.config.read("jax_enable_x64"):
        raise ValueError(
            "dtype float64 there is with jax_enable_x64 only, which is off"
        )
    return name
