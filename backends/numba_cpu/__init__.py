# SPDX-License-Identifier: Apache-2.0
"""Backend "numba": compiled CPU kernels that XLA calls without Python."""
