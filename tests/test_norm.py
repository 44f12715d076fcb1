"""Normalisation layers: training and eval, running statistics, formats, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.backends import layout
from gpugrad.errors import (
    ArgumentError,
    DataError,
    DeviceError,
    DTypeError,
    ShapeError,
)
from gpugrad.nn import functional as F

DEVICES = ["cpu", "sim"]


def images(*shape: int, dtype: Any = np.float64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(1.0, 2.0, shape).astype(dtype)


def close(tensor: Any, expected: Any, tolerance: float = 1e-12) -> None:
    actual = tensor.detach().numpy()
    assert actual.shape == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def normalised(x: np.ndarray, axes: tuple[int, ...], eps: float = 1e-5) -> np.ndarray:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


# ---- batch norm --------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("momentum", [0.1, 0.5, None])
def test_running_statistics_move_by_momentum(device: str, momentum: float | None) -> None:
    """Two steps and eval(), from the formulas; None is the plain average over the batches."""
    layer = nn.BatchNorm2d(3, momentum=momentum, dtype=gg.float64, device=device)
    mean, var = np.zeros(3), np.ones(3)
    for step in range(2):
        x = images(4, 3, 5, 2, seed=step)
        y = layer(gg.tensor(x, device=device))
        close(y, normalised(x, (0, 2, 3)))
        share = 1 / (step + 1) if momentum is None else momentum
        mean = (1 - share) * mean + share * x.mean((0, 2, 3))
        var = (1 - share) * var + share * x.var((0, 2, 3), ddof=1)
    close(layer.running_mean, mean)
    close(layer.running_var, var)
    assert layer.num_batches_tracked.item() == 2
    layer.eval()
    x = images(1, 3, 1, 1, seed=9)  # one value for each channel is enough here
    expected = (x - mean[:, None, None]) / np.sqrt(var[:, None, None] + 1e-5)
    close(layer(gg.tensor(x, device=device)), expected)
    assert layer.num_batches_tracked.item() == 2
    close(layer.running_mean, mean)


@pytest.mark.parametrize("assign", [False, True])
def test_cumulative_average_follows_a_loaded_count(assign: bool) -> None:
    layer = nn.BatchNorm1d(1, momentum=None, dtype=gg.float64)
    layer(gg.tensor(images(4, 1)))
    state = {**layer.state_dict(), "num_batches_tracked": gg.tensor(9)}
    state["num_batches_tracked"].add_(0)  # changed as often as the one it replaces
    layer.load_state_dict(state, assign=assign)
    x, before = images(4, 1, seed=1), layer.running_mean.item()
    layer(gg.tensor(x))
    assert layer.num_batches_tracked.item() == 10
    np.testing.assert_allclose(layer.running_mean.item(), 0.9 * before + 0.1 * x.mean())


def test_the_count_is_not_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step waits for the device neither with a momentum nor, once counting, without one."""
    x = gg.tensor(images(4, 2))
    plain, average = (
        nn.BatchNorm1d(2, dtype=gg.float64),
        nn.BatchNorm1d(2, momentum=None, dtype=gg.float64),
    )
    average(x)

    def refuse(self: gg.Tensor) -> Any:
        raise AssertionError("item() waits for the device")

    monkeypatch.setattr(gg.Tensor, "item", refuse)
    plain(x)
    average(x)


def test_without_running_statistics() -> None:
    layer = nn.BatchNorm1d(2, track_running_stats=False, affine=False, dtype=gg.float64)
    assert list(layer.state_dict()) == [] and list(layer.parameters()) == []
    x = images(5, 2)
    for training in (True, False):
        close(layer.train(training)(gg.tensor(x)), normalised(x, (0,)))


def test_state_dict_names_and_reset() -> None:
    layer = nn.BatchNorm3d(2)
    names = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert list(layer.state_dict()) == names
    assert layer.num_batches_tracked.dtype == gg.int64
    layer(gg.tensor(images(2, 2, 1, 2, 2, dtype=np.float32)))
    layer.weight.array.fill(3)
    layer.reset_running_stats()
    close(layer.running_mean, [0, 0])
    close(layer.running_var, [1, 1])
    assert layer.num_batches_tracked.item() == 0 and layer.weight.detach().numpy()[0] == 3
    layer.reset_parameters()
    close(layer.weight, [1, 1])
    assert nn.InstanceNorm1d(2, affine=True).bias is not None
    assert nn.BatchNorm1d(2, bias=False).bias is None


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("training", [True, False])
def test_residual_and_relu_in_one(device: str, training: bool) -> None:
    """bn(x, residual, "relu") is relu(bn(x) + residual), with the same gradients of any order."""
    arrays = images(4, 3, 2, 3), images(4, 3, 2, 3, seed=1)
    found = []
    for fused in (True, False):
        layer = nn.BatchNorm2d(3, dtype=gg.float64, device=device).train(training)
        x, r = (gg.tensor(a, device=device, requires_grad=True) for a in arrays)
        y = layer(x, r, "relu") if fused else F.relu(layer(x) + r)
        loss = (y**3).sum()
        inputs = [x, r, layer.weight, layer.bias]
        first = gg.autograd.grad(loss, inputs, retain_graph=True)
        again = gg.autograd.grad(loss, inputs, create_graph=True)
        second = (
            gg.autograd.grad(sum(((g * g).sum() for g in again), gg.tensor(0.0)), inputs)
            if device == "cpu"
            else again
        )
        found.append([y, *first, *again, *second])
    for ours, expected in zip(*found, strict=True):
        close(ours, expected.detach().numpy(), 1e-8)


