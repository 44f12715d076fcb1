"""Shared fixtures: the device under test, a new interpreter, the seed."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_gpu import fake_cuda, fake_gpu  # noqa: F401 - fixtures

import gpugrad as gg

HAS_TORCH = importlib.util.find_spec("torch") is not None
# The parity suite needs PyTorch as its judge: without it, it is not collected.
collect_ignore = [] if HAS_TORCH else ["parity"]


def pytest_configure() -> None:
    """Ctrl-C works in tests of it, also where the shell started us with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device",
        default="sim",
        choices=["sim", "cuda"],
        help="where the kernel tests run: the simulator, or a GPU",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not HAS_TORCH:
        terminalreporter.write_line(
            "parity with PyTorch was not collected: `pip install '.[parity]'` adds it"
        )


@pytest.fixture(scope="session")
def kernel_device(request: pytest.FixtureRequest) -> str:
    """The device that runs the CUDA kernels in this session.

    GPUGRAD_TEST_POOL=off gives each array an allocation of its own, for compute-sanitizer.
    """
    device = request.config.getoption("--device")
    if device == "cuda" and os.environ.get("GPUGRAD_TEST_POOL") == "off":
        import cupy

        cupy.cuda.set_allocator(None)
    return device


@pytest.fixture
def python(tmp_path: Path) -> Callable[[str], str]:
    """Runs code in a new interpreter and gives its output.

    Not in the source tree, whose folder gpugrad would hide the installed package.
    """

    def run(code: str) -> str:
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    return run


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same random state."""
    gg.manual_seed(0)
