# SPDX-License-Identifier: Apache-2.0
"""Write a network: check all first, then fill a folder and put it in its place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from synjit.inspection import listing, memory
from synjit.matrix import RandomMatrix

from . import folder as folders
from . import network as networks
from . import sonata, tables

Format = Literal["sonata", "csv", "npz"]

BYTES_PER_EDGE = {"sonata": 40, "csv": 40, "npz": 24}  # about, and with delays


def export_network(
    network: RandomMatrix,
    folder: str | Path,
    *,
    format: Format = "sonata",  # noqa: A002, as the command has it
    targets: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
    delays: Any = None,
    dt: Any = None,
    unit: Any = None,
    neuron_model: str = "iaf_psc_exp",
) -> Path:
    """Write all connections of a network to files that other simulators read.

    Columns are sources and rows are targets, as in ``network @ spikes``. (Of what
    ``pre_post`` makes, write the transpose.) Each block is a projection from one
    population to another.

    Parameters
    ----------
    network : JITBlocks, JITNormal or its like
    folder : str or pathlib.Path
        A new folder, or an empty one. It is there when all is written, and not before:
        until then it has another name, which ends in ``.incomplete``.
    format : {"sonata", "csv", "npz"}
        "sonata": nodes, edges, their types and configurations, as the SONATA data
        format has them; needs h5py, ``pip install 'synjit[export]'``. NEST reads it by
        ``nest.SonataNetwork(circuit, simulation)``, of the two configurations.
        "csv": for each projection a file of text, with a line for each connection.
        "npz": for each projection a file of NumPy arrays. Both have source, target,
        weight and, if there are any, delay; and ``network.json`` says the rest.
    targets, sources : sequence of str, optional
        Names of the populations: one for each group of rows, and of columns. Without
        ``sources`` they are the targets, as in a recurrent network. Without any, groups
        of rows and of columns that have the same lengths are taken for the same
        populations, ``population_0`` and so on, and projections are ``block_i_j``.
    delays : float, Quantity, callable, or rows of them, optional
        Of all blocks, or of each as rows of a grid like the blocks'; plain numbers are
        in ms. A callable gets sources and targets, int32 (connections,), counted in
        their populations, and gives as many delays. Without them, blocks with a law of
        delays (``delay=``) have those that it draws, and of others a simulator's own
        are taken.
    dt : float or Quantity, optional
        Length of a step, in ms if it is a plain number, for delays that are drawn.
    unit : brainunit.Unit, optional
        In which weights are written. Without one pA, nS or mV, whichever fits; weights
        without a unit are written as they are.
    neuron_model : str
        NEST's name of the model of all neurons. Its parameters are NEST's defaults,
        unless they are put into ``components/*.json`` afterwards. Of "sonata" only.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    TypeError, ValueError
        An argument is not what is said above, or the matrix is traced.
    OSError
        The folder is there already, cannot be written, or has no room on its disk.
    MemoryError
        A projection would not fit in memory, which "npz" needs.
    ModuleNotFoundError
        h5py is not installed, which "sonata" needs.
    brainunit.UnitMismatchError
        The weights are of another dimension than the unit.

    Examples
    --------
    >>> import synjit, tempfile
    >>> M = synjit.JITNormal(1.0, 0.1, 0.1, 42, shape=(50, 50))
    >>> with tempfile.TemporaryDirectory() as place:
    ...     out = synjit.export_network(M, f"{place}/net", format="csv", delays=1.5)
    ...     sorted(file.name for file in out.iterdir())
    ['block_0_0.csv', 'network.json']
    """
    if format not in BYTES_PER_EDGE:
        allowed = ", ".join(BYTES_PER_EDGE)
        raise ValueError(f"format must be one of {allowed}, got {format!r}")
    if not isinstance(neuron_model, str) or not networks.NAME.fullmatch(neuron_model):
        raise ValueError(
            f"neuron_model must be the name of one of NEST's, got {neuron_model!r}"
        )
    place = Path(folder)
    if format == "sonata":
        sonata.check_h5py()
    read = networks.read(network, targets, sources, delays, dt, unit)
    for projection in read.projections:
        listing.known(projection.matrix)  # or an error, before any file
    folders.check_new(place)
    mean = sum(projection.expected for projection in read.projections)
    most = memory.likely_most(mean)
    what = f"{mean:,.0f} connections as {format}"
    folders.check_room(place, most * BYTES_PER_EDGE[format], what)
    with folders.whole(place) as beside:
        if format == "sonata":
            sonata.write(read, beside, neuron_model)
        elif format == "csv":
            tables.write_csv(read, beside)
        else:
            tables.write_npz(read, beside)
    return place
