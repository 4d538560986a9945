# SPDX-License-Identifier: Apache-2.0
"""The functions that XLA calls: each reads a call frame, and runs a kernel in parts.

A handler gets the address of a frame and returns the address of an error, or 0.
"""

from __future__ import annotations

from . import (
    block_handlers,
    delivery_handlers,
    dense_handler,
    event_handlers,
    float_handlers,
)

# By what they are called for: some handlers do for several things.
HANDLERS = {
    "events": event_handlers.events,
    "events_transposed": event_handlers.events_transposed,
    "weighted_float32": event_handlers.events,
    "weighted_float64": event_handlers.events,
    "weighted_transposed_float32": event_handlers.events_transposed,
    "weighted_transposed_float64": event_handlers.events_transposed,
    "blocks_float32": block_handlers.blocks_float32,
    "blocks_float64": block_handlers.blocks_float64,
    "deliver_float32": delivery_handlers.deliver_float32,
    "deliver_float64": delivery_handlers.deliver_float64,
    "floats_float32": float_handlers.floats_float32,
    "floats_float64": float_handlers.floats_float64,
    "floats_transposed_float32": float_handlers.floats_transposed_float32,
    "floats_transposed_float64": float_handlers.floats_transposed_float64,
    "dense": dense_handler.dense,
}
