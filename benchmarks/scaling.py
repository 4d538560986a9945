# SPDX-License-Identifier: Apache-2.0
"""How a matrix on many devices scales: what is counted, measured, and then modelled.

    python benchmarks/scaling.py

prints the tables of ``docs/many-devices.md``. Drawing is measured as CPU time, of the
windows that devices would have, one after the other on this machine.
"""

from __future__ import annotations

import os

if __name__ == "__main__":  # before JAX is imported
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=64"
    os.environ["SYNJIT_NUM_THREADS"] = "1"  # threads that wait would be counted

import math
import re
import time
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import synjit
from synjit import cut, reference
from synjit.demo import build
from synjit.demo.background import Each
from synjit.demo.dynamics import Neurons, connections, make_step

BITS = {"pred": 8, "u8": 8, "s32": 32, "f32": 32}
KERNEL_SUMS = 8  # bytes of the accumulators of a row


# --- counted ----------------------------------------------------------------------


def exchanged_bytes(program: str) -> int:
    """Bytes that a device has received after the collectives of a compiled program."""
    found = re.findall(
        r"= (\w+)\[([\d,]*)\]\S* (?:all-gather|reduce-scatter|all-reduce|all-to-all"
        r"|collective-permute)(?:-start)?\(",
        program,
    )
    return sum(
        math.prod(int(n) for n in shape.split(",")) * BITS[kind] // 8
        for kind, shape in found
    )


def stated_memory(compiled: Any) -> int:
    """Bytes of a device, arguments and results included, as XLA states them."""
    sizes = compiled.memory_analysis()
    own: int = sizes.argument_size_in_bytes + sizes.output_size_in_bytes
    return own + sizes.temp_size_in_bytes


