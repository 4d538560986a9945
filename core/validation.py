# SPDX-License-Identifier: Apache-2.0
"""What users may pass, checked and brought into the form that the primitives take."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from . import reference, units
from .binomial import traced_connectivity
from .hookspecs import Rule
from .primitives import undifferentiable_prob

FLOATS = ("float16", "bfloat16", "float32", "float64")
MAX_LENGTH = 2**31 - 1


# --- parameters, one by one ---------------------------------------------------------

Init = TypeVar("Init", bound=Callable[..., None])


def one_by_one(init: Init) -> Init:
    """Let a matrix class refuse all its parameters in one tuple, with words."""

    @functools.wraps(init)
    def checked(self: Any, *given: Any, **named: Any) -> None:
        if len(given) == 1 and isinstance(given[0], tuple):
            name = type(self).__name__
            parameters = ", ".join([*type(self).PARAMETERS, "prob", "seed"])
            raise TypeError(
                f"{name} takes its parameters one by one, got a tuple of "
                f"{len(given[0])}: write {name}({parameters}, shape=(rows, columns)), "
                "or take the classes of synjit.compat.brainevent"
            )
        init(self, *given, **named)

    return checked  # type: ignore[return-value]


# --- shape ------------------------------------------------------------------------


def check_shape(shape: Any) -> tuple[int, int]:
    """Two lengths of 0 or more."""
    wanted = f"shape must be two integers (rows, columns) in 0 .. {MAX_LENGTH}"
    try:
        lengths = tuple(operator.index(length) for length in shape)
    except TypeError:
        raise TypeError(f"{wanted}, got {shape!r}") from None
    if len(lengths) != 2 or not all(0 <= length <= MAX_LENGTH for length in lengths):
        raise ValueError(f"{wanted}, got {shape!r}")
    return lengths[0], lengths[1]


# --- flags ------------------------------------------------------------------------


def check_flag(value: Any, name: str) -> bool:
    """True or False, which decide what is compiled."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {describe(value)}")
    return bool(value)


# --- origin -----------------------------------------------------------------------


class Origin(NamedTuple):
    """Where a window begins, and what is known of it before it runs."""

    words: Any  # uint32 (2,)
    valid: jax.Array | None  # if it is traced: does the window lie in a matrix?


def check_origin(origin: Any, shape: tuple[int, int]) -> Origin:
    """First row and column of a window; traced, it makes NaN where none can be."""
    last = tuple(MAX_LENGTH - length for length in shape)
    wanted = (
        "origin must be two integers (row, column), for a window of shape "
        f"{shape} in 0 .. {last[0]} and 0 .. {last[1]}"
    )
    try:
        row, column = origin
    except (TypeError, ValueError):
        raise TypeError(f"{wanted}, got {describe(origin)}") from None
    words: list[Any] = []
    valid = None
    for start, most in zip((row, column), last, strict=True):
        if isinstance(start, jax.core.Tracer):
            if start.shape != () or not jnp.issubdtype(start.dtype, jnp.integer):
                raise TypeError(f"{wanted}, got {describe(start)} in it")
            word = start.astype(jnp.uint32)
            inside = (word <= np.uint32(most)) & (word.astype(start.dtype) == start)
            valid = inside if valid is None else valid & inside
            words.append(word)
            continue
        try:
            number = operator.index(start)
        except TypeError:
            raise TypeError(f"{wanted}, got {describe(start)} in it") from None
        if not 0 <= number <= most:
            raise ValueError(f"{wanted}, got {number} in it")
        words.append(np.uint32(number))
    if valid is None:
        return Origin(np.array(words), None)
    row, column = words  # not stacked, for one of them may be cut over devices
    first, second = np.eye(2, dtype=np.uint32)
    return Origin(row * first + column * second, valid)


# --- connections ------------------------------------------------------------------


