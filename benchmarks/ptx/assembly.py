# SPDX-License-Identifier: Apache-2.0
"""Check a kernel, and turn it into the numbers that ``machine.run`` runs."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .operations import GUARDED, OPCODES, Signature
from .parsing import Instruction, Kernel, PtxError

LANES = 32
# Columns of the code. A register is a number, -1 where there is none. OFFSET is added
# to an address; of a jump, it is where it leads, of a comparison ``combined``.
OPERATION, GUARD, NEGATED, RESULT, A, B, C, OFFSET = range(8)
PROGRAM_ID, LANE_ID = "%ctaid.x", "%tid.x"

_ADDRESS = re.compile(r"\[\s*(%?\w+)\s*(?:\+\s*(-?\d+))?\s*\]$")
_BRACES = re.compile(r"\{\s*([^{},]+?)\s*\}$")
_INTEGER = re.compile(r"-?(0x[0-9A-Fa-f]+|\d+)$")
_FLOAT = {"r": re.compile(r"0f([0-9A-Fa-f]{8})$"), "d": re.compile(r"0d(\w{16})$")}


@dataclass(frozen=True)
class Code:
    """A kernel that can be run.

    Attributes
    ----------
    kernel : Kernel
    steps : int64 (instructions, 8)
        See the names of the columns above.
    constants : dict
        Registers with a value that never changes, and their bits.
    parameters : list of int
        Register of the address of each parameter.
    program, lane : int
        Registers of the number of the program, and of the lane.
    n_registers : int
    """

    kernel: Kernel
    steps: NDArray[np.int64]
    constants: dict[int, int]
    parameters: list[int]
    program: int
    lane: int
    n_registers: int


def assemble(kernel: Kernel) -> Code:
    """Check every instruction, and number the registers.

    Raises
    ------
    PtxError
        An instruction is not known, or has operands that it cannot have.
    """
    if kernel.threads != LANES:
        raise PtxError(
            f"{kernel.name} has programs of {kernel.threads} threads; only those of "
            f"one warp, {LANES}, are run"
        )
    return _Assembler(kernel).code()


class _Assembler:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.numbers = {name: i for i, name in enumerate(kernel.registers)}
        names = [PROGRAM_ID, LANE_ID, *(p.name for p in kernel.parameters)]
        self.special = {n: len(self.numbers) + i for i, n in enumerate(names)}
        self.constants: dict[tuple[str, int], int] = {}

    def code(self) -> Code:
        rows = [self._row(each) for each in self.kernel.instructions]
        return Code(
            self.kernel,
            np.array(rows, np.int64),
            {number: bits for (_, bits), number in self.constants.items()},
            [self.special[p.name] for p in self.kernel.parameters],
            self.special[PROGRAM_ID],
            self.special[LANE_ID],
            len(self.numbers) + len(self.special) + len(self.constants),
        )

    def _row(self, each: Instruction) -> list[int]:
        try:
            return self._encode(each)
        except PtxError as error:
            where = f"{self.kernel.name}, line {each.line}"
            raise PtxError(f"{where}: {error}: {each.text}") from None

    def _encode(self, each: Instruction) -> list[int]:
        signature = OPCODES.get(each.opcode)
        if signature is None:
            raise PtxError("an instruction that is not known")
        classes = signature.result + signature.sources
        if len(each.operands) != len(classes):
            raise PtxError(f"{len(classes)} operands are expected")
        row = [signature.operation, -1, int(each.negated), -1, -1, -1, -1, 0]
        if each.guard:
            if signature.operation not in GUARDED:
                raise PtxError("a guard, where none is known")
            row[GUARD] = self._register("p", each.guard)
        row[OFFSET] = signature.combined
        self._fill(row, signature, each.operands)
        if signature.combined and row[RESULT] == row[C]:
            raise PtxError("a predicate that is combined with itself")
        return row

    def _fill(self, row: list[int], is_: Signature, operands: tuple[str, ...]) -> None:
        left = list(operands)
        if is_.result:
            row[RESULT] = self._register(is_.result, left.pop(0))
        for column, kind, text in zip((A, B, C), is_.sources, left, strict=False):
            if kind == "L":
                if text not in self.kernel.labels:
                    raise PtxError("a jump to nowhere")
                row[OFFSET] = self.kernel.labels[text]
            elif kind in "mP":
                row[column], row[OFFSET] = self._address(kind, text)
            else:
                row[column] = self._source(kind, text)

    def _register(self, kind: str, text: str) -> int:
        if braces := _BRACES.match(text):  # a vector of one
            text = braces[1]
        if self.kernel.registers.get(text) != kind:
            raise PtxError(f"{text} is no register of the class {kind!r}")
        return self.numbers[text]

    def _address(self, kind: str, text: str) -> tuple[int, int]:
        match = _ADDRESS.match(text)
        if match is None:
            raise PtxError(f"{text} is no address")
        name, offset = match[1], int(match[2] or 0)
        if kind == "m":
            return self._register("d", name), offset
        if name not in self.special or offset:
            raise PtxError(f"{text} is no parameter")
        return self.special[name], 0

    def _source(self, kind: str, text: str) -> int:
        if text in (PROGRAM_ID, LANE_ID) and kind == "r":
            return self.special[text]
        bits = constant(kind, text)
        if bits is None:
            return self._register(kind, text)
        first = len(self.numbers) + len(self.special)
        return self.constants.setdefault((kind, bits), first + len(self.constants))


def constant(kind: str, text: str) -> int | None:
    """Bits of a constant of a class; None if it is none.

    Raises
    ------
    PtxError
        It has more bits than the class.
    """
    if kind == "p":
        return {"0": 0, "-1": 1}.get(text)
    if match := _FLOAT[kind].match(text):
        return int(match[1], 16)
    if not _INTEGER.match(text):
        return None
    value, size = int(text, 0), 32 if kind == "r" else 64
    if not -(2 ** (size - 1)) <= value < 2**size:
        raise PtxError(f"{text} has more than {size} bits")
    return value % 2**size
