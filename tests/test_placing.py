"""Placing by index and mask: scatter, index_add and their kind, in and out of place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.errors import ArgumentError, DTypeError, GraphError, IndexOutOfRangeError, ShapeError


def test_index_add_of_scaled_bools() -> None:
    y = gg.index_add(gg.tensor([True, False]), 0, gg.tensor([1]), gg.tensor([True]), alpha=2)
    assert y.dtype == gg.bool and y.tolist() == [True, True]


def test_index_put_is_setitem_and_adds_in_order() -> None:
    x, i, j = gg.zeros(3, 4), gg.tensor([0, 2, 0]), gg.tensor([1, 1, 1])
    y = x.index_put((i, j), gg.tensor([1.0, 2.0, 4.0]), accumulate=True)
    assert y[:, 1].tolist() == [5, 0, 2] and x.sum().item() == 0
    assert x.index_put((i, j), gg.tensor([1.0, 2.0, 4.0]))[0, 1].item() == 4
    assert x.index_put_((None, j[:1]), gg.tensor(3.0)) is x and x.sum(0).tolist() == [0, 9, 0, 0]
    x.index_put_((gg.tensor([True, False, False]),), gg.tensor([1.0]), accumulate=True)
    assert x.sum(1).tolist() == [7, 3, 3]
    x.index_put_((None,), gg.ones(4), accumulate=True)
    assert x.sum(1).tolist() == [11, 7, 7]


IN_PLACE: dict[str, Any] = {
    "index_add": (1, gg.tensor([0, 0]), gg.ones(2, 2)),
    "index_copy": (1, gg.tensor([2, 0]), gg.ones(2, 2)),
    "index_fill": (1, gg.tensor([2, 0]), 7.0),
    "index_reduce": (1, gg.tensor([2, 2]), gg.ones(2, 2), "mean"),
    "index_put": ((gg.tensor([1]), gg.tensor([2])), gg.tensor([9.0])),
    "put": (gg.tensor([5, -6]), gg.tensor([9.0, 8.0])),
    "masked_scatter": (gg.tensor([True, False, True]), gg.arange(4.0)),
    "scatter": (1, gg.tensor([[0, 1], [2, 2]]), gg.ones(2, 2)),
    "scatter_add": (1, gg.tensor([[0, 1], [2, 2]]), gg.ones(2, 2)),
    "scatter_reduce": (1, gg.tensor([[0, 1], [2, 2]]), gg.ones(2, 2), "amin"),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_forms_write_what_the_others_give(name: str) -> None:
    w = gg.arange(6.0).reshape(2, 3).requires_grad_()
    expected = getattr(w * 2, name)(*IN_PLACE[name])
    x = w * 2
    assert getattr(x, name + "_")(*IN_PLACE[name]) is x
    assert x.tolist() == expected.tolist()
    dy = gg.arange(6.0).reshape(2, 3) + 1
    (first,) = gg.autograd.grad(expected, w, dy)
    (second,) = gg.autograd.grad(x, w, dy)
    assert first.tolist() == second.tolist()


def test_in_place_forms_of_0d_views_and_overlaps() -> None:
    x, i = gg.zeros(()), gg.tensor(0)
    x.index_add_(0, i, gg.tensor(2.0), alpha=3).scatter_add_(0, i, gg.tensor(1.0))
    assert x.item() == 7 and x.scatter_(0, i, 4.0).index_copy_(0, i, x * 2).item() == 8
    y = gg.zeros(4, 3).t()[1:]
    y.index_add_(1, gg.tensor([3, 0, 3]), gg.ones(2, 3))
    assert y.tolist() == [[1, 0, 0, 2]] * 2
    z = gg.arange(3.0)
    z.index_copy_(0, gg.tensor([2, 1, 0]), z)  # what it reads, it writes
    assert z.tolist() == [2, 1, 0]
    w = gg.ones(2, requires_grad=True)
    for place in ("index_add_", "index_copy_"):
        with pytest.raises(GraphError, match=f"{place}: a leaf tensor that requires a gradient"):
            getattr(w, place)(0, gg.tensor([0]), gg.ones(1))


@pytest.mark.parametrize("name", sorted(set(IN_PLACE) - {"index_put", "scatter"}))
def test_placing_of_any_dtype(name: str) -> None:
    """Whole numbers come out the same in every dtype that has them."""
    dtypes = [gg.float16, gg.bfloat16, gg.float64, gg.int8, gg.uint8, gg.int16, gg.int32, gg.int64]
    dim, *given = IN_PLACE[name]
    x = gg.arange(6.0).reshape(2, 3)
    expected = getattr(x, name)(dim, *given).floor()
    for dtype in dtypes:
        cast = [
            v.to(dtype) if isinstance(v, gg.Tensor) and v.dtype == x.dtype else v for v in given
        ]
        y = getattr(x.to(dtype), name)(dim, *cast)
        assert y.dtype == dtype and y.double().floor().tolist() == expected.tolist(), dtype


def test_scatter_of_numbers_and_products() -> None:
    x, i = gg.ones(2, 3) * 3, gg.tensor([[0, 0, 2]])
    assert x.scatter(0, i[:, :2], 5.0).tolist() == [[5, 5, 3], [3, 3, 3]]
    assert x.scatter(1, i, value=5.0)[0].tolist() == [5, 3, 5]
    assert x.scatter(1, i, 2.0, reduce="multiply")[0].tolist() == [12, 3, 6]
    assert x.scatter(1, i, gg.ones(1, 3), reduce="add")[0].tolist() == [5, 3, 4]


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("alone", [False, True], ids=["with", "alone"])
def test_scatter_reduce_of_infinities(reduce: str, alone: bool) -> None:
    """What does not take part leaves no trace: infinity times 0 is not formed."""
    x = gg.tensor([np.inf, -np.inf, 2.0])
    y = x.scatter_reduce(0, gg.tensor([0, 1]), gg.ones(2), reduce, include_self=not alone)
    if alone:
        assert y.tolist() == [1, 1, 2]
    else:
        low, high = reduce == "amin", reduce == "amax"
        assert y.tolist() == [1 if low else np.inf, 1 if high else -np.inf, 2]


def test_products_of_zeros_have_second_gradients() -> None:
    """A place with one 0, with two, with none; x's element counted and not."""
    x = gg.tensor([0.0, 0.0, 2.0, 3.0], dtype=gg.float64, requires_grad=True)
    v = gg.tensor([2.0, 0.0, 3.0, 5.0, 0.0], dtype=gg.float64, requires_grad=True)
    i = gg.tensor([0, 1, 1, 2, 3])
    for include in (True, False):

        def product(x: gg.Tensor, v: gg.Tensor, include: bool = include) -> gg.Tensor:
            return x.scatter_reduce(0, i, v, "prod", include_self=include)

        assert gg.autograd.gradcheck(product, [x, v])
        assert gg.autograd.gradgradcheck(product, [x, v])


