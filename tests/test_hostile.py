# SPDX-License-Identifier: Apache-2.0
"""Backends that are wrong, each in its own way: all are refused, the fault named."""

import sys
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hostile_backends import (
    HOSTILE,
    Hangs,
    Honest,
    IgnoresHighWordOfSeed,
    IgnoresOrigin,
    WrongEveryHundredthCall,
)

import synjit
from synjit import Backend, BackendError, cli, gate, hookimpl
from synjit.backends.numba_cpu import plugin as honest
from synjit.conformance import Case, Check, certificate, check
from synjit.conformance.runner import problem_of
from synjit.registry import Registry, registry


@pytest.fixture
def register():
    """Register plugins for one test."""
    names = []

    def one(plugin):
        registered = registry().register(plugin)
        names.append(registered.backend.name)
        return registered

    yield one
    for name in names:
        registry().unregister(name)


def blocks(backend=None):
    block = synjit.JITNormal(1.0, 0.1, 0.1, 1, shape=(10, 10), backend=backend)
    return synjit.JITBlocks([[block]])


def explain(product):
    if product == "blocks":
        return synjit.explain(product, grid=blocks().grid, platform="cpu")
    return synjit.explain(product, shape=(10, 10), platform="cpu")


def run(product, backend=None, n=10):
    if product == "blocks":
        return blocks(backend) @ np.ones(10, bool)
    operand = np.ones(n, bool if product == "events" else np.float32)
    function = synjit.binary_jitnmv if product == "events" else synjit.jitnmv
    return function(1.0, 0.1, 0.1, operand, 1, shape=(n, n), backend=backend)


@pytest.mark.parametrize("plugin", HOSTILE, ids=lambda plugin: plugin.__name__)
def test_hostile_backend_is_refused(plugin, register, monkeypatch):
    if plugin is Hangs:
        monkeypatch.setenv("SYNJIT_GATE_SECONDS", "3")
    name = register(plugin()).backend.name
    with pytest.raises(BackendError) as refusal:
        run(plugin.product, backend=name)
    assert plugin.fault in str(refusal.value)
    if plugin is not Hangs:
        assert "check(" in str(refusal.value)  # a program that shows it

    # Though of the highest priority, it is not the default, and the reason is given.
    explanation = explain(plugin.product)
    assert explanation.backend == "numba"
    assert plugin.fault in explanation.reasons[name]
    run(plugin.product)
    if plugin is Hangs:
        Hangs.release.set()


def test_the_honest_one_is_not_refused(register):
    register(Honest())
    assert synjit.explain(shape=(10, 10), platform="cpu").backend == "Honest"
    assert jnp.array_equal(run("events", "Honest"), run("events", "numba"))


def test_a_hundred_equal_calls_are_made(register):
    """The cases alone make as many; what is tiny is called again and again besides."""
    register(WrongEveryHundredthCall())
    what = Check("calls", Case("events", 0.5, (1, 5)))
    assert "call 100 of 208" in check("WrongEveryHundredthCall", what)


@pytest.mark.parametrize("plugin", [IgnoresHighWordOfSeed, IgnoresOrigin])
def test_the_program_in_a_refusal_shows_the_fault(plugin, register, capsys):
    name = register(plugin()).backend.name
    reason = synjit.explain(backend=name, platform="cpu").reasons[name]
    program = reason[reason.index("from synjit") :]
    exec("\n".join(line.strip() for line in program.splitlines()), {})
    assert plugin.fault in capsys.readouterr().out


class ForTpuOnly(Honest):
    platforms = ("cpu", "tpu")

    def events(self, *operands):
        return jax.lax.platform_dependent(cpu=lambda: honest.synjit_events(*operands))


def test_claims_a_platform_that_is_not_here_either(register):
    registered = register(ForTpuOnly())
    problem = problem_of(Case("events", 0.1, (10, 10)), "tpu")
    verdict = gate.verdict(registered, problem)
    assert verdict.grade == "failed"
    assert "claims the platform tpu, and cannot be lowered for it" in verdict.reason


class RefusesAll(Honest):
    @hookimpl
    def synjit_refuses(self, problem):
        return "" if problem.shape == (10, 10) else "not today"


class RefusesBatches(Honest):
    @hookimpl
    def synjit_refuses(self, problem):
        in_suite = problem.shape != (10, 10)
        return "no batches" if in_suite and problem.batch > 1 else ""


class CannotSay(Honest):
    @hookimpl
    def synjit_refuses(self, problem):
        return 3


@pytest.mark.parametrize(
    ("plugin", "batch", "reason"),
    [
        (RefusesAll, 1, "it refused every conformance case: not today"),
        (RefusesBatches, 2, "it refused all conformance cases of this kind"),
        (CannotSay, 1, "returned 3, and not a string"),
    ],
)
def test_what_was_refused_in_the_suite_is_not_proved(plugin, batch, reason, register):
    name = register(plugin()).backend.name
    explanation = synjit.explain(
        shape=(10, 10), batch=batch, platform="cpu", backend=name
    )
    assert explanation.backend is None
    assert reason in explanation.reasons[name]


