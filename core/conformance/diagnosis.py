# SPDX-License-Identifier: Apache-2.0
"""Say what is wrong with a result, and guess at the fault behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from synjit import reference

from .cases import Case
from .expected import Expected, expected

POISON_INT = 0x5A5A5A5A
POISON_FLOAT = 1.5e30  # finite, for NaN may be right


def poison(dtype: np.dtype) -> int | float:
    """Give the number with which outputs are filled before a backend is called."""
    return POISON_INT if np.issubdtype(dtype, np.integer) else POISON_FLOAT


def difference(case: Case, want: Expected, got: Sequence[NDArray]) -> str:
    """Describe how results differ from those wanted; empty if they do not."""
    for name, result, right, bound in zip(
        want.names, got, want.results, want.bounds, strict=True
    ):
        wrong = _wrong(result, right, bound)
        if not wrong.any():
            continue
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        count = f"{int(wrong.sum())} of {wrong.size} entries differ"
        text = f"{name}{list(where)} is {result[where]}, not {right[where]} ({count})"
        unwritten = result[wrong] == np.asarray(poison(want.dtype), want.dtype)
        if unwritten.any():
            return f"{text}: it was never written: it holds what was there before"
        guess = next(_guesses(case, want, got), "")
        return f"{text}: {guess}" if guess else text
    return ""


def _wrong(result: NDArray, right: NDArray, bound: NDArray) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        gap = np.abs(result.astype(np.float64) - right.astype(np.float64))
    same = (result == right) | (np.isnan(result) & np.isnan(right))
    return ~(same | (gap <= bound))


def _guesses(case: Case, want: Expected, got: Sequence[NDArray]) -> Iterator[str]:
    """Go through known faults: is the result what one of them would give?"""

    def agrees(other: Expected) -> bool:
        return all(
            result.shape == right.shape and not _wrong(result, right, bound).any()
            for result, right, bound in zip(
                got, other.results, other.bounds, strict=True
            )
        )

    m, n = case.shape
    if case.product != "dense" and m == n:
        # The operand is named by the case: give the other direction this one's.
        other = replace(case, transpose=not case.transpose)
        if agrees(_with_operand(other, case)):
            yield "it is the product with W, not W.T, or the other way round"
    if case.origin != (0, 0) and agrees(
        _with_operand(replace(case, origin=(0, 0)), case)
    ):
        yield "it is as if the origin were (0, 0): the window's offset is ignored"
    low = case.seed & 0xFFFFFFFF
    if low != case.seed and agrees(_with_operand(replace(case, seed=low), case)):
        yield "it is as if the high word of the seed were 0"
    rounded = want._replace(bounds=[np.abs(right) * 2.0**-18 for right in want.results])
    if case.product == "events" and agrees(rounded):
        yield "it is nearly right: are the sums made in floats?"
    wrong = [
        _wrong(result, right, bound)
        for result, right, bound in zip(got, want.results, want.bounds, strict=True)
    ]
    if case.batch > 1 and not any(w[:, 0].any() for w in wrong):
        yield "the first vector of the batch is right, others are not"
    if case.pattern == "nonfinite":
        yield "a NaN or an infinity must reach the connected rows, and no others"
    if case.pattern == "none":
        yield "without events, sums must be 0"
    if not case.transpose:
        length = 1 << reference.law(case.prob).log2_chunk
        last = (case.origin[0] + m - 1) // length * length - case.origin[0]
        if last > 0 and not any(w[:last].any() for w in wrong):
            yield f"only rows of the last chunk are wrong (from row {last})"
    if m > 2**15 and not any(w[: 2**15].any() for w in wrong):
        yield "only rows beyond 32767 are wrong: does an index overflow?"


def _with_operand(other: Case, case: Case) -> Expected:
    """Results of another case on this case's operand."""
    return expected(other, case.operand())
