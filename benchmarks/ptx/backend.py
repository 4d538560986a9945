# SPDX-License-Identifier: Apache-2.0
"""A backend that runs the GPU backend's compiled kernels without a GPU.

What is around the kernels (listing the events, clearing the sums) is traced as for a
GPU, and run by XLA on the CPU; the kernels themselves are those that XLA compiled for
a GPU, of the same product with the same shapes and constants.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from synjit.backends.pallas_gpu import calls, workspace
from synjit.hookspecs import Backend, Matrix, Problem, hookimpl

from .assembly import Code, assemble
from .compiling import Compiled, compile_for
from .execution import launch
from .parsing import parse


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
    lock: Any = field(default_factory=threading.Lock)

    def add(self, ptx: str, code: Code, counts: Any) -> None:
        """Add a launch."""
        instructions = code.kernel.instructions
        with self.lock:
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


class Executed:
    """The plugin: a backend for the CPU, of one GPU.

    Parameters
    ----------
    gpu : str
        Part of its name.
    device
        From ``Gpu.device``.
    seed : int
        Of the orders in which programs go on; each launch has another.
    """

    def __init__(self, gpu: str, device: Any, seed: int = 0) -> None:
        self.name = f"pallas_gpu_on_{gpu.lower()}"
        self.device = device
        self.tally = Tally()
        self._seeds = np.random.default_rng(seed)
        self._codes: dict[str, Code] = {}
        self._kernels: dict[Any, dict[str, Compiled]] = {}

    @hookimpl
    def synjit_backend(self) -> Backend:
        """Describe it: interpreted, as its PTX is."""
        return Backend(self.name, "1", ("cpu",), 2, interpreted_on=("cpu",))

    @hookimpl
    def synjit_refuses(self, problem: Problem) -> str | None:
        """Refuse what the GPU backend refuses."""
        return workspace.refusal(problem)

    @hookimpl
    def synjit_product(
        self, problem: Problem, matrix: Matrix, x: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """See the contract."""
        return self._run(problem, calls.product, matrix, x)

    @hookimpl
    def synjit_dense(self, problem: Problem, matrix: Matrix) -> jax.Array:
        """See the contract."""
        return self._run(problem, calls.dense, matrix)

    def _run(self, problem: Problem, hook: Callable[..., Any], *operands: Any) -> Any:
        problem = replace(problem, platform="cuda")
        if 0 in problem.shape or (len(operands) > 1 and 0 in operands[1].shape):
            return hook(problem, *operands)
        kernels = self._compiled(problem, hook, operands)

        def pallas_call(_: Any, **parameters: Any) -> Callable[..., Any]:
            kernel = kernels[parameters["name"].removeprefix("synjit_")]
            if parameters["interpret"] or parameters["grid"] != (kernel.programs,):
                raise RuntimeError(f"{kernel.name} is launched in another way")
            return lambda *inputs: self._call(kernel, parameters, inputs)

        with mock.patch.object(calls.pl, "pallas_call", pallas_call):
            return hook(problem, *operands)

    def _compiled(
        self, problem: Problem, hook: Callable[..., Any], operands: Sequence[Any]
    ) -> dict[str, Compiled]:
        """Compile a product; what is known already is constant there, too."""
        leaves, structure = jax.tree.flatten(operands)
        traced = [isinstance(leaf, jax.core.Tracer) for leaf in leaves]
        known = [
            None if t else np.asarray(x) for x, t in zip(leaves, traced, strict=True)
        ]
        key = (
            problem,
            bool(jax.config.read("jax_enable_x64")),
            tuple((x.shape, str(x.dtype)) for x in leaves),
            tuple(None if k is None else k.tobytes() for k in known),
        )
        if key not in self._kernels:

            def product(*given: Any) -> Any:
                rest = iter(given)
                full = [next(rest) if k is None else jnp.asarray(k) for k in known]
                return hook(problem, *jax.tree.unflatten(structure, full))

            arguments = [x for x, t in zip(leaves, traced, strict=True) if t]
            program = compile_for(self.device, product, arguments)
            self._kernels[key] = program.kernels
        return self._kernels[key]

    def _call(
        self, kernel: Compiled, parameters: dict[str, Any], inputs: Sequence[Any]
    ) -> list[jax.Array]:
        """Call back with words, and make what comes back what it should be."""
        outputs = parameters["out_shape"]
        aliases = parameters["input_output_aliases"]
        sizes = [o.size * (o.dtype.itemsize // 4) for o in outputs]

        def run(*words: Any) -> list[Any]:
            given = [np.asarray(w).reshape(-1) for w in words]
            return self.launch(kernel, given, sizes, aliases)

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

    def never_launched(self) -> list[str]:
        """Name the kernels that were compiled and not run, and their problems."""
        return [
            f"{name} of {key[0]}"
            for key, kernels in self._kernels.items()
            for name, kernel in kernels.items()
            if not self.tally.launches[kernel.ptx]
        ]

    def launch(
        self,
        kernel: Compiled,
        inputs: Sequence[Any],
        outputs: Sequence[int],
        aliases: dict[int, int],
    ) -> list[Any]:
        """Run a kernel on words."""
        if kernel.ptx not in self._codes:
            self._codes[kernel.ptx] = assemble(parse(kernel.ptx))
        code = self._codes[kernel.ptx]
        with self.tally.lock:
            seed = int(self._seeds.integers(2**62))
        done = launch(code, kernel.programs, inputs, outputs, aliases, seed)
        self.tally.add(kernel.ptx, code, done.counts)
        return done.results
