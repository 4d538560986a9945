# SPDX-License-Identifier: Apache-2.0
"""A network of excitatory and inhibitory neurons on two GPUs.

    python examples/two_gpus.py             # the first two devices that JAX finds
    python examples/two_gpus.py --cpu       # a CPU that passes for two devices
    python examples/two_gpus.py --devices 1 # the same spikes, on one

Each device has half of the neurons, draws the synapses onto them, and gets the spikes
of the other half, a bit each.
"""

import argparse
import functools

import jax
import jax.numpy as jnp
import numpy as np

import synjit

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--devices", type=int, default=2)
parser.add_argument("--cpu", action="store_true", help="one that passes for several")
parser.add_argument("--neurons", type=int, default=10_000)
parser.add_argument("--steps", type=int, default=1000, help="of 0.1 ms")
options = parser.parse_args()
if options.cpu:
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", options.devices)

# The network: every neuron has about 100 inputs of each kind, inhibition is stronger.
n_e, n_i = options.neurons * 4 // 5, options.neurons // 5
seeds = iter(synjit.seeds(42, 4))


def connections(weight, targets, sources):
    prob = min(1.0, 100 / sources)
    return synjit.JITNormal(
        weight, 0.1 * weight, prob, next(seeds), shape=(targets, sources)
    )


W = synjit.JITBlocks(
    [
        [connections(0.2, n_e, n_e), connections(-1.0, n_e, n_i)],
        [connections(0.2, n_i, n_e), connections(-1.0, n_i, n_i)],
    ]
)

# The only lines about devices: a mesh, the matrix cut over it, and vectors like it.
mesh = jax.make_mesh(
    (options.devices,), ("neurons",), axis_types=(jax.sharding.AxisType.Auto,)
)
S = W.shard(mesh, rows="neurons")
start = np.random.default_rng(1).uniform(0, 20, n_e + n_i).astype(np.float32)


@functools.partial(jax.jit, static_argnames="steps")
def run(v, drive, steps):
    """Leaky neurons: v in mV above rest, threshold 20, reset to 0."""

    def step(state, _):
        v, spikes = state
        v = 0.995 * v + drive + S @ spikes
        spikes = v >= 20
        return (jnp.where(spikes, 0, v), spikes), spikes.sum()

    (v, _), counts = jax.lax.scan(step, (v, v < 0), length=steps)
    return v, counts


drive = np.full(n_e + n_i, 0.15, np.float32)
v, counts = run(S.columns.place(start), S.columns.place(drive), options.steps)
rate = counts.sum() / (n_e + n_i) / (options.steps * 1e-4)
print(f"{options.devices} devices, {v.addressable_shards[0].data.size} neurons each")
print(f"{counts.sum()} spikes, {rate:.2f} spikes/s")
print(f"sum of the potentials {np.asarray(S.rows.collect(v)).sum(dtype=float):.17g} mV")
