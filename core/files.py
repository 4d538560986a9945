# SPDX-License-Identifier: Apache-2.0
"""Files: written whole or not at all, and those that a package is made of."""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
from pathlib import Path

SPACE = 1 << 16  # bytes that there must be room for

# Held while a file is written. The command ``synjit`` waits for it when Ctrl-C ends it.
writing = threading.Lock()


def write_whole(path: Path, content: bytes, *, replace: bool = True) -> None:
    """Write a file beside its place, then put it there at once.

    Its permissions are those of any new file. What is no regular file, such as
    ``/dev/stdout``, is written where it is.

    Parameters
    ----------
    path : pathlib.Path
    content : bytes
    replace : bool
        If not, FileExistsError is raised where there is a file already.

    Raises
    ------
    OSError
        It cannot be written; nothing is left behind.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    path = path.resolve()
    beside = path.with_name(f".new-{secrets.token_hex(8)}")
    with writing:
        try:
            with beside.open("xb") as file:
                file.write(content)
            (os.replace if replace else os.link)(beside, path)
        finally:
            beside.unlink(missing_ok=True)


def check_writable(*paths: Path) -> None:
    """Find out whether files can be written, before the work that they are to receive.

    The folders that they need are made, a file is written, and all is taken away again.

    Raises
    ------
    OSError
        One cannot; the text says which and why.
    """
    for path in paths:
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder, and was to be a file")
        if path.exists() and not path.is_file():
            continue
        folder = path.resolve().parent
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        made: list[Path] = []
        with writing:
            try:
                for new in reversed(missing):
                    new.mkdir()
                    made.append(new)
                with tempfile.TemporaryFile(dir=folder) as file:
                    file.write(bytes(SPACE))
            except OSError as error:
                reason = error.strerror or error
                raise OSError(f"{path} cannot be written: {reason}") from error
            finally:
                for new in reversed(made):
                    new.rmdir()


def files_of(path: Path) -> list[Path]:
    """List the files that a module or a package is made of, caches of bytecode aside.

    Those inside a zip are stood for by the archive.
    """
    if not path.is_dir():
        return [p for p in (path, *path.parents) if p.is_file()][:1]
    found: list[Path] = []
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                if entry.name != "__pycache__":
                    found += files_of(Path(entry.path))
            elif entry.is_file() and not entry.name.endswith(".pyc"):
                found.append(Path(entry.path))
    return found
