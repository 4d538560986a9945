# SPDX-License-Identifier: Apache-2.0
"""Where synjit keeps what it need not make again: kernels and certificates.

Kernels are compiled code: whoever can write to the folder can run code as those who
read it. The user's own cache folder is therefore used by its owner only. The folder
that ``SYNJIT_CACHE_DIR`` names is used by all who name it: what one user has made there
spares the others the work, as far as its permissions let them read it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder that receives what is new; it need not exist."""
    return cache_folders()[-1]


def cache_folders() -> list[Path]:
    """List the folders to look in.

    Returns
    -------
    list of pathlib.Path
        ``$SYNJIT_CACHE_DIR``, or the ``synjit`` folder of the user's cache. Where that
        cannot be written, a private folder follows, or stands in its place.
    """
    named = os.environ.get("SYNJIT_CACHE_DIR")
    folder = Path(named).absolute() if named else _of_user()
    if folder is None:
        return [_private()]
    there = next(p for p in (folder, *folder.parents) if os.access(p, os.F_OK))
    usable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    if named:
        return [folder] if usable else [folder, _private()]
    # Files of root in the folder of another user would shut that user out.
    owned = os.geteuid() != 0 or there.stat().st_uid == 0
    return [folder] if usable and owned else [_private()]


def _of_user() -> Path | None:
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache")
    try:
        return Path(user_cache).expanduser().absolute() / "synjit"
    except RuntimeError:  # a user without a home, as in containers
        return None


def _private() -> Path:
    """Make a folder for this user alone among the temporary ones.

    Anyone may make folders there: one that is not this user's own is not used, and
    nothing is kept.
    """
    nowhere = Path(os.devnull) / "synjit"
    try:
        folder = Path(tempfile.gettempdir()) / f"synjit-{os.geteuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return nowhere
    is_own = status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return folder if is_own and not folder.is_symlink() else nowhere
