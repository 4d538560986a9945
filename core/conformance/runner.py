# SPDX-License-Identifier: Apache-2.0
"""Run one case on a backend, and look at everything that it could have done wrong."""

from __future__ import annotations

import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from synjit import reference
from synjit.hookspecs import Problem

from .cases import Case
from .diagnosis import difference, poison
from .expected import WEIGHTS, Expected, expected, weighted, weights_of

# Calls in a row, and from threads: what happens once in a hundred calls is seen.
CALLS = 208
THREADS = 4
CALLS_PER_THREAD = 16

MATRIX_OPERANDS = ("seed", "origin", "law")


class Refused(Exception):  # noqa: N818, an answer, not an error
    """The backend says, in words, that it cannot take the problem."""


def problem_of(case: Case, platform: str) -> Problem:
    """State a case in the words of the contract."""
    return Problem(
        product=case.product,
        shape=case.shape,
        transpose=case.transpose,
        batch=0 if case.product == "dense" else case.batch,
        dtype=case.dtype if case.product in {"floats", "blocks"} else "int32",
        corder=case.corder,
        log2_chunk=reference.law(case.prob).log2_chunk if case.known else None,
        platform=platform,
        grid=case.problem_grid,
    )


def operands_of(case: Case) -> dict[str, NDArray]:
    """Give the operands of a case by the names that the hook has for them."""
    if case.product == "blocks":
        parts = [operands_of(part) for part in case.of_blocks()]
        operands = {k: np.stack([part[k] for part in parts]) for k in MATRIX_OPERANDS}
        operands["events"] = case.operand()
        operands["w_loc"], operands["w_scale"] = weights_of(case, len(parts))
        return operands
    operands = {
        "seed": np.array(reference.seed_words(case.seed), np.uint32),
        "origin": np.array(case.origin, np.uint32),
        "law": reference.law(case.prob).encode(),
    }
    if case.product != "dense":
        operands["events" if case.product == "events" else "values"] = case.operand()
    return operands


def _operands(case: Case, want: Expected) -> dict[str, NDArray]:
    """The same, with weights where a weighted sum is wanted."""
    operands = operands_of(case)
    if want.names == ("y",) and case.product == "events":
        operands["w_loc"], operands["w_scale"] = np.array(WEIGHTS, want.dtype)
    return operands


def _x64() -> bool:
    return bool(jax.config.read("jax_enable_x64"))


