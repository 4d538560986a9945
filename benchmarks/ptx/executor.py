# SPDX-License-Identifier: Apache-2.0
"""Run functions whose kernels are Pallas', with the kernels compiled for a GPU.

What is around the kernels is traced as for a GPU, and run by XLA on the CPU; the
kernels are those that XLA compiled for a GPU, of the same function with the same shapes
and constants.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl

from .assembly import Code, assemble
from .compiling import Compiled, compile_for
from .execution import launch
from .parsing import parse

# Kernels that write as much of their outputs as there is to deliver.
PARTLY = tuple(f"deliver_{name}" for name in ("list_all", "add", "clear", "tally"))


@dataclass
class Tally:
    """What was run: counted over all launches.

    Attributes
    ----------
    launches : Counter
        Of each kernel, by its text.
    instructions : int
        Of warps.
    executed, compiled : Counter
        How often each opcode was run, and at how many places it stands.
    missed : dict
        For each text, the numbers of its instructions that were not run yet.
    """

    launches: Counter[str] = field(default_factory=Counter)
    instructions: int = 0
    executed: Counter[str] = field(default_factory=Counter)
    compiled: Counter[str] = field(default_factory=Counter)
    missed: dict[str, set[int]] = field(default_factory=dict)

    def add(self, ptx: str, code: Code, counts: Any) -> None:
        """Add a launch."""
        instructions = code.kernel.instructions
        if ptx not in self.missed:
            self.compiled.update(each.opcode for each in instructions)
            self.missed[ptx] = set(range(len(instructions)))
        self.launches[ptx] += 1
        self.instructions += int(counts.sum())
        for each, times in zip(instructions, counts, strict=True):
            self.executed[each.opcode] += int(times)
        self.missed[ptx] -= set(np.flatnonzero(counts).tolist())

    def never_met(self) -> dict[str, int]:
        """Opcodes that were compiled and never run, and at how many places."""
        return {o: n for o, n in self.compiled.items() if not self.executed[o]}


class Executor:
    """Kernels compiled for one GPU, and what came of running them.

    Parameters
    ----------
    device
        From ``Gpu.device``.
    seed : int
        Of the orders in which programs go on; each launch has another.

    Attributes
    ----------
    tally : Tally
    """

    def __init__(self, device: Any, seed: int = 0) -> None:
        self.device = device
        self.tally = Tally()
        self._seeds = np.random.default_rng(seed)
        self._codes: dict[str, Code] = {}
        self._kernels: dict[Any, dict[str, Compiled]] = {}
        self._lock = threading.Lock()

    def run(self, name: Hashable, function: Callable[..., Any], *operands: Any) -> Any:
        """Trace a function; its kernels are to be named "synjit_...".

        Parameters
        ----------
        name
            What, besides the operands, decides what is compiled.
        function : callable
        operands : pytrees of arrays
            Those that are known when this is traced are constants of the program.
        """
        kernels = self._compiled(name, function, operands)

        def pallas_call(_: Any, **parameters: Any) -> Callable[..., Any]:
            kernel = kernels[parameters["name"].removeprefix("synjit_")]
            if parameters["interpret"] or parameters["grid"] != (kernel.programs,):
                raise RuntimeError(f"{kernel.name} is launched in another way")
            return lambda *inputs: self._call(kernel, parameters, inputs)

        with mock.patch.object(pl, "pallas_call", pallas_call):
            return function(*operands)

    def never_launched(self) -> list[str]:
        """Name the kernels that were compiled and not run, and what they are of."""
        return [
            f"{name} of {key[0]}"
            for key, kernels in self._kernels.items()
            for name, kernel in kernels.items()
            if not self.tally.launches[kernel.ptx]
        ]

    def _compiled(
        self, name: Hashable, function: Callable[..., Any], operands: Sequence[Any]
    ) -> dict[str, Compiled]:
        leaves, structure = jax.tree.flatten(operands)
        traced = [isinstance(leaf, jax.core.Tracer) for leaf in leaves]
        known = [
            None if t else np.asarray(x) for x, t in zip(leaves, traced, strict=True)
        ]
        key = (
            name,
            bool(jax.config.read("jax_enable_x64")),
            tuple((x.shape, str(x.dtype)) for x in leaves),
            tuple(None if k is None else k.tobytes() for k in known),
        )
        if key not in self._kernels:

            def product(*given: Any) -> Any:
                rest = iter(given)
                full = [next(rest) if k is None else jnp.asarray(k) for k in known]
                return function(*jax.tree.unflatten(structure, full))

            arguments = [x for x, t in zip(leaves, traced, strict=True) if t]
            program = compile_for(self.device, product, arguments)
            self._kernels[key] = program.kernels
        return self._kernels[key]

    def _call(
        self, kernel: Compiled, parameters: dict[str, Any], inputs: Sequence[Any]
    ) -> list[jax.Array]:
        """Call back with words, and make what comes back what it should be."""
        outputs, partly = parameters["out_shape"], kernel.name.startswith(PARTLY)
        aliases = parameters.get("input_output_aliases", {})
        sizes = [o.size * (o.dtype.itemsize // 4) for o in outputs]

        def run(*words: Any) -> list[Any]:
            given = [np.asarray(w).reshape(-1) for w in words]
            return self._launch(kernel, given, sizes, aliases, partly)

        results = jax.pure_callback(
            run,
            [jax.ShapeDtypeStruct((size,), jnp.uint32) for size in sizes],
            *(jax.lax.bitcast_convert_type(x, jnp.uint32) for x in inputs),
        )
        return [
            jax.lax.bitcast_convert_type(
                words.reshape(*o.shape, -1) if o.dtype.itemsize == 8 else words, o.dtype
            ).reshape(o.shape)
            for words, o in zip(results, outputs, strict=True)
        ]

    def _launch(
        self,
        kernel: Compiled,
        inputs: Sequence[Any],
        outputs: Sequence[int],
        aliases: dict[int, int],
        partly: bool,
    ) -> list[Any]:
        with self._lock:
            if kernel.ptx not in self._codes:
                self._codes[kernel.ptx] = assemble(parse(kernel.ptx))
            seed = int(self._seeds.integers(2**62))
        code = self._codes[kernel.ptx]
        given = (kernel.programs, inputs, outputs, aliases, seed)
        done = launch(code, *given, partly=partly)
        with self._lock:
            self.tally.add(kernel.ptx, code, done.counts)
        return done.results
