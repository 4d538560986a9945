# SPDX-License-Identifier: Apache-2.0
"""What is exported is the network, whole or not at all."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import brainunit as u
import h5py
import numpy as np
import pytest

import synjit
from synjit import cli
from synjit.network_files import sonata

SEEDS = synjit.seeds(3, 3)
EE = synjit.JITNormal(50 * u.pA, 5 * u.pA, 0.1, SEEDS[0], shape=(80, 80))
EI = synjit.JITNormal(-0.2 * u.nA, 0.02 * u.nA, 0.2, SEEDS[1], shape=(80, 20))
IE = synjit.JITConstant(40 * u.pA, 0.2, SEEDS[2], shape=(20, 80))
NETWORK = synjit.JITBlocks([[EE, EI], [IE, None]])
NAMES = ["E", "I"]
LAW = synjit.normal_delays(1.5 * u.ms, 0.75 * u.ms, dt=0.1 * u.ms)
PLAIN = synjit.JITNormal(1.0, 0.1, 0.1, 5, shape=(80, 20))


def rows_of(folder, name, form):
    """Read source, target, weight and delay of a projection."""
    if form == "csv":
        return np.loadtxt(folder / f"{name}.csv", delimiter=",", skiprows=1).T
    if form == "npz":
        with np.load(folder / f"{name}.npz") as file:
            return [file[key] for key in ("source", "target", "weight", "delay")]
    with h5py.File(folder / "edges.h5") as file:
        group = file[f"edges/{name}"]
        keys = ("source_node_id", "target_node_id", "0/syn_weight", "0/delay")
        return [group[key][:] for key in keys]


@pytest.fixture(scope="module", params=["sonata", "csv", "npz"])
def form(request):
    return request.param


@pytest.fixture(scope="module")
def folder(form, tmp_path_factory):
    place = tmp_path_factory.mktemp(form) / "new" / "network"
    given = {"targets": NAMES, "delays": [[1.5 * u.ms, varied], [2, None]]}
    assert synjit.export_network(NETWORK, place, format=form, **given) == place
    return place


def varied(sources, targets):
    return 1.0 + 0.1 * sources + 0.001 * targets


@pytest.mark.parametrize(
    ("name", "i", "j", "delay"),
    [
        ("E_to_E", 0, 0, lambda s, t: np.full(len(s), 1.5)),
        ("I_to_E", 0, 1, varied),
        ("E_to_I", 1, 0, lambda s, t: np.full(len(s), 2.0)),
    ],
)
def test_every_projection(folder, form, name, i, j, delay):
    source, target, weight, delays = rows_of(folder, name, form)
    found = NETWORK.blocks[i][j].connections()
    np.testing.assert_array_equal(source, found.columns)
    np.testing.assert_array_equal(target, found.rows)
    expected = np.asarray(found.weights.to_decimal(u.pA))
    np.testing.assert_array_equal(np.asarray(weight, np.float32), expected)
    np.testing.assert_allclose(delays, delay(found.columns, found.rows), rtol=1e-12)


def test_tables_are_described(folder, form):
    if form == "sonata":
        return
    told = json.loads((folder / "network.json").read_text())
    assert told["populations"] == {"E": 80, "I": 20}
    assert told["weight_unit"] == "pA"
    assert told["delay_unit"] == "ms"
    files = {p["file"]: p["connections"] for p in told["projections"]}
    assert files == {
        f"E_to_E.{form}": EE.nnz,
        f"I_to_E.{form}": EI.nnz,
        f"E_to_I.{form}": IE.nnz,
    }


def test_sonata_as_it_is_specified(folder, form):
    if form != "sonata":
        return
    with h5py.File(folder / "edges.h5") as file:
        assert file.attrs["magic"] == 0x0A7A
        assert list(file.attrs["version"]) == [0, 1]
        assert set(file["edges"]) == {"E_to_E", "I_to_E", "E_to_I"}
        for number, name in enumerate(("E_to_E", "I_to_E", "E_to_I")):
            group = file["edges"][name]
            source, target = name.split("_to_")
            assert group["source_node_id"].attrs["node_population"] == source
            assert group["target_node_id"].attrs["node_population"] == target
            assert group["0/syn_weight"].attrs["unit"] == "pA"
            length = len(group["source_node_id"])
            kinds = ("edge_type_id", "edge_group_id", "edge_group_index")
            values = [group[kind][:] for kind in kinds]
            expected = [np.full(length, number), np.zeros(length), np.arange(length)]
            np.testing.assert_array_equal(values, expected)
    with h5py.File(folder / "nodes.h5") as file:
        sizes = {name: len(g["node_type_id"]) for name, g in file["nodes"].items()}
        assert sizes == {"E": 80, "I": 20}
        assert set(file["nodes/I/node_type_id"][:]) == {1}
    circuit = json.loads((folder / "circuit_config.json").read_text())
    for files in (*circuit["networks"]["nodes"], *circuit["networks"]["edges"]):
        for key, path in files.items():
            if key.endswith("_file"):
                assert (folder / path.removeprefix("$BASE_DIR/")).is_file()
    types = [line.split() for line in (folder / "node_types.csv").open()][1:]
    assert [t[:4] for t in types] == [
        ["0", "E", "point_neuron", "nest:iaf_psc_exp"],
        ["1", "I", "point_neuron", "nest:iaf_psc_exp"],
    ]
    assert all((folder / "components" / t[4]).read_text() == "{}\n" for t in types)


def test_a_single_matrix_without_names_or_unit(tmp_path):
    out = synjit.export_network(PLAIN, tmp_path / "one")
    with h5py.File(out / "edges.h5") as file:
        group = file["edges/block_0_0"]
        assert group["source_node_id"].attrs["node_population"] == "source_0"
        assert group["target_node_id"].attrs["node_population"] == "target_0"
        assert group["0/syn_weight"].attrs["unit"] == "none"
        assert "delay" not in group["0"]
        assert len(group["source_node_id"]) == PLAIN.nnz


@pytest.mark.parametrize(
    ("transposed", "law"),
    [(False, LAW), (True, LAW), (False, 4)],
    ids=["as stored", "transposed", "one for all"],
)
def test_delays_that_are_drawn(tmp_path, transposed, law):
    """What a spike of each neuron leaves in the ring is what the file says."""
    M = synjit.JITNormal(1.0, 0.1, 0.3, 42, delay=law, shape=(30, 20), origin=(5, 3))
    with pytest.raises(ValueError, match=r"say how long a step is, as dt=0\.1"):
        synjit.export_network(M, tmp_path / "none", format="npz")
    written = M.T if transposed else M
    out = synjit.export_network(
        written, tmp_path / "out", format="npz", dt=0.1 * u.ms, unit=None
    )
    with np.load(out / "block_0_0.npz") as file:
        source, target = file["source"], file["target"]
        steps = np.rint(file["delay"] / 0.1).astype(int)
        weight = file["weight"]
    rows, columns = (source, target) if transposed else (target, source)
    for j in range(20):
        ring = np.asarray(M.deliver(np.arange(20) == j, M.ring(), 0).value)
        slots, found = np.nonzero(ring)
        own = columns == j
        order = np.lexsort((rows[own], steps[own]))
        np.testing.assert_array_equal(slots, steps[own][order])
        np.testing.assert_array_equal(found, rows[own][order])
        np.testing.assert_array_equal(ring[slots, found], weight[own][order])


def test_other_units(tmp_path):
    out = synjit.export_network(NETWORK, tmp_path / "nA", unit=u.nA, format="npz")
    with np.load(out / "block_0_0.npz") as file:
        expected = np.asarray(EE.connections().weights.to_decimal(u.nA))
        np.testing.assert_allclose(file["weight"], expected, rtol=1e-6)
    assert json.loads((out / "network.json").read_text())["weight_unit"] == "nA"


def test_projections_without_connections_are_left_out_of_sonata(tmp_path):
    blocks = synjit.JITBlocks([[PLAIN, PLAIN.replace(prob=0.0)]])
    out = synjit.export_network(blocks, tmp_path / "out")
    with h5py.File(out / "edges.h5") as file:
        assert list(file["edges"]) == ["block_0_0"]
    circuit = json.loads((out / "circuit_config.json").read_text())
    assert list(circuit["networks"]["edges"][0]["populations"]) == ["block_0_0"]


# --- whole or not at all ----------------------------------------------------------

KILLED = """
    import sys, time
    import synjit
    from synjit.network_files import network

    pieces = network.Projection.pieces

    def slowly(projection):
        for piece in pieces(projection):
            yield piece
            print("written", flush=True)
            time.sleep(60)

    network.Projection.pieces = slowly
    M = synjit.JITNormal(1.0, 0.1, 0.1, 5, shape=(80, 20))
    synjit.export_network(M, sys.argv[1], format=sys.argv[2])
