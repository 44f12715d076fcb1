"""The engine: order, accumulation, hooks, graph lifetime, in-place changes, errors."""

from __future__ import annotations

import gc
import sys
import time
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

import gpugrad as gg
from gpugrad.autograd import Function
from gpugrad.errors import GraphError, ShapeError
from gpugrad.ops import inplace


def leaf(*values: float, dtype: Any = gg.float64) -> gg.Tensor:
    return gg.tensor(values, dtype=dtype, requires_grad=True)


def values(x: gg.Tensor | None) -> Any:
    assert x is not None
    return x.tolist()


# ---- order and accumulation --------------------------------------------------------


def test_input_used_twice_and_by_an_older_consumer() -> None:
    x = leaf(1, -2)
    early = x.abs()
    late = (early * early + early * 3).sum()
    (late + x.sum()).backward()
    assert values(x.grad) == [1 * 2 + 3 + 1, -1 * (4 + 3) + 1]


def test_gradients_accumulate_over_backward_calls() -> None:
    x = leaf(1, 2)
    (x * 2).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    assert values(x.grad) == [5, 5]
    assert values(first) == [2, 2], "what backward accumulates into is never changed in place"


def test_leaves_never_share_a_gradient() -> None:
    a, b = leaf(1, 2), leaf(3, 4)
    dy = gg.tensor([1.0, 1.0], dtype=gg.float64)
    (a + b).backward(dy)
    assert a.grad is not b.grad and a.grad is not dy
    a.grad.zero_()
    assert values(b.grad) == [1, 1] and values(dy) == [1, 1]


def test_leaves_never_share_a_gradient_with_a_graph() -> None:
    a, b = leaf(1, 2), leaf(3, 4)
    ((a + b) ** 2).sum().backward(create_graph=True)
    c = leaf(1, 2)
    c.sum().backward(create_graph=True)  # an expanded gradient: one number in memory
    d, dy = leaf(1, 2), gg.tensor([1.0, 2.0], dtype=gg.float64)
    d.backward(dy, create_graph=True)
    with gg.no_grad():
        for x in (a, c, d):
            x.grad.zero_()
    assert values(b.grad) == [8, 12] and values(c.grad) == [0, 0] and values(dy) == [1, 2]


def test_a_fresh_gradient_is_kept_without_a_copy() -> None:
    made = []

    class Twice(Function):
        def forward(self, x: Any) -> Any:
            return self.kernels.binary("mul", x, 2.0)

        def backward(self, dy: gg.Tensor) -> Any:
            dx = dy * 2.0
            made.append(id(dx.array))
            return dx

    x = leaf(1, 2)
    Twice.apply(x).sum().backward()
    assert id(x.grad.array) == made[0]


def test_broadcast_operands_get_summed_gradients() -> None:
    a, b, c = gg.ones(3, 1, requires_grad=True), gg.ones(4, requires_grad=True), leaf(2)
    (a * b * c.float()).sum().backward()
    assert a.grad.shape == (3, 1) and values(a.grad) == [[8.0]] * 3
    assert values(b.grad) == [6.0] * 4 and values(c.grad) == [12.0]
    assert c.grad.dtype == gg.float64


def test_deep_chain_goes_backward_and_is_released_without_recursion() -> None:
    start = time.perf_counter()
    x = leaf(1, 1)
    y = x
    for _ in range(100_000):
        y = y * 1.0
    y.sum().backward()
    assert values(x.grad) == [1, 1]
    del y
    z = x
    for _ in range(100_000):
        z = z + 1.0
    del z  # never differentiated
    assert time.perf_counter() - start < 60


def test_graphs_are_free_of_cycles() -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf(0.5, 2)
        y = (x.exp().tanh() * x).softmax(0).max(0).values
        node = weakref.ref(y.grad_fn)
        y.backward()
        del y
        assert node() is None
        end = weakref.ref(gg.ones(2, requires_grad=True).sum().grad_fn.edges[0])
        assert end() is None
    finally:
        gc.enable()


# ---- grad() ------------------------------------------------------------------------


def test_grad_leaves_grad_alone_and_reaches_results() -> None:
    x = leaf(1, 2)
    y = x * x
    z = (y * 3).sum()
    dy, dx = gg.autograd.grad(z, (y, x))
    assert values(dy) == [3, 3] and values(dx) == [6, 12] and x.grad is None