def test_fused_kernels_and_operations_agree() -> None:
    """Gradients by the fused kernels, and by Tensor operations (create_graph)."""
    x = gg.tensor(images(3, 4, 5), requires_grad=True)
    w, b = (gg.tensor(images(4, seed=s), requires_grad=True) for s in (1, 2))
    for y in (
        F.batch_norm(x, None, None, w, b, True),
        F.batch_norm(x, gg.tensor([0.5] * 4), gg.tensor([2.0] * 4), w, b),
        F.group_norm(x, 2, w, b),
        F.layer_norm(x.mT, (4,), w, b),
        F.rms_norm(x.mT, (4,), w),
    ):
        inputs = [x, w] if y is None else [x, w, b]
        dy = gg.tensor(images(*y.shape, seed=3))
        pairs = [
            gg.autograd.grad(y, inputs, dy, create_graph=c, retain_graph=True, allow_unused=True)
            for c in (False, True)
        ]
        for fused, operations in zip(*pairs, strict=True):
            if fused is not None:
                close(fused, operations.detach().numpy(), 1e-10)


# ---- dtypes and memory -------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("half", [gg.float16, gg.bfloat16])
def test_half_input_with_float32_parameters(device: str, half: Any) -> None:
    """Results and dx are half, parameters' gradients float32; all as of the float32 values."""
    a = images(6, 4, 5, 3, dtype=np.float32)
    layers: list[Callable[[], nn.Module]] = [
        lambda: nn.BatchNorm2d(4, device=device),
        lambda: nn.GroupNorm(2, 4, device=device),
        lambda: nn.LayerNorm((5, 3), device=device),
    ]
    # y is at most 8, rounded to 11 or 8 bits; sums of 90 such
    ulp = 2.0**-11 if half == gg.float16 else 2.0**-8
    for make in layers:
        layer, exact = make(), make()
        x = gg.tensor(a, device=device).to(half).detach().requires_grad_()
        wide = x.detach().float().requires_grad_()
        y, z = layer(x), exact(wide)
        assert y.dtype == half
        close(y.float(), z.detach().cpu().numpy(), 8 * ulp)
        dy = gg.tensor(images(*a.shape, dtype=np.float32, seed=1), device=device).to(half)
        y.backward(dy)
        z.backward(dy.float())
        assert x.grad.dtype == half and layer.weight.grad.dtype == gg.float32
        close(x.grad.float(), wide.grad.numpy(), 8 * ulp)
        for p, q in zip(layer.parameters(), exact.parameters(), strict=True):
            close(p.grad, q.grad.numpy(), 1e-3)


def test_a_half_model() -> None:
    """Running statistics that are half themselves move in float32 and are rounded."""
    layer = nn.BatchNorm1d(2).half()
    a = images(50, 2).astype(np.float16)
    layer(gg.tensor(a))
    assert layer.running_var.dtype == gg.float16
    np.testing.assert_allclose(
        layer.running_var.numpy().astype(np.float32),
        0.9 + 0.1 * a.astype(np.float32).var(0, ddof=1),
        rtol=2.0**-10,
    )
    layer.eval()(gg.tensor(a))


@pytest.mark.parametrize("device", DEVICES)
def test_results_lie_as_the_input(device: str) -> None:
    x = gg.tensor(images(2, 4, 3, 5), device=device).to(memory_format=gg.channels_last)
    x.requires_grad_()
    for layer in (
        nn.BatchNorm2d(4, dtype=gg.float64, device=device),
        nn.GroupNorm(2, 4, dtype=gg.float64, device=device),
        nn.InstanceNorm2d(4, dtype=gg.float64, device=device),
    ):
        y = layer(x)
        assert layout.is_channels_last(y.array)
        (dx,) = gg.autograd.grad(y.square().sum(), [x])
        assert layout.is_channels_last(dx.array)
    rows = nn.BatchNorm2d(4, dtype=gg.float64, device=device)(x.contiguous())
    assert rows.array.flags.c_contiguous


