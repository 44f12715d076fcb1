"""Writes the type stubs of the native modules from their own signatures.

    python csrc/packaging/stubs.py        # rewrites gpugrad/_cpu.pyi, _sim.pyi, _cuda.pyi

Needs _cpu and _sim built; _cuda binds the same operations as _sim, but for the schedule.
tests/test_stubs.py fails when the committed stubs are not what this writes.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

HEADER = '''"""Raw operations; csrc/ops.h documents each. Written by csrc/packaging/stubs.py."""

from typing import Any

import numpy

ArrayLike = Any

'''
PLAIN = [
    (r"typing\.SupportsInt \| typing\.SupportsIndex", "int"),
    (r"typing\.SupportsFloat \| typing\.SupportsIndex", "float"),
    (r"collections\.abc\.Sequence\[ArrayLike \| None\]", "list[ArrayLike]"),
]


def signature(doc: str) -> str:
    """pybind11's first docstring line as a stub's def."""
    line = doc.splitlines()[0]
    for pattern, plain in PLAIN:
        line = re.sub(pattern, plain, line)
    return f"def {line}: ..."


def stub(module: ModuleType, without: tuple[str, ...] = ()) -> str:
    """The stub of one module."""
    functions = [name for name in sorted(vars(module)) if callable(getattr(module, name))]
    lines = [signature(getattr(module, n).__doc__) for n in functions if n not in without]
    return HEADER + "\n".join(lines) + "\n"


def stubs() -> dict[str, str]:
    """File name -> text."""
    from gpugrad import _cpu, _sim

    return {
        "_cpu.pyi": stub(_cpu),
        "_sim.pyi": stub(_sim),
        "_cuda.pyi": stub(_sim, without=("set_schedule",)),
    }


if __name__ == "__main__":
    for name, text in stubs().items():
        (Path(__file__).parents[2] / "gpugrad" / name).write_text(text)
