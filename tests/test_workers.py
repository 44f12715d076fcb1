"""DataLoader with worker processes: order, errors, Ctrl-C, and nothing left behind."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.data import DataLoader, Dataset, get_worker_info
from gpugrad.errors import ArgumentError, DataError, GpugradError


class Noisy(Dataset):
    """Item i is (i, three random numbers): what augmentation does."""

    def __init__(self, size: int = 23) -> None:
        self.size = size
        self.offset = gg.tensor([0.5])

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        noise = np.array([random.random(), np.random.rand(), gg.rand(1).item()])
        return index, noise + self.offset.numpy(), {"id": f"item {index}"}


class Failing(Noisy):
    """Item 9 raises, by `kind`."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def __getitem__(self, index: int) -> Any:
        if index == 9:
            if self.kind == "error":
                raise KeyError("no item nine")
            if self.kind == "unpicklable":
                raise Local()
            if self.kind == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.kind == "slow":
                time.sleep(60)
        return index


class Local(Exception):
    """An exception that does not survive pickling."""

    def __init__(self) -> None:
        super().__init__("one", "two")


class Big(Dataset):
    """Items of 4 MB, more than a pipe holds."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        return np.full((1024, 1024), index, np.float32)


class Who(Noisy):
    """Item i tells the worker that made it."""

    def __getitem__(self, index: int) -> Any:
        info = get_worker_info()
        return (info.id, info.num_workers, MARK) if info else (-1, 0, MARK)


MARK = 0


def set_mark(worker: int) -> None:
    """A worker_init_fn."""
    global MARK
    MARK = 100 + worker


@pytest.fixture(autouse=True)
def no_process_left() -> Any:
    yield
    assert multiprocessing.active_children() == []


def run(num_workers: int, **options: Any) -> list[Any]:
    generator = gg.Generator().manual_seed(5)
    loader = DataLoader(
        Noisy(), 4, shuffle=True, generator=generator, num_workers=num_workers, **options
    )
    found = [
        (index.tolist(), noise.numpy(), extra["id"])
        for _ in range(2)
        for index, noise, extra in loader
    ]
    loader.close()
    return found


def test_same_batches_for_any_number_of_workers() -> None:
    """Order and random augmentation depend on the seed only."""
    state = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[union-attr]
    alone = run(0)
    assert len(alone) == 12
    assert (random.getstate(), np.random.get_state()[1].tolist()) == state  # type: ignore[union-attr]
    for found in (run(1), run(3, persistent_workers=True, prefetch_factor=1)):
        for (i, x, extra), (j, y, other) in zip(alone, found, strict=True):
            assert (i, extra) == (j, other)
            np.testing.assert_array_equal(x, y)


def test_big_items_and_early_exit() -> None:
    loader = DataLoader(Big(), 2, num_workers=2)
    for i, batch in enumerate(loader):
        assert batch[:, 0, 0].tolist() == [2 * i, 2 * i + 1]
        if i == 1:
            break
    del batch


def test_abandoned_iteration_of_persistent_workers() -> None:
    loader = DataLoader(Noisy(), 4, num_workers=2, persistent_workers=True)
    first = iter(loader)
    next(first)
    assert [batch[0][0].item() for batch in loader] == [0, 4, 8, 12, 16, 20]
    with pytest.raises(GpugradError, match="another one was started"):
        next(first)
    loader.close()


def test_worker_info_and_init() -> None:
    assert get_worker_info() is None
    loader = DataLoader(Who(), 4, num_workers=2, worker_init_fn=set_mark)
    seen = {tuple(int(x[0]) for x in batch) for batch in loader}
    assert seen <= {(0, 2, 100), (1, 2, 101)}
    assert MARK == 0


def test_exception_comes_back_with_its_traceback() -> None:
    loader = DataLoader(Failing("error"), 4, num_workers=2)
    with pytest.raises(KeyError, match="no item nine") as caught:
        list(loader)
    cause = str(caught.value.__cause__)
    assert "In DataLoader worker" in cause
    assert "at indices [8, 9, 10, 11]" in cause
    assert 'raise KeyError("no item nine")' in cause


def test_exception_that_cannot_be_pickled() -> None:
    with pytest.raises(DataError, match=r"a worker failed: .*Local"):
        list(DataLoader(Failing("unpicklable"), 4, num_workers=1))


def test_killed_worker() -> None:
    with pytest.raises(DataError, match=r"worker \d of 2 was killed by signal 9"):
        list(DataLoader(Failing("killed"), 4, num_workers=2))


def test_persistent_workers_start_anew_after_a_death() -> None:
    loader = DataLoader(Failing("killed"), 4, num_workers=1, persistent_workers=True)
    for _ in range(2):
        with pytest.raises(DataError, match="killed by signal 9"):
            list(loader)
        assert multiprocessing.active_children() == []


def test_timeout_and_busy_worker_is_ended() -> None:
    started = time.monotonic()
    with pytest.raises(DataError, match=r"no batch within timeout = 1.5 s"):
        list(DataLoader(Failing("slow"), 4, num_workers=2, timeout=1.5))
    assert time.monotonic() - started < 30


def test_unpicklable_arguments() -> None:
    loader = DataLoader(Noisy(), 4, num_workers=1, collate_fn=lambda items: items)
    with pytest.raises(ArgumentError, match=r"num_workers=1\): the data set, collate_fn .*lambda"):
        next(iter(loader))


def test_interrupt_ends_everything() -> None:
    """Ctrl-C goes to the whole process group: the main process stops, workers print nothing."""
    loader = DataLoader(Failing("slow"), 4, num_workers=2)
    threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        list(loader)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from test_workers import Failing
from gpugrad.data import DataLoader
if __name__ == "__main__":
    loader = DataLoader(Failing("slow"), 4, num_workers=2)
    for batch in loader:
        print("batch", flush=True)
"""


def living(group: int) -> list[str]:
    """The processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = path.read_text().rpartition(")")
            state, _, pgrp, *_ = rest.split()
            if int(pgrp) == group and state != "Z":
                found.append(name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_interrupt_of_a_process_group(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "batch\n"
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors.count("Traceback") == 1  # the main process's own
    assert "KeyboardInterrupt" in errors
    deadline = time.monotonic() + 10
    while living(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert living(process.pid) == []


GUARD = """
import sys
import gpugrad as gg
from gpugrad.data import DataLoader, MNIST
from gpugrad.data.transforms import ToTensor
print("start")
dataset = MNIST(train=False, transform=ToTensor())
loader = DataLoader(dataset, 5000, num_workers=2, multiprocessing_context=sys.argv[1])
print([tuple(x.shape) for x, _ in loader], sys.modules["__main__"].__file__ == __file__)
"""

OWN = """
import gpugrad as gg
from gpugrad.data import DataLoader
print("start")
class Own:
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return index
if __name__ == "__main__":
    print([batch.tolist() for batch in DataLoader(Own(), 2, num_workers=1)])
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_a_program_needs_no_guard(tmp_path: Path, method: str) -> None:
    """Where a worker needs nothing of the program's file, it does not run it again."""
    program = tmp_path / "program.py"
    program.write_text(GUARD)
    done = subprocess.run(
        [sys.executable, str(program), method], cwd=tmp_path, capture_output=True, text=True
    )
    shape = "(5000, 1, 28, 28)"
    assert done.stdout.splitlines() == ["start", f"[{shape}, {shape}] True"], done.stderr


def test_what_a_program_defines_is_found_by_running_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(OWN)
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.splitlines().count("start") == 2, done.stderr
    assert done.stdout.splitlines()[-1] == "[[0, 1], [2, 3]]"
