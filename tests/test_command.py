# SPDX-License-Identifier: Apache-2.0
"""The command line: what it says, and to whom it listens."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata

import pytest

import synjit
from synjit import cli
from synjit.cli import output
from synjit.explanation import Explanation

COMMANDS = (
    [],
    ["backends"],
    ["bench"],
    ["conformance"],
    ["demo"],
    ["explain"],
    ["export"],
    ["support-table"],
    ["warmup"],
)
RUN = "import synjit_command; synjit_command.main()"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_is_plain_text(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "usage: synjit" in told
    assert "`" not in told


@pytest.mark.quick
def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"synjit {synjit.__version__}\n"
    assert metadata.version("synjit") == synjit.__version__


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("conformance numba --limit -1", "seconds above 0, got '-1'"),
        ("conformance numba --limit 0", "seconds above 0, got '0'"),
        ("conformance numba --limit nan", "seconds above 0, got 'nan'"),
        ("conformance numba --limit inf", "seconds above 0, got 'inf'"),
        ("conformance numba --limit soon", "'soon'"),
        ("conformance numba --platform xpu", "invalid choice: 'xpu'"),
        ("conformance numba --platform xpu --list", "invalid choice: 'xpu'"),
    ],
)
def test_options_that_cannot_be(command, reason, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(command.split())
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


# --- results for machines ----------------------------------------------------------

NETWORK = "import synjit\nM = synjit.JITNormal(1.0, 0.1, 0.5, 42, shape=(4, 5))\n"


def result(capsys, *command):
    """Run a command; what it printed, which must be JSON and nothing else."""
    assert cli.main([*map(str, command), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_command_has_its_result_as_json():
    parser = cli._parser()
    (commands,) = (a.choices for a in parser._actions if a.dest == "command")
    without = {name for name, c in commands.items() if "--json" not in c.format_help()}
    assert without == {"support-table"}  # which is made of JSON


def test_backends_as_json(capsys):
    found = result(capsys, "backends")
    assert found["backends"][0] == {
        "backend": "numba",
        "platform": "cpu",
        "from": "built in",
        **found["backends"][0],
    }
    assert {"events", "floats", "dense"} < set(found["backends"][0])


def test_explain(capsys):
    command = ["explain", "events", "--shape", "100,80", "--platform", "cpu"]
    found = result(capsys, *command)
    assert found["backend"] == "numba"
    assert "pallas_gpu" in found["reasons"]
    assert cli.main(command) == 0
    assert "shape (100, 80)" in capsys.readouterr().out
    assert cli.main(["explain", "--shape=-1,5"]) == 2
    assert "shape must be" in capsys.readouterr().err


def test_export_as_json(tmp_path, capsys):
    program = tmp_path / "network.py"
    program.write_text(NETWORK)
    out = tmp_path / "net"
    command = ["export", f"{program}:M", "--format", "npz"]
    found = result(capsys, *command, "--delay", "1.5", "--out", out)
    assert found == {"folder": str(out), "format": "npz"}


def test_demo_as_json(tmp_path, capsys):
    found = result(capsys, *DEMO, "--no-pictures")
    assert len(found["rates"]) == 8


def test_conformance_as_json(tmp_path, capsys):
    path = tmp_path / "new" / "report.json"
    only = ["conformance", "numba", "--only", "dense/prob=0/*"]
    cli.main([*only, "--json", str(path)])  # never a pass: it is a part
    assert "right so far" in capsys.readouterr().out
    report = json.loads(path.read_text())
    assert report["ran"] < report["required"]
    cli.main([*only, "--json"])
    assert json.loads(capsys.readouterr().out)["ran"] == report["ran"]


def test_json_that_cannot_be_written_stops_before_the_work(monkeypatch, capsys):
    monkeypatch.setattr("synjit.explain", None)
    assert cli.main(["explain", "--json", "/proc/synjit/x.json"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_warmup_asks_for_every_product(monkeypatch, capsys):
    asked = []

    def explain(product, *, dtype, transpose, grid=None, **_options):
        asked.append((product, dtype, transpose))
        assert grid is None or len(grid.blocks) > 1  # one has no kernel of its own
        return Explanation(None, "numba", "conforms", {})

    monkeypatch.setattr("synjit.explain", explain)
    found = result(capsys, "warmup")
    products = ["events", "floats", "dense", "weighted", "deliver"]
    assert [row["product"] for row in found["products"]] == products
    # The gate judges each direction by itself.
    wanted = [
        (p, t) for p in products for t in (False, True)[: 1 + (p in products[:2])]
    ]
    dtypes = ("float32", "float64")
    assert set(asked) == {(p, d, t) for p, t in wanted for d in dtypes}


def test_bench_compares_the_same_matrix(monkeypatch, capsys):
    monkeypatch.setattr("synjit.cli.bench.SECONDS", 0.0)
    monkeypatch.setattr("synjit.cli.bench.CASES", ((300, 0.1, 0.1),))
    (case,) = result(capsys, "bench")["cases"]
    assert case["synjit_us"] > 0
    assert case["stored_bytes"] == pytest.approx(8 * 9000, rel=0.1)
    tocsc = synjit.JITNormal.tocsc
    monkeypatch.setattr(synjit.JITNormal, "tocsc", lambda M: tocsc(M.replace(seed=1)))
    with pytest.raises(AssertionError, match="another product"):
        cli.main(["bench"])


# --- tables ------------------------------------------------------------------------


def test_tables_are_plain_where_no_terminal_reads(capsys):
    output.show_table([["a", "b"], ["1", "[red]2"]])
    assert capsys.readouterr().out == "a  b\n1  [red]2\n"


def test_tables_on_a_terminal(monkeypatch, capsys):
    pytest.importorskip("rich")
    monkeypatch.setattr("synjit.cli.output.is_rich", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    output.show_table([["a", "b"], ["1", "[red]2"]])
    told = capsys.readouterr().out
    assert "[red]2" in told  # words are no markup
    assert "\x1b[1m" in told  # the heads are bold
    assert not re.search(r"\x1b\[[34]\d", told)  # and nothing has a colour


def test_a_table_that_is_too_wide_for_a_terminal_is_plain(monkeypatch, capsys):
    pytest.importorskip("rich")
    monkeypatch.setattr("synjit.cli.output.is_rich", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    output.show_table([["a", "b"], ["1", "x" * 40]])
    assert capsys.readouterr().out.splitlines()[1] == "1  " + "x" * 40


# --- reports ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"no JSON",
        b"\xff\xfe\xfd",
        b"[]",
        b"3",
        b"{}",
        b'{"format": 0}',
        b'{"format": 1}',
        b'{"format": 1, "sections": 3}',
        b"[" * 100_000,
    ],
    ids=lambda text: repr(text[:30]),
)
def test_what_is_no_report_is_named(text, tmp_path, capsys):
    path = tmp_path / "bad.json"
    path.write_bytes(text)
    assert cli.main(["support-table", str(path)]) == 2
    assert f"synjit: {path} is not a report of format 1" in capsys.readouterr().err


# --- where the demo writes --------------------------------------------------------

DEMO = ["demo", "--scale", "0.01", "--duration", "5", "--transient", "0"]


@pytest.fixture
def no_work(monkeypatch):
    def work(*_given, **_options):
        raise AssertionError("it set to work")

    monkeypatch.setattr("synjit.demo.report.simulate", work)


@pytest.mark.parametrize("name", ["raster.png", "summary.json"])
def test_a_folder_in_place_of_a_file_of_the_demo(name, no_work, tmp_path, capsys):
    (tmp_path / name).mkdir()
    assert cli.main([*DEMO, "--out", str(tmp_path)]) == 2
    assert f"{tmp_path / name} is a folder" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made(no_work, tmp_path, capsys):
    out = tmp_path / "new" / ("x" * 300)
    assert cli.main([*DEMO, "--out", str(out)]) == 2
    assert "cannot be written: File name too long" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_system_of_files_that_takes_none(no_work, capsys):
    """Root may write there by its permissions, as to a disk mounted read-only."""
    assert cli.main([*DEMO, "--out", "/proc/synjit"]) == 2
    assert "/proc/synjit/raster.png cannot be written" in capsys.readouterr().err


def test_numbers_without_pictures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("synjit.demo.report.find_spec", lambda _name: None)
    out = tmp_path / "new" / "out"
    assert cli.main([*DEMO, "--no-pictures", "--out", str(out)]) == 0
    assert [path.name for path in out.iterdir()] == ["summary.json"]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["versions"]["synjit"] == synjit.__version__


# --- readers that have had enough ---------------------------------------------------


def run_into(output, *arguments):
    """Run the command with an output of its own; its exit status and complaints."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", ["backends", "conformance numba --list"])
def test_a_pipe_that_nobody_reads(command):
    reader, writer = os.pipe()
    os.close(reader)
    assert run_into(writer, *command.split()) == (141, "")
    os.close(writer)


def test_a_full_disk():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        code, told = run_into(full, "backends")
    assert (code, told) == (2, "synjit: [Errno 28] No space left on device\n")
