# SPDX-License-Identifier: Apache-2.0
"""Every example of a docstring runs, and every public name is documented and typed."""

import doctest
import inspect
import re
from pathlib import Path

import pytest

import synjit
from synjit import blocks, matrix, products, seeding
from synjit.compat import brainevent

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("module", [blocks, brainevent, matrix, products, seeding])
def test_examples(module):
    found = doctest.testmod(module)
    assert found.failed == 0
    assert found.attempted > 1


@pytest.mark.parametrize("name", synjit.__all__)
def test_public_names(name):
    thing = getattr(synjit, name)
    assert inspect.getdoc(thing), f"synjit.{name} has no docstring"
    if inspect.isfunction(thing):
        hints = inspect.signature(thing)
        untyped = [p.name for p in hints.parameters.values() if p.annotation is p.empty]
        assert not untyped, f"synjit.{name} does not type {untyped}"


def test_the_readme_runs():
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)
    spikes, n = names["jnp"].arange(names["n"]) % 7 == 0, names["n"]
    whole = synjit.binary_jitnmv(1.0, 0.1, 0.01, spikes, 42, shape=(n, n))
    assert (names["step"](spikes) == whole).all()
