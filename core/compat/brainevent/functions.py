# SPDX-License-Identifier: Apache-2.0
"""The functions of brainevent, made of its classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from synjit import products, validation
from synjit.hookspecs import Product

from .base import JITC
from .events import events
from .matrices import JITCNormalR, JITCScalarR, JITCUniformR


def _function(matrix: type[JITC], like: Callable[..., Any]) -> Callable[..., Any]:
    """Make brainevent's function of the name of one of synjit's.

    The product is by the matrix of the shape that ``transpose`` gives and of
    ``corder``; events are what is not zero.
    """
    name = like.__name__
    product: Product = "events" if name.startswith("binary_") else "floats"
    own = inspect.signature(like).parameters
    before = [p for p in own.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    after = [own[key] for key in ("shape", "transpose", "corder", "backend")]
    signature = inspect.Signature([*before, *after])

    def function(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        m, n = validation.check_shape(given.pop("shape"))
        turned = validation.check_flag(given.pop("transpose"), "transpose")
        layout = {key: given.pop(key) for key in ("corder", "backend")}
        layout["shape"] = (n, m) if turned else (m, n)
        operand = next((key for key in ("vector", "B") if key in given), "")
        x = given.pop(operand, None)
        M = matrix(tuple(given.values()), **layout)  # type: ignore[call-arg]  # noqa: N806
        if not operand:
            return M.todense()
        if product == "events":
            x = events(x).value
        return M.multiply(x, operand, 1 if operand == "vector" else 2, product)

    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__doc__ = (
        f"As ``synjit.{name}``, with brainevent's reading of its arguments.\n\n"
        "It is the product, or the matrix itself, of the shape that is left after "
        "``transpose`` and of ``corder``;\nevents are entries that are not zero.\n"
    )
    return function


jits = _function(JITCScalarR, products.jits)
jitsmv = _function(JITCScalarR, products.jitsmv)
jitsmm = _function(JITCScalarR, products.jitsmm)
binary_jitsmv = _function(JITCScalarR, products.binary_jitsmv)
binary_jitsmm = _function(JITCScalarR, products.binary_jitsmm)
jitn = _function(JITCNormalR, products.jitn)
jitnmv = _function(JITCNormalR, products.jitnmv)
jitnmm = _function(JITCNormalR, products.jitnmm)
binary_jitnmv = _function(JITCNormalR, products.binary_jitnmv)
binary_jitnmm = _function(JITCNormalR, products.binary_jitnmm)
jitu = _function(JITCUniformR, products.jitu)
jitumv = _function(JITCUniformR, products.jitumv)
jitumm = _function(JITCUniformR, products.jitumm)
binary_jitumv = _function(JITCUniformR, products.binary_jitumv)
binary_jitumm = _function(JITCUniformR, products.binary_jitumm)
