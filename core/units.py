# SPDX-License-Identifier: Apache-2.0
"""Physical units: brainunit quantities in, brainunit quantities out.

brainunit takes longer to import than the rest together, and who passes a quantity
has imported it: so we import it only then. A unit of None is 'a plain number'.
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def is_quantity(value: Any) -> bool:
    """Whether a value is a brainunit quantity."""
    return _is_a("Quantity", value)


def is_unit(value: Any) -> bool:
    """Whether a value is a brainunit unit."""
    return _is_a("Unit", value)


def _is_a(kind: str, value: Any) -> bool:
    if "saiunit" not in sys.modules and "brainunit" not in sys.modules:
        return False
    import brainunit

    return isinstance(value, getattr(brainunit, kind))


def split(value: Any) -> tuple[Any, Any]:
    """Take a value apart into its number and its unit.

    A dimensionless quantity is the plain number that it equals.
    """
    value = gather(value)
    if not is_quantity(value):
        return value, None
    if value.dim.is_dimensionless:
        return value.to_decimal(), None
    return value.mantissa, value.unit


def gather(value: Any) -> Any:
    """Make an array of a list, or a quantity if it is of quantities."""
    if not isinstance(value, (list, tuple)):
        return value
    numbers = jax.tree.leaves(value, is_leaf=is_quantity)
    if any(map(is_quantity, numbers)):
        import brainunit

        return brainunit.Quantity(value)
    traced = any(isinstance(number, jax.Array) for number in numbers)
    return jnp.asarray(value) if traced else np.asarray(value)


def split_pair(first: Any, second: Any, names: str) -> tuple[Any, Any, Any]:
    """Take two values of one dimension apart: two numbers, and their unit.

    It is the unit of the first or, if the first is a plain 0, of the second: as in
    brainunit's sums, a plain 0 has any unit.

    Raises
    ------
    brainunit.DimensionMismatchError
        Their dimensions differ.
    """
    first, second = gather(first), gather(second)
    if not (is_quantity(first) or is_quantity(second)):
        return first, second, None
    import brainunit

    if _is_zero(first):
        first = brainunit.Quantity(first, unit=brainunit.get_unit(second))
    if _is_zero(second):
        second = brainunit.Quantity(second, unit=brainunit.get_unit(first))
    one, other = (
        brainunit.get_unit(value) if is_quantity(value) else "a plain number"
        for value in (first, second)
    )
    brainunit.fail_for_dimension_mismatch(
        first, second, f"{names} must have the same dimension, got {one} and {other}"
    )
    number, unit = split(first)
    if unit is not None:
        return number, second.in_unit(unit).mantissa, unit
    return number, split(second)[0], None


def _is_zero(value: Any) -> bool:
    """Whether a value is 0 without a unit, and known to be."""
    if is_quantity(value) or isinstance(value, jax.core.Tracer):
        return False
    return isinstance(value, (int, float, np.ndarray, np.generic, jax.Array)) and bool(
        np.all(np.asarray(value) == 0)
    )


def attach(value: Any, *units: Any) -> Any:
    """Give a value the product of the units; a plain array if they cancel."""
    known = [unit for unit in units if unit is not None]
    if not known:
        return value
    import brainunit

    unit = known[0]
    for other in known[1:]:
        unit = unit * other
    return brainunit.maybe_decimal(brainunit.Quantity(value, unit=unit))
