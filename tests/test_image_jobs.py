"""The jobs on images: `gpugrad train mnist|cifar10` for every model, on small made-up data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_data import write_mnist

import gpugrad as gg
from gpugrad import cli, models, optim
from gpugrad.data import CIFAR10, TensorDataset
from gpugrad.errors import ArgumentError
from gpugrad.train import Checkpoint, airbench, cifar10, images
from gpugrad.train import mnist as mnist_job
from gpugrad.train.schedules import Triangle

Capture = pytest.CaptureFixture[str]
ACCURACY = re.compile(r"test accuracy \d{1,3}\.\d\d %")


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files named without a folder go to a temporary one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GPUGRAD_TRACEBACK", raising=False)
    monkeypatch.delenv("GPUGRAD_DATA", raising=False)


def write_cifar10(folder: Path, train: int = 320, test: int = 60) -> Path:
    """The binary version: ten colours, one for each class, with noise."""
    rng = np.random.default_rng(0)
    colours = np.random.default_rng(1).integers(40, 216, (10, 3, 1, 1))
    files = {f"data_batch_{i}": train // 5 for i in range(1, 6)} | {"test_batch": test}
    (folder / "cifar-10-batches-bin").mkdir(parents=True)
    for name, count in files.items():
        labels = rng.integers(0, 10, count)
        pixels = np.clip(colours[labels] + rng.normal(0, 30, (count, 3, 32, 32)), 0, 255)
        records = np.concatenate([labels[:, None], pixels.reshape(count, -1)], 1)
        (folder / "cifar-10-batches-bin" / f"{name}.bin").write_bytes(records.astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_cifar10(tmp_path_factory.mktemp("cifar")))


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_mnist(tmp_path_factory.mktemp("mnist") / "MNIST").parent)


def run(*arguments: str) -> int:
    """The exit status of a command in this process."""
    try:
        return cli.main(arguments)
    except SystemExit as stop:  # argparse
        return int(stop.code or 0)


def train(data_set: str, data: str, model: str, *arguments: str) -> int:
    return run("train", data_set, "--data", data, "--device", "cpu", "--model", model, *arguments)


def error_of(capsys: Capture, *arguments: str) -> str:
    assert run(*arguments) == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


# ---- every model -----------------------------------------------------------------------------

NARROW = ("--config", "width=8")
CIFAR_MODELS: dict[str, tuple[str, ...]] = {
    "mlp": (),
    "lenet": (),
    "cnn": (),
    "resnet18": NARROW,
    "resnet34": NARROW,
    "resnet50": NARROW,
    "vgg11": (*NARROW, "--config", "hidden=16"),
    "vgg16_bn": (*NARROW, "--config", "hidden=16"),
    "googlenet": ("--config", "width=4"),
    "airbench": ("--config", "widths=[24,24,32]"),
}


@pytest.mark.parametrize("model", CIFAR_MODELS)
def test_cifar10(cifar: str, capsys: Capture, model: str) -> None:
    arguments = ("--epochs", "1", "--batch-size", "64", *CIFAR_MODELS[model])
    assert train("cifar10", cifar, model, *arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"training {model} \(\d+ parameters\) on cpu, 320 images", lines[0])
    assert lines[1].startswith("epoch 1/1  loss ")
    assert lines[2] == f"model saved to cifar10-{model}.safetensors"
    assert ACCURACY.fullmatch(lines[3])
    assert len(lines) == 4
    saved = models.load_model(f"cifar10-{model}.safetensors")
    assert saved.classes == list(CIFAR10.classes)
    assert saved.info["data"] == "cifar10"


@pytest.mark.parametrize("model", ["lenet", "cnn"])
def test_mnist(mnist: str, capsys: Capture, model: str) -> None:
    assert train("mnist", mnist, model, "--epochs", "1") == 0
    assert ACCURACY.fullmatch(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("data_set", ["mnist", "cifar10"])
@pytest.mark.parametrize("model", ["autoencoder", "conv_autoencoder"])
def test_autoencoders(
    request: pytest.FixtureRequest, capsys: Capture, data_set: str, model: str
) -> None:
    """The last line is the error; the picture shows originals above reconstructions."""
    data = request.getfixturevalue("mnist" if data_set == "mnist" else "cifar")
    assert train(data_set, data, model, "--epochs", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == f"reconstructions saved to {data_set}-{model}.png"
    error = re.fullmatch(r"test error (0\.\d{5}) \(mean squared error of a .*\)", lines[-1])
    assert error is not None
    saved = models.load_model(f"{data_set}-{model}.safetensors")
    assert saved.info["test_error"] == pytest.approx(float(error[1]), abs=1e-5)
    picture = np.asarray(Image.open(f"{data_set}-{model}.png"))
    side = 28 if data_set == "mnist" else 32
    assert picture.shape[:2] == (2 * side + 2, 10 * side + 18)
    job = {"mnist": mnist_job.DATA, "cifar10": cifar10.DATA}[data_set]
    test = job.load(data, False, gg.device("cpu"))
    original = np.rint(job.pixels(test.tensors[0][3:4]).numpy()[0] * 255)
    shown = picture[:side, 3 * (side + 2) :][:, :side].reshape(side, side, -1)
    np.testing.assert_allclose(shown.transpose(2, 0, 1), original, atol=1)
    text = error_of(
        capsys, "predict", f"{data_set}-{model}.png", "--model", f"{data_set}-{model}.safetensors"
    )
    assert f"the model '{model}' gives pictures, not classes" in text


def test_it_learns(cifar: str, capsys: Capture) -> None:
    """Ten colours are not hard."""
    arguments = ("--epochs", "4", "--batch-size", "32", "--log", "log")
    assert train("cifar10", cifar, "cnn", *arguments) == 0
    accuracy = float(capsys.readouterr().out.split()[-2])
    assert accuracy > 90
    log = [json.loads(line) for line in Path("log").read_text().splitlines()]
    assert [each["epoch"] for each in log] == [1, 2, 3, 4]
    assert log[-1]["lr"] < log[0]["lr"]
    picture = np.full((48, 40, 3), 0, np.uint8)
    planes = cifar10.DATA.load(cifar, False, gg.device("cpu")).tensors
    picture[4:44] = np.asarray(
        Image.fromarray(planes[0][0].numpy().transpose(1, 2, 0)).resize((40, 40))
    )
    Image.fromarray(picture).save("photo.png")
    assert run("predict", "photo.png", "--model", "cifar10-cnn.safetensors", "--device", "cpu") == 0
    best = capsys.readouterr().out.splitlines()[0]
    assert best.split()[0] == CIFAR10.classes[int(planes[1][0].item())]


@pytest.mark.parametrize("model", ["resnet18", "airbench"])
def test_resumed_and_whole_are_equal(
    cifar: str, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """Augmentation, alternating flips, lookahead, running statistics: to the bit."""
    common = ("--epochs", "6", "--batch-size", "64", *CIFAR_MODELS[model])
    assert train("cifar10", cifar, model, *common, "--output", "whole") == 0
    save = Checkpoint.on_epoch_end
    for stop in (2, 5):  # before and after the lookahead begins

        def interrupted(self: Any, trainer: Any, stop: int = stop) -> None:
            save(self, trainer)
            if trainer.epoch == stop:
                raise KeyboardInterrupt

        monkeypatch.setattr(Checkpoint, "on_epoch_end", interrupted)
        checkpoint = ("--checkpoint", "c") if stop == 2 else ("--resume", "c")
        assert train("cifar10", cifar, model, *common, "--output", "part", *checkpoint) == 130
        monkeypatch.setattr(Checkpoint, "on_epoch_end", save)
    assert train("cifar10", cifar, model, *common, "--output", "part", "--resume", "c") == 0
    assert Path("whole").read_bytes() == Path("part").read_bytes()


# ---- parts -----------------------------------------------------------------------------------


def test_triangle() -> None:
    model = gg.nn.Linear(1, 1)
    optimizer = optim.SGD(
        [{"params": [model.weight], "lr": 2.0}, {"params": [model.bias], "lr": 4.0}]
    )
    scheduler = Triangle(optimizer, 100)
    found = [scheduler.get_last_lr()]
    for _ in range(100):
        optimizer.step()
        scheduler.step()
        found.append(scheduler.get_last_lr())
    rates = np.array(found)
    np.testing.assert_allclose(rates[:, 1], 2 * rates[:, 0])
    np.testing.assert_allclose(rates[[0, 23, 100], 0], [0.4, 2.0, 0.14])
    np.testing.assert_allclose(np.diff(rates[:24, 0]), 1.6 / 23)


def test_airbench_optimizer() -> None:
    """Groups and numbers of the published program, in terms of a batch's mean loss."""
    recipe = cifar10.RECIPES["airbench"]
    model = models.Airbench(widths=[24, 24, 24])
    optimizer = recipe.make_optimizer(images.Options("airbench", batch_size=512), model)
    assert isinstance(optimizer, optim.SGD)
    biases, others = optimizer.param_groups
    assert len(biases["params"]) == 6
    assert len(others["params"]) == 1 + 6 + 1
    lr = 11.5 / (1024 * (1 + 1 / 0.15)) * 512  # times 512: the published loss is a sum
    assert others["lr"] == pytest.approx(lr)
    assert biases["lr"] == pytest.approx(64 * lr)
    for group in (biases, others):
        assert group["lr"] * group["weight_decay"] == pytest.approx(
            0.0153 * 512 / (1024 * (1 + 1 / 0.15))
        )
        assert (group["momentum"], group["nesterov"]) == (0.85, True)


