# SPDX-License-Identifier: Apache-2.0
"""Handlers compiled by numba, or loaded from its disk cache, and made known to XLA."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import jax
import numba
from numba import cfunc, types

import synjit.reference
from synjit.cache import cache_folder

from .frame import VERSION
from .handlers import HANDLERS

_lock = threading.Lock()
_compiled: dict[str, object] = {}


def target(name: str) -> str:
    """Name under which XLA knows a handler; compiles and registers it when new."""
    full_name = f"synjit_numba_{name}"
    with _lock:
        if name not in _compiled:
            compiled = _compile(HANDLERS[name])
            jax.ffi.register_ffi_target(
                full_name, jax.ffi.pycapsule(compiled.ctypes), platform="cpu"
            )
            _compiled[name] = compiled
    return full_name


def _compile(handler):
    """Compile, or load from the disk cache, which is keyed by all sources.

    Numba looks at the file of the handler only, and would go on using a kernel
    whose source, in another file, has changed.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder() / "numba" / _source_digest())
    try:
        return cfunc(types.int64(types.int64), cache=True)(handler)
    finally:
        numba.config.CACHE_DIR = before


def _source_digest() -> str:
    digest = hashlib.sha256(str(VERSION).encode())
    folders = (Path(__file__).parent, Path(synjit.reference.__file__).parent)
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.suffix in {".py", ".txt"}:
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
