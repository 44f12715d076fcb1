"""Every kernel on small shapes under ASan + UBSan and under TSan, against plain loops.

The same ``.cu`` files as in the modules, driven by C++ programs, because Python itself cannot run
under ThreadSanitizer.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sim import build


@pytest.fixture(scope="module", params=["asan", "tsan"])
def kernels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kernels")
    host = [build.HERE / "main.cpp", *build.HERE.glob("kernels_*.cpp")]
    host += (build.CSRC / "core").glob("*.cpp")
    return build.program(request.param, "kernels", build.KERNELS, folder, host)


@pytest.mark.parametrize(
    ("order", "copies", "seed"), [("forward", "lazy", 0), ("random", "random", 1)]
)
def test_kernels_are_right_and_clean(kernels: Path, order: str, copies: str, seed: int) -> None:
    schedule = ("--order", order, "--async", copies, "--seed", str(seed))
    status, output = build.run(kernels, *schedule, timeout=900)
    assert status == 0, output
    assert "FAILED" not in output and "Sanitizer" not in output, output
    assert output.count("ok ") > 20
