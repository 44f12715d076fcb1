"""How good a classifier is: accuracy, precision, recall, F1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

import gpugrad as gg
from gpugrad.errors import ArgumentError, DataError
from gpugrad.nn import Module
from gpugrad.tensor import Tensor
from gpugrad.train.evaluate import predicted


class Scores(NamedTuple):
    """Shares in [0, 1]. Of two classes precision, recall and F1 are those of the second (positive)
    one; of more the mean over classes."""

    accuracy: float
    precision: float
    recall: float
    f1: float


def chosen_class(logits: Tensor) -> Tensor:
    """int64 (n,): the largest of logits (n, classes); of a single one whether it is positive."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)


def scores(confusion: Any) -> Scores:
    """From counts (classes, classes) of items by true class (row) and predicted class (column).

    precision = true positives / predicted, recall = true positives / true,
    F1 = 2 precision recall / (precision + recall); 0 where there is nothing to divide by.
    """
    counts = np.asarray(confusion, np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.sum():
        raise ArgumentError(
            f"scores: confusion has shape {counts.shape}; it must be counts (classes, classes), "
            "not all 0."
        )
    hits = counts.diagonal()
    precision, recall = _divided(hits, counts.sum(0)), _divided(hits, counts.sum(1))
    f1 = _divided(2 * precision * recall, precision + recall)
    of = slice(1, 2) if len(counts) == 2 else slice(None)
    means = [float(each[of].mean()) for each in (precision, recall, f1)]
    return Scores(float(hits.sum() / counts.sum()), *means)


def confusion_matrix(prediction: Any, target: Any, classes: int) -> np.ndarray[Any, Any]:
    """Counts int64 (classes, classes) of true class (row) and predicted class (column).

    prediction and target are classes (n,), as tensors, arrays or lists.
    """
    rows = [
        np.asarray(each.numpy() if isinstance(each, Tensor) else each, np.int64).reshape(-1)
        for each in (target, prediction)
    ]
    if len(rows[0]) != len(rows[1]):
        raise ArgumentError(
            f"confusion_matrix: {len(rows[1])} predictions with {len(rows[0])} targets."
        )
    both = np.stack(rows)
    if both.size and not (both.min() >= 0 and both.max() < classes):
        raise ArgumentError(f"confusion_matrix: a class lies outside 0 to {classes - 1}.")
    return np.bincount(both[0] * classes + both[1], minlength=classes**2).reshape(classes, classes)


def classify(
    model: Module, loader: Iterable[tuple[Any, Tensor]], classes: int
) -> np.ndarray[Any, Any]:
    """The confusion matrix of a model in eval mode on a loader's (x, target)."""
    found: list[Tensor] = []
    targets: list[Tensor] = []
    training = model.training
    model.eval()
    try:
        with gg.no_grad():
            for x, target in loader:
                found.append(chosen_class(predicted(model, x)))
                targets.append(target)
    finally:
        model.train(training)
    if not found:
        raise DataError("classify: the loader gave no batches.")
    return confusion_matrix(gg.cat(found), gg.cat(targets), classes)


def _divided(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)
