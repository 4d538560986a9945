# SPDX-License-Identifier: Apache-2.0
"""What a backend must pass before the dispatcher will touch it."""

from .cases import PRODUCTS, Case, full_cases, quick_cases
from .suite import Failure, Report, run

__all__ = [
    "PRODUCTS",
    "Case",
    "Failure",
    "Report",
    "full_cases",
    "quick_cases",
    "run",
]
