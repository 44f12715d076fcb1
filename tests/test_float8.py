"""The 8-bit floats as dtypes: what they hold, where they go, and what they refuse."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.errors import ArgumentError, DTypeError
from gpugrad.safetensors_file import read, write

FLOAT8 = ("float8_e4m3fn", "float8_e5m2")
DEVICES = ("cpu", "sim")


@pytest.fixture(params=FLOAT8)
def dtype(request: pytest.FixtureRequest) -> Any:
    return getattr(gg, request.param)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def x(dtype: Any, device: str) -> gg.Tensor:
    return gg.tensor([[1, 2.5, -3], [0.5, 5, 6]], dtype=dtype, device=device)


def numbers(dtype: Any) -> np.ndarray:
    """Every finite number of `dtype`, in order."""
    every = np.arange(256, dtype=np.uint8).view(dtype).astype(np.float64)
    return np.unique(every[np.isfinite(every)])


def cast(values: Any, source: Any, dtype: Any, device: str) -> np.ndarray:
    """float64 values, taken to `source` and from there to `dtype`, as float64."""
    given = gg.tensor(np.asarray(values, np.float64)).to(source).to(device)
    return given.to(dtype).to("cpu").to(gg.float64).numpy()


# ---- conversions ---------------------------------------------------------------------------------


def test_every_number_survives(dtype: Any, device: str) -> None:
    held = numbers(dtype)
    for wide in (gg.float16, gg.bfloat16, gg.float32, gg.float64):
        np.testing.assert_array_equal(cast(held, wide, dtype, device), held)


def test_rounds_to_nearest_even(dtype: Any, device: str) -> None:
    held = numbers(dtype)
    low, high = held[:-1], held[1:]
    middle = (low + high) / 2
    even = np.where(low.astype(dtype).view(np.uint8) % 2 == 0, low, high)
    np.testing.assert_array_equal(cast(middle, gg.float32, dtype, device), even)
    np.testing.assert_array_equal(cast(middle, gg.float64, dtype, device), even)
    below = np.nextafter(middle.astype(np.float32), np.float32(-np.inf))
    above = np.nextafter(middle.astype(np.float32), np.float32(np.inf))
    np.testing.assert_array_equal(cast(below, gg.float32, dtype, device), low)
    np.testing.assert_array_equal(cast(above, gg.float32, dtype, device), high)


@pytest.mark.parametrize("source", ["float16", "bfloat16", "float32", "float64"])
def test_overflows_as_pytorch(device: str, source: str) -> None:
    given = [448, 464, 480, 6e4, np.inf, -np.inf, np.nan]
    got = cast(given, getattr(gg, source), gg.float8_e4m3fn, device)
    np.testing.assert_array_equal(got, [448] * 5 + [-448, np.nan])
    given = [57344, 61439 if source != "bfloat16" else 57344, 61440, np.inf, -np.inf, np.nan]
    got = cast(given, getattr(gg, source), gg.float8_e5m2, device)
    first = 57344 if source != "float16" else np.inf  # 61439 is 61440 there
    np.testing.assert_array_equal(got, [57344, first, np.inf, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("source", ["bool", "uint8", "int8", "int16", "int32", "int64"])
def test_integers(dtype: Any, device: str, source: str) -> None:
    given = [0, 1, 1, 0] if source == "bool" else [0, 1, 17, 100]
    x = gg.tensor(given, device=device).to(getattr(gg, source))
    y = x.to(dtype)
    held = numbers(dtype)
    nearest = [float(held[np.abs(held - v).argmin()]) for v in given]
    nearest[2:] = nearest[2:] if source == "bool" else [16.0, 96.0]  # ties to even
    assert y.tolist() == nearest
    back = y.to(getattr(gg, source))
    assert back.dtype == x.dtype and back.tolist() == nearest


def test_from_and_to_the_other(device: str) -> None:
    x = gg.tensor([1.125, -448, 0.001953125], dtype=gg.float8_e4m3fn, device=device)
    assert x.to(gg.float8_e5m2).tolist() == [1.0, -448.0, 0.001953125]
    big = gg.tensor([57344.0, np.inf], dtype=gg.float8_e5m2, device=device)
    assert big.to(gg.float8_e4m3fn).tolist() == [448.0, 448.0]


def test_large_arrays_in_every_layout(dtype: Any, device: str) -> None:
    """Large enough for the threads of _cpu and for vectors and transposes of the kernels."""
    values = np.random.default_rng(0).standard_normal((640, 420)).astype(np.float32) * 8
    expected = values.astype(dtype)
    x = gg.tensor(values, device=device).to(dtype)
    for part in (np.s_[:], np.s_[::2, 1:], np.s_[3:, ::-1], np.s_[:, None]):
        want = expected[part].astype(np.float32)
        here = x.flip(1)[3:] if part == np.s_[3:, ::-1] else x[part]
        np.testing.assert_array_equal(here.contiguous().to("cpu").float().numpy(), want)
    turned = x.T.contiguous()
    assert turned.is_contiguous()
    np.testing.assert_array_equal(turned.to("cpu").float().numpy(), expected.T.astype(np.float32))


# ---- what a tensor of them is --------------------------------------------------------------------


def test_creation(dtype: Any, device: str) -> None:
    assert gg.zeros(2, dtype=dtype, device=device).tolist() == [0.0, 0.0]
    assert gg.ones(2, dtype=dtype, device=device).tolist() == [1.0, 1.0]
    assert gg.full((2,), 7.3, dtype=dtype, device=device).dtype == dtype
    assert gg.full((1,), -7.3, dtype=dtype, device=device).item() in (-7.5, -7.0)
    assert gg.empty(2, 0, dtype=dtype, device=device).shape == (2, 0)
    assert gg.tensor(1e9, dtype=gg.float8_e4m3fn, device=device).item() == 448.0
    array = np.array([1, 2.5], dtype)
    assert gg.tensor(array, device=device).dtype == dtype
    assert gg.from_numpy(array).tolist() == [1.0, 2.5]
    assert gg.as_dtype(dtype.name) == dtype == gg.as_dtype(dtype.type)


def test_facts(x: gg.Tensor, dtype: Any) -> None:
    assert x.itemsize == x.element_size() == 1 and x.nbytes == 6
    assert x.is_floating_point() and gg.is_floating_point(x) and gg.is_signed(x)
    assert x.numpy().dtype == dtype and x[0, 1].item() == 2.5
    assert isinstance(x.tolist()[0][0], float)
    assert gg.can_cast(dtype, gg.float32) and not gg.can_cast(dtype, gg.int8)
    assert x.type().endswith(dtype.name[1:] + "Tensor")


def test_prints_as_pytorch(dtype: Any) -> None:
    assert repr(gg.tensor([1, 2.5, -3], dtype=dtype)) == (
        f"tensor([ 1.0000,  2.5000, -3.0000], dtype={dtype.name})"
    )
    assert repr(gg.tensor([], dtype=dtype)) == f"tensor([], dtype={dtype.name})"
    assert f"{gg.tensor(2.5, dtype=dtype):.1f}" == "2.5"


def test_finfo() -> None:
    e4m3, e5m2 = gg.finfo(gg.float8_e4m3fn), gg.finfo(gg.float8_e5m2)
    assert (e4m3.max, e4m3.min, e4m3.eps, e4m3.tiny) == (448, -448, 0.125, 2.0**-6)
    assert (e5m2.max, e5m2.min, e5m2.eps, e5m2.tiny) == (57344, -57344, 0.25, 2.0**-14)
    assert e4m3.bits == e5m2.bits == 8


# ---- moved as bytes ------------------------------------------------------------------------------

WAYS: dict[str, tuple[Callable[[gg.Tensor], gg.Tensor], Callable[[np.ndarray], Any]]] = {
    "transpose": (lambda x: x.T.contiguous(), lambda v: v.T),
    "reshape": (lambda x: x.reshape(3, 2), lambda v: v.reshape(3, 2)),
    "view": (lambda x: x.view(6), lambda v: v.reshape(6)),
    "clone": (lambda x: x.clone(), lambda v: v),
    "slices": (lambda x: x[:, ::2], lambda v: v[:, ::2]),
    "one row": (lambda x: x[-1], lambda v: v[-1]),
    "cat": (lambda x: gg.cat([x, x], 1), lambda v: np.concatenate([v, v], 1)),
    "stack": (lambda x: gg.stack([x, x]), lambda v: np.stack([v, v])),
    "expand": (lambda x: x.expand(2, 2, 3).contiguous(), lambda v: np.stack([v, v])),
    "index": (lambda x: x[gg.tensor([1, 0], device=x.device)], lambda v: v[::-1]),
    "where": (lambda x: gg.where(x.float() > 1, x, x[0, 0]), lambda v: np.where(v > 1, v, 1)),
    "diagonal": (lambda x: x.diagonal().clone(), lambda v: v.diagonal()),
    "as_strided": (lambda x: gg.as_strided(x, (2, 2), (3, 2)), lambda v: v[:, ::2]),
    "unfold": (lambda x: x.unfold(1, 2, 1)[0], lambda v: np.stack([v[0, :2], v[0, 1:]])),
    "flip": (lambda x: x.flip(0), lambda v: v[::-1]),
}


@pytest.mark.parametrize("way", WAYS)
def test_moves(x: gg.Tensor, dtype: Any, way: str) -> None:
    ours, numpys = WAYS[way]
    values = np.array([[1, 2.5, -3], [0.5, 5, 6]])
    y = ours(x)
    assert y.dtype == dtype and y.device == x.device
    np.testing.assert_array_equal(np.array(y.tolist()), numpys(values))


def test_written_in_place(x: gg.Tensor) -> None:
    x[0] = 3.0
    x[1, 1:] = gg.tensor([1.0, 2.0], device=x.device).to(x.dtype)
    assert x.tolist() == [[3, 3, 3], [0.5, 1, 2]]
    x.fill_(0.5).copy_(gg.tensor([1.0, 1e-9, -1e9], device=x.device))
    most = -448.0 if x.dtype == gg.float8_e4m3fn else -np.inf
    assert x.tolist() == [[1.0, 0.0, most]] * 2
    assert x.zero_().tolist() == [[0.0] * 3] * 2


def test_between_devices(dtype: Any) -> None:
    x = gg.tensor([1, 2.5, -3], dtype=dtype)
    assert x.to("sim").dtype == dtype and x.to("sim").to("cpu").tolist() == x.tolist()


def test_tests_of_elements(device: str) -> None:
    x = gg.tensor([1.0, np.inf, np.nan], dtype=gg.float8_e5m2, device=device)
    assert x.isnan().tolist() == [False, False, True]
    assert x.isinf().tolist() == [False, True, False]
    assert x.isfinite().tolist() == [True, False, False]
    assert x.bool().tolist() == [True, True, True]


def test_equality(x: gg.Tensor) -> None:
    """As PyTorch: numbers are rounded first; NaN equals nothing."""
    other = gg.tensor([[1, 2, -3], [0.5, 5, np.nan]], device=x.device).to(x.dtype)
    assert (x == other).tolist() == [[True, False, True], [True, True, False]]
    assert (x != other).tolist() == [[False, True, False], [False, False, True]]
    assert gg.ne(x, other).tolist() == (x != other).tolist()
    assert (other == other).all().item() is False
    assert (x == 2.51).tolist() == x.eq(2.51).tolist() == [[False, True, False], [False] * 3]
    assert (x == 1).tolist() == x.eq(True).tolist() == (x == x[0, 0]).tolist()
    assert (x == gg.tensor(2.5, device=x.device)).sum().item() == 1
    large = gg.ones(1 << 19, dtype=x.dtype, device=x.device)
    assert (large == large.clone()).all().item() is True


def test_modules(dtype: Any, device: str) -> None:
    """Converted as PyTorch converts them, and loaded from their own state."""
    layer = gg.nn.Linear(3, 2).to(device).to(dtype)
    assert layer.weight.dtype == layer.bias.dtype == dtype
    layer.register_buffer("scale", gg.tensor([2.5, 3.0], dtype=dtype, device=device))
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    layer.scale.fill_(0.0)
    layer.load_state_dict(state)
    assert layer.scale.dtype == dtype and layer.scale.tolist() == [2.5, 3.0]
    layer.load_state_dict(state, assign=True)
    assert layer.half().scale.dtype == layer.weight.dtype == gg.float16
    assert layer.scale.tolist() == [2.5, 3.0]


def test_files_with_metadata(dtype: Any, tmp_path: Path) -> None:
    """Whose text may look like a tensor."""
    given = {"x": np.array([1, 2.5], dtype), "y": np.ones(3, np.float32)}
    code = "F8_E4M3" if dtype == gg.float8_e4m3fn else "F8_E5M2"
    write(tmp_path / "x.safetensors", given, {"dtype": code})
    arrays, metadata = read(tmp_path / "x.safetensors")
    assert metadata == {"dtype": code} and list(arrays) == ["x", "y"]
    assert arrays["x"].dtype == dtype and arrays["x"].tolist() == given["x"].tolist()


def test_kept(x: gg.Tensor, tmp_path: Path) -> None:
    for other in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert other.dtype == x.dtype and other.tolist() == x.tolist()
    wide = gg.tensor([1.0, 2.0])
    gg.save({"before": wide, "x": x, "after": [x[0], wide]}, tmp_path / "x.safetensors")
    found = gg.load(tmp_path / "x.safetensors")
    assert found["x"].dtype == x.dtype and found["x"].tolist() == x.tolist()
    assert found["after"][0].tolist() == x[0].tolist()
    assert found["before"].tolist() == found["after"][1].tolist() == wide.tolist()
    assert (b"F8_E4M3" if x.dtype == gg.float8_e4m3fn else b"F8_E5M2") in (
        tmp_path / "x.safetensors"
    ).read_bytes()


def test_gradients_pass_casts(dtype: Any, device: str) -> None:
    """As PyTorch: dx is dy, rounded to the 8-bit float on its way."""
    x = gg.tensor([1.0, 2.6], device=device, requires_grad=True)
    y = x.to(dtype)
    assert y.requires_grad
    (y.float() * gg.tensor([1.0, 1.03], device=device)).sum().backward()
    assert x.grad is not None and x.grad.dtype == gg.float32 and x.grad.tolist() == [1.0, 1.0]


PICKED: dict[str, Callable[[gg.Tensor, gg.Tensor], gg.Tensor]] = {
    "index": lambda x, at: x[at],
    "index_select": lambda x, at: x.index_select(0, at),
    "gather": lambda x, at: x.gather(0, at),
    "take": lambda x, at: x.take(at),
}


@pytest.mark.parametrize("name", PICKED)
def test_gradients_of_what_is_picked(dtype: Any, device: str, name: str) -> None:
    """Summed in float32: 16 + 1 + 1 is 18, where sums in 8 bits stay at 16."""
    x = gg.tensor([1.0, 2.0, 3.0], dtype=dtype, device=device, requires_grad=True)
    at = gg.tensor([0, 0, 0, 2], device=device)
    dy = gg.tensor([16.0, 1.0, 1.0, -3.0], device=device)
    (PICKED[name](x, at).float() * dy).sum().backward()
    assert x.grad is not None and x.grad.dtype == dtype
    assert x.grad.tolist() == gg.tensor([18.0, 0.0, -3.0]).to(dtype).tolist()


# ---- refused -------------------------------------------------------------------------------------

ARITHMETIC: dict[str, Callable[[gg.Tensor], Any]] = {
    "add": lambda x: x + x,
    "mul": lambda x: x * 2,
    "div": lambda x: x / x,
    "neg": lambda x: -x,
    "exp": lambda x: x.exp(),
    "relu": lambda x: gg.nn.functional.relu(x),
    "floor": lambda x: x.floor(),
    "clamp": lambda x: x.clamp(0, 1),
    "lt": lambda x: x < x,
    "sum": lambda x: x.sum(),
    "max": lambda x: x.max(),
    "mean": lambda x: x.mean(),
    "softmax": lambda x: x.softmax(0),
    "sort": lambda x: x.sort(),
    "matmul": lambda x: x @ x.T,
    "linear": lambda x: gg.nn.functional.linear(x, x),
    "linear (of a layer)": lambda x: gg.nn.Linear(3, 2, device=x.device).to(x.dtype)(x),
    "mse_loss": lambda x: gg.nn.functional.mse_loss(x, x),
    "topk": lambda x: x.topk(1),
    "max_pool1d": lambda x: gg.nn.functional.max_pool1d(x, 2),
    "nan_to_num": lambda x: x.nan_to_num(),
    "searchsorted": lambda x: gg.searchsorted(x, x),
    "index_add": lambda x: x.index_add(0, twice(x), x),
    "add (index_add_)": lambda x: x.index_add_(0, twice(x), x),
    "scatter_add": lambda x: x.scatter_add(0, twice(x)[:, None], x[:, :1]),
    "add (index_put)": lambda x: x.index_put_((twice(x),), x.clone(), accumulate=True),
    "scatter_reduce (sum)": lambda x: x.scatter_reduce(0, twice(x)[:, None], x[:, :1], "sum"),
    "scatter_reduce (prod)": lambda x: x.scatter_reduce(0, twice(x)[:, None], x[:, :1], "prod"),
    "scatter_reduce (amax)": lambda x: x.scatter_reduce(0, twice(x)[:, None], x[:, :1], "amax"),
    "index_reduce (amin)": lambda x: x.index_reduce(0, twice(x), x, "amin"),
    "index_add (unfold's gradient)": lambda x: (
        x.requires_grad_().unfold(1, 2, 1).float().sum().backward()
    ),
}
"""By the function called, which the error names, not an operation it is composed of; of methods
in place and of gradients by what they call."""


def twice(x: gg.Tensor) -> gg.Tensor:
    """Row 0, two times."""
    return gg.tensor([0, 0], device=x.device)


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_is_refused(x: gg.Tensor, name: str) -> None:
    with pytest.raises(DTypeError) as caught:
        ARITHMETIC[name](x)
    kernel = name.partition(" ")[0]
    assert str(caught.value) == (
        f"{kernel}: not implemented for {x.dtype.name}, which is a dtype to store in.\n"
        "  Convert first: x.to(gg.bfloat16) or x.float(). Matrices of it are multiplied by "
        "gg.nn.functional.scaled_mm."
    )


def test_large_ones_are_refused_too(dtype: Any, device: str) -> None:
    """Other code computes them."""
    x = gg.zeros(1 << 19, dtype=dtype, device=device)
    for f in (lambda: x + x, lambda: x.exp(), lambda: x.sum(), lambda: x.amax(), lambda: x.sort()):
        with pytest.raises(DTypeError, match=f"not implemented for {dtype.name}"):
            f()


def test_random_numbers_are_refused(x: gg.Tensor) -> None:
    for f in (lambda: x.uniform_(), lambda: x.normal_(), lambda: x.bernoulli_(0.5)):
        with pytest.raises((DTypeError, ArgumentError), match=r"float8"):
            f()


def test_no_promotion(x: gg.Tensor) -> None:
    others = (gg.float32, gg.bfloat16, gg.int8, gg.bool)
    for other in (*others, *(d for d in map(gg.as_dtype, FLOAT8) if d != x.dtype)):
        pair = re.escape(f"{x.dtype.name} and {other.name}")
        with pytest.raises(DTypeError, match=rf"^add: {pair} have no common dtype: 8-bit floats"):
            x + gg.zeros(3, device=x.device).to(other)
        with pytest.raises(DTypeError, match=rf"^{pair} have no common dtype.*\n.*\.to\(dtype\)"):
            gg.promote_types(x.dtype, other)
    with pytest.raises(DTypeError, match=r"^mul: int8 and float8.* have no common dtype"):
        gg.ones(3, dtype=gg.int8, device=x.device) * x[0, 0]
    assert gg.promote_types(x.dtype, x.dtype) == gg.result_type(x, 1.0) == x.dtype
    with pytest.raises(DTypeError, match=r"^set_default_dtype\(float8.*only floating dtypes"):
        gg.set_default_dtype(x.dtype)