def test_equal_extremes_share_the_gradient() -> None:
    x = gg.tensor([1.0, 5.0], requires_grad=True)
    v = gg.tensor([1.0, 1.0, 0.0], requires_grad=True)
    x.scatter_reduce(0, gg.tensor([0, 0, 0]), v, "amax").sum().backward()
    assert x.grad is not None and v.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [1 / 3, 1], rtol=1e-6)
    np.testing.assert_allclose(v.grad.numpy(), [1 / 3, 1 / 3, 0], rtol=1e-6)


def test_expanded_tensors_are_not_written() -> None:
    x = gg.zeros(3).unsqueeze(1).expand(3, 2)
    for write in (
        lambda: x.add_(1),
        lambda: x.copy_(gg.ones(2)),
        lambda: x.__setitem__(0, 1.0),
        lambda: x.scatter_(1, gg.tensor([[0]]), 1.0),
    ):
        with pytest.raises(ShapeError, match=r"share memory \(it was expanded\).*\n.*clone"):
            write()
    x[1:2, :1] = 5  # a part whose elements lie apart
    assert x.sum().item() == 10


PLACING_ERRORS: dict[str, tuple[Any, type, str]] = {
    "sparse": (
        lambda x, i: x.gather(0, i, sparse_grad=True),
        ArgumentError,
        "gather: gradients are dense; leave sparse_grad out",
    ),
    "index_put_dtype": (
        lambda x, i: x.index_put((i[0],), x.double()[:2]),
        DTypeError,
        "index_put: values are float64, input float32",
    ),
    "put": (lambda x, i: x.put(i, x[0]), ShapeError, r"put: source \(4,\) .* the 2 elements"),
    "index_copy": (
        lambda x, i: x.index_copy(0, i[0], x),
        ShapeError,
        r"index_copy: source is \(3, 4\) .* must be \(2, 4\) float32",
    ),
    "index_fill": (
        lambda x, i: x.index_fill(0, i, 0),
        ShapeError,
        r"index_fill: index must be a vector, got \(1, 2\)",
    ),
    "index_fill_range": (
        lambda x, i: x.index_fill(0, i[0] + 9, 0),
        IndexOutOfRangeError,
        "index 9 is out of range for axis 0 of length 3",
    ),
    "reduce": (
        lambda x, i: x.scatter_reduce(0, i, x, "max"),
        ArgumentError,
        "reduce must be one of sum, prod, mean, amax, amin; got 'max'",
    ),
    "index_reduce": (
        lambda x, i: x.index_reduce(0, i[0], x[:2], "sum"),
        ArgumentError,
        "index_reduce: reduce must be one of prod, mean, amax, amin",
    ),
    "scatter_both": (
        lambda x, i: x.scatter(0, i, x, value=1.0),
        ArgumentError,
        "scatter: give either src or value",
    ),
    "scatter_dtype": (
        lambda x, i: x.scatter(0, i, x.double()),
        DTypeError,
        "scatter: src is float64, input float32",
    ),
    "masked_scatter": (
        lambda x, i: x.masked_scatter(x == 0, gg.zeros(5)),
        ShapeError,
        r"source \(5,\) has 5 elements; the mask is True at 12",
    ),
    "take_along_dim": (
        lambda x, i: gg.take_along_dim(x, i, 0),
        ShapeError,
        r"indices \(1, 2\) and input \(3, 4\) do not broadcast outside axis 0",
    ),
}


@pytest.mark.parametrize("name", PLACING_ERRORS)
def test_errors_of_placing(name: str) -> None:
    call, error, text = PLACING_ERRORS[name]
    with pytest.raises(error, match=text):
        call(gg.zeros(3, 4), gg.tensor([[0, 1]]))
