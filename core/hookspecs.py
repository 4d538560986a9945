# SPDX-License-Identifier: Apache-2.0
"""The contract that a backend signs.

A backend is a pluggy plugin (a module or an object) with the hooks below.
Two say what it is and what it can take; they must be cheap, and must not import
kernels. Three give the products, as functions that JAX can trace. Three more may be
left out: ``synjit_weighted`` and ``synjit_blocks``, which synjit then makes of
``synjit_events``, and ``synjit_custom_calls``, for programs that are stored.

The matrix is what ``synjit.reference`` says it is: the window of ``problem.shape``
that starts at ``origin`` in the matrix of ``seed`` and ``law``. Integer results, and
weighted sums of events, must equal the reference's bit for bit (but for subnormal
numbers, which XLA may take for 0); other float results
must come within the bounds of ``synjit.conformance``. Nothing but the operands may
decide a result: ``corder``, ``log2_chunk`` and ``platform`` are for choosing how.

Operands of all three products
    seed : uint32 (2,)
        Low and high word.
    origin : uint32 (2,)
        First row and first column of the window. It lets a device draw just its
        rows; in a matrix drawn whole it is (0, 0).
    law : uint32 (LAW_WORDS,)
        ``reference.Law.encode()``: what a draw needs to know of ``prob``.

All may be traced. None is ever batched: what ``jax.vmap`` adds is in ``batch``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import pluggy

if TYPE_CHECKING:
    from collections.abc import Callable

    import jax

PROJECT = "synjit"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
Product = Literal["events", "floats", "dense", "blocks"]

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
    environment, files : tuple of str
        Environment variables and files, outside of the distribution, that decide what
        the backend does. They go into its certificates: another value, or another
        content, is held to the reference anew.
    """

    name: str
    version: str
    platforms: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    priority: int = 0
    requires: tuple[str, ...] = ()
    interpreted_on: tuple[str, ...] = ()
    known_gaps: tuple[tuple[str, str], ...] = ()
    environment: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class Block(NamedTuple):
    """A matrix of a grid: the groups that it joins, and its law's chunks if known."""

    row: int
    column: int
    log2_chunk: int | None


class Grid(NamedTuple):
    """A matrix made of matrices: lengths of its groups of rows and of columns.

    ``blocks`` are sorted by row, then column. A place without one is zero; every group
    of rows has one at least.
    """

    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()
    blocks: tuple[Block, ...] = ()

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
    product : {"events", "floats", "dense", "blocks"}
    shape : (int, int)
        Rows and columns of W, whatever the direction.
    transpose : bool
        Whether W.T is applied; never with "dense" or "blocks".
    batch : int
        Number of vectors.
    dtype : str
        Of the values of "floats" and the weights of "blocks": "float32" or "float64".
    corder : bool
        Hint on the order of work: finish rows before going on, or columns.
    log2_chunk : int or None
        ``law[0]``, where ``prob`` is known already.
    platform : str
        JAX platform that it is lowered for.
    grid : Grid
        Of "blocks": what W is made of. Of other products it is empty.
    """

    product: Product
    shape: tuple[int, int]
    transpose: bool
    batch: int
    dtype: str
    corder: bool
    log2_chunk: int | None
    platform: str
    grid: Grid = NO_GRID

    def of_block(self, i: int) -> Problem:
        """State the product of events with one block of the grid."""
        block = self.grid.blocks[i]
        return replace(
            self,
            product="events",
            shape=self.grid.shape(block),
            dtype="int32",
            log2_chunk=block.log2_chunk,
            grid=NO_GRID,
        )


@hookspec(firstresult=True)
def synjit_backend() -> Backend:
    """Describe the backend."""
    raise NotImplementedError


@hookspec(firstresult=True)
def synjit_refuses(problem: Problem) -> str:
    """Say, in words, why you cannot take this problem; an empty string if you can."""
    raise NotImplementedError


@hookspec(firstresult=True)
def synjit_events(
    problem: Problem,
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    events: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Count and sum the active connections of each row (of W, or of W.T).

    Parameters
    ----------
    events : bool (n, batch), or (m, batch) if ``problem.transpose``

    Returns
    -------
    N, Z : int32 (m, batch), or (n, batch) if ``problem.transpose``
        Number of active connections, and sum of their integer weights z.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def synjit_weighted(
    problem: Problem,
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    events: jax.Array,
    w_loc: jax.Array,
    w_scale: jax.Array,
) -> jax.Array:
    """Weigh the sums of ``synjit_events``, without writing them down in between.

    This hook is optional: without it, synjit weighs N and Z itself. With it, memory
    traffic is saved wherever no derivative by the weights is asked for.

    Parameters
    ----------
    problem : Problem
        That of ``synjit_events``.
    w_loc, w_scale : float32 or float64 ()
        Of the same dtype, that of the result.

    Returns
    -------
    float (m, batch), or (n, batch) if ``problem.transpose``
        ``w_loc * N + w_scale * (Z * 2**-16)``, to the bit: N and Z are converted, and
        the three products and the sum rounded, each on its own. A fused
        multiply-add is another result. Where, converted, N < 0 or Z = -2**31, which
        only sums that wrapped are, they add nothing.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def synjit_blocks(
    problem: Problem,
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    events: jax.Array,
    w_loc: jax.Array,
    w_scale: jax.Array,
) -> jax.Array:
    """Multiply events by a matrix that is made of matrices.

    This hook is optional: without it, every block is a product of its own. It is worth
    writing where a product that writes all its rows costs more than its connections,
    as in networks of many populations.

    Parameters
    ----------
    problem : Problem
        Of the product "blocks", with its ``grid``.
    seed, origin : uint32 (blocks, 2)
        Those of each block; the origin is that of its window in its own matrix.
    law : uint32 (blocks, LAW_WORDS)
    events : bool (n, batch)
    w_loc, w_scale : float32 or float64 (blocks,)

    Returns
    -------
    float (m, batch)
        For each group of rows, what ``synjit_weighted`` gives of its first block, to
        which those of the others are added one by one, in order: to the bit. What a
        block without events gives is added too: 0, unless a weight is not finite.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def synjit_floats(
    problem: Problem,
    seed: jax.Array,
    origin: jax.Array,
    law: jax.Array,
    values: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Multiply by the mask, and by the mask times z.

    Parameters
    ----------
    values : float (n, batch), or (m, batch) if ``problem.transpose``
        Of ``problem.dtype``.

    Returns
    -------
    A, B : float (m, batch), or (n, batch) if ``problem.transpose``
        ``mask @ values`` and ``(mask * z) @ values``, of ``problem.dtype``.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def synjit_dense(
    problem: Problem, seed: jax.Array, origin: jax.Array, law: jax.Array
) -> jax.Array:
    """Write out the window.

    Returns
    -------
    int32 (m, n)
        z where there is a connection, ``synjit.reference.ABSENT`` elsewhere.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def synjit_custom_calls() -> dict[str, Callable[[], object]]:
    """Name the custom calls that programs with your products contain.

    This hook is optional: without it, programs with custom calls of your own cannot be
    stored by ``jax.export`` without naming them, nor run where none of them was traced.

    Returns
    -------
    dict
        Their names, each with what makes the call known to XLA in this process.
    """
    raise NotImplementedError
