"""The trainer and its hooks; models by name and in files."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import models, nn, optim, train
from gpugrad.data import DataLoader, TensorDataset
from gpugrad.errors import ArgumentError, DataError, NonFiniteError
from gpugrad.nn import functional as F


def blobs(count: int = 200, seed: int = 0) -> TensorDataset:
    """Points (count, 6) around three centres, and which."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    points = np.eye(3, 6)[labels] * 3 + rng.normal(size=(count, 6))
    return TensorDataset(gg.tensor(points.astype(np.float32)), gg.tensor(labels))


def make(
    hooks: list[train.Hook] | None = None, lr: float = 0.01, dropout: float = 0.0, **options: Any
) -> tuple[train.Trainer, DataLoader]:
    """A trainer of a small perceptron, seeded, and its loader."""
    gg.manual_seed(0)
    model = models.MLP(6, [16], 3, dropout=dropout)
    trainer = train.Trainer(
        model,
        optim.Adam(model.parameters(), lr=lr),
        F.cross_entropy,
        metrics={"accuracy": train.accuracy},
        hooks=hooks or [],
        **options,
    )
    return trainer, DataLoader(blobs(), 32, shuffle=True)


def bits(trainer: train.Trainer) -> list[bytes]:
    """All parameters, exactly."""
    return [each.detach().numpy().tobytes() for each in trainer.model.parameters()]


class Recorder(train.Hook):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.losses: list[float] = []

    def on_start(self, trainer: train.Trainer) -> None:
        self.events.append("start")

    def on_epoch_start(self, trainer: train.Trainer) -> None:
        self.events.append(("epoch", trainer.epoch))

    def on_step_end(self, trainer: train.Trainer) -> None:
        self.events.append(trainer.step)

    def on_read(self, trainer: train.Trainer, first_step: int, losses: Any) -> None:
        self.events.append((first_step, len(losses)))
        self.losses += losses.tolist()

    def on_epoch_end(self, trainer: train.Trainer) -> None:
        self.events.append("epoch end")

    def on_end(self, trainer: train.Trainer) -> None:
        self.events.append("end")


# ---- the loop --------------------------------------------------------------------------------


def test_it_learns_and_logs() -> None:
    test = DataLoader(blobs(seed=1), 50)
    trainer, loader = make([train.Evaluate(test)])
    log = trainer.fit(loader, 5)
    assert log["epoch"] == 5
    assert log["step"] == 35
    assert log["test_accuracy"] > 0.9
    assert log["loss"] < 0.5
    assert {"accuracy", "lr", "seconds", "items_per_second", "test_loss"} <= log.keys()
    assert trainer.model.training


def test_order_of_events() -> None:
    recorder = Recorder()
    trainer, loader = make([recorder], read_every=3, read_seconds=60)
    log = trainer.fit(loader, 1)
    assert recorder.events == [
        "start", ("epoch", 1), 1, 2, 3, (1, 3), 4, 5, 6, (4, 3), 7, (7, 1), "epoch end", "end",
    ]  # fmt: skip
    weights = [32] * 6 + [8]
    assert log["loss"] == pytest.approx(np.average(recorder.losses, weights=weights), abs=1e-7)


def test_numbers_do_not_depend_on_when_they_are_read() -> None:
    logs = []
    for read_every in (1, 4, 1000):
        trainer, loader = make(read_every=read_every)
        log = trainer.fit(loader, 2)
        logs.append((log["loss"], log["accuracy"]))
    assert logs[0] == logs[1] == logs[2]


