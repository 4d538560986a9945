# SPDX-License-Identifier: Apache-2.0
"""A matrix made of matrices: all the connections of a network, as one product."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import delivery, dispatch, html, units, validation
from .delays import check_delay
from .evaluation import coefficients, evaluate
from .hookspecs import Block, Grid, Matrix, Problem
from .inspection.methods import Part
from .jit_matrix import JITMatrix, Operands
from .matrix import Events, RandomMatrix, operand, rank
from .primitives import replicate
from .reference import Delays, FixedOutDegree
from .ring import Ring, check_ring, check_spikes, weights_in


@jax.tree_util.register_pytree_node_class
class JITBlocks(RandomMatrix):
    """A grid of random matrices, as ``numpy.block`` would join them.

    ``B @ x`` is the sum, for each group of rows, of what its blocks give of their parts
    of x. Events are multiplied by all blocks in one call, where the backend has one: it
    writes each row once and cuts all rows among its threads, and for a network of many
    populations is several times as fast as a product for each pair of them. With
    weights of one unit and one dtype, float32 or float64, the bits are those of the
    sum, block by block from the left, of ``M @ events``. Products with floats, or with
    blocks that are transposed, are made block by block.

    Parameters
    ----------
    blocks : sequence of rows, each a sequence of JITNormal, its like, or None
        None stands for zeros. Every row and every column has one matrix at least. Their
        weights have one dimension, and are kept in the unit of the first's. Laws of
        weights may differ.

    Raises
    ------
    TypeError, ValueError
        It is no such grid, shapes do not fit, or backends differ.
    brainunit.DimensionMismatchError
        Weights have different dimensions.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import synjit
    >>> E = synjit.JITNormal(0.5, 0.05, 0.1, 1, shape=(80, 80))
    >>> I = synjit.JITNormal(-2.0, 0.2, 0.1, 2, shape=(80, 20))
    >>> B = synjit.JITBlocks([[E, I]])
    >>> spikes = jnp.arange(100) % 7 == 0
    >>> bool((B @ spikes == E @ spikes[:80] + I @ spikes[80:]).all())
    True
    """

    def __init__(self, blocks: Sequence[Sequence[JITMatrix | None]]) -> None:
        rows = _lists(blocks)
        for i, row in enumerate(rows):
            if len(row) != len(rows[0]):
                raise ValueError(
                    "all rows of blocks must be as long as the first, which has "
                    f"{len(rows[0])}; row {i} has {len(row)}"
                )
        self._placed = [
            (i, j, block)
            for i, row in enumerate(rows)
            for j, block in enumerate(row)
            if block is not None
        ]
        for i, j, block in self._placed:
            if not isinstance(block, JITMatrix):
                raise TypeError(
                    "blocks must be JITNormal, its like, or None, got "
                    f"{type(block).__name__} in row {i}, column {j}"
                )
        self._rows = self._lengths("row", 0, len(rows))
        self._columns = self._lengths("column", 1, len(rows[0]))
        backends = {block.backend for _, _, block in self._placed}
        if len(backends) > 1:
            raise ValueError(
                "all blocks must ask for the same backend, or for none; got "
                + ", ".join(sorted(map(repr, backends)))
            )
        validation.check_shape(self.shape)
        _warn_of_same_connections(self._placed)
        self._warn_of_other_diagonals()
        self._placed = _in_one_unit(self._placed)

    def _lengths(self, what: str, axis: int, number: int) -> tuple[int, ...]:
        """Give the common length of each group of rows, or of columns."""
        lengths: dict[int, int] = {}
        for *place, block in self._placed:
            length = block.shape[axis]
            if lengths.setdefault(place[axis], length) != length:
                raise ValueError(
                    f"blocks in one {what} must have the same number of {what}s; in "
                    f"{what} {place[axis]} one has {lengths[place[axis]]}, and the one "
                    f"in row {place[0]}, column {place[1]} has {length}"
                )
        for i in range(number):
            if i not in lengths:
                raise ValueError(
                    f"{what} {i} of the blocks has no matrix to say how long it is: "
                    "put one there, with prob 0 if it is to be zero"
                )
        return tuple(lengths[i] for i in range(number))

    def _warn_of_other_diagonals(self) -> None:
        """Say where ``self_connections=False`` leaves out what it should not.

        It leaves out the entries (k, k) of the block's own numbers, from its origin on.
        Of a square whole, whose rows and columns are the same neurons, these should be
        the whole's.
        """
        if self.shape[0] != self.shape[1]:
            return
        for (i, j, block), part in zip(self._placed, self._parts(), strict=True):
            origin = block.origin[::-1] if block.transposed else block.origin
            if block.self_connections or not all(isinstance(o, int) for o in origin):
                continue
            if origin[0] - origin[1] != part.row - part.column:
                wanted = max(0, part.row - part.column), max(0, part.column - part.row)
                wanted = wanted[::-1] if block.transposed else wanted
                warnings.warn(
                    f"the block in row {i}, column {j} has self_connections=False, and "
                    "leaves out its own entries (k, k), which are not a neuron's with "
                    "itself here: leave self_connections out, or give it "
                    f"origin={wanted}, from which rows and columns are counted",
                    RuntimeWarning,
                    stacklevel=3,
                )

    # --- what it is ---------------------------------------------------------------

    @property
    def blocks(self) -> tuple[tuple[JITMatrix | None, ...], ...]:
        """The matrices, row by row."""
        rows: list[list[JITMatrix | None]]
        rows = [[None] * len(self._columns) for _ in self._rows]
        for i, j, block in self._placed:
            rows[i][j] = block
        return tuple(map(tuple, rows))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return sum(self._rows), sum(self._columns)

    @property
    def groups(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Lengths of its groups of rows, and of its groups of columns."""
        return self._rows, self._columns

    @property
    def grid(self) -> Grid:
        """Its layout, as ``synjit.explain`` takes it, and backends get it."""
        return self._grid([block.operands() for _, _, block in self._placed])[0]

    def _grid(self, blocks: Sequence[Operands]) -> tuple[Grid, np.ndarray]:
        """Give the layout, and the distinct tables of weights, one after the other."""
        places, words = _join([np.asarray(own.matrix.weights) for own in blocks])
        placed = (
            Block(i, j, own.log2_chunk, place, own.rule, block.self_connections)
            for (i, j, block), own, place in zip(
                self._placed, blocks, places, strict=True
            )
        )
        return Grid(self._rows, self._columns, tuple(placed)), words

    @property
    def dtype(self) -> np.dtype:
        """Type of an entry."""
        return validation.result_dtype(*(block.dtype for _, _, block in self._placed))

    @property
    def T(self) -> JITBlocks:  # noqa: N802, as in NumPy
        """The transpose."""
        columns = zip(*self.blocks, strict=True)
        return JITBlocks([[b and b.T for b in column] for column in columns])

    def todense(self) -> Any:
        """Write the matrix out."""
        rows = []
        unit = None
        for i, row in enumerate(self.blocks):
            parts = []
            for j, block in enumerate(row):
                part: Any = jnp.zeros((self._rows[i], self._columns[j]), self.dtype)
                if block is not None:
                    part, unit = units.split(block.todense())
                parts.append(part.astype(self.dtype))
            rows.append(jnp.concatenate(parts, axis=1))
        return units.attach(jnp.concatenate(rows), unit)

    def _parts(self) -> list[Part]:
        """Give the blocks, and where each begins."""
        rows, columns = (np.cumsum((0, *g)) for g in (self._rows, self._columns))
        return [Part(int(rows[i]), int(columns[j]), b) for i, j, b in self._placed]

    def __repr__(self) -> str:
        """Show what it is made of."""
        rows = ", ".join(f"[{', '.join(map(repr, row))}]" for row in self.blocks)
        return f"JITBlocks([{rows}])"

    def _repr_html_(self) -> str:
        """Show the grid in a notebook, and how much is not stored."""
        rows: list[Sequence[object]] = [
            [
                i,
                *(
                    "none" if b is None else f"{type(b).__name__} {b.shape}"
                    for b in row
                ),
            ]
            for i, row in enumerate(self.blocks)
        ]
        rows += html.connections([block for _, _, block in self._placed])
        return html.table(f"JITBlocks {self.shape}", rows)

    # --- products -----------------------------------------------------------------

    def __matmul__(self, other: Any) -> Any:
        """Multiply an array, or events, from the left."""
        vector, events = operand(self, other)
        axes = rank(vector)
        value, unit = validation.check_operand(vector, "x", self.shape, False, axes)
        value = replicate(value)
        ready = all(not b.transposed and 0 not in b.shape for _, _, b in self._placed)
        if not (events and ready):
            return self._one_by_one(value, unit, events)
        columns = value[:, None] if axes == 1 else value
        result = self._at_once(columns, unit)
        return result[:, 0] if axes == 1 else result

    def _one_by_one(self, value: jax.Array, unit: Any, events: bool) -> Any:
        """Make every block a product of its own, and add up."""
        starts = np.cumsum((0, *self._columns))
        sums: list[Any] = [None] * len(self._rows)
        weights_unit = None
        for i, j, block in self._placed:
            part: Any = value[starts[j] : starts[j + 1]]
            product = block @ (Events(part) if events else part)
            number, weights_unit = units.split(product)
            sums[i] = number if sums[i] is None else sums[i] + number
        dtype = validation.result_dtype(*sums)
        result = jnp.concatenate([number.astype(dtype) for number in sums])
        return units.attach(result, weights_unit, unit)

    def _at_once(self, value: jax.Array, unit: Any) -> Any:
        """Multiply events, (n, k), by all blocks in one call."""
        blocks = [block for _, _, block in self._placed]
        own = [block.operands() for block in blocks]
        dtype = validation.result_dtype(
            *(validation.result_dtype(*o.parameters, value) for o in own)
        )
        accurate = validation.compute_dtype(dtype)
        weights = [
            coefficients(block.family(), o.parameters, accurate)
            for block, o in zip(blocks, own, strict=True)
        ]
        grid, tables = self._grid(own)
        result = evaluate(
            _stack([loc for loc, _ in weights], accurate),
            _stack([scale for _, scale in weights], accurate),
            _stacked(own, tables),
            self._valid([o.valid for o in own]),
            value,
            dtype=dtype,
            problem=Problem(
                product="weighted",
                shape=self.shape,
                transpose=False,
                batch=0,
                dtype=str(accurate),
                corder=all(b.corder for b in blocks),
                log2_chunk=None,
                weights=len(tables),
                platform="",
                grid=grid,
            ),
            backend=dispatch.resolve(blocks[0].backend),
        )
        return units.attach(result, own[0].unit, unit)

    def _valid(self, valid: Sequence[jax.Array | None]) -> jax.Array | None:
        """Say of each row whether what was traced of its blocks is valid, (m, 1)."""
        groups: list[Any] = [np.array(True)] * len(self._rows)
        for (i, _, _), own in zip(self._placed, valid, strict=True):
            if own is not None:
                groups[i] = groups[i] & own
        if all(isinstance(group, (np.ndarray, np.generic)) for group in groups):
            return None
        rows = zip(groups, self._rows, strict=True)
        return jnp.concatenate([jnp.broadcast_to(g, (n, 1)) for g, n in rows])

    # --- delays -------------------------------------------------------------------

    def ring(self, batch: int | None = None, slots: int | None = None) -> Ring:
        """Make a ring for ``deliver``, in which nothing is on its way.

        Parameters
        ----------
        batch : int, optional
            Number of vectors of spikes that are delivered at once.
        slots : int, optional
            One more than the longest delay, if left.
        """
        longest = max(delays.bounds[1] for delays in self._delays())
        return Ring.zeros(
            longest + 1 if slots is None else slots,
            self.shape[0],
            batch,
            dtype=validation.compute_dtype(self.dtype),
            unit=units.split(self._placed[0][2].first_parameter())[1],
        )

    def deliver(self, spikes: Any, ring: Ring, now: Any) -> Ring:
        """Send spikes through all blocks, as ``JITMatrix.deliver`` does through one.

        What arrives is added block by block, from the left; every block needs a delay,
        and may have its own.
        """
        laws = self._delays()
        slot = check_ring(ring, self.shape[0], laws, now)
        events = replicate(check_spikes(spikes, ring, self.shape))
        own = [block.operands() for _, _, block in self._placed]
        value, unit = ring.columns()
        weights = [
            weights_in(unit, block, o, value.dtype)
            for (_, _, block), o in zip(self._placed, own, strict=True)
        ]
        if 0 in self.shape or 0 in value.shape:
            return ring
        grid, tables = self._grid(own)
        places, delays = _join([law.table for law in laws])
        blocks = zip(grid.blocks, places, strict=True)
        grid = grid._replace(blocks=tuple(b._replace(delays=at) for b, at in blocks))
        problem = Problem(
            product="deliver",
            shape=self.shape,
            transpose=False,
            batch=0,
            dtype=str(value.dtype),
            corder=all(block.corder for _, _, block in self._placed),
            log2_chunk=None,
            weights=len(tables),
            platform="",
            grid=grid,
            slots=ring.slots,
        )
        result = delivery.deliver(
            _stacked(own, tables),
            delays,
            events,
            _stack([loc for loc, _ in weights], value.dtype),
            _stack([scale for _, scale in weights], value.dtype),
            replicate(value),
            slot,
            problem,
            dispatch.resolve(self._placed[0][2].backend),
        )
        return ring.with_columns(delivery.only_if([o.valid for o in own], result))

    def _delays(self) -> list[Delays]:
        """Give the law of the delays of each block, which must have one."""
        laws = []
        for i, j, block in self._placed:
            where = (
                f" (the block in row {i}, column {j})" if len(self._placed) > 1 else ""
            )
            law = check_delay(block.delay)
            if law is None:
                raise ValueError(
                    f"a matrix delivers with a delay, and this one{where} has none: "
                    f"make it with one, as {type(block).__name__}(..., delay=15)"
                )
            if block.transposed:
                raise ValueError(
                    "spikes are delivered from the columns of a matrix to its rows, "
                    f"and this one{where} is a transpose: deliver with its own, as of "
                    "W of shape (pre, post) that pre_post made with W.T.deliver(...)"
                )
            laws.append(law)
        return laws

    def _scaled(self, factor: Any) -> JITBlocks:
        return self._with([block * factor for _, _, block in self._placed])

    # --- as a pytree --------------------------------------------------------------

    def _with(self, blocks: Sequence[Any]) -> JITBlocks:
        _, aux = self.tree_flatten()
        return self.tree_unflatten(aux, tuple(blocks))

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Give the matrices as children."""
        places = tuple((i, j) for i, j, _ in self._placed)
        blocks = tuple(block for _, _, block in self._placed)
        return blocks, (places, self._rows, self._columns)

    @classmethod
    def tree_unflatten(cls, aux: tuple[Any, ...], blocks: tuple[Any, ...]) -> JITBlocks:
        """Put the matrices back, unchecked."""
        new = object.__new__(cls)
        places, new._rows, new._columns = aux
        new._placed = [(*p, block) for p, block in zip(places, blocks, strict=True)]
        return new


def _join(tables: Sequence[np.ndarray]) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Join the distinct tables; say where each one's begins, and how long it is."""
    start = 0
    starts: dict[bytes, int] = {}
    distinct = []
    for table in tables:
        if table.tobytes() not in starts:
            starts[table.tobytes()] = start
            start += len(table)
            distinct.append(table)
    places = [(starts[table.tobytes()], len(table)) for table in tables]
    return places, np.concatenate(distinct)


