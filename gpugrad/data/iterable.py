"""Data sets that are read once, from the front, such as files larger than memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gpugrad.errors import ArgumentError

if TYPE_CHECKING:
    from gpugrad.random import Generator


class IterableDataset:
    """Items in the order of `__iter__`, which a subclass gives. PyTorch's name.

    A DataLoader reads it in its own process, whatever num_workers: so each item comes once. There
    is no shuffle; ShuffleBuffer mixes items that are near each other.
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__()")


class ShuffleBuffer(IterableDataset):
    """The items of another iterable, mixed: `size` are held, one of them at random is given and
    the next one takes its place. Random numbers come from the generator (default: the CPU's).

    Raises ArgumentError for a size below 1.
    """

    def __init__(self, items: Iterable[Any], size: int, generator: Generator | None = None) -> None:
        if size < 1:
            raise ArgumentError(f"ShuffleBuffer: size = {size}; it must be 1 or more.")
        self.items, self.size, self.generator = items, size, generator

    def __iter__(self) -> Iterator[Any]:
        import gpugrad as gg

        held: list[Any] = []
        draws: list[int] = []
        for item in self.items:
            if len(held) < self.size:
                held.append(item)
                continue
            if not draws:  # many at once: each call costs as much as a thousand numbers
                draws = gg.randint(0, self.size, (1024,), generator=self.generator).tolist()
            at = draws.pop()
            yield held[at]
            held[at] = item
        for at in gg.randperm(len(held), generator=self.generator).tolist():
            yield held[at]
