# SPDX-License-Identifier: Apache-2.0
"""Synapses, just in time: random connectivity that is never stored."""

from . import hookspecs, reference
from .blocks import JITBlocks
from .dispatch import BackendError, default_backend
from .explanation import explain
from .hookspecs import Backend, Problem, hookimpl
from .matrix import Events, JITNormal
from .products import binary_jitnmm, binary_jitnmv, jitn, jitnmm, jitnmv
from .seeding import last_seed, new_seed, seeds
from .stored import export_checks, prepare

__version__ = "0.1.0"

__all__ = [
    "Backend",
    "BackendError",
    "Events",
    "JITBlocks",
    "JITNormal",
    "Problem",
    "binary_jitnmm",
    "binary_jitnmv",
    "default_backend",
    "explain",
    "export_checks",
    "hookimpl",
    "hookspecs",
    "jitn",
    "jitnmm",
    "jitnmv",
    "last_seed",
    "new_seed",
    "prepare",
    "reference",
    "seeds",
]
