# SPDX-License-Identifier: Apache-2.0
"""Kernels with a fault each, that pass when interpreted, and must not when executed."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu

from synjit.backends.pallas_gpu import atomics
from synjit.backends.pallas_gpu.lanes import lanes
from synjit.backends.pallas_gpu.launch import some_gpu

from .executor import Executor

PROGRAMS = 8
N = 32


@dataclass(frozen=True)
class Fault:
    """A kernel that is wrong, or right for comparison.

    Attributes
    ----------
    name : str
    kernel : callable
        Of references: an input, and an output whose first value is given or not.
    given : array
        The input, (N,).
    first : array or None
        First value of the output, (N,).
    want : array
        What it is meant to give, (N,).
    seen : str
        Part of what running it says.
    x64 : bool
    """

    name: str
    kernel: Callable[..., None]
    given: Any
    first: Any
    want: Any
    seen: str
    x64: bool = False

    def run(self, given: Any, first: Any, *, interpret: bool) -> Any:
        """Call the kernel."""
        inputs = [given] if first is None else [given, first]
        call = pl.pallas_call(
            self.kernel,
            out_shape=[jax.ShapeDtypeStruct((N,), self.want.dtype)],
            grid=(PROGRAMS,),
            input_output_aliases={} if first is None else {1: 0},
            compiler_params=plgpu.CompilerParams(num_warps=1, num_stages=1),
            interpret=interpret,
            name="synjit_fault",
        )
        # jax 0.11 asks which GPU is meant.
        here = contextlib.nullcontext() if interpret else some_gpu()
        with here:
            return call(*inputs)[0]


def _relaxed(given: Any, _: Any, out: Any, *, device: bool) -> None:
    value = given[lanes()]
    atomics.scatter_add(out, lanes(), value, value > 0, device=device)


def _public_atomic(given: Any, _: Any, out: Any) -> None:
    plgpu.atomic_add(out, (lanes(),), given[lanes()])


def _unsigned_clz(given: Any, out: Any) -> None:
    out[lanes()] = jax.lax.clz(given[lanes()].astype(jnp.uint32)).astype(jnp.int32)


def _past_the_end(given: Any, out: Any) -> None:
    out[lanes()] = given[lanes() + np.int32(1)]


def _unwritten(given: Any, out: Any) -> None:
    out[lanes()] = jnp.maximum(out[lanes()], given[lanes()])


def _lost(given: Any, _: Any, out: Any) -> None:
    out[lanes()] = out[lanes()] + given[lanes()]


def _depends_on_order(_: Any, out: Any) -> None:
    out[lanes()] = jnp.full(N, pl.program_id(0), jnp.int32)


def faults() -> Iterator[Fault]:
    """Give them all; the first is none."""
    x = np.arange(1, N + 1, dtype=np.int32)
    zero = np.zeros(N, np.int32)
    total = PROGRAMS * x
    yield Fault("(none: integers, relaxed)", _relaxed, x, zero, total, "")
    # Of 64 bits, as the sums of events are.
    wide = [a.astype(np.int64) << np.int64(32) for a in (x, zero, total)]
    name = "float atomic for an integer one"  # until jax 0.12, which adds integers
    gone = jax.__version_info__ >= (0, 12)
    seen = "" if gone else f"{N} of {N} results are wrong"
    yield Fault(name, _public_atomic, *wide, seen, x64=True)
    leading = np.array([32 - int(i).bit_length() for i in x], np.int32)
    name = "clz of an unsigned vector"
    yield Fault(name, _unsigned_clz, x, None, leading, "does not compile")
    last = np.minimum(x + 1, N).astype(np.int32)
    seen = "an access outside of the arrays"
    yield Fault("index past the end", _past_the_end, x, None, last, seen)
    seen = "it reads memory that was never written"
    yield Fault("uninitialised read", _unwritten, x, None, x, seen)
    seen = "what another program of the launch"
    yield Fault("lost atomic", _lost, x, zero, total, seen)
    ends = np.full(N, PROGRAMS - 1, np.int32)
    name, seen = "result of the last program", "another program stores a different one"
    yield Fault(name, _depends_on_order, x, None, ends, seen)


def interpreted(fault: Fault) -> str:
    """Say what interpret mode finds; empty if nothing."""
    if fault.kernel is _relaxed:
        kernel = functools.partial(_relaxed, device=False)
        fault = replace(fault, kernel=kernel)
    return _outcome(fault, functools.partial(fault.run, interpret=True))


def executed(fault: Fault, executor: Executor) -> str:
    """Say what the compiler, or running what it compiled, finds; empty if nothing."""
    if fault.kernel is _relaxed:
        kernel = functools.partial(_relaxed, device=True)
        fault = replace(fault, kernel=kernel)
    run = functools.partial(fault.run, interpret=False)

    def program(*operands: Any) -> Any:
        return executor.run(fault.name, run, *operands)

    return _outcome(fault, program)


def _outcome(fault: Fault, program: Callable[..., Any]) -> str:
    with jax.enable_x64(fault.x64):
        try:
            got = np.asarray(jax.jit(program)(fault.given, fault.first))
        except Exception as error:  # noqa: BLE001, whatever a compiler may raise
            text = str(error)
            told = re.search(r"(?:ExecutionError|PtxError): (.*)", text)
            return told[1] if told else f"does not compile: {' '.join(text.split())}"
    wrong = int((got != fault.want).sum())
    return f"{wrong} of {N} results are wrong" if wrong else ""


def check(executor: Executor) -> int:
    """Print a table; give how many faults were missed, or seen where there are none."""
    missed = 0
    for fault in faults():
        here, there = interpreted(fault), executed(fault, executor)
        missed += bool(here) or bool(there) != bool(fault.seen)
        missed += fault.seen not in there
        print(f"  {fault.name}")
        print(f"    interpreted: {here or 'passes'}")
        print(f"    executed:    {there[:150] or 'passes'}", flush=True)
    return missed
