"""Benchmarks beside the best known rival on this machine: `pytest bench [--device cuda]`.

Each test times gpugrad with pytest-benchmark (so its tables, JSON and comparisons work) and then
once more in turns with each rival; the ratios of those medians are the table at the end.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from duel import Duel, Timer, Work, summary, table
from rivals import torch_module

HAS_TORCH = importlib.util.find_spec("torch") is not None
_duels: list[Duel] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", choices=["cpu", "cuda"], help="what to measure")
    parser.addoption(
        "--threads",
        type=int,
        help="CPU threads of gpugrad and PyTorch (of NumPy's "
        "products: OPENBLAS_NUM_THREADS before the start)",
    )
    parser.addoption(
        "--quantile",
        type=float,
        default=0.5,
        help="of the rounds' times that counts: 0.5, the median; less on a machine that others use",
    )
    parser.addoption("--ratios", default=None, help="also write the table of ratios to this file")


def pytest_configure(config: pytest.Config) -> None:
    threads = config.getoption("--threads")
    if threads:
        os.environ["GPUGRAD_NUM_THREADS"] = str(threads)  # read at the first loop
        if (torch := torch_module()) is not None:
            torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--device")


@pytest.fixture
def compare(
    benchmark: Any, device: str, request: pytest.FixtureRequest
) -> Callable[[Work, dict[str, Work]], None]:
    """compare(ours, {"rival": theirs}): records ours, and a duel with each rival."""

    def run(ours: Work, rivals: dict[str, Work]) -> None:
        timer = Timer(device, request.config.getoption("--quantile"))
        benchmark.pedantic(ours, rounds=15, iterations=timer.calls_per_round(ours))
        name = request.node.name.removeprefix("test_")
        duels = [timer.duel(name, ours, rival, theirs) for rival, theirs in rivals.items()]
        benchmark.extra_info["duels"] = [duel.as_dict() for duel in duels]
        _duels.extend(duels)

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _duels:
        return
    text = f"{table(_duels)}\n\n{summary(_duels)}"
    terminalreporter.section("ratios (above 1: gpugrad is faster; medians, interleaved, one run)")
    terminalreporter.write_line(text)
    path = terminalreporter.config.getoption("--ratios")
    if path:
        Path(path).write_text(text + "\n")
    if not HAS_TORCH:
        terminalreporter.write_line("PyTorch is not installed: no ratios against it")
