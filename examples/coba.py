# SPDX-License-Identifier: Apache-2.0
"""A balanced network with synapses of conductance, and its raster.

    python examples/coba.py                           # 4000 neurons, 1 s, coba.png
    python examples/coba.py --neurons 400 --duration 50

The first benchmark of Brette et al. (J. Comput. Neurosci. 23, 2007), after Vogels and
Abbott (2005): four fifths of the neurons excite, every neuron has 80 sources in the
mean, and after a kick the network keeps itself active.
"""

import argparse

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import synjit

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--neurons", type=int, default=4000)
parser.add_argument("--duration", type=float, default=1000, help="in ms (1000)")
parser.add_argument("--seed", type=int, default=2026, help="of the network (2026)")
parser.add_argument("--out", default="coba.png", help="picture (coba.png)")
options = parser.parse_args()

n_e, n_i = options.neurons * 4 // 5, options.neurons // 5
n, dt = n_e + n_i, 0.1 * u.ms
prob = min(1.0, 80 / n)
seed_e, seed_i, seed_start = synjit.seeds(options.seed, 3)

# Rows are targets, columns are sources: E @ spikes is a conductance for each target.
E = synjit.JITConstant(6 * u.nS, prob, seed_e, shape=(n, n_e))
I = synjit.JITConstant(67 * u.nS, prob, seed_i, shape=(n, n_i))

capacity, leak = 200 * u.pF, 10 * u.nS
rest, threshold, reset = -60 * u.mV, -50 * u.mV, -60 * u.mV
reversal_e, reversal_i = 0 * u.mV, -80 * u.mV
decay_e, decay_i = jnp.exp(-dt / (5 * u.ms)), jnp.exp(-dt / (10 * u.ms))
refractory = 50  # steps of 0.1 ms


def step(state, _):
    v, g_e, g_i, spikes, wait = state
    g_e = g_e * decay_e + E @ spikes[:n_e]
    g_i = g_i * decay_i + I @ spikes[n_e:]
    current = leak * (rest - v) + g_e * (reversal_e - v) + g_i * (reversal_i - v)
    v = u.math.where(wait > 0, reset, v + dt * current / capacity)
    spikes = v > threshold
    wait = jnp.where(spikes, refractory, jnp.maximum(wait - 1, 0))
    return (v, g_e, g_i, spikes, wait), spikes


@jax.jit  # the loop is one program: no Python between its steps
def simulate(state, steps):
    return jax.lax.scan(step, state, steps)[1]


random = np.random.default_rng(seed_start)
state = (
    random.normal(-65, 5, n).astype(np.float32) * u.mV,
    random.normal(40, 15, n).clip(0).astype(np.float32) * u.nS,
    random.normal(200, 120, n).clip(0).astype(np.float32) * u.nS,
    jnp.zeros(n, bool),
    jnp.zeros(n, jnp.int32),
)
steps = round(options.duration / 0.1)
raster = np.asarray(simulate(state, jnp.arange(steps)))
rates = raster.sum(axis=0) / (options.duration * 1e-3)
print(f"{raster.sum()} spikes")
print(f"E {rates[:n_e].mean():.1f}/s, I {rates[n_e:].mean():.1f}/s")

when, who = raster.nonzero()
axes = (figure := Figure((7, 3.2), layout="constrained")).subplots()
for part, colour in ((who < n_e, "tab:blue"), (who >= n_e, "tab:red")):
    axes.plot(when[part] * 0.1, who[part], ",", color=colour)
axes.set(xlabel="time, ms", ylabel="neuron", xlim=(0, options.duration), ylim=(0, n))
figure.savefig(options.out, dpi=100)