class Connections(NamedTuple):
    """A checked rule of connections, and what is known of it before it runs."""

    connectivity: Any  # uint32 (CONNECTIVITY_WORDS,)
    log2_chunk: int | None
    rule: Rule
    valid: jax.Array | None  # of what was traced: is it in [0, 1], or in the matrix?


def check_connections(
    prob: Any, shape: tuple[int, int], origin: Any, self_connections: bool = True
) -> Connections:
    """A rule, or a probability in [0, 1], for a checked window of a matrix.

    A prob that is traced makes NaN where it is not in [0, 1], as an origin does with
    which the window ends beyond the rows of a rule.
    """
    if isinstance(prob, reference.FixedOutDegree):
        row, rows = origin[0], shape[0]
        traced = isinstance(row, jax.core.Tracer)
        whole = prob.rows_of(None if traced else operator.index(row), rows)
        valid = None
        if traced:
            valid = row.astype(jnp.uint32) <= np.uint32(whole - rows)
        words, log2_chunk = _words_of_out_degree(prob.k, whole, self_connections)
        return Connections(words, log2_chunk, "fixed_out_degree", valid)
    own = check_prob(prob)
    words = own.connectivity
    if not self_connections:
        last = np.arange(len(words)) == reference.draw.NO_SELF_WORD
        known = isinstance(words, np.ndarray)
        words = (np if known else jnp).where(last, np.uint32(1), words)
    return Connections(words, own.log2_chunk, "bernoulli", own.valid)


@functools.lru_cache(maxsize=1024)
def _words_of_out_degree(k: int, rows: int, self_connections: bool) -> tuple[Any, int]:
    rule = reference.FixedOutDegree(k)
    connectivity = rule.connectivity(rows, self_connections)
    words = connectivity.encode()
    words.flags.writeable = False
    return words, connectivity.log2_chunk


class Probability(NamedTuple):
    """A checked prob: its counts, and what is known of it before it runs."""

    connectivity: Any  # uint32 (CONNECTIVITY_WORDS,)
    log2_chunk: int | None
    valid: jax.Array | None  # of a traced prob: is it in [0, 1]?


def check_prob(prob: Any) -> Probability:
    """A probability in [0, 1]; one that is traced makes NaN where it is not."""
    wanted = (
        "prob must be one real number in [0, 1], or a rule of connections, as "
        "synjit.FixedOutDegree(k)"
    )
    if isinstance(prob, reference.Bernoulli):
        prob = prob.prob
    prob, unit = units.split(prob)
    if unit is not None:
        raise TypeError(f"{wanted}, got one with the unit {unit}")
    if isinstance(prob, jax.core.Tracer):
        if prob.shape not in {(), (1,)} or not _is_real(prob.dtype):
            raise TypeError(f"{wanted}, got {describe(prob)}")
        prob = undifferentiable_prob(prob.reshape(()))
        prob = prob.astype(jnp.float32)
        return Probability(traced_connectivity(prob), None, (prob >= 0) & (prob <= 1))
    array = np.asarray(prob)
    if array.shape not in {(), (1,)} or not _is_real(array.dtype):
        raise TypeError(f"{wanted}, got {describe(prob)}")
    value = float(array.reshape(()))
    if not 0 <= value <= 1:
        raise ValueError(f"{wanted}, got {value}")
    return _known_law(float(np.float32(value)))


@functools.lru_cache(maxsize=1024)
def _known_law(prob: float) -> Probability:
    counts = reference.count_distribution(prob)
    words = counts.encode()
    words.flags.writeable = False
    return Probability(words, counts.log2_chunk, None)


# --- weights ----------------------------------------------------------------------


class Parameters(NamedTuple):
    """Parameters of the weights, as scalars in one unit."""

    numbers: tuple[Any, ...]
    unit: Any


