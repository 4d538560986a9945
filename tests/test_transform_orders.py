# SPDX-License-Identifier: Apache-2.0
"""Every order of JAX's transformations, to depth three, agrees with a dense matrix.

The orders are generated. Each is applied to one function that makes all products, and
to the same function of matrices that are written out, in float64. ``make orders`` runs
all of them, with ``EVERY=89`` all of depth two and one in 89 of depth three; ``make
test`` some of each.
"""

import functools
import itertools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import synjit

SHAPE = (3, 4)
SEEDS, PROB = (3, 4), 0.6
BATCH = 2  # of a vmap, and the number of devices of a mesh

pytestmark = pytest.mark.long

# Of depth two and of depth three one in so many are tried: primes, so that every
# transformation has its turn in every place.
ASKED = os.environ.get("SYNJIT_ORDERS_EVERY", "")
EVERY_SECOND, EVERY_THIRD = (1, int(ASKED)) if ASKED else (11, 347)
X = {
    "v": np.array([0.5, -1.0, 2.0, 0.3]),
    "b": np.array([[1.0, -0.5], [-2.0, 0.7], [0.2, 0.4], [-0.1, 1.5]]),
    "loc": np.array(1.5),
    "scale": np.array(0.7),
}


def products(x, backend):
    """Give all products of two vectors and of the weights of a matrix."""
    v, b, weights = x["v"], x["b"], (x["loc"], x["scale"])
    given = {"shape": SHAPE, "backend": backend}
    both = (synjit.JITNormal(*weights, PROB, seed, **given) for seed in SEEDS)
    M, other = both
    pair = synjit.Events(jnp.concatenate([v, -v]))
    return {
        "binary_jitnmv": synjit.binary_jitnmv(*weights, PROB, v, SEEDS[0], **given),
        "binary_jitnmm": synjit.binary_jitnmm(*weights, PROB, b, SEEDS[0], **given),
        "jitnmv": synjit.jitnmv(*weights, PROB, v, SEEDS[0], **given),
        "jitnmm and its transpose": M.T @ (M @ b),
        "jitn": M.todense(),
        "events from the left": synjit.Events(v[:3]) @ M,
        "JITBlocks": synjit.JITBlocks([[M, 2.0 * other]]) @ pair,
    }


def drawn(seed):
    """Mask of a matrix, and its standard normals, as the reference draws them."""
    z = synjit.reference.Matrix(seed, PROB, SHAPE).dense()
    mask = z != synjit.reference.ABSENT
    return mask.astype(np.float64), np.where(mask, z * 2.0**-16, 0.0)


MATRICES = tuple(map(drawn, SEEDS))


def written_out(x):
    """Give what ``products`` does, of two matrices that are stored."""
    v, b = x["v"], x["b"]
    stored = (x["loc"] * mask + x["scale"] * z for mask, z in MATRICES)
    W, other = stored
    return {
        "binary_jitnmv": W @ as_events(v),
        "binary_jitnmm": W @ as_events(b),
        "jitnmv": W @ v,
        "jitnmm and its transpose": W.T @ (W @ b),
        "jitn": W,
        "events from the left": as_events(v[:3]) @ W,
        "JITBlocks": W @ as_events(v) + 2.0 * other @ as_events(-v),
    }


def as_events(x):
    """Events of x, which vary as x does: the linear surrogate."""
    return jax.lax.stop_gradient((x > 0).astype(x.dtype) - x) + x


# --- transformations: of a function of a tree, and of what it is given ------------


def like(tree):
    """Give other numbers of the same shapes."""
    return jax.tree.map(lambda leaf: jnp.cos(3.0 * leaf + 1.0), tree)


def loss(f, x):
    """A number that varies with everything."""
    return sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(f(x)))


def grad(f, x):
    return jax.value_and_grad(functools.partial(loss, f)), x


def jvp(f, x):
    return lambda x: jax.jvp(f, (x,), (like(x),)), x


