# SPDX-License-Identifier: Apache-2.0
"""Backend "xla" for synjit: plain JAX."""
