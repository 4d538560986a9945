# SPDX-License-Identifier: Apache-2.0
"""The layers of ``examples/layers/``, for the packages that are installed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

LAYERS = Path(__file__).parents[1] / "examples" / "layers"
PACKAGES = {"brainstate": "brainpy", "equinox": "equinox", "flax": "flax"}


def test_each_layer_has_a_test():
    found = {path.stem.removesuffix("_layer") for path in LAYERS.glob("*.py")}
    assert found == set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_layer(name):
    pytest.importorskip(PACKAGES[name])
    command = [sys.executable, LAYERS / f"{name}_layer.py"]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False
    )
    assert ran.returncode == 0, ran.stderr
    if name == "brainstate":
        rate = float(re.search(r"([\d.]+) spikes/s", ran.stdout)[1])
        assert 0.5 < rate < 200
    else:  # it found the weights that make twice the current
        error, mean = map(float, re.findall(r"-?\d+\.\d+", ran.stdout))
        assert error < 0.01
        assert mean == pytest.approx(1.0, abs=0.02)
