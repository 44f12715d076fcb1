"""NumPy's functions on tensors, and DLPack with other libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import backends
from gpugrad.dtype import DTYPES
from gpugrad.errors import ArgumentError, DataError, DTypeError, GraphError
from gpugrad.ops.numpy_protocol import UFUNCS

# ---- NumPy ---------------------------------------------------------------------------------------

ARRAY = np.array([0.25, 0.5], np.float32)


def leaf() -> gg.Tensor:
    return gg.tensor(ARRAY, requires_grad=True)


@pytest.mark.parametrize("name", sorted(n for n in UFUNCS if getattr(np, n).nin == 1))
def test_unary_ufuncs_are_our_operations(name: str) -> None:
    ufunc = getattr(np, name)
    x = np.array([0, 1, 2]) if name == "invert" else ARRAY + (name == "arccosh")
    y = ufunc(gg.tensor(x))
    assert isinstance(y, gg.Tensor)
    np.testing.assert_allclose(y.numpy(), ufunc(x), rtol=1e-6)


@pytest.mark.parametrize("name", sorted(n for n in UFUNCS if getattr(np, n).nin == 2))
def test_binary_ufuncs_on_either_side(name: str) -> None:
    ufunc = getattr(np, name)
    whole = name.startswith("bitwise") or name in ("gcd", "lcm")
    a, b = (np.array([6, 4]), np.array([4, 3])) if whole else (ARRAY, ARRAY[::-1] * 3)
    for y in (ufunc(gg.tensor(a), b), ufunc(a, gg.tensor(b)), ufunc(gg.tensor(a), gg.tensor(b))):
        assert isinstance(y, gg.Tensor)
        np.testing.assert_allclose(y.numpy(), ufunc(a, b), rtol=1e-6)


@pytest.mark.parametrize(
    "name", sorted(n for n in {*UFUNCS} - {"matmul"} if getattr(np, n).nin == 2)
)
def test_binary_ufuncs_take_numbers(name: str) -> None:
    ufunc = getattr(np, name)
    whole = name.startswith("bitwise") or name in ("gcd", "lcm")
    array, number = (np.array([6, 4]), 4) if whole else (np.float16([0.25, 0.5]), 0.75)
    for scalar in (number, array.dtype.type(number)):
        for a, b in ((array, scalar), (scalar, array)):
            y = ufunc(*[gg.tensor(x) if x is array else x for x in (a, b)])
            expected = ufunc(a, b)
            assert y.dtype == (np.float64 if name == "float_power" else expected.dtype)
            np.testing.assert_allclose(y.numpy(), expected, rtol=2e-3)  # 2 units of float16


def test_a_number_can_have_gradients_beside_it() -> None:
    x = leaf()
    np.maximum(x, 0.3).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0, 1]
    whole = np.maximum(gg.tensor([0, 1]), 0.5)
    assert whole.dtype == gg.float32 and whole.tolist() == [0.5, 1]
    with pytest.raises(DTypeError, match="got str"):
        np.maximum(gg.tensor(ARRAY), "a")


def test_gradients_flow_through_ufuncs() -> None:
    x = leaf()
    np.add(np.sin(x), ARRAY).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), np.cos(ARRAY), rtol=1e-6)


def test_operators_with_arrays_and_scalars() -> None:
    x = leaf()
    for y in (ARRAY + x, ARRAY - x, ARRAY * x, ARRAY / x, np.float32(2) * x, np.float64(2) ** x):
        assert isinstance(y, gg.Tensor) and y.dtype == gg.float32 and y.requires_grad
    assert (ARRAY @ x).item() == pytest.approx(0.3125)
    assert (x > ARRAY).tolist() == [False, False]
    assert (np.arange(2) + x).dtype == gg.float32  # promoted as two tensors are


def test_an_array_is_changed_in_place() -> None:
    a = ARRAY.copy()
    a += gg.tensor([1.0, 2.0])
    assert type(a) is np.ndarray and a.tolist() == [1.25, 2.5]
    with pytest.raises(GraphError, match=r"np.add: .*requires a gradient.*\n.*detach\(\)"):
        a += leaf()
    with pytest.raises(ArgumentError, match=r"np.add\(out=tensor\).*\n.*add_"):
        np.add(a, a, out=gg.ones(2))


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "mean": lambda x: np.mean(x),
    "sum_axis": lambda x: np.sum(x, axis=0),
    "std": lambda x: np.std(x, ddof=1),
    "stack": lambda x: np.stack([x, x]),
    "concatenate": lambda x: np.concatenate([x, np.ones(2, np.float32)]),
    "where": lambda x: np.where(np.array([True, False]), x, 0),
    "reduce": lambda x: np.add.reduce(x),
    "outer": lambda x: np.multiply.outer(x, x),
    "cbrt": lambda x: np.cbrt(x),
    "allclose": lambda x: np.allclose(x, x),
    "norm": lambda x: np.linalg.norm(x),
    "einsum": lambda x: np.einsum("i,i", x, x),
    "asarray": lambda x: np.asarray(x, np.float64),
    "array": lambda x: np.array(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_other_functions_are_numpys(name: str) -> None:
    """They get the values and return NumPy's own result."""
    function = FUNCTIONS[name]
    y, expected = function(gg.tensor(ARRAY)), function(ARRAY)
    assert type(y) is type(expected)
    np.testing.assert_array_equal(y, expected)
    with pytest.raises(GraphError, match=r"requires a gradient"):
        function(leaf())


def test_shapes_need_no_values() -> None:
    x = gg.ones(2, 3, requires_grad=True)
    assert np.shape(x) == (2, 3) and np.ndim(x) == 2 and np.size(x) == 6 and np.size(x, 1) == 3


