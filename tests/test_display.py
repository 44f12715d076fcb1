"""How tensors print. PyTorch's text for many more is in parity/test_display.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.errors import ArgumentError


@pytest.fixture(autouse=True)
def default_options() -> Iterator[None]:
    gg.set_printoptions(profile="default")
    yield
    gg.set_printoptions(profile="default")


TEXTS: list[tuple[Any, str]] = [
    ([[1.0, 2.5], [-3.0, 1e-3]], "tensor([[ 1.0000e+00,  2.5000e+00],\n"
                                 "        [-3.0000e+00,  1.0000e-03]])"),
    ([1.0, 20.0], "tensor([ 1., 20.])"),
    ([float("nan"), float("inf"), 1.0], "tensor([nan, inf, 1.])"),
    ([True, False], "tensor([ True, False])"),
    (3, "tensor(3)"),
    (3.25, "tensor(3.2500)"),
    ([], "tensor([])"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "text"), TEXTS, ids=[t[:20] for _, t in TEXTS])
def test_texts(values: Any, text: str) -> None:
    assert repr(gg.tensor(values)) == text


def test_facts() -> None:
    x = gg.ones(2, dtype=gg.float16, requires_grad=True)
    assert repr(x) == "tensor([1., 1.], dtype=float16, requires_grad=True)"
    assert repr(gg.zeros(0, dtype=gg.int64)) == "tensor([], dtype=int64)"
    assert repr(gg.zeros(2, 0)) == "tensor([], size=(2, 0))"
    assert repr(gg.ones(2, requires_grad=True) * 2) == "tensor([2., 2.], grad_fn=<Mul>)"
    wide = repr(gg.arange(13).double().requires_grad_())
    assert wide.endswith("12.],\n       dtype=float64, requires_grad=True)")


def test_the_device_is_told(kernel_device: str) -> None:
    x = gg.tensor([1.0, 2.0], device=kernel_device)
    assert repr(x) == f"tensor([1., 2.], device='{x.device}')"


def test_only_the_edges_of_large_tensors_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    x, read = gg.zeros(500, 400), []
    to_numpy = x.backend.to_numpy
    monkeypatch.setattr(x.backend, "to_numpy", lambda a: read.append(a.size) or to_numpy(a))
    lines = repr(x).split("\n")
    assert sum(read) == 36 and len(lines) == 7 and lines[3] == "        ...,"
    assert lines[0] == "tensor([[0., 0., 0.,  ..., 0., 0., 0.],"


def test_options() -> None:
    x = gg.tensor([1.23456, 2.0])
    gg.set_printoptions(precision=2)
    assert repr(x) == "tensor([1.23, 2.00])"
    gg.set_printoptions(sci_mode=True)
    assert repr(x) == "tensor([1.23e+00, 2.00e+00])"
    gg.set_printoptions()
    assert repr(x) == "tensor([1.23, 2.00])"
    gg.set_printoptions(profile="short", threshold=2)
    assert repr(gg.arange(10)) == "tensor([0, 1,  ..., 8, 9])"
    gg.set_printoptions(profile="full")
    assert repr(gg.arange(2000)).count(",") == 1999
    for options, text in (
        ({"profile": "long"}, "profile must be"),
        ({"precision": -1}, "precision"),
    ):
        with pytest.raises(ArgumentError, match=f"set_printoptions: {text}"):
            gg.set_printoptions(**options)


def test_format() -> None:
    assert f"{gg.tensor(0.5):.2f}" == "0.50" and f"{gg.tensor([0.5])}" == "tensor([0.5000])"
    assert f"{gg.tensor([1, 2])!s:>20}" == "      tensor([1, 2])"


def test_halves_print_what_they_hold() -> None:
    assert repr(gg.tensor([0.1]).bfloat16()) == "tensor([0.1001], dtype=bfloat16)"
    assert repr(gg.tensor([65504.0, 1.5]).half()).startswith("tensor([6.5504e+04, 1.5000e+00]")
    assert np.array_equal(gg.tensor([0.1]).half().float().numpy(), np.float32([0.099975586]))
