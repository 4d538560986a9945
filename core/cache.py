# SPDX-License-Identifier: Apache-2.0
"""Where synjit keeps what it need not make again: kernels and certificates."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return ``$SYNJIT_CACHE_DIR``, or the ``synjit`` folder of the user's cache.

    The folder need not exist, nor be writable.
    """
    chosen = os.environ.get("SYNJIT_CACHE_DIR")
    if chosen:
        return Path(chosen)
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache")
    try:
        return Path(user_cache).expanduser() / "synjit"
    except RuntimeError:  # a user without a home, as in containers: nothing is kept
        return Path(os.devnull) / "synjit"
