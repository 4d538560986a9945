# SPDX-License-Identifier: Apache-2.0
"""How one side of a matrix, its rows or its columns, is cut over devices."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

# Columns whose events are unpacked at a time: so many, or so many times a device's own.
# Fewer are less memory, and more passes over the device's rows; and on few devices they
# are no less, for the sums of pieces take memory too.
PIECE = 1 << 20
PIECE_SHARES = 8


@dataclass(frozen=True)
class Cut:
    """How a side of a sharded matrix is cut: ``S.rows`` and ``S.columns``.

    Every device has an equal share of each group: of a single matrix there is one
    group, of ``JITBlocks`` one for each population. A vector of this side has the
    devices' parts one after the other, and in each part the shares of the groups. What
    a group lacks to be cut evenly is filled with zeros. So a vector of a single matrix
    whose length can be cut evenly is as it was.

    Attributes
    ----------
    mesh : jax.sharding.Mesh
    groups : tuple of int
        Lengths of the groups.
    outer, inner : tuple of str
        Names of the mesh axes that they are cut over, the outer ones first: the
        matrix over the outer ones, a vector over all.
    batch : tuple of str
        Names of the mesh axes that a batch of vectors is cut over.
    """

    mesh: Mesh
    groups: tuple[int, ...]
    outer: tuple[str, ...]
    inner: tuple[str, ...]
    batch: tuple[str, ...]

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the mesh axes that a vector is cut over."""
        return self.outer + self.inner

    @property
    def parts(self) -> int:
        """Number of the parts of a vector."""
        return size(self.mesh, self.axes)

    @property
    def inside(self) -> int:
        """Number of the parts in a device's window."""
        return size(self.mesh, self.inner)

    @property
    def shares(self) -> tuple[int, ...]:
        """Length of each group's share, the same on every device."""
        return tuple(-(-length // self.parts) for length in self.groups)

    @property
    def filled(self) -> tuple[int, ...]:
        """Length of each group, with the zeros that fill it up."""
        return tuple(share * self.parts for share in self.shares)

    @property
    def length(self) -> int:
        """Length of a vector, with the zeros that fill it up."""
        return sum(self.filled)

    def spec(self, ndim: int) -> PartitionSpec:
        """Give the spec of an array (length,), or (length, batch)."""
        axes = (self.axes or None, self.batch or None)
        return PartitionSpec(*axes[:ndim])

    def sharding(self, ndim: int = 1) -> NamedSharding:
        """Give the sharding of an array (length,), or (length, batch)."""
        return NamedSharding(self.mesh, self.spec(ndim))

    def place(self, x: Any) -> jax.Array:
        """Bring a vector of the matrix that was cut into the order of the devices.

        Parameters
        ----------
        x : array (n,) or (n, k)
            n is the sum of the groups' lengths. Of several processes, each gives the
            whole.

        Returns
        -------
        array (length,) or (length, k)
            Cut over the mesh, filled up with zeros.

        Raises
        ------
        ValueError
            The shape is another.

        Examples
        --------
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import synjit
        >>> mesh = jax.make_mesh((1,), ("n",))
        >>> S = synjit.JITNormal(1.0, 0.1, 0.5, 42, shape=(3, 5)).shard(mesh, rows="n")
        >>> S.columns.place(jnp.arange(5)).tolist()
        [0, 1, 2, 3, 4]
        """
        self._check(x, sum(self.groups), "place")
        return _sharded(_placed, x, self, self.sharding(x.ndim))

    def collect(self, y: Any) -> jax.Array:
        """Bring a vector back into the order of the matrix that was cut.

        Parameters
        ----------
        y : array (length,) or (length, k)

        Returns
        -------
        array (n,) or (n, k)
            The whole, on every device.

        Raises
        ------
        ValueError
            The shape is another.

        Examples
        --------
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import synjit
        >>> mesh = jax.make_mesh((1,), ("n",))
        >>> S = synjit.JITNormal(1.0, 0.1, 0.5, 42, shape=(3, 5)).shard(mesh, rows="n")
        >>> S.columns.collect(S.columns.place(jnp.arange(5))).tolist()
        [0, 1, 2, 3, 4]
        """
        self._check(y, self.length, "collect")
        return _sharded(_collected, y, self, NamedSharding(self.mesh, PartitionSpec()))

    def by_group(self, y: jax.Array) -> list[jax.Array]:
        """Give each group's part of a vector in the order of the devices.

        Parameters
        ----------
        y : array (length, ...)

        Returns
        -------
        list of arrays (parts, share, ...)
            A share for each device, filled up with zeros at the end.
        """
        pieces = y.reshape(self.parts, -1, *y.shape[1:])
        return split(pieces, self.shares, axis=1)

    def _check(self, x: Any, length: int, what: str) -> None:
        if getattr(x, "ndim", 0) not in {1, 2} or x.shape[0] != length:
            shape = getattr(x, "shape", type(x).__name__)
            raise ValueError(
                f"{what} takes an array of shape ({length},) or ({length}, k), got "
                f"{shape}; there are groups of {self.groups}, and {self.length} "
                f"entries in the order of the {self.parts} parts"
            )

    # --- on a device, inside shard_map ----------------------------------------------

    def keep_real(self, x: jax.Array, parts: int = 1) -> jax.Array:
        """Set to zero what only fills up, of one part of a vector, or of a window's."""
        if self.filled == self.groups:
            return x
        axes = self.axes if parts == 1 else self.outer
        first: Any = lax.axis_index(axes) * parts if axes else 0
        numbers = first + np.arange(parts, dtype=np.int32)[:, None]
        real = jnp.concatenate(
            [
                numbers * share + np.arange(share, dtype=np.int32)[None] < n
                for share, n in zip(self.shares, self.groups, strict=True)
            ],
            axis=1,
        )
        real = real.reshape(-1, *[1] * (x.ndim - 1))
        return jnp.where(real, x, x.dtype.type(0))

    def window(self) -> tuple[list[int], list[Any]]:
        """Give the lengths of the device's windows of the groups, and their starts."""
        lengths = [share * self.inside for share in self.shares]
        index: Any = lax.axis_index(self.outer) if self.outer else 0
        return lengths, [index * length for length in lengths]

    def gather(self, part: jax.Array, *, events: bool) -> jax.Array:
        """Give the x of the device's window, of which it holds a part."""
        if self.inside > 1:
            differentiable = events and part.dtype != np.bool_
            part = (gather_events if differentiable else gather_parts)(part, self.inner)
        return self.join(part)

    @property
    def in_pieces(self) -> bool:
        """Whether the events of the window are unpacked in pieces.

        Groups are gone through one by one then, in passes over the rows of their own,
        which is only worth it where they are no more than the pieces.
        """
        pieces = -(-self.inside * sum(self.shares) // self._piece)
        return max(2, len(self.groups)) <= pieces

    @property
    def _piece(self) -> int:
        """Columns in a piece, at most."""
        return max(PIECE, PIECE_SHARES * sum(self.shares))

    def pieces(self, group: int) -> np.ndarray:
        """Give the first part of each of the pieces that a group's window is cut into.

        A piece is as many parts, one at least, and may have fewer than that in the end.
        """
        most = max(1, self._piece // max(1, self.shares[group]))
        number = -(-self.inside // most)
        return np.arange(0, self.inside, -(-self.inside // number), dtype=np.int32)

    def unpack(self, words: jax.Array, group: int, begin: Any) -> tuple[Any, jax.Array]:
        """Give the events of a piece, which begins with a part.

        All pieces of a group have the same shape. One that would end beyond the window
        begins before, with columns that have no events here.

        Parameters
        ----------
        words : uint8 array (parts, bytes, batch)
            As ``gather_bits`` gives them.
        group : int
        begin : int or int32 ()
            One of ``pieces(group)``.

        Returns
        -------
        int or int32 ()
            First column of the piece, in the window of the group.
        bool array (columns, batch)
        """
        begins, share = self.pieces(group), self.shares[group]
        number = -(-self.inside // len(begins))
        first = jnp.minimum(begin, self.inside - number)
        start = sum(self.shares[:group])
        low, high = start // 8, -(-(start + share) // 8)
        size = (number, high - low, words.shape[2])
        piece = lax.dynamic_slice(words, (first, low, 0), size)
        bits = jnp.unpackbits(piece, axis=1)[:, start - 8 * low :][:, :share]
        if number * len(begins) > self.inside:
            own = first + np.arange(number, dtype=np.int32) >= begin
            bits = jnp.where(own[:, None, None], bits, np.uint8(0))
        return first * share, bits.reshape(-1, words.shape[2]).astype(bool)

    def join(self, parts: jax.Array) -> jax.Array:
        """Join the parts (inner devices * shares, ...) of a window group by group."""
        if self.inside == 1 or len(self.groups) == 1:
            return parts
        pieces = parts.reshape(self.inside, -1, *parts.shape[1:])
        groups = split(pieces, self.shares, axis=1)
        return jnp.concatenate([g.reshape(-1, *parts.shape[1:]) for g in groups])

    def part(self, window: jax.Array) -> jax.Array:
        """Undo ``join``."""
        if self.inside == 1 or len(self.groups) == 1:
            return window
        lengths = [share * self.inside for share in self.shares]
        groups = [
            g.reshape(self.inside, -1, *window.shape[1:])
            for g in split(window, lengths)
        ]
        return jnp.concatenate(groups, axis=1).reshape(window.shape)


def size(mesh: Mesh, axes: tuple[str, ...]) -> int:
    """Number of devices along some axes of a mesh."""
    return math.prod(mesh.shape[axis] for axis in axes)


def split(x: jax.Array, lengths: Any, axis: int = 0) -> list[jax.Array]:
    """Split an array into pieces of these lengths."""
    return jnp.split(x, np.cumsum(lengths)[:-1], axis=axis)


def gather_parts(x: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    """Give the parts of all devices, one after the other; booleans travel as bits."""
    if x.dtype != np.bool_:
        return lax.all_gather(x, axes, tiled=True)
    words = gather_bits(x, axes)
    bits = jnp.unpackbits(words, axis=1, count=x.shape[0])
    return bits.reshape(-1, *x.shape[1:]).astype(bool)


def gather_bits(x: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    """Give the events of all devices as bits, uint8 (devices, bytes, ...)."""
    return lax.all_gather(jnp.packbits(x, axis=0), axes)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def gather_events(x: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    """Give the events of all devices, as floats; the derivative is the floats'."""
    return gather_parts(x > 0, axes).astype(x.dtype)


@gather_events.defjvp
def _gather_events_jvp(axes: Any, primals: Any, tangents: Any) -> tuple[Any, Any]:
    (x,), (change,) = primals, tangents
    return gather_events(x, axes), gather_parts(change, axes)


def as_explicit(x: jax.Array, sharding: NamedSharding) -> jax.Array:
    """Cut an array over a mesh of explicit axes, which is not done by itself."""
    if jax.sharding.AxisType.Explicit not in sharding.mesh.axis_types:
        return x
    return jax.sharding.reshard(x, sharding)


def _sharded(f: Any, x: Any, cut: Cut, sharding: NamedSharding) -> jax.Array:
    """Call a function of an array and a cut, and shard what it gives."""
    if not isinstance(x, jax.core.Tracer):
        return jax.jit(f, static_argnums=1, out_shardings=sharding)(x, cut)
    result = f(x, cut)
    if jax.sharding.AxisType.Explicit in cut.mesh.axis_types:
        return jax.sharding.reshard(result, sharding)
    return lax.with_sharding_constraint(result, sharding)


def _placed(x: jax.Array, cut: Cut) -> jax.Array:
    x = as_explicit(x, NamedSharding(cut.mesh, PartitionSpec()))
    pieces = []
    for group, share in zip(split(x, cut.groups), cut.shares, strict=True):
        more = cut.parts * share - len(group)
        filled = jnp.pad(group, [(0, more), *[(0, 0)] * (x.ndim - 1)])
        pieces.append(filled.reshape(cut.parts, share, *x.shape[1:]))
    return jnp.concatenate(pieces, axis=1).reshape(cut.length, *x.shape[1:])


def _collected(y: jax.Array, cut: Cut) -> jax.Array:
    y = as_explicit(y, NamedSharding(cut.mesh, PartitionSpec()))
    groups = [
        piece.reshape(-1, *y.shape[1:])[:n]
        for piece, n in zip(cut.by_group(y), cut.groups, strict=True)
    ]
    return jnp.concatenate(groups)
