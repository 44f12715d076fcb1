"""The numbers 0, 1, 2, ... that indices are made of: on the device, shared, without a transfer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.errors import ArgumentError, IndexOutOfRangeError
from gpugrad.ops.positions import positions

INDEX = np.array([[2, 0, 1], [1, 1, 0]])


def matrix() -> gg.Tensor:
    return gg.tensor(np.array([[3.0, 1.0, 2.0], [5.0, 5.0, 4.0]]), requires_grad=True)


BY_INDEX: dict[str, Any] = {
    "gather": lambda x, i: x.gather(1, i),
    "scatter": lambda x, i: x.scatter(1, i, x * 2),
    "scatter_add": lambda x, i: x.scatter_add(0, i % 2, x),
    "take_along_dim": lambda x, i: x.take_along_dim(i, 1),
    "topk": lambda x, i: x.topk(2).values,
    "kthvalue": lambda x, i: x.kthvalue(2).values,
    "median": lambda x, i: x.median(1).values,
    "mode": lambda x, i: x.mode(1).values,
    "max": lambda x, i: x.max(1).values,
    "cummax": lambda x, i: x.cummax(1).values,
    "unique": lambda x, i: x.unique(dim=0),
    "unfold": lambda x, i: x.unfold(1, 2, 1),
    "as_strided": lambda x, i: x.expand(2, 2, 3).as_strided((2, 2), (1, 1), 1),
    "as_strided_scatter": lambda x, i: x.as_strided_scatter(x[:, :2] * 1, (2, 2), (1, 1), 1),
    "repeat_interleave": lambda x, i: x.repeat_interleave(i[0], 1),
    "one_hot": lambda x, i: gg.nn.functional.one_hot(i, 4),
    "tril": lambda x, i: x.tril(-1),
    "triu": lambda x, i: x.triu(1),
    "flag": lambda x, i: x[True],
}


@pytest.mark.parametrize("name", BY_INDEX)
def test_nothing_is_uploaded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, index = matrix(), gg.tensor(INDEX)
    positions(x.backend, 1)

    def upload(array: Any) -> Any:
        raise AssertionError(f"{name} uploads an array of shape {array.shape}")

    monkeypatch.setattr(x.backend, "from_numpy", upload)
    y = BY_INDEX[name](x, index)
    if y.requires_grad:
        y.backward(y.detach())


@pytest.mark.parametrize("n", [0, 1, 5, (1 << 17) + 3])
def test_positions(n: int) -> None:
    assert np.array_equal(positions(gg.zeros(1).backend, n), np.arange(n))


def test_positions_are_to_read_only() -> None:
    backend = gg.zeros(1).backend
    with pytest.raises(ValueError, match="read-only"):
        positions(backend, 3)[0] = 7
    index = gg.tensor(3.0).cummax(0).indices
    index += 1
    assert positions(backend, 1).tolist() == [0], "a result looks into what all share"


def test_nothing_waits_for_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where values are not at hand, as on CUDA, sizes that are given are believed."""
    x, times = gg.arange(3), gg.tensor([2, 0, 1])

    def download(array: Any) -> Any:
        raise AssertionError(f"an array of shape {array.shape} is waited for")

    with monkeypatch.context() as patch:
        patch.setattr(x.backend, "synchronous", False)
        patch.setattr(x.backend, "to_numpy", download)
        found = [
            gg.nn.functional.one_hot(x, 3),
            x.repeat_interleave(times, output_size=3),
            gg.repeat_interleave(times, output_size=3),
            x[True],
            x[False, 1:],
        ]
    wanted = [np.eye(3).tolist(), [0, 0, 2], [0, 0, 2], [[0, 1, 2]], []]
    assert [y.tolist() for y in found] == wanted
    assert found[4].shape == (0, 2)


def test_sizes_are_checked_where_values_are_at_hand() -> None:
    x, times = gg.arange(3), gg.tensor([2, 0, 1])
    with pytest.raises(IndexOutOfRangeError, match="one_hot: class 2 is not one of 2 classes"):
        gg.nn.functional.one_hot(x, 2)
    for call in (
        lambda n: x.repeat_interleave(times, output_size=n),
        lambda n: gg.repeat_interleave(times, output_size=n),
    ):
        with pytest.raises(ArgumentError, match="output_size is 4, but the result has 3"):
            call(4)


@pytest.mark.parametrize("diagonal", [-4, -1, 0, 2, 9])
def test_triangles(diagonal: int) -> None:
    for shape in [(3, 5), (2, 4, 3), (0, 3), (3, 0)]:
        a = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
        assert np.array_equal(gg.tensor(a).tril(diagonal).numpy(), np.tril(a, diagonal))
        assert np.array_equal(gg.tensor(a).triu(diagonal).numpy(), np.triu(a, diagonal))