class At:
    """A trainer as hooks see it."""

    def __init__(self, epoch: int, step: int = 0) -> None:
        self.epoch, self.step = epoch, step


def test_alternating_flip() -> None:
    """Every picture is seen one way in odd epochs and the other way in even ones."""
    gg.manual_seed(3)
    plain = np.random.default_rng(0).integers(0, 256, (64, 3, 4, 4)).astype(np.uint8)
    dataset = TensorDataset(gg.tensor(plain), gg.arange(64))
    hook = airbench.AlternatingFlip(dataset)
    seen = []
    for epoch in (1, 2, 3):
        hook.on_epoch_start(At(epoch))  # type: ignore[arg-type]
        seen.append(dataset.tensors[0].numpy())
    mirrored = (seen[0] != plain).any((1, 2, 3))
    assert 16 < mirrored.sum() < 48
    np.testing.assert_array_equal(seen[0][mirrored], plain[mirrored][..., ::-1])
    np.testing.assert_array_equal(seen[1], seen[0][..., ::-1])
    np.testing.assert_array_equal(seen[2], seen[0])


def test_lookahead() -> None:
    """average = d average + (1 - d) weight, d = 0.95^5 (step / steps)^3, put back; from epoch 4."""
    model = gg.nn.Linear(1, 1, bias=False)
    hook = airbench.Lookahead(model, steps=60)  # twelve in an epoch
    weight, average = 1.0, None
    for step in range(1, 61):
        epoch = (step + 11) // 12
        with gg.no_grad():
            model.weight.fill_(weight := weight + step)
        hook.on_step_end(At(epoch, step))  # type: ignore[arg-type]
        if epoch > 3 and step % 5 == 0:
            d = 0.95**5 * (step / 60) ** 3
            average = weight if average is None else d * average + (1 - d) * weight
            weight = average
        if step % 12 == 0:
            hook.on_epoch_end(At(epoch, step))  # type: ignore[arg-type]
            weight = weight if average is None else average
        assert model.weight.item() == pytest.approx(weight, rel=1e-5)


