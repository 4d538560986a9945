# SPDX-License-Identifier: Apache-2.0
"""Adding a vector into scattered places of memory, from many programs at once.

Pallas has two ways to say it in public, and neither does here. ``atomic_add`` turns
the addition of a vector of *integers* into one of floats (jax 0.10.2 and 0.11.2: its
rule looks for a scalar type), which would compile, and be wrong on a device only.
``jax.ref.addupdate`` adds integers, but knows no mask, and both fence: every addition
is a release and an acquire, which waits for all before it and empties the L1 cache
that the table of weights is read from.

So ``scatter_add`` has a primitive of its own: a masked, relaxed atomic addition, sums
having no order. It is lowered by Pallas' own helpers, which are not public. Where
these have moved, and in interpret mode, ``addupdate`` is used.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive

scatter_add_p = Primitive("synjit_scatter_add")
scatter_add_p.multiple_results = True


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
        scatter_add_p.bind(ref, index, value, mask)
        return
    inside = jnp.where(mask, index, 0)
    jax.ref.addupdate(ref, (inside,), jnp.where(mask, value, jnp.zeros_like(value)))


def _define() -> bool:
    """Give the primitive its rules; whether Pallas has what they need."""
    try:
        from jax._src.lib.triton import dialect as triton  # type: ignore[attr-defined]
        from jax._src.pallas.triton import lowering
        from jax._src.state.types import WriteEffect
    except ImportError:
        return False
    needed = ("register_lowering", "_add", "_bcast_to", "_atomic_rmw")
    if not all(hasattr(lowering, name) for name in needed):
        return False

    @scatter_add_p.def_effectful_abstract_eval  # type: ignore[untyped-decorator]
    def _abstract(ref: Any, index: Any, value: Any, mask: Any) -> Any:
        if ref.dtype != value.dtype or index.shape != value.shape:
            raise TypeError(f"cannot add {value} at {index} to {ref}")
        del mask
        return [], {WriteEffect(0)}

    @lowering.register_lowering(scatter_add_p)
    def _lower(ctx: Any, ref: Any, index: Any, value: Any, mask: Any) -> list[Any]:
        aval = ctx.avals_in[2]
        integer = jnp.issubdtype(aval.dtype, jnp.integer)
        lowering._atomic_rmw(  # noqa: SLF001
            triton.RMWOp.ADD if integer else triton.RMWOp.FADD,
            lowering._add(lowering._bcast_to(ref, aval.shape), index),  # noqa: SLF001
            value,
            mask=mask,
            semantic=triton.MemSemantic.RELAXED,
            sync_scope=triton.MemSyncScope.GPU,
        )
        return []

    return True


RELAXED = _define()
