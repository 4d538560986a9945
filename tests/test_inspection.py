# SPDX-License-Identifier: Apache-2.0
"""What is listed of a matrix is what its dense form has, bit for bit."""

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from long import long_unless

import synjit
from synjit.demo import microcircuit
from synjit.inspection import listing, memory, progress

SHAPE = (5000, 3000)
MATRICES = {
    "normal": synjit.JITNormal(1.0, 0.1, 0.1, 1, shape=SHAPE),
    "constant": synjit.JITConstant(2.0, 0.1, 2, shape=SHAPE),
    "uniform": synjit.JITUniform(1.0, 2.0, 0.1, 3, shape=SHAPE),
    "lognormal": synjit.JITLogNormal(1.0, 0.1, 4, sigma=0.5, shape=SHAPE),
    "truncated": synjit.JITTruncatedNormal(1.0, 1.0, 0.1, 5, low=0.0, shape=SHAPE),
    "any law": synjit.JITMatrix(
        0.0, 2.0, 0.02, 6, weights=synjit.Exponential(), shape=SHAPE, origin=(777, 50)
    ),
    "fixed": synjit.JITNormal(1.0, 0.1, synjit.FixedOutDegree(300), 8, shape=SHAPE),
    "no self": synjit.JITNormal(1.0, 0.1, 0.1, 9, shape=SHAPE, self_connections=False),
}
# Of one table of weights and one prob, so that little is compiled.
SMALL = synjit.JITNormal(1.0, 0.5, 0.1, 7, shape=(60, 40), origin=(1000, 3))
FIXED = synjit.FixedOutDegree(20, rows=100)


def like(block, seed, shape):
    return block.replace(seed=seed, shape=shape)


BLOCKS = synjit.JITBlocks(
    [
        [SMALL, None, like(SMALL, 8, (60, 25))],
        [like(SMALL, 9, (25, 40)), like(SMALL.T, 10, (25, 30)), None],
    ]
)
ALL = {
    "one": SMALL,
    "transposed": SMALL.T,
    "pre_post": synjit.JITNormal.pre_post(1.0, 0.5, 0.1, 7, shape=(40, 60)),
    "full": SMALL.replace(prob=1.0),
    "none": SMALL.replace(prob=0.0),
    "no self-connections": SMALL.replace(origin=(0, 3), self_connections=False),
    "fixed out-degree": SMALL.replace(prob=FIXED, origin=(30, 3)),
    "fixed without self-connections": SMALL.replace(
        prob=FIXED, origin=(0, 3), self_connections=False
    ).T,
    "empty": SMALL.replace(shape=(0, 40)),
    "blocks": BLOCKS,
    "blocks transposed": BLOCKS.T,
}


def bits(array):
    return np.asarray(array).view(np.uint32)


LONG = "transposed", "blocks transposed", "fixed out-degree"  # others have these


@pytest.fixture(params=long_unless(lambda _, name: name not in LONG, ALL))
def matrix(request):
    return ALL[request.param]


@pytest.fixture
def dense(matrix):
    return np.asarray(matrix.todense())


# --- bit for bit ------------------------------------------------------------------


@pytest.mark.parametrize("name", MATRICES)
def test_every_family_and_rule(name):
    matrix = MATRICES[name]
    dense = np.asarray(matrix.todense())
    stored = matrix.tocsr()
    assert stored.dtype == dense.dtype
    assert (bits(stored.toarray()) == bits(dense)).all()
    assert stored.nnz == matrix.nnz == np.count_nonzero(dense)
    assert (stored.T.toarray() == matrix.T.tocsr().toarray()).all()


def test_copies(matrix, dense):
    for kind in ("csr", "csc", "coo"):
        stored = getattr(matrix, f"to{kind}")()
        assert isinstance(stored, getattr(scipy.sparse, f"{kind}_array"))
        assert stored.shape == dense.shape
        assert stored.dtype == dense.dtype
        assert (bits(stored.toarray()) == bits(dense)).all()
        assert kind == "coo" or stored.has_sorted_indices
    stored = matrix.tobcoo()
    assert stored.nse == matrix.nnz == np.count_nonzero(dense)
    assert (bits(stored.todense()) == bits(dense)).all()
    order = np.lexsort(stored.indices.T[::-1])
    assert (order == np.arange(len(order))).all()


