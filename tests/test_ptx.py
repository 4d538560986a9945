# SPDX-License-Identifier: Apache-2.0
"""The executor of PTX does what the PTX ISA says, and refuses what it must not do.

Formulas are of Python's integers, and of ``struct`` for floats. These kernels are
written by hand; ``make ptx`` runs what XLA compiles.
"""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from ptx import execution
from ptx.assembly import assemble
from ptx.execution import ExecutionError, launch
from ptx.operations import OPCODES
from ptx.parsing import PtxError, parse
from ptx.warpgroups import WARPS, warps_alone

HEAD = """.version 9.0
.target sm_80
.address_size 64
.visible .entry synjit_test(
{parameters}
)
.reqntid {threads}, 1, 1
{{
	.reg .pred 	%p<9>;
	.reg .b32 	%r<19>;
	.reg .b64 	%rd<19>;
	mov.u32 	%r1, %tid.x;
	mov.u32 	%r2, %ctaid.x;
"""


def kernel(body: str, parameters: int, threads: int = 32, load: str = "ld.param.b64"):
    """Assemble a kernel; %rd1, %rd2, ... are where its parameters are."""
    names = [f"synjit_test_param_{i}" for i in range(parameters)]
    text = HEAD.format(
        parameters=",\n".join(f"\t.param .u64 .ptr .align 16 {n}" for n in names),
        threads=threads,
    )
    for i, name in enumerate(names):
        text += f"\t{load} \t%rd{i + 1}, [{name}];\n"
    return assemble(parse(f"{text}{body}\n\tret;\n}}\n"))


# --- what each instruction does ---------------------------------------------------


def signed(x, bits=32):
    return x - 2**bits if x >> (bits - 1) else x


def f32(x):
    return struct.unpack("<f", struct.pack("<I", x))[0]


def f64(x):
    return struct.unpack("<d", struct.pack("<Q", x))[0]


def bits32(x):
    return int(np.float32(x).view(np.uint32))  # a double, rounded once


