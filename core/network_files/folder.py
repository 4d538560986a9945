# SPDX-License-Identifier: Apache-2.0
"""A folder that is there whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


def check_new(folder: Path) -> None:
    """Find out whether a folder can be put in a place.

    Raises
    ------
    OSError
        Something is there already, or its parent cannot be written.
    """
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise FileExistsError(
            f"{folder} is there already: name a new folder, or an empty one"
        )


def check_room(folder: Path, need: int, what: str) -> None:
    """Find out whether there is room on the disk.

    Raises
    ------
    OSError
        There is not.
    """
    parent = next(p for p in folder.resolve().parents if p.exists())
    free = shutil.disk_usage(parent).free
    if need > free:
        raise OSError(
            f"{what} would take {need:,} bytes, and {free:,} are free in {parent}: "
            "take another disk, fewer blocks, or the connections one piece at a time "
            "by iter_connections()"
        )


@contextlib.contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """Give a folder beside its place to be filled, then put it there at once.

    Its name ends in ``.incomplete`` until then. It is removed if filling it fails, and
    stays behind, under that name, where the process is killed.

    Raises
    ------
    OSError
        It cannot be made, or something came to be in its place meanwhile.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f"{folder.name}-{secrets.token_hex(4)}.incomplete")
    beside.mkdir()
    try:
        yield beside
        for path in [*beside.rglob("*"), beside]:
            _flush(path)
        beside.rename(folder)
        _flush(folder.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _flush(path: Path) -> None:
    """Have a file, or what a folder lists, on the disk before going on."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
