# SPDX-License-Identifier: Apache-2.0
"""Seeds: drawn, made of others, and brought into the two words that key a draw."""

from __future__ import annotations

import operator
import secrets
import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import reference
from .validation import describe

_drawn = threading.local()


def new_seed() -> int:
    """Draw a seed from the operating system's entropy.

    Returns
    -------
    int in [0, 2**63)
        More than JAX traces without ``jax_enable_x64``: see ``binary_jitnmv`` on how
        to pass one to a function under ``jax.jit`` or ``jax.vmap``.
    """
    return secrets.randbits(63)


def last_seed() -> int:
    """Return the seed that this thread's last call with ``seed=None`` drew.

    Under ``jax.jit`` a seed is drawn when the function is traced, and stays the same
    for all calls of the compiled function.

    Raises
    ------
    LookupError
        No call in this thread has drawn a seed yet.
    """
    seed: int | None = getattr(_drawn, "seed", None)
    if seed is None:
        raise LookupError("no product in this thread was called with seed=None yet")
    return seed


def check_seed(seed: Any) -> Any:
    """Two uint32 words, low and high, of an integer, a JAX key, or a fresh seed.

    They are a NumPy array, unless the seed is an array of JAX.
    """
    wanted = (
        "seed must be an integer in [-2**63, 2**64), an integer array of one, "
        "a JAX key of two words, or None"
    )
    if seed is None:
        seed = _drawn.seed = new_seed()
    if isinstance(seed, (bool, np.bool_)):
        raise TypeError(f"{wanted}, got {seed!r}")
    if isinstance(seed, (int, np.integer)):
        if not -(2**63) <= int(seed) < 2**64:
            raise ValueError(f"{wanted}, got {seed}")
        return np.array(reference.seed_words(int(seed)), np.uint32)
    if not isinstance(seed, (jax.Array, np.ndarray)):
        raise TypeError(f"{wanted}, got {describe(seed)}")
    return _words_of_array(seed, wanted)


def _words_of_array(seed: Any, wanted: str) -> Any:
    if jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
        seed = jax.random.key_data(seed)
    if seed.dtype == np.uint32 and seed.shape == (2,):  # a key: high word first
        return seed[::-1]
    if seed.shape == (1,):
        seed = seed.reshape(())
    if seed.shape != () or not jnp.issubdtype(seed.dtype, jnp.integer):
        raise TypeError(f"{wanted}, got {describe(seed)}")
    if isinstance(seed, jax.core.Tracer):
        return _words_of_integer(seed)
    return np.array(reference.seed_words(int(seed)), np.uint32)


def seeds(master: int, number: int) -> tuple[int, ...]:
    """Make seeds of one, for matrices that are to be independent of each other.

    Parameters
    ----------
    master : int
        In [-2**63, 2**64).
    number : int
        How many: the first of more are the same.

    Returns
    -------
    tuple of int in [0, 2**63)
        Words of a counter-based generator, Threefry-2x32-20, keyed by ``master``.

    Raises
    ------
    TypeError, ValueError
        They are no such integers. (Of a JAX key make more by ``jax.random.split``.)

    Examples
    --------
    >>> import synjit
    >>> excitatory, inhibitory = synjit.seeds(42, 2)
    """
    try:
        master, number = operator.index(master), operator.index(number)
    except TypeError:
        raise TypeError(
            f"master and number must be integers, got {describe(master)} and "
            f"{describe(number)}: of a JAX key make more by jax.random.split"
        ) from None
    if number < 0:
        raise ValueError(f"number must be 0 or more, got {number}")
    key = reference.seed_words(master)
    low, high = reference.threefry.threefry2x32(key, (np.arange(number), 0))
    words = zip(low.tolist(), high.tolist(), strict=True)
    return tuple(((high << 32) | low) >> 1 for low, high in words)


def _words_of_integer(seed: jax.Array) -> jax.Array:
    """Two's complement of a traced integer, extended to 64 bits."""
    if seed.dtype.itemsize == 8:
        low, high = seed, jnp.right_shift(seed, seed.dtype.type(32))
    elif jnp.issubdtype(seed.dtype, jnp.signedinteger):
        low = seed.astype(jnp.int32)
        high = jnp.right_shift(low, np.int32(31))
    else:
        low, high = seed, jnp.zeros((), jnp.uint32)
    return jnp.stack([low.astype(jnp.uint32), high.astype(jnp.uint32)])
