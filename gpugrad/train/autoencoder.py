"""The recipe of autoencoders: pictures back to themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad.nn import Module
from gpugrad.nn import functional as F
from gpugrad.tensor import Tensor
from gpugrad.train.evaluate import Metric
from gpugrad.train.loaders import Batches
from gpugrad.train.recipe import ImageData, Recipe

_SHOWN, _GAP = 10, 2


class Reconstruction(Recipe):
    """Mean squared error between the model's answer and the picture, pixels in [0, 1].

    Beside the model file it leaves a picture: test images above their reconstructions.
    """

    def metrics(self) -> dict[str, Metric]:
        return {}

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(prediction, target)

    def batch(
        self, data: ImageData, x: Tensor, label: Tensor, training: bool
    ) -> tuple[Tensor, Tensor]:
        x = data.pixels(x)
        return x, x

    def score(self, model: Module, test: Batches, log: dict[str, float]) -> dict[str, float]:
        return {"test_error": log["test_loss"]}

    def report(self, score: dict[str, float], model: Module, test: Batches, output: Path) -> str:
        path = output.with_suffix(".png")
        originals = next(iter(test))[0][:_SHOWN]
        model.eval()
        with gg.no_grad():
            answers = model(originals)
        save_rows(path, [originals.numpy(), answers.numpy()])
        print(f"reconstructions saved to {path}")
        return f"test error {score['test_error']:.5f} (mean squared error of a pixel in 0 to 1)"


def save_rows(path: Path, rows: list[np.ndarray[Any, Any]]) -> None:
    """Write a PNG with one row of pictures for each (n, c, h, w) in [0, 1], c 1 or 3."""
    from PIL import Image

    count, channels, height, width = rows[0].shape
    shape = ((height + _GAP) * len(rows) - _GAP, (width + _GAP) * count - _GAP, channels)
    canvas = np.full(shape, 255, np.uint8)
    for i, row in enumerate(rows):
        pixels = np.rint(np.clip(row, 0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
        top = i * (height + _GAP)
        for j, picture in enumerate(pixels):
            left = j * (width + _GAP)
            canvas[top : top + height, left : left + width] = picture
    Image.fromarray(canvas if channels == 3 else canvas[..., 0]).save(path, format="PNG")
