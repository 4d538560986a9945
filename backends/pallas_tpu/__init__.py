# SPDX-License-Identifier: Apache-2.0
"""Backend "pallas_tpu": kernels for the TPU's vector unit, without scatter."""
