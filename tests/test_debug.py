"""GPUGRAD_DEBUG, and the environment variables that README lists."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from fake_gpu import CudaRuntimeError
from nets import Net

import gpugrad as gg
from gpugrad import nn
from gpugrad.backends import cuda
from gpugrad.debug import Debug, begin, line
from gpugrad.errors import ArgumentError, DeviceError, IndexOutOfRangeError
from gpugrad.profiler import Listener
from gpugrad.profiler.watching import listen, unlisten

ROOT = Path(__file__).parents[1]


# ---- GPUGRAD_DEBUG -------------------------------------------------------------------------------


def debugged(level: int, run: Any) -> str:
    out = io.StringIO()
    debug = Debug(level, out)
    listen(debug)
    try:
        run()
    finally:
        unlisten(debug)
    debug.end()
    return out.getvalue()


def test_debug_levels() -> None:
    x = gg.rand(5, 6)
    model = Net()
    first = debugged(1, lambda: model(x))
    assert (
        first.splitlines()[0] == "GPUGRAD_DEBUG=1"
        and "gemm" in first
        and "GFLOP/s  Tanh" not in first
    )
    lines = [text for text in debugged(2, lambda: model(x)).splitlines() if "us " in text]
    (tanh,) = [text for text in lines if "unary tanh" in text]
    assert re.match(
        r"cpu +[\d.]+ us +[\d.]+ GFLOP/s +[\d.]+ GB/s +Tanh unary tanh +forward +body\.1 +tanh, "
        r"float32\[5, 8\]",
        tanh,
    )
    assert debugged(1, lambda: None) == "", "nothing ran"


def test_debug_names_the_kernel_of_an_error(
    fake_cuda: cuda.CudaBackend,
) -> None:
    """An index out of range, which CUDA tells when it synchronises; a kernel that fails."""
    model = nn.Sequential(nn.Embedding(3, 2), nn.Tanh()).to("cuda")
    index = gg.tensor([0, 7], device="cuda")
    with pytest.raises(IndexOutOfRangeError) as caught:
        debugged(3, lambda: model(index))
    assert str(caught.value).startswith(
        "embedding of Embedding (forward, 0) with float32[3, 2], int64[2]: embedding: index 7"
    )
    x = gg.ones(2, device="cuda")

    def fail() -> None:
        fake_cuda._gpu.error = CudaRuntimeError("cudaErrorIllegalAddress")
        x + 1

    with pytest.raises(DeviceError, match=r"^binary add of Add \(forward\) with add, .*Illegal"):
        try:
            debugged(3, fail)
        finally:
            fake_cuda._gpu.error = None


def test_debug_from_the_environment(python: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUGRAD_DEBUG", "1")
    code = "import sys; sys.stderr = sys.stdout; import gpugrad as gg; gg.ones(3).exp()"
    assert "unary exp  Exp" in python(code)
    monkeypatch.setenv("GPUGRAD_DEBUG", "3")
    code = "import gpugrad as gg; print(gg.is_anomaly_check_nan_enabled())"
    assert "True" in python(code)
    monkeypatch.setenv("GPUGRAD_DEBUG", "verbose")
    with pytest.raises(ArgumentError, match=r"GPUGRAD_DEBUG='verbose' is no level.\n.*0 .*3"):
        begin()


def test_debug_sums_up_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpugrad.debug._ENOUGH", 10)
    x = gg.ones(2)
    text = debugged(1, lambda: [x + 1 for _ in range(25)])
    assert re.search(r"binary add +Add +forward +25 ", text)


def test_a_line_without_a_time() -> None:
    class Keep(Listener):
        def on_kernel(self, event: Any) -> None:
            kept.append(event)

    kept: list[Any] = []
    keep = Keep()
    listen(keep)
    gg.ones(2) + 1
    unlisten(keep)
    event = kept[-1]
    event.first = None
    assert re.match(r"cpu +- us +- GFLOP/s +- GB/s  Add binary add", line(event))


# ---- the variables that README lists -------------------------------------------------------------


def test_every_environment_variable_is_in_the_table() -> None:
    """Python, C++, CMake, shell: each GPUGRAD_* that is read anywhere has a row in README."""
    text = (ROOT / "README.md").read_text().split("<!-- environment variables -->")[1]
    names = "".join(re.findall(r"^\|([^|]*)\|", text, re.MULTILINE))
    listed = set(re.findall(r"`(GPUGRAD_\w+)`", names))
    suffixes = {".py", ".cpp", ".h", ".cu", ".cuh", ".txt", ".sh", ".toml", ""}
    found: dict[str, str] = {}
    for folder in ("gpugrad", "csrc", "tests", "bench", ".ci"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in suffixes and path.is_file() and "cache" not in str(path):
                for name in re.findall(r"\bGPUGRAD_[A-Z_]+\b", path.read_text(errors="ignore")):
                    found.setdefault(name, str(path))
    for name in re.findall(r"\bGPUGRAD_[A-Z_]+\b", (ROOT / "CMakeLists.txt").read_text()):
        found.setdefault(name, "CMakeLists.txt")
    assert {name: found.get(name, "nowhere") for name in found.keys() ^ listed} == {}
