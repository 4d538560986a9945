# SPDX-License-Identifier: Apache-2.0
"""The instructions that are known: for each opcode an operation and its operands.

An opcode stands here with all its modifiers, as compilers write it; one that does not
stand here is an error. Operands are named by their classes: "p" a predicate, "r" and
"d" registers of 32 and of 64 bits, or constants; "m" is a place in memory, "P" a
parameter of the kernel, "L" a label.
"""

from __future__ import annotations

from typing import NamedTuple


class Signature(NamedTuple):
    """Operation, and classes of the result ("" if there is none) and of operands.

    A comparison may be combined with a predicate, its last operand: ``WITH_AND`` or
    ``WITH_OR``.
    """

    operation: int
    result: str
    sources: str
    combined: int = 0


WITH_AND, WITH_OR = 1, 2


# Each is a branch of ``machine.run``. Those that PTX names by several types, and that
# do the same to the bits, are one.
(
    NOTHING, RETURN, JUMP,
    MOVE_32, MOVE_64, SELECT_32, SELECT_64, AND_P, OR_P,
    ADD_32, SUB_32, MUL_32, MAD_32, MUL_HIGH_S32, MUL_HIGH_U32,
    DIV_S32, REM_S32, NEG_32, MUL_WIDE_S32, MUL_WIDE_U32,
    ADD_64, SHL_64, OR_64, SIGNED_TO_64, UNSIGNED_TO_64,
    AND_32, OR_32, XOR_32, NOT_32, SHL_32, SHR_U32, SHR_S32, FUNNEL_LEFT, FIELD, CLZ,
    MIN_S32, MIN_U32, MAX_S32, MAX_U32, MAX_OR_0,
    EQ_32, NE_32, LT_S32, LE_S32, GT_S32, GE_S32, LT_U32, LE_U32, GT_U32, GE_U32,
    ADD_F32, MUL_F32, S32_TO_F32, NE_F32, GT_F32, MIN_F32, MAX_F32, F32_TO_S32,
    ADD_F64, MUL_F64, S32_TO_F64, NE_F64, GT_F64, MIN_F64, MAX_F64, F64_TO_S32, NAN_F64,
    SUM_WARP, MAX_WARP,
    LOAD_32, LOAD_64, STORE_32, STORE_64,
    ATOMIC_ADD_U32, ATOMIC_ADD_U64, ATOMIC_ADD_F32, ATOMIC_ADD_F64,
    EXCHANGE_32, EXCHANGE_64,
) = range(79)  # fmt: skip

# These may have a guard; of others it is an error.
GUARDED = frozenset(
    {JUMP, LOAD_32, LOAD_64, STORE_32, STORE_64}
    | {ATOMIC_ADD_U32, ATOMIC_ADD_U64, ATOMIC_ADD_F32, ATOMIC_ADD_F64}
    | {EXCHANGE_32, EXCHANGE_64}
)

OPCODES: dict[str, Signature] = {}


def _define(operation: int, result: str, sources: str, *opcodes: str) -> None:
    for opcode in opcodes:
        OPCODES[opcode] = Signature(operation, result, sources)


