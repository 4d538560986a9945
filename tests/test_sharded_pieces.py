# SPDX-License-Identifier: Apache-2.0
"""Events that are unpacked in pieces: the same bits, and memory that falls."""

import jax
import numpy as np
import pytest
import test_sharding as in_one_piece
from long import long_unless

import synjit
from synjit import cut

ROWS, BOTH = {"rows": "a"}, {"rows": "a", "columns": "b"}
# Which matrix, the mesh's shape and what its axes cut, how many shares of columns a
# piece has, and how many pieces each group of columns has then. Of 8 parts in pieces
# of 3, and of 3 in pieces of 2, the last piece has parts that another one has.
CASES = [
    ("single", (2,), ROWS, 1, (2,)),
    ("single", (3,), ROWS, 2, (2,)),
    ("single", (8,), ROWS, 3, (3,)),
    ("single", (4, 2), BOTH, 1, (4,)),
    ("single", (2, 4), {"batch": "a", "rows": "b"}, 1, (4,)),
    ("blocks", (3,), ROWS, 1, (3, 2)),
    ("blocks", (4,), ROWS, 1, (4, 2)),
    ("blocks", (4, 2), BOTH, 1, (4, 2)),
]
SHORT = {1, 3, 7}


@pytest.fixture
def shares(monkeypatch):
    """Give a function that sets how many shares of columns a piece has."""

    def set_to(number, least=1):
        monkeypatch.setattr(cut, "PIECE", least)
        monkeypatch.setattr(cut, "PIECE_SHARES", number)
        jax.clear_caches()  # of what was traced with other pieces

    yield set_to
    jax.clear_caches()


def pieces(S):
    return tuple(len(S.columns.pieces(i)) for i in range(len(S.columns.groups)))


@pytest.mark.parametrize("case", long_unless(lambda i, _: i in SHORT, CASES))
def test_all_products_and_gradients(shares, case):
    name, shape, axes, number, wanted = case
    in_one_piece.whole(name)
    shares(number)
    make, mesh = in_one_piece.MAKERS[name], in_one_piece.mesh(shape)

    def shard(matrix):
        return matrix.shard(mesh, **axes)

    assert pieces(shard(make(0.5, 0.2))) == wanted
    got = jax.jit(lambda: in_one_piece.results(make, shard))()
    in_one_piece.assert_as_whole(got, name)


def test_every_part_is_in_one_piece_that_is_no_larger_than_it_may_be(shares):
    shares(3, least=50)
    for parts in (1, 2, 5, 7, 8):
        mesh = in_one_piece.mesh((parts,))
        for n in (1, 40, 100, 353):
            columns = cut.Cut(mesh, (n, 7), (), ("a",), ())
            most = max(50, 3 * sum(columns.shares))
            for group, share in enumerate(columns.shares):
                begins = [*columns.pieces(group), parts]
                lengths = np.diff(begins)
                assert lengths.sum() == parts
                assert all(lengths[:-1] == lengths[0])
                assert 0 < lengths[-1] <= lengths[0] <= max(1, most // share)


def test_groups_are_no_more_than_pieces(shares):
    shares(1)
    for groups, expected in (((40,), True), ((40,) * 4, True), ((40,) * 5, False)):
        mesh = in_one_piece.mesh((4,))
        assert cut.Cut(mesh, groups, (), ("a",), ()).in_pieces is expected
        assert not cut.Cut(mesh, groups, ("a",), (), ()).in_pieces  # it has its part
    shares(1, least=40)
    assert not cut.Cut(mesh, (40,), (), ("a",), ()).in_pieces


@pytest.mark.parametrize("shape", [(4,), (4, 2)])
def test_pieces_receive_packed_spikes_once_and_no_more(shares, shape):
    n, devices = 1280, np.prod(shape)
    shares(1)
    axes = ROWS if len(shape) == 1 else BOTH
    matrix = synjit.JITNormal(0.5, 0.2, 0.1, 7, shape=(n, n))
    S = matrix.shard(in_one_piece.mesh(shape), **axes)
    x = S.columns.place(np.arange(n) % 7 == 0)
    windows, received = in_one_piece.loads(S, x)
    assert windows == {(n // 4, n // devices)}
    sums = 0 if axes is ROWS else 2 * 4 * n // devices
    assert received == n * 4 // devices // 8 + sums


def working_memory(devices, n=1 << 24):
    """Bytes that XLA has a device work in, for a product with a large matrix."""
    matrix = synjit.JITNormal(0.5, 0.2, 16 / n, 7, shape=(n, n))
    S = matrix.shard(in_one_piece.mesh((devices,)), rows="a")
    x = jax.ShapeDtypeStruct((n,), bool, sharding=S.columns.sharding())
    compiled = jax.jit(lambda x: S @ x).lower(x).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def test_the_memory_of_a_device_falls_as_their_number(shares):
    n = 1 << 24
    for devices in (2, 4, 8):
        # The result of its own neurons before it is one; flags of all.
        assert working_memory(devices) <= 4 * n / devices + n + 1000
    shares(1, least=cut.PIECE)
    of_four, of_eight = (working_memory(devices) - n / 8 for devices in (4, 8))
    assert of_four / of_eight == pytest.approx(2, rel=0.05)
    assert of_eight <= (16 + 2) * n / 8  # N and Z, twice; bits and flags
