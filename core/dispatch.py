# SPDX-License-Identifier: Apache-2.0
"""Which backend runs a product, and why that one."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

import jax

from . import gate
from .hookspecs import Backend, Problem
from .registry import Registered, registry

REFUSES = "it refuses: "


class BackendError(RuntimeError):
    """No backend can run this: none of that name, or none that conforms.

    Attributes
    ----------
    reasons : dict
        Why not, by the names of the backends that were asked.
    """

    def __init__(self, text: str, reasons: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.reasons = reasons or {}


def choose(problem: Problem, name: str | None) -> Registered:
    """Take the backend of that name or, without one, the best that conforms.

    Raises
    ------
    BackendError
        There is none; the text says why not, for each that there is.
    """
    reasons = {}
    for candidate in candidates(name):
        reason = why_not(candidate, problem, name)
        if not reason:
            return candidate
        reasons[candidate.backend.name] = reason
    raise BackendError(_message(problem, name, reasons), reasons)


def candidates(name: str | None) -> list[Registered]:
    """List the backends of a name, or all, the best first."""
    found = registry().named(name) if name else list(registry().backends.values())
    return sorted(found, key=lambda r: -r.backend.priority)


def why_not(candidate: Registered, problem: Problem, name: str | None = None) -> str:
    """Give the reason why a backend cannot run a problem; empty if it can."""
    misfit = unfit(candidate.backend, problem, name)
    if misfit:
        return misfit
    if problem.product == "deliver" and not candidate.supports_delays:
        return _without_delays()
    reasons = (_why_not_asked(candidate, asked) for asked in candidate.asked(problem))
    return next((reason for reason in reasons if reason), "")


def _why_not_asked(candidate: Registered, problem: Problem) -> str:
    try:
        refusal = candidate.hook.synjit_refuses(problem=problem)
    except Exception as error:  # noqa: BLE001, whatever a backend may raise
        return f"synjit_refuses raised {type(error).__name__}: {error}"
    if refusal is not None and not isinstance(refusal, str):
        return f"synjit_refuses returned {refusal!r}, and not a string or None"
    if refusal:
        return REFUSES + refusal
    return gate.verdict(candidate, problem).why_not(problem)


def _without_delays() -> str:
    """Say that a backend has no delays, and which ones have."""
    able = [r.backend.name for r in candidates(None) if r.supports_delays]
    return f"it has no synjit_deliver, which delays need; {', '.join(able)} can"


def unfit(backend: Backend, problem: Problem, name: str | None) -> str:
    """Give the reason that a backend's own description already is; empty if none."""
    if problem.platform not in backend.platforms:
        return f"it is for {', '.join(backend.platforms)}, not for {problem.platform}"
    if problem.platform in backend.interpreted_on and name is None:
        return "it is interpreted here: a lesser grade, taken only by name"
    return ""


def _message(problem: Problem, name: str | None, reasons: dict[str, str]) -> str:
    what = f"backend {name!r} cannot" if name else "no backend can"
    text = (
        f"{what} run this {problem.product} product of shape {problem.shape} "
        f"on {problem.platform}"
    )
    return "\n  ".join([text, *_lines(reasons)])


def _lines(reasons: dict[str, str]) -> list[str]:
    lines = [f"{backend}: {reason}" for backend, reason in reasons.items()]
    for broken, reason in registry().quarantine.items():
        lines.append(f"{broken}: not loaded: {reason}")
    return lines


# --- the default ------------------------------------------------------------------

# Part of the key of jit's caches: what was compiled under one default is not used
# under another.
_default = jax.make_user_context(None)


def default_backend(name: str | None) -> AbstractContextManager[None]:
    """Make a backend the default of this thread's calls inside a ``with``.

    It stands for ``backend=name`` in calls that do not say one, and goes before the
    environment variable ``SYNJIT_BACKEND``. None means the best that conforms.

    Raises
    ------
    BackendError
        There is no backend of that name.

    Examples
    --------
    >>> import synjit
    >>> with synjit.default_backend("numba"):
    ...     W = synjit.jitn(1.0, 0.1, 0.5, 42, shape=(3, 5))
    """
    check_name(name)
    context: AbstractContextManager[None] = _default(name or "")
    return context


def resolve(name: str | None) -> str | None:
    """Return the name, or the default's, or None: the best that conforms.

    Raises
    ------
    BackendError
        There is no backend of that name.
    """
    source = ""
    if name is None and _default.value is not None:
        name = _default.value
    elif name is None:
        name, source = os.environ.get("SYNJIT_BACKEND"), " (SYNJIT_BACKEND)"
    name = name or None
    check_name(name, source)
    return name


def check_name(name: str | None, source: str = "") -> None:
    """Refuse a name that no backend has, before anything is traced."""
    if name is not None and not registry().named(name):
        known = ", ".join(sorted(registry().backends)) or "none"
        text = f"backend {name!r}{source} is unknown; there are: {known}"
        raise BackendError("\n  ".join([text, *_lines({})]))
