# SPDX-License-Identifier: Apache-2.0
"""Backends that are wrong, each in its own way: all are refused, the fault named."""

import sys
import zipfile
from pathlib import Path

import hostile_delays
import hostile_processes
import hostile_rules
import hostile_sizes
import hostile_tables
import hostile_values
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hostile_backends import (
    Hangs,
    Honest,
    IgnoresHighWordOfSeed,
    IgnoresOrigin,
    VariesInItsLastBits,
    WrongEveryHundredthCall,
    hostile,
)

import synjit
from synjit import Backend, BackendError, cli, gate, hookimpl
from synjit.backends.numba_cpu import plugin as honest
from synjit.conformance import Case, Check, check, run_full
from synjit.conformance.checks import FULL_COUNT
from synjit.conformance.report import as_text
from synjit.conformance.runner import problem_of
from synjit.gate import certificate
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


def blocks(backend=None, **other):
    """Make a grid: a single block is judged as a matrix is."""
    row = [
        synjit.JITNormal(1.0, 0.1, 0.1, seed, shape=(10, 10), backend=backend, **other)
        for seed in (1, 2)
    ]
    return synjit.JITBlocks([row])


MODULES = (
    hostile_delays,
    hostile_processes,
    hostile_rules,
    hostile_sizes,
    hostile_tables,
    hostile_values,
)  # imported, they are listed
HOSTILE = [plugin for plugin in hostile() if not hasattr(plugin, "only")]
IN_FULL_SUITE = [plugin for plugin in hostile() if hasattr(plugin, "only")]


def explain(product, transpose):
    if product == "weighted":
        return synjit.explain(product, grid=blocks().grid, platform="cpu")
    if product == "deliver":
        grid = blocks(delay=3).grid
        return synjit.explain(product, grid=grid, slots=4, platform="cpu")
    how = {"shape": (10, 10), "transpose": transpose, "platform": "cpu"}
    return synjit.explain(product, **how)


def run(product, transpose=False, backend=None, n=10):
    if product == "weighted":
        return blocks(backend) @ np.ones(20, bool)
    if product == "deliver":
        b = blocks(backend, delay=3)
        return b.deliver(np.ones(20, bool), b.ring(), 0)
    if product == "dense":
        return synjit.jitn(1.0, 0.1, 0.1, 1, shape=(n, n), backend=backend)
    operand = np.ones(n, bool if product == "events" else np.float32)
    function = synjit.binary_jitnmv if product == "events" else synjit.jitnmv
    how = {"shape": (n, n), "transpose": transpose, "backend": backend}
    return function(1.0, 0.1, 0.1, operand, 1, **how)


@pytest.mark.parametrize("plugin", HOSTILE, ids=lambda plugin: plugin.__name__)
def test_hostile_backend_is_refused(plugin, register, monkeypatch):
    if plugin is Hangs:
        monkeypatch.setenv("SYNJIT_GATE_SECONDS", "3")
    name = register(plugin()).backend.name
    with pytest.raises(BackendError) as refusal:
        run(plugin.asked, plugin.transpose, name)
    assert plugin.fault in str(refusal.value)
    if plugin is Hangs:
        assert "SYNJIT_GATE_SECONDS" in str(refusal.value)
    else:
        assert "check(" in str(refusal.value)  # a program that shows it

    # Though of the highest priority, it is not the default, and the reason is given.
    explanation = explain(plugin.asked, plugin.transpose)
    assert explanation.backend == "numba"
    assert plugin.fault in explanation.reasons[name]
    run(plugin.asked, plugin.transpose)
    if plugin is Hangs:
        Hangs.release.set()


@pytest.mark.parametrize("plugin", IN_FULL_SUITE, ids=lambda plugin: plugin.__name__)
def test_hostile_backend_fails_the_full_suite(plugin, register):
    report = run_full(register(plugin()), "cpu", only=plugin.only)
    assert report.failures
    assert all(plugin.fault in failure.reason for failure in report.failures)


