"""Batches of a data set, made into what a model takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gpugrad.data.loader import DataLoader
from gpugrad.tensor import Tensor

Change = Callable[[Any, Tensor], tuple[Any, Tensor]]


class Batches:
    """The batches of a loader, each through `change`: (x, label) -> (input, target)."""

    def __init__(self, loader: DataLoader, change: Change) -> None:
        self.loader = loader
        self.change = change

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Any, Tensor]]:
        for x, label in self.loader:
            yield self.change(x, label)
