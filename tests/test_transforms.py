# SPDX-License-Identifier: Apache-2.0
"""jit, scan, remat, export, shard_map: the same matrix under all of them."""

import dataclasses
import functools
import subprocess
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import synjit
from synjit import export as synjit_export
from synjit.registry import registry

SHAPE, SEED = (48, 64), 42
X = np.random.default_rng(0).random(SHAPE[1]) < 0.3


def spikes(x, seed=SEED, prob=0.3, w_loc=0.5, *, backend):
    return synjit.binary_jitnmv(w_loc, 0.2, prob, x, seed, shape=SHAPE, backend=backend)


@pytest.mark.quick
def test_jit_is_the_same_to_the_last_bit(backend):
    eager = spikes(X, backend=backend)
    jitted = jax.jit(functools.partial(spikes, backend=backend))(X)
    np.testing.assert_array_equal(jitted, eager)


def test_traced_seed_and_prob_are_the_same_as_concrete(backend):
    f = jax.jit(lambda seed, prob: spikes(X, seed, prob, backend=backend))
    for seed, prob in ((1, 0.1), (2, 0.77), (3, 0.001), (4, 0.5), (5, 1.0), (6, 0.0)):
        np.testing.assert_array_equal(
            f(seed, prob), spikes(X, seed, prob, backend=backend)
        )
    assert f._cache_size() == 1


def test_another_seed_prob_or_weight_compiles_nothing_in_a_jitted_function(backend):
    f = jax.jit(lambda w, seed, x: spikes(x, seed, w_loc=w, backend=backend))
    for i in range(3):
        f(float(i), i, X)
    assert f._cache_size() == 1


@pytest.mark.quick
def test_scan_and_fori_loop(backend):
    def step(carry, seed):
        return carry + 1, spikes(X, seed, backend=backend)

    _, rows = jax.lax.scan(step, 0, jnp.arange(4))
    loop = [spikes(X, seed, backend=backend) for seed in range(4)]
    np.testing.assert_array_equal(rows, loop)

    def body(i, total):
        return total + spikes(X, i, backend=backend)

    total = jax.lax.fori_loop(0, 4, body, jnp.zeros(SHAPE[0]))
    np.testing.assert_allclose(total, np.sum(loop, 0), rtol=1e-5)


def test_scan_over_prob(backend):
    probs = jnp.array([0.1, 0.5, 0.9])
    _, rows = jax.lax.scan(
        lambda c, prob: (c, spikes(X, prob=prob, backend=backend)), 0, probs
    )
    loop = [spikes(X, prob=float(prob), backend=backend) for prob in probs]
    np.testing.assert_array_equal(rows, loop)


def test_while_and_cond(backend):
    def f(flag):
        return jax.lax.cond(
            flag, lambda: spikes(X, backend=backend), lambda: jnp.zeros(SHAPE[0])
        )

    np.testing.assert_array_equal(jax.jit(f)(True), spikes(X, backend=backend))
    assert not jax.jit(f)(False).any()


def test_checkpoint_and_remat(backend):
    def loss(w, x):
        y = synjit.jitnmv(w, 0.2, 0.3, x, SEED, shape=SHAPE, backend=backend)
        return jnp.sum(jnp.tanh(y))

    x = jnp.asarray(X, jnp.float32)
    plain = jax.grad(loss, (0, 1))(0.5, x)
    for policy in (None, jax.checkpoint_policies.everything_saveable):
        again = jax.grad(jax.checkpoint(loss, policy=policy), (0, 1))(0.5, x)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), again, plain
        )


def test_donated_buffers(backend):
    f = jax.jit(
        lambda x: synjit.jitnmv(
            1.0, 0.2, 0.3, x, SEED, shape=(64, 64), backend=backend
        ),
        donate_argnums=0,
    )
    kept = jnp.arange(64.0)
    np.testing.assert_array_equal(f(kept.copy()), f(kept + 0))


def test_without_jit(backend):
    """Kernels are compiled all the same; what is around them runs op by op."""
    x = jnp.asarray(X)
    right = spikes(x, backend=backend)
    gradient = jax.grad(lambda w: spikes(x, w_loc=w, backend=backend).sum())(0.5)
    with jax.disable_jit():
        np.testing.assert_array_equal(spikes(x, backend=backend), right)
        one = jnp.float32(0.5)
        np.testing.assert_array_equal(spikes(x, w_loc=one, backend=backend), right)
        got = jax.grad(lambda w: spikes(x, w_loc=w, backend=backend).sum())(one)
    np.testing.assert_allclose(got, gradient, rtol=1e-6)


def test_debug_nans(backend):
    with jax.debug_nans(True):
        spikes(X, backend=backend)
        jax.grad(lambda w: spikes(X, w_loc=w, backend=backend).sum())(0.5)


@pytest.mark.parametrize("transpose", [False, True])
def test_shard_map_of_a_replicated_matrix(transpose, backend):
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    rng = np.random.default_rng(1)
    length = SHAPE[0] if transpose else SHAPE[1]
    b = jnp.asarray(rng.normal(size=(length, 8)), jnp.float32)

    def f(w, b, product):
        return product(
            w, 0.2, 0.3, b, SEED, shape=SHAPE, transpose=transpose, backend=backend
        )

    for product in (synjit.binary_jitnmm, synjit.jitnmm):
        whole = functools.partial(f, product=product)
        sharded = jax.shard_map(
            whole,
            mesh=mesh,
            in_specs=(P(), P(None, "batch")),
            out_specs=P(None, "batch"),
        )
        w = jnp.float32(0.5)
        np.testing.assert_array_equal(jax.jit(sharded)(w, b), whole(w, b))

        def loss(function):
            return lambda *given: jnp.sum(jnp.sin(function(*given)))

        ours = jax.jit(jax.grad(loss(sharded), (0, 1)))(w, b)
        plain = jax.grad(loss(whole), (0, 1))(w, b)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
            ours,
            plain,
        )