def test_grad_computes_only_what_is_asked_for() -> None:
    x, w = leaf(1, 2), leaf(3, 4)
    asked: list[tuple[bool, bool]] = []

    class Product(Function):
        def forward(self, a: Any, b: Any) -> Any:
            self.save(a, b)
            return self.kernels.binary("mul", a, b)

        def backward(self, dy: gg.Tensor) -> Any:
            asked.append((self.needs(0), self.needs(1)))
            a, b = self.saved
            return dy * b, dy * a

    y = Product.apply(x, w).sum()
    gg.autograd.grad(y, x, retain_graph=True)
    gg.autograd.grad(y, (x, w))
    assert asked == [(True, False), (True, True)]


def test_unused_inputs() -> None:
    x, other = leaf(1), leaf(2)
    y = (x * 2).sum()
    with pytest.raises(GraphError, match=r"input 1 \(\(1,\) float64 on cpu\) was not used"):
        gg.autograd.grad(y, (x, other), retain_graph=True)
    assert gg.autograd.grad(y, (x, other), allow_unused=True, retain_graph=True)[1] is None
    zeros = gg.autograd.grad(y, (x, other), materialize_grads=True)[1]
    assert values(zeros) == [0]


def test_backward_into_chosen_leaves_only() -> None:
    x, w = leaf(1), leaf(2)
    (x * w).sum().backward(inputs=[w])
    assert x.grad is None and values(w.grad) == [1]


def test_higher_orders() -> None:
    x = leaf(2)
    y = x**4
    for expected in (32, 48, 48, 24):
        (y,) = gg.autograd.grad(y.sum(), x, create_graph=True)
        assert values(y) == [expected]


def test_accumulated_gradient_with_graph() -> None:
    x = leaf(3)
    (x**3).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    (second,) = gg.autograd.grad(x.grad.sum(), x)
    assert values(second) == [18]


def test_roots_must_fit() -> None:
    x = leaf(1, 2)
    with pytest.raises(GraphError, match=r"shape \(2,\) must be given.*\n.*loss.mean\(\)"):
        (x * 2).backward()
    with pytest.raises(ShapeError, match=r"gradient \(3,\) and tensor \(2,\)"):
        (x * 2).backward(gg.ones(3, dtype=gg.float64))
    with pytest.raises(GraphError, match="does not require a gradient"):
        gg.ones(1).backward()


# ---- graph lifetime and in-place changes -------------------------------------------


def test_backward_twice_names_the_operation() -> None:
    x = leaf(1, 2)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert values(x.grad) == [4, 8]
    with pytest.raises(
        GraphError, match=r"Mul with a result of shape \(2,\) was already.*\n.*reta"
    ):
        y.backward()


def test_changing_a_saved_tensor_is_noticed() -> None:
    x, w = leaf(1, 2), gg.ones(2, dtype=gg.float64)
    y = x * w
    w[0].fill_(5)  # through a view: one counter
    text = (
        r"Mul.backward: .*\(last by Overwrite\): shape \(2,\), float64; .* version 0 .* version 1"
    )
    with pytest.raises(GraphError, match=text):
        y.sum().backward()


def test_changing_a_saved_result_is_noticed() -> None:
    x = leaf(1, 2)
    y = x.exp()
    y.add_(1)
    with pytest.raises(GraphError, match=r"Exp.backward: .*last by add_"):
        y.sum().backward()


def test_in_place_operations_take_over_the_history() -> None:
    x, w = leaf(2, 3), leaf(5, 7)
    y = x * 1
    y.mul_(w)
    y += x
    y.clamp_(0, 20)
    y.sum().backward()
    assert values(x.grad) == [6, 0] and values(w.grad) == [2, 0]


