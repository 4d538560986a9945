# SPDX-License-Identifier: Apache-2.0
"""The microcircuit in NEST, from the parameters of ``synjit demo``.

    python benchmarks/microcircuit_nest.py --seed 55 --out build/nest/55.npz

in an environment with NEST, as ``make bench-nest`` makes it. Writes all spikes, and
beside them as JSON, which it prints, what seconds building and simulating took, of
wall and of processor time, and the memory.

As published: a fixed total number of synapses between each two populations, several to
a pair allowed; weights that keep their sign; a delay for each synapse, drawn again
below half a step; a direct current as input (T. C. Potjans and M. Diesmann, Cerebral
Cortex 24 (2014) 785).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import brainunit as u
import nest
import numpy as np

from synjit.demo.microcircuit import Network, build
from synjit.demo.report import peak_memory

# A model has at most 134,217,726 connections on a thread: the inhibitory ones have
# a model of their own.
SYNAPSES = {True: "excitatory_synapse", False: "inhibitory_synapse"}


def populations(network: Network) -> list:
    """Make the neurons, with their initial potentials and their direct currents."""
    par = network.parameters
    made = []
    for p, size, current in zip(
        par.populations, network.sizes, network.direct, strict=True
    ):
        neuron = {
            "C_m": par.capacitance.to_decimal(u.pF),
            "tau_m": par.tau_membrane.to_decimal(u.ms),
            "tau_syn_ex": par.tau_synapse.to_decimal(u.ms),
            "tau_syn_in": par.tau_synapse.to_decimal(u.ms),
            "t_ref": par.refractory.to_decimal(u.ms),
            "E_L": par.v_rest.to_decimal(u.mV),
            "V_reset": par.v_rest.to_decimal(u.mV),
            "V_th": par.v_threshold.to_decimal(u.mV),
            "I_e": current.to_decimal(u.pA),
            "V_m": nest.random.normal(
                p.v0_mean.to_decimal(u.mV), p.v0_sd.to_decimal(u.mV)
            ),
        }
        made.append(nest.Create("iaf_psc_exp", size, params=neuron))
    return made


def connect(network: Network, made: list) -> int:
    """Make the synapses; returns their number."""
    par = network.parameters
    step = par.time_step.to_decimal(u.ms)
    total = 0
    for name in SYNAPSES.values():
        nest.CopyModel("static_synapse", name)
    for block in network.blocks:
        targets, sources = block.shape
        prob = par.connection_probabilities[block.target][block.source]
        number = round(math.log1p(-prob) / math.log1p(-1 / (targets * sources)))
        mean = par.mean_weight(block.target, block.source).to_decimal(u.pA)
        delay = par.mean_delay(block.source).to_decimal(u.ms)
        excites = mean > 0
        weight = nest.random.normal(mean, abs(mean) * par.weight_relative_sd)
        signed = {"min": 0.0, "max": math.inf} if excites else {"min": -math.inf}
        signed.setdefault("max", 0.0)
        nest.Connect(
            made[block.source],
            made[block.target],
            {"rule": "fixed_total_number", "N": number, "allow_autapses": True},
            {
                "synapse_model": SYNAPSES[excites],
                "weight": nest.math.redraw(weight, **signed),
                "delay": nest.math.redraw(
                    nest.random.normal(delay, delay * par.delay_relative_sd),
                    min=step / 2,
                    max=math.inf,
                ),
            },
        )
        total += number
    return total


def main() -> None:
    """Build, simulate, write the spikes and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=55)
    parser.add_argument("--duration", type=int, default=4000, help="ms")
    parser.add_argument("--transient", type=int, default=500, help="ms")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    network = build()
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.set(
        resolution=network.parameters.time_step.to_decimal(u.ms),
        local_num_threads=options.threads,
        rng_seed=options.seed,
        overwrite_files=True,
    )
    begin = time.perf_counter()
    made = populations(network)
    recorder = nest.Create("spike_recorder", params={"start": float(options.transient)})
    synapses = connect(network, made)
    for population in made:
        nest.Connect(population, recorder)
    nest.Prepare()
    built = time.perf_counter() - begin
    nest.Run(float(options.transient))
    start = time.perf_counter(), time.process_time()
    nest.Run(float(options.duration))
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    nest.Cleanup()
    events = recorder.events
    seconds = options.duration * 1e-3
    options.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        options.out,
        senders=events["senders"].astype(np.int32) - made[0][0].global_id,
        times=(events["times"] - options.transient).astype(np.float32),
        sizes=np.array(network.sizes),
        duration_ms=options.duration,
    )
    told = {
        "name": f"NEST {nest.__version__}, seed {options.seed}",
        "threads": options.threads,
        "synapses": synapses,
        "build_seconds": round(built, 1),
        "seconds_per_biological_second": round(wall / seconds, 2),
        "processor_seconds_per_biological_second": round(cpu / seconds, 2),
        "peak_memory_bytes": peak_memory(),
        "spikes": len(events["times"]),
    }
    options.out.with_suffix(".json").write_text(json.dumps(told) + "\n")
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