# What has to be complete before it, is: nothing else is launched.
_define(NOTHING, "", "", "griddepcontrol.wait")
# A program is one warp, whose lanes go together: it waits for nobody.
_define(NOTHING, "", "r", "bar.sync")
_define(RETURN, "", "", "ret")
_define(JUMP, "", "L", "bra", "bra.uni")
_define(MOVE_32, "r", "r", "mov.b32", "mov.u32")
_define(MOVE_32, "p", "p", "mov.pred")
# An address of global memory is the same as a generic one.
_define(MOVE_64, "d", "d", "mov.b64", "mov.u64", "cvta.to.global.u64")
_define(MOVE_64, "d", "P", "ld.param.b64", "ld.param::entry.b64")
_define(SELECT_32, "r", "rrp", "selp.b32", "selp.f32")
_define(SELECT_64, "d", "ddp", "selp.b64", "selp.f64")
_define(AND_P, "p", "pp", "and.pred")
_define(OR_P, "p", "pp", "or.pred")
_define(ADD_32, "r", "rr", "add.s32")
_define(SUB_32, "r", "rr", "sub.s32")
_define(MUL_32, "r", "rr", "mul.lo.s32")
_define(MAD_32, "r", "rrr", "mad.lo.s32")
_define(MUL_HIGH_S32, "r", "rr", "mul.hi.s32")
_define(MUL_HIGH_U32, "r", "rr", "mul.hi.u32")
_define(DIV_S32, "r", "rr", "div.s32")
_define(REM_S32, "r", "rr", "rem.s32")
_define(NEG_32, "r", "r", "neg.s32")
_define(MUL_WIDE_S32, "d", "rr", "mul.wide.s32")
_define(MUL_WIDE_U32, "d", "rr", "mul.wide.u32")
_define(ADD_64, "d", "dd", "add.s64")
_define(SHL_64, "d", "dr", "shl.b64")
_define(OR_64, "d", "dd", "or.b64")
_define(SIGNED_TO_64, "d", "r", "cvt.s64.s32")
_define(UNSIGNED_TO_64, "d", "r", "cvt.u64.u32")
_define(AND_32, "r", "rr", "and.b32")
_define(OR_32, "r", "rr", "or.b32")
_define(XOR_32, "r", "rr", "xor.b32")
_define(NOT_32, "r", "r", "not.b32")
_define(SHL_32, "r", "rr", "shl.b32")
_define(SHR_U32, "r", "rr", "shr.u32")
_define(SHR_S32, "r", "rr", "shr.s32")
_define(FUNNEL_LEFT, "r", "rrr", "shf.l.wrap.b32")
_define(FIELD, "r", "rrr", "bfe.u32")
_define(CLZ, "r", "r", "clz.b32")
_define(MIN_S32, "r", "rr", "min.s32")
_define(MIN_U32, "r", "rr", "min.u32")
_define(MAX_S32, "r", "rr", "max.s32")
_define(MAX_U32, "r", "rr", "max.u32")
_define(MAX_OR_0, "r", "rr", "max.relu.s32")
_define(EQ_32, "p", "rr", "setp.eq.b32", "setp.eq.s32")
_define(NE_32, "p", "rr", "setp.ne.b32", "setp.ne.s32")
_define(LT_S32, "p", "rr", "setp.lt.s32")
_define(LE_S32, "p", "rr", "setp.le.s32")
_define(GT_S32, "p", "rr", "setp.gt.s32")
_define(GE_S32, "p", "rr", "setp.ge.s32")
_define(LT_U32, "p", "rr", "setp.lt.u32")
_define(LE_U32, "p", "rr", "setp.le.u32")
_define(GT_U32, "p", "rr", "setp.gt.u32")
_define(GE_U32, "p", "rr", "setp.ge.u32")
_define(ADD_F32, "r", "rr", "add.rn.f32")
_define(MUL_F32, "r", "rr", "mul.rn.f32")
_define(S32_TO_F32, "r", "r", "cvt.rn.f32.s32")
_define(NE_F32, "p", "rr", "setp.neu.f32")
_define(GT_F32, "p", "rr", "setp.gt.f32")
_define(MIN_F32, "r", "rr", "min.NaN.f32")
_define(MAX_F32, "r", "rr", "max.NaN.f32")
_define(F32_TO_S32, "r", "r", "cvt.rzi.s32.f32")
_define(ADD_F64, "d", "dd", "add.rn.f64")
_define(MUL_F64, "d", "dd", "mul.rn.f64")
_define(S32_TO_F64, "d", "r", "cvt.rn.f64.s32")
_define(NE_F64, "p", "dd", "setp.neu.f64")
_define(GT_F64, "p", "dd", "setp.gt.f64")
_define(NAN_F64, "p", "dd", "setp.nan.f64")
_define(MIN_F64, "d", "dd", "min.f64")
_define(MAX_F64, "d", "dd", "max.f64")
_define(F64_TO_S32, "r", "d", "cvt.rzi.s32.f64")
# The last operand says which lanes take part: all, or it is an error.
_define(SUM_WARP, "r", "rr", "redux.sync.add.s32")
_define(MAX_WARP, "r", "rr", "redux.sync.max.s32")
_define(LOAD_32, "r", "m", "ld.global.b32")
_define(LOAD_64, "d", "m", "ld.global.b64")
_define(STORE_32, "", "mr", "st.global.b32")
_define(STORE_64, "", "md", "st.global.b64")
# Memory is consistent here, and so an atomic that orders other accesses, and fences to
# do so, is as one that does not.
for _order in ("relaxed", "acq_rel"):
    _atomic = f"atom.global.gpu.{_order}.add"
    _define(ATOMIC_ADD_U32, "r", "mr", f"{_atomic}.u32")
    _define(ATOMIC_ADD_U64, "d", "md", f"{_atomic}.u64")
    _define(ATOMIC_ADD_F32, "r", "mr", f"{_atomic}.f32")
    _define(ATOMIC_ADD_F64, "d", "md", f"{_atomic}.f64")
# The same, if nobody wants the old value.
for _kind, _operation, _class in (
    ("u32", ATOMIC_ADD_U32, "r"),
    ("u64", ATOMIC_ADD_U64, "d"),
    ("f32", ATOMIC_ADD_F32, "r"),
    ("f64", ATOMIC_ADD_F64, "d"),
):
    _define(_operation, "", f"m{_class}", f"red.global.gpu.relaxed.add.{_kind}")

# What it finds depends on the order, and is no value here.
_define(EXCHANGE_32, "r", "mr", "atom.global.gpu.relaxed.exch.b32")
_define(EXCHANGE_64, "d", "md", "atom.global.gpu.relaxed.exch.b64")

for _opcode, _signature in [*OPCODES.items()]:
    if _opcode.startswith("setp."):
        _, _comparison, _type = _opcode.split(".")
        for _name, _combined in (("and", WITH_AND), ("or", WITH_OR)):
            OPCODES[f"setp.{_comparison}.{_name}.{_type}"] = _signature._replace(
                sources=f"{_signature.sources}p", combined=_combined
            )
