"""Benchmarks beside the best known rival on this machine: `pytest bench [--device cuda]`.

Each test times gpugrad with pytest-benchmark (so its tables, JSON and comparisons work) and then
once more in turns with its rivals; the ratios of those medians are the table at the end.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import rehearsal
from duel import NOT_COUNTED, OURS, Cost, Duel, summary, table
from facts import facts, gpu
from rivals import check_agree, torch_module
from store import Store
from surviving import lost
from timing import Timer, Work, busy

import gpugrad as gg

HAS_TORCH = importlib.util.find_spec("torch") is not None
STOPPED = 20
"""Exit status where the session ended before its tests did: the time was up, or the GPU's context
is lost. pytest's own 2 is also that of a file it cannot import."""

GONE, AGAIN = "the GPU's context is lost", ": run it again for the rest"
_BEGAN = time.monotonic()
_duels: list[Duel] = []
_failed: dict[str, dict[str, str]] = {}  # test -> rival -> what it said


def pytest_addoption(parser: pytest.Parser) -> None:
    add = parser.addoption
    add("--device", default="cpu", choices=["cpu", "cuda"], help="what to measure")
    add(
        "--threads",
        type=int,
        help="CPU threads of gpugrad and PyTorch (of NumPy's "
        "products: OPENBLAS_NUM_THREADS before the start)",
    )
    add(
        "--quantile",
        type=float,
        default=0.5,
        help="of the rounds' times that counts: 0.5, the median; less on a machine that others use",
    )
    add(
        "--results",
        type=Path,
        help="also write each test's ratios to SUITE.json in this folder, with versions and clocks "
        "(performance.py makes README's table of them); what this commit has there is not measured "
        "again",
    )
    add("--seconds", type=float, help="begin no test after so many")
    add("--rehearse", action="store_true", help="the cases of a GPU, small and without one")


def pytest_configure(config: pytest.Config) -> None:
    threads = config.getoption("--threads")
    if threads:
        os.environ["GPUGRAD_NUM_THREADS"] = str(threads)  # read at the first loop
        if (torch := torch_module()) is not None:
            torch.set_num_threads(threads)
    folder = config.getoption("--results")
    if config.getoption("--rehearse"):
        if folder or config.getoption("--device") != "cuda":
            raise pytest.UsageError("--rehearse goes with --device cuda, and without --results")
        rehearsal.begin()
    config.stash[_STORE] = Store(folder, facts(config.getoption("--device"))) if folder else None


_STORE: pytest.StashKey[Store | None] = pytest.StashKey()
_ALL_DONE: pytest.StashKey[list[bool]] = pytest.StashKey()  # of each suite: did one fail?


class LostError(Exception):
    """The GPU's context went with a rival."""


