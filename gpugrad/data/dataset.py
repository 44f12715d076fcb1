"""Data sets: what an item is and how many there are. Names and semantics are PyTorch's."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import gpugrad as gg
from gpugrad.data.sampler import shuffled
from gpugrad.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError

if TYPE_CHECKING:
    from gpugrad.device import Device
    from gpugrad.random import Generator
    from gpugrad.tensor import Tensor


class Dataset:
    """Items by index. A subclass gives `__getitem__(index)` and `__len__()`.

    It may also give `__getitems__(indices)`, a list of items at once, where that is faster.
    """

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(index)")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__()")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class TensorDataset(Dataset):
    """Item i is the tuple of the i-th rows of the given tensors.

    The tensors stay where they are. A DataLoader takes its batches by one index operation per
    tensor, on that device, without touching single items.

    Args:
        tensors: (n, ...) each, all on one device.

    Raises DTypeError for other arrays, ShapeError when there is none, or first axes differ.
    """

    def __init__(self, *tensors: Tensor) -> None:
        for i, tensor in enumerate(tensors):
            if not isinstance(tensor, gg.Tensor):
                raise DTypeError(
                    f"TensorDataset: tensors[{i}] is a {type(tensor).__name__}, not a Tensor.\n"
                    "  Make it one with gg.as_tensor(...)."
                )
        shapes = [tuple(tensor.shape) for tensor in tensors]
        if not tensors or any(not shape for shape in shapes):
            raise ShapeError(
                f"TensorDataset: needs tensors with at least one axis, got shapes {shapes}.\n"
                "  The first axis counts the items."
            )
        if len({shape[0] for shape in shapes}) > 1:
            raise ShapeError(
                f"TensorDataset: first axes differ: shapes {shapes}.\n"
                "  Row i of each tensor belongs to item i, so all need the same number of rows."
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])

    @property
    def device(self) -> Device:
        """Where the tensors lie."""
        return self.tensors[0].device

    @property
    def takes_batches(self) -> bool:
        """Whether `take` gives what `__getitem__` would.

        A subclass with its own `__getitem__` (an augmentation, say) must be asked item by item.
        """
        own = type(self).__getitem__ is not TensorDataset.__getitem__
        return not own and not hasattr(self, "__getitems__")

    def take(self, indices: Tensor) -> tuple[Tensor, ...]:
        """The batch of the items at `indices` (int64, one axis, on any device)."""
        if indices.device != self.device:
            indices = indices.to(self.device)
        return tuple(tensor[indices] for tensor in self.tensors)


class Subset(Dataset):
    """The items of `dataset` at `indices`, in that order.

    Raises IndexOutOfRangeError when an index lies outside the data set, DTypeError when it is no
    integer.
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        size = len(dataset)
        positions = np.asarray(indices).reshape(-1)
        if positions.size and positions.dtype.kind not in "iu":
            raise DTypeError(
                f"Subset: indices must be integers, got {positions.dtype}.\n"
                "  Of a mask take np.flatnonzero(mask)."
            )
        positions = positions.astype(np.int64)
        wrong = np.flatnonzero((positions < -size) | (positions >= size))
        if wrong.size:
            at = int(wrong[0])
            raise IndexOutOfRangeError(
                f"Subset: index {positions[at]} at position {at} lies outside a data set of {size} "
                f"items.\n  Indices run from {-size} to {size - 1}."
            )
        self.dataset = dataset
        self.indices = indices
        self._positions = positions
        self._on_device: Tensor | None = None

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice | list):
            return self.__getitems__(np.arange(len(self))[index].tolist())
        return self.dataset[int(self._positions[index])]

    def __getitems__(self, indices: Sequence[int]) -> Any:
        positions = self._positions[list(indices)].tolist()
        if hasattr(self.dataset, "__getitems__"):
            return self.dataset.__getitems__(positions)
        return [self.dataset[position] for position in positions]

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def device(self) -> Device:
        """Where the tensors of the data set below lie."""
        return self.dataset.device

    def take(self, indices: Tensor) -> tuple[Tensor, ...]:
        """As TensorDataset.take, where the data set below is one (or a Subset of one)."""
        if self._on_device is None:
            self._on_device = gg.tensor(self._positions, device=self.device)
        return self.dataset.take(self._on_device[indices.to(self.device)])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_on_device": None}


class ConcatDataset(Dataset):
    """Several data sets one after the other. Raises ArgumentError when there is none."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError("ConcatDataset: got no data sets; give at least one.")
        self.cumulative_sizes = list(itertools.accumulate(len(each) for each in self.datasets))

    def __getitem__(self, index: int) -> Any:
        size = len(self)
        if not -size <= index < size:
            raise IndexOutOfRangeError(
                f"ConcatDataset: index {index} lies outside {size} items ({-size} to {size - 1})."
            )
        index %= size
        which = bisect.bisect_right(self.cumulative_sizes, index)
        before = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - before]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


def takes_batches(dataset: Any) -> bool:
    """Whether batches can be taken on the device: a TensorDataset, or a Subset of one."""
    if isinstance(dataset, Subset):
        untouched = type(dataset).__getitem__ is Subset.__getitem__
        return untouched and takes_batches(dataset.dataset)
    return isinstance(dataset, TensorDataset) and dataset.takes_batches


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset]:
    """Split into disjoint subsets of the given lengths, in random order.

    Lengths are counts that sum to len(dataset), or fractions that sum to 1 (what rounding leaves
    over goes to the first subsets, one each). The default generator is the CPU's.

    Raises ArgumentError for lengths that do not sum up.
    """
    size = len(dataset)
    counts = _split_counts(lengths, size)
    order = shuffled(size, generator).tolist()
    starts = itertools.accumulate(counts, initial=0)
    return [
        Subset(dataset, order[start : start + count])
        for start, count in zip(starts, counts, strict=False)
    ]


def _split_counts(lengths: Sequence[int | float], size: int) -> list[int]:
    if any(length < 0 for length in lengths):
        raise ArgumentError(f"random_split: lengths {list(lengths)} must not be negative.")
    if math.isclose(sum(lengths), 1) and any(isinstance(length, float) for length in lengths):
        counts = [math.floor(size * length) for length in lengths]
        for i in range(size - sum(counts)):
            counts[i % len(counts)] += 1
        return counts
    if sum(lengths) != size or any(length != int(length) for length in lengths):
        raise ArgumentError(
            f"random_split: lengths {list(lengths)} sum to {sum(lengths)}, "
            f"but the data set has {size} items.\n"
            f"  Give counts that sum to {size}, or fractions that sum to 1."
        )
    return [int(length) for length in lengths]
