"""ctx-style functions, saved-tensor hooks and node hooks: faults, and what they keep alive.

That they compute what PyTorch computes is parity/test_autograd_programs.py's to show.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import nn
from gpugrad.autograd import Function, graph
from gpugrad.errors import DeviceError, DTypeError, GraphError


def leaf(*values: float) -> gg.Tensor:
    return gg.tensor(values, dtype=gg.float64, requires_grad=True)


class Twice(Function):
    """A function in ctx style whose parts tests replace."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return dy * 2


def context_style(forward: Callable[[Any], Any]) -> type[Function]:
    """A function of which only the sharing of memory matters, in PyTorch's style."""

    class Shares(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return forward(x)

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return dy

    return Shares


def own_style(forward: Callable[[Any], Any]) -> type[Function]:
    """The same in our own."""

    class Shares(Function):
        def forward(self, x: Any) -> Any:
            return forward(x)

        def backward(self, dy: Any) -> Any:
            return dy

    return Shares


# ---- functions with a context ------------------------------------------------------------------


@pytest.mark.parametrize("style", [context_style, own_style])
@pytest.mark.parametrize("forward", [lambda x: x, lambda x: x[:1], lambda x: (x, x[1:])])
def test_results_that_share_memory_with_an_input_are_views(style: Any, forward: Any) -> None:
    function = style(forward)
    found = function.apply(leaf(1, 2) * 1)
    for y in found if isinstance(found, tuple) else (found,):
        with pytest.raises(GraphError, match="a view that is part of a graph cannot be changed"):
            y.mul_(3)
    base = leaf(1, 2) * 1
    found = function.apply(base)
    base.mul_(3)
    for y in found if isinstance(found, tuple) else (found,):
        with pytest.raises(GraphError, match=r"a view of shape .* was taken before its base was"):
            y.sum().backward()


@pytest.mark.parametrize("style", [context_style, own_style])
def test_fresh_results_can_be_changed_in_place(style: Any) -> None:
    x = leaf(1, 2)
    y = style(lambda x: x + 0).apply(x)
    y.mul_(3)
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [3, 3]


def test_the_context_is_the_node() -> None:
    y = Twice.apply(leaf(1, 2))
    assert repr(y.grad_fn) == "<Twice>" and y.grad_fn.name() == "Twice"
    assert y.grad_fn.saved_tensors[0].tolist() == [1, 2]


def test_a_ctx_function_works_on_the_simulator() -> None:
    x = gg.ones(3, device="sim", requires_grad=True)
    Twice.apply(x).sum().backward()
    assert x.grad.tolist() == [2, 2, 2] and x.grad.device.type == "sim"


def test_graphs_of_ctx_functions_are_free_of_cycles() -> None:
    class Exp(Twice):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x.exp()
            ctx.save_for_backward(y)
            return y

    gc.collect()
    gc.disable()
    try:
        y = Exp.apply(leaf(1))
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()


def test_mixed_styles_are_refused() -> None:
    with pytest.raises(TypeError, match=r"Half: forward is a static method .*, backward is not"):

        class Half(Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return x

            def backward(self, dy: Any) -> Any:
                return dy


def test_errors_of_ctx_functions() -> None:
    class SavesNumber(Twice):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x, 3)
            return x

    class KeepsDirty(Twice):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.mark_dirty(x.add_(1))
            return x * 1

    class TooMany(Twice):
        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return dy, dy

    with pytest.raises(DTypeError, match=r"argument 1 is a int.*\n.*ctx.n"):
        SavesNumber.apply(leaf(1))
    with pytest.raises(TypeError, match="takes no keyword arguments, got x"):
        Twice.apply(x=leaf(1))
    with pytest.raises(GraphError, match="mark_dirty names an input that forward does not return"):
        KeepsDirty.apply(leaf(1) * 1)
    with pytest.raises(GraphError, match=r"TooMany.backward returned 2 gradients for 1 inputs"):
        TooMany.apply(leaf(1)).sum().backward()
    with pytest.raises(DeviceError, match="one device"):

        class Sum(Twice):
            @staticmethod
            def forward(ctx: Any, x: Any, y: Any) -> Any:
                return x

        Sum.apply(leaf(1), gg.ones(1, device="sim"))


def test_a_saved_input_changed_in_place_is_noticed() -> None:
    class Keeps(Twice):
        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return dy * ctx.saved_tensors[0]

    x = leaf(1, 2) * 1
    y = Keeps.apply(x)
    x.add_(1)
    with pytest.raises(
        GraphError, match=r"Keeps.backward: .* changed in place since \(last by add"
    ):
        y.sum().backward()


# ---- saved-tensor hooks ------------------------------------------------------------------------


def hooked(pack: Callable[[Any], Any], unpack: Callable[[Any], Any]) -> gg.Tensor:
    with graph.saved_tensors_hooks(pack, unpack):
        return leaf(1, 2).exp().sum()


def test_every_operation_saves_through_the_hooks() -> None:
    """A model of many kinds of layers, everything kept as copies: the same gradients."""
    gg.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.25), nn.Flatten(), nn.Linear(36, 8), nn.GELU(), nn.LayerNorm(8),
    )  # fmt: skip
    cell = nn.LSTM(4, 4, batch_first=True)
    attention = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    x = gg.randn(3, 2, 6, 6)

    def loss() -> gg.Tensor:
        gg.manual_seed(1)
        y = model(x)
        z = attention(cell(y.reshape(3, 2, 4))[0])
        z = z * 1
        z.mul_(y.reshape(3, 2, 4))  # reads what it overwrites
        return F.cross_entropy(z.reshape(3, 8), gg.tensor([1, 2, 3])) + y.std() + y.max(0)[0].sum()

    parameters = [p for m in (model, cell, attention) for p in m.parameters()]
    expected = gg.autograd.grad(loss(), parameters)
    kept: list[int] = []

    def pack(t: gg.Tensor) -> Any:
        kept.append(t.nbytes)
        return t.detach().clone().array

    with graph.saved_tensors_hooks(pack, lambda data: gg.Tensor(data, x.backend)):
        hooked_loss = loss()
    found = gg.autograd.grad(hooked_loss, parameters)
    assert len(kept) > 20
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_hooks_free_what_they_replace() -> None:
    """With the hooks a node keeps no array: nothing but what pack returned lives on."""
    arrays: list[Any] = []

    class Two(Function):
        def forward(self, x: Any) -> Any:
            y, z = self.kernels.unary("sin", x), self.kernels.unary("cos", x)
            arrays.extend(weakref.ref(a) for a in (y, z))
            self.save(y, z)
            return y, z

        def backward(self, dy: Any, dz: Any) -> Any:
            y, z = self.saved
            return dy * z - dz * y

    x = leaf(0.5)
    with graph.saved_tensors_hooks(lambda t: t.tolist(), lambda v: gg.tensor(v, dtype=gg.float64)):
        y, z = Two.apply(x)
    total = y.sum() + z.sum()
    del y, z
    assert [a() for a in arrays] == [None, None]
    total.backward()
    np.testing.assert_allclose(x.grad.tolist(), np.cos([0.5]) - np.sin([0.5]))