@pytest.mark.quick
def test_the_honest_one_is_not_refused(register):
    register(Honest())
    assert synjit.explain(shape=(10, 10), platform="cpu").backend == "Honest"
    ours, theirs = (run("events", backend=name) for name in ("numba", "Honest"))
    assert jnp.array_equal(ours, theirs)


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

    def product(self, *given):
        return jax.lax.platform_dependent(cpu=lambda: honest.synjit_product(*given))


def test_claims_a_platform_that_is_not_here_either(register):
    registered = register(ForTpuOnly())
    problem = problem_of(Case("events", 0.1, (10, 10)), "tpu")
    verdict = gate.verdict(registered, problem)
    assert verdict.grade == "failed"
    assert "claims the platform tpu, and cannot be lowered for it" in verdict.reason


class RefusesAll(Honest):
    @hookimpl
    def synjit_refuses(self, problem):
        return None if problem.shape == (10, 10) else "not today"


class RefusesBatches(Honest):
    @hookimpl
    def synjit_refuses(self, problem):
        in_suite = problem.shape != (10, 10)
        return "no batches" if in_suite and problem.batch > 1 else None


class CannotSay(Honest):
    @hookimpl
    def synjit_refuses(self, problem):
        return 3


@pytest.mark.parametrize(
    ("plugin", "batch", "reason"),
    [
        (RefusesAll, 1, "it refused every conformance case: not today"),
        (RefusesBatches, 2, "it refused all conformance cases of this kind"),
        (CannotSay, 1, "returned 3, and not a string or None"),
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


class TakesSingleVectors(Honest):
    """It declares so, and is right about them."""

    @hookimpl
    def synjit_backend(self):
        gaps = (("*batch=*", "one at a time"), ("transform/*", "one at a time"))
        return Backend("single", "1", ("cpu",), contract=2, known_gaps=gaps)

    @hookimpl
    def synjit_refuses(self, problem):
        return "no batches" if problem.batch > 1 else None


def test_who_takes_single_vectors_only_can_conform(register):
    """What a transformation makes a batch of is refused too, and no failure."""
    registered = register(TakesSingleVectors())
    report = run_full(registered, "cpu", only="transform/*")
    statuses = {r.check.transform: r.status for r in report.results}
    assert statuses["vmap_events"] == statuses["grad_values"] == "known gap"
    assert statuses["loop"] == statuses["vmap_seeds"] == "passed"
    assert not report.failures


class SaysThatItVaries(VariesInItsLastBits):
    """It declares it, which excuses the last bits of floats."""

    @hookimpl
    def synjit_backend(self):
        name = type(self).__name__
        return Backend(name, "1", ("cpu",), contract=2, deterministic=False)


class VariesTooMuch(SaysThatItVaries):
    off = np.float32(0.1)


class CountsEventsDifferently(WrongEveryHundredthCall):
    @hookimpl
    def synjit_backend(self):
        return Backend("differs", "1", ("cpu",), contract=2, deterministic=False)


@pytest.mark.parametrize("what", ["case", "calls", "threads"])
def test_last_bits_of_floats_may_vary_where_that_is_declared(what, register):
    shape = (1, 5) if what == "calls" else (300, 40)
    floats = Check(what, Case("floats", 0.5, shape, pattern="all"))
    declared, too_much, undeclared = (
        check(register(plugin()).backend.name, floats)
        for plugin in (SaysThatItVaries, VariesTooMuch, VariesInItsLastBits)
    )
    assert not declared
    assert too_much
    assert "it gave" in undeclared or "gave another result" in undeclared


def test_that_floats_vary_excuses_no_other_product(register):
    name = register(CountsEventsDifferently()).backend.name
    tiny = Case("events", 0.5, (1, 5), pattern="all")
    assert "not deterministic" in check(name, Check("calls", tiny))


class RefusesNearlyAll(Honest):
    @hookimpl
    def synjit_backend(self):
        return Backend(
            "coy", "1", ("cpu",), contract=2, known_gaps=(("*", "some day"),)
        )

    @hookimpl
    def synjit_refuses(self, problem):
        return "not today" if problem.shape != (1, 5) else None


def test_a_gap_of_nearly_all_is_no_conformance(register):
    report = run_full(register(RefusesNearlyAll()), "cpu")
    assert report.passed
    assert not report.conforms
    assert f"only {report.checks} of {FULL_COUNT} checks ran" in report.faults[0]
    text = as_text(report, registry().backends["coy"].backend)
    assert f"coy DOES NOT CONFORM: {report.checks} of {FULL_COUNT} checks ran" in text


# --- at the door ------------------------------------------------------------------


class Door(Honest):
    def __init__(self, **fields):
        usual = {"name": "door", "version": "1", "platforms": ("cpu",), "contract": 2}
        self.fields = usual | fields

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


class LacksAnArgument(Door):
    @hookimpl
    def synjit_product(self, problem, matrix):
        return None


class MissingHooks:
    @hookimpl
    def synjit_backend(self):
        return Backend("some", "1", ("cpu",), contract=2)


class HooksOfContract1(Door):
    @hookimpl
    def synjit_events(self, problem, seed, origin, law, events):
        return None

    @hookimpl
    def synjit_floats(self, problem, seed, origin, law, values):
        return None


class WeighsAsOfContract1(Door):
    """The name has stayed, and the arguments have not."""

    @hookimpl
    def synjit_weighted(self, problem, seed, origin, law, events, w_loc, w_scale):
        return None


class NamesNoContract(Door):
    @hookimpl
    def synjit_backend(self):
        return Backend("door", "1", ("cpu",))


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
        (LacksAnArgument(), "its synjit_product lacks the arguments x: the contract "),
        (LacksAnArgument(), "has synjit_product(problem, matrix, x)"),
        (MissingHooks(), "lacks the hooks synjit_refuses, synjit_product, synjit_d"),
        (HooksOfContract1(), "written for contract 1, and this is contract 2"),
        (HooksOfContract1(), "synjit_events is now synjit_product(problem, matrix, x)"),
        (HooksOfContract1(), "synjit_floats is now synjit_product(problem, matrix, x)"),
        (WeighsAsOfContract1(), "written for contract 1, and this is contract 2"),
        (WeighsAsOfContract1(), "synjit_weighted(problem, matrix, x, w_loc, w_scale)"),
        (Door(contract=1), "written for contract 1, and this is contract 2"),
        (Door(contract=1), "and law travel as matrix.seed, matrix.origin and matrix."),
        (Door(contract=3), "written for contract 3, and this is contract 2"),
        (Door(contract="2"), "its contract must be of type int, got '2'"),
        (NamesNoContract(), "missing 1 required positional argument: 'contract'"),
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


@pytest.mark.quick
def test_names_and_aliases_of_third_parties():
    fresh = Registry()
    fresh.register(Door(name="one", aliases=("shared",)))
    fresh.register(Door(name="two", aliases=("shared",)))
    with pytest.raises(ValueError, match="'shared' is an alias of 'one'"):
        fresh.register(Door(name="shared"))
    with pytest.raises(ValueError, match="'one' is taken"):
        fresh.register(Door(name="three", aliases=("one",)))


def test_quarantine_of_what_changes_the_configuration():
    def load():
        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_default_matmul_precision", "bfloat16")
        return honest

    fresh = Registry()
    with jax.enable_x64(True):  # which a with statement must not hide
        fresh._load_one("x64", load, "test")
    assert "jax_enable_x64 from False to True" in fresh.quarantine["x64"]
    assert not fresh.backends
    assert jax.config.values["jax_enable_x64"] is False
    assert jax.config.values["jax_default_matmul_precision"] is None


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