def test_no_host_read_between_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step leaves everything on the device."""
    trainer, loader = make(read_every=1000)
    backend = type(gg.backends.get("cpu"))
    reads: list[str] = []

    def count(name: str) -> None:
        real = getattr(backend, name)

        def counted(self: Any, *args: Any) -> Any:
            reads.append(name)
            return real(self, *args)

        monkeypatch.setattr(backend, name, counted)

    count("to_numpy")  # reading a value goes through one of these
    count("synchronize")
    batches = list(loader)
    reads.clear()
    for x, y in batches:
        trainer.train_step(x, y)
    assert reads == []
    trainer.read()
    assert len(reads) == 2  # loss and accuracy, once each


def test_reads_by_the_clock() -> None:
    recorder = Recorder()
    trainer, loader = make([recorder], read_every=1000, read_seconds=0)
    trainer.fit(loader, 1)
    assert [event for event in recorder.events if isinstance(event, tuple)][1:] == [
        (step, 1) for step in range(1, 8)
    ]


def test_warns_about_parameters_without_gradient() -> None:
    trainer, loader = make()
    trainer.model.forgotten = nn.Linear(2, 2)
    with pytest.warns(UserWarning, match="forgotten"):
        trainer.fit(loader, 1)


def test_mean() -> None:
    mean = train.Mean()
    assert np.isnan(mean.value())
    x = gg.tensor(2.0, requires_grad=True)
    mean.update(x * 1.5, 3)
    mean.update(gg.tensor(1.0), 1)
    assert mean.waiting == 2
    assert mean.read().tolist() == [3.0, 1.0]
    assert mean.value() == 2.5
    correct = train.Mean()
    correct.update(gg.tensor(7), 10, summed=True)
    correct.update(gg.tensor(5), 5, summed=True)
    assert correct.value() == 0.8


def test_evaluate_restores_the_mode() -> None:
    trainer, _ = make(dropout=0.5)
    loader = DataLoader(blobs(), 64)
    trainer.model.train()
    first = train.evaluate(trainer.model, loader, F.cross_entropy, {"a": train.accuracy})
    again = train.evaluate(trainer.model, loader, F.cross_entropy, {"a": train.accuracy})
    assert first == again  # no dropout
    assert trainer.model.training
    trainer.model.eval()
    train.evaluate(trainer.model, loader, F.cross_entropy)
    assert not trainer.model.training


# ---- hooks -----------------------------------------------------------------------------------


def test_non_finite_loss_names_its_step() -> None:
    recorder = Recorder()
    trainer, _ = make([recorder, train.StopOnNonFinite()], read_every=4)
    dataset = blobs(96)
    dataset.tensors[0][70] = float("nan")  # the third batch of 32
    with pytest.raises(NonFiniteError) as caught:
        trainer.fit(DataLoader(dataset, 32), 2)
    text = str(caught.value)
    assert "the loss became nan at step 3 (epoch 1), with learning rate 0.01" in text
    assert "--lr 0.001" in text
    assert recorder.events[-1] == "end"


def test_non_finite_test_loss() -> None:
    dataset = blobs(50)
    dataset.tensors[0][3] = float("inf")
    trainer, loader = make([train.Evaluate(DataLoader(dataset, 10))])
    with pytest.raises(NonFiniteError, match=r"on the test set \(epoch 1\)"):
        trainer.fit(loader, 1)


def test_schedule() -> None:
    for each, expected in (("epoch", 0.01 / 4), ("step", 0.01 / 2**14)):
        trainer, loader = make()
        scheduler = optim.lr_scheduler.StepLR(trainer.optimizer, 1, 0.5)
        trainer.hooks.append(train.Schedule(scheduler, each))
        trainer.fit(loader, 2)
        assert trainer.lr == pytest.approx(expected)
    with pytest.raises(ArgumentError, match="each = 'batch'"):
        train.Schedule(None, "batch")


def test_json_log(tmp_path: Path) -> None:
    trainer, loader = make([train.JsonLog(tmp_path / "log")])
    trainer.fit(loader, 3)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[2] == trainer.log


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    trainer, loader = make([train.Progress(unit="points", live=False)])
    trainer.fit(loader, 2)
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/2  loss ")
    assert "accuracy" in lines[0]
    assert lines[0].endswith(" points/s")


def test_progress_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    class Slow(train.Hook):
        def on_step_end(self, trainer: train.Trainer) -> None:
            time.sleep(0.05)  # the bar is drawn ten times a second at most

    hooks = [Slow(), train.Progress(unit="points", live=True)]
    trainer, loader = make(hooks, read_every=1)
    trainer.fit(loader, 1)
    out, err = capsys.readouterr()
    assert out.startswith("epoch 1/1  loss ")
    assert "epoch 1/1" in err
    assert "/7, loss " in err
    assert "points/s" in err


def test_resume_gives_the_same_bits(tmp_path: Path) -> None:
    """Shuffling, dropout, optimizer state and schedule go on as if nothing had happened."""

    def with_hooks(path: Path) -> tuple[train.Trainer, DataLoader]:
        trainer, loader = make(dropout=0.3)
        scheduler = optim.lr_scheduler.StepLR(trainer.optimizer, 2, 0.5)
        trainer.hooks += [train.Schedule(scheduler), train.Checkpoint(path)]
        return trainer, loader

    whole, loader = with_hooks(tmp_path / "whole")
    whole.fit(loader, 5)
    first, loader = with_hooks(tmp_path / "part")
    first.fit(loader, 2)
    gg.manual_seed(99)
    second, loader = with_hooks(tmp_path / "part")
    train.resume(second, tmp_path / "part")
    assert (second.epoch, second.step) == (2, 14)
    second.fit(loader, 5)
    assert bits(second) == bits(whole)
    assert second.lr == whole.lr
    assert (tmp_path / "part").read_bytes() != b""


@pytest.mark.parametrize("half", [gg.bfloat16, gg.float16])
def test_autocast(tmp_path: Path, half: gg.DType) -> None:
    """The model runs in the half type, parameters stay float32; the scale is in the checkpoint."""
    seen: list[Any] = []
    path = tmp_path / "c"
    whole, loader = make(autocast=half, clip=1.0)
    whole.scaler.set_growth_interval(4)
    whole.model.register_forward_hook(lambda module, x, y: seen.append(y.dtype))
    assert whole.fit(loader, 3)["accuracy"] > 0.9
    assert set(seen) == {half} and {p.dtype for p in whole.model.parameters()} == {gg.float32}
    assert whole.scaler.is_enabled() == (half == gg.float16)

    first, loader = make(hooks=[train.Checkpoint(path)], autocast=half, clip=1.0)
    first.scaler.set_growth_interval(4)
    first.fit(loader, 1)
    second, loader = make(hooks=[train.Checkpoint(path)], autocast=half, clip=1.0)
    train.resume(second, path)
    second.fit(loader, 3)
    assert second.scaler.state_dict() == whole.scaler.state_dict()
    older = gg.load(path)
    del older["scaler"]  # as files before it was in them
    gg.save(older, tmp_path / "older")
    train.resume(make(hooks=[train.Checkpoint(path)], autocast=half)[0], tmp_path / "older")
    assert bits(second) == bits(whole)


def test_resume_refuses_what_does_not_fit(tmp_path: Path) -> None:
    trainer, loader = make([train.Checkpoint(tmp_path / "c", every=2)])
    trainer.fit(loader, 1)
    assert (tmp_path / "c").exists()  # the last epoch always
    other, _ = make([train.JsonLog(tmp_path / "log")])
    train.resume(other, tmp_path / "c")  # hooks without state may differ
    other.hooks.append(train.Schedule(optim.lr_scheduler.StepLR(other.optimizer, 1)))
    with pytest.raises(DataError, match=r"the trainer needs that of \['0 Schedule'\]"):
        train.resume(other, tmp_path / "c")
    models.save_model(tmp_path / "m", other.model)
    with pytest.raises(DataError, match="not a checkpoint"):
        train.resume(other, tmp_path / "m")
    with pytest.raises(ArgumentError, match="every = 0"):
        train.Checkpoint(tmp_path / "c", every=0)


# ---- models ----------------------------------------------------------------------------------


def test_mlp() -> None:
    model = models.create("mlp")
    assert sum(each.numel() for each in model.parameters()) == 784 * 128 + 128 + 1280 + 10
    assert model(gg.zeros(5, 1, 28, 28)).shape == (5, 10)
    deep = models.MLP(4, [8, 8], 2, activation="gelu", dropout=0.1)
    assert [type(layer).__name__ for layer in deep.layers] == [
        "Flatten", "Linear", "GELU", "Dropout", "Linear", "GELU", "Dropout", "Linear",
    ]  # fmt: skip
    assert models.MLP(4, [], 2)(gg.zeros(3, 4)).shape == (3, 2)
    with pytest.raises(ArgumentError, match="activation = 'sine'; known are relu"):
        models.MLP(activation="sine")


def test_registry() -> None:
    assert "mlp" in models.names()
    with pytest.raises(ArgumentError, match=r"no model 'mlpp'\. Did you mean 'mlp'\?"):
        models.create("mlpp")
    with pytest.raises(ArgumentError, match=r"'mlp' cannot be made with .*depth"):
        models.create("mlp", depth=3)
    with pytest.raises(ArgumentError, match=r"Linear is not a registered model"):
        models.name_of(nn.Linear(1, 1))
    with pytest.raises(ArgumentError, match="the name is taken"):
        models.register("mlp")(nn.Linear)


def test_model_files(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = models.MLP(6, [4], 3, dropout=0.5)
    models.save_model(path, model, ["a", "b", "c"], {"accuracy": 0.5})
    saved = models.load_model(path)
    assert (saved.name, saved.classes, saved.info) == ("mlp", ["a", "b", "c"], {"accuracy": 0.5})
    assert saved.config == model.config
    assert not saved.model.training
    x = gg.randn(2, 6)
    assert saved.model(x).tolist() == model.eval()(x).tolist()
    before = path.read_bytes()
    models.save_model(path, model, ["a", "b", "c"], {"accuracy": 0.5})
    assert path.read_bytes() == before


def test_bad_model_files(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(DataError, match=r"m.safetensors"):
        models.load_model(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"m.safetensors"):
        models.load_model(path)
    gg.save({"x": gg.zeros(3)}, path)
    with pytest.raises(DataError, match="not a gpugrad model file"):
        models.load_model(path)
    content = {
        "kind": "gpugrad.model",
        "name": "mlp",
        "config": {"in_features": 6},
        "classes": [],
        "info": {},
        "state": dict(models.MLP(7).state_dict()),
    }
    gg.save(content, path)
    with pytest.raises(DataError, match="the parameters do not fit the model 'mlp'"):
        models.load_model(path)
    gg.save(content | {"name": "later"}, path)
    with pytest.raises(DataError, match=r"m.safetensors: there is no model 'later'"):
        models.load_model(path)
    gg.save({key: value for key, value in content.items() if key != "config"}, path)
    with pytest.raises(DataError, match="without a proper config"):
        models.load_model(path)
    models.save_model(path, models.MLP())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="truncated"):
        models.load_model(path)
