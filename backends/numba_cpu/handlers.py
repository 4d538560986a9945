# SPDX-License-Identifier: Apache-2.0
"""The functions that XLA calls: each reads a call frame, and runs a kernel in parts.

A handler gets the address of a frame and returns the address of an error, or 0.
"""

from __future__ import annotations

from . import block_handlers, dense_handler, event_handlers, float_handlers

HANDLERS = {
    handler.__name__: handler
    for handler in (
        event_handlers.events,
        event_handlers.events_transposed,
        event_handlers.weighted_float32,
        event_handlers.weighted_float64,
        event_handlers.weighted_transposed_float32,
        event_handlers.weighted_transposed_float64,
        block_handlers.blocks_float32,
        block_handlers.blocks_float64,
        float_handlers.floats_float32,
        float_handlers.floats_float64,
        float_handlers.floats_transposed_float32,
        float_handlers.floats_transposed_float64,
        dense_handler.dense,
    )
}
