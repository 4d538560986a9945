# SPDX-License-Identifier: Apache-2.0
"""Synapses, just in time: random connectivity that is never stored."""

from . import hookspecs, reference
from .blocks import JITBlocks
from .dispatch import BackendError, default_backend
from .explanation import explain
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
    Constant,
    Exponential,
    LogNormal,
    Normal,
    TruncatedNormal,
    Uniform,
    Weights,
)
from .seeding import last_seed, new_seed, seeds
from .stored import export_checks, prepare

__version__ = "0.1.0"

__all__ = [
    "Backend",
    "BackendError",
    "Constant",
    "Events",
    "Exponential",
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
    "explain",
    "export_checks",
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
    "prepare",
    "reference",
    "seeds",
]
