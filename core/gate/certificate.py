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
import importlib.util
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

SUITE_VERSION = 6

# What may change what a compiler makes of a kernel, or the number of its threads. More
# may be declared by a backend.
ENVIRONMENT = (
    "XLA_FLAGS",
    "NPROC",
    "LIBTPU_INIT_ARGS",
    "NUMBA_DISABLE_JIT",
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
    "NUMBA_OPT",
)

Subject = dict[str, Any]


def subject(registered: Any, device: Any, asked: dict[str, Any]) -> Subject | None:
    """List all that could change whether a backend conforms.

    Returns
    -------
    dict, or None
        None where it cannot be known: the plugin is not a module with files, or a
        lone one of no distribution, which may import any file beside it.
    """
    backend = registered.backend
    files = plugin_files(registered.plugin, registered.distribution)
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
            "devices": len(device.client.local_devices()),
            "processor": _processor(),
            "cores": _cores(),
            "environment": {
                name: os.environ.get(name)
                for name in (*ENVIRONMENT, *backend.environment)
            },
            "files": {name: _content(Path(name)) for name in backend.files},
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


def name(subject: Subject) -> str:
    """Name what is kept about a subject."""
    text = json.dumps(subject, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _path(subject: Subject) -> Path:
    return folder() / f"{name(subject)}.json"


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


def plugin_files(plugin: Any, distribution: Any = None) -> list[Path]:
    """List all files that a plugin comes with: of its package and its distribution.

    Parameters
    ----------
    plugin : module
    distribution : importlib.metadata.Distribution, optional
        That of its entry point. Of one that was installed with ``--editable``, which
        lists a link only, all its modules and packages.

    Returns
    -------
    list of Path
        Empty if the plugin is not a module with files, or a lone one of unknown
        distribution. Of a built-in, its folder.
    """
    if not isinstance(plugin, ModuleType) or not getattr(plugin, "__file__", None):
        return []
    parts = plugin.__name__.split(".")
    if parts[:2] == ["synjit", "backends"]:
        return files_of(Path(plugin.__file__ or "").parent)
    found = set(_of_module(parts[0]))
    if distribution is None:
        alone = not hasattr(sys.modules.get(parts[0]), "__path__")
        return [] if alone else sorted(found)
    for file in distribution.files or ():
        path = Path(str(distribution.locate_file(file)))
        if path.suffix != ".pyc":
            found.update(files_of(path))
    for name in (distribution.read_text("top_level.txt") or "").split():
        found.update(_of_module(name))
    return sorted(found)


def _of_module(name: str) -> list[Path]:
    """List the file of a module, or all files of a package; none if it has none."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        folders = map(Path, spec.submodule_search_locations)
        return [path for folder in folders for path in files_of(folder)]
    return files_of(Path(spec.origin)) if spec.has_location and spec.origin else []


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
    own = sorted(core.glob("*.py"))
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


def _content(path: Path) -> str | None:
    """Digest of a file that a backend declares; None if there is none."""
    path = path.expanduser()
    return digest([path]) if path.is_file() else None


def _cores() -> int:
    """Number of cores that this process may use: work is cut by it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
