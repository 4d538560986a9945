# SPDX-License-Identifier: Apache-2.0
"""Which backends there are: built-ins and entry points, all through one door.

A plugin that cannot be loaded, or breaks the contract's form, is put into
quarantine with its reason, and the others go on working.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import threading
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import jax
import pluggy

from . import hookspecs
from .combine import weigh_blocks
from .hookspecs import (
    CONTRACT,
    PLATFORMS,
    PROJECT,
    Backend,
    Matrix,
    Problem,
)
from .settings import unchanged_configuration, usual_settings

ENTRY_POINTS = "synjit.backends"

BUILT_IN = {
    "numba": "synjit.backends.numba_cpu.plugin",
    "pallas_gpu": "synjit.backends.pallas_gpu.plugin",
    "pallas_tpu": "synjit.backends.pallas_tpu.plugin",
}

HOOKS = (
    "synjit_backend",
    "synjit_refuses",
    "synjit_product",
    "synjit_dense",
)
OPERANDS = ("x", "w_loc", "w_scale")
DELIVERED = ("delays", *OPERANDS, "ring", "now")
# Hooks of contract 1, and what has taken their place.
FORMER_HOOKS = {
    "synjit_events": "synjit_product(problem, matrix, x), x being boolean",
    "synjit_floats": "synjit_product(problem, matrix, x), x being of floats",
    "synjit_dense": "synjit_dense(problem, matrix)",
    "synjit_weighted": "synjit_weighted(problem, matrix, x, w_loc, w_scale), of a grid",
    "synjit_blocks": "synjit_weighted(problem, matrix, x, w_loc, w_scale)",
}
FORMER_ARGUMENTS = {"seed", "origin", "law"}
CHANGES = {
    1: "seed, origin and law travel as matrix.seed, matrix.origin and "
    "matrix.connectivity, and matrix.weights is the table of the weights' law; "
}

KINDS = {
    "name": str,
    "version": str,
    "platforms": tuple,
    "contract": int,
    "aliases": tuple,
    "priority": int,
    "requires": tuple,
    "interpreted_on": tuple,
    "known_gaps": tuple,
    "deterministic": bool,
    "environment": tuple,
    "files": tuple,
}


@dataclass(frozen=True)
class Registered:
    """A backend that signed the contract."""

    backend: Backend
    plugin: Any
    hook: Any  # pluggy callers of this plugin alone
    source: str
    distribution: Any = None  # importlib.metadata's, of an entry point

    @property
    def supports_weighted(self) -> bool:
        """Whether it implements the optional ``synjit_weighted``."""
        return bool(self.hook.synjit_weighted.get_hookimpls())

    @property
    def supports_delays(self) -> bool:
        """Whether it implements the optional ``synjit_deliver``."""
        return bool(self.hook.synjit_deliver.get_hookimpls())

    def asked(self, problem: Problem) -> list[Problem]:
        """List the problems that its hooks are asked to solve one."""
        if self.supports_weighted or problem.product != "weighted":
            return [problem]
        numbers = range(len(problem.grid.blocks))
        return list(dict.fromkeys(map(problem.of_block, numbers)))

    def call(self, problem: Problem, matrix: Matrix, *operands: Any) -> list[Any]:
        """Trace a product.

        Returns
        -------
        list of arrays
            Two of "events" and "floats", else one.
        """
        if problem.product == "dense":
            return self._trace(self.hook.synjit_dense, problem, matrix)
        if problem.product == "deliver":
            return self._trace(self.hook.synjit_deliver, problem, matrix, *operands)
        if problem.product != "weighted":
            return self._trace(self.hook.synjit_product, problem, matrix, *operands)
        if self.supports_weighted:
            return self._trace(self.hook.synjit_weighted, problem, matrix, *operands)
        x, loc, scale = operands
        return [weigh_blocks(problem, matrix, x, loc, scale, self.call)]

    def _trace(
        self, hook: Any, problem: Problem, matrix: Matrix, *operands: Any
    ) -> list[Any]:
        """Call a hook under the settings under which it was held to the reference."""
        names = DELIVERED if problem.product == "deliver" else OPERANDS
        named = dict(zip(names, operands, strict=False))
        with usual_settings():
            return jax.tree.leaves(hook(problem=problem, matrix=matrix, **named))


class Registry:
    """Backends by name, and the reasons of those that are not among them."""

    def __init__(self) -> None:
        self.backends: dict[str, Registered] = {}
        self.quarantine: dict[str, str] = {}
        self.reserved = set(BUILT_IN)  # names and aliases of built-ins, loaded or not

    def load(self) -> None:
        """Register the built-ins, then whatever is installed as an entry point."""
        for name, module in BUILT_IN.items():
            self._load_one(name, lambda module=module: importlib.import_module(module))
        for entry in metadata.entry_points(group=ENTRY_POINTS):
            distribution = entry.dist.name if entry.dist else "unknown distribution"
            source = f"entry point of {distribution}"
            self._load_one(entry.name, entry.load, source, entry.dist)

    def _load_one(
        self, name: str, load: Any, source: str = "built in", distribution: Any = None
    ) -> None:
        try:
            with unchanged_configuration():
                plugin = load()
            self.register(plugin, source, distribution)
        except (Exception, SystemExit) as error:  # noqa: BLE001, any plugin's any
            key = name if name not in self.backends else f"{name} ({source})"
            self.quarantine[key] = f"{type(error).__name__}: {error}"

    def register(
        self,
        plugin: Any,
        source: str = "registered by hand",
        distribution: Any = None,
    ) -> Registered:
        """Register one plugin, or raise with the reason why not.

        Raises
        ------
        pluggy.PluginValidationError
            A hook is missing, unknown, or has wrong arguments.
        ValueError
            The name is taken or no name, a platform is none of JAX's, or a module it
            needs is not installed.
        """
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(hookspecs)
        _check_contract(plugin)
        manager.register(plugin)
        manager.check_pending()
        _check_arguments(plugin, manager)
        missing = [h for h in HOOKS if not getattr(manager.hook, h).get_hookimpls()]
        if missing:
            raise pluggy.PluginValidationError(
                plugin, f"the plugin lacks the hooks {', '.join(missing)}"
            )
        backend = manager.hook.synjit_backend()
        self._check(backend, source)
        registered = Registered(backend, plugin, manager.hook, source, distribution)
        self.backends[backend.name] = registered
        return registered

    def _check(self, backend: Any, source: str) -> None:
        if not isinstance(backend, Backend):
            raise TypeError(
                f"synjit_backend must return a synjit.hookspecs.Backend, "
                f"got {type(backend).__name__}"
            )
        for field, kind in KINDS.items():
            value = getattr(backend, field)
            if not isinstance(value, kind):
                raise TypeError(
                    f"its {field} must be of type {kind.__name__}, got {value!r}"
                )
        if backend.contract != CONTRACT:
            raise ValueError(_of_contract(backend.contract))
        strangers = [p for p in backend.platforms if p not in PLATFORMS]
        if strangers or not backend.platforms:
            raise ValueError(
                f"its platforms must be some of {', '.join(PLATFORMS)}, "
                f"got {backend.platforms!r}"
            )
        self._check_names(backend, source)
        for module in backend.requires:
            if importlib.util.find_spec(module) is None:
                raise ValueError(f"it needs the module {module!r}: not installed")

    def _check_names(self, backend: Backend, source: str) -> None:
        """Names are a backend's own; aliases may be shared, but not be a name.

        Those of built-ins may not: ``backend="numba_cpu"`` is numba, or an error.
        """
        if source == "built in":
            self.reserved |= {backend.name, *backend.aliases}
        for name in (backend.name, *backend.aliases):
            if not isinstance(name, str) or not name.isidentifier():
                raise ValueError(
                    f"a backend's name must be an identifier, got {name!r}"
                )
            if name in self.reserved and source != "built in":
                raise ValueError(f"the name {name!r} is that of a built-in backend")
            taken = self.backends.get(name)
            if taken is not None:
                raise ValueError(f"the name {name!r} is taken ({taken.source})")
        for other in self.named(backend.name):
            raise ValueError(
                f"the name {backend.name!r} is an alias of {other.backend.name!r}"
            )

    def unregister(self, name: str) -> None:
        """Forget a backend that was registered by hand."""
        del self.backends[name]

    def named(self, name: str) -> list[Registered]:
        """All backends with this name or alias."""
        return [
            r
            for r in self.backends.values()
            if name == r.backend.name or name in r.backend.aliases
        ]


def _check_contract(plugin: Any) -> None:
    """Refuse hooks of contract 1 with words on what to change."""
    former = {
        hook: new
        for hook, new in FORMER_HOOKS.items()
        if hasattr(plugin, hook) and _is_former(hook, getattr(plugin, hook))
    }
    if former:
        new = "; ".join(f"{hook} is now {new}" for hook, new in former.items())
        raise pluggy.PluginValidationError(plugin, _of_contract(1, f"{new}; "))


def _is_former(name: str, hook: Any) -> bool:
    if not hasattr(hookspecs, name):
        return True
    return bool(FORMER_ARGUMENTS & inspect.signature(hook).parameters.keys())


def _of_contract(number: int, more: str = "") -> str:
    """Say that a backend is of another contract, and what to change."""
    return (
        f"it is written for contract {number}, and this is contract {CONTRACT}: "
        f"{more}{CHANGES.get(number, '')}see docs/writing-a-backend.md"
    )


def _check_arguments(plugin: Any, manager: pluggy.PluginManager) -> None:
    """Refuse hooks that take less than they are given: pluggy would drop the rest."""
    for caller in manager.get_hookcallers(plugin) or ():
        wanted = caller.spec.argnames if caller.spec else ()
        for implementation in caller.get_hookimpls():
            lacking = set(wanted) - set(implementation.argnames)
            if lacking:
                raise pluggy.PluginValidationError(
                    plugin,
                    f"its {caller.name} lacks the arguments "
                    f"{', '.join(sorted(lacking))}: the contract has "
                    f"{caller.name}({', '.join(wanted)})",
                )


_lock = threading.RLock()
_loading = False
_registry: Registry | None = None


def registry() -> Registry:
    """Return the process's registry; the first call loads all plugins."""
    global _registry, _loading  # noqa: PLW0603
    with _lock:
        if _registry is None:
            if _loading:
                raise RuntimeError("a backend's import must not call synjit's products")
            _loading = True
            loaded = Registry()
            try:
                loaded.load()
            finally:
                _loading = False
            _registry = loaded
        return _registry