def test_asarray_shares_the_memory() -> None:
    x = gg.ones(2)
    a, b = np.asarray(x), np.array(x)
    x.add_(1)
    assert a.tolist() == [2, 2] and b.tolist() == [1, 1]


def test_asarray_copies_only_where_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    x = gg.ones(2)
    assert np.shares_memory(x.__array__(copy=False), x.array)
    assert np.shares_memory(x.__array__(np.float32, copy=False), x.array)
    assert x.__array__(np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="float32 on cpu as an array of float64 is a copy"):
        x.__array__(np.float64, copy=False)
    there = gg.ones(2, device="sim")
    monkeypatch.setattr(type(there.backend), "in_host_memory", False)
    assert not np.shares_memory(there.numpy(), there.array)
    with pytest.raises(ValueError, match="float32 on sim as an array of float32 is a copy"):
        there.__array__(copy=False)


def test_ufuncs_stay_on_the_device(kernel_device: str) -> None:
    x = gg.tensor(ARRAY, device=kernel_device)
    for y in (np.exp(x), np.add(ARRAY, x), ARRAY * x):
        assert y.device == x.device
    assert isinstance(np.mean(x), np.float32)


# ---- DLPack --------------------------------------------------------------------------------------


class Maker:
    """Another library's array: what DLPack asks of it."""

    def __init__(
        self, array: Any, device: tuple[int, int] = (1, 0), versioned: bool = True
    ) -> None:
        self.array, self.device, self.versioned = array, device, versioned
        self.asked: dict[str, Any] = {}

    def __dlpack__(self, **options: Any) -> Any:
        if options and not self.versioned:
            raise TypeError("unexpected keyword argument")
        self.asked = options
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


@pytest.mark.parametrize("versioned", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_in_and_out_share_the_memory(dtype: Any, versioned: bool) -> None:
    x = gg.tensor([[0, 1, 0], [1, 1, 0]]).to(dtype)
    for source in (x, x.mT, x[:, ::2], x[0, 1], x[:0]):
        y = gg.from_dlpack(Maker(source, versioned=versioned))
        assert y.dtype == dtype and y.tolist() == source.tolist() and y.stride() == source.stride()
    y = gg.from_dlpack(Maker(x, versioned=versioned))
    y.zero_()
    assert not x.bool().any()


def test_a_capsule_is_taken_once() -> None:
    x = gg.tensor([1.0, 2.0])
    capsule = gg.to_dlpack(x)
    assert gg.from_dlpack(capsule).tolist() == [1, 2]
    with pytest.raises(DTypeError, match="used up"):
        gg.from_dlpack(capsule)


def test_read_only_memory_is_copied() -> None:
    a = np.ones(2, np.float32)
    a.flags.writeable = False
    x = gg.from_dlpack(Maker(a))
    x.add_(1)
    assert a.tolist() == [1, 1]
    with pytest.raises(ArgumentError, match="read-only"):
        gg.from_dlpack(Maker(a), copy=False)
    expanded = gg.Tensor(a, backends.get("cpu"))
    with pytest.raises(ArgumentError, match=r"__dlpack__: .*readonly.*\n.*clone\(\)"):
        expanded.__dlpack__()
    assert np.from_dlpack(expanded).tolist() == [1, 1]  # type: ignore[arg-type]


def test_copy_and_device() -> None:
    a = np.ones(2, np.float32)
    x = gg.from_dlpack(a, copy=True)
    x.add_(1)
    assert a.tolist() == [1, 1]
    shared = gg.from_dlpack(a, device="cpu", copy=False)
    shared.add_(1)
    assert a.tolist() == [2, 2]


def test_another_device(kernel_device: str) -> None:
    x = gg.from_dlpack(np.ones(2, np.float32), device=kernel_device)
    assert x.device == gg.Device(kernel_device) and x.tolist() == [1, 1]
    with pytest.raises(ArgumentError, match=r"copy=False\): cpu memory is not on"):
        gg.from_dlpack(np.ones(2, np.float32), device=kernel_device, copy=False)


def test_what_a_consumer_may_ask() -> None:
    x = gg.ones(2)
    for options in (
        {"max_version": (1, 0)},
        {"dl_device": (1, 0)},
        {"copy": True},
        {"stream": None},
    ):
        assert x.__dlpack__(**options) is not None
    with pytest.raises(GraphError, match=r"__dlpack__: .*requires a gradient.*detach"):
        leaf().__dlpack__()


def test_foreign_dtypes_and_memory() -> None:
    with pytest.raises(DTypeError, match="complex64 is not supported"):
        gg.from_dlpack(np.ones(2, np.complex64))
    with pytest.raises(DataError, match=r"kind 10 is neither"):
        gg.from_dlpack(Maker(np.ones(2), device=(10, 0)))


def test_a_cuda_array_goes_to_its_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy's part is played: the array of GPU 1 reaches the backend of GPU 1 as it is."""
    seen: list[Any] = []

    class Played:
        device = gg.Device("cuda:1")

        def from_dlpack(self, source: Any) -> Any:
            seen.append(source)
            return np.ones(2, np.float32 if source.array is None else source.array)

    real, played = backends.get, Played()
    monkeypatch.setattr(backends, "get", lambda d: played if str(d) == "cuda:1" else real(d))
    source = Maker(None, device=(2, 1))
    x = gg.from_dlpack(source)
    assert seen == [source] and x.device == gg.Device("cuda:1")
    with pytest.raises(DTypeError, match="complex64 is not supported"):
        gg.from_dlpack(Maker(np.complex64, device=(2, 1)))
    assert x.__dlpack_device__() is not None
