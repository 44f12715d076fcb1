"""Trainers capture their steps: the numbers stay, whatever happens between the steps."""

from __future__ import annotations

from typing import Any

import graph_machine
import numpy as np
import pytest

import gpugrad as gg
from gpugrad import models, nn, optim, train
from gpugrad.data import DataLoader, TensorDataset
from gpugrad.errors import CaptureError
from gpugrad.nn import functional as F


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> graph_machine.FakeCupy:
    return graph_machine.install(monkeypatch)


def blobs(device: str, count: int = 100) -> TensorDataset:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, count)
    points = (np.eye(3, 6)[labels] * 3 + rng.normal(size=(count, 6))).astype(np.float32)
    return TensorDataset(gg.tensor(points, device=device), gg.tensor(labels, device=device))


class Freeze(train.Hook):
    """Of the first layer, from epoch 3 on."""

    def on_epoch_start(self, trainer: train.Trainer) -> None:
        first = next(trainer.model.parameters())
        first.requires_grad = trainer.epoch < 3


def fit(device: str, **options: Any) -> tuple[list[Any], train.Trainer]:
    """Everything a training leaves behind: parameters, losses, the log."""
    gg.manual_seed(0)
    model = models.MLP(6, [16], 3, dropout=0.3).to(device)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    losses: list[float] = []

    class Losses(train.Hook):
        def on_read(self, trainer: train.Trainer, first_step: int, found: Any) -> None:
            losses.extend(found.tolist())

    schedule = optim.lr_scheduler.OneCycleLR(
        optimizer, 0.02, total_steps=40, cycle_momentum=options.pop("cycle", False)
    )
    trainer = train.Trainer(
        model,
        optimizer,
        options.pop("loss", F.cross_entropy),
        metrics={"accuracy": train.accuracy},
        hooks=[
            train.Schedule(schedule, "step"),
            Freeze(),
            train.Evaluate(DataLoader(blobs(device, 30), 10)),
            Losses(),
        ],
        clip=0.5,
        read_every=3,
        **options,
    )
    log = trainer.fit(DataLoader(blobs(device), 16, shuffle=True), 5)
    log = {k: v for k, v in log.items() if "seconds" not in k and "per_second" not in k}
    return [*[p.detach().cpu().numpy().tobytes() for p in model.parameters()], losses, log], trainer


@pytest.mark.parametrize("cycle", [False, True])
def test_captured_trainings_are_the_same(machine: graph_machine.FakeCupy, cycle: bool) -> None:
    """With a short last batch, a schedule (which may change an option that a graph repeats), a
    layer that is frozen in between, and evaluation."""
    eager, _ = fit("cuda", capture=False, cycle=cycle)
    assert machine.launched == 0
    captured, trainer = fit("cuda", cycle=cycle)
    assert captured == eager
    assert trainer.step == 35 and machine.launched > (8 if cycle else 20)


def test_on_the_cpu_nothing_changes() -> None:
    eager, _ = fit("cpu", capture=False)
    usual, trainer = fit("cpu")
    assert usual == eager and repr(trainer._captured).endswith("0 of at most 8 shapes>")
    assert fit("cpu", capture=True)[0] == eager


def test_a_loss_that_reads_is_not_captured(machine: graph_machine.FakeCupy) -> None:
    def loss(prediction: gg.Tensor, target: gg.Tensor) -> gg.Tensor:
        return F.cross_entropy(prediction, target) * float(target.max() >= 0)

    eager, _ = fit("cuda", loss=loss, capture=False)
    with pytest.warns(
        UserWarning, match=r"not captured. captured step: __float__\(\) reads .*:\d+"
    ):
        found, _ = fit("cuda", loss=loss)
    assert found == eager and machine.launched == 0
    with pytest.raises(CaptureError, match=r"__float__\(\) reads"):
        fit("cuda", loss=loss, capture=True)


@pytest.mark.parametrize("clip", [None, 0.5])
def test_scaled_steps_that_read_are_not_captured(
    machine: graph_machine.FakeCupy, clip: float | None
) -> None:
    """An optimizer with a step of its own has the scaler's flag read."""

    def run(capture: bool | None) -> list[bytes]:
        gg.manual_seed(0)
        model = models.MLP(6, [16], 3).to("cuda")
        own = optim.Adafactor(model.parameters())
        trainer = train.Trainer(
            model, own, F.cross_entropy, capture=capture, autocast=gg.float16, clip=clip
        )
        trainer.fit(DataLoader(blobs("cuda"), 20), 2)
        return [p.detach().cpu().numpy().tobytes() for p in model.parameters()]

    eager = run(False)
    with pytest.warns(UserWarning, match=r"not captured. captured step: .* reads"):
        assert run(None) == eager


def test_a_step_that_changes_its_batch_is_done_once(machine: graph_machine.FakeCupy) -> None:
    class Halved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, x: gg.Tensor) -> gg.Tensor:
            return self.layer(x.mul_(0.5))

    def run(capture: bool | None) -> list[bytes]:
        gg.manual_seed(0)
        model = Halved().to("cuda")
        sgd = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        loader = DataLoader(blobs("cuda"), 20)
        train.Trainer(model, sgd, F.cross_entropy, capture=capture).fit(loader, 2)
        return [p.detach().cpu().numpy().tobytes() for p in model.parameters()]

    eager = run(False)
    with pytest.warns(UserWarning, match="changes its argument x in place"):
        assert run(None) == eager
    with pytest.raises(CaptureError, match="changes its argument x in place"):
        run(True)


def test_batches_in_dictionaries(machine: graph_machine.FakeCupy) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, points: gg.Tensor, scale: float) -> gg.Tensor:
            return self.layer(points) * scale

    def run(capture: bool | None) -> list[bytes]:
        gg.manual_seed(0)
        model = Scaled().to("cuda")
        sgd = optim.SGD(model.parameters(), lr=0.1)
        points, labels = blobs("cuda", 32).tensors
        loader = [({"points": points, "scale": 0.5}, labels)] * 6
        train.Trainer(model, sgd, F.cross_entropy, capture=capture).fit(loader, 1)
        return [p.detach().cpu().numpy().tobytes() for p in model.parameters()]

    assert run(False) == run(None)
    assert machine.launched == 3


@pytest.mark.parametrize("command", ["train mnist", "train sentiment", "train lm", "pretrain bert"])
def test_the_command_line_can_switch_it_off(command: str, capsys: pytest.CaptureFixture) -> None:
    from gpugrad.cli import build_parser

    needed = ["--corpus", "x"] if command == "pretrain bert" else []
    parser = build_parser()
    assert parser.parse_args([*command.split(), *needed]).capture is None
    assert parser.parse_args([*command.split(), *needed, "--no-capture"]).capture is False