def chunks_touched(rows: int, prob: float, parts: int) -> float:
    """Mean number of chunks that one of equal windows of the rows touches."""
    chunk = 1 << reference.draw.log2_chunk(prob)
    share = -(-rows // parts)
    starts = np.arange(parts) * share
    return float(np.mean((starts + share - 1) // chunk - starts // chunk + 1))


def microcircuit(devices: int) -> tuple[int, int, float, float]:
    """Count a step of the full microcircuit on some devices.

    Returns
    -------
    tuple
        Bytes that a device receives; bytes of its memory, arguments and results
        included; connections onto its neurons, and connections that it lists, of
        a spike of a mean neuron.
    """
    network = build(1.0)
    auto = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((devices,), ("neurons",), axis_types=auto)
    matrix = connections(network, None).shard(mesh, rows="neurons")
    cut = matrix.columns

    def argument(dtype: str) -> Any:
        return jax.ShapeDtypeStruct((cut.length,), dtype, sharding=cut.sharding())

    neurons = Neurons(argument("float32"), argument("float32"), argument("uint32"))
    step = jax.jit(make_step(network, matrix))
    compiled = step.lower(
        neurons, Each(argument("uint8")), argument("float32")
    ).compile()
    own = listed = 0.0
    for block in network.blocks:
        rows, columns = block.shape
        share = columns / sum(network.sizes)
        chunk = 1 << reference.draw.log2_chunk(block.prob)
        touched = chunks_touched(rows, block.prob, devices)
        own += share * block.prob * rows / devices
        listed += share * touched * min(block.prob * chunk, rows / devices)
    received = exchanged_bytes(compiled.as_text())
    return received, stated_memory(compiled), own, listed


def memory_of_product(devices: int, neurons: int = 1 << 24) -> int:
    """Bytes of a device for a product of few events, arguments and result included.

    To what XLA states come the kernel's accumulators, of every row where a chunk has
    them all, as here. (Its list of the events is 4 bytes for each.)
    """
    program, _ = _large_product(devices, neurons)
    return stated_memory(program) + KERNEL_SUMS * neurons // devices


def _large_product(devices: int, neurons: int) -> tuple[Any, Any]:
    """Compile a product of events; gives it, and how its vectors are cut."""
    matrix = synjit.JITNormal(0.5, 0.1, 16 / neurons, 42, shape=(neurons, neurons))
    auto = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((devices,), ("neurons",), axis_types=auto)
    whole = matrix.shard(mesh, rows="neurons")
    sharding = whole.columns.sharding()
    x = jax.ShapeDtypeStruct((whole.shape[1],), bool, sharding=sharding)
    return jax.jit(lambda x: whole @ x).lower(x).compile(), whole.columns


# --- measured ---------------------------------------------------------------------

ROWS, COLUMNS, ACTIVE, PROB = 1 << 20, 1 << 17, 4096, 1e-3


def drawing_seconds(parts: int) -> float:
    """CPU time of a device's product, its rows one of so many equal windows."""
    matrix = synjit.JITNormal(0.0, 1.0, PROB, 42, shape=(ROWS // parts, COLUMNS))
    rng = np.random.default_rng(0)
    events = np.zeros(COLUMNS, bool)
    events[rng.choice(COLUMNS, ACTIVE, replace=False)] = True
    product = jax.jit(lambda x: matrix @ x)
    x = jax.device_put(events)
    product(x).block_until_ready()
    times = []
    for _ in range(7):
        repeats = 5
        start = time.process_time()
        for _ in range(repeats):
            product(x).block_until_ready()
        times.append((time.process_time() - start) / repeats)
    return min(times)


def finding_seconds(shares: int, devices: int = 8, neurons: int = 1 << 24) -> float:
    """CPU time of a device to find the few events, so many shares at a time."""
    usual = cut.PIECE_SHARES
    cut.PIECE_SHARES = shares
    jax.clear_caches()  # of what was traced with other pieces
    try:
        product, columns = _large_product(devices, neurons)
    finally:
        cut.PIECE_SHARES = usual
    x = columns.place(np.arange(neurons) % (neurons // 256) == 0)
    times = []
    for _ in range(7):
        start = time.process_time()
        product(x).block_until_ready()
        times.append(time.process_time() - start)
    return min(times[1:]) / devices


# --- modelled ---------------------------------------------------------------------


@dataclass(frozen=True)
class Machine:
    """What a device takes, in seconds.

    Attributes
    ----------
    keys, listed, added : float
        To make the key words of a chunk, to list one of its connections, and to add
        one that is in the window.
    row : float
        To write a neuron's input, and to update the neuron.
    column, sums : float
        To unpack a bit of the events and look whether it is set, and to add the sums
        of a piece of the columns to a row's.
    byte : float
        To receive a byte of the others' spikes.
    exchange : float
        To begin an exchange among two devices; among D, log2(D) times that.
    """

    keys: float
    listed: float
    added: float
    row: float
    column: float = 0.0
    sums: float = 0.0
    byte: float = 1 / 50e9
    exchange: float = 5e-6


# An H100, as docs/gpu.md estimates it: keys are some 900 instructions, a connection
# some 100, of 1.5 * 10^13 a second; a column is 3 bytes written and read, sums are 32.
ACCELERATOR = Machine(
    keys=6e-11, listed=5e-12, added=2e-12, row=2e-11, column=1e-12, sums=1e-11
)
RATE, STEP = 3, 1e-4  # spikes/s of a neuron, s


def drawing(
    machine: Machine, rows: float, prob: float, active: float, parts: int
) -> float:
    """Time to draw the active columns of one window of the rows."""
    chunk = 1 << reference.draw.log2_chunk(prob)
    window = rows / parts
    touched = max(1.0, window / chunk)
    listed = touched * min(prob * chunk, window)
    of_column = touched * machine.keys + listed * machine.listed
    of_column += prob * window * machine.added
    return active * of_column + window * machine.row


def exchange(machine: Machine, neurons: float, parts: int) -> float:
    """Time to receive the packed spikes of all."""
    begin = machine.exchange * math.log2(parts) if parts > 1 else 0
    return begin + neurons / 8 * machine.byte


def unpacked(neurons: float, parts: int) -> float:
    """Number of the columns whose events a device unpacks at a time."""
    return min(neurons, max(cut.PIECE, cut.PIECE_SHARES * neurons / parts))


def finding(machine: Machine, neurons: float, parts: int) -> float:
    """Time to go through the bits of all, and to add up the sums of the pieces."""
    pieces = neurons / unpacked(neurons, parts)
    added = pieces * neurons / parts * machine.sums if pieces > 1 else 0
    return neurons * machine.column + added


def product_memory(neurons: float, parts: int) -> float:
    """Bytes of a device: events, result and accumulators of its own neurons, and more.

    On several devices there are the bits of all, and the flags of a piece, for which
    there is room in the memory of the result while they are no more; a result that has
    yet to lose what fills it up or, with pieces, N and Z of a piece and of all pieces,
    in part where the result will be.
    """
    own, columns = neurons / parts, unpacked(neurons, parts)
    size = (1 + 4 + KERNEL_SUMS) * own
    if parts > 1:
        size += neurons / 8 + (columns if columns > 4 * own else 0)
        size += (4 if columns == neurons else 12) * own
    return size


def fitted(measured: dict[int, float]) -> Machine:
    """Fit two costs to two windows: of a chunk of rows, and of next to none of it."""
    chunk = 1 << reference.draw.log2_chunk(PROB)
    keys, row = 15e-9, 1e-9  # docs/speed.md
    whole, scrap = measured[ROWS // chunk] / ACTIVE, measured[1024] / ACTIVE
    listed = (scrap - keys) / (PROB * chunk)
    return Machine(keys, listed, (whole - scrap) / (PROB * chunk), row)


def main() -> None:
    """Print the tables."""
    print("| devices | bytes received | memory, MB | connections | listed |")
    for devices in (1, 2, 4, 8):
        received, memory, own, listed = microcircuit(devices)
        print(
            f"| {devices} | {received:,} | {memory / 1e6:.2f} | {own:.0f} "
            f"| {listed:.0f} |"
        )
    print("\n| devices | pieces | memory, MB | bytes a neuron | model |")
    for devices in (1, 2, 4, 8, 16, 32, 64):
        memory, own = memory_of_product(devices), (1 << 24) / devices
        pieces = (1 << 24) / unpacked(1 << 24, devices)
        model = product_memory(1 << 24, devices)
        print(
            f"| {devices} | {pieces:.0f} | {memory / 1e6:.1f} | {memory / own:.1f} "
            f"| {model / own:.1f} |"
        )
    finding_ms = {shares: finding_seconds(shares) * 1e3 for shares in (1, 2, 4, 8)}
    print(f"\nms to find few events, by shares in a piece: {finding_ms}\n")
    measured = {parts: drawing_seconds(parts) for parts in (1, 2, 4, 16, 64, 256, 1024)}
    machine = fitted(measured)
    print(f"\n{machine}\n")
    print("| devices | rows | connections of a column | ms | model |")
    for parts, seconds in measured.items():
        model = drawing(machine, ROWS, PROB, ACTIVE, parts)
        print(
            f"| {parts:,} | {ROWS // parts:,} | {PROB * ROWS / parts:.3g} "
            f"| {seconds * 1e3:.2f} | {model * 1e3:.2f} |"
        )
    print("\n| neurons | devices | drawing, ms | exchange, ms | finding, ms | MB |")
    for neurons in (1e8, 1e9, 2e9):
        for parts in (64, 512, 4096):
            active = neurons * RATE * STEP
            took = drawing(ACCELERATOR, neurons, 1e4 / neurons, active, parts)
            wait = exchange(ACCELERATOR, neurons, parts)
            found = finding(ACCELERATOR, neurons, parts)
            memory = product_memory(neurons, parts)
            print(
                f"| {neurons:.0e} | {parts} | {took * 1e3:.3f} | {wait * 1e3:.3f} "
                f"| {found * 1e3:.3f} | {memory / 1e6:,.0f} |"
            )


if __name__ == "__main__":
    main()
