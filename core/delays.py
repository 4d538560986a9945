# SPDX-License-Identifier: Apache-2.0
"""Delays as users give them: a number of steps, or a law of steps, or of times."""

from __future__ import annotations

import operator
from typing import Any

from . import units
from .aliases import Numbers
from .reference import Constant, Delays, TruncatedNormal, Weights
from .reference.delays import MAX_DELAY


def check_delay(delay: Any) -> Delays | None:
    """Give the law of a delay, whose table can be made; None if there is none.

    Raises
    ------
    TypeError, ValueError
        It is neither an integer nor a law, or a delay is out of range.
    """
    if delay is None:
        return None
    if not isinstance(delay, Delays):
        try:
            steps = operator.index(delay)
        except TypeError:
            steps = None
        if steps is None or isinstance(delay, bool):
            raise TypeError(
                "delay must be a number of steps, or a law of them, as synjit.Delays("
                "synjit.Uniform(), 15, 5) or synjit.normal_delays(1.5, 0.75, dt=0.1), "
                f"got {delay!r}"
            )
        if not 1 <= steps <= MAX_DELAY:
            raise ValueError(f"delay must be 1 to {MAX_DELAY} steps, got {steps}")
        delay = Delays(Constant(), steps, 0)
    _ = delay.table
    return delay


def delays_in_time(law: Weights, loc: Numbers, scale: Numbers, dt: Numbers) -> Delays:
    """Make a law of delays, in steps, of one in time.

    Parameters
    ----------
    law : Weights
        Law of x.
    loc, scale : float or Quantity
        Delays are ``loc + scale * x``, rounded to the nearest step, a half upwards.
    dt : float or Quantity
        Length of a step. All three have one dimension, or none.

    Returns
    -------
    Delays

    Raises
    ------
    TypeError, ValueError
        As ``Delays`` raises them; dt is not above 0, or one of the three is no number.
    brainunit.DimensionMismatchError
        Their dimensions differ.

    Examples
    --------
    >>> import synjit
    >>> synjit.delays_in_time(synjit.Uniform(), 1.5, 0.5, dt=0.25)
    Delays(law=Uniform(), loc=6.0, scale=2.0)
    """
    return Delays(law, _steps(loc, dt, "loc"), _steps(scale, dt, "scale"))


def normal_delays(mean: Numbers, sd: Numbers, dt: Numbers = 1.0) -> Delays:
    """Make normal delays, drawn again where they round to less than one step.

    Parameters
    ----------
    mean, sd : float or Quantity
        Mean and standard deviation of the normal before it is cut.
    dt : float or Quantity
        Length of a step. All three have one dimension, or none.

    Returns
    -------
    Delays

    Raises
    ------
    TypeError, ValueError, brainunit.DimensionMismatchError
        As of ``delays_in_time``.

    Examples
    --------
    >>> import synjit
    >>> synjit.normal_delays(1.5, 0.75, dt=0.125).bounds
    (1, 50)
    """
    loc, scale = _steps(mean, dt, "mean"), _steps(sd, dt, "sd")
    if scale == 0:
        return Delays(Constant(), loc, 0)
    if scale < 0:
        raise ValueError(f"sd must not be negative, got {sd}")
    return Delays(TruncatedNormal(low=(0.5 - loc) / scale), loc, scale)


def _steps(time: Any, dt: Any, name: str) -> float:
    """Give a time in steps."""
    number, length, _ = units.split_pair(time, dt, f"{name} and dt")
    try:
        number, length = float(number), float(length)
    except TypeError:
        raise TypeError(
            f"{name} and dt must be numbers, or times, that are known when the law is "
            f"made, got {time!r} and {dt!r}"
        ) from None
    if not length > 0:
        raise ValueError(f"dt must be above 0, got {dt}")
    return number / length
