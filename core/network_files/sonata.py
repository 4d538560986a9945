# SPDX-License-Identifier: Apache-2.0
"""The SONATA data format: HDF5 for nodes and edges, CSV for types, JSON for the rest.

Dai et al., "The SONATA data format for efficient description of large-scale network
models", PLOS Computational Biology 16 (2020) e1007696. Where it leaves a choice, it is
made as ``nest.SonataNetwork`` wants it: one group of edges for each population, node
types with files of parameters, and a simulation configuration with a time step.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from synjit import __version__
from synjit.reference import DRAW_VERSION

from .network import Edges, Network, Projection
from .tables import watched

MAGIC, VERSION = 0x0A7A, (0, 1)  # by which the format is known
CHUNKS = (2**10, 2**16)  # entries that HDF5 stores together, at least and at most
TIME_STEP, DURATION = 0.1, 1000.0  # ms, of the simulation configuration
SYNAPSE = "static_synapse"


def check_h5py() -> Any:
    """Import h5py.

    Raises
    ------
    ModuleNotFoundError
        It is not installed.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the format sonata needs h5py: pip install 'synjit[export]', or take the "
            "format csv or npz"
        ) from error
    return h5py


def write(network: Network, folder: Path, neuron_model: str) -> None:
    """Write nodes, edges, and what says how to read them."""
    components = folder / "components"
    components.mkdir()
    _write_nodes(network, folder / "nodes.h5")
    written = _write_edges(network, folder / "edges.h5")
    _write_table(
        folder / "node_types.csv",
        "node_type_id population model_type model_template dynamics_params",
        [
            f"{i} {name} point_neuron nest:{neuron_model} {name}.json"
            for i, name in enumerate(network.populations)
        ],
    )
    for name in network.populations:
        _write_json(components / f"{name}.json", {})
    _write_table(
        folder / "edge_types.csv",
        "edge_type_id population model_template",
        [f"{i} {p.name} {SYNAPSE}" for i, p in enumerate(network.projections)],
    )
    _write_configurations(folder, list(network.populations), written)


def _write_table(path: Path, header: str, lines: list[str]) -> None:
    path.write_text("\n".join([header, *lines]) + "\n")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def _write_configurations(folder: Path, nodes: list[str], edges: list[str]) -> None:
    base = {"$BASE_DIR": "."}
    network = {
        f"{kind}s": [
            {
                f"{kind}s_file": f"$BASE_DIR/{kind}s.h5",
                f"{kind}_types_file": f"$BASE_DIR/{kind}_types.csv",
                "populations": {name: {"type": sort} for name in names},
            }
        ]
        for kind, sort, names in (
            ("node", "point_neuron", nodes),
            ("edge", "chemical", edges),
        )
    }
    components = {
        "point_neuron_models_dir": "$BASE_DIR/components",
        "synaptic_models_dir": "$BASE_DIR/components",
    }
    _write_json(
        folder / "circuit_config.json",
        {
            "manifest": base,
            "components": components,
            "networks": network,
        },
    )
    _write_json(
        folder / "simulation_config.json",
        {
            "manifest": base,
            "target_simulator": "NEST",
            "network": "$BASE_DIR/circuit_config.json",
            "run": {"tstop": DURATION, "dt": TIME_STEP},
        },
    )


# --- HDF5 -------------------------------------------------------------------------


def _create(path: Path) -> Any:
    file = check_h5py().File(path, "x")
    file.attrs["magic"] = np.uint32(MAGIC)
    file.attrs["version"] = np.array(VERSION, np.uint32)
    file.attrs["made_by"] = f"synjit {__version__}, version {DRAW_VERSION} of the draw"
    return file


def _write_nodes(network: Network, path: Path) -> None:
    with _create(path) as file:
        for i, (name, size) in enumerate(network.populations.items()):
            group = file.create_group(f"nodes/{name}")
            group.create_group("0")
            group["node_id"] = group["node_group_index"] = np.arange(size, dtype="u8")
            group["node_type_id"] = np.full(size, i, "u8")
            group["node_group_id"] = np.zeros(size, "u8")


def _write_edges(network: Network, path: Path) -> list[str]:
    """Write all projections, and name those that have a connection."""
    with _create(path) as file:
        edges = file.create_group("edges")
        for i, projection in enumerate(network.projections):
            _write_population(edges, i, projection, network.unit)
        return list(edges)


def _write_population(
    edges: Any, number: int, projection: Projection, unit: str | None
) -> None:
    """Write a projection piece by piece; one without connections is left out."""
    population: dict[str, Any] = {}
    filled = 0
    for piece in watched(projection):
        if not len(piece.source):
            continue
        if not population:
            population = _create_population(edges, number, projection, unit)
        end = filled + len(piece.source)
        for dataset in population.values():
            dataset.resize((end,))
        for name, values in _varying(piece, filled, projection).items():
            population[name][filled:end] = values
        filled = end


def _create_population(
    edges: Any, number: int, projection: Projection, unit: str | None
) -> dict[str, Any]:
    group = edges.create_group(projection.name)
    properties = group.create_group("0")
    least, most = CHUNKS
    chunks = (int(min(max(projection.expected, least), most)),)

    def dataset(place: Any, name: str, dtype: Any, fill: float = 0) -> Any:
        # What is the same for all is the filling, and takes no room.
        return place.create_dataset(
            name, (0,), dtype, maxshape=(None,), chunks=chunks, fillvalue=fill
        )

    made = {
        "source_node_id": dataset(group, "source_node_id", "u8"),
        "target_node_id": dataset(group, "target_node_id", "u8"),
        "edge_type_id": dataset(group, "edge_type_id", "u8", number),
        "edge_group_id": dataset(group, "edge_group_id", "u8"),
        "edge_group_index": dataset(group, "edge_group_index", "u8"),
        "syn_weight": dataset(properties, "syn_weight", projection.dtype),
    }
    made["source_node_id"].attrs["node_population"] = projection.source
    made["target_node_id"].attrs["node_population"] = projection.target
    made["syn_weight"].attrs["unit"] = unit or "none"
    if projection.delay is not None:
        fill = 0.0 if callable(projection.delay) else projection.delay
        made["delay"] = dataset(properties, "delay", "f8", fill)
        made["delay"].attrs["unit"] = "ms"
    return made


def _varying(piece: Edges, first: int, projection: Projection) -> dict[str, Any]:
    """Give what is not the same for all connections."""
    values = {
        "source_node_id": piece.source,
        "target_node_id": piece.target,
        "edge_group_index": np.arange(first, first + len(piece.source)),
        "syn_weight": piece.weight,
    }
    if callable(projection.delay):
        values["delay"] = piece.delay
    return values