def check_parameters(values: Sequence[Any], names: Sequence[str]) -> Parameters:
    """Real numbers of one dimension, given as scalars or arrays of one.

    Raises
    ------
    brainunit.DimensionMismatchError
        Their dimensions differ.
    """
    first, *others = values
    if others:
        (second,) = others
        *numbers, unit = units.split_pair(first, second, " and ".join(names))
    else:
        first, unit = units.split(first)
        numbers = [first]
    return Parameters(tuple(map(_scalar, numbers, names)), unit)


def _scalar(value: Any, name: str) -> Any:
    wanted = f"{name} must be one real number, given as a scalar or an array of one"
    if isinstance(value, (bool, int)):
        value = float(value)
    if isinstance(value, float):
        return value
    if not hasattr(value, "dtype"):
        raise TypeError(f"{wanted}, got {describe(value)}")
    if value.shape not in {(), (1,)} or not _is_real(value.dtype):
        raise TypeError(f"{wanted}, got {describe(value)}")
    value = value.reshape(())
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "iu":
        return float(value)  # as of Python; JAX may cut it to 32 bits
    return value


# --- the operand ------------------------------------------------------------------


def check_operand(
    operand: Any, name: str, shape: tuple[int, int], transpose: bool, rank: int
) -> tuple[jax.Array, Any]:
    """A real array whose first axis has the length that the matrix takes; its unit."""
    check_flag(transpose, "transpose")
    value, unit = units.split(operand)
    check_array(value, name)
    if not _is_real(value.dtype):
        raise TypeError(
            f"{name} must be boolean, integer or real, got {describe(value)}"
        )
    if not all(isinstance(length, int) for length in value.shape):
        raise TypeError(
            f"{name} must have a shape of numbers, for they decide what is compiled; "
            f"got {value.shape}: export a program for each"
        )
    length = shape[0] if transpose else shape[1]
    if value.ndim != rank or value.shape[0] != length:
        axes = f"({length},)" if rank == 1 else f"({length}, k)"
        of = f"a matrix of shape {shape}"
        of = f"the transpose of {of}" if transpose else of
        raise ValueError(
            f"{name} must have shape {axes} to be multiplied by {of}, got {value.shape}"
        )
    array = jnp.asarray(value)
    if array.dtype != value.dtype and value.dtype.kind in "iu" and value.size:
        kept = np.iinfo(array.dtype)
        extremes = int(value.min()), int(value.max())
        if extremes[0] < kept.min or extremes[1] > kept.max:
            raise ValueError(
                f"{name} has integers of {extremes[0]} to {extremes[1]}, which JAX "
                f"would cut to {array.dtype}: pass floats, or enable jax_enable_x64"
            )
    return array, unit


def check_array(value: Any, name: str) -> None:
    """Refuse what is no array: what another package wraps may mean anything."""
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return
    if units.is_quantity(value):
        return
    wrapped = ""
    if hasattr(value, "value"):
        wrapped = (
            f": pass what is in it, Events({name}.value) if entries above zero are "
            f"events, or {name}.value to multiply by numbers"
        )
    raise TypeError(f"{name} must be an array, got {describe(value)}{wrapped}")


def result_dtype(*values: Any) -> np.dtype:
    """Give the dtype of a product: what JAX promotes its factors to, and a float."""
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.result_type(*values)
        if not jnp.issubdtype(dtype, jnp.floating):
            dtype = jnp.result_type(float)
    if str(dtype) not in FLOATS:
        raise TypeError(
            f"the product would have dtype {dtype}; it can have {', '.join(FLOATS)}"
        )
    return np.dtype(dtype)


def compute_dtype(dtype: np.dtype) -> np.dtype:
    """Give the dtype that sums are made in: float64 for float64, float32 for others."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


# --- helpers ----------------------------------------------------------------------


def _is_real(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.bool_) or (
        jnp.issubdtype(dtype, jnp.number)
        and not jnp.issubdtype(dtype, jnp.complexfloating)
    )


def describe(value: Any) -> str:
    """Say what was given."""
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return f"an array of shape {tuple(value.shape)} and dtype {value.dtype}"
    return f"{value!r} of type {type(value).__name__}"
