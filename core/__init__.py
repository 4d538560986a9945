# SPDX-License-Identifier: Apache-2.0
"""Synapses, just in time: random connectivity that is never stored.

Names are imported when they are first used: ``synjit.reference`` needs NumPy only.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import hookspecs, reference
    from .blocks import JITBlocks
    from .delays import delays_in_time, normal_delays
    from .dispatch import BackendError, default_backend
    from .explanation import explain
    from .export import export_checks, prepare
    from .families import (
        JITConstant,
        JITLogNormal,
        JITNormal,
        JITTruncatedNormal,
        JITUniform,
    )
    from .hookspecs import Backend, Matrix, Problem, hookimpl
    from .jit_matrix import JITMatrix
    from .matrix import Events
    from .network_files import export_network
    from .products import (
        binary_jitlmm,
        binary_jitlmv,
        binary_jitnmm,
        binary_jitnmv,
        binary_jitsmm,
        binary_jitsmv,
        binary_jitumm,
        binary_jitumv,
        jitl,
        jitlmm,
        jitlmv,
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
    from .reference import (
        Bernoulli,
        Constant,
        Delays,
        Exponential,
        FixedOutDegree,
        LogNormal,
        Normal,
        TruncatedNormal,
        Uniform,
        Weights,
    )
    from .ring import Ring
    from .seeding import last_seed, new_seed, seeds

    __version__: str

__all__ = [
    "Backend",
    "BackendError",
    "Bernoulli",
    "Constant",
    "Delays",
    "Events",
    "Exponential",
    "FixedOutDegree",
    "JITBlocks",
    "JITConstant",
    "JITLogNormal",
    "JITMatrix",
    "JITNormal",
    "JITTruncatedNormal",
    "JITUniform",
    "LogNormal",
    "Matrix",
    "Normal",
    "Problem",
    "Ring",
    "TruncatedNormal",
    "Uniform",
    "Weights",
    "binary_jitlmm",
    "binary_jitlmv",
    "binary_jitnmm",
    "binary_jitnmv",
    "binary_jitsmm",
    "binary_jitsmv",
    "binary_jitumm",
    "binary_jitumv",
    "default_backend",
    "delays_in_time",
    "explain",
    "export_checks",
    "export_network",
    "hookimpl",
    "hookspecs",
    "jitl",
    "jitlmm",
    "jitlmv",
    "jitn",
    "jitnmm",
    "jitnmv",
    "jits",
    "jitsmm",
    "jitsmv",
    "jitu",
    "jitumm",
    "jitumv",
    "last_seed",
    "new_seed",
    "normal_delays",
    "prepare",
    "reference",
    "seeds",
]

# Where the names are; others of them are modules.
_HOMES = {
    "blocks": ("JITBlocks",),
    "delays": ("delays_in_time", "normal_delays"),
    "dispatch": ("BackendError", "default_backend"),
    "explanation": ("explain",),
    "families": (
        "JITConstant",
        "JITLogNormal",
        "JITNormal",
        "JITTruncatedNormal",
        "JITUniform",
    ),
    "hookspecs": ("Backend", "Matrix", "Problem", "hookimpl"),
    "jit_matrix": ("JITMatrix",),
    "matrix": ("Events",),
    "network_files": ("export_network",),
    "products": (
        "binary_jitlmm",
        "binary_jitlmv",
        "binary_jitnmm",
        "binary_jitnmv",
        "binary_jitsmm",
        "binary_jitsmv",
        "binary_jitumm",
        "binary_jitumv",
        "jitl",
        "jitlmm",
        "jitlmv",
        "jitn",
        "jitnmm",
        "jitnmv",
        "jits",
        "jitsmm",
        "jitsmv",
        "jitu",
        "jitumm",
        "jitumv",
    ),
    "reference": (
        "Bernoulli",
        "Constant",
        "Delays",
        "Exponential",
        "FixedOutDegree",
        "LogNormal",
        "Normal",
        "TruncatedNormal",
        "Uniform",
        "Weights",
    ),
    "ring": ("Ring",),
    "seeding": ("last_seed", "new_seed", "seeds"),
    "export": ("export_checks", "prepare"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name in _HOME:
        found = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    elif name == "__version__":
        found = metadata.version("synjit")
    elif name in __all__:
        found = import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names."""
    return [*__all__, "__version__"]
