# SPDX-License-Identifier: Apache-2.0
"""The contract of a backend, version 2.

A backend is a pluggy plugin (a module or an object) with the hooks below. Two describe
it; they must be cheap, and must not import kernels. Two give the products, as functions
that JAX can trace. Three more are optional: ``synjit_weighted``, which synjit otherwise
makes of ``synjit_product``, ``synjit_deliver``, without which there are no delays, and
``synjit_custom_calls``, for programs that are stored.

The matrix is what ``synjit.reference`` says it is: the window of ``problem.shape`` that
starts at ``matrix.origin`` in the matrix of its seed, its connectivity and its weights.
Integer results, and weighted sums of events, must equal the reference's bit for bit
(but for subnormal numbers, which XLA may take for 0); other float results must come
within the bounds of ``synjit.conformance``. Nothing but the operands may decide a
result (but for ``Backend.deterministic``): ``corder``, ``log2_chunk`` and ``platform``
are for choosing how.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import pluggy

if TYPE_CHECKING:
    from collections.abc import Callable

    import jax
    from numpy.typing import NDArray

CONTRACT = 2
PROJECT = "synjit"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
Product = Literal["events", "floats", "dense", "weighted", "deliver"]
Rule = Literal["bernoulli", "fixed_out_degree"]


def directions(product: Product) -> tuple[bool, ...]:
    """Give the values that ``transpose`` has for a product."""
    return (False, True) if product in {"events", "floats"} else (False,)


hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class Backend:
    """Static description of a backend.

    Attributes
    ----------
    name : str
        What users write in ``backend=``.
    version : str
    platforms : tuple of str
        JAX platforms for which it can lower: "cpu", "cuda", "rocm", "tpu".
    contract : int
        Version of the contract that its hooks are written for: 2.
    aliases : tuple of str
        Further names, which other backends may share; a shared name means the one
        that is for the platform.
    priority : int
        Among conforming backends for a platform, the highest is taken.
    requires : tuple of str
        Modules that must be installed.
    interpreted_on : tuple of str
        Those of the platforms on which what runs is an interpreter of the kernels and
        not the kernels: a lesser grade, never chosen by default.
    known_gaps : tuple of (str, str)
        Declared refusals, for the full suite: a pattern of case names, with ``*`` and
        ``?``, and the reason. A gap excuses refusing, never a wrong result.
    deterministic : bool
        Whether equal calls give the same bits. Where it is False, products of floats
        may differ from call to call, within their bounds, as sums by atomic additions
        do, whose order is nobody's; all other products are the same bits even then.
    environment, files : tuple of str
        Environment variables and files, outside of the distribution, that decide what
        the backend does. They go into its certificates: another value, or another
        content, is held to the reference anew.
    """

    name: str
    version: str
    platforms: tuple[str, ...]
    contract: int
    aliases: tuple[str, ...] = ()
    priority: int = 0
    requires: tuple[str, ...] = ()
    interpreted_on: tuple[str, ...] = ()
    known_gaps: tuple[tuple[str, str], ...] = ()
    deterministic: bool = True
    environment: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class Matrix(NamedTuple):
    """Operands that say which matrix; all may be traced, none is ever batched.

    Attributes
    ----------
    seed : uint32 (2,)
        Low and high word.
    origin : uint32 (2,)
        First row and first column of the window. It lets a device draw just its rows;
        in a matrix drawn whole it is (0, 0).
    connectivity : uint32 (CONNECTIVITY_WORDS,)
        ``reference.Connectivity.encode()``: what a draw needs to know of the rule of
        connections, ``prob`` or another. Beyond the rows that a fixed out-degree is of,
        where a window may reach, nothing is connected.
    weights : uint32 (0,), (2048,) or (8192,)
        Table of the law of the weights; its length says how it is read
        (``reference.quantile_table``).

    Of a grid of blocks, the first three have one more axis, of the blocks, in front;
    ``weights`` are the distinct tables, one after the other, and ``Block.table`` says
    which part is a block's.
    """

    seed: jax.Array | NDArray
    origin: jax.Array | NDArray
    connectivity: jax.Array | NDArray
    weights: jax.Array | NDArray


class Block(NamedTuple):
    """A matrix of a grid.

    Attributes
    ----------
    row, column : int
        The groups of rows and of columns that it joins.
    log2_chunk : int or None
        ``connectivity[0]``, where ``prob`` is known already.
    table : (int, int)
        Where its words begin in ``Matrix.weights``, and how many they are.
    rule, self_connections
        As of ``Problem``.
    delays : (int, int)
        Of "deliver": the same in the words of the delays.
    """

    row: int
    column: int
    log2_chunk: int | None
    table: tuple[int, int]
    rule: Rule = "bernoulli"
    self_connections: bool = True
    delays: tuple[int, int] = (0, 0)


class Grid(NamedTuple):
    """A matrix made of matrices: lengths of its groups of rows and of columns.

    ``blocks`` are sorted by row, then column. A place without one is zero; every group
    of rows has one at least. A single matrix is a grid of one block.
    """

    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()
    blocks: tuple[Block, ...] = ()

    @property
    def words(self) -> int:
        """Number of words of all tables of weights."""
        return max(sum(block.table) for block in self.blocks)

    def shape(self, block: Block) -> tuple[int, int]:
        """Rows and columns of a block."""
        return self.rows[block.row], self.columns[block.column]

    def window(self, block: Block) -> tuple[slice, slice]:
        """Rows and columns of the whole that a block takes up."""
        row, column = sum(self.rows[: block.row]), sum(self.columns[: block.column])
        m, n = self.shape(block)
        return slice(row, row + m), slice(column, column + n)


NO_GRID = Grid()


@dataclass(frozen=True)
class Problem:
    """What is known of a product before its operands are.

    Attributes
    ----------
    product : {"events", "floats", "dense", "weighted", "deliver"}
        The first two are asked of ``synjit_product``, the others of the hooks of their
        names.
    shape : (int, int)
        Rows and columns of W, whatever the direction.
    transpose : bool
        Whether W.T is applied; never with "dense" or "deliver", nor with a grid of
        several blocks.
    batch : int
        Number of vectors; 0 of "dense".
    dtype : str
        Of the values of "floats" and the weights of "weighted" and "deliver": "float32"
        or "float64". Of others "int32".
    corder : bool
        Hint on the order of work: finish rows before going on, or columns.
    log2_chunk : int or None
        ``connectivity[0]``, where ``prob`` is known already. None of "weighted" and
        "deliver", whose blocks have their own.
    weights : int
        Number of words of ``Matrix.weights``.
    platform : str
        JAX platform that it is lowered for.
    grid : Grid
        Of "weighted" and "deliver": what W is made of. Of other products it is empty.
    rule : {"bernoulli", "fixed_out_degree"}
        Rule of connections. The connectivity says it too, but only when it runs.
    self_connections : bool
        Whether rows may be connected to the columns of the same number in the whole
        matrix. Of grids, whose blocks have their own, it and ``rule`` say nothing.
    slots : int
        Of "deliver": of the ring. Of other products 0.
    """

    product: Product
    shape: tuple[int, int]
    transpose: bool
    batch: int
    dtype: str
    corder: bool
    log2_chunk: int | None
    weights: int
    platform: str
    grid: Grid = NO_GRID
    rule: Rule = "bernoulli"
    self_connections: bool = True
    slots: int = 0

    def of_block(self, i: int) -> Problem:
        """State the product of events with one block of the grid."""
        block = self.grid.blocks[i]
        return replace(
            self,
            product="events",
            shape=self.grid.shape(block),
            dtype="int32",
            log2_chunk=block.log2_chunk,
            weights=block.table[1],
            grid=NO_GRID,
            rule=block.rule,
            self_connections=block.self_connections,
            slots=0,
        )

    def of_one_block(self, dtype: str) -> Problem:
        """State the weighted sum of a product of events: with a grid of one block."""
        (m, n), table = self.shape, (0, self.weights)
        own = (self.log2_chunk, table, self.rule, self.self_connections)
        return replace(
            self,
            product="weighted",
            dtype=dtype,
            log2_chunk=None,
            grid=Grid((m,), (n,), (Block(0, 0, *own),)),
            rule="bernoulli",
            self_connections=True,
        )


def matrix_of_one_block(matrix: Matrix) -> Matrix:
    """Give the operands of a grid that has one block."""
    seed, origin, connectivity = (operand[None] for operand in matrix[:3])
    return Matrix(seed, origin, connectivity, matrix.weights)


def matrix_of_block(problem: Problem, matrix: Matrix, i: int) -> Matrix:
    """Give the operands of one block of a grid, as ``Problem.of_block`` has them."""
    start, length = problem.grid.blocks[i].table
    return Matrix(
        matrix.seed[i],
        matrix.origin[i],
        matrix.connectivity[i],
        matrix.weights[start : start + length],
    )


@hookspec(firstresult=True)
def synjit_backend() -> Backend:
    """Describe the backend."""
    raise NotImplementedError


@hookspec(firstresult=True)
def synjit_refuses(problem: Problem) -> str | None:
    """Say, in words, why this problem cannot be taken; None if it can.

    It is asked for any problem, and nothing but the problem may decide.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def synjit_product(
    problem: Problem, matrix: Matrix, x: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Multiply by the mask of the matrix, and by its mask times z.

    Parameters
    ----------
    x : array (n, batch), or (m, batch) if ``problem.transpose``
        Boolean of "events"; of "floats" of ``problem.dtype``.

    Returns
    -------
    two arrays (m, batch), or (n, batch) if ``problem.transpose``
        Of "events" N and Z, int32: number of the active connections of each row (of W,
        or of W.T), and sum of their integer weights z, both modulo 2**32. Of "floats"
        A and B, of ``problem.dtype``: ``mask @ x`` and ``(mask * z) @ x``.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def synjit_dense(problem: Problem, matrix: Matrix) -> jax.Array:
    """Write out the window.

    Returns
    -------
    int32 (m, n)
        z where there is a connection, ``synjit.reference.ABSENT`` elsewhere.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def synjit_weighted(
    problem: Problem,
    matrix: Matrix,
    x: jax.Array,
    w_loc: jax.Array,
    w_scale: jax.Array,
) -> jax.Array:
    """Multiply events by a grid of matrices, and weigh the sums.

    This hook is optional: without it, synjit asks ``synjit_product`` block by block,
    and weighs N and Z itself. It saves memory traffic where no derivative by the
    weights is asked for, and is worth most where writing all rows costs more than
    drawing the connections, as in networks of many populations.

    Parameters
    ----------
    x : bool (n, batch), or (m, batch) if ``problem.transpose``
    w_loc, w_scale : float32 or float64 (blocks,)
        Of the same dtype, that of the result. For a law of weights that has a mean or a
        spread of its own, these are its ``coefficients`` already.

    Returns
    -------
    float (m, batch), or (n, batch) if ``problem.transpose``
        For each group of rows, ``w_loc * N + w_scale * (Z * 2**-16)`` of its first
        block, to which those of the others are added one by one, in order: to the bit.
        N and Z are converted, and the three products and every sum rounded, each on its
        own: a fused multiply-add is another result. What a block without events gives
        is added too: 0, unless a weight is not finite. What sums that wrapped give is
        ``reference.weigh``'s.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def synjit_deliver(
    problem: Problem,
    matrix: Matrix,
    delays: jax.Array,
    x: jax.Array,
    w_loc: jax.Array,
    w_scale: jax.Array,
    ring: jax.Array,
    now: jax.Array,
) -> jax.Array:
    """Add the weights of events to the slots of a ring in which they arrive.

    This hook is optional: a backend without it has no delays. An event of column j
    adds the weight of its connection with row i, of this block, to the slot
    ``(now + d(i, j)) % problem.slots``, with d as in ``synjit.reference.delays``.

    Parameters
    ----------
    delays : uint32 (words,)
        The distinct tables of the delays, one after the other; ``Block.delays`` says
        which part is a block's. No delay is 0, and none reaches ``problem.slots``.
    x : bool (n, batch)
    w_loc, w_scale : float32 or float64 (blocks,)
        As of ``synjit_weighted``, and of the dtype of the ring.
    ring : float (slots, m, batch)
        What arrives already. Its memory may be written over, if the call says so to
        XLA: a step should cost nothing that grows with the number of slots.
    now : uint32 ()
        Slot of the step in which the events are.

    Returns
    -------
    float (slots, m, batch)
        The ring, where each entry of a slot has, block by block in their order,
        ``w_loc * N + w_scale * (Z * 2**-16)`` of the block's events that arrive there
        added to it: to the bit, as of ``synjit_weighted``, with N and Z summed first.
        Where no event of a block arrives (N is 0) it adds nothing: -0 stays as it is.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def synjit_custom_calls() -> dict[str, Callable[[], object]]:
    """Name the custom calls that programs with these products contain.

    This hook is optional: without it, programs with custom calls of a backend's own
    cannot be stored by ``jax.export`` without naming them, nor run where none of them
    was traced.

    Returns
    -------
    dict
        Their names, each with what makes the call known to XLA in this process. With
        ``draw`` and the number of ``reference.DRAW_VERSION`` in a name, a program that
        was stored under another version is refused, and not run with another matrix.
    """
    raise NotImplementedError
