# SPDX-License-Identifier: Apache-2.0
"""Where in a matrix rare words are drawn: found by undoing the draw, or by searching.

What goes wrong for one word in a million is never met by chance.
"""

from __future__ import annotations

import numpy as np

from synjit import reference
from synjit.reference import draw
from synjit.reference.threefry import threefry2x32

from .cases import connectivity_of

LAST = 2**31 - 1

# prob, and a column in whose first chunk the count word is equal to a limit, in the
# matrix of ``cases.SEED``: found among some 10**8 columns.
AT_LIMITS = ((0.1, 36_463_343), (0.5, 23_458_932))


def tail_word(octave: int, sign: int) -> int:
    """Give a uniform word whose weight lies in an octave of the normal's table.

    The weight is the largest of its octave, or the smallest of the negative ones. From
    octave 21 on, all are beyond 5 standard deviations; the last octave is 31.
    """
    low, high = (1 << 30) >> octave, ((1 << 31) >> octave) - 1
    return low if sign > 0 else (1 << 31) | max(high, 0)


def limit_word(table: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> int:
    """Give a uniform word that is the first to have its bucket's other delay.

    It is equal to the number of the bucket's own words; the other delay is not 0.
    """
    bits = int(len(table) - 1).bit_length() - 1
    for own, bucket in enumerate(table[1:].tolist()):
        limit, alias = bucket >> bits, bucket & (2**bits - 1)
        if alias not in {0, own}:
            return own << (32 - bits) | limit
    raise ValueError("no bucket of the table has another delay than its own")


def place_of_word(
    seed: int, word: int, room: int = 64, pair: int = draw.WEIGHT_PAIR
) -> tuple[int, int]:
    """Find a (row, column) whose weight, or delay, is made of this uniform word.

    Every column has such a row, half of them within the numbers that rows may have;
    ``room`` rows after it are, too. ``pair`` says what the word is for.
    """
    words = reference.seed_words(seed)
    columns = np.arange(64, dtype=np.uint32)
    w0, w1 = threefry2x32(words, (columns, pair))
    odd = np.array(draw.WEIGHT_MULTIPLIERS, np.uint32)
    undo = draw.inverse_mod_2_32(odd)
    x = _undo_shift(np.full(64, word, np.uint32), draw.WEIGHT_SHIFTS[3])
    x = _undo_shift(x * undo[2], draw.WEIGHT_SHIFTS[2])
    x = _undo_shift(x * undo[1] - w1, draw.WEIGHT_SHIFTS[1])
    x = _undo_shift(x * undo[0], draw.WEIGHT_SHIFTS[0])
    rows = x ^ w0
    column = int(np.flatnonzero(rows <= LAST - room)[0])
    return int(rows[column]), column


def _undo_shift(
    x: np.ndarray[tuple[int], np.dtype[np.uint32]], shift: int
) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """Undo ``x ^ (x >> shift)``: each pass makes ``shift`` more bits right."""
    y = x
    for _ in range(32 // shift):
        y = x ^ (y >> np.uint32(shift))
    return y


def place_of_connection(seed: int, prob: float, room: int = 64) -> tuple[int, int]:
    """Find a (row, column) that is connected, in the first chunk of a column."""
    words, counts = reference.seed_words(seed), connectivity_of(prob)
    columns = np.arange(64, dtype=np.uint32)
    keys = draw.chunk_keys(words, columns, np.uint32(0))
    rows = draw.place(np.zeros_like(columns), keys, counts.log2_chunk)
    connected = counts.draw_count(keys.count_word) > 0
    column = int(np.flatnonzero(connected & (rows <= LAST - room))[0])
    return int(rows[column]), column
