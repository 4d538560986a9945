# SPDX-License-Identifier: Apache-2.0
"""Run programs of one warp each, interleaved at random.

A program has a place among a few that are resident, as on a device; when it ends, the
next takes its place. Who goes on is drawn anew after every access to memory. What is
done between accesses is seen by nobody else, so these are all orders there are of the
instructions of programs, memory being consistent.

All 32 lanes of a warp go together. A register is a row of lanes, of 32 bits in
``words`` or of 64 in ``longs``; a predicate is 0 or 1 in ``words``. ``written`` has a
bit for each lane of a register that has a value.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from . import memory as mem
from .assembly import GUARD, LANES, NEGATED, OFFSET, OPERATION, RESULT, A, B, C
from .operations import *

ALL = 0xFFFFFFFF
GOES_ON, ENDED = 0, 1


@njit(cache=True)
def run(steps, words, longs, written, program_register, memory, order, state, counts):
    """Run the programs whose numbers ``order`` lists; a fault is told in ``state``.

    Parameters
    ----------
    steps : int64 (instructions, 8)
    words, longs : (resident, registers, 32)
        Constants, lanes and parameters are in place.
    written : uint32 (resident, registers)
    program_register : int
    memory : Memory
    order : int64 (programs,)
    state : int64 (6,)
        Seed of the order, and how many instructions are too many; then come the fault,
        the instruction, the program and the lane or register that it is about.
    counts : int64 (instructions,)
        Added to: how often each was run.
    """
    resident = words.shape[0]
    program = np.zeros(resident, np.int64)
    at = np.zeros(resident, np.int64)
    fresh = written.copy()
    draw = np.uint64(state[0]) * np.uint64(2) + np.uint64(1)
    next_one, live, left = 0, 0, state[1]
    while live < resident and next_one < len(order):
        program[live] = order[next_one]
        live += 1
        next_one += 1
    places = np.arange(resident)
    for i in range(live):
        words[i, program_register, :] = program[i]
    while live:
        draw ^= draw << np.uint64(13)
        draw ^= draw >> np.uint64(7)
        draw ^= draw << np.uint64(17)
        which = np.int64((draw >> np.uint64(33)) % np.uint64(live))
        i = places[which]
        at[i], done = _turn(
            steps,
            words[i],
            longs[i],
            written[i],
            memory,
            at[i],
            program[i],
            state,
            counts,
        )
        left -= 1
        if left < 0 and not state[2]:
            state[2], state[4] = mem.TOO_LONG, program[i]
        if state[2]:
            return
        if done == GOES_ON:
            continue
        if next_one < len(order):
            program[i], at[i] = order[next_one], 0
            next_one += 1
            written[i] = fresh[i]
            words[i, program_register, :] = program[i]
        else:
            live -= 1
            places[which], places[live] = places[live], places[which]


@njit(cache=True)
def _fault(state, what, at, program, where):
    state[2], state[3], state[4], state[5] = what, at, program, where
    return at, ENDED


@njit(cache=True)
def _flush(x):
    """Zero for subnormal numbers: what atomics do to floats of 32 bits."""
    return x * np.float32(0) if abs(x) < np.float32(2.0**-126) else x


@njit(cache=True)
def _smaller(x, y, larger, keeps_nan):
    """Smaller of two floats, or the larger, where -0 is below 0.

    Of a NaN and a number it is the NaN or, unless ``keeps_nan``, the number.
    """
    if np.isnan(x) or np.isnan(y):
        return x if np.isnan(x) == keeps_nan else y
    if x == y:
        return x if np.signbit(x) != larger else y
    return x if (x < y) != larger else y


@njit(cache=True)
def _to_s32(x):
    """Round to zero and saturate; 0 of a NaN."""
    if np.isnan(x):
        return np.int32(0)
    return np.int32(min(max(np.trunc(x), -(2.0**31)), 2.0**31 - 1))


@njit(cache=True)
def _turn(steps, u32, u64, written, memory, at, program, state, counts):
    """Run one program up to and including its next access; give where it goes on."""
    i32, f32 = u32.view(np.int32), u32.view(np.float32)
    i64, f64 = u64.view(np.int64), u64.view(np.float64)
    lanes = range(LANES)
    for _ in range(state[1]):
        if at >= len(steps):
            return _fault(state, mem.PAST_END, at, program, 0)
        op = steps[at, OPERATION]
        d, a, b, c = steps[at, RESULT], steps[at, A], steps[at, B], steps[at, C]
        counts[at] += 1

        mask = ALL
        guard = steps[at, GUARD]
        if guard >= 0:
            if written[guard] != ALL:
                return _fault(state, mem.NO_REGISTER_VALUE, at, program, guard)
            mask = 0
            for i in lanes:
                mask |= np.int64(u32[guard, i] ^ steps[at, NEGATED]) << i
        for source in (a, b, c):
            if source >= 0 and written[source] & mask != mask:
                return _fault(state, mem.NO_REGISTER_VALUE, at, program, source)

        if op >= LOAD_32:
            what, where = _access(
                op,
                d,
                a,
                b,
                steps[at, OFFSET],
                mask,
                u32,
                u64,
                f32,
                f64,
                memory,
                program,
            )
            if what:
                return _fault(state, what, at, program, where)
            if d >= 0 and op in (EXCHANGE_32, EXCHANGE_64):
                written[d] &= np.uint32(ALL ^ mask)
            elif d >= 0:
                written[d] |= np.uint32(mask)
            return at + 1, GOES_ON
        if op == RETURN:
            return at, ENDED
        if op == JUMP:
            if mask == ALL:
                at = steps[at, OFFSET]
            elif mask == 0:
                at += 1
            else:
                return _fault(state, mem.LANES_PART, at, program, 0)
            continue

        if op == MOVE_32:
            for i in lanes:
                u32[d, i] = u32[a, i]
        elif op == MOVE_64:
            for i in lanes:
                u64[d, i] = u64[a, i]
        elif op == SELECT_32:
            for i in lanes:
                u32[d, i] = u32[a, i] if u32[c, i] else u32[b, i]
        elif op == SELECT_64:
            for i in lanes:
                u64[d, i] = u64[a, i] if u32[c, i] else u64[b, i]
        elif op in (AND_32, AND_P):
            for i in lanes:
                u32[d, i] = u32[a, i] & u32[b, i]
        elif op in (OR_32, OR_P):
            for i in lanes:
                u32[d, i] = u32[a, i] | u32[b, i]
        elif op == XOR_32:
            for i in lanes:
                u32[d, i] = u32[a, i] ^ u32[b, i]
        elif op == NOT_32:
            for i in lanes:
                u32[d, i] = ~u32[a, i]
        elif op == ADD_32:
            for i in lanes:
                u32[d, i] = u32[a, i] + u32[b, i]
        elif op == SUB_32:
            for i in lanes:
                u32[d, i] = u32[a, i] - u32[b, i]
        elif op == MUL_32:
            for i in lanes:
                u32[d, i] = u32[a, i] * u32[b, i]
        elif op == MAD_32:
            for i in lanes:
                u32[d, i] = u32[a, i] * u32[b, i] + u32[c, i]
        elif op == NEG_32:
            for i in lanes:
                i32[d, i] = -i32[a, i]
        elif op == MUL_HIGH_S32:
            for i in lanes:
                i32[d, i] = (np.int64(i32[a, i]) * np.int64(i32[b, i])) >> 32
        elif op == MUL_HIGH_U32:
            for i in lanes:
                u32[d, i] = (np.uint64(u32[a, i]) * np.uint64(u32[b, i])) >> np.uint64(
                    32
                )
        elif op in (DIV_S32, REM_S32):
            for i in lanes:
                if u32[b, i] == 0:
                    return _fault(state, mem.DIVISION_BY_0, at, program, i)
                x, y = np.int64(i32[a, i]), np.int64(i32[b, i])
                quotient = abs(x) // abs(y)
                if (x < 0) != (y < 0):
                    quotient = -quotient
                i32[d, i] = quotient if op == DIV_S32 else x - quotient * y
        elif op == MUL_WIDE_S32:
            for i in lanes:
                i64[d, i] = np.int64(i32[a, i]) * np.int64(i32[b, i])
        elif op == MUL_WIDE_U32:
            for i in lanes:
                u64[d, i] = np.uint64(u32[a, i]) * np.uint64(u32[b, i])
        elif op == ADD_64:
            for i in lanes:
                u64[d, i] = u64[a, i] + u64[b, i]
        elif op == SHL_64:
            for i in lanes:
                n = np.uint64(u32[b, i])
                u64[d, i] = u64[a, i] << n if n < 64 else np.uint64(0)
        elif op == OR_64:
            for i in lanes:
                u64[d, i] = u64[a, i] | u64[b, i]
        elif op == SIGNED_TO_64:
            for i in lanes:
                i64[d, i] = i32[a, i]
        elif op == UNSIGNED_TO_64:
            for i in lanes:
                u64[d, i] = u32[a, i]
        elif op == SHL_32:
            for i in lanes:
                n = np.uint64(u32[b, i])
                u32[d, i] = np.uint64(u32[a, i]) << n if n < 32 else np.uint64(0)
        elif op == SHR_U32:
            for i in lanes:
                n = np.uint64(u32[b, i])
                u32[d, i] = np.uint64(u32[a, i]) >> n if n < 32 else np.uint64(0)
        elif op == SHR_S32:
            for i in lanes:
                i32[d, i] = np.int64(i32[a, i]) >> min(np.int64(u32[b, i]), 32)
        elif op == FUNNEL_LEFT:  # the high word of b, a, shifted to the left
            for i in lanes:
                n = np.uint64(u32[c, i] & 31)
                both = np.uint64(u32[b, i]) << np.uint64(32) | np.uint64(u32[a, i])
                u32[d, i] = (both << n) >> np.uint64(32)
        elif op == FIELD:  # so many bits, from one on; b and c are bytes
            for i in lanes:
                n, length = np.uint64(u32[b, i] & 255), np.uint64(u32[c, i] & 255)
                x = np.uint64(u32[a, i]) >> n if n < 32 else np.uint64(0)
                if length < 32:
                    x &= (np.uint64(1) << length) - np.uint64(1)
                u32[d, i] = x
        elif op == CLZ:
            for i in lanes:
                x, n = u32[a, i], 32
                while x:
                    x >>= 1
                    n -= 1
                u32[d, i] = n
        elif op == MIN_S32:
            for i in lanes:
                i32[d, i] = min(i32[a, i], i32[b, i])
        elif op == MIN_U32:
            for i in lanes:
                u32[d, i] = min(u32[a, i], u32[b, i])
        elif op == MAX_S32:
            for i in lanes:
                i32[d, i] = max(i32[a, i], i32[b, i])
        elif op == MAX_U32:
            for i in lanes:
                u32[d, i] = max(u32[a, i], u32[b, i])
        elif op == MAX_OR_0:
            for i in lanes:
                i32[d, i] = max(i32[a, i], i32[b, i], 0)
        elif op == EQ_32:
            for i in lanes:
                u32[d, i] = u32[a, i] == u32[b, i]
        elif op == NE_32:
            for i in lanes:
                u32[d, i] = u32[a, i] != u32[b, i]
        elif op == LT_S32:
            for i in lanes:
                u32[d, i] = i32[a, i] < i32[b, i]
        elif op == LE_S32:
            for i in lanes:
                u32[d, i] = i32[a, i] <= i32[b, i]
        elif op == GT_S32:
            for i in lanes:
                u32[d, i] = i32[a, i] > i32[b, i]
        elif op == GE_S32:
            for i in lanes:
                u32[d, i] = i32[a, i] >= i32[b, i]
        elif op == LT_U32:
            for i in lanes:
                u32[d, i] = u32[a, i] < u32[b, i]
        elif op == LE_U32:
            for i in lanes:
                u32[d, i] = u32[a, i] <= u32[b, i]
        elif op == GT_U32:
            for i in lanes:
                u32[d, i] = u32[a, i] > u32[b, i]
        elif op == GE_U32:
            for i in lanes:
                u32[d, i] = u32[a, i] >= u32[b, i]
        elif op == ADD_F32:
            for i in lanes:
                f32[d, i] = f32[a, i] + f32[b, i]
        elif op == MUL_F32:
            for i in lanes:
                f32[d, i] = f32[a, i] * f32[b, i]
        elif op == S32_TO_F32:
            for i in lanes:
                f32[d, i] = np.float32(i32[a, i])
        elif op == NE_F32:
            for i in lanes:
                u32[d, i] = f32[a, i] != f32[b, i]
        elif op == GT_F32:
            for i in lanes:
                u32[d, i] = f32[a, i] > f32[b, i]
        elif op in (MIN_F32, MAX_F32):
            for i in lanes:
                f32[d, i] = _smaller(f32[a, i], f32[b, i], op == MAX_F32, True)
        elif op == F32_TO_S32:
            for i in lanes:
                i32[d, i] = _to_s32(np.float64(f32[a, i]))
        elif op == ADD_F64:
            for i in lanes:
                f64[d, i] = f64[a, i] + f64[b, i]
        elif op == MUL_F64:
            for i in lanes:
                f64[d, i] = f64[a, i] * f64[b, i]
        elif op == S32_TO_F64:
            for i in lanes:
                f64[d, i] = np.float64(i32[a, i])
        elif op == NE_F64:
            for i in lanes:
                u32[d, i] = f64[a, i] != f64[b, i]
        elif op == GT_F64:
            for i in lanes:
                u32[d, i] = f64[a, i] > f64[b, i]
        elif op == NAN_F64:
            for i in lanes:
                u32[d, i] = np.isnan(f64[a, i]) or np.isnan(f64[b, i])
        elif op in (MIN_F64, MAX_F64):
            for i in lanes:
                f64[d, i] = _smaller(f64[a, i], f64[b, i], op == MAX_F64, False)
        elif op == F64_TO_S32:
            for i in lanes:
                i32[d, i] = _to_s32(f64[a, i])
        elif op in (SUM_WARP, MAX_WARP):
            total, most = np.uint64(0), np.int64(i32[a, 0])
            for i in lanes:
                if u32[b, i] != ALL:
                    return _fault(state, mem.NOT_ALL_LANES, at, program, i)
                total += np.uint64(u32[a, i])
                most = max(most, np.int64(i32[a, i]))
            for i in lanes:
                if op == SUM_WARP:
                    u32[d, i] = total
                else:
                    i32[d, i] = most
        if steps[at, OFFSET] == WITH_AND:
            for i in lanes:
                u32[d, i] &= u32[c, i]
        elif steps[at, OFFSET] == WITH_OR:
            for i in lanes:
                u32[d, i] |= u32[c, i]
        if d >= 0:
            written[d] = ALL
        at += 1
    return _fault(state, mem.TOO_LONG, at, program, 0)


@njit(cache=True)
def _access(op, d, a, b, offset, mask, u32, u64, f32, f64, memory, program):
    """Load, store, add or exchange in some lanes; give the fault and its lane."""
    words = (LOAD_32, STORE_32, ATOMIC_ADD_U32, ATOMIC_ADD_F32, EXCHANGE_32)
    size = 4 if op in words else 8
    for i in range(LANES):
        if not (mask >> i) & 1:
            continue
        address = np.int64(u64[a, i]) + offset
        if op in (LOAD_32, LOAD_64):
            cell = mem.load(memory, address, size, program + 1)
        elif op == STORE_32:
            cell = mem.store(memory, address, size, np.uint64(u32[b, i]), program + 1)
        elif op == STORE_64:
            cell = mem.store(memory, address, size, u64[b, i], program + 1)
        elif op in (EXCHANGE_32, EXCHANGE_64):
            cell = mem.change(memory, address, size, mem.EXCHANGED)
        else:
            cell = mem.change(memory, address, size, mem.ADDED)
        if cell < 0:
            return -cell, i
        if op == LOAD_32:
            u32[d, i] = memory.cells[cell]
        elif op == LOAD_64:
            u64[d, i] = memory.longs[cell >> 1]
        elif op == EXCHANGE_32:
            memory.cells[cell] = u32[b, i]
        elif op == EXCHANGE_64:
            memory.longs[cell >> 1] = u64[b, i]
        elif op == ATOMIC_ADD_U32:
            old32 = memory.cells[cell]
            memory.cells[cell] = old32 + u32[b, i]
            if d >= 0:
                u32[d, i] = old32
        elif op == ATOMIC_ADD_U64:
            old64 = memory.longs[cell >> 1]
            memory.longs[cell >> 1] = old64 + u64[b, i]
            if d >= 0:
                u64[d, i] = old64
        elif op == ATOMIC_ADD_F32:
            old = _flush(memory.floats[cell])
            memory.floats[cell] = _flush(old + _flush(f32[b, i]))
            if d >= 0:
                f32[d, i] = old
        elif op == ATOMIC_ADD_F64:
            double = memory.doubles[cell >> 1]
            memory.doubles[cell >> 1] = double + f64[b, i]
            if d >= 0:
                f64[d, i] = double
    if op not in (STORE_32, STORE_64):
        return mem.FINE, 0
    for i in range(LANES):
        if (mask >> i) & 1:
            cell = mem.find(memory, np.int64(u64[a, i]) + offset, size)
            wrong = (
                memory.cells[cell] != u32[b, i]
                if op == STORE_32
                else memory.longs[cell >> 1] != u64[b, i]
            )
            if wrong:
                return mem.LANES_DISAGREE, i
    return mem.FINE, 0
