# SPDX-License-Identifier: Apache-2.0
"""Writing to scattered places of memory, from many programs at once.

Pallas has two ways to say it in public, and neither does here. ``atomic_add`` turns
the addition of a vector of *integers* into one of floats (jax 0.10.2 and 0.11.2: its
rule looks for a scalar type), which would compile, and be wrong on a device only.
``jax.ref.addupdate`` adds integers, but knows no mask, and both fence: every addition
is a release and an acquire, which waits for all before it and empties the L1 cache
that the table of weights is read from.

So ``scatter_add`` has a primitive of its own: a masked, relaxed atomic addition, sums
having no order. It is lowered by Pallas' own helpers, which are not public. Where
these have moved, and in interpret mode, ``addupdate`` is used. ``scatter_any`` is the
same of exchanges, whose public way knows masks, and fences.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive

scatter_p = Primitive("synjit_scatter")
scatter_p.multiple_results = True


def scatter_add(
    ref: Any, index: jax.Array, value: jax.Array, mask: jax.Array, *, device: bool
) -> None:
    """Add ``value`` to ``ref`` at ``index`` where ``mask``; indices may repeat.

    Parameters
    ----------
    ref : reference to a one-dimensional array
    index : int32 vector
        Anything where not ``mask``.
    value, mask : vectors
    device : bool
        Whether this is compiled for a GPU, and not interpreted.
    """
    if device and RELAXED:
        scatter_p.bind(ref, index, value, mask, add=True)
        return
    inside = jnp.where(mask, index, 0)
    jax.ref.addupdate(ref, (inside,), jnp.where(mask, value, jnp.zeros_like(value)))


def scatter_any(
    ref: Any, index: jax.Array, value: jax.Array, mask: jax.Array, *, device: bool
) -> None:
    """Leave in ``ref`` one of the values that all programs have for an index.

    Parameters are those of ``scatter_add``. It exchanges: of stores to one place by
    several programs nothing would be known.
    """
    if not device:
        store_where(mask, ref, index, value)
    elif RELAXED:
        scatter_p.bind(ref, index, value, mask, add=False)
    else:
        from jax.experimental.pallas import triton

        triton.atomic_xchg(ref, (index,), value, mask=mask)


def store_where(mask: jax.Array, ref: Any, index: jax.Array, value: jax.Array) -> None:
    """Store where ``mask``; the index may be anything elsewhere."""
    from jax.experimental.pallas import triton

    triton.store(ref.at[_inside(mask, ref, index)], value, mask=mask)


def load_where(mask: jax.Array, ref: Any, index: jax.Array) -> jax.Array:
    """Load where ``mask``, and give 0 elsewhere, where the index may be anything."""
    from jax.experimental.pallas import triton

    inside = _inside(mask, ref, index)
    return triton.load(ref.at[inside], mask=mask, other=ref.dtype.type(0))


def _inside(mask: jax.Array, ref: Any, index: jax.Array) -> jax.Array:
    """Send what is masked past the end: there, an interpreter stores nothing."""
    return jnp.where(mask, index, np.int32(ref.size))


def _define() -> bool:
    """Give the primitive its rules; whether Pallas has what they need."""
    try:
        from jax._src.lib.triton import dialect  # type: ignore[attr-defined]
        from jax._src.pallas.triton import lowering
        from jax._src.state.types import WriteEffect
    except ImportError:
        return False
    needed = ("register_lowering", "_add", "_bcast_to", "_atomic_rmw")
    if not all(hasattr(lowering, name) for name in needed):
        return False

    @scatter_p.def_effectful_abstract_eval  # type: ignore[untyped-decorator]
    def _abstract(ref: Any, index: Any, value: Any, mask: Any, *, add: bool) -> Any:
        if ref.dtype != value.dtype or index.shape != value.shape:
            raise TypeError(f"cannot scatter {value} at {index} to {ref}")
        del mask, add
        return [], {WriteEffect(0)}

    @lowering.register_lowering(scatter_p)
    def _lower(
        ctx: Any, ref: Any, index: Any, value: Any, mask: Any, *, add: bool
    ) -> list[Any]:
        aval = ctx.avals_in[2]
        integer = jnp.issubdtype(aval.dtype, jnp.integer)
        add_one = dialect.RMWOp.ADD if integer else dialect.RMWOp.FADD
        lowering._atomic_rmw(  # noqa: SLF001
            add_one if add else dialect.RMWOp.XCHG,
            lowering._add(lowering._bcast_to(ref, aval.shape), index),  # noqa: SLF001
            value,
            mask=mask,
            semantic=dialect.MemSemantic.RELAXED,
            sync_scope=dialect.MemSyncScope.GPU,
        )
        return []

    return True


RELAXED = _define()
