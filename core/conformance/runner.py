# SPDX-License-Identifier: Apache-2.0
"""Run one case on a backend, and look at everything that it could have done wrong."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from synjit import reference
from synjit.hookspecs import Matrix, Problem, matrix_of_one_block
from synjit.registry import DELIVERED, OPERANDS
from synjit.settings import unchanged_configuration, usual_settings

from .cases import Case, connectivity_of, delay_words_of, rule_of, words_of
from .diagnosis import difference, poison
from .expected import Expected, expected, weighted, weights_of

CALLS = 208  # in a row: what happens once in a hundred calls is seen
THREADS = 4
CALLS_PER_THREAD = 16


NO_DELAYS = "it has no synjit_deliver, which is optional"

# Takes operands; gives the results of each hook that was asked.
Program = Callable[[dict[str, Any]], list[list[jax.Array]]]


class Refused(Exception):  # noqa: N818, an answer, not an error
    """The backend says, in words, that it cannot take the problem."""


def problem_of(case: Case, platform: str) -> Problem:
    """State a case in the words of the contract."""
    grid = case.problem_grid
    return Problem(
        product=case.product,
        shape=case.shape,
        transpose=case.transpose,
        batch=0 if case.product == "dense" else case.batch,
        dtype="int32" if case.product in {"events", "dense"} else case.dtype,
        corder=case.corder,
        log2_chunk=(
            connectivity_of(case.prob).log2_chunk
            if case.known and not case.grid
            else None
        ),
        weights=grid.words if case.grid else len(words_of(case.table)),
        platform=platform,
        grid=grid,
        rule="bernoulli" if grid.blocks else rule_of(case.prob),
        self_connections=bool(grid.blocks) or case.self_connections,
        slots=case.slots if case.product == "deliver" else 0,
    )


def operands_of(case: Case) -> list[Any]:
    """Give the operands of a case, in the order of the contract: NumPy arrays."""
    if case.grid:
        parts = case.of_blocks()
        matrices = [_matrix(part) for part in parts]
        seed, origin, connectivity = (
            np.stack(each) for each in zip(*(m[:3] for m in matrices), strict=True)
        )
        tables = dict.fromkeys(case.tables(len(parts)))
        words = np.concatenate([words_of(table) for table in tables])
        matrix = Matrix(seed, origin, connectivity, words)
        sums = [case.operand(), *weights_of(case, len(parts))]
        if case.product == "weighted":
            return [matrix, *sums]
        distinct = dict.fromkeys(case.delay_tables(len(parts)))
        delays = np.concatenate([delay_words_of(table) for table in distinct])
        return [matrix, delays, *sums, case.ring(), np.uint32(case.now)]
    return [_matrix(case), *([] if case.product == "dense" else [case.operand()])]


def _matrix(case: Case) -> Matrix:
    return Matrix(
        np.array(reference.seed_words(case.seed), np.uint32),
        np.array(case.origin, np.uint32),
        connectivity_of(case.prob, case.self_connections).encode(),
        words_of(case.table),
    )


def _named(case: Case) -> dict[str, NDArray]:
    """Give the operands by name."""
    matrix, *rest = operands_of(case)
    return matrix._asdict() | dict(zip(_names(case), rest, strict=False))


def _names(case: Case) -> tuple[str, ...]:
    return DELIVERED if case.product == "deliver" else OPERANDS


def _x64() -> bool:
    return bool(jax.config.read("jax_enable_x64"))


class Runner:
    """A backend on a device, and what was compiled for it.

    Attributes
    ----------
    doing : str
        What is going on, for a time limit to name.

    Parameters
    ----------
    registered : registry.Registered
    platform : str
    mark : callable, optional
        Called with ``doing`` whenever that changes, before it is done.
    """

    def __init__(
        self,
        registered: Any,
        platform: str,
        mark: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.registered = registered
        self.platform = platform
        self.devices = jax.local_devices(backend=platform)
        self.doing = "nothing yet"
        self._mark = mark
        self._programs: dict[Any, Any] = {}

    def check(self, case: Case) -> str:
        """Say what is wrong with a case; empty if nothing is.

        Raises
        ------
        Refused
            The backend does not take it.
        """
        return self._told(str(case), lambda: self._check(case))

    def check_calls(self, case: Case) -> str:
        """Call the same again and again."""
        return self._told(f"{case}, again and again", lambda: self._check_calls(case))

    def check_threads(self, case: Case) -> str:
        """Call from several threads at once, for other matrices, on all devices."""
        doing = f"{case}, from several threads at once"
        return self._told(doing, lambda: self._check_threads(case))

    def _told(self, doing: str, check: Callable[[], str]) -> str:
        """Do a check, and say what it raises."""
        self._begin(doing)
        try:
            return check()
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001, whatever a backend may raise
            return f"it raised {_describe(error)}"

    def seconds(self, case: Case) -> float:
        """Measure a call, once compiled; whatever a backend may raise is raised."""
        self._begin(f"{case}, for its time")
        program = self._program(case, self.devices[0])
        operands = jax.device_put(self._operands(case), self.devices[0])
        jax.block_until_ready(program(operands))
        start = time.perf_counter()
        jax.block_until_ready(program(operands))
        return time.perf_counter() - start

    def _begin(self, doing: str) -> None:
        self.doing = doing
        self._mark(doing)

    def _check(self, case: Case) -> str:
        program, wants = self._program(case, self.devices[0]), self._wants(case)
        operands = self._operands(case)
        kept = {name: array.tobytes() for name, array in operands.items()}
        on_device = jax.device_put(operands, self.devices[0])
        got = program(on_device)
        for name, array in on_device.items():
            if np.asarray(array).tobytes() != kept[name]:
                return f"it wrote into its input {name!r}"
        reason = _difference(case, wants, got)
        if reason:
            return reason
        again = program(on_device)
        if self._may_vary(case):
            return _difference(case, wants, again)
        for want, first, second in zip(wants, got, again, strict=True):
            for name, one, other in zip(want.names, first, second, strict=True):
                if _bytes(one) != _bytes(other):
                    text = f"called twice, it gave two different {name}"
                    return f"{text}: not deterministic"
        return ""

    def _check_calls(self, case: Case) -> str:
        program = self._program(case, self.devices[0])
        operands = jax.device_put(self._operands(case), self.devices[0])
        results = [program(operands) for _ in range(CALLS)]
        reason = _difference(case, self._wants(case), results[0])
        if reason:
            return reason
        agrees = self._agreement(case, results[0])
        wrong = next((i for i, r in enumerate(results) if not agrees(r)), None)
        if wrong is not None:
            return (
                f"not deterministic: call {wrong + 1} of {CALLS} equal ones "
                "gave another result than the first"
            )
        return ""

    def _check_threads(self, case: Case) -> str:
        number = max(THREADS, len(self.devices))
        calls = []
        for i in range(number):
            own = replace(case, seed=case.seed + i)
            device = self.devices[i % len(self.devices)]
            program = self._program(own, device)
            operands = jax.device_put(self._operands(own), device)
            got = program(operands)
            reason = _difference(own, self._wants(own), got)
            if reason:
                return f"on device {device}: {reason}" if i else reason
            calls.append((program, operands, self._agreement(own, got)))

        def again(call: tuple[Program, Any, Callable[[Any], bool]]) -> bool:
            program, operands, agrees = call
            with usual_settings(x64):
                results = [program(operands) for _ in range(CALLS_PER_THREAD)]
            return all(map(agrees, results))

        x64 = _x64()  # a thread of its own has its own
        with ThreadPoolExecutor(number) as pool:
            if not all(pool.map(again, calls)):
                return (
                    f"called from {number} threads at once, each with a matrix of its "
                    "own, it gave another result: is memory shared by calls?"
                )
        return ""

    def _may_vary(self, case: Case) -> bool:
        """Whether equal calls may differ within the bounds."""
        return case.product == "floats" and not self.registered.backend.deterministic

    def _agreement(self, case: Case, first: Any) -> Callable[[Any], bool]:
        """Make the test whether results of equal calls agree with the first."""
        if self._may_vary(case):
            wants = self._wants(case)
            return lambda results: not _difference(case, wants, results)
        right = _bytes(first)
        return lambda results: _bytes(results) == right

    # --- what is given, and what is wanted ----------------------------------------

    def _weighing_dtypes(self, case: Case) -> tuple[str, ...]:
        """List the dtypes in which sums of events are weighed, if they are at all."""
        if case.product != "events" or not self.registered.supports_weighted:
            return ()
        return ("float32", "float64")[: 1 + _x64()]

    def _wants(self, case: Case) -> list[Expected]:
        """Compute the results of the product's hook, and of ``synjit_weighted``."""
        want = expected(case)
        dtypes = self._weighing_dtypes(case)
        return [want, *(weighted(want, dtype, case.weights) for dtype in dtypes)]

    def _operands(self, case: Case) -> dict[str, NDArray]:
        """Give the operands that are traced; weights are named after their dtypes."""
        operands = _named(case)
        if case.concrete:
            operands = {k: v for k, v in operands.items() if k not in Matrix._fields}
        for dtype in self._weighing_dtypes(case):
            for name, weight in zip(OPERANDS[1:], case.weights, strict=True):
                operands[f"{name} {dtype}"] = np.array([weight], dtype)
        return operands

    # --- compiling ----------------------------------------------------------------

    def _program(self, case: Case, device: Any) -> Program:
        """Compile all products of a case, which give what ``_wants`` lists."""
        if case.product == "deliver" and not self.registered.supports_delays:
            raise Refused(NO_DELAYS)
        problem = problem_of(case, self.platform)
        problems = self.registered.asked(problem)
        problems += map(problem.of_one_block, self._weighing_dtypes(case))
        for asked in problems:
            refusal = self.registered.hook.synjit_refuses(problem=asked)
            if refusal:
                raise Refused(refusal)
        matrix = (
            case.seed,
            case.origin,
            case.prob,
            case.self_connections,
            case.table,
        )
        key = (problem, matrix if case.concrete else None, _x64(), device)
        if key not in self._programs:
            self._programs[key] = self._compile(problem, case, device)
        program: Program = self._programs[key]
        return program

    def _compile(self, problem: Problem, case: Case, device: Any) -> Program:
        operands, dtypes = self._operands(case), self._weighing_dtypes(case)
        constants = {k: v for k, v in _named(case).items() if k not in operands}

        def program(
            poisoned: list[list[jax.Array]], arrays: dict[str, jax.Array]
        ) -> list[list[jax.Array]]:
            del poisoned  # donated: the results are written over them
            given = {k: jnp.asarray(v) for k, v in constants.items()}
            given |= {k: v for k, v in arrays.items() if " " not in k}
            matrix = Matrix(*(given[k] for k in Matrix._fields))
            rest = [given[k] for k in _names(case) if k in given]
            results = [self.registered.call(problem, matrix, *rest)]
            for dtype in dtypes:
                weights = [arrays[f"{k} {dtype}"] for k in OPERANDS[1:]]
                one = problem.of_one_block(dtype), matrix_of_one_block(matrix)
                results.append(self.registered.call(*one, given["x"], *weights))
            return results

        poisoned = _poison(self._wants(case), device)
        with unchanged_configuration(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Some donated buffers were not usable")
            compiled = (
                jax.jit(program, donate_argnums=0, keep_unused=True)
                .trace(poisoned(), jax.device_put(operands, device))
                .lower()
                .compile()
            )
        return lambda given: compiled(poisoned(), given)


def _poison(wants: list[Expected], device: Any) -> Callable[[], list[list[jax.Array]]]:
    """Make a function that makes buffers full of rubbish, to be donated."""
    full = [
        [np.full(r.shape, poison(want.dtype), want.dtype) for r in want.results]
        for want in wants
    ]
    return lambda: jax.device_put(full, device, may_alias=False)


def _bytes(results: Any) -> bytes:
    return b"".join(np.asarray(result).tobytes() for result in jax.tree.leaves(results))


def _difference(case: Case, wants: list[Expected], got: list[list[jax.Array]]) -> str:
    """Describe what is wrong with the results of a case; empty if nothing is."""
    loc, scale = case.weights
    weighing = f"synjit_weighted, w_loc={loc:g}, w_scale={scale:g}: "
    for i, (want, results) in enumerate(zip(wants, got, strict=True)):
        reason = _wrong_form(want, results) or difference(
            case, want, [np.asarray(result) for result in results]
        )
        if reason:
            return weighing + reason if i else reason
    return ""


def _wrong_form(want: Expected, results: list[jax.Array]) -> str:
    """Compare number, shapes and dtypes of what a hook returned with the contract."""
    if len(results) != len(want.names):
        return f"it returned {len(results)} arrays, not {len(want.names)}"
    for name, result, right in zip(want.names, results, want.results, strict=True):
        if result.shape != right.shape:
            return f"{name} has the shape {result.shape}, not {right.shape}"
        if result.dtype != want.dtype:
            return f"{name} has the dtype {result.dtype}, not {want.dtype}"
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
