# SPDX-License-Identifier: Apache-2.0
"""Every example of a docstring runs, and every public name is documented and typed."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import jax
import numpy as np
import pytest

import synjit

README = Path(__file__).parents[1] / "README.md"
DOCS = README.parent / "docs"
# Pages with programs, but for those that have tests of their own.
TESTED_ELSEWHERE = {"writing-a-backend.md", "many-devices.md"}
PAGES = [
    page
    for page in sorted(DOCS.glob("*.md"))
    if "```python" in page.read_text() and page.name not in TESTED_ELSEWHERE
]
# Names that a page takes as given.
GIVEN = {"brainevent.md": {"spikes": np.arange(2000) % 7 == 0}}
PACKAGE = Path(synjit.__file__).parent
WITH_EXAMPLES = [
    ".".join(("synjit", *path.relative_to(PACKAGE).with_suffix("").parts))
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text() and path.name != "__init__.py"
]


def test_examples_are_found():
    assert {"synjit.products", "synjit.blocks"} < set(WITH_EXAMPLES)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0
    assert found.attempted > 1


@pytest.mark.quick
@pytest.mark.parametrize("name", synjit.__all__)
def test_public_names(name):
    thing = getattr(synjit, name)
    assert inspect.getdoc(thing), f"synjit.{name} has no docstring"
    if inspect.isfunction(thing):
        hints = inspect.signature(thing)
        untyped = [p.name for p in hints.parameters.values() if p.annotation is p.empty]
        assert not untyped, f"synjit.{name} does not type {untyped}"


def run_blocks(page, names):
    """Run the Python blocks of a page one after the other; returns their number."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    promotion = jax.numpy_dtype_promotion("standard")
    with promotion, jax.numpy_rank_promotion("allow"):  # as users have them
        for block in blocks:
            exec(block, names)
    return len(blocks)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_runs(page):
    assert run_blocks(page, dict(GIVEN.get(page.name, {})))


@pytest.mark.quick
def test_the_readme_runs():
    names = {}
    assert run_blocks(README, names) == 3
    assert names["mesh"].size > 1
    whole = names["B"] @ (names["jnp"].arange(100) % 7 == 0)
    assert (names["S"].rows.collect(names["current"]) == whole).all()


def test_the_page_on_many_devices_runs(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    names = {"folder": tmp_path}
    assert run_blocks(DOCS / "many-devices.md", names) == 4
    M, spikes = names["M"], names["spikes"]
    assert (names["S"].rows.collect(names["current"]) == M @ spikes).all()
    assert names["gradient"].matrix.w_loc == names["n"]
    assert (names["later"] == names["right"]).all()
