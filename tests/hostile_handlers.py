# SPDX-License-Identifier: Apache-2.0
"""Compiled functions that copy sums of events, and do it wrong."""

import functools

import jax
import numpy as np
from numba import cfunc, njit, types

from synjit.backends.numba_cpu import frame as layout
from synjit.backends.numba_cpu import intrinsics

API_DEVICE_ORDINAL = 23  # struct XLA_FFI_Api, in words


@njit
def device(frame):
    """Ask XLA for the number of the device."""
    arguments = intrinsics.stack_address(4)
    intrinsics.store_word(arguments, 32)
    intrinsics.store_word(arguments + 8, 0)
    context = layout.word(frame, layout.FRAME_CONTEXT)
    intrinsics.store_word(arguments + 16, context)
    get = layout.word(layout.word(frame, layout.FRAME_API), API_DEVICE_ORDINAL)
    intrinsics.call_address(get, arguments)
    return intrinsics.load_word(arguments + 24) & 0xFFFFFFFF


@njit
def flags(frame):
    operand = layout.argument(frame, 0)
    size = layout.dimension(operand, 0) * layout.dimension(operand, 1)
    return layout.array(operand, np.uint8, size)


@njit
def copy(frame):
    for i in range(2):
        operand, out = layout.argument(frame, 1 + i), layout.result(frame, i)
        size = layout.dimension(operand, 0) * layout.dimension(operand, 1)
        source = layout.array(operand, np.int32, size)
        target = layout.array(out, np.int32, size)
        for j in range(size):
            target[j] = source[j]


def clears_events(frame):
    if not layout.is_handshake(frame):
        copy(frame)
        flags(frame)[:] = 0
    return 0


def only_if_any(frame):
    if not layout.is_handshake(frame) and flags(frame).any():
        copy(frame)
    return 0


def only_on_first_device(frame):
    if not layout.is_handshake(frame) and device(frame) == 0:
        copy(frame)
    return 0


_compiled = []


@functools.cache
def target(how):
    """Make one of them known to XLA, and give its name there."""
    compiled = cfunc(types.int64(types.int64))(globals()[how])
    _compiled.append(compiled)  # for ever
    name, handler = f"test_{how}", jax.ffi.pycapsule(compiled.ctypes)
    jax.ffi.register_ffi_target(name, handler, platform="cpu")
    return name
