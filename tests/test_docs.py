# SPDX-License-Identifier: Apache-2.0
"""Every example of a docstring runs, and every public name is documented and typed."""

import doctest
import inspect

import pytest

import synjit
from synjit import arguments, matrix, products


@pytest.mark.parametrize("module", [arguments, matrix, products])
def test_examples(module):
    found = doctest.testmod(module)
    assert found.failed == 0
    if module is not arguments:
        assert found.attempted > 5


@pytest.mark.parametrize("name", synjit.__all__)
def test_public_names(name):
    thing = getattr(synjit, name)
    assert inspect.getdoc(thing), f"synjit.{name} has no docstring"
    if inspect.isfunction(thing):
        hints = inspect.signature(thing)
        untyped = [p.name for p in hints.parameters.values() if p.annotation is p.empty]
        assert not untyped, f"synjit.{name} does not type {untyped}"
