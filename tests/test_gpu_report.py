"""bench/gpu_report.sh: its parts run in order, once each, and say how they ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[1] / "bench"
REPORT = BENCH / "gpu_report.sh"
STAND_IN = """#!/usr/bin/env bash
echo "$@" >>"$LOG"
case "$*" in
  *test_rows.py*) exit 1 ;;
  *test_attention.py*) [ -e "$LOG.later" ] || { touch "$LOG.later"; exit 124; } ;;
  *test_text.py*) exit 124 ;;
  *"$FAILS"*) exit "${STATUS:-0}" ;;
esac
"""


@pytest.fixture
def report(tmp_path: Path) -> Any:
    """gpu_report.sh on a machine whose nvidia-smi, python and compute-sanitizer do nothing; gives
    (exit status, output, what was called)."""
    for name in ("nvidia-smi", "python", "compute-sanitizer"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho NVIDIA H200\n" if name == "nvidia-smi" else STAND_IN)
        program.chmod(0o755)
    log = tmp_path / "log"

    def run(*arguments: str, **settings: str) -> tuple[int, str, list[str]]:
        log.write_text("")
        found = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": str(tmp_path / "python")}
        found |= {
            "COMMIT": "abc",
            "LOG": str(log),
            "FAILS": "nothing",
            "RESULTS": str(tmp_path / "results"),
            "SITE": str(tmp_path / "site"),
        }
        command = ["bash", str(REPORT), *arguments]
        done = subprocess.run(command, env=found | settings, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr, log.read_text().splitlines()

    return run


def test_the_report_goes_on_where_the_time_was_up(report: Any) -> None:
    status, text, calls = report()
    assert status == 3 and "the time was up in attention: run it again" in text
    assert "pip install" in calls[0] and any("test_matmul.py" in call for call in calls)
    first = [i for i, call in enumerate(calls) if "tests/" in call or "memcheck" in call]
    assert first[-1] < next(i for i, call in enumerate(calls) if "bench/test_" in call)
    assert "on_gpu" in calls[first[0]] and "contract" in calls[first[1]]
    status, text, calls = report()
    assert status == 3 and "the time was up in text" in text
    assert not any("test_matmul.py" in call or "contract" in call for call in calls)
    assert any("test_attention.py" in call for call in calls)
    status, text, calls = report()
    assert status == 0 and text.endswith("== failed: rows text\n"), "it had all the time there is"
    assert "not measured: GPUGRAD_DATA names no folder" in text
    status, text, calls = report()
    assert status == 0 and len(calls) == 1 and "goals.py" in calls[0] and "rows text" in text
    status, text, calls = report("rows")
    assert len(calls) == 1 and "test_rows.py" in calls[0]


def test_a_build_that_fails_ends_the_report(report: Any) -> None:
    """Else what was built before is measured."""
    status, text, calls = report(FAILS="pip install", STATUS="1")
    assert status == 1 and "== build failed (1)" in text and len(calls) == 1


@pytest.mark.parametrize(
    ("part", "status", "said"),
    [
        ("matmul", "2", "== failed: matmul"),
        ("matmul", "5", "== failed: matmul"),
        ("matmul", "124", "== failed: matmul"),
        ("contract", "1", "== failed: contract"),
        ("contract", "5", "== failed: contract"),
        ("hardware", "2", "== failed: hardware"),
    ],
)
def test_statuses_of_parts(report: Any, part: str, status: str, said: str) -> None:
    """pytest's 2 is no end of time, and its 5, nothing selected, no success."""
    program = {"contract": "tests/contract", "hardware": "on_gpu.py"}.get(part, f"test_{part}.py")
    found = report(part, FAILS=program, STATUS=status)
    assert said in found[1] and len(found[2]) == 1


def test_the_report_knows_when_its_time_is_up(report: Any) -> None:
    status, text, calls = report(MINUTES="0")
    assert status == 3 and not calls and "the time is up before build" in text


def test_another_machine_builds_again(report: Any, tmp_path: Path) -> None:
    """And goes on with the results of the first."""
    for site in ("first", "second", "second"):
        calls = report(SITE=str(tmp_path / site))[2]
    assert not any("pip install" in call for call in calls)
    calls = report(SITE=str(tmp_path / "third"))[2]
    assert "pip install" in calls[0] and not any("contract" in call for call in calls)


def test_the_report_covers_every_suite(report: Any) -> None:
    parts = report("--list")[1].split()
    assert len(parts) == len(set(parts))
    suites = {path.stem.removeprefix("test_") for path in BENCH.glob("test_*.py")}
    assert suites < set(parts) and parts[-1] == "goals"


HARD = """
import time, pytest
def test_passes(): pass
@pytest.mark.parametrize("i", range(5))
def test_loses(i): raise RuntimeError("device cuda:0: an earlier kernel failed (cudaErrorX)")
def test_hangs(): time.sleep(100)
def test_is_full(): raise RuntimeError("cudaErrorMemoryAllocation: out of memory")
@pytest.mark.parametrize("i", range(4))
def test_goes_on(i): pass
"""


def test_a_lost_gpu_and_a_kernel_that_hangs_take_no_other_test_along(tmp_path: Path) -> None:
    """More processes are lost than the four that xdist would replace."""
    (tmp_path / "test_hard.py").write_text(HARD)
    command = [sys.executable, "-m", "pytest", "-n", "1", "-p", "surviving", "-q", "test_hard.py"]
    found = os.environ | {"PYTHONPATH": str(BENCH), "SURVIVING_SECONDS": "3", "COLUMNS": "200"}
    done = subprocess.run(command, cwd=tmp_path, env=found, capture_output=True, text=True)
    text = done.stdout + done.stderr
    assert done.returncode == 1 and "7 failed, 5 passed" in text
    for name in ("loses[0]", "loses[4]", "hangs"):
        assert f"crashed while running 'test_hard.py::test_{name}'" in text
    assert "test_loses[0] lost the GPU: RuntimeError: device cuda:0: an earlier kernel" in text
    assert "Timeout (0:00:03)!" in text and "in test_hangs" in text
