# SPDX-License-Identifier: Apache-2.0
"""JAX's configuration, while backends are imported, traced and held to the reference.

A user's configuration is for the user's code. It must not decide what a backend is
traced to, nor whether it conforms; and a backend must not decide what it is.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import jax

# JAX's own defaults of what a user may have set, for the whole process or a thread.
# What a release of JAX does not have, nobody has set.
_USUAL: dict[str, Any] = {
    "array_garbage_collection_guard": "allow",
    "check_tracer_leaks": False,
    "debug_infs": False,
    "debug_key_reuse": False,
    "debug_nans": False,
    "default_device": None,
    "default_matmul_precision": None,
    "default_prng_impl": "threefry2x32",
    "disable_jit": False,
    "enable_custom_prng": False,
    "legacy_prng_key": "allow",
    "numpy_dtype_promotion": "standard",
    "numpy_rank_promotion": "allow",
    "thread_guard": False,
    "threefry_partitionable": True,
    "transfer_guard": "allow",
}


@contextlib.contextmanager
def usual_settings(x64: bool | None = None) -> Iterator[None]:
    """Enter JAX's usual settings, in this thread.

    Parameters
    ----------
    x64 : bool, optional
        Whether 64-bit types are on; as they are, if left.
    """
    with contextlib.ExitStack() as stack:
        for name, value in _USUAL.items():
            if hasattr(jax, name):
                stack.enter_context(getattr(jax, name)(value))
        if x64 is not None:
            stack.enter_context(jax.enable_x64(x64))
        yield


@contextlib.contextmanager
def unchanged_configuration() -> Iterator[None]:
    """Put JAX's configuration back if it was changed meanwhile, and say so.

    Raises
    ------
    RuntimeError
        It was changed. (What else was raised is raised instead.)
    """
    before = _configuration()
    try:
        yield
    finally:
        after = _configuration()
        changed = {k: (v, after[k]) for k, v in before.items() if v != after[k]}
        for name, (value, _) in changed.items():
            with contextlib.suppress(RuntimeError, ValueError):
                jax.config.update(name, value)
    if changed:
        what = ", ".join(f"{k} from {a!r} to {b!r}" for k, (a, b) in changed.items())
        raise RuntimeError(
            f"it changed JAX's configuration: {what}; that is for users to do, and "
            "was undone. Use jax.enable_x64 and its like in a with statement instead."
        )


def _configuration() -> dict[str, Any]:
    """Read JAX's configuration as a new thread finds it, without any ``with``."""
    found: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: found.append(dict(jax.config.values)))
    thread.start()
    thread.join()
    return found[0]