def place(item: Any) -> tuple[str, str]:
    """(suite, name) of a test, as the result files have them."""
    return item.path.stem.removeprefix("test_"), item.name.removeprefix("test_")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Goes on with what has no result yet, of what -k chose."""
    store = config.stash[_STORE]
    done = [item for item in items if store is not None and store.has(*place(item))]
    if store and done and len(done) == len(items):
        config.stash[_ALL_DONE] = [store.failed(suite) for suite in {place(i)[0] for i in done}]
    if done:
        config.hook.pytest_deselected(items=done)
        items[:] = [item for item in items if item not in done]


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Begins no other test when the time is up."""
    seconds = item.config.getoption("--seconds")
    if seconds and time.monotonic() - _BEGAN > seconds:
        item.session.shouldstop = f"{seconds:g} seconds are over{AGAIN}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    """A failure of ours is noted, too. One that the GPU does not survive ends the session, or all
    that follows would seem to fail."""
    report = yield
    if call.when != "call" or not report.failed or "compare" not in item.fixturenames:
        return report
    store, said = item.config.stash[_STORE], f"{call.excinfo.typename}: {call.excinfo.value}"
    if store and not item.session.shouldstop and not isinstance(call.excinfo.value, LostError):
        store.add(*place(item), [], {OURS: said[:200]})
    if lost(said):
        item.session.shouldstop = GONE + AGAIN
    return report


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--device")


@pytest.fixture
def compare(benchmark: Any, device: str, request: pytest.FixtureRequest) -> Callable[..., None]:
    """compare(ours, {"rival": theirs}, cost, clock): records ours, and a duel with each rival.

    A rival that cannot do it (no kernel for it, no compiler) is left out, and said to be so. Where
    kernels are timed on a GPU, their first results must agree, else the test fails; `same` is False
    of what is random or not determined; `roundings`: rivals.check_agree.
    """

    def run(
        ours: Work,
        rivals: dict[str, Work],
        cost: Cost = NOT_COUNTED,
        clock: str = "wall",
        same: bool = True,
        roundings: int = 1,
    ) -> None:
        store, (suite, name) = request.config.stash[_STORE], place(request.node)
        if store:
            store.begin(suite, name)
        timer = Timer(device, request.config.getoption("--quantile"), clock)
        agree = None
        if timer.clock == "device" and same:
            agree = partial(check_agree, ours(), roundings=roundings)
        able, failed = those_able(rivals, agree, device)
        whole = ours if device == "cpu" else lambda: (ours(), gg.synchronize(device))
        rounds, calls = (15, timer.calls_per_round(ours)) if device == "cpu" else (3, 1)
        benchmark.pedantic(whole, rounds=1 if rehearsal.ON else rounds, iterations=calls)
        mine, *others = timer.race([ours, *able.values()])
        duels = [
            Duel(name, rival, mine, theirs, suite, cost, timer.clock)
            for rival, theirs in zip(able, others, strict=True)
        ]
        # Without a rival there is still our own time.
        duels = duels or [Duel(name, OURS, mine, mine, suite, cost, timer.clock)]
        benchmark.extra_info["duels"] = [duel.as_dict() for duel in duels]
        _duels.extend(duels)
        if failed:
            _failed[f"{suite}: {name}"] = failed
        if store:
            store.add(suite, name, duels, failed)

    return run


def those_able(
    rivals: dict[str, Work], agree: Callable[[Any], None] | None, device: str
) -> tuple[dict[str, Work], dict[str, str]]:
    """The rivals that run, and of the others what they said. agree: raises where their result is
    not ours. What a kernel does wrong is seen at the synchronisation behind it."""
    able, failed = {}, {}
    gg.synchronize(device)
    for rival, work in rivals.items():
        try:
            theirs = work()
            gg.synchronize(device)
        except Exception as error:  # theirs, of whatever kind, is no failure of ours
            if rehearsal.ON:  # there it is the suite's
                raise
            said = f"{type(error).__name__}: {error}"
            if lost(said):
                raise LostError(f"{rival}: {said}") from error
            failed[rival] = said.partition("\n")[0][:200]
        else:
            able[rival] = work
            if agree is not None:
                agree(theirs)
    return able, failed


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The GPU's clocks while it works: those of the beginning were idle ones. And the status."""
    store, device = session.config.stash[_STORE], session.config.getoption("--device")
    failures = session.config.stash.get(_ALL_DONE, None)
    if failures is not None and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = int(any(failures))  # as the runs that measured it
    stop = str(session.shouldstop or "")
    if stop.endswith(AGAIN):
        session.exitstatus = STOPPED
    if store and device == "cuda" and _duels and not stop.startswith(GONE):
        busy(device).occupy(1.0)
        store.note(gpu_at_work=gpu())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _duels:
        text = f"{table(_duels)}\n\n{summary(_duels)}"
        terminalreporter.section("ratios (above 1: gpugrad is faster; medians, in turns, one run)")
        terminalreporter.write_line(text)
    for test, failed in _failed.items():
        for rival, said in failed.items():
            terminalreporter.write_line(f"not measured: {rival} in {test}: {said}")
    if _duels and not HAS_TORCH:
        terminalreporter.write_line("PyTorch is not installed: no ratios against it")