def bits64(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def quotient(x, y):
    x, y = signed(x), signed(y)
    whole = abs(x) // abs(y)
    return whole if (x < 0) == (y < 0) else -whole


def least(x, y, sign, nan=False):
    """Least of two times a sign, -0 being below 0; NaN if both are, or if any is."""
    numbers = [v for v in (x, y) if not math.isnan(v)]
    if len(numbers) < (2 if nan else 1):
        return math.nan
    return min(numbers, key=lambda v: (sign * v, sign * math.copysign(1, v)))


def saturated(x):
    if math.isnan(x):
        return 0
    return int(min(max(x, -(2.0**31)), 2.0**31 - 1))


FORMULAS = {
    "mov.b32": lambda x: x,
    "mov.u32": lambda x: x,
    "mov.pred": lambda p: p,
    "mov.b64": lambda x: x,
    "mov.u64": lambda x: x,
    "cvta.to.global.u64": lambda x: x,
    "selp.b32": lambda x, y, p: x if p else y,
    "selp.f32": lambda x, y, p: x if p else y,
    "selp.b64": lambda x, y, p: x if p else y,
    "selp.f64": lambda x, y, p: x if p else y,
    "and.pred": lambda p, q: p and q,
    "or.pred": lambda p, q: p or q,
    "add.s32": lambda x, y: x + y,
    "sub.s32": lambda x, y: x - y,
    "mul.lo.s32": lambda x, y: x * y,
    "mad.lo.s32": lambda x, y, z: x * y + z,
    "mul.hi.s32": lambda x, y: signed(x) * signed(y) >> 32,
    "mul.hi.u32": lambda x, y: x * y >> 32,
    "div.s32": quotient,
    "rem.s32": lambda x, y: signed(x) - quotient(x, y) * signed(y),
    "neg.s32": lambda x: -x,
    "mul.wide.s32": lambda x, y: signed(x) * signed(y),
    "mul.wide.u32": lambda x, y: x * y,
    "add.s64": lambda x, y: x + y,
    "shl.b64": lambda x, n: x << n if n < 64 else 0,
    "or.b64": lambda x, y: x | y,
    "cvt.s64.s32": signed,
    "cvt.u64.u32": lambda x: x,
    "and.b32": lambda x, y: x & y,
    "or.b32": lambda x, y: x | y,
    "xor.b32": lambda x, y: x ^ y,
    "not.b32": lambda x: ~x,
    "shl.b32": lambda x, n: x << n if n < 32 else 0,
    "shr.u32": lambda x, n: x >> n if n < 32 else 0,
    "shr.s32": lambda x, n: signed(x) >> min(n, 31),
    "shf.l.wrap.b32": lambda x, y, n: (y << 32 | x) << (n & 31) >> 32,
    "bfe.u32": lambda x, n, m: x >> (n & 255) & 2 ** (m & 255) - 1,
    "clz.b32": lambda x: 32 - x.bit_length(),
    "min.s32": lambda x, y: min(signed(x), signed(y)),
    "min.u32": min,
    "max.s32": lambda x, y: max(signed(x), signed(y)),
    "max.u32": max,
    "max.relu.s32": lambda x, y: max(signed(x), signed(y), 0),
    "setp.eq.b32": lambda x, y: x == y,
    "setp.eq.s32": lambda x, y: x == y,
    "setp.ne.b32": lambda x, y: x != y,
    "setp.ne.s32": lambda x, y: x != y,
    "setp.lt.s32": lambda x, y: signed(x) < signed(y),
    "setp.le.s32": lambda x, y: signed(x) <= signed(y),
    "setp.gt.s32": lambda x, y: signed(x) > signed(y),
    "setp.ge.s32": lambda x, y: signed(x) >= signed(y),
    "setp.lt.u32": lambda x, y: x < y,
    "setp.le.u32": lambda x, y: x <= y,
    "setp.gt.u32": lambda x, y: x > y,
    "setp.ge.u32": lambda x, y: x >= y,
    "add.rn.f32": lambda x, y: bits32(f32(x) + f32(y)),
    "mul.rn.f32": lambda x, y: bits32(f32(x) * f32(y)),
    "cvt.rn.f32.s32": lambda x: bits32(signed(x)),
    "setp.neu.f32": lambda x, y: f32(x) != f32(y),
    "setp.gt.f32": lambda x, y: f32(x) > f32(y),
    "min.NaN.f32": lambda x, y: bits32(least(f32(x), f32(y), 1, nan=True)),
    "max.NaN.f32": lambda x, y: bits32(least(f32(x), f32(y), -1, nan=True)),
    "cvt.rzi.s32.f32": lambda x: saturated(f32(x)),
    "add.rn.f64": lambda x, y: bits64(f64(x) + f64(y)),
    "mul.rn.f64": lambda x, y: bits64(f64(x) * f64(y)),
    "cvt.rn.f64.s32": lambda x: bits64(signed(x)),
    "setp.neu.f64": lambda x, y: f64(x) != f64(y),
    "setp.gt.f64": lambda x, y: f64(x) > f64(y),
    "setp.nan.f64": lambda x, y: math.isnan(f64(x)) or math.isnan(f64(y)),
    "min.f64": lambda x, y: bits64(least(f64(x), f64(y), 1)),
    "max.f64": lambda x, y: bits64(least(f64(x), f64(y), -1)),
    "cvt.rzi.s32.f64": lambda x: saturated(f64(x)),
}
for name, compare in [*FORMULAS.items()]:
    if name.startswith("setp."):
        _, how, kind = name.split(".")
        FORMULAS[f"setp.{how}.and.{kind}"] = lambda x, y, p, f=compare: f(x, y) and p
        FORMULAS[f"setp.{how}.or.{kind}"] = lambda x, y, p, f=compare: f(x, y) or p
EDGES = [0, 1, 2, 2**31 - 1, 2**31, 2**32 - 1, 5, 31, 32, 33, 63, 64, 200, 7, 7, 3]
FLOATS = [0.0, -0.0, 1.5, 1e-40, -1e38, float("inf"), float("nan"), 3e38]


def values(opcode: str, kind: str, seed: int) -> list[int]:
    """Give operands of 32 lanes: edges, and others at random."""
    rng = np.random.default_rng(seed)
    if kind == "p":
        found = rng.integers(2, size=32).tolist()
    elif ".f32" in opcode and "cvt" not in opcode:
        found = [bits32(x) for x in (*FLOATS, *rng.normal(size=24))]
    elif ".f64" in opcode and "cvt" not in opcode:
        found = [bits64(x) for x in (*FLOATS, *rng.normal(size=24))]
    elif opcode.startswith("cvt.rzi"):
        bits = bits32 if kind == "r" else bits64
        found = [bits(x) for x in (*FLOATS, *1e9 * rng.normal(size=24))]
    elif kind == "d":
        found = [*EDGES, *rng.integers(2**64, size=16, dtype=np.uint64).tolist()]
    else:
        found = [*EDGES, *rng.integers(2**32, size=16).tolist()]
    return [int(found[i]) for i in rng.permutation(32)]


def run_instruction(opcode: str, operands: list[list[int]]) -> list[int]:
    """Run one instruction in 32 lanes; give the bits of its result."""
    _, result, sources, _ = OPCODES[opcode]
    inputs, text = [], "\tmul.wide.u32 %rd10, %r1, 8;\n"
    for i, (kind, lanes) in enumerate(zip(sources, operands, strict=True)):
        inputs.append(np.array(lanes, np.uint64).view(np.uint32))
        text += f"\tadd.s64 %rd11, %rd{i + 1}, %rd10;\n"
        register = {"r": f"%r{i + 11}", "p": f"%r{i + 11}", "d": f"%rd{i + 12}"}[kind]
        size = "b64" if kind == "d" else "b32"
        text += f"\tld.global.{size} {{ {register} }}, [ %rd11 + 0 ];\n"
        if kind == "p":
            text += f"\tsetp.ne.b32 %p{i + 1}, {register}, 0;\n"
    names = {"r": "%r{}", "p": "%p{}", "d": "%rd{}"}
    given = [
        names[kind].format(i + {"r": 11, "p": 1, "d": 12}[kind])
        for i, kind in enumerate(sources)
    ]
    to = {"r": "%r17", "p": "%p8", "d": "%rd17"}[result]
    text += f"\t{opcode} {', '.join([to, *given])};\n"
    if result == "p":
        text += "\tselp.b32 %r17, 1, 0, %p8;\n"
    text += f"\tadd.s64 %rd11, %rd{len(sources) + 1}, %rd10;\n"
    if result == "d":
        text += "\tst.global.b64 [ %rd11 + 0 ], { %rd17 };\n"
    else:
        text += "\tst.global.b32 [ %rd11 + 0 ], { %r17 };\n"
        text += "\tst.global.b32 [ %rd11 + 4 ], 0;\n"
    code = kernel(text, len(sources) + 1)
    done = launch(code, 1, inputs, [64], {}, seed=0)
    return done.results[0].view(np.uint64).tolist()


@pytest.mark.parametrize("opcode", FORMULAS)
def test_instruction_is_as_the_isa_says(opcode):
    _, result, sources, _ = OPCODES[opcode]
    formula = FORMULAS[opcode]
    for seed in range(4):
        operands = [values(opcode, k, 9 * seed + i) for i, k in enumerate(sources)]
        if opcode in {"div.s32", "rem.s32"}:
            operands[1] = [y or 3 for y in operands[1]]
        with np.errstate(over="ignore"):
            want = [formula(*lane) for lane in zip(*operands, strict=True)]
        size = 64 if result == "d" else 32
        got = run_instruction(opcode, operands)
        is_float = opcode.endswith((".f32", ".f64")) and result != "p"
        is_float = is_float and not opcode.startswith("cvt.rzi")
        for x, y, lane in zip(got, want, zip(*operands, strict=True), strict=True):
            as_float = f64 if size == 64 else f32
            if is_float and np.isnan(as_float(int(y))):  # which NaN is not specified
                assert np.isnan(as_float(x)), lane
            else:
                assert x == int(y) % 2**size, [hex(i) for i in lane]


def test_predicates_may_be_constants():
    body = """
	mov.pred %p1, 0;
	mov.pred %p2, -1;
	selp.b32 %r3, 5, 7, %p1;
	selp.b32 %r4, 5, 7, %p2;
	st.global.b32 [%rd1], %r3;
	st.global.b32 [%rd1+4], %r4;"""
    assert launch(kernel(body, 1), 1, [], [2], {}, 0).results[0].tolist() == [7, 5]


def test_every_opcode_is_tested():
    elsewhere = {"bar.sync", "ld.param.b64", "ld.param::entry.b64", "ret"}
    elsewhere |= {"griddepcontrol.wait", "bra", "bra.uni"}
    memory = {o for o in OPCODES if o.startswith(("ld.g", "st.", "atom.", "red"))}
    assert OPCODES.keys() - elsewhere - memory == FORMULAS.keys()


def test_reductions_are_over_the_warp():
    x = np.random.default_rng(1).integers(2**32, size=32, dtype=np.uint32)
    code = kernel(
        """
	mul.wide.u32 %rd10, %r1, 4;
	add.s64 %rd11, %rd1, %rd10;
	ld.global.b32 %r3, [%rd11];
	redux.sync.add.s32 %r4, %r3, -1;
	redux.sync.max.s32 %r5, %r3, -1;
	setp.eq.b32 %p1, %r1, 0;
	@%p1 st.global.b32 [%rd2], %r4;
	@%p1 st.global.b32 [%rd2+4], %r5;""",
        2,
    )
    total, most = launch(code, 1, [x], [2], {}, seed=0).results[0]
    assert total == sum(x.tolist()) % 2**32
    assert most.view(np.int32) == x.view(np.int32).max()


# --- atomics, loops, orders -------------------------------------------------------

AT_LANE = "\tmul.wide.u32 %rd10, %r1, 4;\n\tadd.s64 %rd11, %rd1, %rd10;\n"
OUT_LANE = AT_LANE.replace("%rd1,", "%rd2,").replace("%rd11", "%rd12")
LOAD = AT_LANE + "\tld.global.b32 %r3, [%rd11{offset}];\n"
STORE = OUT_LANE + "\tst.global.b32 [%rd12], %r3;\n"
ADD = """
	mul.lo.s32 %r3, %r2, 32;
	add.s32 %r3, %r3, %r1;
	{convert}
	mov.u{size} %{reg}4, 0x0; @%p1 {atomic} %{reg}4, [ %rd2 + 0 ], %{reg}5;"""


def adding(body: str):
    """Assemble a kernel whose output has the address of its second input."""
    return kernel(body, 3)


@pytest.mark.parametrize("opcode", ["atom", "red"])
@pytest.mark.parametrize(
    ("kind", "reg", "convert", "view"),
    [
        ("u32", "r", "mov.u32 %r5, %r3;", np.uint32),
        ("u64", "rd", "cvt.u64.u32 %rd5, %r3;", np.uint64),
        ("f32", "r", "cvt.rn.f32.s32 %r5, %r3;", np.float32),
        ("f64", "rd", "cvt.rn.f64.s32 %rd5, %r3;", np.float64),
    ],
)
def test_atomics_lose_nothing_and_mind_their_guard(kind, reg, convert, view, opcode):
    atomic = f"{opcode}.global.gpu.relaxed.add.{kind}"
    size = 32 if reg == "r" else 64
    body = "\tsetp.lt.s32 %p1, %r1, 31;\n" + ADD.format(
        convert=convert, size=size, reg=reg, atomic=atomic
    )
    if opcode == "red":  # it has no result
        body = body.replace(f"{atomic} %{reg}4, ", f"{atomic} ")
    code = adding(body)
    zero = np.zeros(size // 32, np.uint32)
    given = [np.zeros(1, np.uint32), zero]
    done = launch(code, 20, given, [zero.size], {1: 0}, seed=5)
    want = sum(i for i in range(640) if i % 32 < 31)
    assert done.results[0].view(view)[0] == want


def test_the_order_of_float_sums_is_another_for_each_seed():
    # 2^24 and ones: where a one is lost depends on when the large one comes.
    convert = """setp.eq.s32 %p2, %r3, 300;
	selp.f32 %r5, 0f4B800000, 0f3F800000, %p2;"""
    body = "\tsetp.lt.s32 %p1, %r1, 31;\n" + ADD.format(
        convert=convert, size=32, reg="r", atomic="atom.global.gpu.relaxed.add.f32"
    )
    code = adding(body)
    one = [np.zeros(1, np.uint32)] * 2
    found = [
        launch(code, 20, one, [1], {1: 0}, seed).results[0].view(np.float32)[0]
        for seed in (1, 2, 3, 4, 1)
    ]
    assert len(set(found)) > 1
    assert found[0] == found[-1]


def test_programs_are_interleaved_between_their_accesses():
    # Each takes two numbers: one at a time, the second would be next to the first.
    take = "atom.global.gpu.relaxed.add.u32 {}, [%rd2], 1;"
    body = f"""
	setp.eq.b32 %p1, %r1, 0;
	mov.u32 %r3, 0;
	mov.u32 %r4, 0;
	@%p1 {take.format("%r3")}
	@%p1 {take.format("%r4")}
	mul.wide.u32 %rd10, %r2, 8;
	add.s64 %rd10, %rd3, %rd10;
	@%p1 st.global.b32 [%rd10], %r3;
	@%p1 st.global.b32 [%rd10+4], %r4;"""
    unused, zero = np.zeros(1, np.uint32), np.zeros(1, np.uint32)
    done = launch(kernel(body, 4), 20, [unused, zero], [40, 1], {1: 1}, seed=1)
    first, second = done.results[0].reshape(20, 2).T
    assert sorted([*first, *second]) == list(range(40))
    assert np.mean(second - first > 1) > 0.5
    assert (np.argsort(first) != np.arange(20)).any()  # nor do they begin in order


def test_float_atomics_of_32_bits_flush_subnormal_numbers():
    body = """
	setp.eq.b32 %p1, %r1, 0;
	mov.u32 %r5, 0x00000100;
	mov.u32 %r4, 0x0; @%p1 atom.global.gpu.relaxed.add.f32 %r4, [ %rd2 + 0 ], %r5;"""
    zero = [np.zeros(1, np.uint32)] * 2
    done = launch(adding(body), 1, zero, [1], {1: 0}, seed=0)
    assert done.results[0][0] == 0


def test_loops_run_as_often_as_they_should():
    body = """
	mov.b32 %r3, 0;
	mov.b32 %r4, 0;
	bra.uni $L__BB0_2;
$L__BB0_1:
	add.s32 %r4, %r4, %r3;
	add.s32 %r3, %r3, 1;
$L__BB0_2:
	setp.lt.s32 %p1, %r3, %r2;
	@%p1 bra $L__BB0_1;
	mul.wide.u32 %rd10, %r2, 4;
	add.s64 %rd10, %rd1, %rd10;
	st.global.b32 [%rd10], %r4;"""
    done = launch(kernel(body, 1), 40, [], [40], {}, seed=3)
    assert done.results[0].tolist() == [i * (i - 1) // 2 for i in range(40)]
    assert done.counts.max() == sum(i + 1 for i in range(40))


def test_any_exchange_may_be_the_last():
    body = """
	setp.eq.b32 %p1, %r1, 3;
	@%p1 atom.global.gpu.relaxed.exch.b32 %r4, [%rd2], %r2;"""
    zero, last = np.zeros(1, np.uint32), set()
    for seed in range(20):
        done = launch(kernel(body, 3), 5, [zero, zero], [1], {1: 0}, seed)
        last.add(int(done.results[0][0]))
    assert last == set(range(5))


def test_words_without_a_value_have_none_in_the_next_launch():
    fill = (
        "\tsetp.ne.b32 %p1, %r1, 9;\n\tmov.b32 %r3, 1;\n"
        + OUT_LANE
        + "\t@%p1 st.global.b32 [%rd12], %r3;\n"
    )
    given = [np.zeros(1, np.uint32)]
    filled = launch(kernel(fill, 2), 1, given, [32], {}, 0, partly=True).results
    copy = kernel(LOAD.format(offset="") + STORE, 2)
    with pytest.raises(ExecutionError, match="lane 9: it reads memory that was never"):
        launch(copy, 1, filled, [32], {}, 0)


# --- what is refused --------------------------------------------------------------

FAULTS = {
    "past the end": (LOAD.format(offset="+4") + STORE, "lane 31: an access outside"),
    "before the first": (LOAD.format(offset="+-4") + STORE, "lane 0: an access out"),
    "not a multiple": (LOAD.format(offset="+2") + STORE, "no multiple"),
    "a register without a value": (STORE, "register that was never written: %r3"),
    "memory without a value": (
        OUT_LANE + "\tld.global.b32 %r3, [%rd12];\n" + STORE,
        "memory that was never written",
    ),
    "an output without a value": (
        "\tsetp.ne.b32 %p1, %r1, 9;\n\tmov.b32 %r3, 1;\n"
        + OUT_LANE
        + "\t@%p1 st.global.b32 [%rd12], %r3;\n",
        "1 words of output 0 were never written, the first at 9",
    ),
    "an addition that is not atomic": (
        "\tmov.b32 %r3, 1;\n"
        + STORE
        + "\tld.global.b32 %r3, [%rd2];\n\tadd.s32 %r3, %r3, 1;\n"
        + "\tst.global.b32 [%rd2], %r3;\n",
        "what another program of the launch",
    ),
    "a load of what another stores": (
        "\tmov.u32 %r3, 7;\n\tsetp.eq.b32 %p1, %r2, 2;\n\t@%p1 bra $L;\n"
        "\tld.global.b32 %r4, [%rd1];\n\tret;\n"
        "$L:\n\tst.global.b32 [%rd1], %r3;\n" + STORE,
        "what another program of the launch",
    ),
    "programs that disagree": (
        "\tmov.u32 %r3, %ctaid.x;\n" + STORE,
        "a different one",
    ),
    "lanes that disagree": (
        "\tst.global.b32 [%rd2], %r1;\n\tmov.b32 %r3, 1;\n" + STORE,
        "two lanes",
    ),
    "a store to what is added to": (
        "\tmov.b32 %r3, 1;\n"
        + STORE
        + "\tatom.global.gpu.relaxed.add.u32 %r4, [%rd2], %r3;\n",
        "what atomics write",
    ),
    "an exchange of what is added to": (
        "\tmov.b32 %r3, 1;\n"
        "\tatom.global.gpu.relaxed.add.u32 %r4, [%rd1], %r3;\n"
        "\tatom.global.gpu.relaxed.exch.b32 %r4, [%rd1], %r3;\n" + STORE,
        "what atomics write",
    ),
    "what an exchange has found": (
        "\tmov.b32 %r3, 1;\n\tmov.b32 %r4, 0;\n"
        "\tatom.global.gpu.relaxed.exch.b32 %r4, [%rd1], %r3;\n"
        "\tmov.b32 %r3, %r4;\n" + STORE,
        "register that was never written: %r4",
    ),
    "lanes that part": (
        "\tsetp.lt.s32 %p1, %r1, 5;\n\t@%p1 bra $L;\n\tmov.b32 %r3, 1;\n$L:\n"
        "\tmov.b32 %r3, 2;\n" + STORE,
        "only some lanes",
    ),
    "part of a warp": ("\tredux.sync.add.s32 %r3, %r1, 7;\n" + STORE, "not all lanes"),
    "division by 0": ("\tdiv.s32 %r3, 7, %r1;\n" + STORE, "lane 0: it divides by 0"),
    "no end": ("$L:\n\tbra.uni $L;\n", "does not end"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_program_that_does_what_it_must_not_is_caught(name, monkeypatch):
    body, message = FAULTS[name]
    monkeypatch.setattr(execution, "LIMIT", 10**5)
    x = np.arange(32, dtype=np.uint32)
    for seed in range(5):  # in any order
        with pytest.raises(ExecutionError, match=message):
            launch(kernel(body, 2), 5, [x], [32], {}, seed)


@pytest.mark.parametrize("load", ["ld.param.b64", "ld.param::entry.b64"])
def test_lanes_and_programs_may_store_the_same(load):
    body = "\tmov.b32 %r3, 7;\n\tst.global.b32 [%rd2], %r3;\n" + STORE
    x = np.arange(32, dtype=np.uint32)
    done = launch(kernel(body, 2, load=load), 5, [x], [32], {}, seed=0)
    assert done.results[0].tolist() == [7] * 32


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ld.shared.b32 %r3, [%rd1];", "not known"),
        ("ld.global.nc.b32 %r3, [%rd1];", "not known"),
        ("ld.global.v2.b32 {%r3, %r4}, [%rd1];", "not known"),
        ("atom.global.cta.relaxed.add.u32 %r3, [%rd1], %r1;", "not known"),
        ("add.rn.ftz.f32 %r3, %r1, %r1;", "not known"),
        ("bar.arrive 0, 64;", "not known"),
        ("add.s32 %r3, %r1, %rd1;", "no register of the class 'r'"),
        ("add.s32 %r3, %r1, %r99;", "no register of the class 'r'"),
        ("add.s32 %r3, %r1;", "3 operands"),
        ("setp.lt.and.u32 %p1, %r1, 3, %p1;", "combined with itself"),
        ("add.s32 %r3, %r1, 4294967296;", "more than 32 bits"),
        ("@%p1 add.s32 %r3, %r1, 1;", "a guard"),
        ("bra $L__BB9_9;", "a jump to nowhere"),
        ("ld.param.b64 %rd1, [another];", "no parameter"),
        (".local .b8 spill[8];", "neither a statement nor known"),
    ],
)
def test_a_text_that_is_not_known_is_refused(line, message):
    with pytest.raises(PtxError, match=message):
        kernel(f"\t{line}", 1)


def test_programs_of_more_than_a_warp_are_refused():
    with pytest.raises(PtxError, match="64 threads"):
        kernel("", 1, threads=64)


# --- programs of four warps, which Mosaic GPU makes -------------------------------

WARPGROUP = """.version 9.0
.visible .entry synjit_test(
	.param .u64 .ptr .align 256 synjit_test_param_0
)
.maxntid 128, 1, 1
.minnctapersm 1
{{
	.reg .pred 	%p<9>;
	.reg .b32 	%r<19>;
	.reg .b64 	%rd<19>;
	.loc	1 34 0
	ld.param::entry.b64 %rd1, [synjit_test_param_0];
	fence.mbarrier_init.release.cluster;
	bar.sync 	0;
	elect.sync 	%r5|%p1, -1;
	mov.u32 	%r1, %tid.x;
	mov.u32 	%r2, %ctaid.x;
	shl.b32 	%r3, %r2, 7;
	or.b32 	%r3, %r3, %r1;
	mul.wide.u32 %rd10, %r3, 4;
	add.s64 %rd10, %rd1, %rd10;
	{last}
	ret;
$L__func_end0:
}}
	.section	.debug_str
"""


def test_warps_of_a_program_are_run_as_programs():
    text = WARPGROUP.format(last="st.global.b32 [%rd10], %r3;")
    code = assemble(parse(warps_alone(text)))
    done = launch(code, 3 * WARPS, [], [3 * 128], {}, seed=2)
    assert done.results[0].tolist() == list(range(3 * 128))


def test_warps_of_a_program_can_have_nothing_in_common():
    shared = WARPGROUP.format(last="st.shared.b32 [%rd10], %r3;")
    with pytest.raises(PtxError, match="not known"):
        assemble(parse(warps_alone(shared)))
    elected = WARPGROUP.format(last="@%p1 st.global.b32 [%rd10], %r3;")
    code = assemble(parse(warps_alone(elected)))
    with pytest.raises(ExecutionError, match="never written: %p1"):
        launch(code, WARPS, [], [128], {}, seed=2)
    one = WARPGROUP.format(last="st.global.b32 [%rd1], %r3;")
    with pytest.raises(ExecutionError, match="different"):
        launch(assemble(parse(warps_alone(one))), WARPS, [], [1], {}, seed=2)
