# SPDX-License-Identifier: Apache-2.0
"""One network at many strengths of inhibition, each drawn several times: one vmap.

    python examples/sweep.py                               # sweep.png
    python examples/sweep.py --neurons 200 --seeds 2 --strengths 3 --duration 20

A network drawn again is other synapses of the same probability. Nothing is stored for
any of them, so that a sweep takes the memory of its neurons, whatever their synapses.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import synjit

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--neurons", type=int, default=2000)
parser.add_argument("--strengths", type=int, default=8, help="of inhibition (8)")
parser.add_argument("--seeds", type=int, default=5, help="networks of each (5)")
parser.add_argument("--duration", type=float, default=300, help="in ms (300)")
parser.add_argument("--out", default="sweep.png", help="picture (sweep.png)")
options = parser.parse_args()

n_e, n_i, dt = options.neurons * 4 // 5, options.neurons // 5, 0.1
n, prob = n_e + n_i, min(1.0, 200 / options.neurons)
steps = jnp.arange(round(options.duration / dt))


def rate(g, key):
    """Simulate one network; returns its spikes per second and neuron."""
    # Keys and weights are arrays here, so that one compiled program serves them all.
    key_e, key_i, key_start = jax.random.split(key, 3)
    E = synjit.JITNormal(0.2, 0.02, prob, key_e, shape=(n, n_e))
    I = synjit.JITNormal(-0.2 * g, 0.02 * g, prob, key_i, shape=(n, n_i))

    def step(state, _):
        v, spikes = state
        v = v + dt / 20 * (24.0 - v) + E @ spikes[:n_e] + I @ spikes[n_e:]
        spikes = v > 20  # mV above rest
        return (jnp.where(spikes, 0.0, v), spikes), spikes.mean()

    start = jax.random.uniform(key_start, (n,), maxval=20.0)
    return jax.lax.scan(step, (start, start < 0), steps)[1].mean() / (dt * 1e-3)


strengths = jnp.linspace(3.0, 8.0, options.strengths)
keys = jax.random.split(jax.random.key(42), options.seeds)
over_seeds = jax.vmap(rate, in_axes=(None, 0))
sweep = jax.jit(jax.vmap(over_seeds, in_axes=(0, None)))
rates = np.asarray(sweep(strengths, keys))  # (strengths, seeds)

for g, row in zip(strengths, rates, strict=True):
    print(f"g {g:.2f}: {row.mean():6.2f} spikes/s, {row.std(ddof=1):.2f} between seeds")
axes = (figure := Figure((5, 3.2), layout="constrained")).subplots()
axes.plot(strengths, rates, ".", color="tab:gray")
axes.plot(strengths, rates.mean(axis=1), color="tab:blue")
axes.set(xlabel="strength of inhibition, g", ylabel="spikes / s", ylim=(0, None))
figure.savefig(options.out, dpi=100)
