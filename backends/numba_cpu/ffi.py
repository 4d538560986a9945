# SPDX-License-Identifier: Apache-2.0
"""Handlers compiled by numba, or loaded from its disk cache, and made known to XLA."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import jax
import numba
import numpy as np
from numba import cfunc, types

from synjit.cache import cache_folder
from synjit.reference import draw, products, quantile_table, threefry

from .frame import VERSION
from .handlers import HANDLERS

PREFIX = f"synjit_numba_draw{draw.DRAW_VERSION}_"

_log = logging.getLogger("synjit")
_lock = threading.Lock()
_compiled: dict[str, object] = {}


def target(name: str) -> str:
    """Name under which XLA knows a handler; compiles and registers it when new."""
    full_name = f"{PREFIX}{name}"
    with _lock:
        if name not in _compiled:
            compiled = _compile(HANDLERS[name])
            jax.ffi.register_ffi_target(
                full_name, jax.ffi.pycapsule(compiled.ctypes), platform="cpu"
            )
            _compiled[name] = compiled
    return full_name


def targets() -> dict[str, Callable[[], str]]:
    """Name all handlers as XLA knows them, each with what registers it."""
    return {f"{PREFIX}{name}": functools.partial(target, name) for name in HANDLERS}


def _compile(handler):
    """Compile, or load from the disk cache, which is named after all that decides.

    Numba looks at the file of the handler only, and would go on using a kernel
    whose source, in another file, has changed. Where nothing can be written, every
    process compiles for itself.
    """
    folder = cache_folder() / "numba" / _DIGEST
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not any(folder.rglob(f"*.{handler.__name__}-*.nbi")):
        _log.warning(
            "synjit compiles its CPU kernel %r: once, some 10 seconds%s",
            handler.__name__,
            "" if writable else f", but {folder} cannot be written: in every process",
        )
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder)
    try:
        return cfunc(types.int64(types.int64), cache=writable)(handler)
    finally:
        numba.config.CACHE_DIR = before


def _digest() -> str:
    """Digest of all that decides what the compiled code does.

    Taken when this module is imported, from the sources beside it and from the
    constants of the reference as this process has them: a file that is edited later
    must not lend its name to code compiled from what it was.
    """
    digest = hashlib.sha256(str(VERSION).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    for module in (draw, quantile_table, threefry, products):
        for name, value in sorted(vars(module).items()):
            if isinstance(value, (int, tuple)):
                digest.update(f"{name}={value}".encode())
            elif isinstance(value, np.ndarray):
                digest.update(value.tobytes())
    return digest.hexdigest()[:16]


_DIGEST = _digest()
