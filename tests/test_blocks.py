# SPDX-License-Identifier: Apache-2.0
"""A matrix made of matrices: one product, and the bits of the sum of its blocks'."""

import brainunit as u
import jax
import jax.numpy as jnp
import numba
import numpy as np
import pytest

import synjit
from synjit import reference
from synjit.backends.numba_cpu import events as kernels
from synjit.backends.numba_cpu import weights
from synjit.reference import quantile_table
from synjit.registry import registry

# Rows and columns of the groups; three chunks of one block, a part of one of another.
ROWS, COLUMNS = (2300, 40, 700), (300, 21)
# (row, column): w_loc, w_scale, prob. The second row has one block.
BLOCKS = {
    (0, 0): (0.3, 0.1, 0.1),
    (0, 1): (-1.7, 0.2, 0.02),
    (1, 1): (0.7, 0.0, 0.9),
    (2, 0): (-0.1, 0.3, 0.004),
    (2, 1): (1.1, 0.1, 0.3),
}


def matrix(place, backend=None, unit=1.0, **other):
    w_loc, w_scale, prob = BLOCKS[place]
    i, j = place
    return synjit.JITNormal(
        w_loc * unit,
        w_scale * unit,
        prob,
        7 * i + j,
        shape=(ROWS[i], COLUMNS[j]),
        backend=backend,
        **other,
    )


def grid(make):
    return [
        [make((i, j)) if (i, j) in BLOCKS else None for j in range(len(COLUMNS))]
        for i in range(len(ROWS))
    ]


def blocks(backend=None, **other):
    return synjit.JITBlocks(grid(lambda place: matrix(place, backend, **other)))


def events(*batch, seed=0, fraction=0.2):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.random((sum(COLUMNS), *batch)) < fraction)


def values(length, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=length), jnp.float32)


def one_by_one(x, backend):
    """The sum, block by block from the left, of products of their own."""
    parts = jnp.split(x, np.cumsum(COLUMNS[:-1]))
    rows = []
    for i in range(len(ROWS)):
        total = None
        for j, part in enumerate(parts):
            if (i, j) in BLOCKS:
                product = matrix((i, j), backend) @ part
                total = product if total is None else total + product
        rows.append(total)
    return jnp.concatenate(rows)


def assert_same_bits(got, want):
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    assert np.asarray(got).tobytes() == np.asarray(want).tobytes()


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("fraction", [0.0, 0.003, 0.2, 1.0])
def test_events_give_the_bits_of_the_sum(batch, fraction, backend):
    x = events(*batch, fraction=fraction)
    want = one_by_one(x, backend)
    assert_same_bits(blocks(backend) @ x, want)
    assert_same_bits(jax.jit(lambda b, x: b @ x)(blocks(backend), x), want)
    as_floats = synjit.Events(x.astype(jnp.float32))
    assert_same_bits(blocks(backend) @ as_floats, want)


@pytest.mark.parametrize("columns", [1, 63, 64, 65])
@pytest.mark.parametrize("wide", [False, True])
def test_few_columns_and_many_give_the_bits_of_the_sum(columns, wide, backend):
    """CPU kernels have accumulators of 32 bits where the sums of a row fit them."""
    shape = (1100, columns)
    pair = [
        synjit.JITLogNormal(0.5, 1.0, 1, sigma=2.0, shape=shape, backend=backend)
        if wide
        else synjit.JITNormal(-0.1, 0.3, 1.0, 1, shape=shape, backend=backend),
        synjit.JITConstant(0.7, 0.9, 2, shape=shape, backend=backend),
    ]
    x = jnp.ones(columns, bool)
    got = synjit.JITBlocks([pair]) @ jnp.concatenate([x, x])
    assert_same_bits(got, pair[0] @ x + pair[1] @ x)


# What is compiled as a part of a kernel cannot be called but by compiled functions.


@numba.njit
def largest(table):
    return weights.largest(table)


@numba.njit
def is_narrow(columns, bound):
    return kernels.is_narrow(columns, bound)


