"""Tensors: creation, conversion, printing, arithmetic in both orders, dtypes, views, errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    GraphError,
    IndexOutOfRangeError,
    ShapeError,
)
from gpugrad.nn import functional as F

# ---- creation ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        ([1.0, 2.0], gg.float32),
        ([1, 2.5], gg.float32),
        ([1, 2], gg.int64),
        ([True, False], gg.bool),
        (3, gg.int64),
        (2.5, gg.float32),
        (np.float64([1]), gg.float64),
        (np.int32([1]), gg.int32),
        (np.float16(1), gg.float16),
        ([], gg.float32),
        ([[1], [2]], gg.int64),
        ([0] * 64 + [0.5], gg.float32),
        ([[0]] * 64 + [[0.5]], gg.float32),
        ([0] * 65, gg.int64),
    ],
)
def test_dtype_of_data(data: Any, dtype: Any) -> None:
    x = gg.tensor(data)
    assert x.dtype == dtype and x.shape == np.shape(data) and x.is_leaf


def test_tensor_copies_and_from_numpy_shares() -> None:
    a = np.ones(3, np.float32)
    copied, shared, viewed = gg.tensor(a), gg.from_numpy(a), gg.as_tensor(a)
    a[0] = 5
    assert copied.tolist() == [1, 1, 1]
    assert shared.tolist() == viewed.tolist() == [5, 1, 1]
    assert shared.numpy() is a and gg.as_tensor(shared) is shared
    x = gg.tensor(copied)
    x.zero_()
    assert copied.tolist() == [1, 1, 1]


def test_what_cannot_be_a_tensor() -> None:
    with pytest.raises(ShapeError, match="nested lists must all have the same length"):
        gg.tensor([[1, 2], [3]])
    with pytest.raises(DTypeError, match="complex128 is not supported; legal are bool, uint8"):
        gg.tensor(np.ones(2, complex))
    with pytest.raises(DTypeError, match="not supported"):
        gg.tensor(["a"])
    with pytest.raises(DTypeError, match="from_numpy: needs a NumPy array, got list"):
        gg.from_numpy([1])  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="sizes must not be negative"):
        gg.zeros(2, -1)
    for make in (gg.zeros, gg.ones, gg.empty, gg.rand, gg.randn):
        for wrong in (2.5, (2.0, 3), "2"):
            with pytest.raises(DTypeError, match=f"{make.__name__}: sizes must be integers, got"):
                make(wrong)
        with pytest.raises(ArgumentError, match=f"{make.__name__}: sizes are given twice"):
            make(2, size=3)
        assert make(size=(2, 3)).shape == make(np.array([2, 3])).shape == (2, 3)
        assert make(size=2).shape == make(gg.tensor(2)).shape == make(np.int64(2)).shape == (2,)
    with pytest.raises(DTypeError, match="eye: sizes must be integers"):
        gg.eye(2.5)  # type: ignore[arg-type]
    for arguments in ([[1, 2]], [np.ones(2)], [2, 3]):
        with pytest.raises(TypeError, match=r"raw array and its backend.\n.*gg.tensor\(...\)"):
            gg.Tensor(*arguments)
    with pytest.raises(AttributeError, match=r"is on cpu, not on a GPU.\n.*\.cuda\(\)"):
        _ = gg.ones(2).__cuda_array_interface__
    assert not hasattr(gg.ones(2), "__cuda_array_interface__")


def test_reshape_takes_its_sizes_once() -> None:
    x = gg.ones(6)
    assert x.reshape(shape=(3, 2)).shape == x.reshape(3, 2).shape == (3, 2)
    with pytest.raises(ArgumentError, match="reshape: sizes are given twice"):
        x.reshape(2, 3, shape=(3, 2))


def test_filled_and_ranges() -> None:
    assert gg.zeros(2, 3).shape == gg.ones((2, 3)).shape == gg.empty([2, 3]).shape == (2, 3)
    assert gg.full((2,), 7).dtype == gg.int64 and gg.full((2,), True).dtype == gg.bool
    assert gg.full((2,), 0.5).tolist() == [0.5, 0.5]
    x = gg.ones(2, dtype=gg.float16, requires_grad=True)
    assert gg.zeros_like(x).dtype == gg.float16 and not gg.zeros_like(x).requires_grad
    assert gg.arange(4).tolist() == [0, 1, 2, 3] and gg.arange(5, 1, -2).tolist() == [5, 3]
    assert gg.arange(0, 1, 0.25).tolist() == [0, 0.25, 0.5, 0.75]
    assert gg.arange(3.0).dtype == gg.float32 and gg.arange(3, dtype=gg.float16).dtype == gg.float16
    assert gg.linspace(0, 1, 5).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert gg.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert gg.one_hot(gg.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    with pytest.raises(IndexOutOfRangeError, match="class 3 is not one of 3 classes"):
        gg.one_hot(gg.tensor([3]), 3)
    with pytest.raises(ArgumentError, match="step 1 does not lead from 3 to 1"):
        gg.arange(3, 1)


# ---- values ------------------------------------------------------------------------


def test_python_values() -> None:
    x = gg.tensor([2.5])
    assert (float(x), int(x), bool(x), x.item()) == (2.5, 2, True, 2.5)
    assert gg.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert len(gg.zeros(3, 2)) == 3 and [v.item() for v in gg.arange(3)] == [0, 1, 2]
    assert 2 in gg.arange(3) and 5 not in gg.arange(3)
    assert [10, 20, 30][gg.tensor(1)] == 20
    assert gg.tensor(1.5, dtype=gg.bfloat16).item() == 1.5
    with pytest.raises(ShapeError, match=r"item\(\): a tensor of shape \(2,\) has 2 elements"):
        gg.ones(2).item()
    with pytest.raises(ShapeError, match=r"bool\(\): only .* shape \(2,\).\n  Use any\(\) or all"):
        bool(gg.ones(2))
    with pytest.raises(ShapeError, match="0-d"):
        len(gg.tensor(1))
    with pytest.raises(DTypeError, match="only integer tensors can be an index"):
        [1][gg.tensor(0.0)]


def test_numpy_both_ways() -> None:
    x = gg.ones(2, requires_grad=True)
    with pytest.raises(GraphError, match=r"Use detach\(\).numpy\(\)"):
        x.numpy()
    with pytest.raises(GraphError, match="detach"):
        np.asarray(x)
    y = x.detach()
    assert np.asarray(y) is y.array and np.array(y) is not y.array
    assert np.asarray(y, np.float64).dtype == np.float64


def test_dlpack() -> None:
    a = np.arange(6.0).reshape(2, 3)
    x = gg.from_dlpack(a)
    assert x.tolist() == a.tolist()
    a[0, 0] = 9
    assert x[0, 0].item() == 9
    back = np.from_dlpack(x)  # type: ignore[arg-type]
    assert back.tolist() == a.tolist() and x.__dlpack_device__() == (1, 0)
    with pytest.raises(GraphError, match="requires a gradient"):
        np.from_dlpack(gg.ones(1, requires_grad=True))  # type: ignore[arg-type]
    assert not hasattr(x, "__cuda_array_interface__")


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (gg.tensor([1.0, 2.5]), "tensor([1.0000, 2.5000])"),
        (gg.tensor([1, 2]), "tensor([1, 2])"),
        (gg.tensor([True]), "tensor([True])"),
        (gg.tensor(1.5), "tensor(1.5000)"),
        (gg.tensor([1.0], dtype=gg.float16), "tensor([1.], dtype=float16)"),
        (gg.tensor([1.0], dtype=gg.bfloat16), "tensor([1.], dtype=bfloat16)"),
        (gg.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
        (gg.tensor([1.0], requires_grad=True).exp() * 0, "tensor([0.], grad_fn=<Mul>)"),
        (gg.zeros(0, 3), "tensor([], size=(0, 3))"),
    ],
)
def test_repr(x: gg.Tensor, text: str) -> None:
    assert repr(x) == text
    assert f"{gg.tensor(0.5):.2f}" == "0.50"


def test_copies() -> None:
    x = gg.tensor([1.0, 2.0], requires_grad=True)
    (x * 2).sum().backward()
    y = copy.deepcopy(x)
    assert y.requires_grad and y.grad is not None and y.grad.tolist() == [2, 2]
    assert y.array is not x.array and y.grad.array is not x.grad.array  # type: ignore[union-attr]
    with pytest.raises(GraphError, match="only leaf tensors"):
        copy.deepcopy(x * 1)


def test_identity_is_the_hash() -> None:
    a, b = gg.ones(1), gg.ones(1)
    assert len({a, b}) == 2 and (a == b).item() is True and hash(a) == id(a)
    assert (a == "x") is False and (a != None) is True  # noqa: E711


# ---- arithmetic --------------------------------------------------------------------


def test_both_orders_with_numbers_and_arrays() -> None:
    x = gg.tensor([2.0, 4.0])
    assert (8 / x).tolist() == [4, 2] and (1 - x).tolist() == [-1, -3]
    assert (2**x).tolist() == [4, 16] and (9 // x).tolist() == [4, 2] and (9 % x).tolist() == [1, 1]
    for a in (np.float32([1, 2]), np.float32(3)):
        for y in (a + x, x + a):
            assert isinstance(y, gg.Tensor) and y.dtype == gg.float32
            assert y.tolist() == (a + np.float32([2, 4])).tolist()
    with pytest.raises(TypeError):
        x + "one"  # type: ignore[operator]
    with pytest.raises(TypeError):
        [1, 2] + x  # type: ignore[operator]  # noqa: RUF005
    with pytest.raises(DTypeError, match="add: operands are tensors, numbers or NumPy arrays"):
        gg.add(x, "one")


def test_promotion() -> None:
    i, f, h = gg.tensor([1, 2]), gg.tensor([1.5, 2.5]), gg.tensor([1.0], dtype=gg.float16)
    assert (
        (i + f).dtype == gg.float32 and (i + 1).dtype == gg.int64 and (i + 1.5).dtype == gg.float32
    )
    assert (
        (i / 2).dtype == gg.float32 and (i // 2).dtype == gg.int64 and (i * True).dtype == gg.int64
    )
    assert (h + 1.5).dtype == gg.float16 and (h + f).dtype == gg.float32
    assert (f + gg.tensor(1.0, dtype=gg.float64)).dtype == gg.float32, "0-d tensors do not widen"
    assert (h + gg.tensor([1.0], dtype=gg.bfloat16)).dtype == gg.float32
    assert i.exp().dtype == gg.float32 and i.sum().dtype == gg.int64 and (i > 1.5).dtype == gg.bool
    assert gg.tensor([200], dtype=gg.uint8).sum().item() == 200


def test_arithmetic_errors() -> None:
    with pytest.raises(
        ShapeError, match=r"add\(a, b\): shapes a \(2, 3\) and b \(2,\).*axis -1: 3 a"
    ):
        gg.ones(2, 3) + gg.ones(2)
    with pytest.raises(ShapeError, match="lt"):
        gg.ones(3).lt(gg.ones(2))
    with pytest.raises(DTypeError, match="sub: not defined for bool"):
        gg.tensor([True]) - gg.tensor([True])
    with pytest.raises(DTypeError, match="bitwise_and: needs integers or bool; got float32"):
        gg.ones(1) & gg.ones(1)
    with pytest.raises(ArgumentError, match="negative integer power -1"):
        gg.tensor([2]) ** -1
    with pytest.raises(DTypeError, match="add_: a float32 result cannot be stored in an int64"):
        gg.tensor([1]).add_(0.5)
    with pytest.raises(ShapeError, match=r"add_: the result has shape \(3, 2\)"):
        gg.ones(2).add_(gg.ones(3, 2))
    with pytest.raises(DTypeError, match=r"mean: needs a floating tensor; got \(1,\) int64 on cpu"):
        gg.tensor([1]).mean()


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_matmul_with_arrays(device: str) -> None:
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4) - 5
    x, y = gg.tensor(a, device=device, requires_grad=True), gg.tensor(b, device=device)
    for product in (x @ b, a @ y):
        assert str(product.device) == device and product.dtype == gg.float64
        np.testing.assert_array_equal(product.tolist(), a @ b)
    (x @ b).sum().backward()
    np.testing.assert_array_equal(x.grad.tolist(), np.ones((2, 4)) @ b.T)
    assert (x.detach().float() @ b).dtype == gg.float64  # promoted, as by +
    assert (np.ones(2, np.float32) @ x).shape == (3,)
    with pytest.raises(ShapeError, match=r"matmul\(a, b\): inner sizes differ: a \(3, 4\), b \(2"):
        b @ x
    for wrong in (lambda: x @ 2.0, lambda: 2.0 @ x, lambda: [1.0, 2.0] @ x):
        with pytest.raises(TypeError, match="unsupported operand"):
            wrong()


def test_matmul_errors() -> None:
    a, b = gg.ones(128, 784), gg.ones(768, 10)
    with pytest.raises(ShapeError) as caught:
        a @ b
    assert str(caught.value) == (
        "matmul(a, b): inner sizes differ: a (128, 784), b (768, 10).\n"
        "  a's last axis (784) must equal b's second-last (768). Did you mean to flatten the input "
        "or transpose b?"
    )
    with pytest.raises(DTypeError, match=r"dtypes differ: a \(2, 2\) float32 on cpu, b .* float64"):
        gg.ones(2, 2) @ gg.ones(2, 2, dtype=gg.float64)
    with pytest.raises(ShapeError, match=r"linear: input \(2, 3\) does not fit weight \(5, 4\)"):
        gg.linear(gg.ones(2, 3), gg.ones(5, 4))


def test_cross_entropy_errors() -> None:
    x = gg.zeros(2, 3)
    with pytest.raises(IndexOutOfRangeError, match="target 3 is not one of the 3 classes"):
        gg.cross_entropy(x, gg.tensor([0, 3]))
    with pytest.raises(
        ShapeError, match=r"target \(3,\) does not fit input \(2, 3\).* shape \(2,\)"
    ):
        gg.cross_entropy(x, gg.tensor([0, 1, 2]))
    with pytest.raises(ArgumentError, match="reduction must be one of"):
        gg.cross_entropy(x, gg.tensor([0, 1]), reduction="avg")
    with pytest.raises(ShapeError, match=r"weight must have shape \(3,\), got \(2,\)"):
        gg.cross_entropy(x, gg.tensor([0, 1]), gg.ones(2))


def test_reduction_errors() -> None:
    with pytest.raises(
        IndexOutOfRangeError, match="sum: dim 2 is out of range for a tensor of 2 axes"
    ):
        gg.ones(2, 2).sum(2)
    with pytest.raises(ShapeError, match=r"sum: dim \(0, -2\) names an axis twice"):
        gg.ones(2, 2).sum((0, -2))
    with pytest.raises(IndexOutOfRangeError, match=r"max: .* has nothing to choose from"):
        gg.ones(2, 0).max(1)
    assert gg.ones(0, 2).max(1).values.shape == (0,)


# ---- small names -------------------------------------------------------------------


def test_small_names() -> None:
    x = gg.tensor([[-2.0, 0.5], [3.0, 1.0]])
    assert gg.numel(x) == x.nelement() == x.numel() == 4
    assert gg.is_tensor(x) and not gg.is_tensor(x.array)
    assert gg.take(x, gg.tensor([[3], [0]])).tolist() == [[1.0], [-2.0]]
    assert x.clone().clip_(0, 1).tolist() == [[0.0, 0.5], [1.0, 1.0]]
    unit = F.normalize(x)
    np.testing.assert_allclose(unit.square().sum(1).numpy(), [1, 1], rtol=1e-6)
    assert F.normalize(gg.zeros(1, 2)).tolist() == [[0.0, 0.0]]
    wide = x.double().requires_grad_()
    assert gg.autograd.gradcheck(F.normalize, wide)
    assert gg.autograd.gradcheck(lambda x: x.take(gg.tensor([3, 0, 3])), wide)
    assert F.one_hot(gg.tensor([1, 0]), 3).tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("dtype", [gg.float16, gg.bfloat16, gg.float32, gg.float64])
def test_nan_to_num(dtype: Any) -> None:
    x = gg.tensor([gg.nan, gg.inf, -gg.inf, 2.0], dtype=dtype, requires_grad=True)
    largest = float(gg.finfo(dtype).max)
    assert gg.nan_to_num(x).tolist() == [0.0, largest, -largest, 2.0]
    y = x.nan_to_num(1.0, posinf=3.0, neginf=-3.0)
    assert y.tolist() == [1.0, 3.0, -3.0, 2.0]
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0, 1.0]


# ---- to and views ------------------------------------------------------------------


def test_to() -> None:
    x = gg.ones(2)
    assert x.to(gg.float32) is x and x.to("cpu") is x and x.float() is x
    assert x.to(gg.float32, copy=True) is not x
    assert x.to("float16").dtype == x.half().dtype == gg.float16
    assert (
        x.to(gg.tensor([1])).dtype == gg.int64
        and x.type_as(gg.ones(1, dtype=gg.float64)).dtype == gg.float64
    )
    assert x.to(gg.device("cpu"), gg.float64).dtype == gg.float64
    y = gg.ones(2, requires_grad=True)
    y.double().sum().backward()
    assert y.grad is not None and y.grad.dtype == gg.float32
    assert not y.int().requires_grad
    with pytest.raises(DeviceError, match=r"'float63' is neither a dtype .*float32.* nor a device"):
        x.to("float63")
    with pytest.raises(DeviceError, match="'cuda:x' is not a device"):
        x.to("cuda:x")


def test_views_share_memory_and_version() -> None:
    x = gg.arange(6)
    y = x.view(2, 3).mT
    y[0, 1] = 30
    assert x.tolist() == [0, 1, 2, 30, 4, 5] and x._version == y._version == 1
    assert y.stride() == (1, 3) and not y.is_contiguous() and y.contiguous().is_contiguous()
    with pytest.raises(ShapeError, match=r"view: shape \(6,\) does not fit strides \(1, 3\)"):
        y.view(6)
    assert y.reshape(6).tolist() == [0, 30, 1, 4, 2, 5]
    assert x.view(2, 3)[:, 1:].unsqueeze(0).view(1, 2, 2, 1)._version == 1
    with pytest.raises(
        ShapeError, match=r"reshape: \(6,\) \(6 elements\) cannot take .* \(4, -1\)"
    ):
        x.reshape(4, -1)
    with pytest.raises(ShapeError, match=r"expand: \(6,\) does not expand to \(5,\)"):
        x.expand(5)


def test_size_zero_everywhere() -> None:
    x = gg.ones(0, 3, requires_grad=True)
    y = (x @ gg.ones(3, 2)).relu().softmax(1).sum() + x.mT.reshape(0).exp().prod()
    y.backward()
    assert x.grad is not None and x.grad.shape == (0, 3) and y.item() == 1


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(16777217, gg.int64), (True, gg.bool), (0.1, gg.float64), (2.5, gg.bfloat16)],
)
def test_lists_of_arrays_that_were_pickled(value: Any, dtype: Any) -> None:
    """Whose dtypes are others than NumPy's own, and equal."""
    x = gg.from_numpy(pickle.loads(pickle.dumps(np.array([value], dtype))))
    assert x.tolist() == [value] and type(x.tolist()[0]) is type(value)


def test_numbers_are_formatted_as_numbers() -> None:
    """As PyTorch: f"{loss}" is the number, f"{weights}" the tensor."""
    loss = gg.tensor(0.5, requires_grad=True)
    assert f"{loss}" == "0.5" and f"{loss:.2f}" == "0.50" and f"{gg.tensor(True)}" == "True"
    assert f"{gg.ones(1)}" == str(gg.ones(1)) and str(loss) != "0.5"
