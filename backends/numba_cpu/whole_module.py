# SPDX-License-Identifier: Apache-2.0
"""A handler compiled as one module, optimized and translated once.

Numba finishes every function by itself, together with all that it calls: the kernel at
the end of a chain of eight functions would be optimized and translated eight times.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

# What Python gets of a function that is a part: called, it raises a TypeError.
_REFUSAL = ctypes.cast(ctypes.pythonapi.PyErr_BadArgument, ctypes.c_void_p).value


@contextmanager
def whole_module(name: str) -> Iterator[None]:
    """Compile one function of this name, and all that it calls as parts of it.

    Other compiled functions can call them afterwards, and Python cannot, with arguments
    of the same types: a TypeError says so.
    """

    class Library(JITCodeLibrary):
        """The code of a function."""

        def _optimize_functions(self, module: Any) -> None:
            module.data_layout = self._codegen._data_layout  # noqa: SLF001

        def _optimize_final_module(self) -> None:
            if self.name == name:
                super()._optimize_final_module()

        def _finalize_final_module(self) -> None:
            if self.name == name:
                super()._finalize_final_module()
            else:
                self._finalize_dynamic_globals()
                self._finalized = True

    def get_executable(library: Any, about: Any, environment: Any) -> Any:
        return _dynfunc.make_function(
            about.lookup_module(),
            about.qualname.rpartition(".")[2],
            "Part of a handler; not to be called from Python.",
            _REFUSAL,
            environment,
            (library,),
        )

    with global_compiler_lock:
        context = cpu_target.target_context
        codegen = context.codegen()
        codegen._library_class = Library  # noqa: SLF001
        context.get_executable = get_executable
        try:
            yield
        finally:
            del codegen._library_class, context.get_executable  # noqa: SLF001
