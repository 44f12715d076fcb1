"""Batches of texts of like length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpugrad.data.sampler import Sampler, shuffled
from gpugrad.errors import ArgumentError

if TYPE_CHECKING:
    from gpugrad.random import Generator


class BucketBatchSampler(Sampler):
    """batch_sampler of a DataLoader: items in random order, but like lengths together.

    The random order is cut into pools of `pool` batches; a pool is sorted by length and cut into
    batches; batches come in random order. With pool = 1 there are no buckets; a large one pads
    least. Without shuffle all items are sorted, the longest first, so that memory runs out at once
    or never.

    Args:
        lengths: of each item.
        batch_size: items in a batch.
        max_tokens: instead of batch_size, the most tokens in a batch, padding included.
        drop_last: leave out batches that are not full (not with max_tokens).
        generator: source of the random order (default: the CPU's).

    Raises ArgumentError for sizes below 1, both or neither of batch_size and max_tokens, and an
    item longer than max_tokens.
    """

    def __init__(
        self,
        lengths: Sequence[int] | Any,
        batch_size: int | None = None,
        *,
        max_tokens: int | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
        pool: int = 50,
        generator: Generator | None = None,
    ) -> None:
        self.lengths = np.asarray(lengths, np.int64)
        sizes = [size for size in (batch_size, max_tokens) if size is not None]
        if len(sizes) != 1 or sizes[0] < 1 or pool < 1 or (max_tokens and drop_last):
            raise ArgumentError(
                f"BucketBatchSampler: batch_size = {batch_size}, max_tokens = {max_tokens}, "
                f"pool = {pool}, drop_last = {drop_last}; give one of the first two, all at least "
                "1, drop_last only with batch_size."
            )
        if max_tokens and self.lengths.size and self.lengths.max() > max_tokens:
            at = int(self.lengths.argmax())
            raise ArgumentError(
                f"BucketBatchSampler: item {at} has {self.lengths[at]} tokens, max_tokens is "
                f"{max_tokens}.\n  Truncate items, or give a larger max_tokens."
            )
        self.batch_size, self.max_tokens, self.drop_last = batch_size, max_tokens, drop_last
        self.shuffle, self.pool, self.generator = shuffle, pool, generator
        self._planned: list[list[int]] | None = None

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._planned or self._plan()
        self._planned = None
        yield from batches

    def __len__(self) -> int:
        """Batches of the next iteration (with max_tokens they differ from one to the next)."""
        if self.batch_size is not None:
            full, rest = divmod(len(self.lengths), self.batch_size)
            return full + (rest > 0 and not self.drop_last)
        if self._planned is None:
            self._planned = self._plan()
        return len(self._planned)

    def _plan(self) -> list[list[int]]:
        size = len(self.lengths)
        if not self.shuffle:
            order = np.argsort(-self.lengths, kind="stable")
            return self._cut(order)
        order = shuffled(size, self.generator).numpy()
        # With max_tokens a pool has about as many tokens as `pool` batches.
        items = self.batch_size or max(1, int((self.max_tokens or 0) / max(self._mean(), 1)))
        pools = np.arange(0, size, items * self.pool)
        batches: list[list[int]] = []
        for start in pools:
            part = order[start : start + items * self.pool]
            batches += self._cut(part[np.argsort(-self.lengths[part], kind="stable")])
        return [batches[i] for i in shuffled(len(batches), self.generator).tolist()]

    def _mean(self) -> float:
        return float(self.lengths.mean()) if self.lengths.size else 1.0

    def _cut(self, order: Any) -> list[list[int]]:
        """Sorted items, the longest first, as batches."""
        indices = order.tolist()
        if self.batch_size is not None:
            stop = len(indices)
            if self.drop_last:
                stop -= stop % self.batch_size
            return [indices[i : i + self.batch_size] for i in range(0, stop, self.batch_size)]
        batches, start = [], 0
        while start < len(indices):
            longest = max(int(self.lengths[indices[start]]), 1)
            count = max(1, (self.max_tokens or 1) // longest)
            batches.append(indices[start : start + count])
            start += count
        return batches
