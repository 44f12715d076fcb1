"""core/index.h beyond 2^31 elements, on the host: no test has the memory for such tensors."""

from __future__ import annotations

from pathlib import Path

import pytest
from sim import build


@pytest.mark.parametrize("flavour", ["plain", "asan"])
def test_indices_beyond_2_to_31(flavour: str, tmp_path: Path) -> None:
    status, output = build.run(build.cases(flavour, tmp_path, "index", "index"))
    assert status == 0, output
    assert output.count("ok ") == 4 and "FAILED" not in output, output
