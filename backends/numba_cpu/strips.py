# SPDX-License-Identifier: Apache-2.0
"""Vectors longer than the machine's, for work whose steps wait for each other.

LLVM turns a loop into vector code whose iterations follow one another, and a processor
does not look far enough ahead to begin the next while one waits. What is written as one
long vector, a strip, becomes several of the machine's, whose steps take turns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from synjit.reference import draw, threefry

LANES = 16
_WORD = ir.IntType(32)


class _Strip:
    """Words of code that is being made, with the operators that formulas are made of.

    An operand is another strip, or an int or a scalar, which stands for all of it.
    """

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value

    def _do(self, operation: Callable[[Any, Any], Any], other: Any) -> _Strip:
        if isinstance(other, _Strip):
            value = other.value
        else:
            value = _every(self.builder, other, self.value.type)
        return _Strip(self.builder, operation(self.value, value))

    def __add__(self, word: Any) -> _Strip:
        return self._do(self.builder.add, word)

    def __mul__(self, word: Any) -> _Strip:
        return self._do(self.builder.mul, word)

    def __xor__(self, word: Any) -> _Strip:
        return self._do(self.builder.xor, word)

    def __and__(self, word: Any) -> _Strip:
        return self._do(self.builder.and_, word)

    def __or__(self, word: Any) -> _Strip:
        return self._do(self.builder.or_, word)

    def __lshift__(self, bits: Any) -> _Strip:
        return self._do(self.builder.shl, bits)

    def __rshift__(self, bits: Any) -> _Strip:
        return self._do(self.builder.lshr, bits)


def _every(builder: Any, word: Any, vector: ir.VectorType) -> Any:
    """Make a vector of one word."""
    if isinstance(word, int):
        return ir.Constant(vector, [word] * vector.count)
    none = ir.Constant(vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(_WORD, vector.count), [0] * vector.count)
    return builder.shuffle_vector(
        builder.insert_element(none, word, _WORD(0)), none, zeros
    )


class _Array:
    """An array argument of an intrinsic, of one or two dimensions."""

    def __init__(self, context: Any, builder: Any, dtype: Any, value: Any) -> None:
        array = context.make_array(dtype)(context, builder, value)
        self.builder = builder
        self.data = array.data
        self.row = builder.extract_value(array.shape, dtype.ndim - 1)

    def at(self, *index: Any) -> Any:
        """Address of an element; 64-bit words, or ints."""
        first, *rest = (self.row.type(i) if isinstance(i, int) else i for i in index)
        for i in rest:
            first = self.builder.add(self.builder.mul(first, self.row), i)
        return self.builder.gep(self.data, [first])

    def every(self, vector: ir.VectorType, *index: Any) -> _Strip:
        """Make a strip of one element."""
        word = self.builder.load(self.at(*index))
        return _Strip(self.builder, _every(self.builder, word, vector))

    def load(self, vector: ir.VectorType, *index: Any) -> _Strip:
        """Load a strip."""
        address = self.builder.bitcast(self.at(*index), vector.as_pointer())
        return _Strip(
            self.builder, self.builder.load(address, align=vector.element.width // 8)
        )

    def store(self, strip: _Strip, *index: Any) -> None:
        """Store a strip."""
        vector = strip.value.type
        address = self.builder.bitcast(self.at(*index), vector.as_pointer())
        self.builder.store(strip.value, address, align=vector.element.width // 8)


@intrinsic
def place_strip(typingctx, keys, row, lane, half, up, start, rows, first, size):
    """List ``size`` places of a chunk, from number ``first`` on, at that index.

    Parameters
    ----------
    keys : uint32 array (rows, lanes)
        From ``row`` on, the multiplier of each round, then the addend of each, shifted
        up; those of 16-bit places in both halves of their words.
    row, lane, first : int
    half : word
        Bits that the xor-shift of an even round moves; an odd one moves one more.
    up : word
        Bits by which places are shifted up, to the upper end of their words.
    start : word
        Added to each place.
    rows : array of words
        Of 16 bits, or of 32.
    size : int literal
    """
    if not isinstance(size, types.IntegerLiteral):
        return None
    places, bits = size.literal_value, rows.dtype.bitwidth

    def codegen(context, builder, signature, args):
        _, row, lane, half, up, start, _, first, _ = args
        words = ir.VectorType(ir.IntType(bits), places)
        pairs = ir.VectorType(ir.IntType(32), places * bits // 32)
        keys, rows = (
            _Array(context, builder, signature.args[i], args[i]) for i in (0, 6)
        )

        def key(i):
            twice = keys.every(pairs, builder.add(row, row.type(i)), lane)
            return _Strip(builder, builder.bitcast(twice.value, words))

        odd = builder.add(half, half.type(1))
        keep = builder.shl(up.type(-1), up)
        x = _Strip(builder, ir.Constant(words, list(range(places))))
        x = (x + builder.trunc(first, words.element)) << up
        for r in range(draw.ROUNDS):
            x = x * key(r) + key(draw.ROUNDS + r)
            x = x ^ ((x >> (odd if r % 2 else half)) & keep)
        rows.store((x >> up) + start, first)
        return context.get_dummy_value()

    word, index = rows.dtype, types.int64
    return (
        types.void(keys, index, index, word, word, word, rows, index, size),
        codegen,
    )


@intrinsic
def key_strip(typingctx, seed, columns, chunks, keys, pair, second, stride, ones):
    """Draw the words of two pairs of each of LANES chunks.

    Parameters
    ----------
    seed : uint32 array (2,)
    columns, chunks : uint32 arrays (LANES,)
    keys : uint32 array (rows, LANES)
        Filled: the first words in the rows ``pair`` and the next, the second words in
        ``second`` and the next.
    pair, second : int
        The number of the first pair, and a row.
    stride : uint32
        Pairs from one chunk to the next.
    ones : uint32
        Bits that the counter of the other pair has all the same.
    """

    def codegen(context, builder, signature, args):
        seed, columns, chunks, keys = (
            _Array(context, builder, dtype, value)
            for dtype, value in zip(signature.args[:4], args[:4], strict=True)
        )
        words = ir.VectorType(_WORD, 2 * LANES)
        first, other = ([i] * LANES + [j] * LANES for i, j in ((0, 1), (0, 2**32 - 1)))

        def twice(array):
            lanes = array.load(ir.VectorType(_WORD, LANES), 0).value
            places = ir.Constant(words, [*range(LANES)] * 2)
            return _Strip(builder, builder.shuffle_vector(lanes, lanes, places))

        counters = twice(chunks) * args[6] + builder.trunc(args[4], _WORD)
        counters = counters + _Strip(builder, ir.Constant(words, first))
        counters = counters | _Strip(builder, ir.Constant(words, other)) & args[7]
        key = seed.every(words, 0), seed.every(words, 1)
        x0, x1 = threefry2x32(key, twice(columns), counters)
        keys.store(x0, args[4], 0)
        keys.store(x1, args[5], 0)
        return context.get_dummy_value()

    index, word = types.int64, types.uint32
    return types.void(seed, columns, chunks, keys, index, index, word, word), codegen


def threefry2x32(
    key: tuple[_Strip, _Strip], x0: _Strip, x1: _Strip
) -> tuple[_Strip, _Strip]:
    """Two words from a key and a counter."""
    schedule = (*key, key[0] ^ key[1] ^ threefry.PARITY)
    x0, x1 = x0 + schedule[0], x1 + schedule[1]
    for r in range(threefry.ROUNDS):
        rotation = threefry.ROTATIONS[r % 8]
        x0 = x0 + x1
        x1 = ((x1 << rotation) | (x1 >> 32 - rotation)) ^ x0
        if r % 4 == 3:
            injection = r // 4 + 1
            x0 = x0 + schedule[injection % 3]
            x1 = x1 + (schedule[(injection + 1) % 3] + injection)
    return x0, x1


@intrinsic
def place_words(typingctx, keys, multipliers, addends, places, up, both, keep):
    """Make the words of two rounds that ``place_strip`` reads.

    Parameters
    ----------
    keys : uint32 array (rows, lanes)
    multipliers, addends, places : int
        Rows: of the two rounds' words, which are read (a multiplier is made odd), and
        of what is written.
    up : uint32
        Bits by which addends are shifted up.
    both, keep : uint32
        Bits by which a word is shifted up beside itself, and what is kept of it there.
    """

    def codegen(context, builder, signature, args):
        keys = _Array(context, builder, signature.args[0], args[0])
        words = ir.VectorType(_WORD, 2 * LANES)
        _, multipliers, addends, places, up, both, keep = args
        a, b = keys.load(words, multipliers, 0) | 1, keys.load(words, addends, 0) << up
        keys.store(a, multipliers, 0)
        keys.store((a << both) | (a & keep), places, 0)
        places = builder.add(places, places.type(draw.ROUNDS))
        keys.store((b << both) | (b & keep), places, 0)
        return context.get_dummy_value()

    index, word = types.int64, types.uint32
    return types.void(keys, index, index, index, word, word, word), codegen
