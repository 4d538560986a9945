# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: SLF001
"""A handler compiled as one module, optimized and translated once.

Numba finishes every function by itself, together with all that it calls: the kernel at
the end of a chain of eight functions would be optimized and translated eight times.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

# What Python gets of a function that is a part: called, it raises a TypeError.
_REFUSAL = ctypes.cast(ctypes.pythonapi.PyErr_BadArgument, ctypes.c_void_p).value


@contextmanager
def whole_module(name: str) -> Iterator[None]:
    """Compile the function of this name, and all that it calls as parts of it.

    Other compiled functions can call the parts afterwards. Python cannot, with
    arguments of the same types: a TypeError says so.
    """
    with global_compiler_lock:
        context = cpu_target.target_context
        codegen = context.codegen()
        codegen._library_class = _Library
        context.get_executable = _refuse
        _Library.whole = name
        try:
            yield
        finally:
            _Library.whole = ""
            del codegen._library_class, context.get_executable


def _refuse(library: Any, about: Any, environment: Any) -> Any:
    name, doc = about.qualname.rpartition(".")[2], "Not to be called from Python."
    module = about.lookup_module()
    return _dynfunc.make_function(module, name, doc, _REFUSAL, environment, (library,))


class _Library(JITCodeLibrary):  # type: ignore[misc]
    """The code of a function; of a part, its own alone until others want it."""

    whole: ClassVar[str] = ""
    is_linked = False

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _in_call_order(self) -> list[Any]:
        """Give all libraries that the code needs, each before those that it needs.

        What is linked before its callers is dropped.
        """
        after: dict[Any, None] = {}
        seen = set()

        def visit(library: Any) -> None:
            for each in library._linking_libraries:
                if each not in seen:
                    seen.add(each)
                    visit(each)
                    after[each] = None

        visit(self)
        return list(reversed(after))

    def finalize(self) -> None:
        """Link, optimize and translate the whole; leave a part for later."""
        if self.name != self.whole:
            self._finalize_dynamic_globals()
            self._finalized = True
            return
        self._linking_libraries = self._in_call_order()
        super().finalize()
        missing = [
            function.name
            for function in self._final_module.functions
            if function.is_declaration and function.name.startswith("_ZN")
        ]
        if missing:
            raise RuntimeError(f"{self.name} was linked without {', '.join(missing)}")

    def _get_module_for_linking(self) -> Any:
        module = super()._get_module_for_linking()
        if not self.whole and not self.is_linked:
            # Another function than a handler calls it, and needs all that it calls.
            self.is_linked = True
            for library in self._in_call_order():
                module.link_in(library._get_module_for_linking(), preserve=True)
        return module
