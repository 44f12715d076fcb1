"""Writes the type stubs of the native modules from their own signatures.

    python csrc/packaging/stubs.py        # rewrites gpugrad/_cpu.pyi, _sim.pyi, _cuda.pyi

Needs _cpu and _sim built. _cuda binds what _sim binds, but for the simulator's schedule; _cpu binds
a part of it, and functions of its own. tests/test_stubs.py fails when the committed stubs are not
what this writes.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

TITLE = '"""Raw operations; csrc/ops.h documents each. Written by csrc/packaging/stubs.py."""'
IMPORTS = """
from collections.abc import Sequence
from typing import Any

import numpy

ArrayLike = Any
"""
PLAIN = [
    (r"typing\.SupportsInt \| typing\.SupportsIndex", "int"),
    (r"typing\.SupportsFloat \| typing\.SupportsIndex", "float"),
    (r"collections\.abc\.Sequence\[ArrayLike \| None\]", "list[ArrayLike]"),
    (r"collections\.abc\.Sequence", "Sequence"),
]


def signature(doc: str) -> str:
    """pybind11's first docstring line as a stub's def."""
    line = doc.splitlines()[0]
    for pattern, plain in PLAIN:
        line = re.sub(pattern, plain, line)
    return f"def {line}: ..."


def signatures(module: ModuleType) -> dict[str, str]:
    """Name -> stub line of every function of a module."""
    names = [name for name in sorted(vars(module)) if callable(getattr(module, name))]
    return {name: signature(getattr(module, name).__doc__) for name in names}


def stubs() -> dict[str, str]:
    """File name -> text."""
    from gpugrad import _cpu, _sim

    every = signatures(_sim)
    simulator = [every.pop(n) for n in ("architecture", "set_architecture", "set_schedule")]
    part = signatures(_cpu)
    names = ["int_product", "keep_memory", "kept_memory", "memory_counts", "own_numpy_memory"]
    names += ["reset_memory_peaks", "sum_of", "sum_of_workspace", "usable_cpus"]
    own = [part.pop(n) for n in names]
    assert part.items() <= every.items(), "_cpu binds an operation otherwise than _sim"
    reexported = [f"from gpugrad._cuda import {name} as {name}" for name in part]
    texts = {
        "_cuda.pyi": [TITLE, IMPORTS, *every.values()],
        "_sim.pyi": [TITLE, "", "from gpugrad._cuda import *", "", *simulator],
        "_cpu.pyi": [TITLE, "", "from gpugrad._cuda import ArrayLike", *reexported, "", *own],
    }
    return {name: "\n".join(lines) + "\n" for name, lines in texts.items()}


if __name__ == "__main__":
    for name, text in stubs().items():
        (Path(__file__).parents[2] / "gpugrad" / name).write_text(text)
