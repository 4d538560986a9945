# SPDX-License-Identifier: Apache-2.0
"""Key words: the counter-based generator Threefry-2x32 with 20 rounds.

Source: Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as
1, 2, 3", SC'11 (2011), and the known-answer tests published with it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
PARITY = 0x1BD11BDA
ROUNDS = 20


def threefry2x32(
    key: tuple[ArrayLike, ArrayLike], counter: tuple[ArrayLike, ArrayLike]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Turn a key and a counter into two random words.

    Parameters
    ----------
    key, counter : pairs of uint32 arrays
        The two words of each; all four broadcast together.

    Returns
    -------
    pair of uint32 arrays, of the broadcast shape (at least one-dimensional)
    """
    k0, k1, x0, x1 = (
        np.atleast_1d(np.asarray(word, np.uint32)) for word in (*key, *counter)
    )
    schedule = (k0, k1, k0 ^ k1 ^ np.uint32(PARITY))
    x0 = x0 + schedule[0]
    x1 = x1 + schedule[1]
    for r in range(ROUNDS):
        rotation = ROTATIONS[r % 8]
        x0 = x0 + x1
        x1 = (x1 << np.uint32(rotation)) | (x1 >> np.uint32(32 - rotation))
        x1 = x1 ^ x0
        if r % 4 == 3:
            injection = r // 4 + 1
            x0 = x0 + schedule[injection % 3]
            x1 = x1 + schedule[(injection + 1) % 3] + np.uint32(injection)
    return x0, x1
