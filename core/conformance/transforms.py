# SPDX-License-Identifier: Apache-2.0
"""Checks of a backend under JAX's transformations, through the public products.

The rules of the products belong to synjit; what is checked is that a backend stands
what they make of it: batches from vmap, both directions from grad, a loop around it.
Weights are powers of two and events few, so that what should be exact is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from synjit import reference

from .cases import Case
from .expected import window
from .runner import Refused

SEED, PROB, SHAPE = 5, 0.1, (1100, 50)
UNIT = 2.0**-reference.normal.UNIT_BITS


def _products() -> Any:
    """Import the products when they are called: they stand on the gate."""
    from synjit import products

    return products


def _events(batch: int = 1) -> NDArray[np.bool_]:
    return np.random.default_rng(1).random((SHAPE[1], batch)) < 0.3


def _values(length: int, batch: int = 1) -> NDArray[np.float32]:
    values = np.random.default_rng(2).normal(size=(length, batch))
    return values.astype(np.float32)


def _parts(seed: int = SEED) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    z = window(Case("events", PROB, SHAPE, seed))
    mask = z != reference.ABSENT
    return mask.astype(np.float64), np.where(mask, z * UNIT, 0)


def _near(got: Any, want: NDArray, terms: NDArray | float) -> str:
    got = np.asarray(got, np.float64)
    bound = 200 * float(np.finfo(np.float32).eps) * (np.abs(terms) + np.abs(want))
    wrong = ~(np.abs(got - want) <= bound)
    if got.shape != want.shape:
        return f"the result has the shape {got.shape}, not {want.shape}"
    if wrong.any():
        at = tuple(np.argwhere(wrong)[0])
        return f"entry {[int(i) for i in at]} is {got[at]}, not {want[at]}"
    return ""


def vmap_events(backend: str) -> str:
    """Batch a product over its vectors."""
    ones, z = _parts()
    events = _events(6)

    def one(vector: jax.Array) -> jax.Array:
        result: jax.Array = _products().binary_jitnmv(
            1.0, 0.5, PROB, vector, SEED, shape=SHAPE, backend=backend
        )
        return result

    got = jax.jit(jax.vmap(one, in_axes=1, out_axes=1))(events)
    return _near(got, (ones + 0.5 * z) @ events, 10)


def vmap_seeds(backend: str) -> str:
    """Batch a product over matrices."""
    events = _events()[:, 0]

    def one(seed: jax.Array) -> jax.Array:
        result: jax.Array = _products().binary_jitnmv(
            1.0, 0.5, PROB, events, seed, shape=SHAPE, backend=backend
        )
        return result

    got = jax.jit(jax.vmap(one))(jnp.array([3, SEED]))
    want = [(o + 0.5 * z) @ events for o, z in map(_parts, (3, SEED))]
    return _near(got, np.stack(want), 10)


def grad_weights(backend: str) -> str:
    """Differentiate by the weights: sums of N and Z."""
    ones, z = _parts()
    events = _events()[:, 0]

    def loss(loc: float, scale: float) -> jax.Array:
        y = _products().binary_jitnmv(
            loc, scale, PROB, events, SEED, shape=SHAPE, backend=backend
        )
        return jnp.sum(y)

    got = jax.jit(jax.grad(loss, argnums=(0, 1)))(1.0, 0.5)
    want = np.array([(ones @ events).sum(), (z @ events).sum()])
    return _near(np.stack(got), want, (np.abs(z) @ events).sum())


def grad_values(backend: str) -> str:
    """Differentiate a product of floats by its vector: the other direction."""
    ones, z = _parts()
    v, u = _values(SHAPE[1])[:, 0], _values(SHAPE[0])[:, 0]

    def loss(values: jax.Array) -> jax.Array:
        y = _products().jitnmv(
            1.0, 0.5, PROB, values, SEED, shape=SHAPE, backend=backend
        )
        return jnp.vdot(u, y)

    w = ones + 0.5 * z
    return _near(jax.jit(jax.grad(loss))(v), w.T @ u, np.abs(w).T @ np.abs(u))


def grad_events(backend: str) -> str:
    """Differentiate a product of events by its vector: the linear surrogate."""
    ones, z = _parts()
    u = _values(SHAPE[0])[:, 0]

    def loss(vector: jax.Array) -> jax.Array:
        y = _products().binary_jitnmv(
            1.0, 0.5, PROB, vector, SEED, shape=SHAPE, backend=backend
        )
        return jnp.vdot(u, y)

    w = ones + 0.5 * z
    got = jax.jit(jax.grad(loss))(_events()[:, 0].astype(np.float32))
    return _near(got, w.T @ u, np.abs(w).T @ np.abs(u))


def jvp_transposed(backend: str) -> str:
    """Push a tangent through the transposed product of floats."""
    ones, z = _parts()
    u, change = _values(SHAPE[0], 2).T

    def f(values: jax.Array) -> Any:
        return _products().jitnmv(
            1.0, 0.5, PROB, values, SEED, shape=SHAPE, transpose=True, backend=backend
        )

    _, got = jax.jit(lambda v, t: jax.jvp(f, (v,), (t,)))(u, change)
    w = (ones + 0.5 * z).T
    return _near(got, w @ change, np.abs(w) @ np.abs(change))


def loop(backend: str) -> str:
    """Step in a loop, as a simulation does, both ways through the matrix."""
    ones, _ = _parts()
    start = _events()[:, 0]

    def step(events: jax.Array, _: Any) -> Any:
        up = _products().binary_jitnmv(
            1.0, 0.0, PROB, events, SEED, shape=SHAPE, backend=backend
        )
        down = _products().binary_jitnmv(
            1.0, 0.0, PROB, up > 2, SEED, shape=SHAPE, transpose=True, backend=backend
        )
        return down > 8, down

    _, got = jax.jit(lambda e: jax.lax.scan(step, e, length=4))(start)
    events, want = start, []
    for _ in range(4):
        down = ones.T @ ((ones @ events) > 2)
        events = down > 8
        want.append(down)
    return _near(got, np.stack(want), 0)


TRANSFORMS: dict[str, Callable[[str], str]] = {
    f.__name__: f
    for f in (
        vmap_events,
        vmap_seeds,
        grad_weights,
        grad_values,
        grad_events,
        jvp_transposed,
        loop,
    )
}


def run_transform(name: str, backend: str, platform: str) -> str:
    """Run one of these checks on a platform's first device; say what is wrong.

    Raises
    ------
    Refused
        The backend does not take what the transformation makes of the product.
    """
    from synjit.dispatch import REFUSES, BackendError

    device = jax.local_devices(backend=platform)[0]
    try:
        with jax.default_device(device), jax.enable_x64(False):
            return TRANSFORMS[name](backend)
    except BackendError as error:
        reason = error.reasons.get(backend, "")
        if reason.startswith(REFUSES):
            raise Refused(reason.removeprefix(REFUSES)) from error
        return f"it raised BackendError: {error}"
    except Exception as error:  # noqa: BLE001, whatever a backend may raise
        return f"it raised {type(error).__name__}: {error}"
