# SPDX-License-Identifier: Apache-2.0
"""A layer of Equinox whose connections are random and never stored.

    python examples/layers/equinox_layer.py

Parameters are arrays of JAX, and not Python's numbers, because Equinox takes only
arrays for something to train.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

import synjit


class RandomConnections(eqx.Module):
    """Spikes in, currents out; trains the mean and the deviation of its weights."""

    matrix: synjit.JITNormal

    def __init__(self, sources, targets, *, mean, deviation, prob, seed):
        mean, deviation = jnp.asarray(mean), jnp.asarray(deviation)
        shape = (targets, sources)
        self.matrix = synjit.JITNormal(mean, deviation, prob, seed, shape=shape)

    def __call__(self, spikes):
        """Sum the weights of the sources that fired: spikes is (sources,), floats."""
        return self.matrix @ synjit.Events(spikes)


if __name__ == "__main__":
    layer = RandomConnections(200, 100, mean=0.5, deviation=0.1, prob=0.1, seed=42)
    spikes = (jnp.arange(200) % 7 == 0).astype(float)
    target = 2 * layer(spikes)

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def loss(layer):
        return ((layer(spikes) - target) ** 2).mean()

    for _ in range(50):
        error, gradient = loss(layer)
        change = jax.tree.map(lambda g: -0.05 * g, gradient)
        layer = eqx.apply_updates(layer, change)
    print(f"error {error:.4f}, mean {layer.matrix.w_loc:.3f}")
