# SPDX-License-Identifier: Apache-2.0
"""What users of brainevent 0.3.0 import to run their code on synjit.

The random matrices of brainevent's three families, its functions, and ``BinaryArray``,
under its names and with its signatures. ``docs/brainevent.md`` lists what differs.

As there, a matrix depends on its shape and on ``corder``: the matrix of the turned
shape and the other ``corder`` is its transpose, and ``JITC...R`` and ``JITC...C`` of
the same arguments are the same matrix. Without ``corder``, ``M @ events`` costs what
the active columns cost; with it, ``events @ M`` what the active rows do.
"""

from __future__ import annotations

import warnings
from typing import Any

from .events import BinaryArray
from .functions import (
    binary_jitnmm,
    binary_jitnmv,
    binary_jitsmm,
    binary_jitsmv,
    binary_jitumm,
    binary_jitumv,
    jitn,
    jitnmm,
    jitnmv,
    jits,
    jitsmm,
    jitsmv,
    jitu,
    jitumm,
    jitumv,
)
from .matrices import (
    JITCNormalC,
    JITCNormalR,
    JITCScalarC,
    JITCScalarR,
    JITCUniformC,
    JITCUniformR,
)

__all__ = [
    "BinaryArray",
    "JITCNormalC",
    "JITCNormalR",
    "JITCScalarC",
    "JITCScalarR",
    "JITCUniformC",
    "JITCUniformR",
    "binary_jitnmm",
    "binary_jitnmv",
    "binary_jitsmm",
    "binary_jitsmv",
    "binary_jitumm",
    "binary_jitumv",
    "jitn",
    "jitnmm",
    "jitnmv",
    "jits",
    "jitsmm",
    "jitsmv",
    "jitu",
    "jitumm",
    "jitumv",
]

_RENAMED = {
    "JITCHomoR": JITCScalarR,
    "JITCHomoC": JITCScalarC,
    "EventArray": BinaryArray,
}


def __getattr__(name: str) -> Any:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new = _RENAMED[name]
    message = f"{name} is a deprecated name of brainevent: take {new.__name__}"
    warnings.warn(message, DeprecationWarning, stacklevel=2)
    return new
