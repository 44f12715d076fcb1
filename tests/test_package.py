"""The package as a whole: its floors, its declared methods, its import."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import gpugrad as gg
from gpugrad.ops import methods
from gpugrad.tensor import Tensor

PACKAGE = Path(gg.__file__).parent


def test_every_declared_method_is_attached_and_the_other_way_round() -> None:
    stubs = "".join(path.read_text() for path in (PACKAGE / "methods").glob("*.pyi"))
    declared = set(
        re.findall(r"^    (?:def )?([a-zA-Z]\w*|__\w+__)(?:\(| = )", stubs, re.MULTILINE)
    )
    attached = set(methods.table()) - {"__array_priority__"}
    assert declared == attached
    assert all(hasattr(Tensor, name) for name in declared - set(methods.PROPERTIES))


FLOORS = (
    ("errors",),
    ("dtype", "device"),
    ("backends",),
    ("display", "dlpack"),
    ("tensor", "recording"),
    ("arguments", "random", "interop", "copies"),
    ("autograd",),
    ("creation", "holders", "amp"),
    ("draws", "ranges", "cuda", "legacy"),
    ("ops",),
    ("func", "linalg", "profiler"),
    ("debug",),
    ("nn", "optim", "data", "serialization", "safetensors_file"),
    ("text", "graphs", "distributions"),
    ("models", "train", "utils"),
    ("vision",),
    ("cli", "doctor"),
)
HEIGHT = {name: height for height, names in enumerate(FLOORS) for name in names}


def imported(path: Path) -> Iterator[str]:
    """The rooms of the package that a file imports when it runs, at its top or in functions."""
    package = path.relative_to(PACKAGE.parent).parts[:-1]
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        waiting.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            parts = (*base, *(node.module or "").split(".")) if node.module else base
            names = [parts[1]] if len(parts) > 1 else [a.name for a in node.names]
            yield from names if parts[:1] == ("gpugrad",) else ()


@pytest.mark.parametrize("room", HEIGHT)
def test_no_import_runs_upward(room: str) -> None:
    files = sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]
    for path in files:
        for name in imported(path):
            assert HEIGHT.get(name, -1) <= HEIGHT[room], f"{path} imports {name}"


def test_public_functions_have_docstrings() -> None:
    for name in dir(gg):
        value = getattr(gg, name)
        if callable(value) and not name.startswith("_"):
            assert value.__doc__, f"gg.{name} has no docstring"


def test_import_is_light(python: Callable[[str], str]) -> None:
    """Measured by NumPy's import in the same process, for a machine may be slow just now."""
    code = (
        "import sys, time; a = time.process_time(); import numpy, ml_dtypes\n"
        "b = time.process_time(); import gpugrad; c = time.process_time()\n"
        "assert 'cupy' not in sys.modules and 'torch' not in sys.modules\n"
        "print((c - b) / (b - a))"
    )
    assert min(float(python(code)) for _ in range(5)) < 2.5
