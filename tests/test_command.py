# SPDX-License-Identifier: Apache-2.0
"""The command line: what it says, and to whom it listens."""

import json
import os
import subprocess
import sys
from importlib import metadata

import pytest

import synjit
from synjit import cli

COMMANDS = (
    [],
    ["backends"],
    ["conformance"],
    ["support-table"],
    ["demo"],
    ["export"],
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
