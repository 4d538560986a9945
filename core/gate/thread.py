# SPDX-License-Identifier: Apache-2.0
"""Work in a thread of its own, with a time limit on standing still."""

from __future__ import annotations

import atexit
import ctypes
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TICK = 0.2  # seconds, after which it is looked how far the work is
STARVED = 0.02  # of a processor: who gets less is waiting, not working


def in_thread(
    work: Callable[[], T], limit: float, progress: Callable[[], object] = lambda: None
) -> T:
    """Run in a thread of its own, and not for ever.

    A time limit is for what hangs. So the clock starts again whenever there is
    progress, and on a busy machine it goes as slowly as this process is served: by its
    processor time, as long as that grows at all.

    Parameters
    ----------
    work : callable
    limit : float
        Seconds without progress.
    progress : callable
        Gives something else whenever there was some.

    Raises
    ------
    TimeoutError
        The limit was reached. The thread is told to stop, as it is when Ctrl-C comes
        while it is waited for.
    """
    outcome: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()  # Thread.join, interrupted, takes the thread for dead

    def target() -> None:
        _running[thread] = done
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001, raised again below
            errors.append(error)
        finally:
            _running.pop(thread, None)
            done.set()

    thread = threading.Thread(target=target, name="synjit-conformance", daemon=True)
    spent, seen = 0.0, progress()
    wall, processor = time.monotonic(), time.process_time()
    try:
        thread.start()
        # Ctrl-C that comes just before a wait is heard of after it: so it is in pieces.
        while spent < limit and not done.wait(min(TICK, limit - spent)):
            passed, served = time.monotonic() - wall, time.process_time() - processor
            wall, processor = wall + passed, processor + served
            spent += min(passed, served) if served > STARVED * passed else passed
            now = progress()
            if now != seen:
                spent, seen = 0.0, now
        late = not done.is_set()
    finally:
        _stop(thread)
    if late:
        raise TimeoutError(f"{limit:g}")
    if errors:
        raise errors[0]
    return outcome[0]


PATIENCE = 5.0  # seconds at exit, for threads that do not stop
_running: dict[threading.Thread, threading.Event] = {}


def _stop(thread: threading.Thread) -> None:
    """Have SystemExit raised in a thread, which it meets when it next runs Python.

    A compiler comes back to Python every second or so; what hangs elsewhere goes on.
    """
    if thread in _running and thread.ident is not None:
        number = ctypes.c_ulong(thread.ident)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(number, ctypes.py_object(SystemExit))


@atexit.register
def _stop_all() -> None:
    """Let no thread compile while Python is taken down: that would crash it."""
    end = time.monotonic() + PATIENCE
    for thread, done in list(_running.items()):
        while time.monotonic() < end and not done.is_set():
            _stop(thread)
            done.wait(1.0)
