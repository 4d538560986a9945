# SPDX-License-Identifier: Apache-2.0
"""Names for functions that are made several times, each around other things.

Numba tells the functions of one definition apart by a number that it counts up in each
process. Kernels that two processes have put into the cache may so hold different
functions under one name and number, and a third process, which loads both, lets one
take the other's place. Functions that differ must therefore differ in name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def named_after(*parts: Any) -> Callable[[F], F]:
    """Name a function after the functions, types and numbers it was made around."""
    name = ",".join(map(_name, parts))

    def rename(function: F) -> F:
        function.__qualname__ = f"{function.__qualname__}({name})"
        return function

    return rename


def _name(part: Any) -> str:
    function = getattr(part, "py_func", part)
    return str(getattr(function, "__qualname__", function))
