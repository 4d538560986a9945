# SPDX-License-Identifier: Apache-2.0
"""A sharded matrix has the bits of one device, however it is cut."""

import functools
import re

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from long import long_unless

import synjit
from synjit import cut

M, N, K = 53, 37, 4  # of which no number of devices above 1 divides the first two
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, K)).astype(np.float32)
Y = RNG.normal(size=(M, K)).astype(np.float32)

# The mesh's shape, and what its axes "a" and "b" cut.
LAYOUTS = {
    **{f"rows over {n}": ((n,), {"rows": "a"}) for n in (1, 2, 3, 4, 8)},
    **{f"columns over {n}": ((n,), {"columns": "a"}) for n in (1, 2, 3, 4, 8)},
    **{
        f"rows and columns over {m} x {n}": ((m, n), {"rows": "a", "columns": "b"})
        for m, n in ((2, 1), (2, 2), (3, 1), (1, 3), (2, 4))
    },
    "batch and rows over 4 x 2": ((4, 2), {"batch": "a", "rows": "b"}),
    "batch and columns over 2 x 3": ((2, 3), {"batch": "a", "columns": "b"}),
    "rows over two axes, 2 x 4": ((2, 4), {"rows": ("a", "b")}),
}


def mesh(shape, kind=AxisType.Auto):
    names = ("a", "b")[: len(shape)]
    return jax.make_mesh(shape, names, axis_types=(kind,) * len(shape))


def single(loc, scale):
    return synjit.JITNormal(loc, scale, 0.3, 7, origin=(1000, 3), shape=(M, N))


def of_blocks(loc, scale):
    def block(seed, m, n):
        return synjit.JITNormal(loc * seed, scale, 0.3, seed, shape=(m, n))

    last = synjit.JITLogNormal(loc, 0.4, 5, sigma=0.5, shape=(33, 15))
    return synjit.JITBlocks([[block(3, 20, 22), block(4, 20, 15)], [None, last]])


MAKERS = {"single": single, "blocks": of_blocks}
WEIGHTS = (jnp.float32(0.5), jnp.float32(0.2))


class Whole:
    """A side of a matrix that is not cut."""

    place = staticmethod(jnp.asarray)
    collect = staticmethod(jnp.asarray)


def results(make, shard):
    """Make every product of a matrix, in the order of the whole.

    Returns those that are exact, and those that are within rounding.
    """

    S = shard(make(*WEIGHTS))
    rows, columns = getattr(S, "rows", Whole), getattr(S, "columns", Whole)
    x, y = columns.place(X), rows.place(Y)

    def of_weights(loc, scale):
        S = shard(make(loc, scale))
        right = rows.collect(S @ (x > 0))
        return right, columns.collect((y[:, 0] > 0) @ S)

    def surrogate(x):
        return rows.collect(S @ synjit.Events(columns.place(x)))

    one, none = jnp.float32(1), jnp.float32(0)
    values, back = jax.vjp(of_weights, *WEIGHTS)
    exact = {
        "batch of events, and events from the left": values,
        "events": rows.collect(S @ (x[:, 0] > 0)),
        "batch of events from the left": columns.collect(S.T @ (y > 0)),
        # The derivatives by the weights are N and Z of every row.
        "N": jax.jvp(of_weights, WEIGHTS, (one, none))[1],
        "Z": jax.jvp(of_weights, WEIGHTS, (none, one))[1],
        # Of a single row, the gradient is exact as well.
        "gradient": back((jnp.zeros((M, K)).at[M - 1, 0].set(1), jnp.zeros(N))),
        "gradient of T": back((jnp.zeros((M, K)), jnp.zeros(N).at[N - 1].set(1))),
    }
    exact["floats as events"], forward = jax.jvp(surrogate, (X,), (X,))
    floats = {
        "floats": rows.collect(S @ x[:, 0]),
        "batch of floats from the left": columns.collect(S.T @ y),
        "surrogate, forward": forward,
        "surrogate, reverse": jax.vjp(surrogate, X)[1](jnp.asarray(Y)),
    }
    return exact, floats


@functools.cache
def whole(name):
    made = jax.jit(lambda: results(MAKERS[name], lambda matrix: matrix))()
    return jax.tree.map(np.asarray, made)  # of no mesh, whoever asks first


def assert_as_whole(got, name):
    exact, floats = whole(name)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(exact["N"]))
    jax.tree.map(np.testing.assert_array_equal, got[0], exact)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=2e-5)
    jax.tree.map(close, got[1], floats)


SHORT = "rows over 3", "rows and columns over 2 x 4", "batch and rows over 4 x 2"


