"""Attention on CUDA cores and on Hopper: no bank conflicts, whole sectors, no scores stored."""

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


@pytest.mark.parametrize(("size", "dtype"), [(64, "f16"), (128, "bf16")])
def test_attention_on_hopper(counts: Cases, size: int, dtype: str) -> None:
    """Each of 2 blocks of queries reads its q, and all of k and v."""
    found, row = counts[f"hopper_forward_{size}"], 2 * size
    assert list(found.launches) == [f"attention_hopper<gg::{dtype}, {size}>"]
    assert found.ratio("shared") < 1.01, found.worst("shared")
    assert found.ratio("global") < 1.02, found.worst("global")
    assert found.bytes("load") == 256 * row + 2 * 2 * 384 * row
    assert found.bytes("store") == 256 * row + 256 * 4


@pytest.mark.parametrize(("size", "dtype"), [(64, "bf16"), (128, "f16")])
def test_attention_gradient_on_hopper(counts: Cases, size: int, dtype: str) -> None:
    """3 blocks of keys read all queries, 2 of queries all keys; lse and delta come with queries."""
    found, row = counts[f"hopper_backward_{size}"], 2 * size
    queries, keys = 256 * (2 * row + 2 * 4), 384 * 2 * row
    for by_keys, loads, stores in (
        ("true", 3 * queries + keys, 384 * 2 * row),
        ("false", queries + 2 * keys, 256 * row),
    ):
        kernel = f"attention_grad_hopper<gg::{dtype}, {size}, {by_keys}>"
        assert found.launches[kernel] == 1
        assert found.ratio("shared", kernel) < 1.01, found.worst("shared", kernel)
        assert found.ratio("global", kernel) < 1.02, found.worst("global", kernel)
        assert found.bytes("load", kernel) == loads
        assert found.bytes("store", kernel) == stores


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_attention_on_hopper_clears_padding(counts: Cases, direction: str) -> None:
    """Threads write zeros where wgmma reads: the program fails if they do not fence that."""
    found = counts[f"hopper_{direction}_padding"]
    assert found.ratio("shared", "attention") < 1.01, found.worst("shared")
    zeros = [x for x in found.of("attention", "store", "shared") if x.width == 16]
    assert zeros, found.lines
