# SPDX-License-Identifier: Apache-2.0
"""Which backends there are: built-ins and entry points, all through one door.

A plugin that cannot be loaded, or breaks the contract's form, is put into
quarantine with its reason, and the others go on working.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import pluggy

from . import hookspecs
from .hookspecs import PROJECT, Backend

ENTRY_POINTS = "synjit.backends"

BUILT_IN = {
    "numba": "synjit.backends.numba_cpu.plugin",
    "pallas_tpu": "synjit.backends.pallas_tpu.plugin",
}

HOOKS = (
    "synjit_backend",
    "synjit_refuses",
    "synjit_events",
    "synjit_floats",
    "synjit_dense",
)


@dataclass(frozen=True)
class Registered:
    """A backend that signed the contract."""

    backend: Backend
    plugin: Any
    hook: Any  # pluggy callers of this plugin alone
    source: str


class Registry:
    """Backends by name, and the reasons of those that are not among them."""

    def __init__(self) -> None:
        self.backends: dict[str, Registered] = {}
        self.quarantine: dict[str, str] = {}

    def load(self) -> None:
        """Register the built-ins, then whatever is installed as an entry point."""
        for name, module in BUILT_IN.items():
            self._load_one(name, lambda module=module: importlib.import_module(module))
        for entry in metadata.entry_points(group=ENTRY_POINTS):
            distribution = entry.dist.name if entry.dist else "unknown distribution"
            self._load_one(entry.name, entry.load, f"entry point of {distribution}")

    def _load_one(self, name: str, load: Any, source: str = "built in") -> None:
        try:
            self.register(load(), source=source)
        except Exception as error:  # noqa: BLE001, whatever a plugin may raise
            key = name if name not in self.backends else f"{name} ({source})"
            self.quarantine[key] = f"{type(error).__name__}: {error}"

    def register(self, plugin: Any, source: str = "registered by hand") -> Registered:
        """Register one plugin, or raise with the reason why not.

        Raises
        ------
        pluggy.PluginValidationError
            A hook is missing, unknown, or has wrong arguments.
        ValueError
            The name is taken or empty, or a module it needs is not installed.
        """
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(hookspecs)
        manager.register(plugin)
        manager.check_pending()
        missing = [h for h in HOOKS if not getattr(manager.hook, h).get_hookimpls()]
        if missing:
            raise pluggy.PluginValidationError(
                plugin, f"the plugin lacks the hooks {', '.join(missing)}"
            )
        backend = manager.hook.synjit_backend()
        if not isinstance(backend, Backend):
            raise TypeError(
                f"synjit_backend must return a synjit.hookspecs.Backend, "
                f"got {type(backend).__name__}"
            )
        self._check_name(backend, source)
        for module in backend.requires:
            if importlib.util.find_spec(module) is None:
                raise ValueError(f"it needs the module {module!r}: not installed")
        registered = Registered(backend, plugin, manager.hook, source)
        self.backends[backend.name] = registered
        return registered

    def _check_name(self, backend: Backend, source: str) -> None:
        if not backend.name.isidentifier():
            raise ValueError(
                f"a backend's name must be an identifier, got {backend.name!r}"
            )
        taken = self.backends.get(backend.name)
        if taken is not None:
            raise ValueError(f"the name {backend.name!r} is taken ({taken.source})")
        if backend.name in BUILT_IN and source != "built in":
            raise ValueError(f"the name {backend.name!r} is that of a built-in backend")

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


_lock = threading.Lock()
_registry: Registry | None = None


def registry() -> Registry:
    """Return the process's registry; the first call loads all plugins."""
    global _registry  # noqa: PLW0603
    with _lock:
        if _registry is None:
            loaded = Registry()
            loaded.load()
            _registry = loaded
        return _registry