def test_whiten_bias_is_frozen_after_three_epochs() -> None:
    model = models.Airbench(widths=[24, 24, 24])
    hook = airbench.WhitenBias(model)
    found = []
    for epoch in range(1, 6):
        hook.on_epoch_start(At(epoch))  # type: ignore[arg-type]
        assert model.whiten.bias is not None
        found.append(model.whiten.bias.requires_grad)
    assert found == [True, True, True, False, False]


def test_normalised_pixels() -> None:
    raw = gg.tensor(np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32)).astype(np.uint8))
    mean, std = (np.array(v).reshape(3, 1, 1) for v in (CIFAR10.mean, CIFAR10.std))
    found = cifar10.normalised(raw).numpy()
    np.testing.assert_allclose(found, (raw.numpy() / 255 - mean) / std, atol=1e-6)


def test_channels_last(cifar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the backend prefers it, models see such images, and learn the same."""
    seen = []
    forward = models.CNN.forward

    def spied(self: models.CNN, x: gg.Tensor) -> gg.Tensor:
        seen.append(x.is_contiguous(memory_format=gg.channels_last))
        return forward(self, x)

    monkeypatch.setattr(models.CNN, "forward", spied)
    weights = []
    for preferred in (False, True):
        monkeypatch.setattr(type(gg.backends.get("cpu")), "channels_last", preferred)
        seen.clear()
        assert train("cifar10", cifar, "cnn", "--epochs", "1") == 0
        assert set(seen) == {preferred}
        saved = models.load_model("cifar10-cnn.safetensors")
        weights.append(saved.model.state_dict()["conv2.weight"].numpy())
    np.testing.assert_allclose(*weights, atol=1e-4)


# ---- wrong input -----------------------------------------------------------------------------


def test_help_names_the_models(capsys: Capture) -> None:
    for data_set, recipes in (("mnist", mnist_job.RECIPES), ("cifar10", cifar10.RECIPES)):
        assert run("train", data_set, "--help") == 0
        (listed,) = re.findall(r"--model MODEL\s+(.*?) \(default", capsys.readouterr().out, re.S)
        assert set(listed.split()) == set(recipes)
        assert set(recipes) <= set(models.names())


def test_missing_data(capsys: Capture, tmp_path: Path) -> None:
    """One error, which says what to put where."""
    text = error_of(capsys, "train", "cifar10")
    assert "CIFAR-10: no folder was named" in text
    assert "GPUGRAD_DATA" in text
    assert "--data DIR" in text
    assert "cifar-10-python.tar.gz there" in text
    text = error_of(capsys, "train", "cifar10", "--data", str(tmp_path))
    assert f"cifar-10-python.tar.gz into {tmp_path}" in text


def test_wrong_options(cifar: str, capsys: Capture) -> None:
    def error(*arguments: str) -> str:
        return error_of(capsys, "train", "cifar10", "--data", cifar, "--device", "cpu", *arguments)

    assert "no model 'resnet'. Did you mean 'resnet" in error("--model", "resnet")
    assert "'unet' is not trained by this job.\n  Known: airbench" in error("--model", "unet")
    aux = ("--model", "googlenet", "--config", "aux_logits=True", "--config", "width=4")
    assert "gives GoogLeNetOutputs in training, not logits" in error(*aux)
    assert "'depth:3' is not NAME=VALUE" in error("--config", "depth:3")
    assert "'cnn' cannot be made with" in error("--config", "depth=3")
    text = error("--model", "airbench")
    assert "320 training images do not fill one batch of 1024" in text
    assert "--batch-size" in text
    assert "invalid choice: 'linear'" in error("--schedule", "linear")
    assert "Airbench: widths = [1, 2, 3]" in error(
        "--model", "airbench", "--config", "widths=[1,2,3]"
    )
    with pytest.raises(ArgumentError, match=r"no schedule 'linear'; known are cosine"):
        options = images.Options("cnn", schedule="linear", data=cifar, device="cpu")
        images.train_images(cifar10.DATA, cifar10.RECIPES, options)


def test_resume_for_other_epochs(cifar: str, capsys: Capture) -> None:
    common = ("train", "cifar10", "--data", cifar, "--device", "cpu", "--model", "mlp")
    common = (*common, "--schedule", "triangle")
    assert run(*common, "--epochs", "2", "--checkpoint", "c") == 0
    text = error_of(capsys, *common, "--epochs", "3", "--resume", "c")
    assert "c: its triangle schedule was planned for 2 epochs, not 3" in text


@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
def test_the_setting_of_precision_is_put_back(cifar: str, precision: str) -> None:
    before = gg.get_matmul_precision()
    assert train("cifar10", cifar, "mlp", "--epochs", "1", "--precision", precision) == 0
    assert gg.get_matmul_precision() == before
    assert not gg.is_autocast_enabled("cpu")
