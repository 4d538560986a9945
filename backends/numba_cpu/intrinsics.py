# SPDX-License-Identifier: Apache-2.0
"""The few machine operations that numba does not offer by name."""

from __future__ import annotations

import sys

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def bits_of_half_above(typingctx, word):
    """Bits of the float32 that is nearest to a uint32, below 2**31, and a half."""

    def codegen(context, builder, signature, args):
        single = ir.FloatType()
        number = builder.sitofp(args[0], single)
        number = builder.fadd(number, ir.Constant(single, 0.5))
        return builder.bitcast(number, ir.IntType(32))

    return types.uint32(types.uint32), codegen


@intrinsic
def trailing_zeros(typingctx, word):
    """Count trailing zero bits of a uint64; the word must not be zero."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), codegen


@intrinsic
def bits_of_bytes(typingctx, array):
    """Pack the first 64 elements of a uint8 array, zeros and ones, into a uint64."""

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        vector = ir.VectorType(ir.IntType(8), 64)
        loaded = builder.load(builder.bitcast(data, vector.as_pointer()), align=1)
        zeros = ir.Constant(vector, [0] * 64)
        return builder.bitcast(
            builder.icmp_unsigned("!=", loaded, zeros), ir.IntType(64)
        )

    return types.uint64(array), codegen


@intrinsic
def entry_at(typingctx, table, first, index):
    """Load an entry of a uint32 array at a uint32 index below 2**31, from ``first`` on.

    A 32-bit index is what a gather instruction takes; numba's own would be of 64 bits.
    """

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load(builder.gep(builder.gep(data, [args[1]]), [args[2]]))

    return types.uint32(table, types.int64, types.uint32), codegen


def _shift(operation):
    """Make a shift of an unsigned word by fewer bits than it has: it stays as wide."""

    def shift(typingctx, word, bits):
        if word != bits or word not in {types.uint16, types.uint32}:
            return None

        def codegen(context, builder, signature, args):
            return getattr(builder, operation)(args[0], args[1])

        return word(word, bits), codegen

    return intrinsic(shift)


shift_left, shift_right = _shift("shl"), _shift("lshr")


@intrinsic
def prefetch_entry(typingctx, array, index):
    """Fetch the cache line of an entry of a one-dimensional array, to the second level.

    Not to the first, and not to be written: on a Zen 4, such requests are dropped where
    there are more than it has room for.
    """

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(
            builder.gep(data, [args[1]]), ir.IntType(8).as_pointer()
        )
        word = ir.IntType(32)
        prefetch = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [place.type, word, word, word]),
            "llvm.prefetch.p0",
        )
        # To read; to keep in the caches from the second level on; data.
        builder.call(prefetch, [place, *(ir.Constant(word, c) for c in (0, 2, 1))])
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


@intrinsic
def prefer_wide_vectors(typingctx):
    """Request 512-bit vectors in the calling function, if the CPU has them.

    LLVM prefers 256 bits on many CPUs that have 512, to spare the clock of code that
    uses vectors now and then; these kernels use nothing else.
    """

    def codegen(context, builder, signature, args):
        attributes = builder.function.attributes
        attributes.add("noinline")
        # llvmlite's own `add` refuses the string attributes it does not list.
        set.add(attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def arrays_are_distinct(typingctx):
    """Promise that the arrays given to the calling function do not overlap.

    A loop that writes one array and gathers from another stays scalar without it. For a
    function that is not inlined.
    """

    def codegen(context, builder, signature, args):
        for argument in context.call_conv.get_arguments(builder.function):
            if isinstance(argument.type, ir.PointerType):
                argument.add_attribute("noalias")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def stack_words(typingctx, size):
    """Reserve a compile-time number of 32-bit words in the caller's stack frame."""
    if not isinstance(size, types.IntegerLiteral):
        return None
    words = size.literal_value

    def codegen(context, builder, signature, args):
        # Not cgutils.alloca_once, which fills with zeros: kilobytes at every call.
        with builder.goto_entry_block():
            block = builder.alloca(ir.ArrayType(ir.IntType(32), words))
        # A cache line, so that a lane row is one aligned vector.
        block.align = 64
        return builder.bitcast(block, ir.IntType(32).as_pointer())

    return types.CPointer(types.uint32)(size), codegen


