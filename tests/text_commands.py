"""Commands on text run in this process, and what they say; for the tests of jobs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpugrad import cli

Capture = pytest.CaptureFixture[str]
ACCURACY = re.compile(r"test accuracy (\d{1,3}\.\d\d) %")


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files named without a folder go to a temporary one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GPUGRAD_TRACEBACK", raising=False)
    monkeypatch.delenv("GPUGRAD_DATA", raising=False)


def run(*arguments: str) -> int:
    """The exit status of a command in this process."""
    try:
        return cli.main([*arguments, "--device", "cpu"])
    except SystemExit as stop:  # argparse
        return int(stop.code or 0)


def error_of(capsys: Capture, *arguments: str) -> str:
    """What a command that fails with status 2 says; it must not be a traceback."""
    assert run(*arguments) == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text and "gpugrad" in text
    return text
