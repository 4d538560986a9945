# SPDX-License-Identifier: Apache-2.0
"""Read the PTX of one kernel: parameters, registers, instructions, labels."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# Register classes: a predicate, 32 bits, 64 bits.
CLASSES = {".pred": "p", ".b32": "r", ".b64": "d"}
# Directives that decide nothing here; the target is checked by who compiles.
_IGNORED = (".version", ".target", ".address_size", ".pragma")


class PtxError(Exception):
    """The text is not what this reads, or has what this does not know."""


@dataclass(frozen=True)
class Parameter:
    """A pointer that a kernel is given, and what its address is a multiple of."""

    name: str
    alignment: int


@dataclass(frozen=True)
class Instruction:
    """A statement.

    Attributes
    ----------
    line : int
        Of the text, from 1.
    text : str
    guard : str
        Predicate register, or "".
    negated : bool
        Whether it is done where the predicate is false.
    opcode : str
        With all its modifiers.
    operands : tuple of str
    """

    line: int
    text: str
    guard: str
    negated: bool
    opcode: str
    operands: tuple[str, ...]


@dataclass
class Kernel:
    """An entry of a module, as it is written.

    Attributes
    ----------
    name : str
    parameters : list of Parameter
    threads : int
        Of a program, as the kernel demands it.
    registers : dict
        The class of each: "p", "r" or "d".
    instructions : list of Instruction
    labels : dict
        Number of the instruction that each stands before.
    """

    name: str = ""
    parameters: list[Parameter] = field(default_factory=list)
    threads: int = 0
    registers: dict[str, str] = field(default_factory=dict)
    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)


_ENTRY = re.compile(r"\.visible \.entry (\w+)\($")
_PARAMETER = re.compile(r"\.param \.u64 \.ptr \.align (\d+) (\w+),?$")
_THREADS = re.compile(r"\.reqntid (\d+)(?:, 1, 1)?$")
_REGISTERS = re.compile(r"\.reg (\.\w+)\s+(%\w+)<(\d+)>;$")
_LABEL = re.compile(r"(\$?\w+):$")
_GUARD = re.compile(r"@(!?)(%\w+)\s+")
_OPERAND = re.compile(r"\[[^\]]*\]|\{[^}]*\}|[^,\s][^,]*")


def parse(text: str) -> Kernel:
    """Read a module of one kernel.

    Raises
    ------
    PtxError
        With the line, if there is anything that this does not read.
    """
    kernel = Kernel()
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.partition("//")[0].strip()
        if stripped and not stripped.startswith(_IGNORED):
            _read(kernel, number, stripped)
    if not kernel.instructions:
        raise PtxError("there is no kernel")
    return kernel


def _read(kernel: Kernel, number: int, line: str) -> None:
    if match := _ENTRY.match(line):
        if kernel.name:
            raise PtxError(f"line {number}: a second kernel: {line}")
        kernel.name = match[1]
    elif match := _PARAMETER.match(line):
        kernel.parameters.append(Parameter(match[2], int(match[1])))
    elif match := _THREADS.match(line):
        kernel.threads = int(match[1])
    elif match := _REGISTERS.match(line):
        if match[1] not in CLASSES:
            raise PtxError(f"line {number}: registers of an unknown type: {line}")
        names = {f"{match[2]}{i}": CLASSES[match[1]] for i in range(int(match[3]))}
        kernel.registers.update(names)
    elif match := _LABEL.match(line):
        kernel.labels[match[1]] = len(kernel.instructions)
    elif line not in {")", "{", "}"}:
        _read_statements(kernel, number, line)


def _read_statements(kernel: Kernel, number: int, line: str) -> None:
    if line.startswith(".") or not line.endswith(";"):
        raise PtxError(f"line {number}: neither a statement nor known: {line}")
    for text in filter(None, map(str.strip, line.split(";"))):
        guard = _GUARD.match(text)
        rest = text[guard.end() :] if guard else text
        opcode, _, operands = rest.partition(" ")
        opcode, _, more = opcode.partition("\t")
        found = tuple(match.strip() for match in _OPERAND.findall(more + operands))
        kernel.instructions.append(
            Instruction(
                number,
                text,
                guard[2] if guard else "",
                bool(guard and guard[1]),
                opcode,
                found,
            )
        )
