# SPDX-License-Identifier: Apache-2.0
"""A matrix on many devices: each draws its own window, and nothing else.

The matrix is cut into equal windows, and a product is one ``jax.shard_map``. Events
travel as bits. Where columns are cut, the integer sums of the devices are added before
they are weighed: the bits are those of one device.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from . import dispatch, primitives, units, validation
from .blocks import JITBlocks
from .combine import weigh
from .cut import Cut, as_explicit, gather_events, gather_parts, size, split
from .evaluation import coefficients
from .hookspecs import Matrix, Problem
from .jit_matrix import JITMatrix
from .matrix import Events, RandomMatrix, operand, rank
from .reference import FixedOutDegree
from .ring import Ring, check_spikes, spec_of_ring

Axes = str | Sequence[str] | None


@jax.tree_util.register_pytree_node_class
class ShardedMatrix(RandomMatrix):
    """A random matrix cut over a mesh: ``M.shard(mesh, rows=..., columns=...)``.

    ``S @ x``, ``x @ S``, ``S.T`` and ``S.todense()`` are those of the matrix, with all
    of JAX's transformations, inside or outside of ``jax.jit``. The vectors are in the
    order of the devices, as ``S.columns.place(x)`` makes them and
    ``S.rows.collect(y)`` takes them back: of a single matrix whose sizes can be cut
    evenly this is their own order. ``M.shard`` says how they are cut.

    Attributes
    ----------
    matrix : JITMatrix or JITBlocks
        The whole.
    rows, columns : Cut
        How its two sides are cut.
    """

    def __init__(
        self,
        matrix: RandomMatrix,
        mesh: Mesh,
        rows: Axes,
        columns: Axes,
        batch: Axes,
    ) -> None:
        if not isinstance(mesh, Mesh):
            raise TypeError(
                "mesh must be a jax.sharding.Mesh, as jax.make_mesh makes one, got "
                f"{validation.describe(mesh)}"
            )
        named = {"rows": rows, "columns": columns, "batch": batch}
        axes = {what: _names(given, what, mesh) for what, given in named.items()}
        of_rows, of_columns, of_batch = axes.values()
        flat = of_rows + of_columns + of_batch
        if not of_rows + of_columns:
            raise ValueError(
                "rows or columns must name an axis of the mesh to cut the matrix over; "
                f"it has {', '.join(mesh.axis_names)}"
            )
        if len(set(flat)) < len(flat):
            raise ValueError(
                "rows, columns and batch must name different axes of the mesh, got "
                + ", ".join(f"{what}={given!r}" for what, given in named.items())
            )
        if not isinstance(matrix, (JITMatrix, JITBlocks)):
            raise TypeError(
                "what is sharded must be JITNormal, its like, or JITBlocks, got "
                f"{type(matrix).__name__}; of a sharded matrix S, that is S.matrix"
            )
        groups = _groups(matrix)
        self.matrix = matrix
        self.rows = Cut(mesh, groups[0], of_rows, of_columns, of_batch)
        self.columns = Cut(mesh, groups[1], of_columns, of_rows, of_batch)
        self._check_windows()

    def _check_windows(self) -> None:
        """Refuse windows that would end beyond the last row or column there can be."""
        most = validation.MAX_LENGTH
        for i, j, block in _placed(self.matrix):
            origin = block.origin[::-1] if block.transposed else block.origin
            sides = (
                ("rows", self.rows, i, origin[0]),
                ("columns", self.columns, j, origin[1]),
            )
            for side, cut, group, start in sides:
                filled = cut.filled[group]
                if isinstance(start, (int, np.integer)) and start + filled > most:
                    raise ValueError(
                        f"{cut.groups[group]} {side} over {cut.parts} parts are filled "
                        f"up to {filled}, which from {start} on end beyond {most}, the "
                        f"last there can be: cut them over fewer devices, or make the "
                        f"number of {side} a multiple of {cut.parts}"
                    )
            self._check_targets(block, j if block.transposed else i)

    def _check_targets(self, block: JITMatrix, group: int) -> None:
        """Refuse to fill up rows beyond those that targets are chosen among."""
        rule, (row, _) = _rule_of_windows(block), block.origin
        cut = self.columns if block.transposed else self.rows
        own, filled = cut.groups[group], cut.filled[group]
        if not isinstance(rule, FixedOutDegree) or filled == own:
            return
        if not isinstance(row, (int, np.integer)) or row + filled > (rule.rows or 0):
            raise ValueError(
                f"{block.prob!r} chooses its targets among the rows there are, and "
                f"{own} of them cannot be cut into {cut.parts} equal parts: make their "
                f"number a multiple of {cut.parts}"
            )

    # --- what it is ---------------------------------------------------------------

    @property
    def mesh(self) -> Mesh:
        """The mesh that it is cut over."""
        return self.rows.mesh

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, with the zeros that fill them up."""
        return self.rows.length, self.columns.length

    @property
    def dtype(self) -> np.dtype:
        """Type of an entry."""
        return self.matrix.dtype

    @property
    def unit(self) -> Any:
        """Unit of the weights, or None."""
        return self.matrix.unit

    @property
    def T(self) -> ShardedMatrix:  # noqa: N802, as in NumPy
        """The transpose."""
        return self._with(self.matrix.T, self.columns, self.rows)

    def todense(self) -> Any:
        """Write the matrix out, in the order of the devices.

        Returns
        -------
        array ``shape``
            Cut as the matrix is.
        """
        return _todense(self, backend=dispatch.resolve(None))

    def _parts(self) -> NoReturn:
        """Refuse to be read out: what is asked for has the order of the whole."""
        raise TypeError(
            "a ShardedMatrix is not read out, for its rows and columns have the order "
            "of the devices: ask S.matrix, which is the whole in its own order"
        )

    def __repr__(self) -> str:
        """Show how it is cut."""
        axes = {"rows": self.rows.outer, "columns": self.rows.inner}
        axes["batch"] = self.rows.batch
        named = ", ".join(f"{what}={given}" for what, given in axes.items() if given)
        return f"{self.matrix!r}.shard({self.mesh!r}, {named})"

    # --- products -----------------------------------------------------------------

    def __matmul__(self, other: Any) -> Any:
        """Multiply an array, or events, from the left."""
        value, events = operand(self, other)
        axes = rank(value)
        length = self.shape[1]
        if value.shape[0] == sum(self.columns.groups) != length:
            raise ValueError(
                f"x of shape {value.shape} is in the order of the matrix that was cut: "
                f"S.columns.place(x) brings it into that of the devices, ({length},)"
            )
        x, unit = validation.check_operand(value, "x", self.shape, False, axes)
        _check_batch("x", self.columns, x.shape[1] if axes == 2 else None)
        result = _multiply(self, x, events=events, backend=dispatch.resolve(None))
        result, own = units.split(result)
        return units.attach(result, own, unit)

    # --- delays -------------------------------------------------------------------

    def ring(self, batch: int | None = None, slots: int | None = None) -> Ring:
        """Make a ring for ``deliver``, each device having the slots of its own rows.

        Parameters
        ----------
        batch, slots : int, optional
            As of the matrix.

        Raises
        ------
        ValueError
            The matrix is cut over columns, or the batch cannot be cut evenly.
        """
        self._check_delivers()
        _check_batch("a ring", self.rows, batch)
        # Its shape alone: no device has memory for the whole.
        whole = jax.eval_shape(lambda: self.matrix.ring(batch, slots))
        number, _ = whole.columns()
        shape = (number.shape[0], self.shape[0], number.shape[2])
        spec = spec_of_ring(self.rows, batch is not None)
        sharding = NamedSharding(self.mesh, spec)
        zeros = jax.jit(lambda: jnp.zeros(shape, number.dtype), out_shardings=sharding)
        return whole.with_columns(zeros()).over(self.rows)

    def deliver(self, spikes: Any, ring: Ring, now: Any) -> Ring:
        """Send spikes through the connections, as ``JITMatrix.deliver`` does.

        Each device adds to the slots of its own rows, whose bits are those of one
        device. Of what travels between devices there are the spikes, as bits.

        Parameters
        ----------
        spikes : array (n,), or (n, batch) where the ring has a batch
            In the order of the devices.
        ring : Ring
            As ``ring()`` makes one.
        now : int, or integer array ()
            The step.

        Returns
        -------
        Ring

        Raises
        ------
        TypeError, ValueError
            The matrix has no delay or is cut over columns, or the ring is another's.
        """
        self._check_delivers()
        if not isinstance(ring, Ring) or ring.rows != self.rows:
            raise TypeError(
                "a sharded matrix delivers to a ring that is cut as it is, as "
                f"S.ring() makes one, got {validation.describe(ring)}"
            )
        x = check_spikes(spikes, ring, self.shape)
        x = x if len(ring.shape) == 3 else x[:, 0]
        return _deliver(self, x, ring, now, backend=dispatch.resolve(None))

    def _check_delivers(self) -> None:
        if self.rows.inner:
            raise ValueError(
                f"a matrix that is cut over columns, columns={self.rows.inner}, does "
                "not deliver: what several devices send to one row and step would be "
                "summed after it is weighed; cut it over rows, M.shard(mesh, rows=...)"
            )

    def _scaled(self, factor: Any) -> ShardedMatrix:
        return self._with(self.matrix * factor, self.rows, self.columns)

    # --- as a pytree --------------------------------------------------------------

    def _with(self, matrix: Any, rows: Cut, columns: Cut) -> ShardedMatrix:
        return self.tree_unflatten((rows, columns), (matrix,))

    def tree_flatten(self) -> tuple[tuple[Any], tuple[Cut, Cut]]:
        """Give the matrix as the only child."""
        return (self.matrix,), (self.rows, self.columns)

    @classmethod
    def tree_unflatten(
        cls, aux: tuple[Cut, Cut], children: tuple[Any, ...]
    ) -> ShardedMatrix:
        """Put the matrix back, unchecked."""
        new = object.__new__(cls)
        new.rows, new.columns = aux
        (new.matrix,) = children
        return new


def _names(given: Axes, what: str, mesh: Mesh) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given or ())
    for name in names:
        if name not in mesh.axis_names:
            raise ValueError(
                f"{what} must name axes of the mesh, {', '.join(mesh.axis_names)}, got "
                f"{given!r}"
            )
    return names


def _check_batch(name: str, cut: Cut, batch: int | None) -> None:
    number = size(cut.mesh, cut.batch)
    if batch is not None and batch % number:
        raise ValueError(
            f"{name} must have a multiple of {number} vectors to be cut over "
            f"batch={cut.batch}, got {batch}"
        )


def _groups(
    matrix: JITMatrix | JITBlocks,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Lengths of the groups of rows and of columns."""
    if isinstance(matrix, JITBlocks):
        return matrix.groups
    (m, n) = matrix.shape
    return (m,), (n,)


def _placed(matrix: JITMatrix | JITBlocks) -> list[tuple[int, int, JITMatrix]]:
    """List the blocks, each with its group of rows and of columns."""
    if isinstance(matrix, JITMatrix):
        return [(0, 0, matrix)]
    return [
        (i, j, block)
        for i, row in enumerate(matrix.blocks)
        for j, block in enumerate(row)
        if block is not None
    ]


# --- over the devices -------------------------------------------------------------


@functools.partial(jax.jit, static_argnames=("events", "backend"), inline=True)
def _multiply(
    whole: ShardedMatrix, x: jax.Array, *, events: bool, backend: str | None
) -> Any:
    rows, columns = whole.rows, whole.columns
    if events and not jnp.issubdtype(x.dtype, jnp.floating):
        x = primitives.is_event(x)

    def local(matrix: JITMatrix | JITBlocks, part: jax.Array) -> Any:
        own = _of_window(columns, part, events=events)
        with dispatch.default_backend(backend):
            y = _in_window(matrix, own, rows, columns, events=events)
        number, unit = units.split(y)
        return units.attach(rows.keep_real(number), unit)

    over = jax.shard_map(
        local,
        mesh=whole.mesh,
        in_specs=(PartitionSpec(), columns.spec(x.ndim)),
        out_specs=rows.spec(x.ndim),
    )
    return over(whole.matrix, as_explicit(x, columns.sharding(x.ndim)))


@functools.partial(jax.jit, static_argnames="backend", inline=True)
def _deliver(
    whole: ShardedMatrix, x: jax.Array, ring: Ring, now: Any, *, backend: str | None
) -> Ring:
    rows, columns = whole.rows, whole.columns
    if not jnp.issubdtype(x.dtype, jnp.floating):
        x = primitives.is_event(x)

    def local(
        matrix: JITMatrix | JITBlocks, part: jax.Array, ring: Ring, now: Any
    ) -> Ring:
        own = _of_window(columns, part, events=True)
        with dispatch.default_backend(backend):
            return _window(matrix, rows, columns).deliver(own, ring, now)

    spec = spec_of_ring(rows, len(ring.shape) == 3)
    over = jax.shard_map(
        local,
        mesh=whole.mesh,
        in_specs=(PartitionSpec(), columns.spec(x.ndim), spec, PartitionSpec()),
        out_specs=spec,
    )
    x = as_explicit(x, columns.sharding(x.ndim))
    return over(whole.matrix, x, ring.over(None), now).over(rows)


@functools.partial(jax.jit, static_argnames="backend", inline=True)
def _todense(whole: ShardedMatrix, *, backend: str | None) -> Any:
    rows, columns = whole.rows, whole.columns

    def local(matrix: JITMatrix | JITBlocks) -> Any:
        with dispatch.default_backend(backend):
            dense = _window(matrix, rows, columns).todense()
        number, unit = units.split(dense)
        number = rows.keep_real(rows.part(number), rows.inside)
        number = columns.keep_real(columns.part(number.T), columns.inside).T
        return units.attach(number, unit)

    spec = PartitionSpec(rows.outer or None, columns.outer or None)
    over = jax.shard_map(
        local, mesh=whole.mesh, in_specs=PartitionSpec(), out_specs=spec
    )
    return over(whole.matrix)


# --- on a device ------------------------------------------------------------------


def _of_window(columns: Cut, part: jax.Array, *, events: bool) -> jax.Array:
    """Give the x of the device's columns, of which it holds a part."""
    part = columns.keep_real(part)
    if columns.inside > 1:
        differentiable = events and part.dtype != np.bool_
        gather = gather_events if differentiable else gather_parts
        part = gather(part, columns.inner)
    return columns.join(part)


def _window(
    matrix: JITMatrix | JITBlocks, rows: Cut, columns: Cut
) -> JITMatrix | JITBlocks:
    """Give the device's window of a matrix, or of each of its blocks."""
    (m, first_rows), (n, first_columns) = rows.window(), columns.window()
    windows = [
        _window_of_block(
            block,
            (rows.filled[i], columns.filled[j]),
            (m[i], n[j]),
            (first_rows[i], first_columns[j]),
        )
        for i, j, block in _placed(matrix)
    ]
    if isinstance(matrix, JITMatrix):
        return windows[0]
    places = tuple((i, j) for i, j, _ in _placed(matrix))
    return JITBlocks.tree_unflatten((places, tuple(m), tuple(n)), tuple(windows))


def _window_of_block(
    block: JITMatrix,
    filled: tuple[int, int],
    shape: tuple[int, int],
    first: tuple[Any, Any],
) -> JITMatrix:
    """Give a window of a matrix that is filled up, from a row and a column of it on."""
    if block.transposed:
        filled, shape, first = filled[::-1], shape[::-1], first[::-1]
    origin = validation.check_origin(block.origin, filled)
    starts = [
        word + jnp.uint32(start)
        for word, start in zip(origin.words, first, strict=True)
    ]
    if origin.valid is not None:
        nowhere = np.uint32(2**32 - 1)  # which makes NaN
        starts = [jnp.where(origin.valid, start, nowhere) for start in starts]
    return block._with(  # noqa: SLF001
        prob=_rule_of_windows(block),
        origin=tuple(starts),
        _stored_shape=shape,
        _known=block._known._replace(origin=False),  # noqa: SLF001
    )


def _rule_of_windows(block: JITMatrix) -> Any:
    """Give the rule of connections, told of the rows of the whole if it needs them."""
    rule = block.prob
    if not isinstance(rule, FixedOutDegree):
        return rule
    (m, n), (row, _) = block.shape, block.origin
    known = int(row) if isinstance(row, (int, np.integer)) else None
    return FixedOutDegree(
        rule.k, rows=rule.rows_of(known, n if block.transposed else m)
    )


def _in_window(
    matrix: JITMatrix | JITBlocks,
    x: jax.Array,
    rows: Cut,
    columns: Cut,
    *,
    events: bool,
) -> Any:
    """Multiply a window's x, and add up over the devices that share its rows."""
    window = _window(matrix, rows, columns)
    if rows.inside == 1:
        return window @ (Events(x) if events else x)
    if events:
        return _add_events(window, x, rows.inner)
    y, unit = units.split(window @ x)
    return units.attach(_add_up(rows.part(y), rows.inner), unit)


def _add_up(sums: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    """Add up over devices, and keep this one's part of the rows."""
    return lax.psum_scatter(sums, axes, scatter_dimension=0, tiled=True)


def _add_events(
    window: JITMatrix | JITBlocks, x: jax.Array, axes: tuple[str, ...]
) -> Any:
    """Multiply events, add N and Z up over devices, weigh them, and add the blocks."""
    placed = _placed(window)
    parts = split(x.reshape(len(x), -1), _groups(window)[1])
    own = [block.operands() for _, _, block in placed]
    dtype = validation.result_dtype(
        *(validation.result_dtype(*o.parameters, x) for o in own)
    )
    accurate = validation.compute_dtype(dtype)
    groups: dict[int, jax.Array] = {}
    for (i, j, block), o in zip(placed, own, strict=True):
        problem = block.problem("events", o)
        if x.dtype == np.bool_:
            n, z = _sums(o.matrix, parts[j], problem, block.backend, axes)
        else:
            problem = replace(problem, dtype=str(accurate))
            n, z = _differentiable_sums(
                o.matrix, parts[j], problem, block.backend, axes
            )
        loc, scale = coefficients(block.family(), o.parameters, accurate)
        y = weigh(jnp.asarray(loc), jnp.asarray(scale), n, z)
        if o.valid is not None:
            y = jnp.where(o.valid, y, jnp.nan)
        groups[i] = groups[i] + y if i in groups else y
    result = jnp.concatenate([groups[i] for i in sorted(groups)]).astype(dtype)
    return units.attach(result.reshape(-1, *x.shape[1:]), own[0].unit)


def _sums(
    matrix: Matrix,
    x: jax.Array,
    problem: Problem,
    backend: str | None,
    axes: tuple[str, ...],
) -> tuple[jax.Array, jax.Array]:
    """N and Z of the devices together, this one's part of the rows, as integers."""
    whole = replace(problem, dtype="int32")
    n, z = primitives.product(matrix, primitives.is_event(x), whole, backend)
    return _add_up(n, axes), _add_up(z, axes)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def _differentiable_sums(
    matrix: Matrix,
    x: jax.Array,
    problem: Problem,
    backend: str | None,
    axes: tuple[str, ...],
) -> tuple[jax.Array, jax.Array]:
    """Give N and Z as floats; they vary as the float product of the change does."""
    n, z = _sums(matrix, x, problem, backend, axes)
    return n.astype(problem.dtype), z.astype(problem.dtype)


@_differentiable_sums.defjvp
def _differentiable_sums_jvp(
    problem: Problem,
    backend: str | None,
    axes: tuple[str, ...],
    primals: Any,
    tangents: Any,
) -> tuple[Any, Any]:
    (matrix, x), (_, change) = primals, tangents
    floats = replace(problem, product="floats")
    change = change.astype(problem.dtype)
    a, b = primitives.product(matrix, change, floats, backend)
    value = _differentiable_sums(matrix, x, problem, backend, axes)
    return value, (_add_up(a, axes), _add_up(b, axes))
