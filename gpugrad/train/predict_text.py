"""`gpugrad predict "some text" --model DIR`: the class of a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gpugrad as gg
from gpugrad.errors import DataError
from gpugrad.tensor import Tensor
from gpugrad.text import Tokenizer
from gpugrad.train.text import TRAINING, load_model_folder, preprocessing

_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


def predict_text(text: str, folder: str, device: str = "auto") -> list[tuple[str, float]]:
    """(class, probability) of each class, the most probable first.

    Raises DataError for an empty text, the name of a picture, and a folder without a classifier.
    """
    if not text.strip():
        raise DataError("predict: the text is empty.\n  Give the text in quotes.")
    if text.lower().endswith(_PICTURES) and Path(text).is_file():
        raise DataError(
            f"{text}: a picture, but the model {folder} reads text.\n"
            "  Name the model file of a classifier of pictures with --model FILE."
        )
    model, tokenizer, place = load_model_folder(folder, device)
    training = _training(folder)
    classes = _classes(model, training)
    done = training.get("options", {})
    change = preprocessing(bool(done.get("drop_stop_words")), bool(done.get("lemmatize")))
    with gg.no_grad():
        logits = model(**_batch(change(text), tokenizer, place))
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(classes) < 2:
        raise DataError(
            f"{folder}: a {type(model).__name__} does not tell classes apart.\n"
            "  Name the folder of a classifier: `gpugrad train sentiment` makes one."
        )
    if logits.shape[1] == 1:  # one logit for two classes
        chance = gg.sigmoid(logits)[0, 0].item()
        chances = [1 - chance, chance]
    else:
        chances = gg.softmax(logits, 1)[0].tolist()
    if len(classes) != len(chances):
        raise DataError(
            f"{folder}: the model gives {len(chances)} numbers, its files name {len(classes)} "
            "classes.\n  The folder is damaged: train again."
        )
    return sorted(zip(classes, chances, strict=True), key=lambda each: -each[1])


def _batch(text: str, tokenizer: Tokenizer, device: Any) -> dict[str, Any]:
    batch = tokenizer(text, truncation=True, return_tensors="gg")
    if batch.input_ids.shape[1] == 0:
        raise DataError(
            f"predict: the text has no token that the model knows: {text[:40]!r}.\n"
            "  Give some words."
        )
    return dict(batch.to(device))


def _training(folder: str) -> dict[str, Any]:
    """What training.json says; nothing of a folder that was not trained here."""
    path = Path(folder) / TRAINING
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: no JSON: {error}.\n  The folder is damaged.") from error
    return found if isinstance(found, dict) else {}


def _classes(model: Any, training: dict[str, Any]) -> list[str]:
    """Names of the classes: the model's, or of one logit the two of training.json."""
    names: dict[int, str] = getattr(model, "id2label", None) or {}
    if len(names) < 2 and training.get("classes"):
        return [str(name) for name in training["classes"]]
    return [names[i] for i in sorted(names)]
