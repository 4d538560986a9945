# SPDX-License-Identifier: Apache-2.0
"""Setuptools as the build backend, with editable installs that no folder can hide.

In an editable install a finder that setuptools appends to ``sys.meta_path`` leads to
the sources. Python's own finder of folders comes before it, and takes any folder
``synjit`` on the path, such as a clone beside a script, for a namespace package. So the
finder is put first, and asks the other for a real package: one on ``PYTHONPATH`` is
taken, as usual. A setuptools whose finder reads otherwise is left as it is.
"""

from setuptools import build_meta
from setuptools.build_meta import (
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)
from setuptools.command import editable_wheel

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


LAST = "sys.meta_path.append(_EditableFinder)"
FIRST = "sys.meta_path.insert(0, _EditableFinder)"
ASKED = """
        if fullname in MAPPING:
"""
ASKED_AFTER_FOLDERS = """
        if fullname.partition(".")[0] in MAPPING:
            found = PathFinder.find_spec(fullname, path)
            if found is not None and found.origin is not None:
                return found  # a package has a file, a bare folder none
        if fullname in MAPPING:
"""


def build_editable(
    wheel_directory: str,
    config_settings: dict[str, str | list[str] | None] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build the wheel of an editable install, whose finder is asked first."""
    finder = editable_wheel._FINDER_TEMPLATE  # noqa: SLF001
    if LAST in finder and ASKED in finder:
        finder = finder.replace(LAST, FIRST).replace(ASKED, ASKED_AFTER_FOLDERS)
        editable_wheel._FINDER_TEMPLATE = finder  # noqa: SLF001
    return build_meta.build_editable(
        wheel_directory, config_settings, metadata_directory
    )