def test_empty_batches() -> None:
    for layer, shape in (
        (nn.BatchNorm2d(3), (0, 3, 2, 2)),
        (nn.GroupNorm(1, 3), (0, 3, 2)),
        (nn.LayerNorm(4), (0, 4)),
        (nn.LayerNorm(4), (2, 0, 4)),
        (nn.RMSNorm(4), (0, 4)),
        (nn.InstanceNorm1d(3, track_running_stats=True), (0, 3, 4)),
        (nn.LocalResponseNorm(2), (0, 3, 4)),
    ):
        x = gg.zeros(shape, requires_grad=True)
        y = layer(x)
        assert y.shape == shape
        y.sum().backward()
        assert x.grad.shape == shape
        for p in layer.parameters():
            close(p.grad, np.zeros(p.shape))
        for b in layer.buffers():
            assert np.isfinite(b.numpy()).all()


# ---- the other layers --------------------------------------------------------------------------


def test_instance_norm_of_one_image_and_of_many() -> None:
    layer = nn.InstanceNorm2d(3, dtype=gg.float64)
    x = images(2, 3, 4, 5)
    y = layer(gg.tensor(x))
    close(y, normalised(x, (2, 3)))
    close(layer(gg.tensor(x[0])), normalised(x, (2, 3))[0])


@pytest.mark.parametrize("device", DEVICES)
def test_instance_norm_running_statistics(device: str) -> None:
    options = {"affine": True, "track_running_stats": True, "dtype": gg.float64, "device": device}
    layer = nn.InstanceNorm1d(3, **options)
    x = images(2, 3, 7)
    layer(gg.tensor(x, device=device))
    mean, var = 0.1 * x.mean(2).mean(0), 0.9 + 0.1 * x.var(2, ddof=1).mean(0)
    close(layer.running_mean, mean)
    close(layer.running_var, var)
    expected = (x - mean[:, None]) / np.sqrt(var[:, None] + 1e-5)
    close(layer.eval()(gg.tensor(x, device=device)), expected)


def test_rms_norm_default_eps_is_that_of_the_sums() -> None:
    x = np.full((1, 4), 1e-4, np.float32)
    y = nn.RMSNorm(4)(gg.tensor(x))
    close(y, x / np.sqrt(1e-8 + np.finfo(np.float32).eps), 1e-6)
    half = F.rms_norm(gg.tensor(x).to(gg.bfloat16), 4)
    np.testing.assert_allclose(half.float().numpy(), 1e-4 / np.sqrt(1e-8 + 2**-23), rtol=2.0**-7)


