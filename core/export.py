# SPDX-License-Identifier: Apache-2.0
"""Programs that are stored, by ``jax.export``, and run in another process."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection
from typing import Any

import jax.export

from .reference import DRAW_VERSION
from .registry import registry


def export_checks() -> list[jax.export.DisabledSafetyCheck]:
    """Let ``jax.export`` store programs that call the backends' kernels.

    It refuses custom calls that it does not know, for they may change between
    versions. synjit's do: run a stored program with the version that made it.

    Returns
    -------
    list of jax.export.DisabledSafetyCheck
        To be given to ``jax.export.export`` as ``disabled_checks``.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> import synjit
    >>> f = jax.jit(lambda x: synjit.jitnmv(1.0, 0.1, 0.5, x, 42, shape=(3, 5)))
    >>> x = jnp.ones(5)
    >>> export = jax.export.export(f, disabled_checks=synjit.export_checks())
    >>> stored = export(x).serialize()

    and in another process

    >>> program = jax.export.deserialize(stored)
    >>> synjit.prepare(program)
    >>> bool((program.call(x) == f(x)).all())
    True
    """
    return [jax.export.DisabledSafetyCheck.custom_call(name) for name in _calls()]


def prepare(program: jax.export.Exported | None = None) -> None:
    """Make the kernels that a stored program calls known to XLA in this process.

    They are compiled, or loaded from the cache, but not held to the reference: that
    was done where the program was made.

    Parameters
    ----------
    program : jax.export.Exported, optional
        Without one, all kernels of all backends are made known, as a program stored
        by other means may need them.

    Raises
    ------
    TypeError
        It is no such program.
    RuntimeError
        It was stored under another version of the draw.
    """
    if program is not None and not isinstance(program, jax.export.Exported):
        raise TypeError(
            "program must be a jax.export.Exported, as jax.export.deserialize returns, "
            f"or be left out; got one of type {type(program).__name__}"
        )
    calls = _calls()
    called = calls if program is None else _called(program, calls)
    for name in called:
        calls[name]()


def _called(program: jax.export.Exported, calls: Collection[str]) -> set[str]:
    """Find the custom calls of a program and of the derivatives stored with it."""
    called: set[str] = set()
    while True:
        text = program.mlir_module()
        for name in calls:
            _check_version(name, text)
        new = {name for name in calls if re.search(rf"@\"?{re.escape(name)}\b", text)}
        # A program that was not stored yet has derivatives without end.
        if called >= new or not program.has_vjp():
            return called | new
        called |= new
        program = program.vjp()


def _check_version(name: str, text: str) -> None:
    """Refuse a program that calls a kernel of this name, but of another draw."""
    own = f"draw{DRAW_VERSION}"
    if own not in name:
        return
    other = re.escape(name).replace(own, r"draw(\d+)")
    for version in re.findall(rf"@\"?{other}\b", text):
        if int(version) != DRAW_VERSION:
            raise RuntimeError(
                f"this program was stored under version {version} of the draw, and "
                f"this synjit has version {DRAW_VERSION}, which draws another matrix "
                "from the same seed: run it with the one that stored it, or export anew"
            )


def _calls() -> dict[str, Callable[[], Any]]:
    """Custom calls of all backends, and what makes each known to XLA."""
    calls: dict[str, Callable[[], Any]] = {}
    for name, registered in registry().backends.items():
        try:
            calls |= registered.hook.synjit_custom_calls() or {}
        except Exception as error:  # noqa: BLE001, whatever a backend may raise
            warnings.warn(
                f"backend {name!r} cannot say which custom calls it makes, and its "
                f"programs cannot be stored: {type(error).__name__}: {error}",
                RuntimeWarning,
                stacklevel=3,
            )
    return calls
