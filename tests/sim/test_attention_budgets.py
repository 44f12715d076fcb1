"""Attention on CUDA cores: no bank conflicts, whole sectors, no scores stored."""

from __future__ import annotations

import pytest
from sim.budgets import Cases, run_cases


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    return run_cases(tmp_path_factory, "budgets_attention", ["attention*", "copy"])


@pytest.mark.parametrize("case", ["forward_64", "forward_128", "backward_64", "backward_128"])
def test_attention_reads_without_conflicts(counts: Cases, case: str) -> None:
    """A row's interval is the one thing stored two words at a time."""
    found = counts[case]
    assert found.ratio("shared") < 1.01, found.worst("shared")
    assert found.ratio("global") < 1.02, found.worst("global")


def test_attention_moves_no_scores(counts: Cases) -> None:
    """256 queries in blocks of 128 read q once and k and v twice; o and lse are all it writes."""
    row = 4 * 64
    assert counts["forward_64"].bytes("load") == 256 * row + 2 * 2 * 256 * row
    assert counts["forward_64"].bytes("store") == 256 * row + 256 * 4


def test_attention_of_few_queries_reads_keys_once(counts: Cases) -> None:
    """The query is read by each of the 8 splits."""
    found = counts["few_queries"]
    assert found.bytes("load", "decode") == 2 * (2 * 2048 * 128) + 8 * 2 * 128
    assert found.ratio("global", "decode") < 1.02, found.worst("global", "decode")
