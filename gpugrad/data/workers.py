"""Worker processes of a DataLoader.

Each worker has one pipe of its own, so a worker that dies cannot leave a shared lock taken. Tasks
go out in order, results come back in any order and are given in order. Workers are started by
"spawn" unless told otherwise: forking a process that has BLAS threads or a CUDA context is unsafe.
A spawned process runs the program's file again, up to `if __name__ == "__main__":`, to find what
was defined there; workers that need nothing from there do not, so such a program needs no guard.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.reduction import ForkingPickler
from typing import Any

import gpugrad as gg
from gpugrad.backends import cpu_native
from gpugrad.data.collate import map_tree
from gpugrad.data.fetch import Fetcher
from gpugrad.errors import ArgumentError, DataError, GpugradError

_JOIN_SECONDS = 2.0  # how long a worker may take to end by itself


@dataclass(frozen=True)
class WorkerInfo:
    """What `get_worker_info()` gives inside a worker."""

    id: int
    num_workers: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Number of this worker, number of workers and the data set; None in the main process."""
    return _info


class RemoteTraceback(Exception):
    """The traceback of a worker, as text; the cause of the exception raised again here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"


@dataclass(frozen=True)
class _Array:
    """A tensor on its way through a pipe."""

    value: Any


def _pack(batch: Any) -> Any:
    return map_tree(batch, lambda x: _Array(x.detach().numpy()) if isinstance(x, gg.Tensor) else x)


def _unpack(batch: Any) -> Any:
    return map_tree(batch, lambda x: gg.tensor(x.value) if isinstance(x, _Array) else x)


# ---- in the worker ---------------------------------------------------------------------------


def _worker_main(pipe: Any, job: Any, number: int, count: int) -> None:
    """Answer tasks (key, indices, seed) with (key, batch, failure) until None arrives."""
    global _info
    cpu_native.module.keep_memory(0)  # there may be many workers, and each has other batches
    fetch, init = pickle.loads(job) if isinstance(job, bytes) else job
    info = _info = WorkerInfo(number, count, fetch.dataset)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, tasks), daemon=True).start()
    started = False
    while (task := tasks.get()) is not None:
        key, indices, seed = task
        answer: tuple[Any, Any, Any]
        try:
            if init is not None and not started:
                init(info.id)
            started = True
            answer = (key, _pack(fetch(indices, seed)), None)
        except Exception as error:
            answer = (key, None, _describe(error, info.id, indices))
        try:
            pipe.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:  # the batch cannot be pickled
            pipe.send((key, None, _describe(error, info.id, indices)))


def _receive(pipe: Any, tasks: queue.SimpleQueue[Any]) -> None:
    """Empty the pipe at once, so that the main process never waits while sending."""
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            os._exit(1)  # the main process is gone
        tasks.put(task)
        if task is None:
            return


def _describe(error: Exception, worker: int, indices: Any) -> tuple[Exception | None, str]:
    shown = str(indices) if len(str(indices)) <= 60 else f"{str(indices)[:57]}..."
    text = f"In DataLoader worker {worker}, at indices {shown}:\n{traceback.format_exc()}"
    try:
        pickle.loads(pickle.dumps(error))
        return error, text
    except Exception:
        return None, text


# ---- in the main process ---------------------------------------------------------------------


@dataclass
class _Worker:
    process: Any
    pipe: Any
    tasks: int = 0  # sent and not yet answered


class WorkerPool:
    """`num_workers` processes that make batches.

    Args:
        fetch: makes a batch from indices; must be picklable, and so must `init`.
        prefetch: tasks sent ahead, for each worker.
        timeout: seconds to wait for a batch; 0 waits for ever.
        init: called once in each worker with its number.
        context: a multiprocessing context or start method.
    """

    def __init__(
        self,
        fetch: Fetcher,
        num_workers: int,
        *,
        prefetch: int = 2,
        timeout: float = 0,
        init: Callable[[int], None] | None = None,
        context: Any = None,
    ) -> None:
        self.ahead = prefetch * num_workers
        self.timeout = timeout
        self.epoch = 0
        self.broken = False  # a worker died or hangs: start a new pool
        self.workers: list[_Worker] = []
        if context is None or isinstance(context, str):
            context = multiprocessing.get_context(context or "spawn")
        try:
            job: Any = (fetch, init)
            if context.get_start_method() != "fork":
                job = bytes(ForkingPickler.dumps(job))  # once for all workers
            with _interrupts_blocked(), _main_hidden_from(job):
                for i in range(num_workers):
                    self.workers.append(_start(context, job, i, num_workers))
        except BaseException as error:
            self.shutdown()
            if isinstance(error, pickle.PicklingError | GpugradError | AttributeError | TypeError):
                reason = str(error).rstrip(".")
                raise ArgumentError(
                    f"DataLoader(num_workers={num_workers}): the data set, collate_fn or "
                    f"worker_init_fn cannot be sent to a worker process: {reason}.\n"
                    "  Define them at the top level of a module (no lambdas, no open files), or "
                    "use num_workers=0."
                ) from error
            raise

    def run(self, batches: Iterable[Any], seed: int) -> Iterator[Any]:
        """The batch of each list of indices, in order. Batch i is made with seed + i."""
        self.epoch += 1
        epoch, waiting, ready = self.epoch, enumerate(batches), {}
        sent = given = 0
        exhausted = False
        while True:
            while not exhausted and sent - given < self.ahead:
                number, indices = next(waiting, (None, None))
                if number is None:
                    exhausted = True
                    break
                self._send(((epoch, number), indices, seed + number))
                sent += 1
            if given == sent:
                return
            while given not in ready:
                (made_in, number), batch, failure = self._receive()
                if made_in == epoch:  # an abandoned iteration may have left answers behind
                    ready[number] = (batch, failure)
            batch, failure = ready.pop(given)
            given += 1
            if failure is not None:
                _raise(failure)
            yield _unpack(batch)
            if self.epoch != epoch:
                raise GpugradError(
                    "DataLoader: this iteration ended because another one was started on the same "
                    "loader.\n  With persistent_workers=True only one runs at a time."
                )

    def _send(self, task: Any) -> None:
        worker = min(self.workers, key=lambda each: each.tasks)
        try:
            worker.pipe.send(task)
        except (BrokenPipeError, ConnectionResetError):
            self._died(worker)
        worker.tasks += 1

    def _receive(self) -> Any:
        pipes = {worker.pipe: worker for worker in self.workers}
        sentinels = {worker.process.sentinel: worker for worker in self.workers}
        started = time.monotonic()
        ready = multiprocessing.connection.wait([*pipes, *sentinels], self.timeout or None)
        if not ready:
            self.broken = True
            raise DataError(
                f"DataLoader: no batch within timeout = {self.timeout} s "
                f"(waited {time.monotonic() - started:.1f} s for {len(self.workers)} workers).\n"
                "  Find out what the data set waits for (num_workers=0 shows it), or raise timeout."
            )
        with_data = [each for each in ready if each in pipes]
        if not with_data:
            self._died(sentinels[ready[0]])
        worker = pipes[with_data[0]]
        try:
            answer = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._died(worker)
        worker.tasks -= 1
        return answer

    def _died(self, worker: _Worker) -> None:
        self.broken = True
        worker.process.join(_JOIN_SECONDS)
        code = worker.process.exitcode
        number = self.workers.index(worker)
        how = f"was killed by signal {-code}" if code and code < 0 else f"ended with status {code}"
        raise DataError(
            f"DataLoader: worker {number} of {len(self.workers)} {how} before its batch was made.\n"
            "  Signal 9 mostly means out of memory: use fewer workers or a smaller batch. Status 1 "
            'at the start: put the program under `if __name__ == "__main__":`. num_workers=0 shows '
            "an error in place."
        )

    def shutdown(self) -> None:
        """End all workers: ask, then terminate, then kill. Safe to call twice."""
        workers, self.workers = self.workers, []
        for worker in workers:
            with contextlib.suppress(OSError):
                worker.pipe.send(None)
        deadline = time.monotonic() + _JOIN_SECONDS
        for worker in workers:
            # Closing ends a worker that is stuck in sending a batch nobody wants.
            worker.pipe.close()
            worker.process.join(max(0.0, deadline - time.monotonic()))
            for end in (worker.process.terminate, worker.process.kill):
                if worker.process.is_alive():
                    end()
                    worker.process.join(_JOIN_SECONDS)
            worker.process.close()


def _start(context: Any, job: Any, number: int, count: int) -> _Worker:
    ours, theirs = context.Pipe(duplex=True)
    process = context.Process(
        target=_worker_main,
        args=(theirs, job, number, count),
        name=f"gpugrad-data-{number}",
        daemon=True,
    )
    try:
        process.start()
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return _Worker(process, ours)


@contextlib.contextmanager
def _main_hidden_from(job: Any) -> Iterator[None]:
    """Meanwhile processes start without running the program's file, if the pickled job names
    nothing that was defined there (a class of it is pickled by the name of its module)."""
    main = sys.modules["__main__"]
    if isinstance(job, bytes) and b"_main__" not in job:
        sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Workers inherit the blocked Ctrl-C, which would else end them with a traceback while they
    start. One that arrives here meanwhile is delivered afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it unblocks signals when it starts; so start it before
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _raise(failure: tuple[Exception | None, str]) -> None:
    error, text = failure
    if error is None:
        last = text.strip().splitlines()[-1]
        raise DataError(f"DataLoader: a worker failed: {last}") from RemoteTraceback(text)
    raise error from RemoteTraceback(text)
