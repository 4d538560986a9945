# SPDX-License-Identifier: Apache-2.0
"""Marks of attempts: a backend that ends the process leaves one, and is known by it.

Before the gate holds a backend to the reference, it puts a file beside the
certificates, and takes it away afterwards. The process keeps it locked: a file that
nobody has locked is of a process that died. A crash (a segmentation fault, an abort) is
written into it by Python's fault handler; without that, the process was ended, perhaps
by somebody else, which only counts when it happens again. A mark is named after the
digest of the backend, so that it counts until the backend changes.

Nothing here raises when the folder cannot be read or written.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import logging
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from . import certificate

FATAL = "Fatal Python error: "  # as the fault handler writes it

_log = logging.getLogger("synjit")


class _Mark(NamedTuple):
    """What a process that died has left."""

    path: Path
    doing: str
    crash: str


def crash_of(subject: certificate.Subject) -> str:
    """Say that processes died while they held this backend to the reference, if so."""
    marks = _dead_marks(subject)
    for path, doing, crash in marks:
        if crash or len(marks) > 1:
            return (
                f"a process died ({crash or 'twice, of whatever it was'}) while it "
                f"held this backend to the reference, at {doing}: it is not tried "
                f"again until it changes. If it was not its fault, delete {path}"
            )
        _log.warning(
            "a process ended while it held a backend to the reference, at %s; it is "
            "tried again once (%s)",
            doing,
            path,
        )
    return ""


def forget(subject: certificate.Subject) -> None:
    """Take the marks away: the backend has come through."""
    for mark in _dead_marks(subject):
        with contextlib.suppress(OSError):
            mark.path.unlink()


def _dead_marks(subject: certificate.Subject) -> list[_Mark]:
    try:
        paths = sorted(certificate.folder().glob(f"{_name(subject)}.*.attempt"))
        found = [_read(path) for path in paths]
    except OSError:
        return []
    return [mark for mark in found if mark is not None]


def _read(path: Path) -> _Mark | None:
    """Read a mark; None if its process lives."""
    with path.open("r", encoding="utf-8", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        doing, _, rest = file.read().partition("\n")
    crash = next((x for x in rest.splitlines() if x.startswith(FATAL)), "")
    return _Mark(path, doing or "its first check", crash.removeprefix(FATAL))


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
            file.write(f"{doing}\n".encode())
            file.truncate()

    watched = not faulthandler.is_enabled()  # for whoever turned it on, it is theirs
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
            hidden.rename(path)  # is seen once it is locked
        if watched:
            faulthandler.enable(file, all_threads=False)
        yield write
    finally:
        if watched:
            faulthandler.disable()
        for name in (hidden, path):
            with contextlib.suppress(OSError):
                name.unlink()
        file.close()


def _name(subject: certificate.Subject) -> str:
    """Name the backend, whatever it was asked for."""
    return certificate.name({**subject, "asked": None})
