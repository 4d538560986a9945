# SPDX-License-Identifier: Apache-2.0
"""What docs/many-devices.md counts is counted again, its model held to its tables."""

import re
from pathlib import Path

import pytest
import scaling

PAGE = (Path(__file__).parents[1] / "docs" / "many-devices.md").read_text()


def table(first_column):
    """Lines of the table that begins so, as lists of numbers."""
    lines = PAGE[PAGE.index(f"| {first_column} |") :].split("\n\n", maxsplit=1)[0]
    cells = [re.findall(r"[\d.,e+]+", line) for line in lines.splitlines()[2:]]
    return [[float(cell.replace(",", "")) for cell in line] for line in cells]


def test_a_step_of_the_microcircuit():
    lines = table("devices | bytes received")
    assert [line[0] for line in lines] == [1, 2, 4, 8]
    of_one, of_eight = scaling.microcircuit(1), scaling.microcircuit(8)
    for line, counted in ((lines[0], of_one), (lines[-1], of_eight)):
        received, memory, own, listed = counted
        assert [line[1], line[3], line[4]] == [received, round(own), round(listed)]
        assert memory / 1e6 == pytest.approx(line[2], rel=0.2)  # XLA's, by its version
    assert of_eight[2] == of_one[2] / 8


def test_the_model_predicts_what_was_measured():
    lines = table("devices | rows")
    measured = {int(parts): ms * 1e-3 for parts, _, _, ms, _ in lines}
    machine = scaling.fitted(measured)
    for parts, _, _, ms, told in lines:
        of_window = (scaling.ROWS, scaling.PROB, scaling.ACTIVE, int(parts))
        model = scaling.drawing(machine, *of_window) * 1e3
        assert model == pytest.approx(told, rel=0.03)  # of rounded figures
        assert model == pytest.approx(ms, rel=0.12)


def test_the_model_of_large_networks():
    for neurons, parts, draw, wait, megabytes in table("neurons | devices"):
        active = neurons * scaling.RATE * scaling.STEP
        took = scaling.drawing(
            scaling.ACCELERATOR, neurons, 1e4 / neurons, active, int(parts)
        )
        assert took * 1e3 == pytest.approx(draw, abs=6e-4)
        waited = scaling.exchange(scaling.ACCELERATOR, neurons, int(parts))
        assert waited * 1e3 == pytest.approx(wait, abs=6e-4)
        assert megabytes == neurons / 1e6