def test_no_accumulator_of_32_bits_overflows():
    """What a table of any words can give is bounded."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**32, 100_000, dtype=np.uint32)
    laws = reference.Normal(), reference.Constant(), reference.LogNormal(1.0)
    normal, _, lognormal = tables = [law.table for law in laws]
    for size in (quantile_table.SYMMETRIC_WORDS, quantile_table.GENERAL_WORDS):
        table = rng.integers(0, 2**32, size, dtype=np.uint32)
        tables += [table, table >> np.uint32(8), table & np.uint32(0xFF801FFF)]
    for table in tables:
        z = abs(quantile_table.look_up(table, words).astype(np.int64)).max()
        bound = int(largest(table))
        assert z <= bound
        for n in filter(lambda n: is_narrow(n, bound), (1, 16, 63, 64, 2000)):
            assert n < 2**kernels.NARROW_N_BITS
            assert n * bound < 2 ** (31 - kernels.NARROW_N_BITS)
    assert is_narrow(63, largest(normal))
    assert not is_narrow(64, largest(normal))
    assert not is_narrow(2, largest(lognormal))


def test_it_is_one_product_where_the_backend_has_one(backend):
    text = jax.jit(lambda x: blocks(backend) @ x).lower(events()).as_text()
    if registry().backends[backend].supports_weighted:
        assert text.count("synjit_numba_") == 1


def test_explained(backend):
    b = blocks(backend)
    explained = synjit.explain("weighted", grid=b.grid, platform="cpu", backend=backend)
    assert explained.backend == backend
    assert "weighted, shape (3040, 321)" in str(explained)
    with pytest.raises(ValueError, match="take a grid"):
        synjit.explain("weighted")
    with pytest.raises(ValueError, match="take a grid"):
        synjit.explain("events", grid=b.grid)
    with pytest.raises(ValueError, match="not multiplied transposed"):
        synjit.explain("weighted", grid=b.grid, transpose=True)


def test_dense_and_floats(backend):
    b = blocks(backend)
    dense = b.todense()
    assert dense.shape == b.shape == (sum(ROWS), sum(COLUMNS))
    for place, block in BLOCKS.items():
        i, j = place
        top, left = sum(ROWS[:i]), sum(COLUMNS[:j])
        window = dense[top : top + ROWS[i], left : left + COLUMNS[j]]
        assert_same_bits(window, matrix(place, backend).todense())
        assert abs(float((window != 0).mean()) - block[2]) < 0.05
    assert not dense[ROWS[0] : ROWS[0] + ROWS[1], : COLUMNS[0]].any()
    x = values(sum(COLUMNS))
    np.testing.assert_allclose(b @ x, dense @ x, rtol=1e-4, atol=1e-4)


def test_transposed_and_from_the_left(backend):
    b = blocks(backend)
    dense = b.todense()
    y = values(sum(ROWS))
    fired = y > 0.5
    assert b.T.shape == b.shape[::-1]
    for left, factor in ((y, y), (fired, fired.astype(jnp.float32))):
        want = dense.T @ factor
        np.testing.assert_allclose(b.T @ left, want, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(left @ b, want, rtol=1e-4, atol=1e-4)
    marked = synjit.Events(jnp.stack([y, -y])) @ b
    both = jnp.stack([y > 0, y < 0]).astype(jnp.float32)
    np.testing.assert_allclose(marked, both @ dense, rtol=1e-4, atol=1e-3)
    x = events()
    assert_same_bits(x @ b.T, b @ x)


def test_pre_post_blocks_are_event_driven_from_the_left(backend):
    other = synjit.JITBlocks(
        [
            [
                synjit.JITNormal.pre_post(
                    0.5, 0.1, 0.1, 3, shape=(300, 500), backend=backend
                ),
                synjit.JITNormal.pre_post(
                    0.5, 0.1, 0.1, 4, shape=(300, 20), backend=backend
                ),
            ]
        ]
    )
    x = events()[:300]
    parts = [x @ block for block in other.blocks[0]]
    assert_same_bits(x @ other, jnp.concatenate(parts))


def test_the_origin_cuts_rows_out(backend):
    b = blocks(backend)
    x = events()
    lower = synjit.JITBlocks(
        [
            [
                synjit.JITNormal(
                    *BLOCKS[0, j][:3],
                    j,
                    shape=(300, COLUMNS[j]),
                    origin=(2000, 0),
                    backend=backend,
                )
                for j in range(2)
            ]
        ]
    )
    assert_same_bits(lower @ x, (b @ x)[2000:2300])

    def traced(first):
        leaves = [[block.replace(origin=(first, 0)) for block in lower.blocks[0]]]
        return synjit.JITBlocks(leaves) @ x

    assert_same_bits(jax.jit(traced)(2000), lower @ x)
    assert np.isnan(jax.jit(traced)(-1)).all()


@pytest.mark.parametrize("number", ["1", "2", "3", "0"])
def test_any_number_of_threads_gives_the_same_bits(number, monkeypatch):
    monkeypatch.setenv("SYNJIT_NUM_THREADS", "1")
    shapes = [(40_000, 3_000), (2_000, 3_000)]
    large = synjit.JITBlocks(
        [
            [synjit.JITNormal(0.3, 0.1, p, i, shape=shape) for i, p in enumerate(probs)]
            for shape, probs in zip(shapes, [(0.1, 1e-4), (0.5, 0.01)], strict=True)
        ]
    )
    x = jnp.asarray(np.random.default_rng(2).random(6000) < 0.05)
    want = large @ x
    monkeypatch.setenv("SYNJIT_NUM_THREADS", number)
    for _ in range(5):
        assert_same_bits(large @ x, want)


def test_derivatives_are_those_of_the_dense_matrix(backend):
    x, by = values(sum(COLUMNS)), values(sum(ROWS), 1)

    def loss(locs, scales, x, product):
        def make(place):
            at = list(BLOCKS).index(place)
            new = matrix(place, backend)
            return new.replace(w_loc=locs[at], w_scale=scales[at])

        return by @ product(synjit.JITBlocks(grid(make)), x)

    locs, scales, _ = (
        jnp.array(v, jnp.float32) for v in zip(*BLOCKS.values(), strict=True)
    )

    def through_events(b, x):
        return b @ synjit.Events(x)

    got = jax.grad(loss, (0, 1, 2))(locs, scales, x, through_events)
    fired = (x > 0).astype(jnp.float32)
    want = jax.grad(loss, (0, 1))(locs, scales, fired, lambda b, x: b.todense() @ x)
    for a, b in zip(got, want, strict=False):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-2)
    dense = blocks(backend).todense()
    np.testing.assert_allclose(got[2], by @ dense, rtol=1e-3, atol=1e-3)
    _, forward = jax.jvp(
        lambda locs: loss(locs, scales, x, through_events), (locs,), (jnp.ones(5),)
    )
    np.testing.assert_allclose(forward, got[0].sum(), rtol=1e-4)
    of_floats = jax.grad(loss, 2)(locs, scales, x, lambda b, x: b @ x)
    np.testing.assert_allclose(of_floats, by @ dense, rtol=1e-3, atol=1e-3)


def test_batched_by_vmap(backend):
    many = events(4)
    b = blocks(backend)
    got = jax.vmap(lambda x: b @ x, in_axes=1, out_axes=1)(many)
    assert_same_bits(got, b @ many)
    factors = jnp.array([1.0, 2.0])
    got = jax.vmap(lambda f: (b * f) @ many[:, 0])(factors)
    want = jnp.stack([(b * f) @ many[:, 0] for f in factors])
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_probs_and_seeds_may_be_traced(backend):
    x = events()

    def product(prob, seed):
        new = matrix((2, 1), backend).replace(prob=prob)
        other = synjit.JITNormal(1.1, 0.1, 0.3, seed, shape=(700, 300), backend=backend)
        return synjit.JITBlocks([[other, new]]) @ x

    got = jax.jit(product)(0.3, 5)
    assert_same_bits(got, product(0.3, 5))
    assert np.isnan(jax.jit(product)(1.5, 5)).all()


def test_what_is_invalid_makes_nan_of_its_own_rows(backend):
    x = events()

    def product(prob):
        b = grid(lambda place: matrix(place, backend))
        b[1][1] = b[1][1].replace(prob=prob)
        return synjit.JITBlocks(b) @ x

    got, right = jax.jit(product)(1.5), blocks(backend) @ x
    assert np.isnan(got[ROWS[0] : -ROWS[2]]).all()
    assert_same_bits(got[: ROWS[0]], right[: ROWS[0]])
    assert_same_bits(got[-ROWS[2] :], right[-ROWS[2] :])


@pytest.mark.parametrize("probs", [(1.5, 0.3), (0.3, 1.5)])
def test_one_invalid_block_is_enough(probs, backend):
    x = events()

    @jax.jit
    def product(first, second):
        b = grid(lambda place: matrix(place, backend))
        b[2][0] = b[2][0].replace(prob=first)
        b[2][1] = b[2][1].replace(prob=second)
        return synjit.JITBlocks(b) @ x

    got = product(*probs)[-ROWS[2] :]
    assert np.isnan(got).all()


def test_no_vectors(backend):
    b = blocks(backend)
    assert (b @ jnp.zeros((sum(COLUMNS), 0), bool)).shape == (sum(ROWS), 0)
    block = b.blocks[0][0]
    assert (block @ jnp.zeros((COLUMNS[0], 0), bool)).shape == (ROWS[0], 0)
    none = jnp.zeros((sum(COLUMNS), 0), bool)
    got = jax.vmap(lambda x: b @ x, in_axes=1, out_axes=1)(none)
    assert got.shape == (sum(ROWS), 0)


def test_batched_over_weights_it_draws_once(backend):
    b = blocks(backend)
    x = events()
    factors = jnp.arange(4, dtype=jnp.float32)
    program = jax.vmap(lambda f: (b * f) @ x)
    assert "while" not in jax.jit(program).lower(factors).as_text()
    want = jnp.stack([(b * f) @ x for f in factors])
    np.testing.assert_allclose(program(factors), want, rtol=1e-5, atol=1e-5)


def test_units(backend):
    plain = blocks(backend) @ events()
    weighted = blocks(backend, unit=u.pA) @ events()
    np.testing.assert_array_equal(weighted.to_decimal(u.pA), plain)
    whole = synjit.JITBlocks(
        grid(
            lambda place: matrix(
                place, backend, unit=u.pA if place == (0, 0) else 1e-3 * u.nA
            )
        )
    )
    mixed = whole @ events()
    np.testing.assert_allclose(mixed.to_decimal(u.pA), plain, rtol=1e-5, atol=1e-5)
    dense = whole.todense()
    np.testing.assert_allclose(
        dense.to_decimal(u.pA), blocks(backend).todense(), rtol=1e-5
    )
    x = values(sum(COLUMNS)) * u.mV
    charge = whole @ x
    np.testing.assert_allclose(
        charge.to_decimal(u.pA * u.mV), blocks(backend) @ x.mantissa, atol=1e-4
    )
    doubled = (whole * 2.0) @ events()
    np.testing.assert_allclose(doubled.to_decimal(u.pA), 2 * plain, atol=1e-4)


def test_the_dtype_is_what_jax_promotes_the_factors_to(backend, x64):
    x = events()

    def of(dtype):
        def make(place):
            new = matrix(place, backend)
            return new.replace(w_loc=dtype(new.w_loc), w_scale=dtype(new.w_scale))

        return synjit.JITBlocks(grid(make))

    for dtype, tolerance in ((np.float16, 1e-2), (np.float32, 1e-5), (float, 1e-12)):
        b = of(jnp.dtype(dtype).type)
        result = b @ x
        assert result.dtype == b.dtype == dtype
        want = b.todense().astype(np.float64) @ x.astype(np.float64)
        np.testing.assert_allclose(result, want, rtol=tolerance, atol=10 * tolerance)


def test_mixed_dtypes_give_that_of_the_sum(backend):
    x = events()
    b = grid(lambda place: matrix(place, backend))
    b[0][1] = b[0][1].replace(w_loc=np.float16(0.5), w_scale=np.float16(0.25))
    mixed = synjit.JITBlocks(b)
    assert (mixed @ x).dtype == mixed.dtype == mixed.todense().dtype == np.float32


def test_what_is_not_a_number_stays_in_its_rows(backend):
    for weight in (np.nan, np.inf, -0.0):
        b = grid(lambda place: matrix(place, backend))
        b[0][1] = b[0][1].replace(w_loc=weight)
        for fraction in (0.0, 0.2):
            x = events(fraction=fraction)
            parts = jnp.split(x, np.cumsum(COLUMNS[:-1]))
            want = b[0][0] @ parts[0] + b[0][1] @ parts[1]
            got = synjit.JITBlocks(b) @ x
            assert_same_bits(got[: ROWS[0]], want)
            assert_same_bits(got[ROWS[0] :], (blocks(backend) @ x)[ROWS[0] :])
    negative = matrix((1, 1), backend).replace(w_loc=-1.0, w_scale=-0.0)
    x = jnp.zeros(COLUMNS[1], bool)
    got = synjit.JITBlocks([[negative, negative]]) @ jnp.concatenate([x, x])
    assert_same_bits(got, negative @ x + negative @ x)  # which is -0
    assert np.signbit(np.asarray(got)).all()


def test_empty_groups(backend):
    def of(m, n):
        return synjit.JITNormal(1.0, 0.1, 0.5, 1, shape=(m, n), backend=backend)

    b = synjit.JITBlocks([[of(5, 0), of(5, 3)], [of(0, 0), of(0, 3)]])
    x = jnp.array([True, False, True])
    assert_same_bits(b @ x, jnp.zeros(5) + of(5, 3) @ x)
    alone = synjit.JITBlocks([[of(5, 0)]])
    assert (alone @ jnp.zeros(0, bool)).tolist() == [0.0] * 5


def test_it_is_a_pytree_and_says_what_it_is():
    b = blocks()
    again = jax.tree.unflatten(jax.tree.structure(b), jax.tree.leaves(b))
    assert_same_bits(again @ events(), b @ events())
    assert b.dtype == np.float32
    assert b.blocks[1][0] is None
    assert repr(b).startswith("JITBlocks([[JITNormal(w_loc=0.3, ")
    scaled = (-b) / 2.0
    np.testing.assert_allclose(scaled @ events(), -(b @ events()) / 2, rtol=1e-6)


def test_leaves_may_be_replaced():
    starts = jnp.array([[1, 2], [3, 4]])
    x = jnp.ones(5, bool)
    whole = of_shape(5, 5)
    got = jax.vmap(lambda start: whole.replace(origin=tuple(start)) @ x)(starts)
    want = [of_shape(5, 5, origin=start) @ x for start in ((1, 2), (3, 4))]
    np.testing.assert_array_equal(got, jnp.stack(want))
    leaves, tree = jax.tree.flatten(whole.replace(origin=tuple(starts[0])))
    filled = jax.tree.unflatten(tree, [object() for _ in leaves])
    assert jax.tree.structure(filled) == tree


def of_shape(*shape, **other):
    return synjit.JITNormal(1.0, 0.1, 0.5, 1, shape=shape, **other)


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (3, TypeError, "a sequence of rows"),
        ([], ValueError, "must not be empty"),
        ([[]], ValueError, "must not be empty"),
        ([[of_shape(2, 2), "x"]], TypeError, "got str in row 0, column 1"),
        ([[of_shape(2, 2)], []], ValueError, "row 1 has 0"),
        ([[of_shape(2, 2), of_shape(3, 2)]], ValueError, "row 0, column 1 has 3"),
        ([[of_shape(2, 2)], [of_shape(2, 4)]], ValueError, "row 1, column 0 has 4"),
        ([[of_shape(2, 2), None]], ValueError, "column 1 of the blocks has no matrix"),
        (
            [[of_shape(2, 2), of_shape(2, 2, backend="numba")]],
            ValueError,
            "same backend",
        ),
    ],
)
def test_what_is_no_grid(wrong, error, words):
    with pytest.raises(error, match=words):
        synjit.JITBlocks(wrong)


def test_what_cannot_be_multiplied():
    b = blocks()
    with pytest.raises(ValueError, match=r"\(321,\)"):
        b @ jnp.zeros(320)
    with pytest.raises(TypeError, match=r"x must be an array, got 2\.0"):
        b @ 2.0
    for shape in ((), (321, 1, 1)):
        with pytest.raises(TypeError, match="one or two axes"):
            b @ jnp.zeros(shape)
    with pytest.raises(TypeError, match="scaled by a number"):
        b * jnp.zeros(3)
    with pytest.raises(u.DimensionMismatchError, match="row 0, column 1"):
        synjit.JITBlocks([[of_shape(2, 2), of_shape(2, 2) * u.mV]])


def test_self_connections_of_a_block_that_is_off_the_diagonal():
    def of_inhibitory(**origin):
        return synjit.JITNormal(
            1.0, 0.1, 1.0, 2, shape=(6, 2), self_connections=False, **origin
        )

    E = synjit.JITNormal(1.0, 0.1, 1.0, 1, shape=(6, 4), self_connections=False)
    with pytest.warns(RuntimeWarning, match=r"row 0, column 1 .* origin=\(0, 4\)"):
        wrong = synjit.JITBlocks([[E, of_inhibitory()]])
    assert np.count_nonzero(wrong.diagonal()) == 2
    right = synjit.JITBlocks([[E, of_inhibitory(origin=(0, 4))]])
    assert not np.any(right.diagonal())
    assert right.nnz == 30
    assert np.array_equal(right.T.todense(), right.todense().T)  # no warning
    with pytest.warns(RuntimeWarning, match=r"row 1, column 0 .* origin=\(0, 4\)"):
        synjit.JITBlocks([[E.T], [of_inhibitory().T]])
    # Rows and columns are not the same neurons.
    synjit.JITBlocks([[E], [E.replace(seed=3)]])