def test_lines(matrix, dense):
    m, n = dense.shape
    for j in {0, 17, n - 1} if n else ():
        found = matrix.column(j)
        np.testing.assert_array_equal(found.indices, np.flatnonzero(dense[:, j]))
        assert (bits(found.weights) == bits(dense[found.indices, j])).all()
    for i in {0, 17, m - 1} if m else ():
        found = matrix.row(i)
        np.testing.assert_array_equal(found.indices, np.flatnonzero(dense[i]))
        assert (bits(found.weights) == bits(dense[i, found.indices])).all()


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_degrees(matrix, dense, axis):
    degrees = matrix.degrees(axis)
    assert degrees.dtype == np.int64
    np.testing.assert_array_equal(degrees, np.count_nonzero(dense, axis=axis))


def test_diagonal(matrix, dense):
    assert (bits(matrix.diagonal()) == bits(np.diagonal(dense))).all()


WINDOWS = [
    (None, None),
    (3, None),
    (slice(5, 50), slice(10, None)),
    (slice(None, None, 7), slice(30, 3, -4)),
    (slice(20, 22), slice(-5, None)),
    (slice(9, 9), None),
]


@pytest.mark.parametrize(("rows", "columns"), WINDOWS)
def test_windows(rows, columns):
    for matrix in (BLOCKS, SMALL, SMALL.T):
        dense = np.asarray(matrix.todense())
        m, n = dense.shape
        wanted = np.zeros(dense.shape, bool)
        chosen = [
            np.arange(length)[k if k is not None else slice(None)].reshape(-1)
            for k, length in ((rows, m), (columns, n))
        ]
        wanted[np.ix_(*chosen)] = True
        found = matrix.connections(rows, columns)
        assert len(found.rows) == np.count_nonzero(dense * wanted)
        assert (bits(found.weights) == bits(dense[found.rows, found.columns])).all()
        assert wanted[found.rows, found.columns].all()
        pieces = list(matrix.iter_connections(rows, columns))
        for whole, *parts in zip(found, *pieces, strict=True):
            assert (np.concatenate([whole[:0], *parts]) == whole).all()