@pytest.mark.parametrize(
    "layout", long_unless(lambda _, layout: layout in SHORT, LAYOUTS)
)
def test_all_products_and_gradients(layout):
    shape, axes = LAYOUTS[layout]
    cut = functools.partial(synjit.JITNormal.shard, mesh=mesh(shape), **axes)
    assert_as_whole(jax.jit(lambda: results(single, cut))(), "single")


def test_sums_that_no_float32_holds_are_added_as_integers():
    matrix = synjit.JITNormal(0.0, 1.0, 1.0, 3, shape=(8, 2**17))
    S = matrix.shard(mesh((8,)), columns="a")
    x = np.ones(2**17, bool)
    right = np.asarray(matrix @ x)
    assert np.abs(right).max() > 2**24 / 2**16
    np.testing.assert_array_equal(S @ S.columns.place(x), right)
    floats = synjit.Events(S.columns.place(x.astype(np.float32)))
    np.testing.assert_array_equal(S @ floats, right)


@pytest.mark.parametrize(
    "layout",
    long_unless(
        lambda i, _: i == 2,
        ["rows over 3", "columns over 2", "rows and columns over 2 x 4"],
    ),
)
def test_every_block_keeps_its_window(layout):
    shape, axes = LAYOUTS[layout]
    cut = functools.partial(synjit.JITBlocks.shard, mesh=mesh(shape), **axes)
    assert_as_whole(jax.jit(lambda: results(of_blocks, cut))(), "blocks")


def test_a_mesh_of_explicit_axes():
    shape, axes = LAYOUTS["rows and columns over 2 x 4"]
    explicit = mesh(shape, AxisType.Explicit)
    cut = functools.partial(synjit.JITNormal.shard, mesh=explicit, **axes)
    with jax.set_mesh(explicit):
        S = cut(single(0.5, 0.2))
        x = S.columns.place(X)
        got = jax.jit(lambda x: S @ (x > 0))(x)
        assert jax.typeof(got).sharding.spec == P(("a", "b"), None)
        right = whole("single")[0]["floats as events"]
        np.testing.assert_array_equal(S.rows.collect(got), right)

        def loss(x):
            return jnp.sum((S @ synjit.Events(x)) ** 2)

        gradient = jax.jit(jax.vmap(jax.grad(loss), 1, 1))(x)
        assert jax.typeof(gradient).sharding.spec[0] == ("b", "a")
        each = jax.vmap(
            jax.grad(lambda x: jnp.sum((S.matrix @ synjit.Events(x)) ** 2)), 1, 1
        )(X)
        np.testing.assert_allclose(S.columns.collect(gradient), each, rtol=1e-4)


def test_dense():
    right = np.asarray(single(0.5, 0.2).todense())
    for layout in ("rows over 3", "rows and columns over 2 x 4"):
        shape, axes = LAYOUTS[layout]
        S = single(0.5, 0.2).shard(mesh(shape), **axes)
        got = np.asarray(S.todense())
        assert got.shape == S.shape
        np.testing.assert_array_equal(got[:M, :N], right)
        assert not got[M:].any()
        assert not got[:, N:].any()


def test_dense_blocks_have_the_order_of_the_vectors():
    shape, axes = LAYOUTS["rows and columns over 2 x 4"]
    S = of_blocks(0.5, 0.2).shard(mesh(shape), **axes)
    x = S.columns.place(X)
    np.testing.assert_allclose(S.todense() @ x, S @ x, rtol=1e-5, atol=2e-5)
    dense = S.rows.collect(S.columns.collect(S.todense().T).T)
    np.testing.assert_array_equal(dense, S.matrix.todense())


@pytest.mark.parametrize("axes", [{"rows": "a"}, {"columns": "a"}])
def test_rules_of_connections_are_those_of_the_whole(axes):
    matrix = synjit.JITConstant(
        1.0, synjit.FixedOutDegree(5), 7, shape=(40, 40), self_connections=False
    )
    S = matrix.shard(mesh((4,)), **axes)
    assert (S.todense().sum(0) == 5).all()
    assert not jnp.diagonal(S.todense()).any()
    np.testing.assert_array_equal(S.todense(), matrix.todense())
    x = np.arange(40) % 3 == 0
    np.testing.assert_array_equal(S @ S.columns.place(x), matrix @ x)
    np.testing.assert_array_equal(S.rows.place(x) @ S, x @ matrix)
    lower = synjit.JITConstant(
        1.0, synjit.FixedOutDegree(5, rows=100), 7, shape=(30, 40), origin=(60, 0)
    )
    got = lower.shard(mesh((4,)), **axes).todense()[:30]  # filled up to row 92
    np.testing.assert_array_equal(got, lower.todense())


