# SPDX-License-Identifier: Apache-2.0
"""Compile a scatter through jax_triton, for a GPU that is not there.

What ``backends/pallas_gpu/atomics.py`` lowers by Pallas' own helpers is one public line
of Triton's language. It needs the packages jax-triton, and jax-cuda13-plugin,
jax-cuda13-pjrt and nvidia-cuda-nvcc, whose ``ptxas`` must come first on PATH, being the
only one that knows the PTX of a new Triton. ``docs/gpu.md`` says which versions fit.
"""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import jax_triton
import triton
import triton.language as tl
from ptx import compiling  # noqa: F401, which sets XLA's flags
from ptx.gpus import GPUS

LANES = 32


@triton.jit
def scatter(index, value, sums):
    """Add a warp's values into their places, those that are greater than 0."""
    lane = tl.arange(0, 32) + 32 * tl.program_id(0)
    mine = tl.load(value + lane)
    place = sums + tl.load(index + lane)
    tl.atomic_add(place, mine, mask=mine > 0, sem="relaxed", scope="gpu")


def compile_scatter(name: str) -> None:
    """Compile it ahead of time; whatever fails raises."""
    gpu = GPUS[name]

    def add(index, value, sums):
        return jax_triton.triton_call(
            index,
            value,
            sums,
            kernel=scatter,
            out_type=jax.typeof(sums),
            input_output_aliases={2: 0},
            grid=(4,),
            num_warps=1,
            num_stages=1,
            compute_capability=10 * gpu.major,  # or it asks the GPU
        )

    sharding = jax.sharding.SingleDeviceSharding(gpu.device())
    with jax.enable_x64(True):
        shapes = [
            jax.ShapeDtypeStruct((length,), dtype, sharding=sharding)
            for length, dtype in (
                (4 * LANES, jnp.int32),
                (4 * LANES, jnp.int64),
                (1024, jnp.int64),
            )
        ]
        traced = jax.jit(add).trace(*shapes)
        traced.lower(lowering_platforms=("cuda",)).compile()


def main() -> int:
    """Compile for each GPU; 1 if it fails for one."""
    print(f"jax {jax.__version__}, Triton {triton.__version__}")
    failed = 0
    for name in GPUS:
        try:
            compile_scatter(name)
            print(f"{name}: compiled")
        except Exception as error:  # noqa: BLE001, whatever a compiler may raise
            failed += 1
            print(f"{name}: {type(error).__name__}: {error}".splitlines()[0])
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