KEYS = [
    np.s_[3, 4],
    np.s_[-1, -2],
    np.s_[5],
    np.s_[:, 7],
    np.s_[10:50:7, ::-3],
    np.s_[40:10:-13, 2:5],
    np.s_[5:5],
    np.s_[2:999, -5:],
    np.s_[np.int64(3), np.array(2)],
    np.s_[::-1],
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_items(key):
    for matrix in (BLOCKS, SMALL, SMALL.T):
        got, expected = matrix[key], matrix.todense()[key]
        assert isinstance(got, jax.Array)
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
        assert (bits(got) == bits(expected)).all()


def test_batches_and_their_seams():
    matrix = synjit.JITConstant(1.0, 0.01, 3, shape=(70_000, 1000))  # chunks of 2**13
    dense = matrix.tocsc()  # in batches of 2048
    every = np.concatenate([matrix.column(j).indices for j in range(1000)])  # of 16
    np.testing.assert_array_equal(dense.indices, every)
    asked = [matrix.row(i).indices for i in (0, 8191, 8192, 69_999)]
    for i, columns in zip((0, 8191, 8192, 69_999), asked, strict=True):
        np.testing.assert_array_equal(columns, dense.tocsr()[[i]].indices)


def test_chunks_that_have_more_connections_than_usual(monkeypatch):
    usual = SMALL.connections()
    monkeypatch.setattr(listing, "RARE", 0.9)  # room for few
    again = SMALL.connections()
    assert all((a == b).all() for a, b in zip(usual, again, strict=True))


def test_every_column_of_a_fixed_out_degree_has_as_many():
    rule = synjit.FixedOutDegree(3000)  # more than there are in a chunk of a prob
    matrix = synjit.JITConstant(1.0, rule, 3, shape=(50_000, 20))
    assert (matrix.degrees(0) == 3000).all()
    found = matrix.column(7)
    assert (np.diff(found.indices) > 0).all()
    np.testing.assert_array_equal(
        np.flatnonzero(np.asarray(matrix.todense())[:, 7]), found.indices
    )


# --- weights ----------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0.0, -0.0, float("nan"), float("-inf"), 1e-40])
def test_a_connection_is_there_whatever_its_weight(weight):
    matrix = synjit.JITConstant(weight, 0.1, 2, shape=(60, 40))
    where = synjit.JITConstant(1.0, 0.1, 2, shape=(60, 40)).todense() == 1
    assert matrix.nnz == matrix.tocsr().nnz == matrix.tobcoo().nse == where.sum()
    dense = np.asarray(matrix.todense())
    found = matrix.connections()
    assert (bits(found.weights) == bits(dense[found.rows, found.columns])).all()
    assert (bits(matrix[:, :]) == bits(dense)).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_16_bits(dtype):
    matrix = synjit.JITConstant(jnp.array(1.1, dtype), 0.1, 2, shape=(60, 40))
    dense = matrix.todense()
    assert matrix.connections().weights.dtype == dense.dtype == matrix[:, 1].dtype
    assert (matrix[:, :] == dense).all()
    assert (matrix.tobcoo().todense() == dense).all()
    with pytest.raises(TypeError, match=f"no sparse arrays of {dtype}: take tobcoo"):
        matrix.tocsr()


def test_weights_of_64_bits(x64):
    matrix = synjit.JITNormal(1.0, 0.5, 0.1, 7, shape=(60, 40))
    dense = np.asarray(matrix.todense())
    stored = matrix.tocsr().toarray()
    assert stored.dtype == np.float64
    assert (stored.view(np.uint64) == dense.view(np.uint64)).all()


def test_units():
    matrix = BLOCKS * u.pA
    dense = matrix.todense()
    assert matrix.unit == u.pA
    assert BLOCKS.unit is None
    assert BLOCKS.ndim == 2
    for part in (matrix[3:9, ::2], matrix.diagonal(), matrix.column(3).weights):
        assert part.unit == u.pA
    assert (matrix[3:9, ::2] == dense[3:9, ::2]).all()
    assert all(piece.weights.unit == u.pA for piece in matrix.iter_connections())
    numbers = BLOCKS.tocsr().toarray()
    assert (matrix.tocsr(unit=u.pA).toarray() == numbers).all()
    in_nA = matrix.tocoo(unit=u.nA).toarray()
    np.testing.assert_allclose(in_nA, numbers * 1e-3, rtol=1e-6)
    with pytest.raises(TypeError, match=r"weights are in pA.*unit=M.unit; got None"):
        matrix.tocsr()
    with pytest.raises(TypeError, match="no unit, so that none can be asked for"):
        BLOCKS.tobcoo(unit=u.pA)
    with pytest.raises(u.UnitMismatchError):
        matrix.tocsc(unit=u.mV)


# --- large ------------------------------------------------------------------------


def test_a_column_of_a_huge_matrix():
    huge = synjit.JITConstant(1.0, 1e-4, 3, shape=(10**7, 10**7))
    found = huge.column(10**7 - 1)
    assert abs(len(found.indices) - 1000) < 200
    assert (np.diff(found.indices) > 0).all()
    asked = huge[int(found.indices[5]), 10**7 - 1]
    assert asked == 1.0


@pytest.mark.long
def test_degrees_of_the_microcircuit():
    network = microcircuit.build(scale=0.1, seed=1)
    count = len(network.sizes)
    grid = [[None] * count for _ in range(count)]
    for i in range(count):
        for j in range(count):
            shape = network.sizes[i], network.sizes[j]
            grid[i][j] = synjit.JITConstant(1.0, 0.0, 1, shape=shape)
    for b in network.blocks:
        grid[b.target][b.source] = synjit.JITConstant(
            1.0, b.prob, b.seed, shape=b.shape
        )
    blocks = synjit.JITBlocks(grid)
    n = sum(network.sizes)
    out, into = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for piece in blocks.iter_connections():
        out += np.bincount(piece.columns, minlength=n)
        into += np.bincount(piece.rows, minlength=n)
    np.testing.assert_array_equal(blocks.degrees(0), out)
    np.testing.assert_array_equal(blocks.degrees(1), into)
    assert abs(out.sum() / network.expected_connections - 1) < 0.01


def test_how_many_are_expected():
    for matrix in (MATRICES["normal"], ALL["fixed out-degree"]):
        mean = listing.expected(matrix, *matrix.shape)
        assert abs(matrix.nnz - mean) < 6 * mean**0.5


HUGE = synjit.JITConstant(1.0, 0.1, 3, shape=(10**7, 10**6))


@pytest.mark.parametrize(
    "ask",
    [
        lambda M: M.connections(),
        lambda M: M.tocsr(),
        lambda M: M.tocoo(),
        lambda M: M.tobcoo(),
        lambda M: M[:, :],
    ],
)
def test_what_would_not_fit_is_refused(ask):
    needed = r"would take [\d,]{15,} bytes, and [\d,]+ are available: .*iter_connec"
    with pytest.raises(MemoryError, match=needed):
        ask(HUGE)


def test_a_stream_does_not_run_ahead():
    stream = HUGE.iter_connections()
    assert len(next(stream).rows) > 10**5
    stream.close()
    assert memory.likely_most(0.0) == 1


# --- what is refused --------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        (lambda M: M.column(40), IndexError, "no column 40: they are 0 .. 39"),
        (
            lambda M: M.column(-1),
            IndexError,
            r"no column -1: .*M\[...\] takes negative",
        ),
        (lambda M: M.row(60), IndexError, "no row 60: they are 0 .. 59"),
        (lambda M: M.row(1.0), TypeError, "row must be an integer.*got 1.0"),
        (lambda M: M.column(float("nan")), TypeError, "column must be an integer"),
        (lambda M: M.column(True), TypeError, "column must be an integer"),
        (lambda M: M.column([1, 2]), TypeError, "ask one by one"),
        (lambda M: M.column(np.ones(3, int)), TypeError, "ask one by one"),
        (lambda M: M.connections(rows=-1), IndexError, "there is no row -1"),
        (lambda M: M.iter_connections(columns=40), IndexError, "no column 40"),
        (lambda M: M.connections(rows="a"), TypeError, "row must be an integer"),
        (lambda M: M[60], IndexError, "row 60 is out of range: .* -60 .. 59"),
        (lambda M: M[0, -41], IndexError, "column -41 is out of range"),
        (lambda M: M[0, 0, 0], IndexError, "2 axes, and 3 indices"),
        (lambda M: M[1.5], TypeError, "row must be an integer"),
        (lambda M: M[None], TypeError, "row must be an integer"),
        (lambda M: M[0.5:], TypeError, "row must be an integer, got 0.5"),
        (lambda M: M[::0], ValueError, "step of a slice of rows must not be 0"),
        (lambda M: M[[1, 2]], TypeError, "row must be an integer"),
        (lambda M: M.degrees(2), ValueError, "axis must be 0, .*got 2"),
        (lambda M: M.degrees(None), TypeError, "axis must be an integer"),
        (iter, TypeError, "not iterable"),
    ],
)
def test_bad_input(ask, error, text):
    with pytest.raises(error, match=text):
        ask(SMALL)


