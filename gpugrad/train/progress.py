"""What is seen while training."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from gpugrad.train.hooks import Hook

if TYPE_CHECKING:
    from gpugrad.train.trainer import Trainer


def _terminal() -> bool:
    """Whether stderr is a terminal with room for a bar."""
    try:
        return sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns >= 40
    except (OSError, ValueError):
        return False


class Progress(Hook):
    """One line for each epoch on stdout, and while it runs a live bar on stderr, if a terminal.

    Args:
        unit: what an item is called, as in "41000 images/s".
        live: True or False instead of asking whether stderr is a terminal.
    """

    def __init__(self, unit: str = "items", live: bool | None = None) -> None:
        self.unit = unit
        self.live = _terminal() if live is None else live
        self._bar: Any = None
        self._started = 0.0

    def on_epoch_start(self, trainer: Trainer) -> None:
        self._started = time.perf_counter()
        if self.live:
            from tqdm import tqdm

            self._bar = tqdm(
                total=trainer.batches,
                desc=f"epoch {trainer.epoch}/{trainer.epochs}",
                unit=" steps",
                dynamic_ncols=True,
                leave=False,
                bar_format="{desc} {bar:10} {n_fmt}/{total_fmt}{postfix}",
            )

    def on_read(self, trainer: Trainer, first_step: int, losses: np.ndarray[Any, Any]) -> None:
        if self._bar is None:
            return
        meters = trainer.meters
        seconds = max(time.perf_counter() - self._started, 1e-9)
        now = {name: meter.value() for name, meter in meters.items()}
        now["items_per_second"] = meters["loss"].count / seconds
        self._bar.set_postfix_str(self._text(now), refresh=False)
        self._bar.update(len(losses))

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._close()
        text = self._text(trainer.log)
        print(f"epoch {trainer.epoch}/{trainer.epochs}  {text}", flush=True)

    def on_end(self, trainer: Trainer) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _text(self, numbers: dict[str, float]) -> str:
        return "  ".join(
            self._part(name, value)
            for name, value in numbers.items()
            if name not in ("epoch", "step", "lr", "seconds")
        )

    def _part(self, name: str, value: float) -> str:
        if name == "items_per_second":
            return f"{value:.0f} {self.unit}/s"
        shown = name.replace("_", " ")
        return f"{shown} {100 * value:.2f} %" if "accuracy" in name else f"{shown} {value:.4f}"
