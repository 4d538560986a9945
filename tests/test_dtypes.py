# SPDX-License-Identifier: Apache-2.0
"""Result dtypes are what JAX promotes to; results are right to their rounding."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import synjit

SEED, SHAPE = 11, (60, 400)
WEIGHTS = ["float16", "bfloat16", "float32", "float64", "Python float"]
VECTORS = [
    "bool", "int8", "uint8", "int32", "float16", "bfloat16", "float32", "float64",
]  # fmt: skip
TABLE = Path(__file__).parent.parent / "docs" / "dtypes.md"


def promoted(weight, vector):
    """The dtype that JAX gives to weight * vector, made a float."""
    with jax.numpy_dtype_promotion("standard"):
        w = 1.0 if weight == "Python float" else jnp.ones((), weight)
        product = w * jnp.ones((), vector)
    return product.dtype


def weights_of(weight):
    if weight == "Python float":
        return 0.75, 0.25
    return jnp.asarray(0.75, weight), jnp.asarray(0.25, weight)


def make_vector(dtype):
    values = np.random.default_rng(0).integers(-1, 3, SHAPE[1])
    if dtype in {"bool", "uint8"}:
        values = np.maximum(values, 0)
    return jnp.asarray(values, dtype)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("vector", VECTORS)
def test_the_result(weight, vector, backend):
    x, w = make_vector(vector), weights_of(weight)
    options = {"shape": SHAPE, "backend": backend}
    y = synjit.binary_jitnmv(*w, 0.3, x, SEED, **options)
    z = synjit.jitnmv(*w, 0.3, x, SEED, **options)
    assert y.dtype == z.dtype == promoted(weight, vector)

    dense = np.asarray(synjit.jitn(0.75, 0.25, 0.3, SEED, **options), np.float64)
    values = np.asarray(x.astype(np.float64))
    unit = float(jnp.finfo(y.dtype).eps)
    for result, operand in ((y, values > 0), (z, values)):
        size = (np.abs(dense) + 1) @ np.abs(operand)
        error = np.abs(np.asarray(result.astype(np.float64)) - dense @ operand)
        assert np.all(error <= unit * size)


def test_without_x64_nothing_is_wider_than_float32(backend):
    for vector in ("bool", "int32", "float32"):
        x = make_vector(vector)
        y = synjit.binary_jitnmv(0.75, 0.25, 0.3, x, SEED, shape=SHAPE, backend=backend)
        assert y.dtype == np.float32


@pytest.mark.usefixtures("x64")
def test_the_documented_table_is_what_these_tests_say():
    rows = ["| weights | " + " | ".join(VECTORS) + " |"]
    rows.append("|---" * (len(VECTORS) + 1) + "|")
    for weight in WEIGHTS:
        cells = [str(promoted(weight, vector)) for vector in VECTORS]
        rows.append(f"| **{weight}** | " + " | ".join(cells) + " |")
    assert "\n".join(rows) in TABLE.read_text(), (
        "docs/dtypes.md should hold:\n" + "\n".join(rows)
    )


@pytest.mark.quick
def test_a_million_active_inputs_add_up_exactly(backend):
    n = 10**6
    ones = jnp.ones(n, bool)
    y = synjit.binary_jitnmv(1.0, 0.0, 1.0, ones, SEED, shape=(2, n), backend=backend)
    assert y.tolist() == [n, n]
    y = synjit.binary_jitnmv(0.0, 1.0, 1.0, ones, SEED, shape=(1, n), backend=backend)
    # The sum of a million standard normals, and the exact sum of their integers.
    z = synjit.jitn(0.0, 1.0, 1.0, SEED, shape=(1, n), backend=backend)
    exact = np.sum(np.round(np.asarray(z, np.float64) * 2**16)) / 2**16
    assert float(y[0]) == pytest.approx(exact, rel=2**-23)


def test_the_error_of_a_sum_of_floats_is_bounded(backend):
    n = 10**6
    x = jnp.asarray(np.random.default_rng(0).normal(size=n), jnp.float32)
    y = synjit.jitnmv(1.0, 0.0, 1.0, x, SEED, shape=(1, n), backend=backend)
    values = np.asarray(x, np.float64)
    bound = n * 2**-24 * np.abs(values).sum()
    assert abs(float(y[0]) - values.sum()) <= bound


def test_no_float_of_8_bits(backend):
    x = jnp.ones(SHAPE[1], jnp.float8_e4m3fn)
    w = jnp.ones((), jnp.float8_e4m3fn)
    with pytest.raises(TypeError, match="dtype float8_e4m3fn; it can have float16"):
        synjit.jitnmv(w, w, 0.3, x, SEED, shape=SHAPE, backend=backend)
