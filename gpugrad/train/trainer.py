"""The training loop."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import gpugrad as gg
from gpugrad.autograd import check_parameters
from gpugrad.dtype import DType
from gpugrad.errors import CaptureError, DataError, DeviceError
from gpugrad.graphs import Captured, StepDone
from gpugrad.nn import Module
from gpugrad.nn.utils import clip_grad_norm_
from gpugrad.optim import Optimizer
from gpugrad.tensor import Tensor
from gpugrad.train.evaluate import Metric, predicted
from gpugrad.train.hooks import Hook
from gpugrad.train.meters import Mean

SHAPES = 8
"""Shapes of batches that get a graph each; the others, such as a last short batch, run eagerly."""


class Trainer:
    """Runs epochs of forward, backward and optimizer step; hooks do everything else.

        trainer = Trainer(model, optimizer, F.cross_entropy, metrics={"accuracy": accuracy},
                          hooks=[StopOnNonFinite(), Evaluate(test_loader), Progress()])
        trainer.fit(train_loader, epochs=10)

    Losses and metrics stay on the device and are read together every `read_every` steps or
    `read_seconds`, whichever comes first, so the host does not wait at each step; a bad loss is
    therefore seen a little late (its step is known exactly). After the first backward it warns
    about parameters that got no gradient.

    A batch is (x, target): the prediction is model(x), or model(**x) where x is a dict. The first
    axis of the target counts the items.

    Args:
        loss: (prediction, target) -> the batch's mean loss, a tensor of shape ().
        metrics: name -> (prediction, target) -> sum over the batch's items, shape ().
        clip: the largest norm of all gradients together (nn.utils.clip_grad_norm_).
        autocast: the half type in which the model and the loss run (gg.autocast); float16 with a
            GradScaler. None leaves that to them.
        capture: whether steps are captured (gg.capture). None: on a GPU, where the model and the
            loss let it, with a warning where they read from the device. True raises CaptureError
            then, also on the CPU, where a captured step runs eagerly; False never captures.

    Attributes: `epoch` and `step` count from 1; `log` holds the numbers of the last epoch: epoch,
    step, loss, each metric, lr, seconds, items_per_second, and what hooks add.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Metric,
        *,
        metrics: Mapping[str, Metric] | None = None,
        hooks: Sequence[Hook] = (),
        clip: float | None = None,
        autocast: DType | None = None,
        read_every: int = 50,
        read_seconds: float = 1.0,
        capture: bool | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.metrics = dict(metrics or {})
        self.hooks = list(hooks)
        self.clip = clip
        self.autocast = nullcontext() if autocast is None else gg.autocast(autocast)
        self.scaler = gg.GradScaler(enabled=autocast == gg.float16)
        self.read_every = read_every
        self.read_seconds = read_seconds
        self.capture = capture
        self._captured = Captured(self._update, shapes=SHAPES, strict=False)
        self.epoch = 0
        self.step = 0
        self.epochs = 0
        self.batches: int | None = None  # in an epoch, where the loader knows
        self.log: dict[str, float] = {}
        self.meters = {name: Mean() for name in ("loss", *self.metrics)}

    @property
    def lr(self) -> float:
        """The learning rate of the first parameter group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def fit(self, loader: Iterable[tuple[Any, Tensor]], epochs: int) -> dict[str, float]:
        """Train until `epochs` epochs are done (counting those before a resume); gives `log`."""
        self.epochs = epochs
        self.batches = _length(loader)
        try:
            self._call("on_start")
            while self.epoch < epochs:
                self._run_epoch(loader)
        finally:
            self._call("on_end")
        return self.log

    def train_step(self, x: Any, target: Tensor) -> None:
        """One step on one batch. Nothing here waits for the device."""
        if self.step and (target.backend.captures if self.capture is None else self.capture):
            loss, found = self._by_graph(dict(x) if isinstance(x, Mapping) else x, target)
        else:
            loss, found = self._update(x, target)
            if self.step == 0:
                check_parameters(self.model)
        self.step += 1
        count = int(target.shape[0])
        self.meters["loss"].update(loss, count)
        for name, value in found.items():
            self.meters[name].update(value, count, summed=True)

    def _update(self, x: Any, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The part of a step that is the device's: gives the loss and the metrics."""
        self.optimizer.zero_grad()
        with self.autocast:
            prediction = predicted(self.model, x)
            loss = self.loss(prediction, target)
        self.scaler.scale(loss).backward()
        if self.clip is not None:
            self.scaler.unscale_(self.optimizer)
            clip_grad_norm_(self.model.parameters(), self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        with gg.no_grad(), self.autocast:  # sums of half predictions are float32 there
            return loss, {name: f(prediction, target) for name, f in self.metrics.items()}

    def _by_graph(self, x: Any, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """`_update`, captured; where it cannot be and need not, eagerly from now on."""
        try:
            return self._captured(x, target)
        except (CaptureError, DeviceError) as error:
            if self.capture:
                raise
            warnings.warn(f"train: steps are not captured. {error}", stacklevel=3)
            self.capture = False
            self._captured.reset()
            return error.result if isinstance(error, StepDone) else self._update(x, target)

    def read(self) -> None:
        """Bring losses and metrics to the host, and tell the hooks. Waits for the device."""
        meter = self.meters["loss"]
        first_step = self.step - meter.waiting + 1
        losses = meter.read()
        for name in self.metrics:
            self.meters[name].read()
        if losses.size:
            self._call("on_read", first_step, losses)

    def _run_epoch(self, loader: Iterable[tuple[Any, Tensor]]) -> None:
        self.epoch += 1
        for meter in self.meters.values():
            meter.reset()
        self.model.train()
        self._call("on_epoch_start")
        after_step = self._overriding("on_step_end")
        started = last_read = time.perf_counter()
        for x, target in loader:
            self.train_step(x, target)
            for hook_method in after_step:
                hook_method(self)
            now = time.perf_counter()
            if (
                self.meters["loss"].waiting >= self.read_every
                or now - last_read > self.read_seconds
            ):
                self.read()
                last_read = now
        self.read()
        if self.meters["loss"].count == 0:
            raise DataError(
                f"train: the loader gave no batches in epoch {self.epoch}.\n  An iterator is used "
                "up after one epoch: give a DataLoader or a list. drop_last may have dropped all."
            )
        seconds = time.perf_counter() - started
        self.log = {
            "epoch": self.epoch,
            "step": self.step,
            **{name: meter.value() for name, meter in self.meters.items()},
            "lr": self.lr,
            "seconds": seconds,
            "items_per_second": self.meters["loss"].count / max(seconds, 1e-9),
        }
        self._call("on_epoch_end")

    def _overriding(self, name: str) -> list[Callable[..., None]]:
        """That method of each hook that has its own: most have none, and steps are short."""
        base = getattr(Hook, name)
        return [getattr(hook, name) for hook in self.hooks if getattr(type(hook), name) is not base]

    def _call(self, name: str, *args: Any) -> None:
        for hook in self.hooks:
            getattr(hook, name)(self, *args)


def _length(loader: Any) -> int | None:
    """Batches of an epoch; None where the loader does not know."""
    try:
        return len(loader)
    except TypeError:
        return None
