# SPDX-License-Identifier: Apache-2.0
"""The few machine operations that numba does not offer by name."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def leading_zeros(typingctx, word):
    """Count leading zero bits of a uint32; the word must not be zero."""

    def codegen(context, builder, signature, args):
        return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint32(types.uint32), codegen


@intrinsic
def shift_right(typingctx, word, bits):
    """Shift a uint32 right by 0 to 31 bits without widening it on the way."""

    def codegen(context, builder, signature, args):
        return builder.lshr(args[0], args[1])

    return types.uint32(types.uint32, types.uint32), codegen


@intrinsic
def prefer_wide_vectors(typingctx):
    """Ask LLVM for 512-bit vectors in the calling function, where the CPU has them.

    LLVM prefers 256 bits on many CPUs that have 512, to spare the clock of code that
    uses vectors now and then; these kernels use nothing else.
    """

    def codegen(context, builder, signature, args):
        # llvmlite's own `add` refuses the string attributes it does not list.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def stack_words(typingctx, size):
    """Reserve a compile-time number of 32-bit words in the caller's stack frame."""
    if not isinstance(size, types.IntegerLiteral):
        return None
    words = size.literal_value

    def codegen(context, builder, signature, args):
        block = cgutils.alloca_once(
            builder, ir.ArrayType(ir.IntType(32), words), name="stack_words"
        )
        # A cache line, so that a lane row is one aligned vector.
        block.align = 64
        return builder.bitcast(block, ir.IntType(32).as_pointer())

    return types.CPointer(types.uint32)(size), codegen


@intrinsic
def pointer_at(typingctx, address, dtype):
    """Turn an integer address into a typed pointer."""
    pointer = types.CPointer(dtype.dtype)

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.int64, dtype), codegen


@intrinsic
def load_word(typingctx, address):
    """Load the 64-bit word at an integer address."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.load(pointer)

    return types.int64(types.int64), codegen


@intrinsic
def store_word(typingctx, address, word):
    """Store a 64-bit word at an integer address."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        builder.store(args[1], pointer)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen
