# SPDX-License-Identifier: Apache-2.0
"""A matrix on many devices: each draws its own window, and nothing else.

The matrix is cut into equal windows, and a product is one ``jax.shard_map``. Events
travel as bits. Where columns are cut, the integer sums of the devices are added before
they are weighed: the bits are those of one device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from . import dispatch, sharded_products, units, validation
from .blocks import JITBlocks
from .cut import Cut, size
from .jit_matrix import JITMatrix
from .matrix import RandomMatrix, operand, rank
from .reference import FixedOutDegree
from .ring import Ring, check_spikes, spec_of_ring
from .windows import groups_of, placed, rule_of_windows

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
        groups = groups_of(matrix)
        self.matrix = matrix
        self.rows = Cut(mesh, groups[0], of_rows, of_columns, of_batch)
        self.columns = Cut(mesh, groups[1], of_columns, of_rows, of_batch)
        self._check_windows()

    def _check_windows(self) -> None:
        """Refuse windows that would end beyond the last row or column there can be."""
        most = validation.MAX_LENGTH
        for i, j, block in placed(self.matrix):
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
        rule, (row, _) = rule_of_windows(block), block.origin
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
        return sharded_products.todense(self, backend=dispatch.resolve(None))

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
        backend = dispatch.resolve(None)
        result = sharded_products.multiply(self, x, events=events, backend=backend)
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
        backend = dispatch.resolve(None)
        return sharded_products.deliver(self, x, ring, now, backend=backend)

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
