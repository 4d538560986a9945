# SPDX-License-Identifier: Apache-2.0
"""Cases of delivery: laws of delays, slots and steps, beside all that a grid may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product as combinations
from typing import Any

import numpy as np

from synjit.reference.delays import DELAY_PAIR

from .cases import MIXED_DELAYS, SLOTS, Case, DelayTable, Pattern, delay_words_of
from .rare import LAST, limit_word, place_of_word
from .rule_cases import full_rules_of_blocks, quick_rules_of_blocks

# Chunks from 1024 rows to 2**14; holes; columns of no connections.
_GRID = ((0.1, None, 0.5, 0.0), (0.005, 1.0, 0.05, None))
_ONE = ((0.1,),)
_SEEDS = (-1, 2**40 + 5)
_ORIGINS = ((700, 3), (LAST - 4000, LAST - 100))
_WEIGHTS = ((-0.3, -1.7), (0.0, -1.7), (np.inf, 1.7))
_PATTERNS: tuple[Pattern, ...] = ("all", "none", "one", "random")
# All of the tables whose longest delay is below SLOTS.
DELAY_TABLES: tuple[DelayTable, ...] = (*MIXED_DELAYS, "mixed")
_NOWS = (1, 40, SLOTS - 1)


def _case(dtype: str, shape: tuple[int, int], grid: Any = _GRID, **other: Any) -> Case:
    return Case("deliver", grid[0][0], shape, dtype=dtype, grid=grid, **other)


def quick_deliveries(dtype: str) -> Iterator[Case]:
    """Give the cases of the gate."""
    like = _case(dtype, (2301, 40))
    for pattern in _PATTERNS:
        yield replace(like, pattern=pattern)
    for now in _NOWS:
        yield replace(like, now=now)
        yield replace(like, now=now, pattern="all")
    for seed in _SEEDS:
        yield replace(like, seed=seed, pattern="all", now=64)
    for origin in _ORIGINS:
        yield replace(like, shape=(901, 40), origin=origin, pattern="all")
    for weights in _WEIGHTS:
        yield replace(like, weights=weights)
    for seeds in ("own", "equal"):
        grid = ((0.1,) * 4,) * 2
        yield _case(dtype, (903, 44), grid, seeds=seeds, pattern="all")
    yield replace(like, table="mixed", pattern="all", known=False, corder=False)
    yield replace(like, shape=(301, 40), batch=3, now=7)
    yield replace(like, shape=(301, 40), batch=3, now=7, pattern="none")
    yield replace(like, shape=(300, 40), concrete=True)
    one = _case(dtype, (2301, 30), _ONE, pattern="all", now=50)
    for delays in MIXED_DELAYS:
        yield replace(one, delays=delays)
    wide = replace(one, shape=(130, 30), delays="wide", slots=1025)
    yield wide
    yield replace(wide, now=1024)
    # No more slots than the longest delay needs.
    yield replace(one, shape=(130, 30), delays="one", slots=4, now=3)
    # Many more connections than the ring has places.
    narrow = _case(dtype, (64, 600), ((0.5, 0.2),), pattern="all")
    yield replace(narrow, delays="one", slots=4, now=2)
    yield from quick_rules_of_blocks(_case(dtype, (2301, 40), now=31))
    for pattern in _PATTERNS[:2]:
        yield _case(dtype, (1, 5), ((0.5,),), pattern=pattern)
    tables: tuple[DelayTable, ...] = ("normal", "random")
    for delays in tables:
        yield _at_limit(_case(dtype, (1, 5), ((1.0,),), delays=delays, pattern="all"))


def _at_limit(like: Case) -> Case:
    """Ask for a row in which the delay of the first column is at a bucket's limit."""
    word = limit_word(delay_words_of(like.delays))
    origin = place_of_word(like.seed, word, pair=DELAY_PAIR)
    about = "a word of the delays is the first beyond its bucket's own"
    return replace(like, origin=origin, about=about)


def full_deliveries(dtype: str) -> Iterator[Case]:
    """Give the cases of the suite."""
    yield from quick_deliveries(dtype)
    like = _case(dtype, (4301, 70))
    for delays in DELAY_TABLES:
        yield replace(like, delays=delays, now=33)
        yield replace(like, delays=delays, now=33, pattern="all")
    for batch in (2, 8, 33):
        yield replace(like, shape=(901, 70), batch=batch, now=5)
    for known, concrete, corder in combinations((True, False), repeat=3):
        yield replace(like, known=known, concrete=concrete, corder=corder)
    for prob in (1e-4, 0.002, 0.01, 0.3, 0.9, 1.0):
        for pattern in _PATTERNS:
            one = _case(dtype, (2100, 37), ((prob,),), delays="normal", now=9)
            yield replace(one, pattern=pattern)
    for rows in (1023, 1024, 1025):
        yield _case(dtype, (rows, 17), ((0.5, 0.01),), pattern="all")
    for table in ("random symmetric", "random", "lognormal", "constant", "mixed"):
        yield replace(like, table=table)
    for top in (0, 500, 1000):  # a device's rows, the next device's rows
        yield _case(dtype, (500, 60), _ONE, origin=(top, 0), pattern="all")
    yield _case(dtype, (70_001, 4), ((0.1,), (0.003,)), pattern="all", slots=66)
    yield _case(dtype, (3, 40_001), ((0.01,),), pattern="all")
    yield from full_rules_of_blocks(like)
    for slots in (65, 66, 200):
        yield replace(like, slots=slots, now=slots - 2, shape=(901, 40))
