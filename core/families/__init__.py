# SPDX-License-Identifier: Apache-2.0
"""Random matrices by the law of their weights: a short file for each."""

from .constant import JITConstant
from .lognormal import JITLogNormal
from .normal import JITNormal
from .truncated_normal import JITTruncatedNormal
from .uniform import JITUniform

__all__ = [
    "JITConstant",
    "JITLogNormal",
    "JITNormal",
    "JITTruncatedNormal",
    "JITUniform",
]
