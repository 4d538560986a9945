# SPDX-License-Identifier: Apache-2.0
"""XLA calls the kernels directly: numba C functions that read an FFI call frame.

The layout is that of ``xla/ffi/api/c_api.h``, which jaxlib ships; offsets below are
in 8-byte words. A handler gets the address of a frame and returns the address of an
error, or 0. No Python runs in a call.
"""

from __future__ import annotations

import hashlib
import re
import threading
from pathlib import Path

import jax
import numba
import numpy as np
from numba import carray, cfunc, njit, types

from synjit.cache import cache_folder
from synjit.reference import draw, normal, products, threefry
from synjit.reference.draw import LAW_WORDS

from . import kernels
from .intrinsics import load_word, pointer_at, store_word

# struct XLA_FFI_CallFrame
FRAME_EXTENSION = 1
FRAME_ARGUMENTS = 9
FRAME_RESULTS = 14
FRAME_ATTRIBUTES = 20
# struct XLA_FFI_Buffer
BUFFER_DATA = 3
BUFFER_DIMENSIONS = 5
# struct XLA_FFI_Metadata_Extension, and the XLA_FFI_Metadata that it points to
EXTENSION_TYPE = 1
EXTENSION_METADATA = 3
METADATA_VERSION = 3
METADATA_TRAITS = 4
METADATA_EXTENSION = 1  # enum XLA_FFI_Extension_Type

u32 = np.uint32


def _header_version() -> int:
    """The FFI version that jaxlib's own header states, packed as it is written."""
    header = Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h"
    text = header.read_text()
    major, minor = (
        int(re.findall(rf"#define XLA_FFI_API_{part} (\d+)", text)[0])
        for part in ("MAJOR", "MINOR")
    )
    return major | (minor << 32)


_VERSION = _header_version()


# --- reading a frame --------------------------------------------------------------


@njit(forceinline=True)
def _word(address, index):
    return load_word(address + 8 * index)


@njit(forceinline=True)
def _is_handshake(frame):
    """Answer XLA's question for metadata; False if this is a call to compute."""
    extension = _word(frame, FRAME_EXTENSION)
    if extension == 0:
        return False
    if np.int32(_word(extension, EXTENSION_TYPE)) != METADATA_EXTENSION:
        return False
    metadata = _word(extension, EXTENSION_METADATA)
    store_word(metadata + 8 * METADATA_VERSION, _VERSION)
    store_word(metadata + 8 * METADATA_TRAITS, 0)
    return True


@njit(forceinline=True)
def _argument(frame, i):
    return _word(_word(frame, FRAME_ARGUMENTS), i)


@njit(forceinline=True)
def _result(frame, i):
    return _word(_word(frame, FRAME_RESULTS), i)


@njit(forceinline=True)
def _dimension(buffer, axis):
    return _word(_word(buffer, BUFFER_DIMENSIONS), axis)


@njit(forceinline=True)
def _attribute(frame, i):
    """Value of the i-th attribute, by name, which is a 64-bit scalar."""
    scalar = _word(_word(frame, FRAME_ATTRIBUTES), i)
    return load_word(_word(scalar, 1))


@njit(forceinline=True)
def _array(buffer, dtype, size):
    return carray(pointer_at(_word(buffer, BUFFER_DATA), dtype), (size,))


@njit(forceinline=True)
def _matrix(frame):
    """Arguments that every product has: seed, origin, law."""
    return (
        _array(_argument(frame, 0), u32, 2),
        _array(_argument(frame, 1), u32, 2),
        _array(_argument(frame, 2), u32, LAW_WORDS),
    )


@njit(forceinline=True)
def _workspace(frame):
    buffer = _result(frame, 1)
    return _array(buffer, u32, _dimension(buffer, 0))


# --- handlers ---------------------------------------------------------------------
# Operands: seed (2,), origin (2,), law (LAW_WORDS,), then events or values, two-
# dimensional with the batch last. Results: the sums, then the workspace.


