"""Indexing: reading, writing, gradients, errors. NumPy judges what it agrees on with PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.errors import (
    DTypeError,
    GraphError,
    IndexOutOfRangeError,
    ShapeError,
)

SHAPE = (3, 4, 5)
ROWS, COLUMNS = np.array([0, 2, 2, 1]), np.array([3, 0, 1, 1])
GRID = np.array([[0, 1], [2, 0]])
MASK = np.arange(60).reshape(SHAPE) % 3 == 0
ROW_MASK = np.array([True, False, True])

BASIC: list[Any] = [
    0,
    -1,
    np.int64(1),
    slice(1, None),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(-2, None),
    slice(5, 9),
    (0, 1, 2),
    (slice(None), 2),
    (Ellipsis, 1),
    (0, Ellipsis, -1),
    (None, 1, None, slice(1, 3)),
    (slice(None), None, Ellipsis, slice(3, 0, -1)),
    Ellipsis,
    (),
    None,
]
ADVANCED: list[Any] = [
    [0, 2, 2],
    ROWS,
    GRID,
    (slice(None), COLUMNS),
    (ROWS, COLUMNS),
    (slice(None), ROWS, COLUMNS),
    (ROWS, slice(None), COLUMNS),
    (ROWS, slice(1, 3), 0),
    (Ellipsis, GRID),
    (GRID, None, GRID),
    (ROWS[:, None], COLUMNS),
    (slice(1, None), [0, -1], slice(None, None, -2)),
    MASK,
    ROW_MASK,
    (slice(None), [True, False, False, True]),
    (ROW_MASK, COLUMNS[:2]),
    MASK[..., 0],
    np.zeros(0, np.int64),
    True,
    False,
    np.array(1),
]


def data() -> np.ndarray[Any, Any]:
    return np.arange(60, dtype=np.float64).reshape(SHAPE)


def in_tensors(index: Any) -> Any:
    """The same index with tensors in place of arrays."""
    if isinstance(index, tuple):
        return tuple([in_tensors(i) for i in index])
    return gg.tensor(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("index", BASIC + ADVANCED, ids=lambda i: repr(i)[:40].replace("\n", ""))
@pytest.mark.parametrize("convert", [lambda i: i, in_tensors], ids=["arrays", "tensors"])
def test_reads_what_numpy_reads_and_scatters_back(index: Any, convert: Any) -> None:
    x = gg.tensor(data(), requires_grad=True)
    expected = data()[index]
    y = x[convert(index)]
    assert y.shape == expected.shape and np.array_equal(y.detach().numpy(), expected)
    dy = np.random.default_rng(0).standard_normal(expected.shape)
    y.backward(gg.tensor(dy))
    dx = np.zeros(SHAPE)
    np.add.at(dx, index, dy)
    np.testing.assert_allclose(x.grad.numpy(), dx, atol=1e-12)


@pytest.mark.parametrize("index", BASIC + ADVANCED, ids=lambda i: repr(i)[:40].replace("\n", ""))
def test_writes_what_numpy_writes(index: Any) -> None:
    x, expected = gg.tensor(data()), data()
    x[index] = -1.5
    expected[index] = -1.5
    assert np.array_equal(x.numpy(), expected)
    shape = data()[index].shape
    new = np.random.default_rng(1).standard_normal(shape)
    x[in_tensors(index)] = gg.tensor(new)
    expected[index] = new
    assert np.array_equal(x.numpy(), expected) and x._version == 2


@pytest.mark.parametrize(
    "index", [1, (slice(None), [0, 2]), ([0, 2], slice(None), [1, 1]), MASK, (0, slice(0, 2))]
)
def test_second_gradients(index: Any) -> None:
    x = gg.tensor(data() / 60, requires_grad=True)
    assert gg.autograd.gradgradcheck(lambda x: x[index] ** 3, x, fast_mode=True)


def test_gradients_of_assignment() -> None:
    x = gg.tensor(data() / 60, requires_grad=True)
    v = gg.tensor(np.ones((4, 2)), requires_grad=True)

    def assign(x: gg.Tensor, v: gg.Tensor) -> gg.Tensor:
        y = x * 2
        y[1, :, 1:3] = v
        y[[0, 2], :, 0] = v[:, 0]
        y[y < 0.11] = 0
        return y * y

    assert gg.autograd.gradcheck(assign, [x, v])
    assert gg.autograd.gradgradcheck(assign, [x, v], fast_mode=True)


def test_basic_indices_are_views_and_advanced_ones_copies() -> None:
    x = gg.zeros(3, 4)
    x[1:, ::2].fill_(1)
    x[0][1] = 5
    assert x.tolist() == [[0, 5, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0]]
    x[[0, 1]].fill_(9)
    assert x.sum().item() == 9


def test_ints_beside_arrays_count_as_basic_as_in_pytorch() -> None:
    x = gg.tensor(data())
    assert x[0, :, gg.tensor([1, 2, 3])].shape == (4, 3)  # NumPy: (3, 4)


def test_assignment_from_itself_and_casts() -> None:
    x = gg.arange(5)
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3]
    x[0] = 2.9
    x[-2:] = [7, 8]
    assert x.tolist() == [2, 0, 1, 7, 8]
    x[x > 2] += 1
    assert x.tolist() == [2, 0, 1, 8, 9]


def test_augmented_assignment_with_history() -> None:
    w = gg.tensor([3.0], requires_grad=True)
    x = gg.ones(3)
    x[gg.tensor([0, 2])] *= w
    x.sum().backward()
    assert x.tolist() == [3, 1, 3] and w.grad is not None and w.grad.tolist() == [2]
    y = gg.ones(3)
    with pytest.raises(GraphError, match=r"a view that is part of a graph.*\n.*Index the base"):
        y[0] += w[0]


def test_errors() -> None:
    x = gg.zeros(3, 4)
    with pytest.raises(
        IndexOutOfRangeError, match="getitem: index 3 is out of range for axis 0 of l"
    ):
        x[3]
    with pytest.raises(
        IndexOutOfRangeError, match="index -5 is out of range for axis 1 of length 4"
    ):
        x[0, -5]
    with pytest.raises(IndexOutOfRangeError, match="3 indices for a tensor of 2 axes"):
        x[0, 0, 0]
    with pytest.raises(IndexOutOfRangeError, match="gather: index 7 is out of range for axis 0 of"):
        x[gg.tensor([0, 7])]
    with pytest.raises(
        IndexOutOfRangeError, match=r"a mask of shape \(2,\) does not fit axes 0 to 0"
    ):
        x[gg.tensor([True, False])]
    with pytest.raises(IndexOutOfRangeError, match="one Ellipsis"):
        x[..., ...]
    with pytest.raises(DTypeError, match=r"indices must be integers or bool; got .* float32"):
        x[gg.tensor([0.0])]
    with pytest.raises(DTypeError, match="got str"):
        x["a"]  # type: ignore[index]
    with pytest.raises(ShapeError, match=r"shapes \(2,\), \(3,\) do not broadcast"):
        x[[0, 1], [0, 1, 2]]
    with pytest.raises(ShapeError, match=r"a value of shape \(3,\) does not broadcast .* \(4,\)"):
        x[0] = gg.ones(3)


def test_bytes_are_no_index() -> None:
    x = gg.zeros(3)
    for index in (gg.tensor([1, 0, 1], dtype=gg.uint8), np.array([1, 0, 1], np.uint8)):
        with pytest.raises(
            DTypeError, match=r"a uint8 index could be .*\n.*index.bool\(\) is a mask"
        ):
            x[index]


# ---- by index along one axis -------------------------------------------------------


def test_gather_and_scatter() -> None:
    x = gg.tensor(data() / 60, requires_grad=True)
    index = np.random.default_rng(2).integers(0, 3, (2, 4, 5))
    i = gg.tensor(index)
    assert np.array_equal(
        x.gather(0, i).detach().numpy(), np.take_along_axis(data() / 60, index, 0)
    )
    v = gg.tensor(np.random.default_rng(3).standard_normal((2, 4, 5)), requires_grad=True)
    for function in (
        lambda x, v: x.gather(0, i) * v,
        lambda x, v: x.scatter_add(0, i, v) ** 2,
        lambda x, v: x.index_add(0, gg.tensor([2, 2]), v, alpha=3) ** 2,
        lambda x, v: x.index_select(0, gg.tensor([1, 1, 0])).sum(0) * v.sum(0),
        lambda x, v: gg.take_along_dim(x, i[:, :1], 0) * v.sum((0, 1)),
    ):
        assert gg.autograd.gradcheck(function, [x, v], fast_mode=True)
        assert gg.autograd.gradgradcheck(function, [x, v], fast_mode=True)


def test_duplicates_are_added_in_order() -> None:
    x = gg.zeros(2).index_add(0, gg.tensor([1, 1, 0, 1]), gg.tensor([1.0, 2.0, 4.0, 8.0]))
    assert x.tolist() == [4, 11]
    y = gg.zeros(2).scatter(0, gg.tensor([1, 1]), gg.tensor([1.0, 2.0]))
    assert y.tolist() == [0, 2], "the last of duplicates stays"


def test_masks() -> None:
    x = gg.tensor(data())
    m = gg.tensor(MASK)
    assert x.masked_select(m).tolist() == data()[MASK].tolist()
    assert np.array_equal(m.nonzero().numpy(), np.argwhere(MASK))
    assert [i.shape for i in m.nonzero(as_tuple=True)] == [(20,)] * 3
    assert m.count_nonzero().item() == 20
    assert x.masked_fill(m, -1).masked_select(m).sum().item() == -20


def test_errors_of_picking() -> None:
    x = gg.zeros(3, 4)
    with pytest.raises(DTypeError, match="gather: index must be an int64 or int32 tensor"):
        x.gather(0, gg.zeros(3, 4))
    with pytest.raises(ShapeError, match=r"gather: index \(5, 5\) must have as many axes"):
        x.gather(0, gg.zeros(5, 5, dtype=gg.int64))
    with pytest.raises(IndexOutOfRangeError, match="gather: index 3 is out of range"):
        x.index_select(0, gg.tensor([3]))
    with pytest.raises(IndexOutOfRangeError, match="narrow: start 2 and length 2 leave axis 0"):
        x.narrow(0, 2, 2)
    with pytest.raises(ShapeError, match=r"index_add: source is \(2, 4\).* must be \(3, 4\)"):
        x.index_add(0, gg.tensor([0, 1, 2]), gg.zeros(2, 4))
