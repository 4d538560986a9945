# SPDX-License-Identifier: Apache-2.0
"""Compile all CPU kernels into the cache, in two processes, unless they are there.

Tests that run at the same time would otherwise compile each kernel once a process.
"""

import multiprocessing

from synjit.backends.numba_cpu import ffi


def load_all(step: int) -> None:
    """Load every kernel, in this order or the other; compile what is not kept."""
    for register in list(ffi.targets().values())[::step]:
        register()


if __name__ == "__main__":
    # They meet in the middle: what one has compiled, the other finds in the cache.
    context = multiprocessing.get_context("spawn")
    other = context.Process(target=load_all, args=(-1,))
    other.start()
    load_all(1)
    other.join()
    raise SystemExit(other.exitcode)
