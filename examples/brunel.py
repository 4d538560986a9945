# SPDX-License-Identifier: Apache-2.0
"""The four states of Brunel's network (J. Comput. Neurosci. 8, 2000, figure 8).

    python examples/brunel.py                             # 5000 neurons, brunel.png
    python examples/brunel.py --neurons 12500             # as published; minutes
    python examples/brunel.py --neurons 1250 --duration 30

Of 12,500 neurons each has exactly 1000 excitatory and 250 inhibitory sources (a fixed
in-degree); of fewer, it has as large a part, and weights make up for it.
Inhibition is g times as strong as excitation, and the drive from outside eta times what
would just bring a neuron to its threshold. One compiled program makes all four states.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import synjit

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--neurons", type=int, default=5000)
parser.add_argument("--duration", type=float, default=200, help="in ms (200)")
parser.add_argument("--seed", type=int, default=7, help="of the network (7)")
parser.add_argument("--out", default="brunel.png", help="picture (brunel.png)")
options = parser.parse_args()

STATES = {  # (g, eta)
    "synchronous regular": (3.0, 2.0),
    "synchronous irregular, fast": (6.0, 4.0),
    "asynchronous irregular": (5.0, 2.0),
    "synchronous irregular, slow": (4.5, 0.9),
}
n_e, n_i = options.neurons * 4 // 5, options.neurons // 5
n, dt, tau, threshold, reset = n_e + n_i, 0.1, 20.0, 20.0, 10.0  # ms and mV
inputs = n_e // 10  # excitatory ones of a neuron; a quarter as many inhibit
weight = 0.1 * 1000 / inputs  # mV; larger where the network is smaller
delay, refractory = 15, 20  # steps
seed_e, seed_i = synjit.seeds(options.seed, 2)

# A fixed number of sources is a fixed number of targets, transposed: each column of the
# matrix of shape (sources, targets) has so many connections. It is what is dear here:
# with prob=0.1 for the rule, and shape=(n, n_e) without .T, steps take a tenth.
E = synjit.JITConstant(weight, synjit.FixedOutDegree(inputs), seed_e, shape=(n_e, n)).T
I = synjit.JITConstant(
    weight, synjit.FixedOutDegree(inputs // 4), seed_i, shape=(n_i, n)
).T


@jax.jit
def simulate(g, eta, key, steps):
    def step(state, now):
        v, sent, wait = state
        arrived = sent[now % delay]  # the spikes of `delay` steps ago
        outside = jax.random.poisson(jax.random.fold_in(key, now), drive, (n,))
        v = v * jnp.exp(-dt / tau) + weight * outside.astype(v.dtype)
        v = v + E @ arrived[:n_e] - g * (I @ arrived[n_e:])
        v = jnp.where(wait > 0, reset, v)
        spikes = v >= threshold
        wait = jnp.where(spikes, refractory, jnp.maximum(wait - 1, 0))
        return (v, sent.at[now % delay].set(spikes), wait), spikes

    drive = eta * threshold / (weight * tau) * dt  # spikes from outside in a step
    start = (jnp.zeros(n), jnp.zeros((delay, n), bool), jnp.zeros(n, jnp.int32))
    return jax.lax.scan(step, start, steps)[1]


steps = jnp.arange(round(options.duration / dt))
figure = Figure((8, 5), layout="constrained")
for axes, (name, (g, eta)) in zip(
    figure.subplots(2, 2).flat, STATES.items(), strict=True
):
    raster = np.asarray(simulate(g, eta, jax.random.key(1), steps))
    late = raster[len(raster) // 3 :]
    rate = late.mean() / (dt * 1e-3)
    print(f"{name:28} g {g}, eta {eta}: {rate:5.1f} spikes/s")
    when, who = late[:, :50].nonzero()
    axes.plot(options.duration / 3 + when * dt, who, "|", color="black", markersize=2)
    axes.set(title=f"{name}\ng = {g}, eta = {eta}: {rate:.1f}/s", xlabel="time, ms")
figure.savefig(options.out, dpi=100)
