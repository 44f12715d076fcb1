"""Averaged models beside PyTorch's; and gradients gathered over several batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import gpugrad as gg
from gpugrad import nn, optim
from gpugrad.errors import ArgumentError, ShapeError

SWA = (gg.optim.swa_utils, torch.optim.swa_utils)
CHOICES: dict[str, Any] = {
    "mean": lambda m: {},
    "mean of each": lambda m: {"avg_fn": m.get_swa_avg_fn()},
    "mean of lists": lambda m: {"multi_avg_fn": m.get_swa_multi_avg_fn()},
    "ema": lambda m: {"multi_avg_fn": m.get_ema_multi_avg_fn(0.7)},
    "ema of each": lambda m: {"avg_fn": m.get_ema_avg_fn(0.7)},
    "ema with buffers": lambda m: {
        "multi_avg_fn": m.get_ema_multi_avg_fn(0.7),
        "use_buffers": True,
    },
    "own": lambda m: {"avg_fn": lambda average, value, n: average * 0.5 + value * (0.5 / (n + 1))},
}


def model(library: Any) -> Any:
    """Linear, batch norm (which has an integer buffer), linear; the same numbers in both."""
    layers = library.nn
    made = layers.Sequential(
        layers.Linear(4, 3), layers.BatchNorm1d(3), layers.ReLU(), layers.Linear(3, 2)
    )
    rng = np.random.default_rng(0)
    state = {
        name: library.tensor(rng.standard_normal(tuple(t.shape)).astype(np.float32))
        for name, t in made.state_dict().items()
        if "num_batches" not in name and "running" not in name
    }
    made.load_state_dict(state, strict=False)
    return made


def batch(step: int, n: int = 8) -> np.ndarray:
    return np.random.default_rng(step).standard_normal((n, 4)).astype(np.float32)


def train(library: Any, net: Any, averaged: Any, steps: range) -> None:
    optimizer = library.optim.SGD(net.parameters(), lr=0.05)
    for step in steps:
        optimizer.zero_grad()
        (net(library.tensor(batch(step))) ** 2).mean().backward()
        optimizer.step()
        averaged.update_parameters(net)


def agree(mine: Any, other: Any) -> None:
    """float32: some hundred roundings of numbers near 1 in eight steps."""
    ours, theirs = mine.state_dict(), other.state_dict()
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name].numpy(), value.numpy(), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("choice", CHOICES)
def test_averaged_model(choice: str) -> None:
    nets = model(gg), model(torch)
    averages = [
        m.AveragedModel(net, **CHOICES[choice](m)) for m, net in zip(SWA, nets, strict=True)
    ]
    for library, net, average in zip((gg, torch), nets, averages, strict=True):
        train(library, net, average, range(8))
    agree(nets[0], nets[1])
    agree(averages[0], averages[1])
    assert averages[0].n_averaged.item() == 8
    averages[0].eval()
    averages[1].eval()
    x = batch(99)
    np.testing.assert_allclose(
        averages[0](gg.tensor(x)).detach().numpy(),
        averages[1](torch.tensor(x)).detach().numpy(),
        rtol=1e-4,
        atol=1e-4,
    )
    before = averages[0].state_dict()["module.0.weight"].numpy().copy()
    train(gg, nets[0], averages[0], range(1))
    assert not np.array_equal(averages[0].state_dict()["module.0.weight"].numpy(), before)


def test_an_average_of_pytorch_goes_on() -> None:
    """Its state dict, the count in it; and what the average was made of stays as it is."""
    net, other = model(gg), model(torch)
    theirs = torch.optim.swa_utils.AveragedModel(other)
    train(torch, other, theirs, range(3))
    net.load_state_dict({k: gg.tensor(v.numpy()) for k, v in other.state_dict().items()})
    mine = optim.swa_utils.AveragedModel(net)
    mine.update_parameters(net)
    mine.load_state_dict({k: gg.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    train(torch, other, theirs, range(3, 6))
    train(gg, net, mine, range(3, 6))
    agree(mine, theirs)
    assert mine.n_averaged.item() == 6


def test_average_on_another_device() -> None:
    net = model(gg)
    average = optim.swa_utils.AveragedModel(net, device="sim")
    train(gg, net, average, range(2))
    same = optim.swa_utils.AveragedModel(model(gg))
    train(gg, model(gg), same, range(2))
    assert str(average.n_averaged.device) == "sim" == str(average.module[0].weight.device)
    a, b = (each.module[0].weight.detach().to("cpu").numpy() for each in (average, same))
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_averages_of_the_next_call_wait_for_no_device(monkeypatch: Any) -> None:
    """The count is read where it was changed from outside alone."""
    net = model(gg)
    average = optim.swa_utils.AveragedModel(net)
    train(gg, net, average, range(2))
    monkeypatch.setattr(gg.Tensor, "item", lambda self: pytest.fail("a read"))
    average.update_parameters(net)


def test_update_bn() -> None:
    nets = model(gg), model(torch)
    for m, library, net in zip(SWA, (gg, torch), nets, strict=True):
        net.eval()
        loader = [library.tensor(batch(i)) for i in range(5)]
        m.update_bn(loader, net)
        assert not net.training and net[1].momentum == 0.1
    agree(*nets)
    assert nets[0][1].num_batches_tracked.item() == 5
    for m, library, net in zip(SWA, (gg, torch), nets, strict=True):
        m.update_bn([[library.tensor(batch(7)), "label"]], net, device="cpu")
    agree(*nets)
    plain = nn.Linear(4, 2)
    optim.swa_utils.update_bn(iter([]), plain)  # no batch norm: nothing is read


def test_mistakes() -> None:
    net, m = model(gg), optim.swa_utils
    for make, kind, text in [
        (lambda: m.get_ema_multi_avg_fn(1.1), ArgumentError, r"decay=1.1\): must be between 0"),
        (lambda: m.get_ema_avg_fn(-0.1), ArgumentError, r"get_ema_avg_fn\(decay=-0.1\)"),
        (
            lambda: m.AveragedModel(
                net, avg_fn=m.get_swa_avg_fn(), multi_avg_fn=m.get_swa_multi_avg_fn()
            ),
            ArgumentError,
            "not both",
        ),
        (
            lambda: m.AveragedModel(net).update_parameters(nn.Linear(4, 3)),
            ShapeError,
            r"shapes \[\(3, 4\), \(3,\)\], those averaged \[\(3, 4\), \(3,\), ",
        ),
    ]:
        with pytest.raises(kind, match=text):
            make()


# ---- gradient accumulation ---------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("name", ["SGD", "AdamW", "Lion", "LAMB"])
def test_gradients_of_four_batches_are_those_of_one(name: str, device: str) -> None:
    """backward() adds to grad; the loss of each part is divided by their number. Up to rounding,
    which Adam's division by sqrt(v) does not enlarge (the gradients are not near 0)."""
    results = []
    for parts in (1, 4):
        gg.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(device).double()
        optimizer = getattr(optim, name)(net.parameters(), lr=0.05)
        for step in range(3):
            x = gg.tensor(batch(step, 16)).to(device).double()
            optimizer.zero_grad()
            for part in x.chunk(parts):
                ((net(part) ** 2).mean() / parts).backward()
            optimizer.step()
        results.append([p.detach().to("cpu").numpy() for p in net.parameters()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
