"""`gpugrad predict`: what a picture shows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import gpugrad as gg
from gpugrad.data.images import digit, photo, read_picture
from gpugrad.data.mnist import normalise
from gpugrad.errors import DataError
from gpugrad.models import SavedModel, load_model
from gpugrad.tensor import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

    from gpugrad.device import Device

DEFAULT_MODEL = "mnist-mlp.safetensors"
_PathLike = str | os.PathLike[str]


def predict(
    image: _PathLike, model: _PathLike | SavedModel = DEFAULT_MODEL, device: str = "auto"
) -> list[tuple[str, float]]:
    """(class, probability) of each class, the most probable first.

    The picture is brought into the form of the images the model was trained on: a digit as MNIST's,
    anything else as CIFAR-10's. Raises DataError when the picture or the model file is missing or
    unusable.
    """
    picture = read_picture(image)
    saved = model if isinstance(model, SavedModel) else load_model(_existing(Path(model)))
    if "test_error" in saved.info:
        raise DataError(
            f"the model {saved.name!r} gives pictures, not classes.\n"
            "  Name a file of a classifier with --model FILE."
        )
    backend = gg.backends.get(device)
    saved.model.to(backend.device).eval()
    with gg.no_grad():
        logits = saved.model(_input(picture, image, saved, backend.device))
        chances = gg.softmax(logits, 1)[0].tolist()
    classes = saved.classes or [str(i) for i in range(len(chances))]
    if len(classes) != len(chances):
        raise DataError(
            f"the model gives {len(chances)} numbers, its file names {len(classes)} classes.\n"
            "  The file is damaged: train again."
        )
    return sorted(zip(classes, chances, strict=True), key=lambda each: -each[1])


def _input(picture: Image, path: _PathLike, saved: SavedModel, device: Device) -> Tensor:
    """A batch of the one picture, as the model takes it."""
    if saved.info.get("data") == "cifar10":
        from gpugrad.train.cifar10 import normalised

        return normalised(gg.tensor(np.array(photo(picture)[None]), device=device))
    return gg.tensor(normalise(digit(picture, path)[None]), device=device)


def _existing(path: Path) -> Path:
    if path.is_file():
        return path
    found = sorted(
        str(each)
        for kind in ("mnist", "cifar10")
        for each in path.parent.glob(f"{kind}-*.safetensors")
    )
    hint = f" There is {', '.join(found)}." if found else ""
    raise DataError(
        f"{path}: no such model file.{hint}\n"
        "  Train one with `gpugrad train mnist`, or name one with --model FILE."
    )
