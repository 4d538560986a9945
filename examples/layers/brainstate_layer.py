# SPDX-License-Identifier: Apache-2.0
"""Connections for brainstate and brainpy.state that are random and never stored.

    python examples/layers/brainstate_layer.py

It stands where ``brainstate.nn.EventFixedProb`` would: as ``comm`` of a projection.
"""

import brainpy
import brainstate
import braintools
import brainunit as u
import jax.numpy as jnp

import synjit


class RandomConnections(brainstate.nn.Module):
    """Spikes in, sums of weights out; trains their mean and deviation."""

    def __init__(self, sources, targets, *, mean, deviation, prob, seed):
        super().__init__()
        self.weights = brainstate.ParamState({"mean": mean, "deviation": deviation})
        self.prob, self.seed, self.shape = prob, seed, (targets, sources)

    def update(self, spikes):
        """Sum the weights of the sources that fired: spikes is (sources,)."""
        weights = self.weights.value
        matrix = synjit.JITNormal(
            weights["mean"],
            weights["deviation"],
            self.prob,
            self.seed,
            shape=self.shape,
        )
        return matrix @ synjit.Events(spikes)


class Network(brainstate.nn.Module):
    """Excitation and inhibition, current-based."""

    def __init__(self, n_e=800, n_i=200, prob=0.08):
        super().__init__()
        n, self.n_e = n_e + n_i, n_e
        self.neurons = brainpy.state.LIFRef(
            n,
            V_rest=-49 * u.mV,
            V_th=-50 * u.mV,
            V_reset=-60 * u.mV,
            tau=20 * u.ms,
            tau_ref=5 * u.ms,
            V_initializer=braintools.init.Normal(-55 * u.mV, 2 * u.mV),
        )
        seed_e, seed_i = synjit.seeds(42, 2)
        self.excitation = self.project(n_e, n, 1.62 * u.mS, prob, seed_e, 5 * u.ms)
        self.inhibition = self.project(n_i, n, -9.0 * u.mS, prob, seed_i, 10 * u.ms)

    def project(self, sources, targets, weight, prob, seed, tau):
        comm = RandomConnections(
            sources, targets, mean=weight, deviation=0.1 * weight, prob=prob, seed=seed
        )
        return brainpy.state.AlignPostProj(
            comm=comm,
            syn=brainpy.state.Expon.desc(targets, tau=tau),
            out=brainpy.state.CUBA.desc(scale=u.volt),
            post=self.neurons,
        )

    def update(self, t):
        with brainstate.environ.context(t=t):
            spikes = self.neurons.get_spike()
            self.excitation(spikes[: self.n_e])
            self.inhibition(spikes[self.n_e :])
            self.neurons(0 * u.mA)
            return self.neurons.get_spike()


if __name__ == "__main__":
    with brainstate.environ.context(dt=0.1 * u.ms):
        network = Network()
        brainstate.nn.init_all_states(network)
        times = jnp.arange(0, 100, 0.1) * u.ms
        raster = brainstate.transform.for_loop(network.update, times)
    print(f"{(raster != 0).mean() / 1e-4:.1f} spikes/s")
