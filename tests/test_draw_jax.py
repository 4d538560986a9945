# SPDX-License-Identifier: Apache-2.0
"""The draw in JAX gives the reference's words, written out or looped, step by step."""

import ast
from pathlib import Path

import jax
import numpy as np
import pytest
from long import long_unless

from synjit import draw_jax, reference
from synjit.reference import draw, quantile_table

SEED = (np.uint32(5), np.uint32(2**31 + 7))
COLUMNS = np.array([0, 3, 2**31 - 1], np.uint32)
RNG = np.random.default_rng(15)
EDGES = [2**k + d for k in range(32) for d in (-1, 0, 1)]  # of sides and of octaves
WORDS = np.array([*EDGES, 2**32 - 1, *RNG.integers(2**32, size=10**4)], np.uint32)
TABLES = {
    "constant": reference.Constant().table,
    "normal": reference.Normal().table,
    "lognormal": reference.LogNormal(1.0).table,
    "random symmetric": RNG.integers(2**32, size=2048, dtype=np.uint32),
    "random": RNG.integers(2**32, size=8192, dtype=np.uint32),
}


@pytest.fixture(autouse=True)
def usual_settings():
    """Trace as the dispatcher does: strictness is for users' code."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.parametrize("name", [n for n in TABLES if n != "constant"])
def test_every_form_of_table_is_looked_up(name):
    table = TABLES[name]
    got = jax.jit(draw_jax.look_up)(table, WORDS)
    np.testing.assert_array_equal(got, quantile_table.look_up(table, WORDS))


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("unrolled", [True, False])
def test_weights(name, unrolled):
    rows = WORDS[:, None]

    @jax.jit
    def weights(table, columns):
        words = draw_jax.weight_words(SEED, columns, unrolled=unrolled)
        return draw_jax.weight(rows, words, table)

    table = TABLES[name]
    expected = draw.weight(SEED, rows, COLUMNS, table)
    got = weights(table, COLUMNS)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, np.broadcast_to(expected, got.shape))


def test_constant_weights_cost_no_hash():
    row = np.arange(8, dtype=np.uint32)
    jaxpr = jax.make_jaxpr(draw_jax.weight)(row, (row, row), TABLES["constant"])
    assert {e.primitive.name for e in jaxpr.eqns} <= {"broadcast_in_dim"}


def test_a_table_of_another_length_is_an_error():
    with pytest.raises(ValueError, match="has 2048 or 8192 words, and this one has 7"):
        draw_jax.look_up(np.zeros(7, np.uint32), WORDS)


@pytest.mark.parametrize("prob", [0.0, 1e-4, 0.1, 0.77, 1.0])
def test_counts_beside_every_limit(prob):
    law = reference.count_distribution(prob)
    limits = law.limits.astype(np.int64)
    near = np.clip((limits[:, None] + np.array([-1, 0, 1])).ravel(), 0, 2**32 - 1)
    words = np.append(near, [0, 2**32 - 1]).astype(np.uint32)
    got = jax.jit(draw_jax.draw_count)(words, law.encode())
    np.testing.assert_array_equal(got, law.draw_count(words))


@pytest.mark.quick
@pytest.mark.parametrize("k", long_unless(lambda _, k: k != 17, [10, 17, 31]))
@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("unrolled", [True, False])
def test_places_and_their_inverse(k, traced, unrolled):
    chunks = np.array([0, 1, 2**31 - 1 >> k], np.uint32)
    t = np.array([0, 1, 2**k - 1, *(RNG.integers(2**k, size=50))], np.uint32)[:, None]
    connectivity = reference.count_distribution(0.1).encode()

    @jax.jit
    def there_and_back(log2_chunk):
        log2_chunk = log2_chunk if traced else k
        keys, inverses = (
            draw_jax.chunk_keys(
                SEED, COLUMNS, chunks, connectivity, inverse=way, unrolled=unrolled
            )
            for way in (False, True)
        )
        rows = draw_jax.place(t, keys, log2_chunk)
        return keys.counts, rows, draw_jax.place_inverse(rows, inverses, log2_chunk)

    counts, rows, back = there_and_back(np.uint32(k))
    expected = draw.chunk_keys(SEED, COLUMNS, chunks)
    words = expected.count_word
    np.testing.assert_array_equal(
        counts, reference.count_distribution(0.1).draw_count(words)
    )
    np.testing.assert_array_equal(rows, draw.place(t, expected, k))
    np.testing.assert_array_equal(back, np.broadcast_to(t, back.shape))


def test_it_knows_nothing_of_synjit_but_the_reference():
    tree = ast.parse(Path(draw_jax.__file__).read_text())
    ours = [n.module for n in ast.walk(tree) if getattr(n, "level", 0)]
    assert ours == ["reference"]
    modules = {
        a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names
    }
    assert modules == {"math", "jax", "jax.numpy", "numpy"}
