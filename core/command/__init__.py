# SPDX-License-Identifier: Apache-2.0
"""What the command ``synjit`` starts with: Ctrl-C ends it at once, whatever it does.

The command owns its process, and no one handles a KeyboardInterrupt there. Python would
raise one wherever the main thread happens to be: in a callback that swallows it, in an
import that is left half done; or only minutes later, when a compiler comes back. So the
process is ended by a thread that waits for the signal, after a file that is just being
written. ``import synjit`` changes nothing of the kind.

This is a package of its own, ``synjit_command``, that imports next to nothing: the
import of synjit, and JAX with it, takes seconds in which Ctrl-C must work too.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import NoReturn

INTERRUPTED = 128 + signal.SIGINT
PATIENCE = 1.0  # seconds for the file that is being written


def main() -> NoReturn:
    """Run the command line, see ``synjit.cli.main``, and end the process."""
    end_on_interrupt()
    from synjit import cli

    code = cli.main()
    # All is written. Taking Python down would last, and Ctrl-C would kill it meanwhile.
    os._exit(code)


def end_on_interrupt() -> None:
    """Let Ctrl-C end this process, unless whoever started it had it ignored."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    threading.Thread(target=_wait, args=(reader,), daemon=True).start()
    # The number of a signal is written at once, by C, even while Python code cannot
    # run; the handler, which Python calls when it can, has nothing left to do.
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, lambda _number, _frame: None)


def _wait(reader: int) -> None:
    while signal.SIGINT not in os.read(reader, 1):
        pass
    files = sys.modules.get("synjit.files")
    writing = getattr(files, "writing", None)
    if writing is not None:
        writing.acquire(timeout=PATIENCE)
    try:
        clear = b"\r\033[K" if os.isatty(2) else b""
        os.write(2, clear + b"synjit: interrupted\n")
    finally:
        os._exit(INTERRUPTED)
