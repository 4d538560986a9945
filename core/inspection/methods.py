# SPDX-License-Identifier: Apache-2.0
"""What can be asked of every matrix: its connections, degrees, entries, and copies."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from synjit import units

from . import selection

if TYPE_CHECKING:
    import scipy.sparse
    from jax.experimental.sparse import BCOO

    from synjit.jit_matrix import JITMatrix


class Entries(NamedTuple):
    """Connections of one row or one column.

    Attributes
    ----------
    indices : int32 (connections,)
        Numbers of the columns, or of the rows, ascending.
    weights : array (connections,), or Quantity
        Of the dtype and in the unit of the matrix.
    """

    indices: NDArray[np.int32]
    weights: Any


class Connections(NamedTuple):
    """Connections between rows and columns, one by one.

    Attributes
    ----------
    rows, columns : int32 (connections,)
        Post- and pre-synaptic neurons.
    weights : array (connections,), or Quantity
        Of the dtype and in the unit of the matrix.
    """

    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    weights: Any


class Part(NamedTuple):
    """A matrix, and where it begins in the one that is asked."""

    row: int
    column: int
    matrix: JITMatrix


class Inspectable(abc.ABC):
    """A matrix whose connections can be listed, and its entries be asked for.

    A connection whose weight is 0 is a connection: it is listed and counted. All of
    this is done on the CPU and needs a matrix whose values are known: under ``jax.jit``
    and its like, one that is traced raises TypeError.
    """

    shape: Any
    dtype: Any
    __iter__ = None  # of no use, and each row would cost as much as a product

    @abc.abstractmethod
    def _parts(self) -> list[Part]:
        """Give the matrices that it is made of, by rows, then by columns."""

    @property
    def ndim(self) -> int:
        """Number of axes, 2."""
        return 2

    @property
    def unit(self) -> Any:
        """Unit of the weights: of brainunit, or None if they are plain numbers."""
        return units.split(self._parts()[0].matrix.first_parameter())[1]

    # --- connections ----------------------------------------------------------------

    def column(self, j: int) -> Entries:
        """Give the targets of one pre-synaptic neuron.

        It costs what the column's connections cost. Of a transpose, and of what
        ``pre_post`` makes, it is what ``row`` is of others: the costly one.

        Parameters
        ----------
        j : int
            0 or more: a neuron has a number. (``M[:, -1]`` is as in NumPy.)

        Returns
        -------
        Entries
            Rows, ascending, and weights.

        Raises
        ------
        TypeError, IndexError
            j is no integer, or there is no such column; or the matrix is traced.
        """
        found = self.connections(columns=selection.neuron(j, self.shape[1], "column"))
        return Entries(found.rows, found.weights)

    def row(self, i: int) -> Entries:
        """Give the sources of one post-synaptic neuron.

        Every column is asked whether it has this row: some 0.1 us for each.

        Parameters
        ----------
        i : int
            0 or more.

        Returns
        -------
        Entries
            Columns, ascending, and weights.

        Raises
        ------
        TypeError, IndexError
            As of ``column``.
        """
        found = self.connections(rows=selection.neuron(i, self.shape[0], "row"))
        return Entries(found.columns, found.weights)

    def connections(
        self, rows: int | slice | None = None, columns: int | slice | None = None
    ) -> Connections:
        """List the connections between some rows and columns, or all.

        Parameters
        ----------
        rows, columns : int or slice, optional
            Numbers are 0 or more; slices are as of a range, and what they have is
            listed from the lowest number up. All, if left.

        Returns
        -------
        Connections
            Sorted by column and then by row; of a transpose by row and then by column;
            and of blocks, one block after the other.

        Raises
        ------
        TypeError, ValueError, IndexError
            They are no such rows and columns, or the matrix is traced.
        MemoryError
            They would not fit, and nothing was listed.

        Examples
        --------
        >>> import synjit
        >>> M = synjit.JITConstant(2.0, 1.0, 42, shape=(2, 3))
        >>> M.connections(columns=1)
        Connections(rows=array([0, 1], dtype=int32), columns=array([1, 1], \
dtype=int32), weights=array([2., 2.], dtype=float32))
        """
        from .collecting import collect

        wanted = self._window(rows, columns)
        return collect(self, *wanted)

    def iter_connections(
        self, rows: int | slice | None = None, columns: int | slice | None = None
    ) -> Iterator[Connections]:
        """List connections in pieces of a few MB, however many there are.

        Parameters
        ----------
        rows, columns : int or slice, optional
            As of ``connections``.

        Returns
        -------
        iterator of Connections
            One after the other they are what ``connections`` gives. Several threads
            draw a few pieces ahead, until the iterator ends or is closed.

        Raises
        ------
        TypeError, ValueError, IndexError
            As of ``connections``, and at once.

        Examples
        --------
        >>> import synjit
        >>> M = synjit.JITNormal(1.0, 0.1, 0.1, 42, shape=(1000, 1000))
        >>> sum(len(piece.rows) for piece in M.iter_connections()) == M.nnz
        True
        """
        from .collecting import stream

        return stream(self, *self._window(rows, columns))

    def _window(self, rows: Any, columns: Any) -> tuple[range, range]:
        m, n = self.shape
        return selection.window(rows, m, "row"), selection.window(columns, n, "column")

    # --- numbers --------------------------------------------------------------------

    @property
    def nnz(self) -> int:
        """Number of connections; all are listed, and none is kept."""
        return int(self.degrees(0).sum())

    def degrees(self, axis: int) -> NDArray[np.int64]:
        """Count the connections along an axis, as ``numpy.count_nonzero`` would.

        All are listed, and none is kept.

        Parameters
        ----------
        axis : {0, 1}
            0 counts down each column: out-degrees, how many targets a pre-synaptic
            neuron has. 1 counts along each row: in-degrees. -1 and -2 are 1 and 0.

        Returns
        -------
        int64 (columns,) of axis 0, or (rows,) of axis 1

        Raises
        ------
        TypeError, ValueError
            axis is none of these, or the matrix is traced.

        Examples
        --------
        >>> import synjit
        >>> synjit.JITConstant(2.0, 1.0, 42, shape=(2, 3)).degrees(1)
        array([3, 3])
        """
        from .collecting import count

        return count(self, selection.axis(axis))

    def diagonal(self) -> Any:
        """Give the entries (i, i), 0 where there is no connection.

        Returns
        -------
        array (min(rows, columns),), or Quantity
            As ``jax.numpy.diagonal`` of the dense matrix.

        Raises
        ------
        TypeError
            The matrix is traced.
        """
        from .collecting import diagonal

        return self._as_array(diagonal(self))

    def __getitem__(self, key: Any) -> Any:
        """Give an entry, a row, a column or a window as ``todense()[key]`` would.

        Parameters
        ----------
        key : int, slice, or a pair of them
            As in NumPy: negative numbers count from the end, slices may have steps.

        Returns
        -------
        array, or Quantity
            Dense: of no axis, one or two.

        Raises
        ------
        TypeError, ValueError, IndexError
            The key is something else, or out of range; or the matrix is traced.
        MemoryError
            The dense array would not fit.

        Examples
        --------
        >>> import synjit
        >>> M = synjit.JITNormal(1.0, 0.1, 0.5, 42, shape=(3, 5))
        >>> bool((M[::-1, 1:] == M.todense()[::-1, 1:]).all())
        True
        """
        from .collecting import dense

        first, second = selection.pair(key)
        rows = selection.numpy_index(first, self.shape[0], "row")
        columns = selection.numpy_index(second, self.shape[1], "column")
        return self._as_array(dense(self, rows, columns))

    def _as_array(self, numbers: NDArray) -> Any:
        with jax.ensure_compile_time_eval():
            return units.attach(jax.numpy.asarray(numbers), self.unit)

    # --- copies ---------------------------------------------------------------------

    def tocsc(self, unit: Any = None) -> scipy.sparse.csc_array:
        """Store the connections in SciPy's compressed sparse columns.

        Parameters
        ----------
        unit : brainunit.Unit, optional
            In which weights are written, for SciPy has none: to be said if weights have
            a unit, ``M.tocsc(unit=M.unit)`` for instance, and only then.

        Returns
        -------
        scipy.sparse.csc_array
            With sorted indices. A connection whose weight is 0 is stored.

        Raises
        ------
        TypeError
            A unit is missing, or is none; the matrix is traced; or weights are of 16
            bits, which SciPy cannot store.
        brainunit.UnitMismatchError
            The unit is of another dimension.
        MemoryError
            It would not fit.

        Examples
        --------
        >>> import synjit
        >>> M = synjit.JITNormal(1.0, 0.1, 0.5, 42, shape=(30, 50))
        >>> bool((M.tocsc().toarray() == M.todense()).all())
        True
        """
        from .copies import compressed

        return compressed(self, "csc", unit)

    def tocsr(self, unit: Any = None) -> scipy.sparse.csr_array:
        """Store the connections in SciPy's compressed sparse rows; as ``tocsc``."""
        from .copies import compressed

        return compressed(self, "csr", unit)

    def tocoo(self, unit: Any = None) -> scipy.sparse.coo_array:
        """Store the connections as SciPy's list of coordinates; as ``tocsc``."""
        from .copies import coordinates

        return coordinates(self, unit)

    def tobcoo(self, unit: Any = None) -> BCOO:
        """Store the connections as ``jax.experimental.sparse.BCOO``.

        Parameters
        ----------
        unit : brainunit.Unit, optional
            As of ``tocsc``.

        Returns
        -------
        jax.experimental.sparse.BCOO
            Of all weights of 16, 32 and 64 bits; sorted by row and then by column.

        Raises
        ------
        TypeError, MemoryError, brainunit.UnitMismatchError
            As of ``tocsc``.
        """
        from .copies import bcoo

        return bcoo(self, unit)