def _lists(blocks: Any) -> list[list[Any]]:
    try:
        rows = [list(row) for row in blocks]
    except TypeError:
        raise TypeError(
            "blocks must be a sequence of rows, each of JITNormal, its like, or None, "
            f"got {blocks!r}"
        ) from None
    if not rows or not rows[0]:
        raise ValueError(f"blocks must not be empty, got {blocks!r}")
    return rows


def _warn_of_same_connections(placed: list[Any]) -> None:
    """Warn of blocks that draw the same connections of the same matrix."""
    first: dict[Any, tuple[int, int]] = {}
    for i, j, block in placed:
        rule: Any = block.prob
        fixed = isinstance(rule, FixedOutDegree)
        numbers = (block.seed, *block.origin, rule.k if fixed else rule)
        if not all(isinstance(n, (int, float, np.integer)) for n in numbers):
            continue  # an array, which may not be known yet
        some = rule.k > 0 if fixed else 0 < rule < 1
        if not some or 0 in block.shape:
            continue
        # The targets of a fixed out-degree depend on the number of rows.
        rows = fixed and (rule.rows or block.shape[block.transposed])
        known = (*numbers, rows, block.transposed)
        row, column = first.setdefault(known, (i, j))
        if (row, column) != (i, j):
            warnings.warn(
                f"the blocks in row {row}, column {column} and in row {i}, column {j} "
                f"have the same seed, {block.seed}, and the same prob, {rule}: "
                "they have the same connections, one by one. Give each block a seed of "
                "its own, as synjit.seeds(master, number) makes them",
                RuntimeWarning,
                stacklevel=3,
            )


