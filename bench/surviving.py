"""A plugin of pytest, beside xdist: `pytest -n 8 -p surviving` outlives what a GPU does not.

A kernel that fails takes the context of its process along, and one that hangs never returns. So the
process ends with such a test, having said on stderr what happened, and xdist fails this test alone
and goes on in a new process, however many it takes. SURVIVING_SECONDS, 60 unless given, is the
limit of one test.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from typing import Any

import pytest

STDERR = os.dup(2)  # before pytest takes it for what tests print
LOST = ("earlier kernel failed", "CUDA error", "cudaError", "CUDA_ERROR", "illegal memory")
FULL = ("out of memory", "OUT_OF_MEMORY", "MemoryAllocation")  # that the context survives


def lost(said: str) -> bool:
    """Is this what is said when the GPU's context is lost?"""
    return any(words in said for words in LOST) and not any(words in said for words in FULL)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """xdist would give up after four processes for each of -n: one bad kernel may end more."""
    if config.getoption("maxworkerrestart", None) is None:
        config.option.maxworkerrestart = "100000"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """Ends a worker whose test takes too long, with the stacks of its threads."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    seconds = float(os.environ.get("SURVIVING_SECONDS", "60"))
    faulthandler.dump_traceback_later(seconds, exit=True, file=STDERR)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[Any]:
    """Ends a worker that has lost the GPU."""
    report = yield
    if call.excinfo is None or not hasattr(item.config, "workerinput"):
        return report
    said = f"{call.excinfo.typename}: {call.excinfo.value}"
    if lost(said):
        os.write(STDERR, f"{item.nodeid} lost the GPU: {said}\n".encode())
        os._exit(1)
    return report
