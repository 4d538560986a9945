# SPDX-License-Identifier: Apache-2.0
"""A spiking network is trained through its spikes: surrogate gradients and optax.

    python examples/train.py                                   # train.png
    python examples/train.py --hidden 50 --updates 3

Poisson spikes with one of three patterns of rates come in; the network must say which.
What is trained: the mean and the deviation of the weights of each random matrix (two
numbers for any size), and a read-out that is stored.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import synjit

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--hidden", type=int, default=300, help="neurons (300)")
parser.add_argument("--updates", type=int, default=80, help="of the parameters (80)")
parser.add_argument("--out", default="train.png", help="picture (train.png)")
options = parser.parse_args()
inputs, hidden, classes, steps, batch = 100, options.hidden, 3, 50, 32


@jax.custom_jvp
def spike(v):
    """1.0 above the threshold, else 0.0; the derivative is that of a fast sigmoid."""
    return (v > 1).astype(v.dtype)


@spike.defjvp
def spike_jvp(primals, tangents):
    (v,), (dv,) = primals, tangents
    return spike(v), dv / (1 + 5 * jnp.abs(v - 1)) ** 2


def logits(parameters, spikes_in):
    """Read the network out: spikes_in is (steps, inputs, batch)."""
    W_in, W, read_out = parameters

    def step(state, arriving):
        v, fired = state
        # Spikes stay floats: spike(v) > 0 would be booleans, which no gradient passes.
        # Events says that only which of them are positive counts.
        current = W_in @ arriving + W @ synjit.Events(fired)
        v = 0.9 * v * (1 - jax.lax.stop_gradient(fired)) + current
        fired = spike(v)
        return (v, fired), fired

    nothing = jnp.zeros((hidden, batch))
    _, fired = jax.lax.scan(step, (nothing, nothing), spikes_in)
    return read_out @ fired.mean(axis=0)


def loss(parameters, spikes_in, labels):
    found = logits(parameters, spikes_in).T
    wrong = optax.softmax_cross_entropy_with_integer_labels(found, labels).mean()
    return wrong, (found.argmax(axis=1) == labels).mean()


key_rates, key_read_out, key_data = jax.random.split(jax.random.key(0), 3)
patterns = jax.random.uniform(key_rates, (classes, inputs), maxval=0.04)
seed_in, seed = synjit.seeds(1, 2)
parameters = (
    synjit.JITNormal(0.0, 0.3, 0.2, seed_in, shape=(hidden, inputs)),
    synjit.JITNormal(
        0.0, 0.5 / np.sqrt(0.1 * hidden), 0.1, seed, shape=(hidden, hidden)
    ),
    0.1 * jax.random.normal(key_read_out, (classes, hidden)),
)
optimizer = optax.adam(1e-2)


@jax.jit
def update(parameters, state, key):
    key_labels, key_spikes = jax.random.split(key)
    labels = jax.random.randint(key_labels, (batch,), 0, classes)
    spikes_in = jax.random.bernoulli(
        key_spikes, patterns[labels].T, (steps, inputs, batch)
    )
    found, gradient = jax.value_and_grad(loss, has_aux=True)(
        parameters, spikes_in, labels
    )
    changes, state = optimizer.update(gradient, state)
    return optax.apply_updates(parameters, changes), state, found


state, course = optimizer.init(parameters), []
for key in jax.random.split(key_data, options.updates):
    parameters, state, found = update(parameters, state, key)
    course.append(found)
losses, right = np.asarray(course).T
tenth = max(1, len(losses) // 10)
print(f"loss {losses[:tenth].mean():.3f} -> {losses[-tenth:].mean():.3f}")
print(f"right {right[:tenth].mean():.2f} -> {right[-tenth:].mean():.2f}")
for name, W in zip(("input", "recurrent"), parameters[:2], strict=True):
    print(f"{name}: w_loc {float(W.w_loc):+.3f}, w_scale {float(W.w_scale):.3f}")

axes = (figure := Figure((5, 3.2), layout="constrained")).subplots()
axes.plot(losses, color="tab:blue", label="loss")
axes.plot(right, color="tab:orange", label="part that is right")
axes.set(xlabel="updates", ylim=(0, None))
axes.legend()
figure.savefig(options.out, dpi=100)
