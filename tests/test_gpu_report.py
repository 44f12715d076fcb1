"""bench/gpu_report.sh: its parts run in order, once each, and say how they ended."""

from __future__ import annotations

import os
import subprocess
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
  *contract_cpu.py*) exit 5 ;;
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
        }
        command = ["bash", str(REPORT), *arguments]
        done = subprocess.run(command, env=found | settings, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr, log.read_text().splitlines()

    return run


def test_the_report_goes_on_where_the_time_was_up(report: Any) -> None:
    status, text, calls = report()
    assert status == 3 and "the time was up in attention: run it again" in text
    assert "pip install" in calls[0] and any("test_matmul.py" in call for call in calls)
    first = [i for i, call in enumerate(calls) if "contract" in call or "memcheck" in call]
    assert first[-1] < next(i for i, call in enumerate(calls) if "bench/test_" in call)
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
        ("contract_contract_gemm", "5", "== failed: contract_contract_gemm"),
        ("contract_contract_gemm", "2", "== failed: contract_contract_gemm"),
        ("contract_contract_cpu", "5", "== all done"),
    ],
)
def test_statuses_of_parts(report: Any, part: str, status: str, said: str) -> None:
    """pytest's 2 is no end of time, and its 5, nothing selected, no success, but for files of the
    contract that have no case for a GPU."""
    program = f"test_{part.removeprefix('contract_')}.py"
    found = report(part, FAILS=program, STATUS=status)
    assert said in found[1] and len(found[2]) == 1


def test_the_report_knows_when_its_time_is_up(report: Any) -> None:
    status, text, calls = report(MINUTES="0")
    assert status == 3 and not calls and "the time is up before build" in text


def test_the_report_covers_every_suite_and_contract_test(report: Any) -> None:
    parts = report("--list")[1].split()
    assert len(parts) == len(set(parts))
    suites = {path.stem.removeprefix("test_") for path in BENCH.glob("test_*.py")}
    assert suites < set(parts) and parts[-1] == "goals"
    contract = (BENCH.parent / "tests" / "contract").glob("test_*.py")
    assert {f"contract_{path.stem.removeprefix('test_')}" for path in contract} < set(parts)