def vjp(f, x):
    def transformed(x):
        y, pull = jax.vjp(f, x)
        return y, pull(like(y))

    return transformed, x


def by_scale(derivative):
    """Take derivatives by one number, that the results stay small."""

    def transformation(f, x):
        def transformed(x):
            return derivative(lambda s: f({**x, "scale": s}))(x["scale"])

        return transformed, x

    return transformation


def stacked(x, axis):
    """Make a batch of x and other numbers."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves, axis), x, like(x))


def vmap(f, x):
    return jax.vmap(f), stacked(x, 0)


def vmap_last(f, x):
    return jax.vmap(f, in_axes=-1, out_axes=-1), stacked(x, -1)


def vmap_vectors(f, x):
    """Batch vectors alone: there is one matrix, and one draw of it."""
    axes = {"v": -1, "b": 0, "loc": None, "scale": None}
    batch = stacked(x, 0) | {"v": stacked(x["v"], -1)}
    batch |= {name: x[name] for name, axis in axes.items() if axis is None}
    return jax.vmap(f, in_axes=(axes,), out_axes=-1), batch


def jit(f, x):
    return jax.jit(f), x


def scan(f, x):
    def transformed(x):
        def step(x, _):
            return jax.tree.map(lambda leaf: 0.9 * leaf, x), f(x)

        return jax.lax.scan(step, x, length=2)

    return transformed, x


def remat(f, x):
    return jax.checkpoint(f), x


@functools.cache
def mesh():
    auto = (jax.sharding.AxisType.Auto,)
    return jax.make_mesh((BATCH,), ("batch",), axis_types=auto)


def shard_map(f, x):
    """Cut a batch over devices."""
    cut = P("batch")
    over = jax.shard_map(jax.vmap(f), mesh=mesh(), in_specs=cut, out_specs=cut)
    return over, stacked(x, 0)


TRANSFORMATIONS = {
    "grad": grad,
    "jvp": jvp,
    "vjp": vjp,
    "jacfwd": by_scale(jax.jacfwd),
    "hessian": by_scale(jax.hessian),
    "vmap": vmap,
    "vmap_last": vmap_last,
    "vmap_vectors": vmap_vectors,
    "jit": jit,
    "scan": scan,
    "remat": remat,
    "shard_map": shard_map,
}


def orders(depth, every=1):
    """Give all orders, but those that cut over one mesh twice, which JAX refuses."""
    found = [
        order
        for order in itertools.product(TRANSFORMATIONS, repeat=depth)
        if order.count("shard_map") < 2
    ]
    return found[::every]


def transformed(f, order):
    """Apply an order of transformations, the first innermost; f and its argument."""
    x = jax.tree.map(jnp.asarray, X)
    for name in order:
        f, x = TRANSFORMATIONS[name](f, x)
    return f, x


# Compiling is what takes time, and optimizing is the larger part of it.
QUICKLY = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}


def compare(order, backend, **how):
    """Hold what an order makes of the products to what it makes of their like."""
    compiled = functools.partial(jax.jit, **how) if how else lambda f: f
    made = functools.partial(products, backend=backend)
    got, want = (
        compiled(f)(x) for f, x in (transformed(f, order) for f in (made, written_out))
    )
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(want), strict=True
    ):
        where = f"{' of '.join(reversed(order))}: {jax.tree_util.keystr(path)}"
        near = 1e-7 * max(1.0, float(np.abs(b).max(initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=0, atol=near, err_msg=where)


@pytest.mark.parametrize("order", orders(1), ids=" ".join)
def test_each_without_a_jit_around_it(order, backend, x64):
    compare(order, backend)


@pytest.mark.parametrize("order", orders(1) + orders(2, EVERY_SECOND), ids=" of ".join)
def test_one_and_two(order, backend, x64):
    compare(order, backend, compiler_options=QUICKLY)


@pytest.mark.parametrize("order", orders(3, EVERY_THIRD), ids=" of ".join)
def test_three(order, backend, x64):
    compare(order, backend, compiler_options=QUICKLY)
