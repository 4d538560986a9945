# SPDX-License-Identifier: Apache-2.0
"""The cortical microcircuit, simulated on connections that are never stored."""

from __future__ import annotations

from .microcircuit import Network, Parameters, build
from .report import run
from .simulation import Activity, simulate

__all__ = ["Activity", "Network", "Parameters", "build", "run", "simulate"]
