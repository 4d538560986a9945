# SPDX-License-Identifier: Apache-2.0
"""The cortical microcircuit on several machines, with the spikes of one.

On this machine, as four processes that talk over the loopback interface:

    python examples/cluster.py --local 4 --scale 0.1

On four machines under Slurm, one process for each, which JAX finds by itself:

    srun --nodes 4 --ntasks-per-node 1 python examples/cluster.py

On four machines that are reached by ssh, of which the first coordinates:

    hosts=(node0 node1 node2 node3)
    for i in "${!hosts[@]}"; do
      ssh "${hosts[i]}" python examples/cluster.py \
        --coordinator node0:12345 --processes 4 --process "$i" &
    done; wait

Every process runs this file; the devices of all of them make one mesh. Each device has
its share of every population and draws the synapses onto it, and gets the spikes of
all, a bit each. If a process dies, the others end with an error within seconds of
``--heartbeat``.
"""

import argparse
import hashlib
import socket
import subprocess
import sys

import jax
import numpy as np

from synjit import demo


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--local", type=int, help="start so many processes here")
    parser.add_argument("--coordinator", help="host:port of process 0")
    parser.add_argument("--processes", type=int, help="how many there are")
    parser.add_argument("--process", type=int, help="which one this is, from 0 on")
    parser.add_argument("--heartbeat", type=int, default=10, help="seconds (10)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the network (1)")
    parser.add_argument("--duration", type=float, default=1000, help="in ms (1000)")
    parser.add_argument("--transient", type=float, default=200, help="in ms (200)")
    parser.add_argument("--seed", type=int, default=1, help="of the network (1)")
    return parser.parse_args()


def start_here(count):
    """Run this file count times, side by side."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    command = [sys.executable, *sys.argv, "--coordinator", address]
    command += ["--processes", str(count), "--process"]
    running = [subprocess.Popen([*command, str(i)]) for i in range(count)]
    for i, process in enumerate(running):
        print(f"process {i} has the id {process.pid}", flush=True)
    codes = [process.wait() for process in running]
    if any(codes):
        print(f"the processes ended with the codes {codes}")
    return int(any(codes))


def simulate(options):
    """Take part in the simulation; process 0 tells."""
    jax.distributed.initialize(
        options.coordinator,
        options.processes,
        options.process,
        heartbeat_timeout_seconds=options.heartbeat,
    )

    def tell(line):
        if jax.process_index() == 0:
            print(line, flush=True)

    activity = demo.simulate(
        options.scale,
        options.duration,
        options.transient,
        options.seed,
        report=tell,
        devices=jax.device_count(),
    )
    spikes = hashlib.sha256(activity.counts.tobytes())
    for part in (*activity.sample_times, *activity.sample_ids):
        spikes.update(np.ascontiguousarray(part).tobytes())
    tell(demo.report.table(activity))
    tell(f"{activity.counts.sum()} spikes, {spikes.hexdigest()}")
    jax.distributed.shutdown()
    return 0


if __name__ == "__main__":
    options = parse()
    local = options.local and options.process is None
    sys.exit(start_here(options.local) if local else simulate(options))