def test_devices_draw_one_matrix(backend):
    """Copies on several devices are copies: not other halves, nor other matrices."""
    x = jnp.asarray(X)
    results = [jax.device_put(x, device) for device in jax.devices()]
    f = jax.jit(functools.partial(spikes, backend=backend))
    for copy in results:
        np.testing.assert_array_equal(f(copy), spikes(X, backend=backend))


@pytest.mark.quick
def test_export_to_all_platforms_in_one_artifact():
    f = jax.jit(lambda x, seed: spikes(x, seed, backend=None))
    x = jnp.asarray(X)
    export = jax.export.export(
        f,
        platforms=("cpu", "cuda", "tpu"),
        disabled_checks=synjit.export_checks(),
    )
    back = jax.export.deserialize(export(x, jnp.int32(SEED)).serialize())
    np.testing.assert_array_equal(
        back.call(x, jnp.int32(SEED)), spikes(X, backend=None)
    )


@pytest.mark.parametrize("known", ["program", ""])
def test_a_stored_program_runs_in_another_process(known, tmp_path):
    f = jax.jit(lambda x: spikes(x, backend=None))
    export = jax.export.export(f, disabled_checks=synjit.export_checks())
    (tmp_path / "stored").write_bytes(export(jnp.asarray(X)).serialize())
    np.save(tmp_path / "x.npy", X)
    code = f"""
import jax, numpy as np, synjit
program = jax.export.deserialize(bytearray(open("stored", "rb").read()))
synjit.prepare({known})
np.save("y.npy", program.call(np.load("x.npy")))
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), f(X))


def test_only_the_kernels_of_a_program_are_prepared(monkeypatch):
    made = []
    names = list(synjit_export._calls())
    assert "synjit_numba_draw2_weighted_transposed_float32" in names
    export = jax.export.export(
        jax.jit(lambda x: spikes(x, backend="numba")),
        disabled_checks=synjit.export_checks(),
    )
    program = export(jnp.asarray(X))
    fakes = {name: functools.partial(made.append, name) for name in names}
    monkeypatch.setattr(synjit_export, "_calls", lambda: fakes)
    synjit.prepare(program)
    assert made == ["synjit_numba_draw2_weighted_float32"]
    synjit.prepare()
    assert made[1:] == names


def test_a_backend_that_cannot_name_its_calls_is_no_one_elses_trouble(monkeypatch):
    class Broken:
        def synjit_custom_calls(self):
            raise ImportError("no such driver")

    names = set(synjit_export._calls())
    broken = dataclasses.replace(registry().backends["pallas_tpu"], hook=Broken())
    monkeypatch.setitem(registry().backends, "broken", broken)
    with pytest.warns(RuntimeWarning, match="'broken' .* ImportError: no such driver"):
        assert set(synjit_export._calls()) == names


def test_what_is_no_stored_program():
    with pytest.raises(TypeError, match=r"program must be a jax.export.Exported"):
        synjit.prepare("stored")


def test_threads_of_python(backend):
    from concurrent.futures import ThreadPoolExecutor

    f = jax.jit(lambda seed: spikes(X, seed, backend=backend))
    expected = [np.asarray(f(seed)) for seed in range(16)]
    with ThreadPoolExecutor(4) as threads:
        got = list(threads.map(f, range(16)))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.usefixtures("x64")
def test_x64_changes_no_connection(backend):
    wide = spikes(X, backend=backend)
    with jax.enable_x64(False):
        narrow = spikes(X, backend=backend)
    assert wide.dtype == np.float64
    np.testing.assert_allclose(wide, narrow, rtol=1e-6)
    np.testing.assert_array_equal(wide != 0, narrow != 0)


def test_x64_inside_of_a_jitted_function(backend):
    """The flag is that of the call, and not of the moment when it is lowered."""

    @jax.jit
    def f(x):
        with jax.enable_x64(True):
            return synjit.jitnmv(
                1.0, 0.1, 0.5, x.astype(np.float64), 3, shape=(3, 5), backend=backend
            )

    got = f(np.ones(5, np.float32))
    assert got.dtype == np.float64
    with jax.enable_x64(True):
        want = synjit.jitnmv(
            1.0, 0.1, 0.5, np.ones(5), 3, shape=(3, 5), backend=backend
        )
    np.testing.assert_array_equal(got, want)


@pytest.mark.long
def test_kernels_of_stored_derivatives_are_prepared():
    """Of a program that was stored with its derivative, in a process of its own."""
    make = """
import jax, jax.numpy as jnp, sys, synjit
f = jax.jit(lambda w, x: synjit.binary_jitnmv(w, 0.1, 0.5, x, 42, shape=(3, 5)))
checks = synjit.export_checks()
p = jax.export.export(f, disabled_checks=checks)(jnp.ones(()), jnp.ones(5))
open(sys.argv[1], "wb").write(p.serialize(vjp_order=1))
"""
    run = """
import jax, jax.numpy as jnp, sys, synjit
p = jax.export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
synjit.prepare(p)
w, x = jax.grad(lambda w, x: p.call(w, x).sum(), (0, 1))(jnp.ones(()), jnp.ones(5))
assert w == synjit.jitn(1.0, 0.0, 0.5, 42, shape=(3, 5)).sum(), w
assert x.shape == (5,)
"""
    with tempfile.TemporaryDirectory() as folder:
        for code in (make, run):
            subprocess.run(
                [sys.executable, "-c", code, f"{folder}/program"],
                check=True,
                timeout=300,
            )
