"""The front of Function.apply and the objects of the engine: csrc/cpu/engine.cpp."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gpugrad as gg
from gpugrad.autograd import Function
from gpugrad.backends import engine

PACKAGE = str(Path(gg.__file__).parent)
CALLS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "add": (lambda x: x + x, 3),
    "mul_number": (lambda x: x * 2.0, 5),
    "exp": (lambda x: x.exp(), 4),
    "relu": (lambda x: x.relu(), 4),
    "sum": (lambda x: x.sum(), 4),
    "mean": (lambda x: x.mean(), 5),
    "matmul": (lambda x: x @ x, 5),
    "maximum": (lambda x: x.maximum(x), 6),
    "softmax": (lambda x: x.softmax(0), 7),
    "getitem": (lambda x: x[2:5], 4),
    "view": (lambda x: x.view(2, 5), 5),
}
"""What forward alone may call of Python's functions, which no machine's speed changes."""


def python_calls(work: Callable[[], Any]) -> list[str]:
    """The functions of gpugrad in Python that `work` enters."""
    names: list[str] = []

    def note(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            names.append(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return names


@pytest.mark.parametrize("name", CALLS)
def test_forward_calls_few_python_functions(name: str) -> None:
    operation, allowed = CALLS[name]
    x = gg.ones(10)
    operation(x)  # what is made at the first call
    found = python_calls(lambda: operation(x))
    assert len(found) <= allowed, found


class Scaled(Function):
    """y = factor x;  dx = factor dy."""

    def forward(self, x: Any, factor: float) -> Any:
        if factor == 0:
            raise ValueError("no factor")
        self.factor = factor
        return self.kernels.binary("mul", x, factor)

    def backward(self, dy: gg.Tensor) -> Any:
        return dy * self.factor


def test_options_reach_forward_by_name() -> None:
    x = gg.ones(2, requires_grad=True)
    y = Scaled.apply(x, factor=3.0)
    assert y.tolist() == [3, 3] and y.grad_fn.edges[0].variable is x
    y.backward(gg.ones(2))
    assert x.grad.tolist() == [3, 3]
    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        Scaled.apply(x, other=1)


def test_a_call_keeps_no_reference() -> None:
    x, other = gg.ones(2, requires_grad=True), gg.ones(2, device="sim")

    def work() -> None:
        Scaled.apply(x, factor=3.0)
        with pytest.raises(ValueError, match="no factor"):
            Scaled.apply(x, factor=0)
        with pytest.raises(gg.errors.DeviceError, match="on one device"):
            x + other

    work()
    gc.collect()
    objects = (x, x.array, other, other.array, x.backend, x.backend.kernels, Scaled, None, False)
    counts = [sys.getrefcount(each) for each in objects]
    for _ in range(50):
        work()
    gc.collect()
    grown = [sys.getrefcount(each) - n for each, n in zip(objects, counts, strict=True)]
    assert max(grown) < 50, grown


def test_cycles_through_tensors_and_nodes_are_collected() -> None:
    x = gg.ones(2, requires_grad=True)
    y = x * 2.0
    y.grad_fn.metadata["result"] = y
    y._hooks = y
    node = weakref.ref(y.grad_fn)
    tensor = weakref.ref(y)
    del y
    assert tensor() is not None
    gc.collect()
    assert tensor() is None and node() is None


def test_a_tensor_without_memory_refuses() -> None:
    empty = gg.nn.parameter.UninitializedParameter()
    with pytest.raises(gg.errors.GraphError, match="it has no shape and no values yet"):
        Scaled.apply(empty, factor=1.0)
    half_made = gg.Tensor.__new__(gg.Tensor)
    with pytest.raises(AttributeError, match="array"):
        Scaled.apply(half_made, factor=1.0)


def test_the_raw_functions_refuse_what_is_no_operation() -> None:
    with pytest.raises(TypeError, match="needs the class of an operation"):
        engine.apply()
    with pytest.raises(TypeError, match="needs the class of an operation, got <class 'dict'>"):
        engine.apply(dict)
    with pytest.raises(AttributeError, match="kernels"):
        Scaled.apply(1.0, factor=1.0)


def test_a_tensor_is_made_of_an_array_and_a_backend() -> None:
    array, backend = gg.ones(2).array, gg.ones(2).backend
    x = gg.Tensor(array, backend=backend, requires_grad=True)
    assert x.array is array and x.requires_grad and x.is_leaf and x.grad is None
    for wrong in ((), (array,), (2, 3)):
        with pytest.raises(TypeError, match=r"Tensor"):
            gg.Tensor(*wrong)


def test_only_what_apply_calls_can_be_connected() -> None:
    with pytest.raises(
        TypeError, match=r"connect\(\) got 'sequance', which apply\(\) does not call"
    ):
        engine.connect(tensor=None, sequance=iter(()))
    with pytest.raises(TypeError, match=r"connect\(\) takes parts by name, got \(3,\)"):
        engine.connect(3)
    assert type(gg.ones(2) + 1) is gg.Tensor  # nothing was
