# SPDX-License-Identifier: Apache-2.0
"""Marks of attempts: a backend that ends the process leaves one, and is known by it.

Before the gate holds a backend to the reference, it puts a file beside the
certificates, and takes it away afterwards. The process keeps it locked: a file that
nobody has locked is of a process that died. It is named after the digest of the
backend, so that it counts until the backend changes.

Nothing here raises when the folder cannot be read or written.
"""

from __future__ import annotations

import contextlib
import fcntl
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from . import certificate


def crash_of(subject: certificate.Subject) -> str:
    """Say that a process died while it held this backend to the reference, if so."""
    try:
        marks = sorted(certificate.folder().glob(f"{_name(subject)}.*.attempt"))
        for mark in marks:
            doing = _last_words(mark)
            if doing is not None:
                return (
                    "a process died while it held this backend to the reference, at "
                    f"{doing}: it is not tried again until it changes. If the process "
                    f"was killed from outside, delete {mark}"
                )
    except OSError:
        pass
    return ""


def _last_words(mark: Path) -> str | None:
    """Read a mark; None if its process lives."""
    with mark.open("r", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        return file.read().strip() or "its first check"


@contextlib.contextmanager
def marked(subject: certificate.Subject) -> Iterator[Callable[[str], None]]:
    """Leave a mark for as long as this lasts; gives what writes down the next step."""
    path = certificate.folder() / f"{_name(subject)}.{secrets.token_hex(8)}.attempt"
    hidden = path.with_name(f".{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = hidden.open("xb", buffering=0)
    except OSError:
        yield lambda _: None
        return

    def write(doing: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a full disk; a late thread
            file.seek(0)
            file.write(doing.encode())
            file.truncate()

    try:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
            hidden.rename(path)  # is seen once it is locked
        yield write
    finally:
        for name in (hidden, path):
            with contextlib.suppress(OSError):
                name.unlink()
        file.close()


def _name(subject: certificate.Subject) -> str:
    """Name the backend, whatever it was asked for."""
    return certificate.name({**subject, "asked": None})
