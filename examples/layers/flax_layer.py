# SPDX-License-Identifier: Apache-2.0
"""A layer of Flax NNX whose connections are random and never stored.

    python examples/layers/flax_layer.py

The parameters are nnx.Param; the matrix is made of them in each call, which costs
nothing: it holds five numbers.
"""

import jax.numpy as jnp
import optax
from flax import nnx

import synjit


class RandomConnections(nnx.Module):
    """Spikes in, currents out; trains the mean and the deviation of its weights."""

    def __init__(self, sources, targets, *, mean, deviation, prob, seed):
        self.mean = nnx.Param(jnp.asarray(mean))
        self.deviation = nnx.Param(jnp.asarray(deviation))
        self.prob, self.seed, self.shape = prob, seed, (targets, sources)

    def __call__(self, spikes):
        """Sum the weights of the sources that fired: spikes is (sources,), floats."""
        matrix = synjit.JITNormal(
            self.mean[...], self.deviation[...], self.prob, self.seed, shape=self.shape
        )
        return matrix @ synjit.Events(spikes)


if __name__ == "__main__":
    layer = RandomConnections(200, 100, mean=0.5, deviation=0.1, prob=0.1, seed=42)
    spikes = (jnp.arange(200) % 7 == 0).astype(float)
    target = 2 * layer(spikes)
    optimizer = nnx.Optimizer(layer, optax.sgd(0.05), wrt=nnx.Param)

    @nnx.jit
    def update(layer, optimizer):
        def loss(layer):
            return ((layer(spikes) - target) ** 2).mean()

        error, gradient = nnx.value_and_grad(loss)(layer)
        optimizer.update(layer, gradient)
        return error

    for _ in range(50):
        error = update(layer, optimizer)
    print(f"error {error:.4f}, mean {float(layer.mean[...]):.3f}")