"""


def test_killed_it_leaves_nothing_that_looks_whole(tmp_path, form):
    out = tmp_path / "network"
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(out), form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "written\n"
        if form == "csv":
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
    assert not out.exists()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith("network-")
    assert left.name.endswith(".incomplete")
    for described in ("network.json", "circuit_config.json", "edge_types.csv"):
        assert not (left / described).exists()


def test_failed_it_leaves_nothing(tmp_path, form):
    def late(sources, targets):
        raise ArithmeticError("no delay")

    with pytest.raises(ArithmeticError, match="no delay"):
        synjit.export_network(
            NETWORK, tmp_path / "out", format=form, delays=[[1.0, 1.0], [late, None]]
        )
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_kept(tmp_path, form):
    kept = tmp_path / "kept"
    kept.write_text("mine")
    for place in (tmp_path, kept):
        with pytest.raises(FileExistsError, match="is there already"):
            synjit.export_network(NETWORK, place, format=form)
    assert kept.read_text() == "mine"
    empty = tmp_path / "empty"
    empty.mkdir()
    synjit.export_network(PLAIN, empty, format=form)
    assert any(empty.iterdir())


def test_damage_is_seen(tmp_path):
    out = synjit.export_network(PLAIN, tmp_path / "out")
    edges = out / "edges.h5"
    edges.write_bytes(edges.read_bytes()[:-1000])
    with pytest.raises(OSError, match="truncated"):
        h5py.File(edges)


# --- what is refused --------------------------------------------------------------

TERA = synjit.JITConstant(1.0, 0.1, 3, shape=(10**7, 10**6))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"format": "nwb"}, ValueError, "one of sonata, csv, npz, got 'nwb'"),
        ({"network": np.eye(3)}, TypeError, "network must be a JITBlocks"),
        ({"targets": ["E"]}, ValueError, "must be 2 different names.*got .'E'"),
        ({"targets": ["E", "E"]}, ValueError, "must be 2 different names"),
        ({"targets": ["E", "a b"]}, ValueError, "letters, digits"),
        ({"targets": "EI"}, TypeError, "targets must be 2 different names"),
        ({"sources": NAMES}, ValueError, "name both"),
        ({"network": PLAIN, "targets": ["E"]}, ValueError, "name the sources too"),
        (
            {"network": PLAIN, "targets": ["E"], "sources": ["E"]},
            ValueError,
            "'E' has 80 neurons as a target and 20",
        ),
        (
            {"delays": -1.0},
            ValueError,
            "delays of block_0_0 must be finite and above 0",
        ),
        ({"delays": float("nan")}, ValueError, "finite and above 0 ms, got nan"),
        ({"delays": "1.5"}, TypeError, "delays of block_0_0 must be numbers"),
        ({"delays": [1.0, 2.0]}, ValueError, "a list of rows, as the blocks"),
        ({"delays": lambda s, t: 1.0}, ValueError, "one for each of .* connections"),
        ({"delays": 1 * u.mV}, u.UnitMismatchError, None),
        ({"unit": u.mV}, u.UnitMismatchError, None),
        ({"unit": "pA"}, TypeError, "say in which unit.*got 'pA'"),
        ({"network": PLAIN, "unit": u.pA}, TypeError, "have no unit"),
        ({"network": PLAIN * u.second}, TypeError, "neither a current"),
        ({"neuron_model": "a b"}, ValueError, "name of one of NEST's"),
        (
            {"network": TERA},
            OSError,
            r"1,000,000,0\d\d,\d{3} connections as sonata .* free",
        ),
        ({"network": TERA, "format": "npz"}, OSError, r"would take [\d,]{15,} bytes"),
    ],
)
def test_bad_input(tmp_path, change, error, text):
    given = {"network": NETWORK, **change}
    with pytest.raises(error, match=text):
        synjit.export_network(given.pop("network"), tmp_path / "out", **given)
    assert list(tmp_path.iterdir()) == []


def test_without_h5py(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'synjit\[export\]'"):
        synjit.export_network(NETWORK, tmp_path / "out")
    with pytest.raises(ModuleNotFoundError):
        sonata.check_h5py()


# --- the command ------------------------------------------------------------------

PROGRAM = """
    import synjit
    B = synjit.JITNormal(1.0, 0.1, 0.1, 5, shape=(80, 20))
    x = 1
"""


def run(capsys, *arguments):
    code = cli.main(["export", *map(str, arguments)])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_the_command(tmp_path, capsys):
    program = tmp_path / "network.py"
    program.write_text(textwrap.dedent(PROGRAM))
    out = tmp_path / "out"
    named = ("--targets", "E", "--sources", "S", "--format", "npz", "--delay", "1.5")
    code, told, _ = run(capsys, f"{program}:B", "--out", out, *named)
    assert (code, told) == (0, f"{out}\n")
    with np.load(out / "S_to_E.npz") as file:
        assert len(file["source"]) == PLAIN.nnz
        assert set(file["delay"]) == {1.5}
    for where, text in (
        (f"{program}:B", "is there already"),
        (f"{program}:x", "network must be a JITBlocks"),
        (f"{program}:C", "has no 'C'"),
        (f"{program}", "say FILE.py:NAME"),
        (f"{tmp_path / 'none.py'}:B", "is no file"),
    ):
        code, _, told = run(capsys, where, "--out", out)
        assert code == 2
        assert text in told
    code, _, told = run(capsys, f"{program}:B", "--out", out, "--unit", "Farad")
    assert code == 2
    assert "no unit 'Farad'" in told
