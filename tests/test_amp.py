"""autocast regions: where they hold, what they keep, what gradients come back."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.amp import autocast_mode as module
from gpugrad.amp.table import FLOAT32, LOWER, WIDEST
from gpugrad.errors import DeviceError
from gpugrad.nn import functional as F

DEVICES = ["cpu", "sim"]


def product(device: str = "cpu") -> gg.Tensor:
    x = gg.ones(2, 2, device=device)
    return x @ x


# ---- where a region holds ----------------------------------------------------------------------


def test_defaults_and_devices() -> None:
    with gg.autocast("cpu"):
        assert product().dtype == gg.bfloat16 and product("sim").dtype == gg.float32
        with gg.autocast("sim"):
            assert product().dtype == gg.bfloat16 and product("sim").dtype == gg.float16
    with gg.autocast():
        assert product().dtype == gg.float32 and gg.is_autocast_enabled("cuda")
    with gg.autocast(gg.float16):
        assert product().dtype == product("sim").dtype == gg.float16
    with gg.autocast("cpu", gg.float16):
        assert product().dtype == gg.float16
    assert product().dtype == gg.float32 and not module.AUTOCAST.on


def test_nested_and_disabled_regions() -> None:
    with gg.autocast("cpu"):
        with gg.autocast("cpu", enabled=False):
            assert product().dtype == gg.float32
            with gg.autocast("cpu", gg.float16):
                assert product().dtype == gg.float16
            assert product().dtype == gg.float32
        assert product().dtype == gg.bfloat16
        with pytest.raises(ZeroDivisionError), gg.autocast("cpu", enabled=False):
            raise ZeroDivisionError
        assert product().dtype == gg.bfloat16


def test_decorator_and_reuse() -> None:
    @gg.autocast("cpu", gg.float16)
    def decorated(depth: int) -> list[Any]:
        own = product().dtype
        return [own, *(decorated(depth - 1) if depth else [])]

    assert decorated(2) == [gg.float16] * 3 and product().dtype == gg.float32

    @gg.autocast("cpu")
    def steps() -> Any:
        yield product().dtype
        yield product().dtype

    for dtype in steps():
        assert dtype == gg.bfloat16 and product().dtype == gg.float32
    region = gg.autocast("cpu")
    with region, region:
        assert product().dtype == gg.bfloat16
    assert product().dtype == gg.float32


def test_a_region_is_its_threads() -> None:
    found: list[Any] = []

    def run() -> None:
        found.append(product().dtype)
        with gg.autocast("cpu", gg.float16):
            found.append(product().dtype)
        found.append(module.AUTOCAST.on)  # the other thread's region

    with gg.autocast("cpu"):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert product().dtype == gg.bfloat16
    assert found == [gg.float32, gg.float16, True] and not module.AUTOCAST.on


def test_a_thread_that_ends_in_a_region() -> None:
    thread = threading.Thread(target=gg.set_autocast_enabled, args=("cpu", True))
    thread.start()
    thread.join()
    assert not module.AUTOCAST.on


def test_switching_off_forgets_copies() -> None:
    w = gg.ones(2, 2, requires_grad=True)
    gg.set_autocast_enabled("cpu", True)
    first = w @ w
    gg.set_autocast_enabled("cpu", False)
    assert first.dtype == gg.bfloat16 and not module._HERE.cache


def test_switches() -> None:
    assert gg.get_autocast_dtype("cpu") == gg.bfloat16
    assert gg.get_autocast_dtype("cuda") == gg.get_autocast_dtype("sim") == gg.float16
    assert gg.is_autocast_available("cuda") and not gg.is_autocast_available("tpu")
    gg.set_autocast_enabled("cpu", True)
    try:
        assert gg.is_autocast_enabled("cpu") and product().dtype == gg.bfloat16
        gg.set_autocast_dtype("cpu", gg.float16)
        assert product().dtype == gg.get_autocast_dtype("cpu") == gg.float16
    finally:
        gg.set_autocast_enabled("cpu", False)
        gg.set_autocast_dtype("cpu", gg.bfloat16)
    assert not gg.is_autocast_enabled("cpu") and not gg.is_autocast_enabled()
    with gg.autocast("cpu"):
        assert gg.get_autocast_dtype("cpu") == gg.bfloat16
        with gg.autocast("cpu", gg.float16, cache_enabled=False):
            assert gg.get_autocast_dtype("cpu") == gg.float16
            assert not gg.is_autocast_cache_enabled()
        assert gg.is_autocast_cache_enabled()


def test_what_is_refused() -> None:
    for wrong in ("cuda:0", "tpu"):
        with pytest.raises(DeviceError, match=rf"autocast.*'{wrong}'.*one of cpu, cuda, sim"):
            gg.autocast(wrong)
        with pytest.raises(DeviceError, match=rf"get_autocast_dtype.*'{wrong}'"):
            gg.get_autocast_dtype(wrong)
    with pytest.warns(UserWarning, match=r"dtype=float32.*only float16 and bfloat16"):
        region = gg.autocast("cpu", gg.float32)
    with region:
        assert product().dtype == gg.float32
    with pytest.raises(TypeError, match="decorates functions, not classes"):
        gg.autocast("cpu")(nn.Linear)


def test_the_table_names_functions_once() -> None:
    names = [*LOWER.split(), *FLOAT32.split(), *WIDEST.split()]
    assert len(names) == len(set(names)) == len(module.KIND)
    for name in names:
        assert any(hasattr(home, name) for home in (gg, F, gg.linalg)), name


# ---- what is cast ------------------------------------------------------------------------------


def test_float64_and_integers_are_left_alone() -> None:
    x, n = gg.ones(2, 2, dtype=gg.float64), gg.ones(2, 2, dtype=gg.int64)
    with gg.autocast("cpu"):
        assert (x @ x).dtype == x.exp().dtype == gg.float64
        assert (n @ n).dtype == n.sum().dtype == gg.int64 and n.exp().dtype == gg.float32


@pytest.mark.parametrize("device", DEVICES)
def test_gradients_of_parameters_are_float32(device: str) -> None:
    """Also where backward runs inside the region; and the same bits as outside."""
    grads = []
    for inside in (False, True):
        gg.manual_seed(3)
        model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))
        model.to(device)
        x, t = gg.ones(5, 4, device=device), gg.zeros(5, dtype=gg.int64, device=device)
        with gg.autocast(gg.bfloat16):
            y = model(x)
            loss = F.cross_entropy(y, t)
            assert (y.dtype, loss.dtype) == (gg.bfloat16, gg.float32)
            if inside:
                loss.backward()
        if not inside:
            loss.backward()
        assert all(p.grad.dtype == gg.float32 for p in model.parameters())
        grads.append([p.grad.cpu().numpy() for p in model.parameters()])
    for a, b in zip(*grads, strict=True):
        np.testing.assert_array_equal(a, b)


def test_second_derivatives() -> None:
    """Of a product under autocast: exact for small integers."""
    x = gg.tensor([[2.0]], requires_grad=True)
    with gg.autocast("cpu"):
        y = (x @ x @ x).sum()
    (dx,) = gg.autograd.grad(y, x, create_graph=True)
    (ddx,) = gg.autograd.grad(dx.sum(), x)
    assert (dx.item(), ddx.item()) == (12.0, 12.0) and dx.dtype == gg.float32


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layer", ["RNN", "GRU", "LSTM"])
def test_recurrent_layers_and_cells(layer: str, device: str) -> None:
    network = getattr(nn, layer)(3, 4, num_layers=2, bidirectional=True).to(device)
    cell = getattr(nn, layer + "Cell")(3, 4).to(device)
    x = gg.ones(5, 2, 3, device=device)
    with gg.autocast(gg.bfloat16):
        y, _ = network(x)
        h = cell(x[0])
    h = h[0] if layer == "LSTM" else h
    assert y.dtype == h.dtype == gg.bfloat16
    (y.float().sum() + h.float().sum()).backward()
    assert all(p.grad.dtype == gg.float32 for p in [*network.parameters(), *cell.parameters()])


@pytest.mark.parametrize("device", DEVICES)
def test_linear_cross_entropy_keeps_its_loss_float32(device: str) -> None:
    x, w = gg.randn(6, 4, device=device), gg.randn(9, 4, device=device)
    x.requires_grad_(), w.requires_grad_()
    t = gg.tensor([0, 1, 2, 3, 8, 8], device=device)
    with gg.autocast(gg.bfloat16):
        loss = F.linear_cross_entropy(x, w, t)
        whole = F.cross_entropy(F.linear(x, w), t)
    assert loss.dtype == whole.dtype == gg.float32
    assert abs(loss.item() - whole.item()) < 1e-6 * whole.item()
    loss.backward()
    assert x.grad.dtype == w.grad.dtype == gg.float32
    half = F.linear_cross_entropy(x.bfloat16(), w.bfloat16(), t)
    assert half.dtype == gg.bfloat16


def test_transformer_and_convolutions_run() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    images = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    with gg.autocast("cpu"):
        y, z = layer(gg.randn(2, 5, 8)), images(gg.randn(2, 3, 8, 8))
        loss = y.float().sum() + z.sum()
    loss.backward()
    assert z.dtype == gg.bfloat16
    for p in [*layer.parameters(), *images.parameters()]:
        assert p.grad.dtype == p.dtype == gg.float32


# ---- copies of parameters ----------------------------------------------------------------------


def casts(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Notes every array that is cast."""
    found: list[Any] = []
    kernels = gg.zeros(1).backend.kernels
    plain = kernels.cast

    def noting(x: Any, dtype: Any) -> Any:
        found.append(x)
        return plain(x, dtype)

    monkeypatch.setattr(kernels, "cast", noting)
    return found


