# SPDX-License-Identifier: Apache-2.0
"""Populations, projections and delays of a network that is to be written."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from synjit import units
from synjit.blocks import JITBlocks
from synjit.delays import check_delay
from synjit.inspection import collecting, copies, listing
from synjit.jit_matrix import JITMatrix
from synjit.matrix import RandomMatrix
from synjit.reference import Delays
from synjit.reference import delays as law_of_delays
from synjit.validation import describe

NAME = re.compile(r"[A-Za-z0-9_.+-]+")
USUAL_UNITS = ("pA", "nS", "mV")  # of NEST's models, by dimension

Delay = float | Callable[[NDArray, NDArray], Any] | None


class Edges(NamedTuple):
    """Some connections of a projection.

    Attributes
    ----------
    source, target : int32 (connections,)
        Counted in their populations.
    weight : float32 or float64 (connections,)
        In the network's unit.
    delay : float64 (connections,), or None
        In ms.
    """

    source: NDArray[np.int32]
    target: NDArray[np.int32]
    weight: NDArray
    delay: NDArray[np.float64] | None


class Projection(NamedTuple):
    """The connections of one block."""

    name: str
    source: str
    target: str
    matrix: JITMatrix
    delay: Delay
    factor: float  # of weights, to be in the network's unit

    @property
    def expected(self) -> float:
        """Mean number of connections."""
        return collecting.expected(self.matrix, *map(range, self.matrix.shape))

    @property
    def dtype(self) -> np.dtype:
        """Type of the weights as they are written."""
        return np.promote_types(self.matrix.dtype, np.float32)

    def pieces(self) -> Iterator[Edges]:
        """List the connections, a few MB at once."""
        for found in collecting.pieces(self.matrix, *map(range, self.matrix.shape)):
            weight = copies.scaled(found.weights.astype(self.dtype), self.factor)
            delay = None
            if callable(self.delay):
                given = self.delay(found.columns, found.rows)
                delay = _checked_delays(given, len(weight), f"delays of {self.name}")
            elif self.delay is not None:
                delay = np.full(len(weight), self.delay)
            yield Edges(found.columns, found.rows, weight, delay)


class Network(NamedTuple):
    """What is written."""

    populations: dict[str, int]  # names and sizes
    projections: list[Projection]
    unit: str | None  # of the weights; None if they are plain numbers


def read(
    network: RandomMatrix,
    targets: Sequence[str] | None,
    sources: Sequence[str] | None,
    delays: Any,
    dt: Any,
    unit: Any,
) -> Network:
    """Check what ``export_network`` was given, and bring it into one form."""
    if not isinstance(network, RandomMatrix):
        raise TypeError(
            "network must be a JITBlocks, a JITNormal or its like, got "
            f"{describe(network)}"
        )
    if not isinstance(network, JITBlocks):
        network = JITBlocks([[network]])  # type: ignore[list-item]
    blocks = network.blocks
    rows = [next(b.shape[0] for b in row if b is not None) for row in blocks]
    columns = [
        next(b.shape[1] for b in column if b is not None)
        for column in zip(*blocks, strict=True)
    ]
    named = targets is not None or sources is not None
    target_names, source_names = _names(targets, sources, rows, columns)
    populations: dict[str, int] = {}
    for name, size in zip(
        [*target_names, *source_names], [*rows, *columns], strict=True
    ):
        if populations.setdefault(name, size) != size:
            raise ValueError(
                f"population {name!r} has {populations[name]} neurons as a target and "
                f"{size} as a source: give another name to one"
            )
    unit = unit if unit is not None else _usual_unit(network.unit)
    factor = copies.factor(network, unit)
    step = None if dt is None else _delay_of_all(dt, "dt")
    projections = []
    for i, row in enumerate(blocks):
        for j, block in enumerate(row):
            if block is not None:
                source, target = source_names[j], target_names[i]
                name = f"{source}_to_{target}" if named else f"block_{i}_{j}"
                delay = _delay(delays, i, j, name)
                law = check_delay(block.delay)
                if delays is None and law is not None:
                    delay = _drawn_delay(block, law, step, name)
                projections.append(
                    Projection(name, source, target, block, delay, factor)
                )
    return Network(populations, projections, None if unit is None else str(unit))


# --- names ------------------------------------------------------------------------


def _names(
    targets: Sequence[str] | None,
    sources: Sequence[str] | None,
    rows: list[int],
    columns: list[int],
) -> tuple[list[str], list[str]]:
    if targets is None and sources is None:
        if rows == columns:
            same = [f"population_{i}" for i in range(len(rows))]
            return same, same
        return (
            [f"target_{i}" for i in range(len(rows))],
            [f"source_{j}" for j in range(len(columns))],
        )
    if sources is None:
        if rows != columns:
            raise ValueError(
                f"the blocks have rows {rows} and columns {columns}, so that targets "
                "and sources are not the same populations: name the sources too"
            )
        sources = targets
    if targets is None:
        raise ValueError("sources are named, and targets are not: name both")
    return _checked(targets, rows, "targets"), _checked(sources, columns, "sources")


def _checked(names: Any, sizes: list[int], what: str) -> list[str]:
    wanted = (
        f"{what} must be {len(sizes)} different names, one for each group of blocks, "
        "of letters, digits and _ . + -"
    )
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypeError(f"{wanted}, got {describe(names)}")
    fine = all(isinstance(name, str) and NAME.fullmatch(name) for name in names)
    if not fine or len(set(names)) != len(sizes) or len(names) != len(sizes):
        raise ValueError(f"{wanted}, got {list(names)!r}")
    return list(names)


# --- units and delays -------------------------------------------------------------


def _usual_unit(own: Any) -> Any:
    """Give the unit that NEST has for weights of this dimension."""
    if own is None:
        return None
    import brainunit

    for name in USUAL_UNITS:
        usual = getattr(brainunit, name)
        if usual.dim == own.dim:
            return usual
    raise TypeError(
        f"the weights are in {own}, which is neither a current, a conductance nor a "
        "voltage: say in which unit they shall be written, as unit=M.unit"
    )


def _delay(delays: Any, i: int, j: int, name: str) -> Delay:
    """Give the delay of a block, in ms."""
    if isinstance(delays, (list, tuple)):
        try:
            delays = delays[i][j]
        except (IndexError, TypeError):
            raise ValueError(
                "delays by blocks must be a list of rows, as the blocks are; there is "
                f"none for row {i}, column {j}"
            ) from None
    if delays is None or callable(delays):
        return delays
    return _delay_of_all(delays, f"delays of {name}")


def _delay_of_all(given: Any, what: str) -> float:
    (number,) = _checked_delays(np.reshape(_in_ms(given), -1), 1, what)
    return float(number)


def _drawn_delay(
    matrix: JITMatrix, law: Delays, step: float | None, name: str
) -> Delay:
    """Give the delays that a matrix draws, in ms."""
    if step is None:
        raise ValueError(
            f"{name} has delays of its own, in steps: say how long a step is, as "
            "dt=0.1 (in ms) or dt=0.1 * u.ms, or give other delays"
        )
    drawn = listing.known(matrix).matrix
    seed = int(drawn.seed[0]), int(drawn.seed[1])
    row, column = drawn.origin

    def delay(sources: NDArray, targets: NDArray) -> NDArray:
        rows, columns = (sources, targets) if matrix.transposed else (targets, sources)
        steps = law_of_delays.delay(
            seed,
            rows.astype(np.uint32) + row,
            columns.astype(np.uint32) + column,
            law.table,
        )
        return steps * step

    return delay


def _checked_delays(given: Any, number: int, what: str) -> NDArray[np.float64]:
    delays = np.asarray(_in_ms(given))
    if delays.dtype.kind not in "iuf":
        raise TypeError(
            f"{what} must be numbers, in ms, or quantities of time; got "
            f"{describe(given)}"
        )
    delays = delays.astype(np.float64)
    if delays.shape != (number,):
        raise ValueError(
            f"{what} must be one for each of {number} connections, an array "
            f"({number},); got shape {delays.shape}"
        )
    wrong = ~((delays > 0) & (delays < math.inf))
    if wrong.any():
        raise ValueError(
            f"{what} must be finite and above 0 ms, got {delays[wrong][0]}"
        )
    return delays


def _in_ms(given: Any) -> Any:
    if not units.is_quantity(given):
        return given
    import brainunit

    return given.to_decimal(brainunit.ms)