@intrinsic
def stack_address(typingctx, size):
    """Address of a compile-time number of 64-bit words in the caller's stack frame."""
    if not isinstance(size, types.IntegerLiteral):
        return None
    words = size.literal_value

    def codegen(context, builder, signature, args):
        word = ir.IntType(64)
        with builder.goto_entry_block():
            block = builder.alloca(ir.ArrayType(word, words))
        return builder.ptrtoint(block, word)

    return types.int64(size), codegen


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


# --- threads and the C library ------------------------------------------------------


@intrinsic
def atomic_add(typingctx, address, amount):
    """Add to the 64-bit word at an address, in one step; returns what it was."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def call_address(typingctx, function, argument):
    """Call the C function at an address, which takes and returns one 64-bit word."""

    def codegen(context, builder, signature, args):
        word = ir.IntType(64)
        pointer = builder.inttoptr(args[0], ir.FunctionType(word, [word]).as_pointer())
        return builder.call(pointer, [args[1]])

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def task_address(typingctx, function):
    """Address of a C function ``void(void*)`` that calls a numba function.

    The C function is made in the module of the caller, so that the address is one
    the loader fills in: a number put here would be wrong in the next process that
    takes the kernel from the disk cache.
    """
    if not isinstance(function, types.Dispatcher):
        return None
    python_function = function.dispatcher.py_func

    def codegen(context, builder, signature, args):
        word = ir.IntType(64)
        of_word = types.int64(types.int64)
        compiled = context.compile_subroutine(builder, python_function, of_word)
        task = ir.Function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()]),
            builder.module.get_unique_name("synjit_task"),
        )
        task.linkage = "internal"
        body = ir.IRBuilder(task.append_basic_block())
        job = body.ptrtoint(task.args[0], word)
        context.call_internal_no_propagate(body, compiled.fndesc, of_word, [job])
        body.ret_void()
        return builder.ptrtoint(task, word)

    return types.int64(function), codegen


@intrinsic
def environment_integer(typingctx, name):
    """Read an environment variable as a decimal integer; 0 without one."""
    if not isinstance(name, types.StringLiteral):
        return None
    text = name.literal_value

    def codegen(context, builder, signature, args):
        module, word = builder.module, ir.IntType(64)
        string = ir.IntType(8).as_pointer()
        getenv = cgutils.get_or_insert_function(
            module, ir.FunctionType(string, [string]), "getenv"
        )
        strtol = cgutils.get_or_insert_function(
            module,
            ir.FunctionType(word, [string, string.as_pointer(), ir.IntType(32)]),
            "strtol",
        )
        value = builder.call(getenv, [context.insert_const_string(module, text)])
        null = ir.Constant(string, None)
        result = cgutils.alloca_once_value(builder, ir.Constant(word, 0))
        with builder.if_then(builder.icmp_unsigned("!=", value, null)):
            end = ir.Constant(string.as_pointer(), None)
            ten = ir.Constant(ir.IntType(32), 10)
            builder.store(builder.call(strtol, [value, end, ten]), result)
        return builder.load(result)

    return types.int64(name), codegen


# Of the C library; addresses are 64-bit words here.
malloc = types.ExternalFunction("malloc", types.int64(types.int64))
free = types.ExternalFunction("free", types.void(types.int64))
sched_yield = types.ExternalFunction("sched_yield", types.int32())
_madvise = types.ExternalFunction(
    "madvise", types.int32(types.int64, types.int64, types.int32)
)
_ADVISES = sys.platform == "linux"
_MADV_HUGEPAGE = 14  # <linux/mman.h>
_HUGE_PAGE = 1 << 21
_WORTH_ADVICE = 1 << 23


@njit
def advise_huge_pages(address, size):
    """Ask Linux for huge pages under memory that is about to be filled.

    To touch an ordinary page of fresh memory for the first time costs more than to fill
    it. Advice that cannot be followed is ignored.
    """
    if _ADVISES and size >= _WORTH_ADVICE:
        first = (address + _HUGE_PAGE - 1) // _HUGE_PAGE * _HUGE_PAGE
        last = (address + size) // _HUGE_PAGE * _HUGE_PAGE
        _madvise(first, last - first, _MADV_HUGEPAGE)