class Runner:
    """A backend on a device, and what was compiled for it.

    Attributes
    ----------
    doing : str
        What is going on, for a time limit to name.
    """

    def __init__(self, registered: Any, platform: str) -> None:
        self.registered = registered
        self.platform = platform
        self.device = jax.local_devices(backend=platform)[0]
        self.doing = "nothing yet"
        self._programs: dict[Any, Any] = {}
        self._poisoners: dict[Any, Any] = {}

    def check(self, case: Case) -> str:
        """Say what is wrong with a case; empty if nothing is.

        Raises
        ------
        Refused
            The backend does not take it.
        """
        self.doing = str(case)
        want = expected(case)
        try:
            reason = self._check(case, want)
            if reason or case.product != "events" or not self.registered.weighs:
                return reason
            return self._check_weighted(case, want)
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001, whatever a backend may raise
            return f"it raised {_describe(error)}"

    def check_calls(self, case: Case) -> str:
        """Call the same again and again, then from several threads at once."""
        self.doing = f"{case}, again and again"
        want = expected(case)
        try:
            return self._check_calls(case, want)
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001, whatever a backend may raise
            return f"called again and again, it raised {_describe(error)}"

    def _check(self, case: Case, want: Expected) -> str:
        program, shapes = self._program(case, want)
        reason = _check_form(want, shapes)
        if reason:
            return reason
        operands = _operands(case, want)
        kept = {name: array.copy() for name, array in operands.items()}
        on_device = jax.device_put(self._traced(case, operands), self.device)
        got = self._call(program, want, on_device)
        for name, array in on_device.items():
            if np.asarray(array).tobytes() != kept[name].tobytes():
                return f"it wrote into its input {name!r}"
        reason = difference(case, want, got)
        if reason:
            return reason
        again = self._call(program, want, on_device)
        for name, first, second in zip(want.names, got, again, strict=True):
            if first.tobytes() != second.tobytes():
                return f"called twice, it gave two different {name}: not deterministic"
        return ""

    def _check_weighted(self, case: Case, sums: Expected) -> str:
        for dtype in ("float32", "float64")[: 1 + _x64()]:
            reason = self._check(case, weighted(sums, dtype))
            if reason:
                return f"synjit_weighted: {reason}"
        return ""

    def _check_calls(self, case: Case, want: Expected) -> str:
        program, shapes = self._program(case, want)
        reason = _check_form(want, shapes)
        if reason:
            return reason
        operands = jax.device_put(self._traced(case, operands_of(case)), self.device)

        x64 = _x64()  # a thread of its own has its own

        def calls(number: int) -> list[list[jax.Array]]:
            with jax.enable_x64(x64):
                return [program(self._poison(want), operands) for _ in range(number)]

        def first_wrong(results: list[list[jax.Array]]) -> int | None:
            found = [b"".join(np.asarray(r).tobytes() for r in rs) for rs in results]
            return next((i for i, f in enumerate(found) if f != found[0]), None)

        results = calls(CALLS)
        reason = difference(case, want, [np.asarray(r) for r in results[0]])
        if reason:
            return reason
        wrong = first_wrong(results)
        if wrong is not None:
            return (
                f"not deterministic: call {wrong + 1} of {CALLS} equal ones "
                "gave another result than the first"
            )
        with ThreadPoolExecutor(THREADS) as pool:
            parts = pool.map(lambda _: calls(CALLS_PER_THREAD), range(THREADS))
            together = [result for part in parts for result in part]
        if first_wrong([results[0], *together]) is not None:
            return (
                f"not deterministic: called from {THREADS} threads at once, "
                "it gave another result"
            )
        return ""

    # --- compiling and calling ----------------------------------------------------

    def _program(self, case: Case, want: Expected) -> tuple[Any, list[Any]]:
        """Compile what a case needs, and say what comes out of it."""
        problem = problem_of(case, self.platform)
        for asked in self.registered.asked(problem):
            refusal = self.registered.hook.synjit_refuses(problem=asked)
            if refusal:
                raise Refused(refusal)
        matrix = (case.seed, case.origin, case.prob) if case.concrete else None
        key = (problem, matrix, want.names, want.dtype)
        if key not in self._programs:
            self._programs[key] = self._compile(problem, case, want)
        program: tuple[Any, list[Any]] = self._programs[key]
        return program

    def _compile(
        self, problem: Problem, case: Case, want: Expected
    ) -> tuple[Any, list[Any]]:
        operands = _operands(case, want)
        traced = self._traced(case, operands)
        constants = {k: jnp.asarray(v) for k, v in operands.items() if k not in traced}
        shapes: list[Any] = []
        weigh = case.product == "events" and "w_loc" in operands

        def program(poisoned: list[jax.Array], arrays: dict[str, jax.Array]) -> Any:
            del poisoned  # donated: the results are written over them
            trace = self.registered.weighted if weigh else self.registered.call
            results = trace(problem, {**constants, **arrays})
            shapes[:] = [(r.shape, np.dtype(r.dtype)) for r in results]
            return results

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Some donated buffers were not usable")
            compiled = (
                jax.jit(program, donate_argnums=0, keep_unused=True)
                .trace(self._poison(want), jax.device_put(traced, self.device))
                .lower()
                .compile()
            )
        return compiled, shapes

    @staticmethod
    def _traced(case: Case, operands: dict[str, NDArray]) -> dict[str, NDArray]:
        if not case.concrete:
            return operands
        return {k: v for k, v in operands.items() if k not in MATRIX_OPERANDS}

    def _poison(self, want: Expected) -> list[jax.Array]:
        """Make buffers full of rubbish, of the results' shapes, to be donated."""
        key = (want.dtype, tuple(result.shape for result in want.results))
        if key not in self._poisoners:
            fill = jax.jit(
                lambda: [
                    jnp.full(shape, poison(want.dtype), want.dtype) for shape in key[1]
                ],
                out_shardings=jax.sharding.SingleDeviceSharding(self.device),
            )
            self._poisoners[key] = fill
        filled: list[jax.Array] = self._poisoners[key]()
        return filled

    def _call(self, program: Any, want: Expected, operands: Any) -> list[NDArray]:
        results = program(self._poison(want), operands)
        return [np.asarray(result) for result in results]


def _check_form(want: Expected, shapes: list[Any]) -> str:
    """Compare number, shapes and dtypes of what a hook returned with the contract."""
    if len(shapes) != len(want.names):
        return f"it returned {len(shapes)} arrays, not {len(want.names)}"
    for name, (shape, dtype), right in zip(
        want.names, shapes, want.results, strict=True
    ):
        if shape != right.shape:
            return f"{name} has the shape {shape}, not {right.shape}"
        if dtype != want.dtype:
            return f"{name} has the dtype {dtype}, not {want.dtype}"
    return ""


def _describe(error: Exception) -> str:
    text = " ".join(str(error).split())
    if len(text) > 800:  # of a traceback, the end says most
        text = f"{text[:200]} ... {text[-600:]}"
    return f"{type(error).__name__}: {text}{_place(error)}"


def _place(error: Exception) -> str:
    """Say where it was raised: the innermost lines that are not JAX's own."""
    frames = [
        f"{frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "/jax/" not in frame.filename and "/pluggy/" not in frame.filename
    ]
    own = str(Path(__file__))
    inner = [frame for frame in frames if not frame.startswith(own)][-3:]
    return f" (raised at {', from '.join(reversed(inner))})" if inner else ""
