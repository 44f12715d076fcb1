"""`gpugrad predict`: which digit a picture shows."""

from __future__ import annotations

import os
from pathlib import Path

import gpugrad as gg
from gpugrad.data.images import read_digit
from gpugrad.data.mnist import normalise
from gpugrad.errors import DataError
from gpugrad.models import SavedModel, load_model

DEFAULT_MODEL = "mnist-mlp.safetensors"


def predict(
    image: str | os.PathLike[str],
    model: str | os.PathLike[str] | SavedModel = DEFAULT_MODEL,
    device: str = "auto",
) -> list[tuple[str, float]]:
    """(class, probability) of each class, the most probable first.

    The picture is brought into MNIST's form by `read_digit`. Raises DataError when the picture or
    the model file is missing or unusable.
    """
    picture = normalise(read_digit(image)[None])
    saved = model if isinstance(model, SavedModel) else load_model(_existing(Path(model)))
    backend = gg.backends.get(device)
    saved.model.to(backend.device).eval()
    with gg.no_grad():
        logits = saved.model(gg.tensor(picture, device=backend.device))
        chances = gg.softmax(logits, 1)[0].tolist()
    classes = saved.classes or [str(i) for i in range(len(chances))]
    if len(classes) != len(chances):
        raise DataError(
            f"the model gives {len(chances)} numbers, its file names {len(classes)} classes.\n"
            "  The file is damaged: train again."
        )
    return sorted(zip(classes, chances, strict=True), key=lambda each: -each[1])


def _existing(path: Path) -> Path:
    if path.is_file():
        return path
    others = sorted(str(each) for each in path.parent.glob("mnist-*.safetensors"))
    hint = f" There is {', '.join(others)}." if others else ""
    raise DataError(
        f"{path}: no such model file.{hint}\n"
        "  Train one with `gpugrad train mnist`, or name one with --model FILE."
    )