def test_targets_are_chosen_among_the_rows_there_are():
    rule = synjit.FixedOutDegree(5)
    matrix = synjit.JITConstant(1.0, rule, 7, shape=(42, 40))
    with pytest.raises(ValueError, match="42 of them cannot be cut into 4 equal parts"):
        matrix.shard(mesh((4,)), rows="a")
    with pytest.raises(ValueError, match="42 of them cannot be cut into 4 equal parts"):
        matrix.T.shard(mesh((4,)), rows="a")


# --- what a device does -----------------------------------------------------------


def loads(S, x):
    """Windows that the primitives are asked for, and bytes that a device receives."""
    f = jax.jit(lambda x: S @ x)
    asked = re.findall(r"shape=\((\d+), (\d+)\)", str(jax.make_jaxpr(f)(x)))
    bits = {"pred": 8, "u8": 8, "s32": 32, "f32": 32}
    received = 0
    text = f.lower(x).compile().as_text()
    for kind, shape, op in re.findall(
        r"= \(?(\w+)\[([\d,]*)\]\S* (all-gather|reduce-scatter|all-reduce|all-to-all"
        r"|collective-permute)(?:-start)?\(",
        text,
    ):
        assert op in {"all-gather", "reduce-scatter"}
        count = np.prod([int(n) for n in shape.split(",")])
        received += int(count) * bits[kind] // 8
    return {tuple(map(int, shape)) for shape in asked}, received


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_a_device_draws_its_share_and_receives_packed_spikes_and_no_more(devices):
    n = 1280
    S = synjit.JITNormal(0.5, 0.2, 0.1, 7, shape=(n, n)).shard(
        mesh((devices,)), rows="a"
    )
    windows, received = loads(S, S.columns.place(np.arange(n) % 7 == 0))
    assert windows == {(n // devices, n)}
    assert received == (n // 8 if devices > 1 else 0)


def test_sums_of_cut_columns_are_exchanged_as_integers():
    n = 1280
    matrix = synjit.JITNormal(0.5, 0.2, 0.1, 7, shape=(n, n))
    S = matrix.shard(mesh((2, 4)), rows="a", columns="b")
    windows, received = loads(S, S.columns.place(np.arange(n) % 7 == 0))
    assert windows == {(n // 2, n // 4)}
    spikes_of_columns, n_and_z_of_part = n // 4 // 8, 2 * 4 * n // 8
    assert received == spikes_of_columns + n_and_z_of_part


@pytest.mark.parametrize("axes", [{"rows": "a"}, {"columns": "a"}])
def test_the_default_backend_is_the_devices_too(axes, backend):
    S = single(0.5, 0.2).shard(mesh((4,)), **axes)
    x = S.columns.place(X[:, 0] > 0)
    with synjit.default_backend(backend):
        text = str(jax.make_jaxpr(lambda x: S @ x)(x))
    assert f"backend={backend}" in text
    assert "backend=None" not in text


def test_results_stay_cut_in_a_loop():
    S = synjit.JITNormal(0.5, 0.2, 0.1, 7, shape=(64, 64)).shard(mesh((4,)), rows="a")

    @jax.jit
    def run(v):
        def step(v, _):
            v = 0.5 * v + S @ (v > 1)
            return v, None

        return jax.lax.scan(step, v, length=5)[0]

    start = np.linspace(0, 3, 64, dtype=np.float32)
    got = run(S.columns.place(start))
    assert got.sharding.spec == P("a")
    right = start
    for _ in range(5):
        right = np.float32(0.5) * right + np.asarray(S.matrix @ (right > 1))
    np.testing.assert_allclose(got, right, rtol=1e-6)


# --- the matrix as an object ------------------------------------------------------


def test_units():
    S = (single(0.5, 0.2) * u.mV).shard(mesh((2, 4)), rows="a", columns="b")
    x = S.columns.place(X[:, 0] > 0)
    got, right = S @ x, S.matrix @ (X[:, 0] > 0)
    assert got.unit == right.unit == u.mV
    np.testing.assert_array_equal(S.rows.collect(got.mantissa), right.mantissa)
    twice = (2 * S) @ x
    np.testing.assert_array_equal(twice.mantissa, 2 * got.mantissa)


def test_it_goes_through_jit_and_grad_as_a_pytree():
    S = single(0.5, 0.2).shard(mesh((4,)), rows="a")
    x = S.columns.place(X[:, 0] > 0)

    def loss(S):
        return jnp.sum(S @ x)

    gradient = jax.jit(jax.grad(loss))(S)
    n = whole("single")[0]["N"][0][:, 0]
    assert gradient.matrix.w_loc == n.sum()
    assert jax.tree.map(lambda leaf: leaf, S) == S
    assert S.T.T == S
    assert S.T.shape == S.shape[::-1]
    assert S.T != S


def test_traced_seeds_and_origins():
    over = mesh((2, 4))

    @jax.jit
    def f(seed, row, prob):
        matrix = synjit.JITNormal(0.5, 0.2, prob, seed, shape=(M, N), origin=(row, 3))
        S = matrix.shard(over, rows="a", columns="b")
        return S.rows.collect(S @ S.columns.place(X[:, 0] > 0))

    got = f(jnp.uint32(7), jnp.int32(1000), jnp.float32(0.3))
    np.testing.assert_array_equal(got, whole("single")[0]["events"])
    for row in (-1, 2**31 - 2):
        assert np.isnan(f(jnp.uint32(7), jnp.int32(row), jnp.float32(0.3))).all()


def test_inside_shard_map_the_plain_product_is_a_device_s_own():
    matrix = single(0.5, 0.2)
    x = X[:, 0] > 0
    f = jax.shard_map(
        lambda x: matrix @ x, mesh=mesh((4,)), in_specs=P(), out_specs=P()
    )
    np.testing.assert_array_equal(jax.jit(f)(x), whole("single")[0]["events"])


# --- at the edges -----------------------------------------------------------------


@pytest.mark.parametrize("axes", [{"rows": "a"}, {"columns": "a"}])
def test_the_last_rows_and_columns_there_can_be(axes):
    last = 2**31 - 1
    matrix = synjit.JITNormal(
        0.5, 0.2, 0.3, 7, shape=(40, 24), origin=(last - 40, last - 24)
    )
    S = matrix.shard(mesh((4,)), **axes)
    x = X[:24, 0] > 0
    got = S.rows.collect(S @ S.columns.place(x))
    assert np.any(got)
    np.testing.assert_array_equal(got, matrix @ x)


def test_windows_beyond_the_last_row_are_an_error():
    last = 2**31 - 1
    matrix = synjit.JITNormal(0.5, 0.2, 0.3, 7, shape=(5, 5), origin=(last - 5, 0))
    with pytest.raises(ValueError, match=r"5 rows over 4 parts are filled up to 8"):
        matrix.shard(mesh((4,)), rows="a")
    with pytest.raises(ValueError, match=r"5 columns over 4 parts are filled up to 8"):
        matrix.T.shard(mesh((4,)), rows="a")


def test_few_rows_of_a_matrix_of_2_to_the_31(monkeypatch):
    """A device is asked for a window of the largest matrix, which is never written."""
    monkeypatch.setattr(cut, "PIECE_SHARES", 4)
    n = 2**31 - 8
    S = synjit.JITNormal(0.5, 0.2, 1e-9, 7, shape=(n, n)).shard(mesh((8,)), rows="a")
    x = jax.ShapeDtypeStruct((n,), bool)
    text = str(jax.make_jaxpr(lambda x: S @ x)(x))
    assert f"shape=({n // 8}, {n // 2})" in text  # a piece of the columns


def test_what_was_asked_wrongly():
    matrix = single(0.5, 0.2)
    over = mesh((2, 4))
    with pytest.raises(TypeError, match=r"mesh must be a jax\.sharding\.Mesh.*got 3"):
        matrix.shard(3, rows="a")
    with pytest.raises(ValueError, match="rows must name axes of the mesh, a, b, got"):
        matrix.shard(over, rows="n")
    with pytest.raises(ValueError, match="rows or columns must name an axis"):
        matrix.shard(over, batch="a")
    with pytest.raises(ValueError, match="must name different axes of the mesh"):
        matrix.shard(over, rows="a", columns=("b", "a"))
    S = matrix.shard(over, rows="a", batch="b")
    with pytest.raises(TypeError, match=r"that is S\.matrix"):
        S.shard(over, rows="a")
    with pytest.raises(TypeError, match=r"is not read out.*: ask S\.matrix"):
        S.degrees(0)
    with pytest.raises(ValueError, match=r"S\.columns\.place\(x\) brings it"):
        S @ (X[:, 0] > 0)
    with pytest.raises(ValueError, match="x must have shape"):
        S @ np.ones(3)
    with pytest.raises(ValueError, match="x must have a multiple of 4 vectors"):
        S @ np.ones((38, 3), bool)
    with pytest.raises(ValueError, match=r"place takes an array of shape \(37,\)"):
        S.columns.place(np.ones(38))
    with pytest.raises(ValueError, match=r"collect takes an array of shape \(54,\)"):
        S.rows.collect(np.ones(53))
