"""Views: which memory they look into, what changes in place are seen, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.errors import ArgumentError, DTypeError, GraphError, IndexOutOfRangeError, ShapeError

VIEWS: dict[str, Any] = {
    "as_strided": lambda x: x.as_strided((2, 2), (4, 2), 1),
    "diagonal": lambda x: x.diagonal(1),
    "unfold": lambda x: x.unfold(1, 2, 2),
    "H": lambda x: x.H,
    "mH": lambda x: x.mH,
    "adjoint": lambda x: x.adjoint(),
    "ravel": lambda x: x.ravel(),
    "unflatten": lambda x: x.unflatten(1, (2, 2)),
    "expand": lambda x: x[:, :1].expand(3, 4),
    "tensor_split": lambda x: x.tensor_split(3, 1)[1],
    "hsplit": lambda x: x.hsplit(2)[1],
    "vsplit": lambda x: x.vsplit(3)[1],
    "dsplit": lambda x: x.reshape(3, 2, 2).dsplit(2)[1],
    "split_with_sizes": lambda x: x.split_with_sizes([1, 2])[1],
    "unbind": lambda x: x.unbind(1)[3],
    "chunk": lambda x: x.chunk(2)[0],
    "narrow": lambda x: x.narrow(0, gg.tensor(1), 2),
    "select": lambda x: x.select(1, -1),
    "atleast_3d": gg.atleast_3d,
    "meshgrid": lambda x: gg.meshgrid(x[0], x[1])[0],
    "broadcast_tensors": lambda x: gg.broadcast_tensors(x, gg.zeros(2, 3, 4))[0],
    "squeeze": lambda x: x.unsqueeze(0).squeeze((0, 1)),
}
COPIES: dict[str, Any] = {
    "repeat": lambda x: x.repeat(1, 1),
    "repeat_of_one": lambda x: x[:1].repeat(3, 1),
    "tile_once": lambda x: x.tile(1),
    "repeat_interleave": lambda x: x.repeat_interleave(1, 0),
    "repeat_interleave_of_one": lambda x: x[:1].repeat_interleave(3, 0),
    "diag": lambda x: x.diag(),
    "narrow_copy": lambda x: x.narrow_copy(0, 0, 1),
    "roll": lambda x: x.roll(0),
    "rot90": lambda x: x.rot90(0),
    "flip": lambda x: x.flip(()),
    "tile": lambda x: x.tile(1, 2),
    "take": lambda x: x.take(gg.tensor([0])),
    "diagonal_scatter": lambda x: x.diagonal_scatter(gg.zeros(3)),
    "select_scatter": lambda x: x.select_scatter(gg.zeros(4), 0, 0),
}


def matrix() -> gg.Tensor:
    return gg.arange(12, dtype=gg.float64).reshape(3, 4)


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_memory_and_versions(name: str) -> None:
    x = matrix()
    y = VIEWS[name](x)
    before = x._version
    assert np.shares_memory(x.numpy(), y.numpy()) and y._version == before
    x.mul_(2)
    assert np.array_equal(y.numpy(), VIEWS[name](x).numpy()), "a change of the base is not seen"
    assert y._version == before + 1, "autograd would not notice"


@pytest.mark.parametrize("name", COPIES)
def test_copies_do_not(name: str) -> None:
    x = matrix()
    assert not np.shares_memory(x.numpy(), COPIES[name](x).numpy())


@pytest.mark.parametrize("name", ["diagonal", "as_strided", "unfold", "hsplit"])
def test_changes_through_a_view_reach_the_base(name: str) -> None:
    x = matrix()
    VIEWS[name](x).fill_(-1)
    assert int((x == -1).sum().item()) == VIEWS[name](x).numel()


def test_a_saved_base_changed_through_a_view_is_noticed() -> None:
    w = gg.ones(3, 4, dtype=gg.float64, requires_grad=True)
    x = matrix()
    y = (w * x).sum()
    x.diagonal().fill_(7)
    with pytest.raises(GraphError, match="a tensor saved in forward was changed in place since"):
        y.backward()


@pytest.mark.parametrize("name", ["as_strided", "diagonal", "unfold"])
def test_second_gradients_of_views(name: str) -> None:
    x = (matrix() / 12).requires_grad_()
    view = VIEWS[name]
    assert gg.autograd.gradcheck(lambda x: view(x * 1) ** 3, x)
    assert gg.autograd.gradgradcheck(lambda x: view(x * 1) ** 3, x)


def test_as_strided_of_overlapping_memory() -> None:
    """Elements of one cell share its gradient, so that steps in it move the cell by its sum."""
    x = gg.ones(1, dtype=gg.float64).expand(4).requires_grad_()
    x.as_strided((1,), (1,), 0).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0.25] * 4
    y = gg.arange(4.0, dtype=gg.float64).requires_grad_()
    y.as_strided((3, 2), (1, 1), 0).sum().backward()
    assert y.grad is not None and y.grad.tolist() == [1, 2, 2, 1]


def test_as_strided_scatter() -> None:
    x = (matrix() / 12).requires_grad_()
    v = gg.ones(2, 2, dtype=gg.float64, requires_grad=True)
    y = x.as_strided_scatter(v, (2, 2), (4, 1), 1)
    assert y.reshape(-1)[[1, 2, 5, 6]].tolist() == [1, 1, 1, 1]
    assert gg.autograd.gradcheck(lambda x, v: x.as_strided_scatter(v, (2, 2), (4, 1), 1), [x, v])


def test_where_a_tensor_lies() -> None:
    x = gg.zeros(3, 4)
    assert x.storage_offset() == 0 and x[1, 2:].storage_offset() == 6
    assert x[1].data_ptr() - x.data_ptr() == 16
    assert x.t()[1:].as_strided((2,), (1,)).storage_offset() == 1
    assert x.ndimension() == 2 and x.is_same_size(gg.ones(3, 4))
    y = gg.empty_strided((2, 3), (1, 2))
    assert y.stride() == (1, 2) and y.new_empty_strided((2,), (5,)).stride() == (5,)


def test_the_shape_changes_in_place() -> None:
    x = gg.ones(1, 3, 2, requires_grad=True)
    y = x * 2
    z = y.squeeze_(0).t_().unsqueeze_(1).transpose_(0, 2).swapaxes_(0, 1)
    assert z is y and y.shape == (1, 3, 2)
    (y * gg.arange(6.0).reshape(1, 3, 2)).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[[0, 2], [4, 6], [8, 10]]]
    with pytest.raises(GraphError, match="squeeze_: a leaf tensor that requires a gradient"):
        x.squeeze_()


def test_saved_shapes_changed_in_place_are_noticed() -> None:
    x = gg.ones(1, 3, requires_grad=True)
    y = x * 2
    z = (y * y).sum()
    y.squeeze_()
    with pytest.raises(GraphError, match=r"changed in place since \(last by squeeze_\)"):
        z.backward()


def test_fill_diagonal() -> None:
    for wrap in (False, True):
        x, expected = gg.zeros(7, 3), np.zeros((7, 3))
        np.fill_diagonal(expected, 2, wrap=wrap)
        assert x.fill_diagonal_(2, wrap) is x and x.tolist() == expected.tolist()
    assert gg.zeros(2, 2, 2).fill_diagonal_(1).sum().item() == 2
    w = gg.ones(2, 2, requires_grad=True)
    (w * 1).fill_diagonal_(0).sum().backward()
    assert w.grad is not None and w.grad.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("cuts", [3, (1, 3), (-3, 2), (0, 9)])
def test_parts_in_order_are_one_node(cuts: Any) -> None:
    """Its backward puts the gradients together once, not once for each part."""
    x = matrix().requires_grad_()
    parts = x.tensor_split(cuts, 1)
    for found, wanted in zip(parts, np.array_split(x.detach().numpy(), cuts, 1), strict=True):
        assert np.array_equal(found.detach().numpy(), wanted)
    assert len({id(getattr(part.grad_fn, "parent", part)) for part in parts}) == 1
    gg.cat([k * part for k, part in enumerate(parts)], 1).sum().backward()
    lengths = [part.shape[1] for part in parts]
    assert (
        x.grad is not None and x.grad[2].tolist() == np.repeat(range(len(parts)), lengths).tolist()
    )


def test_parts_that_overlap() -> None:
    x = matrix().requires_grad_()
    parts = x.tensor_split((3, 1), 1)
    assert [part.shape[1] for part in parts] == [3, 0, 3]
    gg.cat(parts, 1).sum().backward()
    assert x.grad is not None and x.grad[0].tolist() == [1, 2, 2, 1]


def test_repeat_interleave_of_a_vector_is_positions() -> None:
    assert gg.repeat_interleave(gg.tensor([2, 0, 3])).tolist() == [0, 0, 2, 2, 2]


ERRORS: dict[str, tuple[Any, type, str]] = {
    "as_strided_bounds": (
        lambda x: x.as_strided((4,), (4,)),
        ShapeError,
        r"as_strided: size \(4,\), stride \(4,\) and storage_offset 0 reach element 12 of a memory",
    ),
    "as_strided_negative": (
        lambda x: x.as_strided((2,), (-1,), 3),
        ArgumentError,
        "must not be negative",
    ),
    "diagonal_axes": (lambda x: x.diagonal(0, 1, 1), ShapeError, "two different axes are needed"),
    "diagonal_scatter": (
        lambda x: x.diagonal_scatter(gg.zeros(4)),
        ShapeError,
        r"src is \(4,\) float32 on cpu; the diagonal has shape \(3,\)",
    ),
    "select_scatter": (
        lambda x: x.select_scatter(gg.zeros(3), 0, 0),
        ShapeError,
        r"select_scatter: src must be a tensor of shape \(4,\), got \(3,\) float32 on cpu",
    ),
    "unfold_size": (lambda x: x.unfold(0, 4, 1), ArgumentError, "size 4 must be 0 to 3"),
    "unfold_step": (lambda x: x.unfold(0, 2, 0), ArgumentError, "step must be at least 1, got 0"),
    "H": (lambda x: x.reshape(3, 2, 2).H, ShapeError, "H: a matrix is needed.*Use .mH or .mT"),
    "resize_": (lambda x: x.resize_(2), ArgumentError, r"(?s)resize_: .*Use x = x.reshape"),
    "set_": (lambda x: x.set_(x), ArgumentError, r"(?s)set_: .*source.as_strided"),
    "fill_diagonal_": (
        lambda x: x.unsqueeze(0).fill_diagonal_(0),
        ShapeError,
        "a matrix, or several axes of one length",
    ),
    "hsplit": (
        lambda x: x.hsplit(3),
        ArgumentError,
        "hsplit: axis 1 of length 4 is not divisible into 3 parts",
    ),
    "dsplit": (lambda x: x.dsplit(2), ShapeError, "dsplit: at least 3 axes are needed"),
    "tensor_split": (lambda x: x.tensor_split(0), ArgumentError, "sections must be at least 1"),
    "meshgrid": (lambda x: gg.meshgrid(x), ShapeError, "meshgrid: vectors are needed"),
    "meshgrid_dtype": (
        lambda x: gg.meshgrid(x[0], x[0].int()),
        DTypeError,
        "meshgrid: one dtype and device are needed",
    ),
    "rot90": (lambda x: x.rot90(1, (0, 2)), IndexOutOfRangeError, "rot90: dim 2 is out of range"),
    "rot90_same": (lambda x: x.rot90(1, (0, -2)), ShapeError, "two different axes are needed"),
    "combinations": (lambda x: gg.combinations(x), ShapeError, "combinations: a vector is needed"),
    "roll": (lambda x: x.roll((1, 2)), ArgumentError, "roll: 2 shifts for 0 dims"),
    "repeat_interleave": (
        lambda x: x.repeat_interleave(gg.tensor([1, 2]), 0),
        ShapeError,
        r"repeats \(2,\) must be one number, or a vector of 3 for axis 0",
    ),
    "repeat_interleave_size": (
        lambda x: x.repeat_interleave(2, 0, output_size=5),
        ArgumentError,
        "output_size is 5, but the result has 6",
    ),
    "broadcast_shapes": (
        lambda x: gg.broadcast_shapes((2, 3), (4,)),
        ShapeError,
        r"broadcast_shapes: \(2, 3\), \(4,\) do not broadcast",
    ),
    "narrow": (lambda x: x.narrow(0, gg.tensor(0.5), 1), DTypeError, "start must be an integer"),
    "unflatten": (lambda x: x.unflatten(1, (3, -1)), ShapeError, "axis 1 of length 4 is not"),
    "empty_strided": (
        lambda x: gg.empty_strided((2,), (1, 1)),
        ShapeError,
        r"empty_strided: size \(2,\) and stride \(1, 1\) need one length",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    call, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        call(gg.zeros(3, 4))


def test_the_axis_of_a_0d_tensor_moves_nowhere() -> None:
    x = gg.tensor(1.0)
    y = x.movedim(0, -1)
    assert y.shape == () and y.data_ptr() == x.data_ptr()
