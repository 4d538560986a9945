# SPDX-License-Identifier: Apache-2.0
"""Every test runs under JAX's strictest settings, on eight host devices."""

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


def conforming_backends() -> list[str]:
    """Name the backends that run natively on the CPU; each is put through the tests."""
    from synjit.registry import registry

    return sorted(
        name
        for name, registered in registry().backends.items()
        if "cpu" in registered.backend.platforms
        and "cpu" not in registered.backend.interpreted_on
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give ``backend`` to each test that asks for one."""
    if "backend" in metafunc.fixturenames:
        names = conforming_backends()
        if not names:  # pytest would skip, and all would be green
            raise pytest.UsageError("no backend runs natively on the CPU")
        metafunc.parametrize("backend", names)


@pytest.fixture
def x64():
    """Turn 64-bit types on for one test."""
    with jax.enable_x64(True):
        yield
