# SPDX-License-Identifier: Apache-2.0
"""Errors that a handler returns to XLA, which raises them."""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from .frame import FRAME_API, word
from .intrinsics import call_address, stack_address, store_word

# struct XLA_FFI_Api, in words; struct XLA_FFI_Error_Create_Args, in bytes
API_ERROR_CREATE = 6
CREATE_SIZE = 28
RESOURCE_EXHAUSTED = 8  # enum XLA_FFI_Error_Code


@intrinsic
def text_address(typingctx, text):
    """Address of a literal string, ended by a zero."""
    if not isinstance(text, types.StringLiteral):
        return None
    value = text.literal_value

    def codegen(context, builder, signature, args):
        string = context.insert_const_string(builder.module, value)
        return builder.ptrtoint(string, ir.IntType(64))

    return types.int64(text), codegen


@njit
def out_of_memory(frame):
    """Make the error that there is no memory left."""
    arguments = stack_address(4)
    store_word(arguments, CREATE_SIZE)
    store_word(arguments + 8, 0)
    store_word(arguments + 16, text_address("synjit has no memory to work in"))
    store_word(arguments + 24, RESOURCE_EXHAUSTED)
    return call_address(word(word(frame, FRAME_API), API_ERROR_CREATE), arguments)
