"""The classic CIFAR-10 program runs with only its import lines changed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from image_files import write_cifar

import gpugrad as gg
from gpugrad.data import CIFAR10

PROGRAM = Path(__file__).parent / "programs" / "cifar10_tutorial.py"
FIRST, LAST = "# ---- imports ----\n", "# ---- end of imports ----\n"

OURS = """\
import gpugrad as torch
import gpugrad.nn as nn
import gpugrad.nn.functional as F
import gpugrad.optim as optim
import gpugrad.vision as torchvision
import gpugrad.vision.transforms as transforms
from gpugrad.utils.data import DataLoader
"""


def changed_program() -> str:
    """The program with the lines between the two marks replaced."""
    text = PROGRAM.read_text()
    head, rest = text.split(FIRST)
    imports, body = rest.split(LAST)
    lines = [line for line in imports.splitlines() if line]
    assert lines and all(re.match(r"(import|from) torch", line) for line in lines)
    return head + FIRST + OURS + LAST + body


def test_only_imports_name_pytorch() -> None:
    """What the replaced block binds is all that the rest of the program has of PyTorch."""
    names = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(changed_program()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    theirs = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(ast.parse(PROGRAM.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert names == theirs


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """What the program printed, and the folder it ran in."""
    folder = tmp_path_factory.mktemp("dropin")
    write_cifar(folder / "data", CIFAR10, "python2", train=1600, test=200)
    program = folder / "cifar10_tutorial.py"
    program.write_text(changed_program())
    command = [sys.executable, "-W", "error", str(program), "data", "3", "100"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines(), folder


def test_the_loss_falls(output: tuple[list[str], Path]) -> None:
    lines, _ = output
    losses = [float(line.split()[-1]) for line in lines if re.match(r"\[\d+, ", line)]
    assert len(losses) == 12  # 400 steps in each of 3 epochs
    # It starts at about log 10 = 2.3, and guessing stays there.
    assert 2.1 < losses[0] < 2.5
    assert losses[-1] < losses[0] / 2


def test_the_accuracy_is_far_above_chance(output: tuple[list[str], Path]) -> None:
    lines, _ = output
    accuracy = re.fullmatch(
        r"Accuracy of the network on the 200 test images: ([\d.]+) %", lines[-1]
    )
    # Of 200 guesses 10 % are right, with a deviation of 2.1 %.
    assert accuracy is not None and float(accuracy.group(1)) > 50
    assert sum(line.startswith("Accuracy of ") for line in lines) == 11


def test_files_and_other_output(output: tuple[list[str], Path]) -> None:
    lines, folder = output
    assert (folder / "cifar_net.pth").stat().st_size > 62006 * 4
    assert (folder / "some.png").read_bytes().startswith(b"\x89PNG")
    assert "62006 parameters" in lines and "some.png (36, 138, 3)" in lines
    assert "Finished Training" in lines
    assert any(line.startswith("  (conv1): Conv2d(3, 6, kernel_size=(5, 5)") for line in lines)


def test_extremes_of_data() -> None:
    """Programs ask where the largest value of `outputs.data` is."""
    x = gg.tensor([[1.0, 3.0, 2.0], [6.0, 4.0, 5.0]], requires_grad=True)
    values, indices = gg.max(x.data, 1)
    assert values.tolist() == [3.0, 6.0] and indices.tolist() == [1, 0]
    assert not values.requires_grad and indices.dtype == gg.int64
    assert gg.min(x.data, dim=0).indices.tolist() == [0, 0, 0]
    assert gg.max(x.data).item() == 6 and gg.argmax(x.data, 1).tolist() == [1, 0]
    assert gg.argmin(x.bfloat16().data).item() == 0
    with pytest.raises(TypeError, match="max: input must be a Tensor, got list"):
        gg.max([1, 2], 0)


def test_weights_only(tmp_path: Path) -> None:
    """PyTorch's option to read no code is accepted: no code is ever read."""
    gg.save({"w": gg.ones(2)}, tmp_path / "w.pth")
    for choice in (True, False):
        assert gg.load(tmp_path / "w.pth", weights_only=choice)["w"].tolist() == [1, 1]


def test_images_without_transform_are_not_collated(tmp_path: Path) -> None:
    write_cifar(tmp_path, CIFAR10, "binary")
    with pytest.raises(
        TypeError, match=r"make a batch of Image.*\n.*images the transform ToTensor"
    ):
        next(iter(gg.data.DataLoader(CIFAR10(tmp_path), 4)))
    assert np.asarray(CIFAR10(tmp_path)[0][0]).shape == (32, 32, 3)
