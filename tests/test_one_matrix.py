# SPDX-License-Identifier: Apache-2.0
"""One seed, one matrix: whatever the product, direction, order or batch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import synjit
from synjit import combine, primitives, reference
from synjit.hookspecs import Matrix, Problem

PROBS = [0.0, 1e-4, 0.01, 0.1, 0.3, 0.5, 0.77, 0.9, 1.0]
SHAPES = [(1, 1), (1, 7), (129, 257), (2000, 300)]
PATTERNS = ["none", "one", "random", "all"]
SEED = 20140785
NORMAL = reference.Normal().table


@functools.cache
def reference_matrix(prob, shape):
    """N and Z per column of the identity: the dense matrix as the reference has it."""
    return reference.Matrix(SEED, prob, shape).dense()


def exact_sums(prob, shape, events, transpose=False):
    """N and Z of the reference, through its dense matrix."""
    z = reference_matrix(prob, shape)
    mask = (z != reference.ABSENT).astype(np.int64)
    z = np.where(mask, z, 0).astype(np.int64)
    if transpose:
        mask, z = mask.T, z.T
    return mask @ events.astype(np.int64), z @ events.astype(np.int64)


def make_events(length, pattern, batch=1):
    rng = np.random.default_rng(length)
    return {
        "none": np.zeros((length, batch), bool),
        "one": np.broadcast_to(
            np.arange(length)[:, None] == length // 2, (length, batch)
        ),
        "random": rng.random((length, batch)) < 0.3,
        "all": np.ones((length, batch), bool),
    }[pattern]


def stated(product, prob, shape, transpose=False, corder=True):
    """State a product in the words of the contract."""
    log2_chunk, words = reference.count_distribution(prob).log2_chunk, len(NORMAL)
    given = (product, shape, transpose, 0, "int32", corder, log2_chunk, words)
    return Problem(*given, platform="")


def operands(prob, origin=(0, 0)):
    return Matrix(
        np.array(reference.seed_words(SEED), np.uint32),
        np.array(origin, np.uint32),
        reference.count_distribution(prob).encode(),
        NORMAL,
    )


def sums(prob, shape, events, *, transpose=False, corder=True, backend=None):
    problem = stated("events", prob, shape, transpose, corder)
    return primitives.product(operands(prob), jnp.asarray(events), problem, backend)


@pytest.mark.parametrize(
    ("prob", "shape"),
    [(prob, SHAPES[-1]) for prob in PROBS]
    + [(prob, shape) for prob in (0.01, 0.5) for shape in SHAPES[:-1]],
)
def test_counts_and_sums_are_the_reference_s(prob, shape, backend):
    for transpose in (False, True):
        length = shape[0] if transpose else shape[1]
        # All patterns as one batch, and each alone: two ways through a kernel.
        columns = np.hstack([make_events(length, pattern) for pattern in PATTERNS])
        expected = exact_sums(prob, shape, columns, transpose)
        together = sums(prob, shape, columns, transpose=transpose, backend=backend)
        np.testing.assert_array_equal(together, expected)
        for i in range(len(PATTERNS)):
            alone = sums(
                prob, shape, columns[:, i : i + 1], transpose=transpose, backend=backend
            )
            np.testing.assert_array_equal(
                np.array(alone)[..., 0], np.array(expected)[..., i]
            )


@pytest.mark.parametrize("prob", [0.01, 0.77])
def test_a_large_matrix_is_the_reference_s(prob, backend):
    shape = (5000, 1000)  # several parts of rows and of columns
    events = make_events(1000, "random")
    got = sums(prob, shape, events, backend=backend)
    np.testing.assert_array_equal(got, exact_sums(prob, shape, events))
    back = make_events(5000, "random")
    got = sums(prob, shape, back, transpose=True, backend=backend)
    np.testing.assert_array_equal(got, exact_sums(prob, shape, back, transpose=True))


@pytest.mark.parametrize("prob", [0.01, 0.5, 1.0])  # of chunks long and short
def test_corder_changes_nothing(prob, backend):
    shape = (2000, 300)
    for transpose in (False, True):
        events = make_events(shape[0] if transpose else shape[1], "random", 3)
        rows_first, columns_first = (
            sums(
                prob, shape, events, transpose=transpose, corder=corder, backend=backend
            )
            for corder in (True, False)
        )
        np.testing.assert_array_equal(rows_first, columns_first)


@pytest.mark.quick
@pytest.mark.parametrize("prob", [0.0, 0.01, 0.5, 1.0])
def test_every_product_sees_the_dense_matrix(prob, backend):
    shape = (300, 200)
    given = (0.7, 0.3, prob)
    options = {"shape": shape, "backend": backend}
    dense = np.asarray(synjit.jitn(*given, SEED, **options), np.float64)
    transposed = synjit.jitn(*given, SEED, transpose=True, **options)
    np.testing.assert_array_equal(transposed, dense.T.astype(np.float32))
    matrix = synjit.JITNormal(*given, SEED, **options)
    np.testing.assert_array_equal(matrix.todense(), dense.astype(np.float32))

    # A rounding error is of the size of the two terms of a weight, not of their sum.
    mask = dense != 0
    size = 0.7 * mask + np.abs(dense - 0.7 * mask)
    rng = np.random.default_rng(3)
    for w, sizes, transpose in ((dense, size, False), (dense.T, size.T, True)):
        events = rng.random((w.shape[1], 4)) < 0.3
        values = rng.normal(size=(w.shape[1], 4)).astype(np.float32)
        options["transpose"] = transpose
        as_object = matrix.T if transpose else matrix
        for x, mv, mm in (
            (events, synjit.binary_jitnmv, synjit.binary_jitnmm),
            (values, synjit.jitnmv, synjit.jitnmm),
        ):
            expected = w @ x
            bound = 2e-6 * (sizes @ np.abs(x))
            many = mm(*given, jnp.asarray(x), SEED, **options)
            assert np.all(np.abs(many - expected) <= bound)
            at = as_object @ jnp.asarray(x)
            np.testing.assert_array_equal(at, many)
            np.testing.assert_array_equal(jnp.asarray(x).T @ as_object.T, many.T)
            one = np.stack(
                [mv(*given, jnp.asarray(x[:, i]), SEED, **options) for i in range(4)], 1
            )
            if x is events:
                np.testing.assert_array_equal(one, many)
            else:
                assert np.all(np.abs(one - expected) <= bound)


@pytest.mark.parametrize("w", [np.float32(0.3), np.float64(0.3)])
@pytest.mark.usefixtures("x64")
def test_an_entry_is_what_one_event_gives(w, backend):
    """To the bit, in every program: a fused multiply-add would round otherwise."""
    shape = (2000, 7)
    event = np.arange(7) == 3

    def column(seed):
        matrix = synjit.jitn(w, w / 3, 0.5, seed, shape=shape, backend=backend)
        return matrix[:, 3]

    def product(seed):
        return synjit.binary_jitnmv(
            w, w / 3, 0.5, event, seed, shape=shape, backend=backend
        )

    right = product(42)
    assert right.dtype == w.dtype
    assert np.count_nonzero(right) > 900
    for f in (column, jax.jit(column), jax.jit(product)):
        np.testing.assert_array_equal(f(42), right)


@pytest.mark.quick
def test_a_smaller_shape_is_the_corner(backend):
    large = synjit.jitn(1.0, 0.1, 0.1, SEED, shape=(3000, 40), backend=backend)
    small = synjit.jitn(1.0, 0.1, 0.1, SEED, shape=(1029, 17), backend=backend)
    np.testing.assert_array_equal(large[:1029, :17], small)


def test_events_are_a_tree_of_anything():
    given = synjit.Events(jnp.ones(5))
    assert jax.tree.map(lambda v: (v.shape, v.dtype), given).value == ((5,), "float32")
    outer, inner = jax.tree.structure([0, 0]), jax.tree.structure(synjit.Events(0))
    turned = jax.tree.transpose(outer, inner, [given, synjit.Events(jnp.ones(3))])
    assert [v.shape for v in turned.value] == [(5,), (3,)]


def test_pre_post_is_the_transpose_in_the_cheap_direction(backend):
    w = synjit.JITNormal.pre_post(1.0, 0.1, 0.2, SEED, shape=(90, 40), backend=backend)
    stored = synjit.JITNormal(1.0, 0.1, 0.2, SEED, shape=(40, 90), backend=backend)
    assert w.shape == (90, 40)
    np.testing.assert_array_equal(w.todense(), stored.todense().T)
    spikes = jnp.arange(90) % 3 == 0
    np.testing.assert_array_equal(spikes @ w, stored @ spikes)
    jaxpr = str(jax.make_jaxpr(lambda s: s @ w)(spikes))
    assert "synjit_weighted" in jaxpr
    assert "transpose=True" not in jaxpr


@pytest.mark.quick
@pytest.mark.parametrize("origin", [(1, 0), (700, 3), (1023, 0), (1024, 5), (5000, 77)])
def test_a_window_is_that_part_of_the_matrix(origin, backend):
    prob, shape = 0.1, (1300, 30)
    matrix = operands(prob, origin)
    window = reference.Matrix(SEED, prob, shape, origin)
    dense = primitives.dense(matrix, stated("dense", prob, shape), backend)
    np.testing.assert_array_equal(dense, window.dense())
    for transpose in (False, True):
        events = make_events(shape[0] if transpose else shape[1], "random", 2)
        problem = stated("events", prob, shape, transpose)
        got = primitives.product(matrix, jnp.asarray(events), problem, backend)
        np.testing.assert_array_equal(got, window.events(events, transpose))


@pytest.mark.quick
@pytest.mark.parametrize("scale", [-1.7, 1e-30, -3e-34, 1e-36])
def test_weights_of_any_size_are_weighed_to_the_bit(scale):
    """1e-36 * 2**-16 is subnormal, which XLA may take for 0, and the weight is not."""
    z = np.array([123456789, -99999999, 65537 * 64, -(2**29)], np.int32)
    n, scale, loc = np.ones_like(z), np.float32(scale), np.float32(0)
    want = reference.weigh(loc, scale, n, z)
    np.testing.assert_array_equal(jax.jit(combine.weigh)(loc, scale, n, z), want)
    np.testing.assert_array_equal(jax.jit(combine.entries)(loc, scale, z), want)
