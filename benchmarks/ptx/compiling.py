# SPDX-License-Identifier: Apache-2.0
"""Have XLA compile a product for a GPU that is not there, and keep what it wrote.

It needs the packages jax-cuda13-plugin and jax-cuda13-pjrt of jax's own version. XLA's
flags are read once, when JAX first compiles: import this before.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

FOLDER = tempfile.TemporaryDirectory(prefix="synjit-ptx-")
DUMP = Path(FOLDER.name)
os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"  # of libraries not used here
os.environ["LLVM_DISABLE_SYMBOLIZATION"] = "1"  # of stack traces that nobody reads
os.environ["XLA_FLAGS"] = (
    f"--xla_gpu_autotune_level=0 --xla_dump_to={DUMP} --xla_dump_emitter_re=ptx"
    " --xla_dump_hlo_module_re=jit_ptx.*"
)

# Callbacks wait for threads of XLA's, of which there are as many as processors: of two,
# calls from several threads could wait for each other without end.
os.environ.setdefault("NPROC", "32")

import jax  # noqa: E402

jax.config.update("jax_cpu_enable_async_dispatch", False)

_ENTRY = re.compile(r"\.entry synjit_(\w+)\(")
_LAUNCH = re.compile(
    r"kCustomKernel .*\] synjit_(\w+) grid: \[(.*)\] threads: \[(.*)\] "
)
_numbers = count()


@dataclass(frozen=True)
class Compiled:
    """A kernel as XLA compiled it, and how it launches it.

    Attributes
    ----------
    name : str
        Without "synjit_".
    ptx : str
    programs, threads : int
        Both have one dimension.
    """

    name: str
    ptx: str
    programs: int
    threads: int


@dataclass(frozen=True)
class Program:
    """A product as XLA compiled it.

    Attributes
    ----------
    kernels : dict
        Its own, by name.
    others : list of str
        PTX of those that XLA made.
    temporary_bytes : int
        Of the whole.
    """

    kernels: dict[str, Compiled]
    others: list[str]
    temporary_bytes: int


def compile_for(
    device: Any, function: Callable[..., Any], arguments: Sequence[Any]
) -> Program:
    """Compile a function of arrays.

    Parameters
    ----------
    device
        From ``Gpu.device``.
    function : callable
    arguments : sequence of pytrees
        Whatever has a shape and a dtype.

    Raises
    ------
    RuntimeError
        What XLA wrote does not say which kernels there are and how they are launched.
    """
    sharding = jax.sharding.SingleDeviceSharding(device)
    shapes = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding),
        list(arguments),
    )
    name = f"ptx{next(_numbers)}"

    def product(*operands: Any) -> Any:
        return function(*operands)

    product.__name__ = name
    traced = jax.jit(product).trace(*shapes)
    compiled = traced.lower(lowering_platforms=("cuda",)).compile()
    files = [path for path in DUMP.iterdir() if f".jit_{name}." in path.name]
    texts = {path.name: path.read_text() for path in files}
    for path in files:
        path.unlink()
    others = [
        text
        for name, text in texts.items()
        if name.endswith(".ptx") and not _ENTRY.search(text)
    ]
    temporary = compiled.memory_analysis().temp_size_in_bytes
    return Program(_kernels(texts), others, temporary)


def compile_by_mosaic(
    device: Any, function: Callable[..., Any], arguments: Sequence[Any]
) -> str:
    """Compile a function whose kernels are Mosaic GPU's; give their PTX.

    It is empty where an equal kernel was compiled before.
    """
    sharding = jax.sharding.SingleDeviceSharding(device)
    shapes = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding),
        list(arguments),
    )
    os.environ["MOSAIC_GPU_DUMP_TO"] = str(DUMP)
    # Without a default device it takes any GPU that is not there for an H100.
    with jax.default_device(device):
        traced = jax.jit(function).trace(*shapes)
        traced.lower(lowering_platforms=("cuda",)).compile()
    texts = []
    for path in DUMP.glob("*.ptx"):
        texts.append(path.read_text())
        path.unlink()
    return "".join(texts)


def _kernels(texts: dict[str, str]) -> dict[str, Compiled]:
    """Match what is launched with the PTX of that name."""
    ptx: dict[str, str] = {}
    for file, text in texts.items():
        entry = _ENTRY.search(text) if file.endswith(".ptx") else None
        if entry and ptx.setdefault(entry[1], text) != text:
            raise RuntimeError(f"two kernels have the name {entry[1]}")
    plans = [
        text for name, text in texts.items() if name.endswith(".thunk_sequence.txt")
    ]
    launches = {m[1]: m for plan in plans for m in _LAUNCH.finditer(plan)}
    number = sum(len(_LAUNCH.findall(plan)) for plan in plans)
    if not ptx or launches.keys() != ptx.keys() or number != len(ptx):
        raise RuntimeError(
            f"XLA launches {number} kernels, {', '.join(launches) or 'none'}, "
            f"and wrote those of {', '.join(ptx) or 'none'}"
        )
    return {
        name: Compiled(name, text, *map(_one_dimension, launches[name].group(2, 3)))
        for name, text in ptx.items()
    }


def _one_dimension(sizes: str) -> int:
    first, *others = map(int, sizes.split(","))
    if others != [1, 1]:
        raise RuntimeError(f"a launch of more than one dimension: {sizes}")
    return first
