# SPDX-License-Identifier: Apache-2.0
"""What is in a matrix that is not stored: its connections, listed or asked for.

``methods`` has what users call, on every matrix; ``listing`` draws the connections,
``selection`` reads indices and slices, ``memory`` refuses what would not fit, and
``progress`` shows how far a long listing is.
"""

from .methods import Connections, Entries, Inspectable

__all__ = ["Connections", "Entries", "Inspectable"]