def test_a_parameter_is_cast_once_in_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    w = gg.randn(4, 4, requires_grad=True)
    x = gg.randn(2, 4).bfloat16()
    found = casts(monkeypatch)

    def count() -> int:
        return sum(array is w.array for array in found)

    with gg.autocast("cpu"):
        y = F.linear(x, w)
        with gg.autocast("cpu"):
            y = F.linear(y, w)
        y = y @ w
    assert count() == 1
    y.sum().backward()
    expected = w.grad
    w.grad = None
    with gg.autocast("cpu", cache_enabled=False):
        y = F.linear(F.linear(x, w), w) @ w
    assert count() == 4
    y.sum().backward()
    # each use's gradient is rounded to bfloat16, in one case after their sum
    error = np.abs(w.grad.numpy() - expected.numpy()).max() / np.abs(expected.numpy()).max()
    assert error < 3 * 2.0**-8
    with gg.autocast("cpu"):
        (x @ w, x @ w)
        gg.clear_autocast_cache()
        x @ w
    assert count() == 6


def test_copies_follow_the_parameter() -> None:
    """Changed in place, or with another array: the copy is made anew. One made without history is
    not given to who needs one; two backward passes in a region add up."""
    w, x = gg.ones(2, 2, requires_grad=True), gg.ones(1, 2)
    with gg.autocast("cpu"):
        with gg.no_grad():
            assert not (x @ w).requires_grad
        (x @ w).sum().backward()
        (x @ w).sum().backward()
        assert w.grad.tolist() == [[2.0, 2.0], [2.0, 2.0]]
        with gg.no_grad():
            w.mul_(2.0)
        assert (x @ w).tolist() == [[4.0, 4.0]]
        w.array = np.full((2, 2), 4.0, np.float32)
        assert (x @ w).tolist() == [[8.0, 8.0]]


