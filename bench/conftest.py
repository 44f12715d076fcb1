"""Benchmarks beside the best known rival on this machine: `pytest bench [--device cuda]`.

Each test times gpugrad with pytest-benchmark (so its tables, JSON and comparisons work) and then
once more in turns with each rival; the ratios of those medians are the table at the end.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from duel import NOT_COUNTED, Cost, Duel, Timer, Work, summary, table
from facts import facts
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
    parser.addoption(
        "--results",
        type=Path,
        help="also write the ratios to SUITE.json in this folder, with versions and clocks "
        "(performance.py makes README's table of them)",
    )


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
def compare(benchmark: Any, device: str, request: pytest.FixtureRequest) -> Callable[..., None]:
    """compare(ours, {"rival": theirs}, cost): records ours, and a duel with each rival."""

    def run(ours: Work, rivals: dict[str, Work], cost: Cost = NOT_COUNTED) -> None:
        timer = Timer(device, request.config.getoption("--quantile"))
        benchmark.pedantic(ours, rounds=15, iterations=timer.calls_per_round(ours))
        name = request.node.name.removeprefix("test_")
        suite = request.path.stem.removeprefix("test_")
        duels = [
            Duel(name, rival, *timer.duel(ours, theirs), suite, cost)
            for rival, theirs in rivals.items()
        ]
        benchmark.extra_info["duels"] = [duel.as_dict() for duel in duels]
        _duels.extend(duels)

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _duels:
        return
    text = f"{table(_duels)}\n\n{summary(_duels)}"
    terminalreporter.section("ratios (above 1: gpugrad is faster; medians, interleaved, one run)")
    terminalreporter.write_line(text)
    config = terminalreporter.config
    if folder := config.getoption("--results"):
        write_results(folder, config.getoption("--device"))
    if not HAS_TORCH:
        terminalreporter.write_line("PyTorch is not installed: no ratios against it")


def write_results(folder: Path, device: str) -> None:
    """SUITE.json for each suite that ran: what it was measured on, and each duel."""
    folder.mkdir(parents=True, exist_ok=True)
    known = facts(device)
    for suite in dict.fromkeys(duel.suite for duel in _duels):
        found = [duel.as_dict() for duel in _duels if duel.suite == suite]
        text = json.dumps({**known, "duels": found}, indent=1)
        (folder / f"{suite}.json").write_text(text + "\n")