def _in_one_unit(placed: list[Any]) -> list[Any]:
    """Give all weights in the unit of the first block's."""
    first = placed[0][2].first_parameter()
    result = []
    for i, j, block in placed:
        names = f"the weights of the blocks (row {i}, column {j} and the first)"
        changes = {}
        for name in block.PARAMETERS:
            _, number, unit = units.split_pair(first, getattr(block, name), names)
            if unit is not None:
                changes[name] = units.attach(number, unit)
        kept = block._with(**changes) if changes else block  # noqa: SLF001
        result.append((i, j, kept))
    return result


def _stacked(blocks: Sequence[Operands], tables: np.ndarray) -> Matrix:
    """Give the operands of all blocks."""
    return Matrix(
        _stack([own.matrix.seed for own in blocks], np.uint32),
        _stack([own.matrix.origin for own in blocks], np.uint32),
        _stack([own.matrix.connectivity for own in blocks], np.uint32),
        tables,
    )


def _stack(values: Sequence[Any], dtype: Any) -> Any:
    """Stack on a new first axis: in NumPy, where everything is known already."""
    if all(isinstance(value, (int, float, np.ndarray, np.generic)) for value in values):
        return np.array(values, dtype)
    return jnp.stack([jnp.asarray(value).astype(dtype) for value in values])
