# SPDX-License-Identifier: Apache-2.0
"""The programs of ``examples/`` run, at small size, and do what they say."""

import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
IN_PROCESSES_OF_THEIR_OWN = {"cluster.py", "two_gpus.py"}  # test_many_processes.py
# Layers for packages that need not be installed: tests/test_layers.py.
TESTED_HERE = {"brunel.py", "coba.py", "sweep.py", "train.py"}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run an example as a command; returns its names and what it printed."""

    def run(name, options):
        picture = tmp_path / "picture.png"
        words = [name, *options.split(), "--out", str(picture)]
        monkeypatch.setattr("sys.argv", words)
        promotion = jax.numpy_dtype_promotion("standard")
        with promotion, jax.numpy_rank_promotion("allow"):  # as users have them
            names = runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        assert picture.read_bytes().startswith(b"\x89PNG")
        return names, capsys.readouterr().out

    return run


def test_each_example_has_a_test():
    found = {path.name for path in EXAMPLES.glob("*.py")}
    assert found == TESTED_HERE | IN_PROCESSES_OF_THEIR_OWN


def test_coba(run):
    names, told = run("coba.py", "--duration 50")
    assert names["raster"].shape == (500, 4000)
    late = names["raster"][250:]  # after the kick
    assert 1 < late.mean() / 1e-4 < 200
    assert f"{names['raster'].sum()} spikes" in told


@pytest.mark.long
def test_brunel(run):
    names, told = run("brunel.py", "--neurons 250 --duration 20")
    for matrix, sources in ((names["E"], 20), (names["I"], 5)):
        in_degrees = (np.asarray(matrix.todense()) != 0).sum(axis=1)
        assert in_degrees.tolist() == [sources] * 250
    rates = [float(line.split()[-2]) for line in told.splitlines()]
    assert len(rates) == 4
    assert rates[0] == max(rates) > 100  # the excitatory state
    assert rates[3] == min(rates)  # the one with a drive below the threshold


def test_sweep(run):
    names, _ = run("sweep.py", "--neurons 200 --strengths 3 --seeds 2 --duration 30")
    rates, keys = names["rates"], names["keys"]
    assert rates.shape == (3, 2)
    assert (np.diff(rates.mean(axis=1)) < 0).all()  # inhibition calms
    assert (rates[:, 0] != rates[:, 1]).all()  # networks of their own
    alone = jax.jit(names["rate"])(names["strengths"][1], keys[1])
    np.testing.assert_allclose(alone, rates[1, 1], rtol=1e-6)


@pytest.mark.long
def test_train(run):
    names, told = run("train.py", "--hidden 60 --updates 60")
    losses = names["losses"]
    assert losses[-4:].mean() < 0.95 * losses[:4].mean()
    assert "recurrent: w_loc" in told
    reaches_through_others(names)


def reaches_through_others(names):
    """Check that a derivative passes the spikes of the network's own neurons."""
    W_in, W, read_out = names["parameters"]
    direct, recurrent = (np.asarray(M.todense()) != 0 for M in (W_in, W))
    second = recurrent[0].astype(int) @ direct.astype(int) > 0
    chosen = int((second & ~direct[0]).argmax())  # reaches neuron 0 by others only
    assert second[chosen]
    assert not direct[0, chosen]
    of_neuron_0 = jnp.zeros_like(read_out).at[0, 0].set(1.0)

    def output(spikes_in):
        return names["logits"]((W_in, W, of_neuron_0), spikes_in)[0].sum()

    shape = (names["steps"], names["inputs"], names["batch"])
    gradient = jax.grad(output)(jnp.full(shape, 0.1))
    assert (gradient[:, chosen] != 0).any()