def test_local_response_norm() -> None:
    x = images(2, 5, 3)
    for size in (1, 2, 3, 4, 9):
        average = np.zeros_like(x)
        for c in range(5):
            low, high = max(0, c - size // 2), min(5, c + (size - 1) // 2 + 1)
            average[:, c] = np.square(x[:, low:high]).sum(1) / size
        y = nn.LocalResponseNorm(size, alpha=0.5, beta=0.75, k=2.0)(gg.tensor(x))
        close(y, x / (2 + 0.5 * average) ** 0.75)


def test_texts() -> None:
    assert nn.BatchNorm2d(4).extra_repr() == (
        "4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True"
    )
    assert nn.LayerNorm(3).extra_repr() == "(3,), eps=1e-05, elementwise_affine=True, bias=True"
    assert nn.GroupNorm(2, 4).extra_repr() == "2, 4, eps=1e-05, affine=True, bias=True"
    assert nn.RMSNorm(5).extra_repr() == "(5,), eps=None, elementwise_affine=True"
    assert nn.LocalResponseNorm(3).extra_repr() == "3, alpha=0.0001, beta=0.75, k=1.0"


Calls = list[tuple[Callable[[], Any], type[Exception], str]]


def test_errors() -> None:
    z = gg.zeros
    calls: Calls = [
        (lambda: nn.BatchNorm1d(3)(z(2, 3, 4, 4)), ShapeError, r"2D or 3D .*\(2, 3, 4, 4\)"),
        (lambda: nn.BatchNorm2d(3)(z(3, 4, 4)), ShapeError, r"BatchNorm2d: expected 4D input"),
        (lambda: nn.BatchNorm3d(3)(z(2, 3, 4, 4)), ShapeError, r"expected 5D input"),
        (lambda: nn.BatchNorm2d(3)(z(2, 4, 5, 5)), ShapeError, r"3 channels on axis 1 .*got 4"),
        (
            lambda: nn.BatchNorm2d(3)(z(1, 3, 1, 1)),
            ArgumentError,
            r"more than 1 value per channel when training, got input size \(1, 3, 1, 1\)",
        ),
        (lambda: F.batch_norm(z(2, 3), None, None), ArgumentError, r"running_mean and running_var"),
        (lambda: F.batch_norm(z(2, 3), z(4), z(3)), ShapeError, r"running_mean must have .*\(3,\)"),
        (
            lambda: F.batch_norm(z(2, 3), z(3), z(3), z(2)),
            ShapeError,
            r"weight must have shape \(3,\); got \(2,\)",
        ),
        (lambda: F.batch_norm(z(3), z(3), z(3)), ShapeError, r"\(N, C, \.\.\.\); got \(3,\)"),
        (
            lambda: nn.BatchNorm1d(3)(z(2, 3, dtype=gg.int64)),
            DTypeError,
            r"batch_norm: needs a floating tensor",
        ),
        (
            lambda: nn.BatchNorm1d(3)(z(2, 3, device="sim")),
            DeviceError,
            r"on cpu.*\.to\(device\)|on sim",
        ),
        (lambda: nn.BatchNorm1d(3)(z(2, 3), z(3, 3)), ShapeError, r"residual must have the shape"),
        (lambda: nn.BatchNorm1d(3)(z(2, 3), act="gelu"), ArgumentError, r'"none" or "relu"'),
        (lambda: nn.BatchNorm1d(-1), ArgumentError, r"num_features=-1"),
        (
            lambda: nn.LayerNorm(5)(z(2, 3)),
            ShapeError,
            r"normalized_shape=\(5,\), expected input with shape \(\*, 5\); got \(2, 3\)",
        ),
        (lambda: F.layer_norm(z(2, 3), ()), ArgumentError, r"at least one axis"),
        (lambda: F.layer_norm(z(2, 3), 3, z(2)), ShapeError, r"weight must have shape \(3,\)"),
        (lambda: F.rms_norm(z(2, 3), (2, 2)), ShapeError, r"rms_norm: given normalized_shape"),
        (lambda: nn.GroupNorm(3, 4), ArgumentError, r"num_channels must be divisible"),
        (lambda: F.group_norm(z(2, 4), 3), ArgumentError, r"divisible by num_groups.*=3"),
        (lambda: F.group_norm(z(4), 2), ShapeError, r"at least 2 axes"),
        (lambda: F.group_norm(z(1, 2), 2), ArgumentError, r"more than 1 value per channel"),
        (lambda: nn.InstanceNorm2d(3)(z(2, 3)), ShapeError, r"3D or 4D .*got \(2, 3\)"),
        (lambda: nn.InstanceNorm2d(3)(z(4, 5, 5)), ShapeError, r"3 channels on axis 0"),
        (lambda: nn.InstanceNorm1d(3)(z(2, 3, 1)), ArgumentError, r"more than 1 spatial element"),
        (lambda: F.local_response_norm(z(2, 3), 2), ShapeError, r"\(N, C, spatial"),
        (lambda: F.local_response_norm(z(2, 3, 4), 0), ArgumentError, r"size must be at least 1"),
    ]
    for call, kind, text in calls:
        with pytest.raises(kind, match=f"(?s:{text})"):
            call()


def test_state_without_a_count_of_batches_loads() -> None:
    """As published weights of before PyTorch 0.4.1 are; the count stays as it is."""
    model = nn.BatchNorm2d(3)
    model(gg.ones(2, 3, 2, 2))
    state = {name: gg.full_like(v, 2) for name, v in model.state_dict().items()}
    del state["num_batches_tracked"]
    assert model.load_state_dict(state).missing_keys == []
    assert model.num_batches_tracked.item() == 1 and model.running_var.tolist() == [2, 2, 2]
    del state["running_var"]
    with pytest.raises(DataError, match=r"Missing from the state \(1\):\n +running_var"):
        model.load_state_dict(state)


def test_local_response_norm_of_large_halves() -> None:
    y = F.local_response_norm(gg.full((1, 1, 1, 1), 300.0).half(), 1)
    np.testing.assert_allclose(y.item(), 300 / (1 + 1e-4 * 300**2) ** 0.75, rtol=2.0**-10)


def test_backward_after_the_running_statistics_moved() -> None:
    """A forward in eval mode, one in training, then backward of the first."""
    layer, x = nn.BatchNorm2d(2).eval(), gg.ones(1, 2, 2, 2, requires_grad=True)
    y = layer(x)
    layer.train()(gg.tensor(images(3, 2, 2, 2)))
    y.sum().backward()
    close(x.grad, np.full((1, 2, 2, 2), 1 / np.sqrt(1 + 1e-5)), 1e-6)


def test_training_needs_eps() -> None:
    with pytest.raises(ArgumentError, match=r"batch_norm: eps must be positive .*got 0"):
        F.batch_norm(gg.ones(4, 2), None, None, training=True, eps=0.0)
