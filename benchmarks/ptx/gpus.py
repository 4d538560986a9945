# SPDX-License-Identifier: Apache-2.0
"""GPUs that XLA compiles for, none of which has to be there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jax.experimental import topologies


@dataclass(frozen=True)
class Gpu:
    """Published facts of a GPU: its whitepaper, and the CUDA programming guide."""

    name: str
    arch: str
    major: int
    multiprocessors: int
    clock_ghz: float
    shared_memory: int
    bandwidth: int
    memory: int
    l2: int

    def target(self) -> str:
        """Write what XLA wants to know of it."""
        return f"""
            gpu_device_info {{
              threads_per_block_limit: 1024
              threads_per_warp: 32
              threads_per_core_limit: 2048
              registers_per_core_limit: 65536
              registers_per_block_limit: 65536
              shared_memory_per_block: 49152
              shared_memory_per_block_optin: {self.shared_memory - 1024}
              shared_memory_per_core: {self.shared_memory}
              core_count: {self.multiprocessors}
              fpus_per_core: 64
              block_dim_limit_x: 2147483647
              block_dim_limit_y: 65535
              block_dim_limit_z: 65535
              memory_bandwidth: {self.bandwidth}
              device_memory_size: {self.memory}
              l2_cache_size: {self.l2}
              clock_rate_ghz: {self.clock_ghz}
              cuda_compute_capability {{ major: {self.major} }}
            }}
            platform_name: "CUDA"
            device_description_str: "{self.name}"
        """

    def device(self) -> Any:
        """Give what ``jax.jit`` compiles for."""
        topology = topologies.get_topology_desc(
            self.name.lower(), "cuda", target_config=self.target(), topology="1x1x1"
        )
        return topology.devices[0]

    @property
    def integer_lanes_per_second(self) -> float:
        """32-bit integer instructions: 64 lanes a clock and multiprocessor."""
        return self.multiprocessors * 64 * self.clock_ghz * 1e9


_GPUS = (
    Gpu("H100", "sm_90a", 9, 132, 1.755, 233472, 3352 * 10**9, 80 * 2**30, 50 * 2**20),
    Gpu("A100", "sm_80", 8, 108, 1.41, 167936, 1555 * 10**9, 40 * 2**30, 40 * 2**20),
)
GPUS = {gpu.name: gpu for gpu in _GPUS}
