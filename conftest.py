# SPDX-License-Identifier: Apache-2.0
"""Every test runs under JAX's strictest settings, on eight host devices."""

import gc
import os

import jax
import pytest
from llvmlite import binding

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_configure(config: pytest.Config) -> None:
    """Keep what XLA compiles, which takes most of the time, for the next run.

    The programs name CPU kernels and do not contain them: a kernel that has changed
    runs changed. ``make clean`` forgets them.
    """
    if hasattr(config, "cache"):  # not with -p no:cacheprovider
        folder = config.cache.mkdir(f"programs-{binding.get_host_cpu_name()}")
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Let the programs of one file go before the next, for memory."""
    yield
    jax.clear_caches()
    gc.collect()


def conforming_backends() -> list[str]:
    """Name the built-in backends that run natively on the CPU, or those asked for.

    ``SYNJIT_TEST_BACKENDS=xla`` puts the example's backend through the tests instead,
    whose gate and programs take it many times as long.
    """
    from synjit.registry import registry

    named = os.environ.get("SYNJIT_TEST_BACKENDS")
    if named:
        return named.split(",")
    return sorted(
        name
        for name, registered in registry().backends.items()
        if "cpu" in registered.backend.platforms
        and "cpu" not in registered.backend.interpreted_on
        and registered.source == "built in"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each ``backend``, or each that is ``able`` to deliver, to a test."""
    from synjit.registry import registry

    names = conforming_backends()
    able = [name for name in names if registry().backends[name].supports_delays]
    for fixture, found in (("backend", names), ("able", able)):
        if fixture in metafunc.fixturenames:
            if not found:  # pytest would skip, and all would be green
                raise pytest.UsageError(f"no {fixture} runs natively on the CPU")
            metafunc.parametrize(fixture, found)


@pytest.fixture
def x64():
    """Turn 64-bit types on for one test."""
    with jax.enable_x64(True):
        yield
