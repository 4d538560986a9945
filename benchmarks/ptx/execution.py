# SPDX-License-Identifier: Apache-2.0
"""A launch: a grid of programs, on arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import machine
from .assembly import LANES, Code
from .memory import FAULTS, NO_REGISTER_VALUE, Memory, allocate

RESIDENT = 16  # programs that are interleaved
LIMIT = 10**10  # instructions


class ExecutionError(Exception):
    """A program did what it must not."""


@dataclass(frozen=True)
class Launch:
    """What came of a launch.

    Attributes
    ----------
    results : list of uint32 arrays
    counts : int64 (instructions,)
        How often each instruction was run, by warps.
    """

    results: list[NDArray[np.uint32]]
    counts: NDArray[np.int64]


def launch(
    code: Code,
    programs: int,
    inputs: Sequence[NDArray[np.uint32]],
    outputs: Sequence[int],
    aliases: Mapping[int, int],
    seed: int,
    *,
    partly: bool = False,
) -> Launch:
    """Run a kernel.

    Parameters
    ----------
    code : Code
    programs : int
    inputs : sequence of uint32 arrays
        Words of the arrays that come first in its parameters.
    outputs : sequence of int
        Words of those that come after. They have no values before they are written.
    aliases : mapping of int to int
        Inputs whose memory is that of an output, whose first value they are.
    seed : int
        Of the order in which programs begin, and that of their accesses.
    partly : bool
        Whether it may leave words of its outputs without a value, as lists that are
        longer than what is listed: a launch that reads them does what it must not.

    Raises
    ------
    ExecutionError
        It did what it must not, or left a word of an output without a value.
    """
    kernel = code.kernel
    if len(kernel.parameters) != len(inputs) + len(outputs):
        raise ExecutionError(
            f"{kernel.name} has {len(kernel.parameters)} parameters, and was given "
            f"{len(inputs)} inputs and {len(outputs)} outputs"
        )
    shared = {out: given for given, out in aliases.items()}
    arrays: list[Any] = [*inputs, *outputs]
    place = list(range(len(arrays)))
    for out, given in shared.items():
        if inputs[given].size != outputs[out]:
            raise ExecutionError(f"{kernel.name}: input {given} is no output {out}")
        place[len(inputs) + out] = given
    alignments = [p.alignment for p in kernel.parameters]
    for number, at in enumerate(place):
        alignments[at] = max(alignments[at], alignments[number])
    memory = allocate(arrays, alignments)
    counts = _run(code, programs, memory, place, seed)
    results = []
    for number in range(len(outputs)):
        at = place[len(inputs) + number]
        cells = slice(memory.first[at], memory.first[at] + memory.sizes[at] // 4)
        empty = np.flatnonzero(~memory.filled[cells])
        if empty.size and not partly:
            raise ExecutionError(
                f"{kernel.name}: {empty.size} words of output {number} were never "
                f"written, the first at {empty[0]}"
            )
        results.append(memory.cells[cells].copy())
    return Launch(results, counts)


def _run(
    code: Code, programs: int, memory: Memory, place: Sequence[int], seed: int
) -> NDArray[np.int64]:
    """Run all programs; give the counts."""
    resident = min(RESIDENT, programs)
    words = np.zeros((resident, code.n_registers, LANES), np.uint32)
    longs = np.zeros((resident, code.n_registers, LANES), np.uint64)
    written = np.zeros((resident, code.n_registers), np.uint32)
    values: dict[int, Any] = dict(code.constants)
    values |= {
        r: memory.bases[at] for r, at in zip(code.parameters, place, strict=True)
    }
    values[code.lane] = np.arange(LANES)
    values[code.program] = 0  # the machine says which
    for register, value in values.items():
        bits = np.array(value).astype(np.uint64)
        longs[:, register], words[:, register] = bits, bits & np.uint64(0xFFFFFFFF)
        written[:, register] = machine.ALL
    rng = np.random.default_rng(seed)
    state = np.array([rng.integers(2**62), LIMIT, 0, 0, 0, 0], np.int64)
    counts = np.zeros(len(code.steps), np.int64)
    order = rng.permutation(programs)
    machine.run(
        code.steps, words, longs, written, code.program, memory, order, state, counts
    )
    if state[2]:
        raise ExecutionError(_told(code, *map(int, state[2:])))
    return counts


def _told(code: Code, fault: int, at: int, program: int, where: int) -> str:
    """Describe a fault."""
    kernel = code.kernel
    text = f"{kernel.name}, program {program}"
    if at < len(kernel.instructions):
        instruction = kernel.instructions[at]
        text += f", line {instruction.line} of its PTX, '{instruction.text}'"
    if fault == NO_REGISTER_VALUE:
        return f"{text}: {FAULTS[fault]}: {list(kernel.registers)[where]}"
    return f"{text}, lane {where}: {FAULTS[fault]}"
