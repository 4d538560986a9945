# SPDX-License-Identifier: Apache-2.0
"""What docs/many-devices.md counts is counted again, its model held to its tables."""

import re
from pathlib import Path

import jax
import pytest
import scaling

from synjit.cut import Cut

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


def test_the_memory_of_a_large_product():
    lines = table("devices | pieces")
    assert [line[0] for line in lines] == [1, 2, 4, 8, 16, 32, 64]
    n = 1 << 24
    for devices, pieces, megabytes, of_own, model in lines:
        assert pieces == n / scaling.unpacked(n, int(devices))
        assert of_own == pytest.approx(megabytes * 1e6 * devices / n, rel=5e-3)
        predicted = scaling.product_memory(n, int(devices)) * devices / n
        assert predicted == pytest.approx(model, abs=0.06)
        assert model == pytest.approx(of_own, rel=0.12)
    for line in (lines[0], lines[3]):
        counted = scaling.memory_of_product(int(line[0])) / 1e6
        assert counted == pytest.approx(line[2], rel=0.1)  # XLA's, by its version


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_the_pieces_of_the_model_are_those_of_a_product(devices):
    auto = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((devices,), ("n",), axis_types=auto)
    for n in (1 << 20, 1 << 24, 1 << 30):
        begins = Cut(mesh, (n,), (), ("n",), ()).pieces(0)
        assert len(begins) == n / scaling.unpacked(n, devices)


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
    lines = table("neurons | devices")
    assert len(lines) == 9
    for neurons, parts, draw, wait, find, megabytes in lines:
        active = neurons * scaling.RATE * scaling.STEP
        took = scaling.drawing(
            scaling.ACCELERATOR, neurons, 1e4 / neurons, active, int(parts)
        )
        assert took * 1e3 == pytest.approx(draw, abs=6e-4)
        waited = scaling.exchange(scaling.ACCELERATOR, neurons, int(parts))
        assert waited * 1e3 == pytest.approx(wait, abs=6e-4)
        found = scaling.finding(scaling.ACCELERATOR, neurons, int(parts))
        assert found * 1e3 == pytest.approx(find, abs=6e-4)
        memory = scaling.product_memory(neurons, int(parts))
        assert memory / 1e6 == pytest.approx(megabytes, abs=0.6)
