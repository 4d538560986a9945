# SPDX-License-Identifier: Apache-2.0
"""A backend for the CPU that runs what the GPU backend is compiled to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax

from synjit.backends.pallas_gpu import calls, delivery_calls, plugin, workspace
from synjit.hookspecs import Backend, Matrix, Problem, hookimpl

from .executor import Executor


class Executed:
    """The plugin, of one GPU.

    Parameters
    ----------
    gpu : str
        Part of its name.
    executor : Executor
    """

    def __init__(self, gpu: str, executor: Executor) -> None:
        self.name = f"pallas_gpu_on_{gpu.lower()}"
        self.executor = executor

    @hookimpl
    def synjit_backend(self) -> Backend:
        """Describe it: not the kernels run, but an interpreter of them."""
        return Backend(
            self.name,
            "1",
            ("cpu",),
            2,
            interpreted_on=("cpu",),
            deterministic=plugin.synjit_backend().deterministic,
        )

    @hookimpl
    def synjit_refuses(self, problem: Problem) -> str | None:
        """Refuse what the GPU backend refuses."""
        return workspace.refusal(problem)

    @hookimpl
    def synjit_product(
        self, problem: Problem, matrix: Matrix, x: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """See the contract."""
        return self._run(problem, calls.product, matrix, x)

    @hookimpl
    def synjit_dense(self, problem: Problem, matrix: Matrix) -> jax.Array:
        """See the contract."""
        return self._run(problem, calls.dense, matrix)

    @hookimpl
    def synjit_weighted(
        self,
        problem: Problem,
        matrix: Matrix,
        x: jax.Array,
        w_loc: jax.Array,
        w_scale: jax.Array,
    ) -> jax.Array:
        """See the contract."""
        return self._run(problem, calls.weighted, matrix, x, w_loc, w_scale)

    @hookimpl
    def synjit_deliver(
        self,
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
        given = (delays, x, w_loc, w_scale, ring, now)
        return self._run(problem, delivery_calls.deliver, matrix, *given)

    def _run(self, problem: Problem, hook: Callable[..., Any], *operands: Any) -> Any:
        problem = replace(problem, platform="cuda")

        def product(*given: Any) -> Any:
            return hook(problem, *given)

        if 0 in problem.shape or (len(operands) > 1 and 0 in operands[1].shape):
            return product(*operands)  # without a kernel
        return self.executor.run(problem, product, *operands)
