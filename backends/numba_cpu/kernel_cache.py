# SPDX-License-Identifier: Apache-2.0
"""Compiled handlers, kept in synjit's cache folder.

Numba's own cache looks at the file of the handler only, and would go on using a kernel
whose source, in another file, has changed; it raises where a file is damaged, and loses
what was compiled where the disk is full. So each handler is kept as one file of ours,
in a folder named after all that decides what it does, below the digest of its contents.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from synjit.cache import cache_folder, cache_folders
from synjit.files import files_of, write_whole
from synjit.reference import delays, draw, products, quantile_table, threefry

from .frame import VERSION

_log = logging.getLogger("synjit")


class KernelCache(NullCache):  # type: ignore[misc]
    """What numba asks for a handler before it compiles it, and tells afterwards."""

    def __init__(self, name: str) -> None:
        self.name = name

    def load_overload(self, _sig: object, target_context: Any) -> Any:
        """Return the handler, or None: what cannot be used is compiled again."""
        target_context.refresh()
        damage = ""
        for folder in cache_folders():
            path = folder / self._file(target_context.codegen())
            try:
                parts = pickle.loads(_content(path))  # noqa: S301
                return CompileResult._rebuild(target_context, *parts)  # noqa: SLF001
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue
            except Exception as error:  # noqa: BLE001, whatever unpickling may raise
                damage = f" again, as {path} cannot be used ({error})"
        _log.warning(
            "synjit compiles its CPU kernel %r%s: once, 5 to 10 seconds",
            self.name,
            damage,
        )
        return None

    def save_overload(self, _sig: object, data: Any) -> None:
        """Keep a handler, if that is possible."""
        path = cache_folder() / self._file(data.codegen)
        try:
            content = dumps(data._reduce())  # noqa: SLF001
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, _digest_of(content) + b"\n" + content)
        except OSError as error:
            _log.warning(
                "synjit cannot keep its CPU kernel %r, and every process will compile "
                "it: %s",
                self.name,
                error,
            )

    def _file(self, codegen: Any) -> Path:
        """Name the file after the processor too, which a folder may be shared with."""
        machine = hashlib.sha256(repr(codegen.magic_tuple()).encode()).hexdigest()[:16]
        return Path("numba", _DIGEST, f"{self.name}-{machine}")


def _content(path: Path) -> bytes:
    digest, _, content = path.read_bytes().partition(b"\n")
    if digest != _digest_of(content):
        raise ValueError("its contents are not what was written")
    return content


def _digest_of(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _digest() -> str:
    """Digest of all that decides what the compiled code does.

    Taken when this module is imported, from the sources beside it and from the
    constants of the reference as this process has them: a file that is edited later
    must not lend its name to code compiled from what it was.
    """
    digest = hashlib.sha256(f"{VERSION} {numba.__version__} {sys.version}".encode())
    for path in files_of(Path(__file__).parent):
        digest.update(path.read_bytes())
    for module in (draw, quantile_table, threefry, products, delays):
        for name, value in sorted(vars(module).items()):
            if isinstance(value, (int, tuple)):
                digest.update(f"{name}={value}".encode())
            elif isinstance(value, np.ndarray):
                digest.update(value.tobytes())
    return digest.hexdigest()[:16]


_DIGEST = _digest()