# ---- beside other tools ------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [False, True])
def test_checkpoints_compute_again_in_the_same_region(inside: bool) -> None:
    w, x = gg.randn(4, 4, requires_grad=True), gg.randn(3, 4)

    def run(x: gg.Tensor) -> gg.Tensor:
        return ((x @ w).relu() @ w).exp()

    with gg.autocast("cpu"):
        run(x).sum().backward()
    expected, w.grad = w.grad, None
    with gg.autocast("cpu"):
        y = gg.utils.checkpoint.checkpoint(run, x, use_reentrant=False).sum()
        if inside:
            y.backward()
    if not inside:
        y.backward()
    np.testing.assert_array_equal(w.grad.numpy(), expected.numpy())
    assert not module._HERE.cache


def test_custom_functions_get_gradients_of_their_dtype() -> None:
    class Double(gg.autograd.Function):
        @staticmethod
        @gg.amp.custom_fwd
        def forward(ctx: Any, x: Any) -> Any:
            return x @ gg.full((2, 2), 1.0)

        @staticmethod
        @gg.amp.custom_bwd
        def backward(ctx: Any, dy: Any) -> Any:
            dx = dy @ gg.full((2, 2), 1.0)
            assert dx.dtype == gg.bfloat16  # as forward's
            return dx

    seen: list[Any] = []
    x = gg.ones(2, 2, requires_grad=True)
    y = x * 1.0
    y.register_hook(lambda dy: seen.append(dy.dtype))
    with gg.autocast("cpu"):
        z = Double.apply(y)
    z.sum().backward()
    assert seen == [gg.float32] and x.grad.tolist() == [[2.0, 2.0], [2.0, 2.0]]
