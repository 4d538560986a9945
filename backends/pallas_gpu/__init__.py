# SPDX-License-Identifier: Apache-2.0
"""Backend "pallas_gpu": Pallas kernels for GPUs, compiled by way of Triton."""
