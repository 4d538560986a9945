# SPDX-License-Identifier: Apache-2.0
"""What is on its way: a slot for each of the steps to come."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from . import delivery, units, validation
from .aliases import Numbers
from .cut import Cut
from .evaluation import coefficients
from .matrix import Events
from .primitives import replicate
from .reference import Delays

if TYPE_CHECKING:
    from .jit_matrix import JITMatrix, Operands

DTYPES = ("float32", "float64")


@jax.tree_util.register_pytree_node_class
class Ring:
    """A ring of slots, in which weights arrive that events have sent.

    What arrives in step t is in slot ``t % slots``. In each step of a network

    >>> current, ring = ring.read(t)  # doctest: +SKIP
    >>> spikes = ...                  # of neurons that get this current
    >>> ring = M.deliver(spikes, ring, t)  # doctest: +SKIP

    Several matrices may deliver to one ring, in the same step, before it is read or
    after. A ring that is a carry of ``jax.lax.scan``, or donated to ``jax.jit``, is
    written in its own memory: a step costs nothing that grows with the number of slots.

    Parameters
    ----------
    value : float32 or float64 array (slots, m) or (slots, m, batch), or Quantity
        What arrives in each slot.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import synjit
    >>> M = synjit.JITConstant(2.0, 1.0, 42, delay=3, shape=(2, 4))
    >>> ring = M.deliver(jnp.ones(4, bool), M.ring(), 10)
    >>> ring.read(12)[0]
    Array([0., 0.], dtype=float32)
    >>> ring.read(13)[0]
    Array([8., 8.], dtype=float32)
    """

    def __init__(self, value: Numbers) -> None:
        number, unit = units.split(value)
        validation.check_array(number, "value")
        if number.ndim not in {2, 3} or str(number.dtype) not in DTYPES:
            raise TypeError(
                "the value of a Ring must be an array (slots, m) or (slots, m, batch) "
                f"of {' or '.join(DTYPES)}, got {validation.describe(number)}"
            )
        # The only leaf of the pytree has three axes at all times: a change of the shape
        # between two steps would make XLA copy it.
        self._batched = number.ndim == 3
        self._rows: Cut | None = None  # how they are cut over devices
        number = jnp.asarray(number)
        number = number if self._batched else number[..., None]
        self._leaf = units.attach(number, unit)

    @classmethod
    def zeros(
        cls,
        slots: int,
        m: int,
        batch: int | None = None,
        *,
        dtype: Any = "float32",
        unit: Any = None,
    ) -> Self:
        """Make a ring in which nothing is on its way.

        Parameters
        ----------
        slots : int
            At least one more than the longest delay.
        m : int
            Number of neurons that are delivered to.
        batch : int, optional
            Number of vectors of spikes that are delivered at once.
        dtype : dtype
            float32 or float64.
        unit : brainunit.Unit, optional

        Raises
        ------
        TypeError, ValueError
            A length is no integer or too small, or the dtype another.
        """
        shape = [_length(slots, "slots", 1), _length(m, "m", 0)]
        shape += [] if batch is None else [_length(batch, "batch", 0)]
        return cls(units.attach(jnp.zeros(shape, dtype), unit))

    @property
    def value(self) -> Any:
        """What arrives in each slot, (slots, m) or (slots, m, batch)."""
        number, unit = self.columns()
        return units.attach(number if self._batched else number[..., 0], unit)

    @property
    def shape(self) -> tuple[int, ...]:
        """Slots, rows and, if there is one, the batch."""
        shape: tuple[int, ...] = self.columns()[0].shape
        return shape if self._batched else shape[:2]

    @property
    def slots(self) -> int:
        """Number of slots."""
        return self.shape[0]

    @property
    def rows(self) -> Cut | None:
        """How the rows are cut over devices: of a ring that a sharded matrix made."""
        return self._rows

    def read(self, now: Any) -> tuple[Any, Self]:
        """Take out what arrives in a step.

        Parameters
        ----------
        now : int, or integer array ()
            The step.

        Returns
        -------
        array (m,) or (m, batch), or Quantity
            What arrives.
        Ring
            The ring without it.

        Raises
        ------
        TypeError
            now is no integer.
        """
        slot = slot_of(now, self.slots)
        value, unit = self.columns()
        if value.size == 0:
            return units.attach(self.value[0], unit), self
        if self._rows is None:
            current, value = delivery.read(replicate(value), slot)
        else:
            current, value = _read_shares(self._rows, value, slot, self._batched)
        current = current if self._batched else current[:, 0]
        return units.attach(current, unit), self.with_columns(value)

    def columns(self) -> tuple[jax.Array, Any]:
        """Give the numbers, (slots, m, batch), and their unit."""
        number, unit = units.split(self._leaf)
        return number, unit

    def with_columns(self, value: jax.Array) -> Self:
        """Make the ring of other numbers, (slots, m, batch), in the same unit."""
        leaf = units.attach(value, units.split(self._leaf)[1])
        return self.tree_unflatten((self._batched, self._rows), (leaf,))

    def over(self, rows: Cut | None) -> Self:
        """Give the ring as one that is cut over devices in this way, or is not cut."""
        return self.tree_unflatten((self._batched, rows), (self._leaf,))

    def __repr__(self) -> str:
        """Show the numbers."""
        return f"Ring({self.value!r})"

    def tree_flatten(self) -> tuple[tuple[Any], tuple[bool, Cut | None]]:
        """Give the numbers as the only leaf, (slots, m, batch)."""
        return (self._leaf,), (self._batched, self._rows)

    @classmethod
    def tree_unflatten(cls, aux: tuple[bool, Cut | None], leaves: tuple[Any]) -> Self:
        """Put the leaf back, unchecked."""
        new = object.__new__(cls)
        new._batched, new._rows = aux
        (new._leaf,) = leaves
        return new


def spec_of_ring(rows: Cut, batched: bool) -> PartitionSpec:
    """How the numbers of a ring that is cut, (slots, m, batch), lie on the mesh."""
    return PartitionSpec(None, *rows.spec(2 if batched else 1))


def _read_shares(
    rows: Cut, value: jax.Array, slot: Any, batched: bool
) -> tuple[jax.Array, jax.Array]:
    """Read on each device its share of the rows; zeros in what only fills up."""

    def local(value: jax.Array, slot: jax.Array) -> tuple[jax.Array, jax.Array]:
        current, value = delivery.read(value, slot)
        return rows.keep_real(current), value

    axes = rows.spec(2 if batched else 1)
    whole = spec_of_ring(rows, batched)
    over = jax.shard_map(
        local,
        mesh=rows.mesh,
        in_specs=(whole, PartitionSpec()),
        out_specs=(axes, whole),
    )
    current, value = over(value, jnp.asarray(slot))
    return current, value


def slot_of(now: Any, slots: int) -> Any:
    """Give the slot of a step, uint32 ()."""
    wanted = "now must be the number of a step, an integer"
    if isinstance(now, (jax.Array, np.ndarray, np.generic)):
        if now.shape != () or not jnp.issubdtype(now.dtype, jnp.integer):
            raise TypeError(f"{wanted}, got {validation.describe(now)}")
        if isinstance(now, jax.Array):
            wide = now if now.dtype.itemsize >= 4 else now.astype(jnp.int32)
            return jnp.remainder(wide, wide.dtype.type(slots)).astype(jnp.uint32)
    try:
        number = operator.index(now)
    except TypeError:
        number = None
    if number is None or isinstance(now, bool):
        raise TypeError(f"{wanted}, got {validation.describe(now)}")
    return np.uint32(number % slots)


# --- what is delivered ------------------------------------------------------------


def check_ring(ring: Any, m: int, laws: Sequence[Delays], now: Any) -> Any:
    """Refuse a ring that does not fit; gives the slot of the step."""
    if not isinstance(ring, Ring):
        raise TypeError(
            "spikes are delivered to a Ring, as M.ring() or synjit.Ring.zeros(slots, m)"
            f" makes one, got {validation.describe(ring)}"
        )
    if ring.rows is not None:
        raise TypeError(
            "this ring is cut over devices: what delivers to it is the sharded matrix "
            "that made it, S.deliver(spikes, ring, now)"
        )
    rows = ring.shape[1]
    if rows != m:
        raise ValueError(
            f"a matrix of {m} rows delivers to a ring of {m}, and this one has {rows}"
        )
    law = max(laws, key=lambda law: law.bounds[1])
    longest = law.bounds[1]
    if longest >= ring.slots:
        raise ValueError(
            f"delays are up to {longest} steps ({law!r}): a ring for them needs "
            f"{longest + 1} slots, and this one has {ring.slots}"
        )
    return slot_of(now, ring.slots)


def check_spikes(spikes: Any, ring: Ring, shape: tuple[int, int]) -> jax.Array:
    """Give spikes as (n, batch)."""
    given = spikes.value if isinstance(spikes, Events) else spikes
    axes = len(ring.shape) - 1
    number, unit = validation.check_operand(given, "spikes", shape, False, axes)
    if unit is not None:
        raise TypeError(f"spikes have no unit, got {unit}")
    if axes == 1:
        return number[:, None]
    if number.shape[1:] != ring.shape[2:]:
        raise ValueError(
            f"spikes must be {ring.shape[2]} vectors for a ring of as many, got "
            f"{number.shape[1]}"
        )
    return number


def weights_in(
    unit: Any, block: JITMatrix, own: Operands, dtype: np.dtype
) -> tuple[Any, Any]:
    """Give w_loc and w_scale of a block, in the unit and the dtype of a ring."""
    promoted = validation.result_dtype(*own.parameters, jnp.zeros((), dtype))
    if promoted != dtype:
        raise TypeError(
            f"weights of {promoted} are delivered to a ring of {promoted}, and this "
            f"one has {dtype}: make it with dtype={str(promoted)!r}"
        )
    names = "the ring and the weights"
    one = units.attach(1.0, unit)
    _, factor, _ = units.split_pair(one, units.attach(1.0, own.unit), names)
    loc, scale = coefficients(block.family(), own.parameters, dtype)
    if factor != 1:
        loc, scale = loc * dtype.type(factor), scale * dtype.type(factor)
    return loc, scale


# --- numbers ----------------------------------------------------------------------


def _length(value: Any, name: str, least: int) -> int:
    try:
        length = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} of a ring must be an integer, got {validation.describe(value)}"
        ) from None
    if length < least:
        raise ValueError(f"{name} of a ring must be {least} or more, got {length}")
    return length
