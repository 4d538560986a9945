# SPDX-License-Identifier: Apache-2.0
"""What a certificate is about: all that a backend comes with, and what it declares."""

import importlib
import sys
from dataclasses import replace
from importlib import metadata

import jax
import pytest

from synjit import gate
from synjit.gate import certificate
from synjit.registry import registry

ASKED = gate.Asked("cpu", "events", "int32", x64=False)


def name(registered):
    device = jax.local_devices()[0]
    return certificate.name(
        certificate.subject(registered, device, ASKED._asdict()) or {}
    )


def changed(registered, **fields):
    """A backend that declares something else."""
    backend = replace(registered.backend, **fields)
    return replace(registered, backend=backend)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a distribution of a plugin's module and a module of kernels beside it."""
    (tmp_path / "mine_plugin.py").write_text("import mine_kernels")
    (tmp_path / "mine_kernels.py").write_text("sign = 1")
    info = tmp_path / "synjit_mine-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: synjit-mine\nVersion: 1\n")
    (info / "RECORD").write_text("mine_plugin.py,,\nmine_kernels.py,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for module in ("mine_plugin", "mine_kernels"):
        sys.modules.pop(module, None)


def plugin_of(distribution=None):
    plugin = importlib.import_module("mine_plugin")
    numba = registry().backends["numba"]
    return replace(numba, plugin=plugin, distribution=distribution)


@pytest.mark.parametrize("editable", [False, True])
def test_a_module_beside_the_plugin_counts(installed, editable):
    if editable:
        info = installed / "synjit_mine-1.dist-info"
        (info / "RECORD").write_text("__editable__.synjit_mine.pth,,\n")
        (info / "top_level.txt").write_text("mine_plugin\nmine_kernels\n")
    registered = plugin_of(metadata.distribution("synjit-mine"))
    before = name(registered)
    assert name(registered) == before
    (installed / "mine_kernels.py").write_text("sign = -1")
    assert name(registered) != before


def test_a_lone_module_of_no_distribution_has_no_certificate(installed):
    """It may import any file beside it: what it consists of cannot be known."""
    assert certificate.plugin_files(plugin_of().plugin) == []
    assert name(plugin_of()) == certificate.name({})


def test_an_environment_variable_that_is_declared_counts(monkeypatch):
    numba = registry().backends["numba"]
    declares = changed(numba, environment=("MINE_IS_QUICK",))
    names = {name(declares)}
    for value in ("0", "1"):
        monkeypatch.setenv("MINE_IS_QUICK", value)
        names.add(name(declares))
    assert len(names) == 3


def test_a_file_that_is_declared_counts(tmp_path):
    path = tmp_path / "mine.toml"
    declares = changed(registry().backends["numba"], files=(str(path),))
    names = {name(declares)}
    for text in ("quick = false", "quick = true"):
        path.write_text(text)
        names.add(name(declares))
    assert len(names) == 3
