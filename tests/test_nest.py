# SPDX-License-Identifier: Apache-2.0
"""NEST reads what is exported: a pulse reaches each neuron with the product's input.

``make nest`` runs this, in an environment that has NEST.
"""

import brainunit as u
import h5py
import jax.numpy as jnp
import numpy as np
import pytest

import synjit

nest = pytest.importorskip(
    "nest", reason="NEST is not installed here: make nest", exc_type=ImportError
)
sonata = pytest.importorskip("nest.lib.hl_api_sonata")

SIZES = {"E": 160, "I": 40, "S": 30}
DELAYS = [[1.5, 0.8, 0.3], [1.1, None, 2.0]]  # ms, of each block
STEP = 0.1  # ms


def network():
    seeds = synjit.seeds(17, 5)
    E, I, S = SIZES.values()  # noqa: E741
    return synjit.JITBlocks(
        [
            [
                synjit.JITNormal(50 * u.pA, 5 * u.pA, 0.1, seeds[0], shape=(E, E)),
                synjit.JITNormal(-0.2 * u.nA, 0.02 * u.nA, 0.2, seeds[1], shape=(E, I)),
                synjit.JITConstant(30 * u.pA, 0.3, seeds[2], shape=(E, S)),
            ],
            [
                synjit.JITLogNormal(40 * u.pA, 0.2, seeds[3], sigma=0.4, shape=(I, E)),
                None,
                synjit.JITUniform(9 * u.pA, 60 * u.pA, 0.2, seeds[4], shape=(I, S)),
            ],
        ]
    )


def build(folder):
    """Build the network as NEST's reader does, which needs HDF5 for the edges.

    The wheel on PyPI has none: there the edges are read by h5py, and connected by
    arrays; nodes, types and configurations are read by NEST all the same.
    """
    nest.ResetKernel()
    nest.overwrite_files = True
    complete = sonata.have_hdf5
    sonata.have_hdf5 = True
    try:
        net = nest.SonataNetwork(
            folder / "circuit_config.json", folder / "simulation_config.json"
        )
    finally:
        sonata.have_hdf5 = complete
    nodes = net.Create()
    if complete:
        net.Connect()
        return nodes
    for edges in net._create_graph_specs()["edges"]:
        with h5py.File(edges["edges_file"]) as file:
            for group in file["edges"].values():
                connect(group, nodes, edges["syn_specs"])
    return nodes


def connect(group, nodes, synapses):
    ids = []
    for end in ("source", "target"):
        dataset = group[f"{end}_node_id"]
        first = nodes[dataset.attrs["node_population"]][0].global_id
        ids.append(dataset[:].astype(int) + first)
    (kind,) = np.unique(group["edge_type_id"][:])
    parameters = dict(synapses[str(kind)])
    parameters["weight"] = group["0/syn_weight"][:].astype(float)
    parameters["delay"] = group["0/delay"][:]
    nest.Connect(*ids, "one_to_one", parameters)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nest") / "network"
    synjit.export_network(
        network(), folder, targets=["E", "I"], sources=[*SIZES], delays=DELAYS
    )
    return folder


def test_a_pulse_through_every_projection(exported):
    blocks = network()
    nodes = build(exported)
    assert {name: len(group) for name, group in nodes.items()} == SIZES
    assert nest.num_connections == blocks.nnz
    recorders = {}
    for name, group in nodes.items():
        group.set(V_th=1000.0)  # only a pulse makes a spike
        recorders[name] = nest.Create(
            "multimeter", {"record_from": ["I_syn_ex", "I_syn_in"], "interval": STEP}
        )
        nest.Connect(recorders[name], group)
    nest.Simulate(10.0)
    for j, (source, size) in enumerate(SIZES.items()):
        fire = np.arange(size) % 3 == j
        begun = nest.biological_time
        nodes[source][np.flatnonzero(fire).tolist()].set(V_m=2000.0)
        nest.Simulate(200.0)  # until all input has decayed
        for i, target in enumerate(["E", "I"]):
            block = blocks.blocks[i][j]
            if block is None:
                continue
            expected = np.asarray((block @ jnp.asarray(fire)).to_decimal(u.pA))
            assert np.count_nonzero(expected) > len(expected) // 2
            arrival = begun + STEP + DELAYS[i][j]
            got = received(recorders[target], arrival, nodes[target])
            np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-4)


def received(recorder, time, group):
    """Input in pA that neurons have at a time, in the order of their numbers."""
    events = recorder.events
    now = np.abs(events["times"] - time) < STEP / 2
    result = np.zeros(len(group))
    place = events["senders"][now] - group[0].global_id
    result[place] = events["I_syn_ex"][now] + events["I_syn_in"][now]
    return result


def test_another_reader(exported):
    if sonata.have_hdf5:
        pytest.skip("NEST has loaded another HDF5 than libsonata's: see NEST's wheel")
    libsonata = pytest.importorskip("libsonata", reason="libsonata is not installed")
    circuit = libsonata.CircuitConfig.from_file(exported / "circuit_config.json")
    assert circuit.node_populations == set(SIZES)
    blocks = network()
    for i, target in enumerate(["E", "I"]):
        for j, source in enumerate(SIZES):
            block = blocks.blocks[i][j]
            if block is None:
                continue
            edges = circuit.edge_population(f"{source}_to_{target}")
            assert (edges.source, edges.target) == (source, target)
            every = edges.select_all()
            found = block.connections()
            np.testing.assert_array_equal(edges.source_nodes(every), found.columns)
            np.testing.assert_array_equal(edges.target_nodes(every), found.rows)
            np.testing.assert_array_equal(
                edges.get_attribute("syn_weight", every),
                found.weights.to_decimal(u.pA),
            )
            assert set(edges.get_attribute("delay", every)) == {DELAYS[i][j]}
