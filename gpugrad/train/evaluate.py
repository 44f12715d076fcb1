"""Loss and metrics over a whole data set, without gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gpugrad as gg
from gpugrad.errors import DataError
from gpugrad.nn import Module
from gpugrad.tensor import Tensor
from gpugrad.train.meters import Mean

Metric = Callable[[Any, Tensor], Tensor]


def predicted(model: Module, x: Any) -> Any:
    """model(x), or model(**x) where x is a dict, as a tokenizer gives it."""
    return model(**x) if isinstance(x, Mapping) else model(x)


def accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """How many rows of logits (n, classes) have their largest value at target (n,): int64 ()."""
    return (logits.argmax(1) == target).sum()


def evaluate(
    model: Module,
    loader: Iterable[tuple[Any, Tensor]],
    loss: Metric,
    metrics: Mapping[str, Metric] | None = None,
) -> dict[str, float]:
    """{"loss": mean loss, name: mean of the metric} over all items.

    `loss` gives a batch's mean, a metric the sum over its items. The model is put into eval mode
    meanwhile. The host waits for the device once, at the end.
    """
    metrics = metrics or {}
    meters = {name: Mean() for name in ("loss", *metrics)}
    training = model.training
    model.eval()
    try:
        with gg.no_grad():
            for x, target in loader:
                y = predicted(model, x)
                count = int(target.shape[0])
                meters["loss"].update(loss(y, target), count)
                for name, metric in metrics.items():
                    meters[name].update(metric(y, target), count, summed=True)
    finally:
        model.train(training)
    if meters["loss"].count == 0:
        raise DataError(
            "evaluate: the loader gave no batches.\n  An iterator is used up after one epoch: give "
            "a DataLoader or a list."
        )
    return {name: meter.value() for name, meter in meters.items()}
