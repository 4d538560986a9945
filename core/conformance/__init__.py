# SPDX-License-Identifier: Apache-2.0
"""What a backend must pass before the dispatcher will touch it.

``cases`` says what a case is, ``case_lists`` and ``checks`` which there are, ``rare``
where rare words are drawn, ``expected`` what is right; ``runner`` runs one case,
``suite`` all; ``report`` prints.
"""

from __future__ import annotations

from .case_lists import full_cases, quick_cases
from .cases import PRODUCTS, Case
from .checks import Check, full_checks
from .runner import Runner
from .suite import Report, Result, run, run_check, run_full

__all__ = [
    "PRODUCTS",
    "Case",
    "Check",
    "Report",
    "Result",
    "check",
    "full_cases",
    "full_checks",
    "quick_cases",
    "run",
    "run_full",
]


def check(backend: str, what: Case | Check, platform: str = "cpu") -> str:
    """Run one check on a backend, and say what is wrong; empty if nothing is.

    Parameters
    ----------
    backend : str
        Its name.
    what : Case or Check
    platform : str

    Returns
    -------
    str

    Examples
    --------
    >>> from synjit.conformance import Case, check
    >>> check("numba", Case("events", prob=0.1, shape=(100, 100)))
    ''
    """
    from synjit.dispatch import check_name
    from synjit.registry import registry

    from .checks import Check

    if isinstance(what, Case):
        what = Check("case", what)
    check_name(backend)
    runner = Runner(registry().named(backend)[0], platform)
    return run_check(runner, what).reason
