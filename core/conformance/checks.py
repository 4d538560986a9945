# SPDX-License-Identifier: Apache-2.0
"""What must be checked of a backend: every check by name, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from synjit.hookspecs import Product

from .case_lists import full_cases, quick_cases, random_cases
from .cases import PRODUCTS, Case
from .transforms import TRANSFORMS

OF_FLOATS = ("floats", "weighted", "deliver")  # products that floats come of

What = Literal["case", "calls", "threads", "transform"]


@dataclass(frozen=True)
class Check:
    """One thing to be checked.

    Attributes
    ----------
    what : {"case", "calls", "threads", "transform"}
        A case; equal calls of a case, again and again; calls for several matrices at
        once, on all devices; a product under one of JAX's transformations.
    case : Case or None
    transform : str
        Its name in ``transforms.TRANSFORMS``.
    x64 : bool
        Whether ``jax_enable_x64`` is on, under which much JAX code gives other dtypes.
    """

    what: What
    case: Case | None = None
    transform: str = ""
    x64: bool = False

    def __str__(self) -> str:
        """Give the name, which known gaps are matched against."""
        parts = ["x64"] if self.x64 else []
        parts += [] if self.what == "case" else [self.what]
        return "/".join([*parts, self.transform or str(self.case)])

    @property
    def section(self) -> str:
        """Where a report counts it."""
        if self.case is None:
            return "transforms"
        if self.case.product in OF_FLOATS:
            return f"{self.case.product} {self.case.dtype}"
        return f"{self.case.product} under x64" if self.x64 else self.case.product

    @property
    def grade(self) -> str:
        """How it is judged."""
        integers = self.case is not None and self.case.product != "floats"
        return "bit-exact" if integers else "bounded"

    def snippet(self, backend: str, platform: str) -> str:
        """Give a program that shows what it says of a backend."""
        inf = "from math import inf\n\n" if "inf" in repr(self) else ""
        rule = ""
        if "FixedOutDegree" in repr(self):
            rule = "from synjit import FixedOutDegree\n"
        return (
            f"{inf}{rule}from synjit.conformance import Case, Check, check\n\n"
            f"what = {self!r}\n"
            f"print(check({backend!r}, what, {platform!r}) or 'nothing is wrong')\n"
        )


def checks_of(cases: Sequence[Case], *, x64: bool = False) -> list[Check]:
    """Check every case, equal calls of those that are tiny, and calls from threads.

    Of each direction, the first case is called from threads.
    """
    checks = [Check("case", case, x64=x64) for case in cases]
    tiny: dict[bool, Case] = {}
    first: dict[bool, Case] = {}
    for case in cases:
        if case.shape == (1, 5):
            tiny.setdefault(case.transpose, case)
        first.setdefault(case.transpose, case)
    checks += [Check("calls", case, x64=x64) for case in tiny.values()]
    return checks + [Check("threads", case, x64=x64) for case in first.values()]


def gate_cases(product: Product, suite_seed: int, dtype: str) -> list[Case]:
    """Return the cases that the gate checks: the quick ones, and a few at random."""
    cases = quick_cases(product, dtype)
    return [*cases, *random_cases(product, suite_seed, dtype)]


def full_checks(suite_seed: int = 0) -> list[Check]:
    """Return all that the full suite checks, some of it drawn from a seed."""
    checks = []
    for product in PRODUCTS:
        drawn = random_cases(product, suite_seed, shapes=True)
        checks += checks_of([*full_cases(product), *drawn])
        dtype = "float64" if product in OF_FLOATS else "float32"
        checks += checks_of(gate_cases(product, suite_seed, dtype), x64=True)
    return checks + [Check("transform", transform=name) for name in TRANSFORMS]


# A change that loses checks is seen: these numbers are held against what ran.
FULL_COUNT = 2801
