# SPDX-License-Identifier: Apache-2.0
"""A launch of a kernel: on whole arrays of one dimension, one warp to a program."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.experimental import pallas as pl

from synjit.hookspecs import Matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from synjit.hookspecs import Problem


def launch(
    kernel: Callable[..., None],
    problem: Problem,
    matrix: Matrix,
    grid: tuple[int, ...],
    out: Sequence[jax.ShapeDtypeStruct],
    *operands: Any,
    accumulators: int = 0,
    name: str = "",
    **static: Any,
) -> Sequence[jax.Array]:
    """Run a kernel on whole arrays, one warp to a program.

    The last operands, as many as ``accumulators``, become the results. A table without
    words is no operand, and stands as it is where the kernel expects a reference. The
    name is the kernel's own, without another.
    """
    interpreted = problem.platform == "cpu"
    tables = matrix if matrix.weights.shape[0] else matrix[:3]
    inputs, varying = _alike([*(each.reshape(-1) for each in tables), *operands])

    def body(*refs: Any) -> None:
        own = Matrix(*[*refs[: len(tables)], np.zeros(0, np.uint32)][:4])
        kernel(own, *refs[len(tables) :], problem=problem, **static)

    first = len(inputs) - accumulators
    call = pl.pallas_call(
        body,
        out_shape=[jax.ShapeDtypeStruct(o.shape, o.dtype, **varying) for o in out],
        grid=grid,
        input_output_aliases={first + i: i for i in range(accumulators)},
        compiler_params=None if interpreted else _one_warp(),
        interpret=interpreted,
        name=f"synjit_{name or kernel.__module__.rpartition('.')[2]}",
    )
    with contextlib.nullcontext() if interpreted else some_gpu():
        return call(*inputs)


def _one_warp() -> Any:
    """Have kernels compiled by way of Triton, one warp to a program."""
    from jax.experimental.pallas import triton

    return triton.CompilerParams(num_warps=1, num_stages=1)


def some_gpu() -> Any:
    """Say which GPU is meant where there is none: jax 0.11 asks when it lowers.

    It makes no difference to the kernels, which are compiled where they run. Inside
    ``jax.shard_map`` the mesh says it, and cannot be told otherwise.
    """
    mesh = jax.sharding.get_abstract_mesh()
    here = jax.devices()[0].platform
    if jax.__version_info__ < (0, 11) or mesh.abstract_device or here == "gpu":
        return contextlib.nullcontext()
    chip = jax.sharding.AbstractDevice("NVIDIA H100", None, platform="gpu")
    return jax.sharding.use_abstract_mesh(mesh.update(abstract_device=chip))


def _alike(operands: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Any]]:
    """Make all operands vary over the mesh axes that any does, and results with them.

    Outside ``jax.shard_map`` there are no such axes, and nothing to be done.
    """
    types = [jax.typeof(operand) for operand in operands]
    if hasattr(types[0], "manual_axis_type"):
        name, axes = "manual_axis_type", [t.manual_axis_type.varying for t in types]
    else:
        name, axes = "vma", [t.vma for t in types]  # before jax 0.10.2
    union = frozenset[str]().union(*axes)
    if not union:
        return operands, {}
    alike = [
        jax.lax.pcast(operand, tuple(union - mine), to="varying")
        if mine != union
        else operand
        for operand, mine in zip(operands, axes, strict=True)
    ]
    return alike, {name: getattr(jax.typeof(alike[0]), name)}
