"""DataLoader: batches of a data set, in a seeded order."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import gpugrad as gg
from gpugrad.data.collate import default_collate, default_convert
from gpugrad.data.dataset import takes_batches
from gpugrad.data.fetch import Fetcher, seeded
from gpugrad.data.iterable import IterableDataset
from gpugrad.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler
from gpugrad.errors import ArgumentError, DeviceError
from gpugrad.random import default_generator

if TYPE_CHECKING:
    from gpugrad.data.workers import WorkerPool
    from gpugrad.random import Generator
    from gpugrad.tensor import Tensor


class DataLoader:
    """Iterate over a data set in batches. Arguments have PyTorch's names and meaning.

    A TensorDataset (or a Subset of one) with the default collate_fn never leaves its device: the
    order is a permutation made there, and a batch is one index operation per tensor. Workers would
    only slow that down, so num_workers is not used. Any other data set is asked item by item, in
    this process or in `num_workers` processes; its batches are CPU tensors.

    The order depends on the generator alone, not on num_workers or on the device. Item by item,
    batch i is made with `random`, `numpy.random` and gpugrad's CPU generator seeded by a number
    drawn from the generator, plus i: random augmentation does not depend on num_workers either.

    An IterableDataset is read from its front, in this process; batches end where it ends.

    Args:
        dataset: has `__getitem__` and `__len__`, or is an IterableDataset.
        batch_size: items in a batch; None gives single items, not collated.
        shuffle: a new random order in each epoch.
        sampler: gives indices, in place of shuffle.
        batch_sampler: gives lists of indices, in place of batch_size, shuffle, sampler, drop_last.
        num_workers: processes that make batches; 0 makes them here.
        collate_fn: makes a batch of a list of items (default: `default_collate`).
        pin_memory: accepted so that programs written for PyTorch run; has no effect (it warns).
        drop_last: leave out the last batch when it is not full.
        timeout: seconds to wait for a worker's batch; 0 waits for ever.
        worker_init_fn: called in each worker with its number.
        multiprocessing_context: how workers start (default "spawn").
        generator: the source of order and seeds (default: the CPU's default generator).
        prefetch_factor: batches ahead, for each worker (default 2).
        persistent_workers: keep workers from one epoch to the next; `close()` ends them.

    Raises ArgumentError for arguments that contradict each other; exceptions of workers are raised
    again here, with the worker's traceback as their cause.
    """

    _pool: WorkerPool | None = None  # while workers persist

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
    ) -> None:
        _check_dataset(dataset)
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self._streamed = isinstance(dataset, IterableDataset)
        if self._streamed:
            _check_streamed(shuffle, sampler, batch_sampler)
        _check_order(batch_size, shuffle, sampler, batch_sampler, drop_last)
        _warn_if_pinned(pin_memory)
        single = batch_size is None and batch_sampler is None
        self.dataset = dataset
        self.batch_size = None if batch_sampler is not None else batch_size
        self.drop_last, self.generator = drop_last, generator
        self.num_workers, self.timeout = num_workers, timeout
        self.worker_init_fn, self.multiprocessing_context = worker_init_fn, multiprocessing_context
        self.prefetch_factor = prefetch_factor or 2
        self.persistent_workers = persistent_workers
        self._shuffle = bool(shuffle)
        self._plain_order = sampler is None and batch_sampler is None
        self._on_device = takes_batches(dataset) and collate_fn is None and not single
        self.collate_fn = collate_fn or (default_convert if single else default_collate)
        self.sampler = self._own_sampler() if sampler is None else sampler
        if batch_sampler is None and batch_size is not None and not self._streamed:
            batch_sampler = BatchSampler(self.sampler, batch_size, drop_last)
        self.batch_sampler = batch_sampler

    def _own_sampler(self) -> Sampler:
        if self._shuffle:
            return RandomSampler(self.dataset, generator=self.generator)
        return SequentialSampler(self.dataset)

    def __len__(self) -> int:
        """Number of batches (of items, with batch_size=None).

        Raises TypeError for an IterableDataset that does not know its length.
        """
        if self._streamed:
            items, size = len(self.dataset), self.batch_size or 1
            return items // size if self.drop_last else -(-items // size)
        batches = self.sampler if self.batch_sampler is None else self.batch_sampler
        return len(batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        if self._streamed:
            return self._streamed_batches()
        if self._on_device:
            return self._plain_batches() if self._plain_order else self._chosen_batches()
        if self.num_workers:
            return self._worker_batches()
        return self._local_batches()

    def close(self) -> None:
        """End persistent workers. The next iteration starts new ones."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def __del__(self) -> None:
        if getattr(self, "_pool", None) is not None:
            self.close()

    # ---- on the device -----------------------------------------------------------------------

    def _plain_batches(self) -> Iterator[tuple[Tensor, ...]]:
        size, batch = len(self.dataset), self.batch_size or 1
        stop = size - size % batch if self.drop_last else size
        order = self._device_order(size)
        for start in range(0, stop, batch):
            yield self.dataset.take(order[start : start + batch])

    def _device_order(self, size: int) -> Tensor:
        device = self.dataset.device
        if not self._shuffle:
            return gg.arange(size, device=device)
        # The CPU's generator serves every device, so the order is the same on each.
        generator = self.generator or default_generator("cpu")
        return gg.randperm(size, generator=generator, device=device)

    def _chosen_batches(self) -> Iterator[tuple[Tensor, ...]]:
        device = self.dataset.device
        for indices in self.batch_sampler or ():
            yield self.dataset.take(gg.tensor(list(indices), dtype=gg.int64, device=device))

    # ---- item by item ------------------------------------------------------------------------

    def _tasks(self) -> tuple[Fetcher, Iterable[Any], int]:
        seed = gg.randint(0, 2**31 - 1, (1,), generator=self.generator)
        batches = self.sampler if self.batch_sampler is None else self.batch_sampler
        return Fetcher(self.dataset, self.collate_fn), batches, int(seed.item())

    def _local_batches(self) -> Iterator[Any]:
        fetch, batches, seed = self._tasks()
        for i, indices in enumerate(batches):
            yield fetch(indices, seed + i)

    def _streamed_batches(self) -> Iterator[Any]:
        seed = int(gg.randint(0, 2**31 - 1, (1,), generator=self.generator).item())
        items = iter(self.dataset)
        while True:
            found = list(itertools.islice(items, self.batch_size or 1))
            if not found or (self.drop_last and len(found) < (self.batch_size or 1)):
                return
            with seeded(seed):
                batch = self.collate_fn(found[0] if self.batch_size is None else found)
            yield batch
            seed += 1

    def _worker_batches(self) -> Iterator[Any]:
        fetch, batches, seed = self._tasks()
        pool = self._pool or self._new_pool(fetch)
        if self.persistent_workers:
            self._pool = pool
        try:
            yield from pool.run(batches, seed)
        finally:
            if pool.broken:
                self.close()
            if not self.persistent_workers:
                pool.shutdown()

    def _new_pool(self, fetch: Fetcher) -> WorkerPool:
        from gpugrad.data.workers import WorkerPool  # multiprocessing is slow to import

        return WorkerPool(
            fetch,
            self.num_workers,
            prefetch=self.prefetch_factor,
            timeout=self.timeout,
            init=self.worker_init_fn,
            context=self.multiprocessing_context,
        )


def _check_streamed(shuffle: bool | None, sampler: Any, batch_sampler: Any) -> None:
    given = {"shuffle": shuffle, "sampler": sampler, "batch_sampler": batch_sampler}
    wrong = [name for name, value in given.items() if value]
    if wrong:
        raise ArgumentError(
            f"DataLoader: {wrong[0]} with an IterableDataset, which comes in its own order.\n"
            "  Mix it with gpugrad.data.ShuffleBuffer."
        )


def _check_dataset(dataset: Any) -> None:
    if isinstance(dataset, IterableDataset):
        return
    for method in ("__getitem__", "__len__"):
        if not hasattr(dataset, method):
            raise ArgumentError(
                f"DataLoader: the data set, a {type(dataset).__name__}, has no {method}.\n"
                "  Give a Dataset, or any sequence."
            )
    devices = {str(each.device) for each in getattr(dataset, "tensors", ())}
    if len(devices) > 1:
        raise DeviceError(
            f"DataLoader: the data set's tensors lie on different devices: {sorted(devices)}.\n"
            "  Move them to one with .to(device)."
        )


def _warn_if_pinned(pin_memory: bool) -> None:
    if pin_memory:
        warnings.warn(
            "DataLoader: pin_memory has no effect in gpugrad; a TensorDataset on the device needs "
            "no copies at all.",
            stacklevel=3,
        )


def _check_workers(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent: bool
) -> None:
    if not isinstance(num_workers, int) or num_workers < 0:
        raise ArgumentError(f"DataLoader: num_workers = {num_workers!r}; it must be 0 or more.")
    if timeout < 0:
        raise ArgumentError(f"DataLoader: timeout = {timeout}; it must be 0 (no limit) or more.")
    if prefetch_factor is not None and (num_workers == 0 or prefetch_factor < 1):
        raise ArgumentError(
            f"DataLoader: prefetch_factor = {prefetch_factor} with num_workers = {num_workers}; "
            "it must be 1 or more, and needs workers."
        )
    if persistent and num_workers == 0:
        raise ArgumentError("DataLoader: persistent_workers=True needs num_workers of 1 or more.")


def _check_order(
    batch_size: int | None, shuffle: bool | None, sampler: Any, batch_sampler: Any, drop_last: bool
) -> None:
    if batch_size is not None and (not isinstance(batch_size, int) or batch_size <= 0):
        raise ArgumentError(
            f"DataLoader: batch_size = {batch_size!r}; it must be a positive integer, or None for "
            "single items."
        )
    if sampler is not None and shuffle:
        raise ArgumentError(
            "DataLoader: sampler and shuffle=True both say the order; give one of them."
        )
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler or drop_last):
        raise ArgumentError(
            "DataLoader: batch_sampler says batches and order; leave out batch_size, shuffle, "
            "sampler and drop_last."
        )
    if batch_size is None and drop_last and batch_sampler is None:
        raise ArgumentError("DataLoader: batch_size=None makes no batches, so none can be dropped.")
