# SPDX-License-Identifier: Apache-2.0
"""Handlers compiled by numba, or loaded from the cache, and made known to XLA."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import jax
from numba import types
from numba.core.ccallback import CFunc

from synjit.reference import DRAW_VERSION

from .handlers import HANDLERS
from .kernel_cache import KernelCache
from .whole_module import whole_module

PREFIX = f"synjit_numba_draw{DRAW_VERSION}_"

_lock = threading.Lock()
_compiled: dict[Callable[..., int], CFunc] = {}
_registered: set[str] = set()


def target(name: str) -> str:
    """Name under which XLA knows a handler; compiles and registers it when new."""
    full_name = f"{PREFIX}{name}"
    with _lock:
        if name not in _registered:
            handler = HANDLERS[name]
            compiled = _compiled.get(handler) or _compile(handler)
            _compiled[handler] = compiled
            jax.ffi.register_ffi_target(
                full_name, jax.ffi.pycapsule(compiled.ctypes), platform="cpu"
            )
            _registered.add(name)
    return full_name


def targets() -> dict[str, Callable[[], object]]:
    """Name all handlers as XLA knows them, each with what registers it."""
    return {f"{PREFIX}{name}": functools.partial(target, name) for name in HANDLERS}


def _compile(handler: Callable[..., int]) -> CFunc:
    """Compile, or load what was kept."""
    signature = types.int64(types.int64)
    compiled: Any = CFunc(handler, (signature.args, signature.return_type), {}, {})
    compiled._cache = KernelCache(handler.__name__)  # noqa: SLF001, as its enable_caching does
    with whole_module(handler.__qualname__):
        compiled.compile()
    return compiled
