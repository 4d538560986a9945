# SPDX-License-Identifier: Apache-2.0
"""Every example of a docstring runs, and every public name is documented and typed."""

import contextlib
import doctest
import importlib
import inspect
import io
import re
import runpy
from pathlib import Path

import jax
import numpy as np
import pytest
from long import long_unless

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


BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```$"
    r"(?:\n\n```(?P<kind>text|pytb)\n(?P<told>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)


def matches(told, shown):
    """Whether it is what the page shows: ``...`` is any text, a line end a space."""
    shown = re.escape(" ".join(shown.split())).replace(re.escape("..."), ".*")
    return re.fullmatch(shown, " ".join(told.split()))


def run_blocks(page, names):
    """Run the Python blocks of a page one after the other; returns their number.

    A block of text right after one is what it prints, a traceback what it raises.
    """
    promotion = jax.numpy_dtype_promotion("standard")
    blocks = list(BLOCK.finditer(page.read_text()))
    with promotion, jax.numpy_rank_promotion("allow"):  # as users have them
        for block in blocks:
            printed = io.StringIO()
            try:
                with contextlib.redirect_stdout(printed):
                    exec(block["code"], names)
            except Exception as error:
                told = f"{type(error).__name__}: {error}"
                if block["kind"] != "pytb":
                    raise
            else:
                told = printed.getvalue()
                assert block["kind"] != "pytb", f"no error: {block['code']}"
            if block["kind"]:
                assert matches(told, block["told"]), told
    return len(blocks)


@pytest.mark.quick
def test_what_a_page_shows_is_compared(tmp_path):
    page = tmp_path / "page.md"
    text = "```python\n{}\n```\n\n```{}\n{}\n```\n"
    page.write_text(text.format("print(1 + 1)", "text", "2"))
    assert run_blocks(page, {}) == 1
    page.write_text(text.format("1 / 0", "pytb", "ZeroDivisionError: ... by zero"))
    assert run_blocks(page, {}) == 1
    for code, kind, told in (
        ("print(1 + 1)", "text", "3"),
        ("1 / 0", "pytb", "ZeroDivisionError: of something else"),
        ("1 / 1", "pytb", "ZeroDivisionError: ... by zero"),
    ):
        page.write_text(text.format(code, kind, told))
        with pytest.raises(AssertionError):
            run_blocks(page, {})


@pytest.mark.quick
def test_every_relative_link_leads_to_a_file():
    pages = [README, README.parent / "CONTRIBUTING.md", *DOCS.glob("*.md")]
    checked = 0
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
            checked += 1
    assert checked > 100


@pytest.mark.quick
def test_links_of_the_readme_are_absolute_where_it_is_published():
    script = runpy.run_path(str(README.parent / ".ci" / "absolute_links.py"))
    found = script["absolute"](README.read_text(), "https://there/synjit", "v1.2.3")
    assert "](https://there/synjit/blob/v1.2.3/docs/speed.md)" in found
    assert "](https://there/synjit/raw/v1.2.3/docs/pictures/raster.png)" in found
    assert not re.findall(r"\]\((?!https://)", found)


@pytest.mark.quick
def test_every_public_name_is_in_the_reference_of_functions():
    others = {"hookimpl", "hookspecs", "reference"}  # pluggy's, and modules
    listed = re.findall(r"^   (\w+)$", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(set(synjit.__all__) - others)


LONG = {"training.md", "what-it-does.md"}


@pytest.mark.parametrize(
    "page",
    long_unless(lambda _, page: page.name not in LONG, PAGES),
    ids=lambda page: page.name,
)
def test_the_page_runs(page):
    assert run_blocks(page, dict(GIVEN.get(page.name, {})))


@pytest.mark.quick
def test_the_readme_runs():
    names = {}
    assert run_blocks(README, names) == 1  # with its output
    assert names["E"].shape == (80_000, 80_000)


def test_the_page_on_many_devices_runs(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    names = {"folder": tmp_path}
    assert run_blocks(DOCS / "many-devices.md", names) == 4
    M, spikes = names["M"], names["spikes"]
    assert (names["S"].rows.collect(names["current"]) == M @ spikes).all()
    assert names["gradient"].matrix.w_loc == names["n"]
    assert (names["later"] == names["right"]).all()
