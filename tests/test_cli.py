"""The command line: output, exit status, files, errors."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_data import idx_bytes, write_mnist

import gpugrad as gg
from gpugrad import cli, models
from gpugrad.cli_values import OPTIMIZER_NAMES
from gpugrad.data.mnist import load_mnist
from gpugrad.train import Checkpoint, Trainer
from gpugrad.train.recipe import OPTIMIZERS

Capture = pytest.CaptureFixture[str]
LAST_LINE = re.compile(r"test accuracy \d{1,3}\.\d\d %")


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files named without a folder go to a temporary one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GPUGRAD_TRACEBACK", raising=False)
    monkeypatch.delenv("GPUGRAD_DATA", raising=False)


@pytest.fixture
def small(tmp_path: Path) -> str:
    """A folder with a small part of MNIST."""
    return str(write_mnist(tmp_path / "data" / "MNIST").parent)


def run(*arguments: str) -> int:
    """The exit status of a command in this process."""
    try:
        return cli.main(arguments)
    except SystemExit as stop:  # argparse
        return int(stop.code or 0)


def error_of(capsys: Capture, *arguments: str) -> str:
    """What a command that fails with status 2 says; it must not be a traceback."""
    assert run(*arguments) == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    assert "gpugrad" in text
    return text


# ---- train -----------------------------------------------------------------------------------


def test_train_saves_and_reports(small: str, capsys: Capture) -> None:
    assert run("train", "mnist", "--data", small, "--epochs", "3", "--device", "cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "training mlp (101770 parameters) on cpu, 256 images"
    assert [line.partition("  ")[0] for line in lines[1:4]] == [
        "epoch 1/3",
        "epoch 2/3",
        "epoch 3/3",
    ]
    for part in ("loss", "accuracy", "images/s", "test accuracy"):
        assert part in lines[1]
    assert lines[4] == "model saved to mnist-mlp.safetensors"
    assert LAST_LINE.fullmatch(lines[5])
    assert len(lines) == 6
    saved = models.load_model("mnist-mlp.safetensors")
    assert saved.name == "mlp"
    assert saved.classes == list("0123456789")
    assert f"test accuracy {100 * saved.info['test_accuracy']:.2f} %" == lines[5]


def test_same_seed_same_bits(small: str) -> None:
    for name, seed in (("a", "4"), ("b", "4"), ("c", "5")):
        arguments = ("--epochs", "1", "--seed", seed, "--output", name, "--device", "cpu")
        assert run("train", "mnist", "--data", small, *arguments) == 0
    a, b, c = (Path(name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if n != "adam"])
def test_optimizers(small: str, name: str) -> None:
    assert run("train", "mnist", "--data", small, "--epochs", "1", "--optimizer", name) == 0


def test_the_help_names_all_optimizers() -> None:
    assert sorted(re.findall(r"\w+", OPTIMIZER_NAMES.replace(" or ", " "))) == sorted(OPTIMIZERS)


def test_checkpoint_and_resume(
    small: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """A run that was interrupted and resumed ends with the bits of one that was not."""
    common = ("train", "mnist", "--data", small, "--device", "cpu", "--epochs", "3")
    assert run(*common, "--output", "whole") == 0

    def interrupted(self: Checkpoint, trainer: Trainer) -> None:
        save(self, trainer)
        if trainer.epoch == 2:
            raise KeyboardInterrupt

    save = Checkpoint.on_epoch_end
    monkeypatch.setattr(Checkpoint, "on_epoch_end", interrupted)
    assert run(*common, "--output", "part", "--checkpoint", "c") == 130
    monkeypatch.setattr(Checkpoint, "on_epoch_end", save)
    assert not Path("part").exists()
    assert run(*common, "--output", "resumed", "--resume", "c", "--log", "log") == 0
    assert Path("whole").read_bytes() == Path("resumed").read_bytes()
    assert len(Path("log").read_text().splitlines()) == 1
    capsys.readouterr()
    text = error_of(capsys, *common[:-1], "5", "--resume", "c")
    assert "c: its cosine schedule was planned for 3 epochs, not 5" in text


def test_a_constant_schedule_can_be_made_longer(small: str) -> None:
    common = ("train", "mnist", "--data", small, "--device", "cpu", "--schedule", "constant")
    assert run(*common, "--epochs", "2", "--output", "whole") == 0
    assert run(*common, "--epochs", "1", "--output", "part", "--checkpoint", "c") == 0
    assert run(*common, "--epochs", "2", "--output", "part", "--resume", "c") == 0
    assert Path("whole").read_bytes() == Path("part").read_bytes()


def test_the_last_line_of_a_real_run(small: str) -> None:
    """As a user starts it; stdout and stderr are pipes."""
    done = subprocess.run(
        [sys.executable, "-m", "gpugrad", "train", "mnist", "--data", small, "--epochs", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert LAST_LINE.fullmatch(done.stdout.splitlines()[-1])
    assert done.stderr == ""


def test_nan_keeps_the_good_model(small: str, capsys: Capture) -> None:
    Path("good").write_bytes(b"a good model")
    arguments = ("--optimizer", "sgd", "--lr", "1e30", "--output", "good", "--checkpoint", "c")
    text = error_of(capsys, "train", "mnist", "--data", small, *arguments)
    assert re.search(r"the loss became (nan|inf) at step \d+ \(epoch 1\)", text)
    assert "learning rate 1e+30" in text
    assert "--lr 1e+29" in text
    assert Path("good").read_bytes() == b"a good model"
    assert sorted(os.listdir(".")) == ["data", "good"]


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_interrupt(small: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gpugrad", "train", "mnist", "--data", small, "--epochs", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while not process.stdout.readline().startswith("epoch 3/"):
        pass
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip() == "gpugrad: interrupted, nothing half-written"
    assert os.listdir(".") == ["data"]


def test_train_refuses_bad_input(small: str, tmp_path: Path, capsys: Capture) -> None:
    def error(*arguments: str) -> str:
        return error_of(capsys, "train", "mnist", "--data", small, "--epochs", "1", *arguments)

    assert "no model 'cnnn'" in error("--model", "cnnn")
    assert "no optimizer 'newton'; known are adam" in error("--optimizer", "newton")
    assert "'abacus' is not a device" in error("--device", "abacus")
    assert "there is no folder" in error("--output", "no/where/x")
    assert "is a folder" in error("--output", ".")
    assert "is no regular file" in error("--output", os.devnull)
    assert "argument --epochs: '0' is not a positive integer" in error("--epochs", "0")
    assert "argument --lr: 'nan' is not a positive number" in error("--lr", "nan")
    assert "argument --batch-size: 'x' is not a positive integer" in error("--batch-size", "x")
    assert "argument --seed: '-1' is not an integer from 0" in error("--seed", "-1")
    assert "there is no such file" in error("--resume", "nothing")
    (tmp_path / "data" / "MNIST" / "t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\1\0\0\0\x40abc")
    assert "3 bytes of data (truncated); expected 64 bytes" in error()
    empty = tmp_path / "data" / "MNIST"
    (empty / "train-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((0, 28, 28), np.uint8)))
    (empty / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(0, np.uint8)))
    (empty / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(64, np.uint8)))
    assert "the training set has no images" in error()
    assert "mnist-mlp.safetensors" not in os.listdir(".")


def test_missing_gpu(small: str, capsys: Capture) -> None:
    if gg.backends.available("cuda"):
        pytest.skip("there is a GPU")
    text = error_of(capsys, "train", "mnist", "--data", small, "--device", "cuda")
    assert "device cuda" in text


def test_traceback_on_demand(small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUGRAD_TRACEBACK", "full")
    with pytest.raises(gg.errors.ArgumentError):
        run("train", "mnist", "--data", small, "--model", "cnnn")


# ---- predict ---------------------------------------------------------------------------------


def test_predict(capsys: Capture) -> None:
    """A model that looks at one pixel in each class's own place."""
    model = models.MLP(784, [], 10)
    image = load_mnist(train=False)[0][0]
    with gg.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.layers[1].bias[7] = 3.0
        model.layers[1].bias[2] = 1.0
    models.save_model("m", model, list("0123456789"))
    Image.fromarray(255 - image).save("digit.png")
    assert run("predict", "digit.png", "--model", "m", "--device", "cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    total = np.exp(3) + np.exp(1) + 8
    assert lines[0] == f"7  {100 * np.exp(3) / total:6.2f} %"
    assert lines[1] == f"2  {100 * np.exp(1) / total:6.2f} %"
    assert len(lines) == 3


def test_predict_errors(capsys: Capture) -> None:
    text = error_of(capsys, "predict", "nothing.png")
    assert "nothing.png: no such file" in text
    assert "To classify a text, name the folder" in error_of(capsys, "predict", "good")
    Path("text.png").write_text("hello")
    assert "text.png: not an image" in error_of(capsys, "predict", "text.png")
    Image.fromarray(load_mnist(train=False)[0][0]).save("digit.png")
    text = error_of(capsys, "predict", "digit.png")
    assert "mnist-mlp.safetensors: no such model file" in text
    assert "Train one with `gpugrad train mnist`" in text
    models.save_model("mnist-other.safetensors", models.MLP())
    assert "There is mnist-other.safetensors." in error_of(capsys, "predict", "digit.png")
    Path("broken").write_bytes(b"\1")
    assert "broken" in error_of(capsys, "predict", "digit.png", "--model", "broken")


# ---- the rest --------------------------------------------------------------------------------


def test_doctor(capsys: Capture) -> None:
    status = run("doctor")
    assert "devices that work: cpu" in capsys.readouterr().out
    assert status in (0, 1)
    if not gg.backends.available("cuda"):
        assert run("doctor", "--device", "cuda") == 1


def test_version_and_help(capsys: Capture) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"gpugrad {gg.__version__}\n"
    assert run() == 2
    assert "train" in capsys.readouterr().out
    assert run("train", "mnist", "--help") == 0
    out = capsys.readouterr().out
    for option in ("--model", "--epochs", "--batch-size", "--lr", "--device", "--seed", "--output"):
        assert option in out
    assert run("train") == 2
    assert run("train", "cifar") == 2
