"""CUDA graphs: the kernels of a step, recorded once from a stream and repeated by one launch.

CuPy captures the stream. What it leaves to us is memory: a graph repeats addresses, so all that it
reads or writes must stay where it is, and must not be given to anyone else. Memory that the step
allocates comes from a pool of its own, which nobody else uses and which gives nothing back; memory
that was there before is kept alive by the graph.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CaptureError, DeviceError, GpugradError, OutOfMemoryError
from .base import Array

if TYPE_CHECKING:
    from .cuda import CudaBackend


class GraphMemory:
    """A pool and two streams for the graphs of one captured step, whatever their shapes.

    The graphs run one after the other, so memory that one has freed may serve the next.
    """

    def __init__(self, backend: CudaBackend, cupy: Any) -> None:
        self.backend, self.cupy = backend, cupy
        with backend._here():
            self.pool = cupy.cuda.MemoryPool(self._from_driver)
            # The pool has a list of free blocks for each stream, so all graphs use this one.
            self.stream = cupy.cuda.Stream(non_blocking=True)
            self.side = cupy.cuda.Stream(non_blocking=True)

    def _from_driver(self, size: int) -> Any:
        """New memory. An error of another kind than the driver's keeps the pool from freeing its
        blocks, which graphs use."""
        try:
            return self.cupy.cuda.MemoryPointer(self.cupy.cuda.Memory(size), 0)
        except self.cupy.cuda.runtime.CUDARuntimeError as error:
            raise OutOfMemoryError(
                f"device {self.backend.device}: out of memory while a step was captured ({error}); "
                "a captured step keeps memory of its own.\n"
                "  Use a smaller batch, fewer shapes, or run the step without capture."
            ) from None

    def new_graph(self) -> CudaGraph:
        """A graph, still empty."""
        return CudaGraph(self)


class CudaGraph:
    """The kernels launched inside `record`, to be repeated by `replay` on the current stream."""

    def __init__(self, memory: GraphMemory) -> None:
        self.memory = memory
        self.backend = memory.backend
        self.launches = 0
        self._graph: Any = None
        self._own: set[int] = set()  # addresses of blocks that the step allocates
        self._kept: dict[int, Any] = {}  # the blocks it uses that were there before, by address
        self._constants: list[Array] = []
        self._outside = False
        self._usual = memory.cupy.cuda.get_allocator()

    @contextmanager
    def record(self) -> Iterator[None]:
        """Kernels that this thread launches inside are recorded, not run."""
        cupy, stream = self.memory.cupy, self.memory.stream
        gc.collect()
        self.backend.synchronize()  # what `outside` changes must not be in use
        self.backend.empty_cache()  # the step's own pool will want this memory
        with ExitStack() as stack:
            stack.enter_context(_nothing_collected())
            stack.callback(self.memory.side.synchronize)
            stack.enter_context(self.backend._here())
            stack.enter_context(cupy.cuda.using_allocator(self._allocate))
            stack.enter_context(stream)
            stack.enter_context(self._watched())
            stream.begin_capture()
            try:
                yield
            except BaseException as error:
                with suppress(cupy.cuda.runtime.CUDARuntimeError):
                    stream.end_capture()
                if isinstance(error, RuntimeError) and not isinstance(error, GpugradError):
                    raise self._foreign(error) from error
                raise
            try:
                self._graph = stream.end_capture()
            except cupy.cuda.runtime.CUDARuntimeError as error:
                raise self._foreign(error) from None

    def _foreign(self, error: RuntimeError) -> CaptureError:
        return CaptureError(
            f"device {self.backend.device}: the step cannot become a graph ({error}).\n"
            "  Inside it only gpugrad may use the GPU: no other library, no other stream."
        )

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Inside `record`: work that is done now, once, and is no part of the graph."""
        before, self._outside = self._outside, True
        try:
            # Not from the pool: the graph's earlier kernels may have used what is free in it.
            with self.memory.cupy.cuda.using_allocator(self._usual), self.memory.side:
                yield
        finally:
            self._outside = before

    def replay(self) -> None:
        """Run all kernels again, in order, on CuPy's current stream. Does not wait."""
        try:
            with self.backend._here():
                self._graph.launch()
        except self.memory.cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(
                f"device {self.backend.device}: a captured step cannot be launched ({error})."
            ) from None

    def _allocate(self, size: int) -> Any:
        pointer = self.memory.pool.malloc(size)
        self._own.add(pointer.mem.ptr)
        return pointer

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Launches note what they use; host values become constants of the graph."""
        kernels: Any = self.backend.kernels
        backend: Any = self.backend
        launch: Callable[..., None] = kernels.launch

        def noted(operation: Callable[..., None], *args: Any) -> None:
            if not self._outside:
                self.launches += 1
            self._keep(args)
            launch(operation, *args)

        kernels.launch, backend.from_numpy = noted, self._constant
        try:
            yield
        finally:
            kernels.launch = launch
            del backend.from_numpy

    def _keep(self, value: Any) -> None:
        if isinstance(value, (tuple, list)):
            for each in value:
                self._keep(each)
        elif isinstance(value, self.backend._ndarray):
            block = value.data.mem
            if block.ptr not in self._own:
                self._kept[block.ptr] = block

    def _constant(self, values: np.ndarray[Any, Any]) -> Array:
        """Values of the host, uploaded now; each replay puts them back, as they may be changed."""
        upload = type(self.backend).from_numpy
        if self._outside:
            return upload(self.backend, values)
        with self.outside():
            source, array = upload(self.backend, values), upload(self.backend, values)
        self._constants += (source, array)
        if array.size:
            self.backend.kernels.copy(source, array)
        return array


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """No garbage is collected inside: in it may be a graph and its pool, and CUDA forbids to
    destroy these while a stream captures."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
