# SPDX-License-Identifier: Apache-2.0
"""Networks as files that other simulators read."""

from .writing import export_network

__all__ = ["export_network"]
