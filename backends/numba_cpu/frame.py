# SPDX-License-Identifier: Apache-2.0
"""Reading an XLA FFI call frame from numba.

The layout is that of ``xla/ffi/api/c_api.h``, which jaxlib ships; offsets below are
in 8-byte words.
"""

from __future__ import annotations

import re
from pathlib import Path

import jax
import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

from .intrinsics import pointer_at, store_word

# struct XLA_FFI_CallFrame
FRAME_EXTENSION = 1
FRAME_API = 2
FRAME_CONTEXT = 3
FRAME_ARGUMENTS = 9
FRAME_N_RESULTS = 12
FRAME_RESULTS = 14
FRAME_ATTRIBUTES = 20
# struct XLA_FFI_Buffer
BUFFER_TYPE = 2
BUFFER_DATA = 3
BUFFER_DIMENSIONS = 5
# struct XLA_FFI_Metadata_Extension, and the XLA_FFI_Metadata that it points to
EXTENSION_TYPE = 1
EXTENSION_METADATA = 3
METADATA_VERSION = 3
METADATA_TRAITS = 4
FLOAT32 = 11  # enum XLA_FFI_DataType
METADATA_EXTENSION = 1  # enum XLA_FFI_Extension_Type


def _header_version() -> int:
    """The FFI version that jaxlib's own header states, packed as it is written."""
    header = Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h"
    text = header.read_text()
    major, minor = (
        int(re.findall(rf"#define XLA_FFI_API_{part} (\d+)", text)[0])
        for part in ("MAJOR", "MINOR")
    )
    return major | (minor << 32)


VERSION = _header_version()


def _words(*steps):
    """Make a function (address, index): the word that is found by these steps.

    Each is the number of a word, which is the next address; None is the index. As an
    intrinsic, for numba compiles a function again for every index that is a literal.
    """

    def follow(typingctx, address, index):
        def codegen(context, builder, signature, args):
            integer = ir.IntType(64)
            at, index = args
            for step in steps:
                number = index if step is None else integer(step)
                at = builder.add(at, builder.mul(number, integer(8)))
                at = builder.load(builder.inttoptr(at, integer.as_pointer()))
            return at

        return types.int64(types.int64, types.int64), codegen

    return intrinsic(follow)


word = _words(None)
# The i-th operand's buffer, the i-th result's, and the length of a buffer's i-th axis.
argument = _words(FRAME_ARGUMENTS, None)
result = _words(FRAME_RESULTS, None)
dimension = _words(BUFFER_DIMENSIONS, None)
# Value of the i-th attribute, by name, which is a 64-bit scalar.
attribute = _words(FRAME_ATTRIBUTES, None, 1, 0)


@njit(forceinline=True)
def is_handshake(frame):
    """Answer XLA's question for metadata; False if this is a call to compute."""
    extension = word(frame, FRAME_EXTENSION)
    if extension == 0:
        return False
    if np.int32(word(extension, EXTENSION_TYPE)) != METADATA_EXTENSION:
        return False
    metadata = word(extension, EXTENSION_METADATA)
    store_word(metadata + 8 * METADATA_VERSION, VERSION)
    store_word(metadata + 8 * METADATA_TRAITS, 0)
    return True


@njit(forceinline=True)
def results(frame):
    """Number of results."""
    return word(frame, FRAME_N_RESULTS)


@njit(forceinline=True)
def data_type(buffer):
    """Type of a buffer's elements, a number of XLA's."""
    return np.int32(word(buffer, BUFFER_TYPE))


@njit(forceinline=True)
def array(buffer, dtype, size):
    """View a buffer as a flat array."""
    return carray(pointer_at(word(buffer, BUFFER_DATA), dtype), (size,))
