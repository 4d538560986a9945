# SPDX-License-Identifier: Apache-2.0
"""Tests that only ``make test-long`` runs."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def long_unless(short: Callable[[int, Any], bool], cases: Iterable[Any]) -> list[Any]:
    """Mark cases as long, but for those of which ``short(number, case)`` is true."""
    return [
        case if short(i, case) else pytest.param(case, marks=pytest.mark.long)
        for i, case in enumerate(cases)
    ]
