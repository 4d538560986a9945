# SPDX-License-Identifier: Apache-2.0
"""Rules of connections: a fixed out-degree, and no self-connections."""

import json
from dataclasses import replace

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from battery.findings import FAMILY_ERROR, binomial_cells
from jax.sharding import PartitionSpec

import synjit
from synjit import Bernoulli, FixedOutDegree, draw_jax, reference
from synjit.conformance.cases import Case
from synjit.conformance.expected import window
from synjit.reference import ABSENT, connection_rules, draw, golden

SEED = 42
NORMAL = reference.Normal()
RULES = (0.3, FixedOutDegree(40))
SHAPE = (150, 90)


def mask(rule, shape, origin=(0, 0), seed=SEED, **other):
    return reference.Matrix(seed, rule, shape, origin, **other).dense() != ABSENT


def diagonal(shape, origin=(0, 0)):
    (m, n), (row, column) = shape, origin
    return (row + np.arange(m))[:, None] == column + np.arange(n)


# --- the draw ---------------------------------------------------------------------


@pytest.mark.parametrize("self_connections", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 512, 1000, 1023, 1024, 1025, 3000])
def test_walks_permute_the_allowed_rows(rows, self_connections):
    """By enumeration, with the column's own row first, last, inside and beyond."""
    c = FixedOutDegree(0).connectivity(rows, self_connections)
    for column in {0, 1, rows // 2, rows - 1, rows, 2**31 - 1}:
        keys = draw.chunk_keys((1, 2), column, 0)
        allowed = np.flatnonzero(draw.is_allowed(np.arange(rows), column, c))
        left_out = not self_connections and column < rows
        assert len(allowed) == rows - left_out
        numbers = np.arange(len(allowed))
        places = draw.connection_place(numbers, column, keys, c)
        assert np.array_equal(np.sort(places), allowed)
        back = draw.connection_number(places, column, keys, c)
        assert np.array_equal(back, numbers)


@pytest.mark.parametrize("self_connections", [True, False])
@pytest.mark.parametrize(("k", "rows"), [(0, 9), (3, 9), (700, 1025), (2998, 2999)])
def test_every_column_has_exactly_k_targets(k, rows, self_connections):
    own = {"self_connections": self_connections}
    there = mask(FixedOutDegree(k), (rows, 20), **own)
    assert (there.sum(axis=0) == k).all()
    assert self_connections or not there[diagonal(there.shape)].any()


@pytest.mark.parametrize("self_connections", [True, False])
def test_probing_equals_listing(self_connections):
    matrix = reference.Matrix(
        7, FixedOutDegree(600, 5000), (700, 20), (900, 890), NORMAL, self_connections
    )
    places = 900 + np.arange(700)[:, None], 890 + np.arange(20)
    connected, z = reference.entry(matrix.seed, matrix.connectivity, *places)
    assert np.array_equal(matrix.dense() != ABSENT, connected)
    assert np.array_equal(matrix.dense()[connected], z[connected])


def test_a_window_is_that_of_the_whole_if_it_knows_all_rows():
    whole, part = FixedOutDegree(30), FixedOutDegree(30, rows=500)
    for self_connections in (True, False):
        own = {"self_connections": self_connections}
        all_rows = mask(whole, (500, 40), **own)
        window = mask(part, (90, 20), (70, 10), **own)
        assert np.array_equal(all_rows[70:160, 10:30], window)


@pytest.mark.parametrize("origin", [(0, 0), (1010, 1000), (500, 3)])
@pytest.mark.parametrize("prob", [0.01, 0.9, 1.0])
def test_a_prob_loses_its_self_connections_and_nothing_else(prob, origin):
    matrices = [
        reference.Matrix(SEED, prob, SHAPE, origin, NORMAL, own).dense()
        for own in (True, False)
    ]
    own = diagonal(SHAPE, origin)
    assert np.array_equal(matrices[0][~own], matrices[1][~own])
    assert (matrices[1][own] == ABSENT).all()


def test_rows_of_a_fixed_out_degree_are_binomial():
    """Degrees of rows over many columns, as the battery judges those of a prob.

    Each set of k rows is as likely as any other: rows are told apart neither by their
    number nor by that of their neighbour.
    """
    findings = []
    n = 2000
    for k, rows in ((30, 700), (100, 1500), (900, 1025)):
        case = Case("dense", FixedOutDegree(k, rows), (rows, n))
        there = window(case) != ABSENT
        assert (there.sum(axis=0) == k).all()
        degrees = there.sum(axis=1)
        findings.append(binomial_cells("degrees of rows", k, degrees, n, k / rows))
        both = (there[:-1:2] & there[1::2]).sum(axis=1)
        chance = k / rows * (k - 1) / (rows - 1)
        findings.append(binomial_cells("both of two rows", k, both, n, chance))
    assert all(finding.size > 3 for finding in findings)
    assert min(finding.p for finding in findings) > FAMILY_ERROR / len(findings)


def test_a_walk_that_is_cut_short_is_not_binomial():
    """The statistics see it: rows to which one leads from outside come too often."""
    c = FixedOutDegree(100).connectivity(1500)
    t, columns = np.arange(100)[:, None], np.arange(2000)
    x = draw.place(t, draw.chunk_keys((1, 0), columns, 0), c.log2_chunk)
    degrees = np.bincount((x % 1500).ravel(), minlength=1500)  # wrapped, not walked
    finding = binomial_cells("degrees of rows", 100, degrees, 2000, 100 / 1500)
    assert finding.p < 1e-9


def test_the_rules_are_what_was_frozen():
    frozen = json.loads(golden.RULES_PATH.read_text())
    assert json.loads(json.dumps(golden.rule_vectors())) == frozen


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize("self_connections", [True, False])
@pytest.mark.parametrize("rule", [0.3, FixedOutDegree(50, 700)])
def test_the_draw_in_jax_reads_the_rule_from_the_connectivity(
    rule, self_connections, traced
):
    """A backend that says nothing of rules to ``draw_jax`` is right all the same."""
    c = reference.connectivity_of(rule, 700, self_connections=self_connections)
    rows = np.arange(700, dtype=np.uint32)[:, None]
    columns = np.arange(600, 611, dtype=np.uint32)

    @jax.jit
    def ask_and_list(words):
        log2_chunk = words[0] if traced else c.log2_chunk
        zeros = jnp.zeros_like(columns)
        given = ((np.uint32(5), np.uint32(6)), columns, zeros, words)
        keys, back = (
            draw_jax.chunk_keys(*given, inverse=way, unrolled=False)
            for way in (False, True)
        )
        t = jnp.arange(1024, dtype=jnp.uint32)[:, None]
        listed = draw_jax.place(t, keys, log2_chunk)
        there = (t < keys.counts) & draw_jax.is_allowed(listed, keys)
        return draw_jax.connected(rows, back, log2_chunk), listed, there

    with jax.numpy_rank_promotion("allow"):
        asked, listed, there = map(np.asarray, ask_and_list(c.encode()))
    want, _ = reference.entry((5, 6), c, rows, columns)
    np.testing.assert_array_equal(asked, want)
    again = np.zeros((1024, 11), bool)
    for j in range(11):
        again[listed[there[:, j], j], j] = True
    np.testing.assert_array_equal(again[:700], want)


# --- products ---------------------------------------------------------------------


def matrix(rule, self_connections=True, backend=None, **other):
    own = {"self_connections": self_connections, "backend": backend}
    given = {"shape": SHAPE} | own | other
    return synjit.JITNormal(1.0, 0.5, rule, SEED, **given)


each_rule = pytest.mark.parametrize("rule", RULES, ids=str)
each_flag = pytest.mark.parametrize("self_connections", [True, False])


@each_flag
@each_rule
def test_products_are_those_of_the_dense_matrix(rule, self_connections, backend):
    M = matrix(rule, self_connections, backend)
    W = np.asarray(M.todense())
    own = {"self_connections": self_connections}
    assert np.array_equal(W != 0, mask(rule, SHAPE, **own))
    rng = np.random.default_rng(1)
    for V, N in ((M, W), (M.T, W.T)):
        events = rng.random(N.shape[1]) < 0.3
        values = rng.normal(size=(N.shape[1], 3)).astype(np.float32)
        np.testing.assert_allclose(V @ events, N @ events, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(V @ values, N @ values, rtol=1e-4, atol=1e-3)
        x = values[:, 0]
        gradient = jax.grad(lambda x, V=V: (V @ x)[3])(x)
        np.testing.assert_allclose(gradient, N[3], rtol=1e-5)


@each_flag
@each_rule
def test_functions_classes_and_all_of_jax_see_one_matrix(
    rule, self_connections, backend
):
    M = matrix(rule, self_connections, backend)
    events = np.random.default_rng(2).random((4, SHAPE[1])) < 0.3
    want = np.stack([M @ one for one in events])
    own = {"shape": SHAPE, "self_connections": self_connections, "backend": backend}
    one = synjit.binary_jitnmv(1.0, 0.5, rule, events[0], SEED, **own)
    np.testing.assert_array_equal(one, want[0])
    np.testing.assert_array_equal(jax.jit(jax.vmap(lambda x: M @ x))(events), want)
    np.testing.assert_array_equal(jax.jit(lambda M, x: M @ x)(M, events[0]), want[0])
    by_scale = jax.jacfwd(lambda s: M.replace(w_scale=s) @ events[0])(0.5)
    rest = M.replace(w_scale=0.0) @ events[0]
    np.testing.assert_allclose(by_scale * 0.5 + rest, want[0], rtol=1e-5)

    def of_seed(seed):
        return M.replace(seed=seed) @ events[0]

    seeds = jnp.arange(SEED, SEED + 2)
    np.testing.assert_array_equal(jax.vmap(of_seed)(seeds)[0], want[0])


def test_every_family_takes_a_rule(backend):
    own = {
        "shape": (60, 50),
        "self_connections": False,
        "backend": backend,
        "seed": SEED,
        "prob": FixedOutDegree(7),
    }
    matrices = (
        synjit.JITConstant(2.0, **own),
        synjit.JITUniform(1.0, 2.0, **own),
        synjit.JITLogNormal(1.0, sigma=0.5, **own),
        synjit.JITTruncatedNormal(1.0, 0.5, low=0.1, **own),
        synjit.JITMatrix(1.0, 2.0, weights=synjit.Exponential(), **own),
    )
    there = mask(FixedOutDegree(7), (60, 50), self_connections=False)
    for M in matrices:
        np.testing.assert_array_equal(np.asarray(M.todense()) != 0, there)
    W = synjit.jits(2.0, **own)
    np.testing.assert_array_equal(np.asarray(W) != 0, there)
    (spikes,) = there[:1]
    pre_post = synjit.JITConstant.pre_post(2.0, **own | {"shape": (50, 60)})
    np.testing.assert_array_equal(spikes @ pre_post, matrices[0] @ spikes)


def test_a_bernoulli_rule_is_the_number(backend):
    M = matrix(Bernoulli(0.3), backend=backend)
    assert matrix(0.3, backend=backend) == M
    assert M.prob == 0.3
    assert Bernoulli(np.float32(0.5)) == Bernoulli(0.5)


def test_a_traced_prob_loses_its_self_connections_too(backend):
    def dense(prob):
        return matrix(prob, self_connections=False, backend=backend).todense()

    np.testing.assert_array_equal(jax.jit(dense)(0.3), dense(0.3))


def test_weights_have_units(backend):
    M = synjit.JITNormal(
        1.0 * u.mV, 0.5 * u.mV, FixedOutDegree(40), SEED, shape=SHAPE, backend=backend
    )
    events = np.arange(SHAPE[1]) % 3 == 0
    want = matrix(FixedOutDegree(40), backend=backend) @ events
    np.testing.assert_array_equal((M @ events).to_decimal(u.mV), want)


def test_blocks_may_mix_rules(backend):
    A = matrix(0.3, False, backend)
    B = matrix(FixedOutDegree(40), False, backend).replace(seed=1)
    C = matrix(FixedOutDegree(9), True, backend).replace(seed=2, w_loc=3.0)
    grid = synjit.JITBlocks([[A, B], [None, C]])
    kinds = [(block.rule, block.self_connections) for block in grid.grid.blocks]
    assert kinds == [
        ("bernoulli", False),
        ("fixed_out_degree", False),
        ("fixed_out_degree", True),
    ]
    events = np.random.default_rng(3).random(2 * SHAPE[1]) < 0.3
    left, right = events[: SHAPE[1]], events[SHAPE[1] :]
    want = np.concatenate([A @ left + B @ right, C @ right])
    np.testing.assert_array_equal(grid @ events, want)
    assert np.array_equal(grid.todense()[: SHAPE[0], SHAPE[1] :], B.todense())


def test_blocks_with_the_same_targets_are_warned_of():
    with pytest.warns(RuntimeWarning, match="the same connections, one by one"):
        synjit.JITBlocks([[matrix(FixedOutDegree(4)), matrix(FixedOutDegree(4, 150))]])


def test_devices_draw_their_rows(backend):
    """Of a whole that each knows the number of rows of."""
    m, n = 40 * 4, 60
    rule, events = FixedOutDegree(30, rows=m), np.arange(n) % 3 == 0
    own = {"self_connections": False, "backend": backend}
    whole = synjit.binary_jitnmv(1.0, 0.5, rule, events, 5, shape=(m, n), **own)

    def local(events):
        first = jax.lax.axis_index("rows") * 40
        return synjit.binary_jitnmv(
            1.0, 0.5, rule, events, 5, shape=(40, n), origin=(first, 0), **own
        )

    mesh = jax.make_mesh((4,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    step = jax.shard_map(
        local, mesh=mesh, in_specs=PartitionSpec(), out_specs=PartitionSpec("rows")
    )
    np.testing.assert_array_equal(jax.jit(step)(events), whole)


# --- what is refused --------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: FixedOutDegree(1.5), TypeError, r"integer of 0 or more, got 1\.5"),
        (lambda: FixedOutDegree(True), TypeError, "integer of 0 or more, got True"),
        (lambda: FixedOutDegree(-1), ValueError, "integer of 0 or more, got -1"),
        (lambda: FixedOutDegree(3, 2), ValueError, "rows from k, 3, to 2147483647"),
        (lambda: FixedOutDegree(3, 2**31), ValueError, "got 2147483648"),
        (lambda: jax.jit(FixedOutDegree)(3), TypeError, "Python or NumPy integer"),
        (lambda: Bernoulli(1.5), ValueError, r"in \[0, 1\], got 1\.5"),
        (lambda: Bernoulli(float("nan")), ValueError, "got nan"),
        (lambda: jax.jit(Bernoulli)(0.5), TypeError, "without Bernoulli"),
        (lambda: matrix("0.5"), TypeError, r"or a rule.*FixedOutDegree\(k\), got '0"),
        (lambda: matrix(0.5, 1), TypeError, "self_connections must be True or False"),
        (lambda: matrix(FixedOutDegree(151)), ValueError, "151 different rows.*150"),
        (lambda: matrix(FixedOutDegree(150), False), ValueError, "itself.*are 149"),
        (
            lambda: matrix(FixedOutDegree(3), origin=(1, 0)),
            ValueError,
            r"must be told the number of rows.*FixedOutDegree\(3, rows=",
        ),
        (
            lambda: matrix(FixedOutDegree(3, 200), origin=(51, 0)),
            ValueError,
            "has 200 rows in all, and the window ends at row 201",
        ),
        (
            lambda: matrix(FixedOutDegree(3, 149)),
            ValueError,
            "has 149 rows in all, and the window ends at row 150",
        ),
        (
            lambda: jax.jit(
                lambda row: matrix(FixedOutDegree(3), origin=(row, 0)).todense()
            )(0),
            ValueError,
            "origin .in a row that is traced.",
        ),
        (
            lambda: synjit.explain(prob=FixedOutDegree(1001), platform="cpu"),
            ValueError,
            "1001 different rows and there are 1000",
        ),
    ],
)
def test_bad_rules_are_refused_at_once(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_traced_window_that_ends_beyond_the_rows_is_not_a_number(backend):
    def first_row(row):
        rule, x = FixedOutDegree(20, rows=300), np.ones(SHAPE[1], bool)
        return matrix(rule, False, backend, origin=(row, 0)) @ x

    good, bad = jax.jit(jax.vmap(first_row))(np.array([150, 151], np.int32))
    assert np.isfinite(good).all()
    assert np.isnan(bad).all()


# --- how rules are kept -----------------------------------------------------------


def test_a_rule_is_part_of_the_structure():
    M = matrix(FixedOutDegree(40), False)
    leaves, structure = jax.tree.flatten(M)
    assert leaves == [1.0, 0.5]
    assert jax.tree.unflatten(structure, leaves) == M
    others = (
        M.replace(self_connections=True),
        M.replace(prob=FixedOutDegree(41)),
        M.replace(prob=FixedOutDegree(40, 150)),
        M.replace(prob=0.3),
    )
    assert all(other != M for other in others)
    assert "self_connections=False" in repr(M)
    assert "self_connections" not in repr(others[0])


def test_the_contract_says_which_rule_it_is():
    """Statically, so that a backend can specialise, or refuse in words."""
    case = synjit.explain(prob=FixedOutDegree(3), self_connections=False).problem
    assert (case.rule, case.self_connections) == ("fixed_out_degree", False)
    one = replace(case, dtype="int32").of_one_block("float32")
    assert one.of_block(0) == case
    words = connection_rules.FixedOutDegree(3).connectivity(9, False).encode()
    assert words[[draw.ROWS_WORD, draw.NO_SELF_WORD]].tolist() == [9, 1]
