# SPDX-License-Identifier: Apache-2.0
"""Certificates of the gate: what passed, kept in the user's cache folder.

A certificate is a file named after the digest of its *subject*: everything that could
change the answer, files by their contents. A change of anything makes another name,
so that nothing is ever out of date, or need be cleared. The text is signed with a key
that was drawn in the same folder: a certificate that was damaged, written by hand or
brought from elsewhere is one that is not there.

Nothing here raises when the folder cannot be read or written, or the disk is full.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import hmac
import json
import os
import platform as machine
import secrets
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jaxlib.version
import numpy as np

from synjit import reference
from synjit.cache import cache_folder, cache_folders
from synjit.files import files_of, write_whole

SUITE_VERSION = 3

# What may change what a compiler makes of a kernel.
ENVIRONMENT = ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "NUMBA_DISABLE_JIT", "NUMBA_CPU_NAME")

Subject = dict[str, Any]


def subject(registered: Any, device: Any, asked: dict[str, Any]) -> Subject | None:
    """List all that could change whether a backend conforms.

    Returns
    -------
    dict, or None
        None where it cannot be known: the plugin is not a module with files.
    """
    backend = registered.backend
    files = plugin_files(registered.plugin)
    if not files:
        return None
    try:
        return {
            "backend": backend.name,
            "backend version": backend.version,
            "backend files": digest(files),
            "requires": {module: _version(module) for module in backend.requires},
            "interpreted on": backend.interpreted_on,
            "asked": asked,
            "synjit files": _own_digest(),
            "draw": reference.DRAW_VERSION,
            "suite": SUITE_VERSION,
            "python": machine.python_version(),
            "numpy": np.__version__,
            "jax": jax.__version__,
            "jaxlib": jaxlib.version.__version__,
            "platform": device.platform,
            "platform version": device.client.platform_version,
            "device": device.device_kind,
            "processor": _processor(),
            "environment": {name: os.environ.get(name) for name in ENVIRONMENT},
        }
    except OSError:
        return None


def load(subject: Subject) -> Any:
    """Return what was stored for a subject, or None."""
    found = (_load(cache / "certificates", subject) for cache in cache_folders())
    return next((result for result in found if result is not None), None)


def _load(folder: Path, subject: Subject) -> Any:
    try:
        key = _read_key(folder)
        text = (folder / _path(subject).name).read_text(encoding="utf-8")
        signature, _, body = text.partition("\n")
        if not hmac.compare_digest(signature, _sign(key, body)):
            return None
        content = json.loads(body)
        same = content["subject"] == json.loads(json.dumps(subject))
        return content["result"] if same else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def store(subject: Subject, result: Any) -> bool:
    """Keep a result for a subject; False if that was not possible."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        key = _read_or_make_key()
        body = json.dumps({"subject": subject, "result": result}, indent=1)
        write_whole(_path(subject), f"{_sign(key, body)}\n{body}".encode())
    except OSError:
        return False
    return True


def folder() -> Path:
    """Where new certificates are put."""
    return cache_folder() / "certificates"


def _path(subject: Subject) -> Path:
    text = json.dumps(subject, sort_keys=True)
    return folder() / f"{hashlib.sha256(text.encode()).hexdigest()}.json"


# --- signing and writing ----------------------------------------------------------


def _sign(key: bytes, body: str) -> str:
    return hmac.new(key, body.encode(), hashlib.sha256).hexdigest()


def _read_key(folder: Path) -> bytes:
    key = (folder / "key").read_bytes()
    if len(key) != 32:
        raise OSError("the key of the certificates is damaged")
    return key


def _read_or_make_key() -> bytes:
    """Draw a key unless there is one; of processes that draw at once, one wins."""
    path = folder() / "key"
    try:
        return _read_key(folder())
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            write_whole(path, secrets.token_bytes(32), replace=False)
    except OSError:
        write_whole(path, secrets.token_bytes(32))
    return _read_key(folder())


# --- digests ----------------------------------------------------------------------


def plugin_files(plugin: Any) -> list[Path]:
    """List all files of a plugin's package: the outermost that is its own.

    That of a built-in is its folder. Empty if the plugin is not a module, or none
    with files.
    """
    if not isinstance(plugin, ModuleType) or not getattr(plugin, "__file__", None):
        return []
    parts = plugin.__name__.split(".")
    own = 3 if parts[:2] == ["synjit", "backends"] else 1
    for depth in range(own, len(parts) + 1):
        module = sys.modules.get(".".join(parts[:depth]))
        file = getattr(module, "__file__", None)
        if file and hasattr(module, "__path__"):
            return files_of(Path(file).parent)
        if file:
            return files_of(Path(file))
    return []


def digest(paths: Iterable[Path]) -> str:
    """Digest of files, by name and contents."""
    total = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        total.update(f"{path.name}\n{len(content)}\n".encode())
        total.update(content)
    return total.hexdigest()


def _own_digest() -> str:
    """Digest of the reference, the contract and the suite; demo and cli aside."""
    core = Path(__file__).parent.parent
    own = [path for path in sorted(core.glob("*.py")) if path.name != "cli.py"]
    own += files_of(core / "conformance")
    own += files_of(Path(reference.__file__).parent)
    return digest(own)


@functools.cache
def _version(module: str) -> str:
    """Versions of the distributions that a module comes from; most bear its name."""
    top = module.partition(".")[0]
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(top)
    names = sorted(set(metadata.packages_distributions().get(top, ())))
    return " ".join(f"{name} {metadata.version(name)}" for name in names) or "unknown"


@functools.cache
def _processor() -> str:
    """Machine and, on Linux, the processor's model and features."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            lines = file.read(8192).split("\n\n")[0].splitlines()
    except OSError:
        lines = []
    named = ("model name", "flags", "Features", "CPU part")
    kept = "\n".join(line for line in lines if line.startswith(named))
    return f"{machine.machine()} {hashlib.sha256(kept.encode()).hexdigest()[:16]}"