@pytest.mark.parametrize("lower", [0, 1])
def test_originals_are_saved_whatever_a_python_counts(
    lower: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getrefcount(x: Any) -> int:  # Python 3.14 counts no borrowed local
        return sys.getrefcount(x) - lower

    monkeypatch.setattr(inplace, "sys", SimpleNamespace(getrefcount=getrefcount))
    monkeypatch.setattr(inplace, "_unsaved", [])
    inplace._calibrate()
    w = leaf(2, 3)
    h = gg.tensor([5.0, 7.0], dtype=gg.float64) * 1
    h.mul_(w)
    h.sum().backward()
    assert values(w.grad) == [5, 7]
    memory = h.detach().clone()
    kept: list[Any] = []
    monkeypatch.setattr(memory.backend.kernels, "contiguous", kept.append, raising=False)
    memory.add_(w)
    assert not kept, "add saves nothing, so the old values are not copied"


def test_overwriting_cuts_the_old_history() -> None:
    x, w = leaf(1, 2), leaf(3)
    y = x * 2
    y.copy_(w)
    y.sum().backward()
    assert values(x.grad) == [0, 0] and values(w.grad) == [2]


def test_assignment_is_differentiable() -> None:
    x, w = leaf(1, 2, 3), leaf(10)
    y = gg.zeros(3, dtype=gg.float64)
    y[1:] = x[:2] * 2
    y[0] = w[0]
    (y * y).sum().backward()
    assert values(x.grad) == [8, 16, 0] and values(w.grad) == [20]


def test_illegal_in_place_changes() -> None:
    x = leaf(1, 2)
    with pytest.raises(GraphError, match=r"add_: a leaf tensor that requires.*\n.*no_grad"):
        x.add_(1)
    with pytest.raises(GraphError, match="setitem: a leaf tensor"):
        x[0] = 1
    y = x * 2
    with pytest.raises(GraphError, match=r"mul_: a view that is part of a graph"):
        y[0].mul_(2)
    with gg.no_grad():
        x.add_(1)
    assert values(x.detach()) == [2, 3]


def test_a_stale_view_is_not_silently_wrong() -> None:
    x = leaf(1, 2)
    y = x * 2
    view = y[0]
    y.mul_(3)
    assert values(y[0].detach()) == 6
    with pytest.raises(
        GraphError, match=r"a view of shape \(\) was taken before its base was chang"
    ):
        (view * 1).backward()


def test_a_view_used_before_its_base_changed_keeps_its_gradient() -> None:
    x = leaf(1, 2)
    y = x * 2
    used = y[0] + 1
    y.add_(3)
    used.backward()
    assert values(x.grad) == [2, 0]


# ---- hooks -------------------------------------------------------------------------


def test_hooks_see_and_replace_the_complete_gradient() -> None:
    x = leaf(1, 2)
    y = x * 2
    seen: list[Any] = []
    y.register_hook(lambda dy: seen.append(dy.tolist()))
    handle = y.register_hook(lambda dy: dy * 10)
    x.register_hook(lambda dx: dx + 1)
    (y + y).sum().backward(retain_graph=True)
    assert seen == [[2, 2]] and values(x.grad) == [41, 41]
    handle.remove()
    x.grad = None
    (y * 1).sum().backward()
    assert values(x.grad) == [3, 3]
    with pytest.raises(GraphError, match="does not require a gradient"):
        gg.ones(1).register_hook(print)


def test_retained_and_post_accumulate() -> None:
    x = leaf(1, 2)
    y = x * 2
    y.retain_grad()
    seen: list[gg.Tensor] = []
    x.register_post_accumulate_grad_hook(seen.append)
    y.sum().backward()
    assert values(y.grad) == [1, 1] and seen == [x]
    with pytest.raises(GraphError, match="only leaf tensors"):
        y.register_post_accumulate_grad_hook(print)


# ---- grad modes --------------------------------------------------------------------


def test_grad_modes() -> None:
    x = leaf(1)
    with gg.no_grad():
        assert not (x * 2).requires_grad and not gg.is_grad_enabled()
        with gg.enable_grad():
            assert (x * 2).requires_grad
    assert (x * 2).requires_grad

    @gg.no_grad()
    def decorated() -> gg.Tensor:
        return x * 2

    @gg.inference_mode
    def bare() -> gg.Tensor:
        return x * 2

    assert not decorated().requires_grad and not bare().requires_grad
    gg.set_grad_enabled(False)
    assert not (x * 2).requires_grad
    gg.set_grad_enabled(True)
    with gg.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    with pytest.raises(ZeroDivisionError), gg.no_grad():
        raise ZeroDivisionError
    assert gg.is_grad_enabled()


def test_requires_grad_rules() -> None:
    with pytest.raises(gg.errors.DTypeError, match="only floating tensors"):
        gg.tensor([1]).requires_grad_()
    y = leaf(1) * 2
    with pytest.raises(GraphError, match="only be set to False on leaf"):
        y.requires_grad = False
    d = y.detach()
    assert not d.requires_grad and d.is_leaf and not y.is_leaf
    d.fill_(7)
    assert values(y) == [7] and y._version == 1
