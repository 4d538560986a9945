# SPDX-License-Identifier: Apache-2.0
"""Parts of one call on XLA's own intra-op threads.

A call whose work is worth it is cut into parts. Tasks, one for each further thread,
are handed to XLA's pool; they and the caller take parts by an atomic counter until
none is left. The caller then waits for parts that others have begun, and for nothing
else: not for a task that the pool has not started yet, because it is busy, or has
one thread, or was lost in a fork. A task that comes late finds no part left. The
job it looks at is therefore a block of its own, freed by whoever leaves it last;
the call's frame and buffers are touched inside parts only.

``SYNJIT_NUM_THREADS`` limits the threads of a call, the caller included. It is read
at run time, by every call that is large enough to be cut.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .frame import FRAME_API, FRAME_CONTEXT, word
from .intrinsics import (
    atomic_add,
    call_address,
    environment_integer,
    free,
    load_word,
    malloc,
    sched_yield,
    stack_address,
    store_word,
    task_address,
)
from .naming import named_after

# struct XLA_FFI_Api, in words
API_ERROR_DESTROY = 8
API_SCHEDULE = 17
API_NUM_THREADS = 18

# A job, in words. Each counter has a cache line of its own.
REFERENCES = 0
NEXT_PART = 8
FINISHED = 16
SLOTS = 24
FRAME = 32
PARTS = 33
JOB_WORDS = 34

MOST_THREADS = 256


@njit
def _destroy(frame, error):
    arguments = stack_address(3)
    store_word(arguments, 24)
    store_word(arguments + 8, 0)
    store_word(arguments + 16, error)
    call_address(word(word(frame, FRAME_API), API_ERROR_DESTROY), arguments)


@njit
def available_threads(frame):
    """Threads that a call may use, the caller's included."""
    arguments = stack_address(5)
    store_word(arguments, 32)
    store_word(arguments + 8, 0)
    store_word(arguments + 16, word(frame, FRAME_CONTEXT))
    store_word(arguments + 24, arguments + 32)
    store_word(arguments + 32, 1)
    error = call_address(word(word(frame, FRAME_API), API_NUM_THREADS), arguments)
    if error != 0:
        _destroy(frame, error)
        return 1
    threads = load_word(arguments + 32)
    limit = environment_integer("SYNJIT_NUM_THREADS")
    if limit > 0:
        threads = min(threads, limit)
    return max(1, min(threads, MOST_THREADS))


@njit
def _schedule(frame, task, job):
    """Hand a task to the pool; False if the pool does not take it."""
    arguments = stack_address(5)
    store_word(arguments, 40)
    store_word(arguments + 8, 0)
    store_word(arguments + 16, word(frame, FRAME_CONTEXT))
    store_word(arguments + 24, task)
    store_word(arguments + 32, job)
    error = call_address(word(word(frame, FRAME_API), API_SCHEDULE), arguments)
    if error != 0:
        _destroy(frame, error)
    return error == 0


@njit
def _leave(job):
    if atomic_add(job + 8 * REFERENCES, -1) == 1:
        free(job)


def in_parts(body):
    """Make ``run(frame, parts, threads)`` of a numba function, one part of a call.

    Parameters
    ----------
    body : numba function (frame, part, slot, fresh)
        Does one part. Parts with the same slot never run at the same time, and
        there are at most as many slots as threads: what parts accumulate can be
        kept by slot. In a slot's first part, ``fresh`` is true.

    Returns
    -------
    numba function (frame, parts, threads)
        Does all parts, and returns the number of slots that were used.
    """

    @njit
    @named_after(body)
    def take_parts(job):
        slot, fresh = 0, True
        frame, parts = word(job, FRAME), word(job, PARTS)
        part = atomic_add(job + 8 * NEXT_PART, 1)
        while part < parts:
            if fresh:
                slot = atomic_add(job + 8 * SLOTS, 1)
            body(frame, part, slot, fresh)
            fresh = False
            atomic_add(job + 8 * FINISHED, 1)
            part = atomic_add(job + 8 * NEXT_PART, 1)

    @njit
    @named_after(body)
    def task(job):
        take_parts(job)
        _leave(job)
        return 0

    @njit
    @named_after(body)
    def run(frame, parts, threads):
        threads = min(threads, parts)
        slot = np.int64(0)  # a literal would have the body compiled twice
        job = malloc(8 * JOB_WORDS) if threads > 1 else 0
        if job == 0:
            for part in range(parts):
                body(frame, part, slot, part == 0)
            return min(1, parts)
        store_word(job + 8 * REFERENCES, threads)
        store_word(job + 8 * NEXT_PART, 0)
        store_word(job + 8 * FINISHED, 0)
        store_word(job + 8 * SLOTS, 0)
        store_word(job + 8 * FRAME, frame)
        store_word(job + 8 * PARTS, parts)
        address = task_address(task)
        for _ in range(threads - 1):
            if not _schedule(frame, address, job):
                _leave(job)
        take_parts(job)
        while atomic_add(job + 8 * FINISHED, 0) < parts:
            sched_yield()
        slots = word(job, SLOTS)
        _leave(job)
        return slots

    return run
