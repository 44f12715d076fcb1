"""``x.view(dtype)``: the same bytes as elements of another dtype."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.errors import ArgumentError, DTypeError, GraphError, ShapeError


@pytest.fixture(params=("cpu", "sim"))
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


DTYPES = ("bool", "uint8", "int16", "int64", "float16", "bfloat16", "float64", "float8_e5m2")


@pytest.mark.parametrize("name", DTYPES)
def test_is_numpys(name: str, device: str) -> None:
    """For a part of the last axis that begins and ends where an element of 8 bytes does, too."""
    values = np.random.default_rng(0).standard_normal((3, 2, 8)).astype(np.float32)
    dtype = gg.as_dtype(name)
    x = gg.tensor(values, device=device)
    for part in (np.s_[:], np.s_[1:, :, 2:6], np.s_[:, 0], np.s_[::-1]):
        y = (x.flip(0) if part == np.s_[::-1] else x[part]).view(dtype)
        expected = values[part].view(dtype)
        assert y.dtype == dtype and y.device == x.device and y.shape == expected.shape
        assert y.contiguous().numpy().tobytes() == expected.tobytes()
        assert y.contiguous().view(dtype=gg.float32).numpy().tobytes() == expected.tobytes()


def test_of_one_size_takes_any_memory(device: str) -> None:
    x = gg.tensor([[1.0, -2.0, 3.0], [4.0, 5.0, 6.0]], device=device)
    one = x.T[::2].view(gg.int32)
    assert one.stride() == (2, 3) and one.tolist() == [
        [0x3F800000, 0x40800000],
        [0x40400000, 0x40C00000],
    ]
    assert x[0, 0].view(gg.int32).item() == 0x3F800000
    assert x.view(float).dtype == gg.get_default_dtype()


def test_shares_memory_and_version(device: str) -> None:
    x = gg.ones(2, 4, device=device)
    y = x.view(gg.int64)
    y[0] = 0
    assert x.tolist() == [[0.0] * 4, [1.0] * 4] and x._version == y._version == 1
    assert y.data_ptr() == x.data_ptr()


def test_has_no_gradient(device: str) -> None:
    """As PyTorch's, even of the same dtype; a change through it is noticed by what was saved."""
    x = gg.ones(4, device=device, requires_grad=True) * 2
    for dtype in (gg.int32, gg.float32, gg.bfloat16, gg.float64):
        y = x.view(dtype)
        assert not y.requires_grad and y.grad_fn is None
    z = x.square()
    x.view(gg.int32).zero_()
    with pytest.raises(GraphError, match="changed"):
        z.sum().backward()


def test_size_0(device: str) -> None:
    x = gg.empty(3, 0, device=device)
    assert x.view(gg.int64).shape == (3, 0) and x.view(gg.uint8).dtype == gg.uint8
    assert gg.empty(0, 4, device=device).view(gg.int64).shape == (0, 2)
    assert gg.empty(0, 4, device=device).view(gg.int8).shape == (0, 16)


X = gg.zeros(4, 6)
REFUSED: dict[str, tuple[Callable[[], object], type, str]] = {
    "0-d": (lambda: X[0, 0].view(gg.int16), ShapeError, "a 0-d tensor has no axis that could"),
    "stride": (lambda: X.T.view(gg.int16), ShapeError, "the last axis must have stride 1, not 6"),
    "length": (
        lambda: X[:, :3].view(gg.int64),
        ShapeError,
        "the last axis, 3, must be divisible by 2",
    ),
    "nothing": (lambda: gg.zeros(0, 3).view(gg.int64), ShapeError, "the last axis, 3, must be div"),
    "offset": (lambda: X[:, 1:5].view(gg.int64), ShapeError, "storage_offset 1 must be divisible"),
    "rows": (
        lambda: gg.zeros(4, 5)[:, :4].view(gg.int64),
        ShapeError,
        "stride 5 of axis 0 must be divisible by 2; got (4, 4) float32 on cpu with strides "
        "(5, 1).\n"
        "  Copy it with clone() and contiguous(), or convert the numbers with to(dtype).",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    call, error, text = REFUSED[name]
    with pytest.raises(error, match=r"^view\(int\d\d\): " + re.escape(text)):
        call()


def test_refuses_what_is_no_dtype() -> None:
    with pytest.raises(DTypeError, match="is not a gpugrad dtype"):
        X.view(np.dtype("complex64"))
    with pytest.raises(ArgumentError, match=r"view: takes a shape or a dtype, got \(24,\) and"):
        X.view(24, dtype=gg.int32)
