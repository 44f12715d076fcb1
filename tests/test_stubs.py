"""The committed stubs of the native modules are what the modules say of themselves."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STUBS = runpy.run_path(str(ROOT / "csrc" / "packaging" / "stubs.py"))["stubs"]()


@pytest.mark.parametrize("name", STUBS)
def test_stub_is_current(name: str) -> None:
    committed = (ROOT / "gpugrad" / name).read_text()
    assert committed == STUBS[name], "run `python csrc/packaging/stubs.py`"
