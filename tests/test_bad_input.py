"""Mistakes of every day, as someone from PyTorch makes them: one clear error each, by its text.

What belongs to one part alone is tested with that part; here are the parts together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import data, models, nn, optim, train
from gpugrad.errors import (
    ArgumentError,
    DataError,
    DeviceError,
    DTypeError,
    GpugradError,
    IndexOutOfRangeError,
    ShapeError,
)
from gpugrad.nn import functional as F

Calls = list[tuple[Callable[[], Any], type[Exception], str]]


def check(calls: Calls) -> None:
    for call, kind, text in calls:
        with pytest.raises(kind, match=text):
            call()


def test_devices_do_not_mix() -> None:
    x, far = gg.zeros(4, 3), gg.zeros(4, 3, device="sim")
    labels = gg.tensor([0, 1, 2, 0])
    far_labels = labels.to("sim")
    way_out = r"(?s:float32 on cpu.* on sim.*\.to\(device\))"
    for loss in (F.mse_loss, F.l1_loss, F.huber_loss, F.smooth_l1_loss, F.kl_div):
        text = f"{loss.__name__}: all tensors must be on one device.*{way_out}"
        with pytest.raises(DeviceError, match=text):
            loss(x, far)
    for call in (F.binary_cross_entropy, F.binary_cross_entropy_with_logits):
        with pytest.raises(DeviceError, match=f"{call.__name__}: .*{way_out}"):
            call(x, far)
    check(
        [
            (lambda: x + far, DeviceError, way_out),
            (lambda: x @ far.mT, DeviceError, way_out),
            (lambda: gg.cat([x, far]), DeviceError, "(?s)^cat: .*on cpu.* on sim"),
            (lambda: gg.stack([x, far]), DeviceError, "(?s)^stack: .*on cpu.* on sim"),
            (lambda: gg.where(x > 0, far, x), DeviceError, "all tensors must be on one device"),
            (lambda: nn.Linear(3, 2)(far), DeviceError, r"(?i)linear: all tensors must be on one"),
            (lambda: F.cross_entropy(x, far_labels), DeviceError, r"cross_entropy: .*int64 on sim"),
            (lambda: x[far_labels], DeviceError, "index is .* on sim, the tensor on cpu"),
        ]
    )


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("label", [-1, 3, -100])
@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss], ids=["cross_entropy", "nll_loss"])
def test_labels_out_of_range(device: str, label: int, loss: Callable[..., gg.Tensor]) -> None:
    x = gg.zeros(4, 3, device=device) - 1
    labels = gg.tensor([0, label, 2, 0], device=device)
    text = rf"{loss.__name__}: target {label} is not one of the 3 classes.\n.*0 to 2.*ignore_index"
    with pytest.raises(IndexOutOfRangeError, match=text):
        loss(x, labels, ignore_index=-7)
    assert loss(x, labels, ignore_index=label).item() > 0


def test_labels_are_integers() -> None:
    x, labels = gg.zeros(4, 3), gg.zeros(4)
    text = r"{}: class indices must be integers; got \(4,\) float32 on cpu.\n.*\.long\(\)"
    for loss in (F.cross_entropy, F.nll_loss):
        with pytest.raises(DTypeError, match=text.format(loss.__name__)):
            loss(x, labels)


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_probabilities_of_draws(device: str) -> None:
    for p in (gg.tensor([0.5, 1.5]), gg.tensor([-0.5, 0.5]), gg.tensor([gg.nan])):
        p = p.to(device)
        with pytest.raises(ArgumentError, match=r"bernoulli: input .* must lie in \[0, 1\]"):
            p.bernoulli()
        with pytest.raises(ArgumentError, match=r"bernoulli_: input .* must lie in \[0, 1\]"):
            gg.zeros(2, device=device).bernoulli_(p)
    assert gg.tensor([0.0, 1.0], device=device).bernoulli().tolist() == [0.0, 1.0]


def test_gradients_and_data_must_fit() -> None:
    x = gg.ones(2, requires_grad=True)
    wrong: list[tuple[Any, type[Exception], str]] = [
        (gg.ones(3), ShapeError, r"given \(3,\) float32 on cpu, the tensor is \(2,\) float32"),
        (gg.ones(2, dtype=gg.float64), DTypeError, r"given .* float64 on cpu, .*\n.*\.to\("),
        (gg.ones(2, device="sim"), DeviceError, r"given .* float32 on sim, .*\n.*\.to\("),
    ]
    for value, kind, text in wrong:
        with pytest.raises(kind, match="grad: " + text):
            x.grad = value
    with pytest.raises(DTypeError, match="grad: must be a Tensor or None, got ndarray"):
        x.grad = np.ones(2)  # type: ignore[assignment]
    assert x.grad is None
    parameter = nn.Parameter(gg.zeros(2))
    for value, kind, text in wrong:
        with pytest.raises(kind, match="data: " + text):
            parameter.data = value
    layer = nn.Linear(2, 1)
    weight = layer.weight
    values = gg.full((1, 2), 3.0)
    weight.data = values  # as in PyTorch: the parameter takes over the memory
    assert layer(gg.ones(1, 2)).item() == pytest.approx(6 + layer.bias.item())
    values.fill_(1)
    assert weight.tolist() == [[1.0, 1.0]] and isinstance(weight.array, np.ndarray)
    layer(gg.ones(1, 2)).sum().backward()
    optim.SGD([weight], lr=1.0).step()
    assert weight.tolist() == [[0.0, 0.0]]


def test_layers() -> None:
    layer = nn.Linear(3, 2)
    check(
        [
            (lambda: nn.Linear("3", 4), ArgumentError, r"Linear\(in_features='3', out_features=4"),
            (lambda: nn.Linear(3.0, 4), ArgumentError, r"sizes are integers of at least 0"),
            (lambda: nn.Dropout("0.1"), ArgumentError, r"Dropout\(p='0.1'\)"),
            (lambda: nn.Dropout(float("nan")), ArgumentError, r"Dropout\(p=nan\)"),
            (lambda: layer([[1.0, 2.0, 3.0]]), DTypeError, "linear: input must be a Tensor, got l"),
            (lambda: layer(np.ones((1, 3))), DTypeError, "must be a Tensor, got ndarray"),
            (lambda: layer(gg.tensor(np.ones((1, 3)))), DTypeError, "(?s)float64.*float32"),
            (
                lambda: nn.Flatten()(np.ones((2, 3))),
                DTypeError,
                "input must be a Tensor, got ndarray",
            ),
            (lambda: models.MLP(hidden=128), ArgumentError, r"MLP\(hidden=128\).*\(128,\)"),
        ]
    )
    assert nn.Linear(np.int64(3), 2)(gg.zeros(1, 3)).shape == (1, 2)


def test_gradients_are_not_clipped_to_less_than_nothing() -> None:
    p = nn.Parameter(gg.ones(2))
    p.grad = gg.ones(2)
    for limit in (-1.0, float("nan")):
        with pytest.raises(ArgumentError, match=rf"clip_grad_norm_\(max_norm={limit}\)"):
            nn.utils.clip_grad_norm_([p], limit)
        with pytest.raises(ArgumentError, match=rf"clip_grad_value_\(clip_value={limit}\)"):
            nn.utils.clip_grad_value_([p], limit)
    assert p.grad.tolist() == [1, 1]


def test_optimizers() -> None:
    layer = nn.Linear(3, 2)
    p = [layer.weight]
    check(
        [
            (
                lambda: optim.SGD(layer),
                TypeError,
                r"SGD\(params\): .* a Linear; .*\.parameters\(\)",
            ),
            (lambda: optim.SGD(set(p)), TypeError, "ordered collection"),
            (lambda: optim.SGD(p, lr="0.1"), ArgumentError, r"SGD\(lr='0.1'\): must be a number"),
            (lambda: optim.Adam(p, betas=0.9), ArgumentError, r"Adam\(betas=0.9\): two numbers"),
            (lambda: optim.Adam(p, differentiable=True), ArgumentError, "differentiable"),
        ]
    )
    used = layer.parameters()
    optim.SGD(used)
    with pytest.raises(ArgumentError, match="can be used once"):
        optim.SGD(used)


def test_data_sets() -> None:
    rows = data.TensorDataset(gg.zeros(4, 3))
    array = np.zeros((4, 3))
    check(
        [
            (
                lambda: data.TensorDataset(array),
                DTypeError,
                r"tensors\[0\] is a ndarray.*\n.*as_tensor",
            ),
            (lambda: data.DataLoader(rows, 0), ArgumentError, "DataLoader: batch_size = 0"),
            (
                lambda: data.BatchSampler([1], 0, False),
                ArgumentError,
                "BatchSampler: batch_size = 0",
            ),
            (lambda: data.DataLoader(iter([1])), ArgumentError, "no __getitem__"),
            (
                lambda: data.Subset(rows, [0.5]),
                DTypeError,
                "Subset: indices .* integers, .*float64",
            ),
            (lambda: data.default_collate([]), ArgumentError, "default_collate: .* no items"),
            (lambda: data.default_collate([{"a": 1}, {"b": 2}]), ShapeError, r"item 1 .*\['b'\]"),
            (
                lambda: data.default_collate([gg.ones(2), array[0, :2]]),
                DTypeError,
                "item 1 .*ndarray",
            ),
            (lambda: data.default_collate([(1, 2), 3]), DTypeError, "item 0 .*tuple, item 1 .*int"),
        ]
    )
    pairs = [(np.ones(3, np.float32), 1), (np.zeros(3, np.float32), 0)]
    ((x, y),) = data.DataLoader(pairs, 2)
    assert x.shape == (2, 3) and y.tolist() == [1, 0]


def test_training_without_data() -> None:
    model = nn.Linear(3, 2)
    trainer = train.Trainer(model, optim.SGD(model.parameters()), F.cross_entropy)
    with pytest.raises(DataError, match="train: the loader gave no batches in epoch 1"):
        trainer.fit([], 1)
    with pytest.raises(DataError, match="evaluate: the loader gave no batches"):
        train.evaluate(model, [], F.cross_entropy)


def test_conversions(tmp_path: Any) -> None:
    labels = gg.tensor([1, 2])
    circle: list[Any] = []
    circle.append(circle)
    check(
        [
            (lambda: gg.from_dlpack(3), DTypeError, "from_dlpack: an int has no __dlpack__"),
            (lambda: labels.add_(0.5), DTypeError, "a float32 result .* in an int64 tensor"),
            (lambda: labels.masked_fill(labels > 0, 0.5), DTypeError, "does not fit an int64 t"),
            (lambda: gg.save(circle, tmp_path / "x"), ArgumentError, "contains itself|too deep"),
        ]
    )
    assert not list(tmp_path.iterdir())
    fixed = np.frombuffer(b"\0" * 8, np.float32)
    for make in (gg.from_numpy, gg.as_tensor):
        x = make(fixed)
        x.fill_(1)  # a read-only array is copied, never written to
        assert x.tolist() == [1, 1] and fixed.tolist() == [0, 0]


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_random_truths(device: str) -> None:
    drawn = gg.randint(0, 2, (100,), dtype=gg.bool, device=device)
    assert drawn.dtype == gg.bool and 20 < int(drawn.sum()) < 80


def test_an_error_is_caught_by_its_python_kind_too() -> None:
    for wrong, kind in [
        (lambda: gg.zeros(2, 3) @ gg.zeros(2, 3), ValueError),
        (lambda: gg.zeros(2)[5], IndexError),
        (lambda: F.mse_loss(gg.zeros(2), 1.0), TypeError),
    ]:
        with pytest.raises(kind) as caught:
            wrong()
        assert isinstance(caught.value, GpugradError)