def test_who_refuses_batches_may_take_single_vectors(register):
    name = register(RefusesBatches()).backend.name
    assert synjit.explain(shape=(10, 10), platform="cpu").backend == name


# --- at the door ------------------------------------------------------------------


class Door(Honest):
    def __init__(self, **fields):
        self.fields = {"name": "door", "version": "1", "platforms": ("cpu",), **fields}

    @hookimpl
    def synjit_backend(self):
        return Backend(**self.fields)


class UnknownHook(Door):
    @hookimpl
    def synjit_evnets(self, problem):
        return None


class WrongArguments(Door):
    @hookimpl
    def synjit_dense(self, problem, sede):
        return None


class MissingHooks:
    @hookimpl
    def synjit_backend(self):
        return Backend("some", "1", ("cpu",))


class RaisesAtTheDoor(Door):
    @hookimpl
    def synjit_backend(self):
        raise KeyError("who am I")


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (Door(name="numba"), "the name 'numba' is that of a built-in"),
        (Door(aliases=("numba",)), "the name 'numba' is that of a built-in"),
        (Door(name="numba_cpu"), "the name 'numba_cpu' is that of a built-in"),
        (Door(aliases=("numba_cpu",)), "the name 'numba_cpu' is that of a built-in"),
        (Door(aliases=("pallas",)), "the name 'pallas' is that of a built-in"),
        (Door(name="a b"), "must be an identifier"),
        (Door(platforms=("abacus",)), "its platforms must be some of cpu, cuda"),
        (Door(platforms="cpu"), "its platforms must be of type tuple"),
        (Door(requires=("no_such_module",)), "it needs the module 'no_such_module'"),
        (UnknownHook(), "synjit_evnets"),
        (WrongArguments(), "sede"),
        (MissingHooks(), "lacks the hooks synjit_refuses, synjit_events"),
        (RaisesAtTheDoor(), "who am I"),
    ],
)
def test_quarantine(plugin, reason):
    fresh = Registry()
    fresh.load()
    fresh._load_one("a plugin", lambda: plugin, "test")
    assert reason in fresh.quarantine["a plugin"]
    assert "numba" in fresh.backends


def test_an_alias_of_a_built_in_that_is_not_loaded(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    fresh = Registry()
    fresh._load_one("numba", lambda: honest, "built in")
    fresh._load_one("a plugin", lambda: Door(aliases=("numba_cpu",)), "test")
    assert not fresh.backends
    assert "is that of a built-in" in fresh.quarantine["a plugin"]


def test_names_and_aliases_of_third_parties():
    fresh = Registry()
    fresh.register(Door(name="one", aliases=("shared",)))
    fresh.register(Door(name="two", aliases=("shared",)))
    with pytest.raises(ValueError, match="'shared' is an alias of 'one'"):
        fresh.register(Door(name="shared"))
    with pytest.raises(ValueError, match="'one' is taken"):
        fresh.register(Door(name="three", aliases=("one",)))


def test_quarantine_of_what_cannot_be_imported():
    def leave():
        raise SystemExit("I quit")

    fresh = Registry()
    fresh._load_one("quitter", leave, "test")
    fresh._load_one("honest", lambda: honest, "built in")
    assert "I quit" in fresh.quarantine["quitter"]
    assert "numba" in fresh.backends


# --- from a zip, as of pex and zipapp ----------------------------------------------


@pytest.fixture
def zipped(tmp_path, monkeypatch):
    """Zip the example, as it is installed, and put the archive on the path."""
    source = Path(__file__).parents[1] / "examples" / "synjit-xla" / "src"
    path = tmp_path / "plugins.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in source.glob("synjit_xla/*.py"):
            text = file.read_text().replace("synjit_xla", "synjit_zipped")
            text = text.replace('"xla"', '"zipped"')
            archive.writestr(f"synjit_zipped/{file.name}", text)
        about = "synjit_zipped-1.dist-info"
        archive.writestr(f"{about}/METADATA", "Name: synjit-zipped\nVersion: 1\n")
        entry = "[synjit.backends]\nzipped = synjit_zipped.plugin\n"
        archive.writestr(f"{about}/entry_points.txt", entry)
    monkeypatch.syspath_prepend(str(path))
    yield path
    for name in [name for name in sys.modules if name.startswith("synjit_zipped")]:
        del sys.modules[name]


def test_a_plugin_inside_a_zip(zipped, monkeypatch, capsys, tmp_path):
    fresh = Registry()
    fresh.load()
    monkeypatch.setattr("synjit.registry._registry", fresh)
    registered = fresh.backends["zipped"]
    assert certificate.plugin_files(registered.plugin) == [zipped]
    assert cli.main(["backends"]) == 0
    assert "entry point of synjit-zipped" in capsys.readouterr().out

    def subject():
        return certificate.subject(registered, jax.local_devices()[0], {})

    monkeypatch.setenv("SYNJIT_CACHE_DIR", str(tmp_path))
    assert certificate.store(subject(), "passed")
    assert certificate.load(subject()) == "passed"
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr("synjit_zipped/more.py", "")
    assert certificate.load(subject()) is None