def events(frame):
    """Operand uint8 (n, batch); result int32 (m, batch, 2)."""
    if _is_handshake(frame):
        return 0
    seed, origin, law = _matrix(frame)
    operand, out = _argument(frame, 3), _result(frame, 0)
    n, batch, m = _dimension(operand, 0), _dimension(operand, 1), _dimension(out, 0)
    flags = _array(operand, np.uint8, n * batch)
    sums = _array(out, np.int64, m * batch)
    tile = _attribute(frame, 0)
    kernels.events(seed, origin, law, flags, batch, sums, m, n, tile, _workspace(frame))
    return 0


def events_transposed(frame):
    """Operand uint8 (m, batch); result int32 (n, batch, 2)."""
    if _is_handshake(frame):
        return 0
    seed, origin, law = _matrix(frame)
    operand, out = _argument(frame, 3), _result(frame, 0)
    m, batch, n = _dimension(operand, 0), _dimension(operand, 1), _dimension(out, 0)
    flags = _array(operand, np.uint8, m * batch)
    sums = _array(out, np.int64, n * batch)
    kernels.events_transposed(
        seed, origin, law, flags, batch, sums, m, n, _workspace(frame)
    )
    return 0


@njit(forceinline=True)
def _floats(frame, dtype):
    seed, origin, law = _matrix(frame)
    operand, out = _argument(frame, 3), _result(frame, 0)
    n, batch, m = _dimension(operand, 0), _dimension(operand, 1), _dimension(out, 0)
    values = _array(operand, dtype, n * batch)
    sums = _array(out, dtype, m * 2 * batch)
    tile = _attribute(frame, 0)
    kernels.floats(
        seed, origin, law, values, batch, sums, m, n, tile, _workspace(frame)
    )


@njit(forceinline=True)
def _floats_transposed(frame, dtype):
    seed, origin, law = _matrix(frame)
    operand, out = _argument(frame, 3), _result(frame, 0)
    m, batch, n = _dimension(operand, 0), _dimension(operand, 1), _dimension(out, 0)
    values = _array(operand, dtype, m * batch)
    sums = _array(out, dtype, n * 2 * batch)
    kernels.floats_transposed(
        seed, origin, law, values, batch, sums, m, n, _workspace(frame)
    )


def floats_float32(frame):
    """Operand (n, batch); result (m, 2, batch)."""
    if not _is_handshake(frame):
        _floats(frame, np.float32)
    return 0


def floats_float64(frame):
    """Operand (n, batch); result (m, 2, batch)."""
    if not _is_handshake(frame):
        _floats(frame, np.float64)
    return 0


def floats_transposed_float32(frame):
    """Operand (m, batch); result (n, 2, batch)."""
    if not _is_handshake(frame):
        _floats_transposed(frame, np.float32)
    return 0


def floats_transposed_float64(frame):
    """Operand (m, batch); result (n, 2, batch)."""
    if not _is_handshake(frame):
        _floats_transposed(frame, np.float64)
    return 0


def dense(frame):
    """Result int32 (m, n)."""
    if _is_handshake(frame):
        return 0
    seed, origin, law = _matrix(frame)
    out = _result(frame, 0)
    m, n = _dimension(out, 0), _dimension(out, 1)
    entries = _array(out, np.int32, m * n)
    kernels.dense(seed, origin, law, entries, m, n, _workspace(frame))
    return 0


# --- compiling and registering ----------------------------------------------------

HANDLERS = {
    handler.__name__: handler
    for handler in (
        events,
        events_transposed,
        floats_float32,
        floats_float64,
        floats_transposed_float32,
        floats_transposed_float64,
        dense,
    )
}

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
    numba.config.CACHE_DIR = str(cache_folder() / "numba" / _DIGEST)
    try:
        return cfunc(types.int64(types.int64), cache=True)(handler)
    finally:
        numba.config.CACHE_DIR = before


def _digest() -> str:
    """Digest of all that decides what the compiled code does.

    Taken when this module is imported, from the sources beside it and from the
    constants of the reference as this process has them: a file that is edited later
    must not lend its name to code compiled from what it was.
    """
    digest = hashlib.sha256(str(_VERSION).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    for module in (draw, normal, threefry, products):
        for name, value in sorted(vars(module).items()):
            if isinstance(value, (int, tuple)):
                digest.update(f"{name}={value}".encode())
            elif isinstance(value, np.ndarray):
                digest.update(value.tobytes())
    return digest.hexdigest()[:16]


_DIGEST = _digest()