def test_a_matrix_without_columns_has_none():
    with pytest.raises(IndexError, match="the matrix has no rows"):
        SMALL.replace(shape=(0, 40)).row(0)


@pytest.mark.parametrize(
    "ask",
    [
        lambda M: M.column(0),
        lambda M: M.nnz,
        lambda M: M[0, 0],
        lambda M: M.diagonal(),
        lambda M: M.iter_connections(),
        lambda M: M.tocsr(),
    ],
)
def test_a_traced_matrix_is_refused(ask):
    with pytest.raises(TypeError, match="can be listed where its values are known"):
        jax.jit(lambda M: ask(M) and None)(SMALL)


def test_a_known_matrix_is_listed_inside_of_a_trace():
    @jax.jit
    def f(x):
        found = SMALL.column(3)
        return x[found.indices] * found.weights + SMALL[0, 0]

    x = jnp.arange(60.0)
    found = SMALL.column(3)
    expected = x[found.indices] * found.weights + SMALL.todense()[0, 0]
    np.testing.assert_allclose(f(x), expected, rtol=1e-6)


# --- progress ---------------------------------------------------------------------


def shown(monkeypatch, capsys, terminal, delay):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(progress, "DELAY", delay)
    assert list(progress.shown([(1, 25.0), (2, 75.0)], 100.0, "listing")) == [1, 2]
    return capsys.readouterr().err


def test_progress_is_for_terminals_and_for_what_lasts(monkeypatch, capsys):
    told = shown(monkeypatch, capsys, terminal=True, delay=0.0)
    assert "listing:  25%, about" in told
    assert told.endswith("\r")
    assert not shown(monkeypatch, capsys, terminal=True, delay=60.0)
    assert not shown(monkeypatch, capsys, terminal=False, delay=0.0)