def test_hooks_keep_what_is_about_to_be_overwritten() -> None:
    x, w = leaf(2, 3), leaf(5, 7)
    y = x * 1
    with graph.saved_tensors_hooks(lambda t: [t], lambda packed: packed[0]):
        y.mul_(w)  # its backward needs y as it was
    y.sum().backward()
    assert x.grad.tolist() == [5, 7] and w.grad.tolist() == [2, 3]


def test_second_derivatives_through_hooks() -> None:
    def f(x: gg.Tensor) -> Any:
        with graph.saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
            return (x.exp() * x.sin()).softmax(0), x.max(0).values

    assert gg.autograd.gradgradcheck(f, leaf(0.5, 1.5, -1))


def test_save_on_cpu_moves_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    x = gg.ones(4, device="sim", requires_grad=True)
    with graph.save_on_cpu():  # the simulator's arrays lie in the host's memory already
        assert (x * 2).exp().grad_fn._saved[0][1].packed.device == x.device
    monkeypatch.setattr(type(x.backend), "in_host_memory", False)
    with graph.save_on_cpu():
        y = (x * 2).exp()
    packed = y.grad_fn._saved[0][1].packed
    assert packed[1].device.type == "cpu"
    y.sum().backward()
    np.testing.assert_allclose(x.grad.cpu().numpy(), 2 * np.exp(2), rtol=1e-6)


def test_errors_of_saved_tensor_hooks() -> None:
    with pytest.raises(GraphError, match=r"the pack hook changed its tensor \(2,\) float64"):
        hooked(lambda t: t.add_(1), lambda t: t)
    with pytest.raises(GraphError, match="must return a Tensor, got a int"):
        hooked(lambda t: t, lambda t: 3).backward()
    with pytest.raises(GraphError, match=r"returned \(1,\) float64 on cpu for .*Exp.backward"):
        hooked(lambda t: t, lambda t: t[:1]).backward()
    with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        y = leaf(1, 2).exp()
        y.add_(1)
    with pytest.raises(GraphError, match=r"Exp.backward: a tensor saved in forward was changed"):
        y.sum().backward()


def test_increment_version_is_noticed() -> None:
    w = gg.ones(2, dtype=gg.float64)
    y = leaf(1, 2) * w
    graph.increment_version([w])
    with pytest.raises(GraphError, match="last by increment_version"):
        y.sum().backward()


def test_node_hooks_must_keep_the_count() -> None:
    y = leaf(1) * 2
    y.grad_fn.register_hook(lambda dxs, dys: (dxs[0], dxs[0], dxs[0]))
    with pytest.raises(GraphError, match=r"a node's hook returned 3 gradients instead of 2"):
        y.sum().backward()


def test_hooks_of_a_leaf_outlive_its_graphs() -> None:
    x, seen = leaf(1), []
    first = (x * 2).grad_fn.next_functions[0][0]
    first.register_prehook(lambda dys: seen.append(dys[0].item()))
    del first
    for factor in (2, 3):
        (x * factor).sum().backward()
    assert seen == [2, 3]


def test_a_multi_hook_does_not_wait_for_gradients_that_are_none() -> None:
    class First(Twice):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            return x + y

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return dy, None

    x, y = leaf(1), leaf(2)
    seen: list[Any] = []
    graph.register_multi_grad_hook([x, y], seen.append)
    First.apply(x, y).sum().backward()
    assert len(seen) == 1 and seen[0][0].tolist() == [1] and seen[0][1] is None
