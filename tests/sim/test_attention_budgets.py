"""Attention on CUDA cores: no bank conflicts, whole sectors, no scores stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from sim import build, counters


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, counters.Counts]:
    folder = tmp_path_factory.mktemp("attention")
    kernels = [*(build.CSRC / "kernels").glob("attention*.cu"), build.CSRC / "kernels/copy.cu"]
    sources = [build.HERE / "main.cpp", build.HERE / "budgets_attention.cpp"]
    host: list[Path] = [*sources, *(build.CSRC / "core").glob("*.cpp")]
    program = build.program("counters", "attention", kernels, folder, host)
    status, output = build.run(program, timeout=300)
    assert status == 0, output
    return counters.read(program, output)


@pytest.mark.parametrize("case", ["forward_64", "forward_128", "backward_64", "backward_128"])
def test_attention_reads_without_conflicts(counts: dict[str, counters.Counts], case: str) -> None:
    """A row's interval is the one thing stored two words at a time."""
    found = counts[case]
    assert found.ratio("shared") < 1.01, found.worst("shared")
    assert found.ratio("global") < 1.02, found.worst("global")


def test_attention_moves_no_scores(counts: dict[str, counters.Counts]) -> None:
    """256 queries in blocks of 128 read q once and k and v twice; o and lse are all it writes."""
    row = 4 * 64
    assert counts["forward_64"].bytes("load") == 256 * row + 2 * 2 * 256 * row
    assert counts["forward_64"].bytes("store") == 256 * row + 256 * 4


def test_attention_of_few_queries_reads_keys_once(counts: dict[str, counters.Counts]) -> None:
    """The query is read by each of the 8 splits."""
    found = counts["few_queries"]
    assert found.bytes("load", "decode") == 2 * (2 * 2048 * 128) + 8 * 2 * 128
    assert found.ratio("global", "decode") < 1.02, found.worst("global", "decode")
