# SPDX-License-Identifier: Apache-2.0
"""What matrices and explanations show in a notebook."""

import xml.etree.ElementTree as ET

import jax
import jax.numpy as jnp

import synjit


def cells(thing):
    """Parse the table: its caption, and its rows by their heads."""
    root = ET.fromstring(thing._repr_html_())  # noqa: S314, of our own making
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in root.iter("tr")}
    return root.find("caption").text, rows


def test_a_matrix():
    caption, rows = cells(synjit.JITNormal(1.0, 0.1, 0.1, 42, shape=(1000, 2000)))
    assert caption == "JITNormal"
    assert rows["w_loc"] == ["1.0"]
    assert rows["shape"] == ["(1000, 2000)"]
    assert rows["connections"] == ["200,000 expected; stored 1.6 MB, here none"]


def test_a_fixed_out_degree_and_its_transpose():
    rule = synjit.FixedOutDegree(5)
    M = synjit.JITConstant(1.0, rule, 42, shape=(10, 100))
    for matrix in (M, M.T):
        assert cells(matrix)[1]["connections"][0].startswith("500 expected")
    assert cells(M.T)[0] == "JITConstant, transposed"


def test_where_prob_is_an_array_nothing_is_expected():
    M = synjit.JITNormal(1.0, 0.1, jnp.float32(0.1), 42, shape=(10, 10))
    assert "connections" not in cells(M)[1]


def test_in_a_traced_function():
    texts = []

    @jax.jit
    def f(M):
        texts.extend([repr(M), M._repr_html_()])
        return M.w_loc

    f(synjit.JITNormal(1.0, 0.1, jnp.float32(0.1), 42, shape=(10, 10)))
    assert all("Tracer" in text for text in texts)


def test_blocks():
    E = synjit.JITNormal(1.0, 0.1, 0.5, 1, shape=(10, 8))
    F = synjit.JITNormal(-1.0, 0.1, 0.5, 2, shape=(10, 2))
    caption, rows = cells(synjit.JITBlocks([[E, F], [None, F.replace(seed=3)]]))
    assert caption == "JITBlocks (20, 10)"
    assert rows["0"] == ["JITNormal (10, 8)", "JITNormal (10, 2)"]
    assert rows["1"] == ["none", "JITNormal (10, 2)"]
    assert rows["connections"][0].startswith("60 expected")


def test_an_explanation():
    caption, rows = cells(synjit.explain(shape=(10, 10), platform="cpu"))
    assert "numba" in caption
    assert "pallas_gpu" in rows


def test_what_is_written_is_escaped():
    found = synjit.explain(shape=(10, 10), platform="cpu")
    found.reasons["<b>"] = "a & b"
    assert cells(found)[1]["<b>"] == ["a & b"]
