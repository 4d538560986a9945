# SPDX-License-Identifier: Apache-2.0
"""Say what is wrong with a result, and guess at the fault behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from synjit.reference.quantile_table import CELLS, GENERAL_WORDS, look_up

from .cases import MIXED, Case, connectivity_of
from .expected import Expected, Law, LookUp, delivered, expected
from .misread_rules import misread_rules

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
        if want.names[0] in {"y", "ring"}:  # to the bit, but for which NaN it is
            wrong |= (np.signbit(result) != np.signbit(right)) & ~np.isnan(right)
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
    """Go through known faults that the result could be that of."""
    if case.product == "deliver":
        yield from _guesses_of_delivery(case, want, got[0])
        return
    if want.names == ("y",):
        if not _wrong(got[0], want.results[0], want.bounds[0]).any():
            yield "only the signs of zeros differ: is a sum begun with 0?"
        bound = np.abs(want.results[0]) * float(np.finfo(want.dtype).eps) * 4
        if not _wrong(got[0], want.results[0], bound).any():
            yield "it is nearly right: is a product fused with the sum?"
        if case.grid:
            yield from _guesses_by_table(case, got)
            yield from _guesses_by_rule(case, got)
            wrong = [_wrong(got[0], want.results[0], bound)]
            yield from _guesses_by_vector(case, wrong)
            yield from _guesses_by_group(case, wrong[0])
            return
    else:
        yield from _guesses_by_value(case, want, got)
    wrong = [
        _wrong(result, right, bound)
        for result, right, bound in zip(got, want.results, want.bounds, strict=True)
    ]
    beyond_number = any(
        bool((~np.isfinite(result) | ~np.isfinite(right))[w].any())
        for result, right, w in zip(got, want.results, wrong, strict=True)
    )
    if case.pattern == "nonfinite" and beyond_number:
        yield "a NaN or an infinity must reach the connected rows, and no others"
    yield from _guesses_by_place(case, wrong)


def _guesses_of_delivery(case: Case, want: Expected, ring: NDArray) -> Iterator[str]:
    """Compare a ring with those of mistaken delays, steps and sums."""
    right, before, events = want.results[0], case.ring(), case.operand()
    if not _wrong(ring, right, want.bounds[0]).any():
        yield "only the signs of zeros differ: is 0 added where nothing arrives?"
    terms = np.abs(right) + np.abs(before) + np.abs(case.weights).max()
    eps = 16 * float(np.finfo(want.dtype).eps)
    wrong: NDArray[np.bool_] = np.asarray(_wrong(ring, right, eps * terms))
    if not wrong.any():
        yield (
            "it is nearly right: are connections weighed one by one, or is a product "
            "fused with the sum?"
        )
    if case.now and _agrees([ring], delivered(replace(case, now=0), events)):
        yield "it is as if the step were in slot 0"
    for other, guess in MISTAKEN_DELAYS:
        if _agrees([ring], delivered(case, events, other)):
            yield guess
    slots = np.any(wrong, axis=(1, 2))
    if slots[: case.now].any() and not slots[case.now :].any():
        yield "only slots before that of the step are wrong: does the ring wrap?"
    rows = np.any(wrong, axis=0)
    yield from _guesses_by_group(case, rows)
    yield from _guesses_by_vector(case, [rows])
    got, wanted = (r.sum(axis=0, dtype=np.float64) for r in (ring, right))
    if np.allclose(got, wanted, rtol=1e-3, atol=1e-3, equal_nan=True):
        yield "what arrives is right, and in which slots is not"


MISTAKEN_DELAYS: tuple[tuple[Callable[[NDArray], NDArray], str], ...] = (
    (
        lambda d: np.full_like(d, d.min(initial=2**15)),
        "it is as if delays were the shortest",
    ),
    (np.zeros_like, "it is as if there were no delays"),
    (lambda d: d - 1, "everything arrives one slot too early"),
    (lambda d: d + 1, "everything arrives one slot too late"),
)


def _guesses_by_group(case: Case, wrong: NDArray[np.bool_]) -> Iterator[str]:
    """Look at which groups of rows are wrong."""
    grid = case.problem_grid
    windows = {block.row: grid.window(block)[0] for block in grid.blocks}
    groups = [group for group, rows in windows.items() if wrong[rows].any()]
    if len(groups) < len(windows):
        yield f"of the groups of rows, only {groups} are wrong"


def _guesses_by_value(
    case: Case, want: Expected, got: Sequence[NDArray]
) -> Iterator[str]:
    """Compare with what the reference would give for another case, or roughly."""
    operand = case.operand()
    for other, guess in _likely_mistaken_for(case):
        if _agrees(got, expected(other, operand)):
            yield guess
    yield from _guesses_by_table(case, got)
    yield from _guesses_by_rule(case, got)
    bounds = [np.abs(right) * 2.0**-18 for right in want.results]
    if case.product == "events" and _agrees(got, want._replace(bounds=bounds)):
        yield "it is nearly right: are the sums made in floats?"
    if case.product == "events" and np.array_equal(got[0], want.results[0]):
        yield "N is right: the connections are, and their weights z are not"


def _agrees(got: Sequence[NDArray], other: Expected) -> bool:
    if not any(right.any() for right in other.results):
        return False  # zeros are like any other zeros
    return all(
        result.shape == right.shape and not _wrong(result, right, bound).any()
        for result, right, bound in zip(got, other.results, other.bounds, strict=True)
    )


def _guesses_by_table(case: Case, got: Sequence[NDArray]) -> Iterator[str]:
    """Compare with what a misread table of weights would give."""
    if case.table == "normal":
        return
    operand = case.operand()
    other = replace(case, table=MIXED[0])
    if _agrees(got, expected(other, operand)):
        if case.table == "mixed":
            yield "it is as if every block had the table of weights of the first"
        elif case.table == "constant":
            yield "a table of no words is that of constant weights: z must be 0"
        else:
            yield "it is as if the table of weights were the normal's: is it fixed?"
    for misread, guess in MISREADINGS:
        if _agrees(got, expected(case, operand, Law(look_up=misread))):
            yield guess


def _guesses_by_rule(case: Case, got: Sequence[NDArray]) -> Iterator[str]:
    """Compare with what a misread rule of connections would give."""
    operand = case.operand()
    for is_connected, guess in misread_rules(case):
        if _agrees(got, expected(case, operand, Law(is_connected=is_connected))):
            yield guess


def _as_upper_side(words: NDArray, word: NDArray) -> NDArray[np.int32]:
    """Look up in one side of a general table what is of either."""
    if len(words) != GENERAL_WORDS:
        return look_up(words, word)
    return look_up(words.reshape(2, 2, CELLS)[:, [0, 0]].ravel(), word)


def _falling_on_both_sides(words: NDArray, word: NDArray) -> NDArray[np.int32]:
    """Subtract the change across a cell of a general table on the lower side, too."""
    if len(words) != GENERAL_WORDS:
        return look_up(words, word)
    exchanged = words.reshape(2, 2, CELLS)[:, ::-1].ravel()
    lower = look_up(exchanged, word & np.uint32(2**31 - 1))
    return np.where(word >> np.uint32(31), lower, look_up(words, word))


MISREADINGS: tuple[tuple[LookUp, str], ...] = (
    (_as_upper_side, "it is as if the lower side of the table were the upper one"),
    (
        _falling_on_both_sides,
        "it is as if values fell across the cells of the lower side, where they rise",
    ),
)


def _likely_mistaken_for(case: Case) -> Iterator[tuple[Case, str]]:
    """Give other cases, and what is the fault if a result is theirs."""
    if case.product != "dense" and case.shape[0] == case.shape[1]:
        other = replace(case, transpose=not case.transpose)
        yield other, "it is the product with W, not W.T, or the reverse"
    row, column = case.origin
    if case.origin != (0, 0):
        other = replace(case, origin=(0, 0))
        yield other, "it is as if the origin were (0, 0): it is ignored"
    if row and column:
        other = replace(case, origin=(0, column))
        yield other, "it is as if the origin's row were 0"
        other = replace(case, origin=(row, 0))
        yield other, "it is as if the origin's column were 0"
    low = case.seed & 0xFFFFFFFF
    if low != case.seed:
        other = replace(case, seed=low)
        yield other, "it is as if the high word of the seed were 0"


def _guesses_by_place(case: Case, wrong: list[NDArray[np.bool_]]) -> Iterator[str]:
    """Look at where the wrong entries are."""
    yield from _guesses_by_vector(case, wrong)
    if case.pattern == "none":
        yield "without events, sums must be 0"
    if not case.transpose:
        length = 1 << connectivity_of(case.prob).log2_chunk
        last = (case.origin[0] + case.shape[0] - 1) // length * length - case.origin[0]
        if last > 0 and not any(w[:last].any() for w in wrong):
            yield f"only rows of the last chunk are wrong (from row {last})"
    entries = max(w.shape[0] for w in wrong)
    kind = "columns" if case.transpose else "rows"
    if case.shape[0] * case.shape[1] >= 2**31:
        yield "are entries beyond number 2^31 wrong: does a flat index overflow?"
    for most in (2**16 - 1, 2**15 - 1):
        if entries > most and not any(w[: most + 1].any() for w in wrong):
            yield f"only {kind} beyond {most} are wrong: does an index overflow?"
    if case.shape[1] > 2**16:
        yield "are columns beyond 65535 wrong: does an index or a list overflow?"


def _guesses_by_vector(case: Case, wrong: list[NDArray[np.bool_]]) -> Iterator[str]:
    """Look at which vectors of a batch are wrong."""
    if case.batch == 1 or case.product == "dense":
        return
    vectors = np.any([w.any(axis=0) for w in wrong], axis=0)
    first = int(np.argmax(vectors))
    if first == 1:
        yield "the first vector of the batch is right, others are not"
    if first > 1 and vectors[first:].mean() > 0.5:
        yield f"vectors of the batch from number {first} on are wrong, none before"
