"""Device "cpu" keeps the memory of freed large arrays for new ones (csrc/cpu/memory.h)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backends import cpu_native
from gpugrad.errors import ArgumentError

MEGABYTE = 1 << 20


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    cpu_native.module.own_numpy_memory()  # a test runs in a context of its own
    cpu_native.module.keep_memory(0)
    cpu_native.module.keep_memory(cpu_native.KEPT_MEMORY)
    yield
    cpu_native.module.keep_memory(cpu_native.KEPT_MEMORY)


def kept() -> int:
    return cpu_native.module.kept_memory()


def test_a_new_array_takes_the_memory_of_a_freed_one() -> None:
    x = gg.ones(MEGABYTE)
    place = x.array.ctypes.data
    assert kept() == 0
    del x
    assert kept() == 4 * MEGABYTE
    y = gg.ones(1024, 1024) * 2.0
    assert place in (y.array.ctypes.data, gg.ones(MEGABYTE).array.ctypes.data)
    assert y.sum().item() == 2 * MEGABYTE


def test_zeros_are_zeros() -> None:
    x = np.full(MEGABYTE, 7.0)
    del x
    assert kept() >= 8 * MEGABYTE
    assert not np.zeros(MEGABYTE).any()
    assert not gg.zeros(MEGABYTE).numpy().any()


def test_small_arrays_are_left_to_malloc() -> None:
    x = np.ones(1000)
    del x
    assert kept() == 0


def test_the_limit() -> None:
    cpu_native.module.keep_memory(10 * MEGABYTE)
    arrays = [np.empty(4 * MEGABYTE, np.uint8) for _ in range(3)]
    while arrays:
        arrays.pop()
        assert kept() <= 10 * MEGABYTE
    assert kept() == 4 * MEGABYTE  # the third found no room, and what was there went
    x = np.empty(11 * MEGABYTE, np.uint8)
    del x
    assert kept() == 4 * MEGABYTE
    cpu_native.module.keep_memory(0)
    assert kept() == 0


def test_resized_arrays() -> None:
    """Blocks that grow and shrink keep their values, and land where their size belongs."""
    for sizes in ([100, MEGABYTE, 100], [MEGABYTE, 3 * MEGABYTE, 5], [1000, 2 * MEGABYTE]):
        x = np.arange(5, dtype=np.uint8).repeat(sizes[0] // 5)
        for size in sizes[1:]:
            x.resize(size, refcheck=False)
        np.testing.assert_array_equal(x[:5], np.zeros(5) if sizes[0] >= 25 else np.arange(5))
        del x
    y = np.ones(3 * MEGABYTE, np.uint8)
    assert y.sum() == 3 * MEGABYTE


def test_threads() -> None:
    """Arrays of one thread are freed by another."""
    failed = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        held: list[np.ndarray] = []
        for _ in range(200):
            held.append(np.full(int(rng.integers(1, 3 * MEGABYTE)), seed, np.uint8))
            if len(held) > 4:
                first = held.pop(int(rng.integers(4)))
                if (first != seed).any():
                    failed.append(seed)

    def in_context(seed: int) -> None:
        cpu_native.module.own_numpy_memory()
        work(seed)

    threads = [threading.Thread(target=in_context, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_a_new_thread_keeps_memory_too() -> None:
    seen = []

    def work() -> None:
        x = gg.ones(3) + 1  # NumPy computes it
        x = np.ones(MEGABYTE, np.float32)
        del x
        seen.append(kept())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [4 * MEGABYTE]


def test_the_default_limit(tmp_path: Path) -> None:
    """An eighth of the smaller of the machine's memory and the cgroup's."""
    group, none = tmp_path / "memory.max", tmp_path / "absent"
    for text, expected in (("1073741824\n", 1 << 27), ("max\n", None), (str(1 << 62), None)):
        group.write_text(text)
        limit = cpu_native._kept_memory(None, [str(none), str(group)])
        assert limit == (expected or cpu_native._kept_memory(None, []))
    assert cpu_native._kept_memory("123") == 123
    with pytest.raises(ArgumentError, match=r"GPUGRAD_KEPT_MEMORY='1g' is not a number of bytes"):
        cpu_native._kept_memory("1g")


class Kept:
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        x = np.ones(MEGABYTE, np.float32)
        del x
        return kept()


def test_data_loader_workers_keep_nothing() -> None:
    assert [int(x) for x in gg.data.DataLoader(Kept(), num_workers=1)] == [0, 0]


def test_the_limit_while_others_allocate() -> None:
    """It frees what is kept although another thread is at the shelves."""
    stop = threading.Event()

    def work() -> None:
        cpu_native.module.own_numpy_memory()
        while not stop.is_set():
            np.empty(MEGABYTE, np.uint8)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(200):
            cpu_native.module.keep_memory(1 << 26)
            cpu_native.module.keep_memory(0)
            assert kept() == 0
    finally:
        stop.set()
        thread.join()


def test_the_summary_tells() -> None:
    x = gg.ones(MEGABYTE)
    del x
    assert "kept free  4.0 MiB in 1 blocks" in gg.cuda.memory_summary("cpu")


def test_small_arrays_of_other_threads_are_counted() -> None:
    """To the byte, while the threads live and afterwards, whoever frees them."""
    made, over = threading.Barrier(4), threading.Event()
    held: list[np.ndarray] = []

    def work() -> None:
        cpu_native.module.own_numpy_memory()
        held.extend(np.empty(3000, np.uint8) for _ in range(5))
        made.wait(10)
        over.wait(10)

    def now() -> tuple[int, int]:
        counts = cpu_native.module.memory_counts()
        return counts[0], counts[4]

    before = now()
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    made.wait(10)
    assert now()[1] == before[1] + 15
    assert 15 * 3000 <= now()[0] - before[0] <= 15 * 3100  # malloc's blocks are a bit larger
    over.set()
    for thread in threads:
        thread.join()
    assert now()[1] == before[1] + 15
    held.clear()
    assert now() == before
    assert cpu_native.module.memory_counts()[1] >= before[0]
