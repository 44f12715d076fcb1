"""What a captured step does beside launching kernels, and what of Python it depends on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

from ..amp.autocast_mode import clear_autocast_cache, get_autocast_dtype, is_autocast_enabled
from ..amp.grad_scaler import GradScaler, OptState
from ..autograd.modes import MODE
from ..backends import Array, Backend
from ..backends.matmul_precision import SETTING
from ..errors import CaptureError
from ..nn import Module
from ..optim.optimizer import Optimizer
from ..optim.scheduler_base import LRScheduler
from ..profiler.watching import watched_replay
from ..random import Generator
from ..recording import NOW
from ..tensor import Tensor
from .gradients import Gradients
from .optimizers import Stepped
from .reads import refused_reads, shadowed
from .streams import RandomStream

Schedule = tuple[LRScheduler, tuple[Any, ...], dict[str, Any]]

_NOTING = threading.RLock()  # classes are patched meanwhile: by one thread at a time


class Record:
    """The modules, optimizers, schedules, gradients and random streams of one step.

    graph: records the kernels; None where the step runs eagerly, and only `changed` is of use.
    """

    def __init__(self, name: str, backend: Backend, graph: Any = None) -> None:
        self.name, self.backend, self.graph = name, backend, graph
        self.modules: dict[Module, bool] = {}  # and whether they were in training mode
        self.tensors: dict[Tensor, tuple[Array, bool, str]] = {}  # memory, requires_grad, name
        self.optimizers: dict[Optimizer, Stepped] = {}
        self.before: list[Schedule] = []  # schedules that step before their optimizer does
        self.after: list[Schedule] = []
        self.generators: set[Generator] = set()
        self.streams: dict[Generator, RandomStream] = {}
        self.scalers: set[GradScaler] = set()
        self.stages: dict[Any, OptState] = {}  # of the scalers' optimizers, before the step
        self.gradients = Gradients()
        self.settings = _settings(backend)
        self._in_schedule = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """The step runs inside: this thread is recording, and cannot read from a device."""
        with refused_reads:
            NOW.recording = self
            try:
                yield
            finally:
                NOW.recording = None

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Modules called, schedules stepped and gradients forgotten inside are noted."""
        clear_autocast_cache()  # copies of parameters that a graph would not renew
        with _NOTING, ExitStack() as stack:
            stack.enter_context(shadowed(Module, __call__=self._noted_call()))
            stack.enter_context(
                shadowed(Tensor, grad=self.gradients.noted(Tensor.__dict__["grad"]))
            )
            stack.enter_context(
                shadowed(
                    GradScaler, update=self._noted_update(), _progress_of=self._noted_progress()
                )
            )
            for kind in _all_kinds(LRScheduler):
                if "step" in vars(kind):
                    stack.enter_context(shadowed(kind, step=self._noted_schedule(kind.step)))
            yield
        for tensor, (array, _, name) in self.tensors.items():
            if tensor.array is not array:
                self.refuse(
                    f"{name} gets new memory inside the step",
                    "Change it in place (copy_, add_, ...), or before the step.",
                )

    def _noted_call(self) -> Any:
        call = Module.__call__

        def noted(module: Module, *args: Any, **kwargs: Any) -> Any:
            if NOW.recording is self and module not in self.modules:
                self.note_module(module)
            return call(module, *args, **kwargs)

        return noted

    def _noted_update(self) -> Any:
        update = GradScaler.update

        def noted(scaler: GradScaler, *args: Any, **kwargs: Any) -> Any:
            if NOW.recording is self:
                self.scalers.add(scaler)
            return update(scaler, *args, **kwargs)

        return noted

    def _noted_progress(self) -> Any:
        progress_of = GradScaler._progress_of

        def noted(scaler: GradScaler, optimizer: Any) -> Any:
            progress = progress_of(scaler, optimizer)
            if NOW.recording is self:
                self.stages.setdefault(progress, progress.stage)
            return progress

        return noted

    def _noted_schedule(self, step: Any) -> Any:
        def noted(scheduler: LRScheduler, *args: Any, **kwargs: Any) -> Any:
            if NOW.recording is not self or self._in_schedule:
                return step(scheduler, *args, **kwargs)
            done = self.after if scheduler.optimizer in self.optimizers else self.before
            done.append((scheduler, args, kwargs))
            self._in_schedule = True
            try:
                return step(scheduler, *args, **kwargs)
            finally:
                self._in_schedule = False

        return noted

    def note_module(self, module: Module) -> None:
        """What the step has of a module: its mode and its tensors, and those of all inside."""
        kind = type(module).__name__
        self.modules |= {each: each.training for each in module.modules()}
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            self._note_tensor(tensor, f"{kind}.{name}")

    def _note_tensor(self, tensor: Tensor, name: str) -> None:
        if tensor not in self.tensors:
            self.tensors[tensor] = (tensor.array, tensor._requires_grad, name)

    # ---- Recording ---------------------------------------------------------------------------

    def draw(self, generator: Generator, backend: Backend) -> tuple[Array, int]:
        """Of a graph: from a state that is moved on with each replay."""
        self.generators.add(generator)
        if self.graph is None:
            return generator.next_draw(backend)
        if backend is not self.backend:
            self.refuse(
                f"random numbers are drawn on {backend.device}, the step runs on "
                f"{self.backend.device}",
                f"Draw them with device={str(self.backend.device)!r}, or before the step.",
            )
        if generator not in self.streams:
            with self.graph.outside():
                self.streams[generator] = RandomStream(generator, backend)
        return self.streams[generator].draw()

    def entering(self, optimizer: Optimizer) -> None:
        if optimizer not in self.optimizers:
            self.optimizers[optimizer] = Stepped(optimizer)
        self.optimizers[optimizer].entering()

    def stepping(self, optimizer: Optimizer) -> None:
        outside = nullcontext if self.graph is None else self.graph.outside
        self.optimizers[optimizer].stepping(self.refuse, outside)

    def stepped(self, optimizer: Optimizer) -> None:
        self.optimizers[optimizer].stepped(self.refuse)
        self._note_parameters(optimizer)

    def _note_parameters(self, optimizer: Optimizer) -> None:
        for i, group in enumerate(optimizer.param_groups):
            names = group.get("param_names") or map(str, range(len(group["params"])))
            for name, param in zip(names, group["params"], strict=True):
                self._note_tensor(param, f"{type(optimizer).__name__}.param_groups[{i}] {name}")

    def refuse(self, what: str, way_out: str) -> None:
        raise CaptureError(f"captured step {self.name}: {what}.\n  {way_out}")

    # ---- replaying ---------------------------------------------------------------------------

    def changed(self) -> str:
        """What the step was captured with and is otherwise now; "" where nothing is."""
        for module, training in self.modules.items():
            if module.training is not training:
                return f"{type(module).__name__}.training is {module.training}"
        for tensor, (array, requires_grad, name) in self.tensors.items():
            if tensor.array is not array:
                return f"{name} has other memory (moved, cast or loaded anew)"
            if tensor._requires_grad is not requires_grad:
                return f"{name}.requires_grad is {tensor._requires_grad}"
        for stepped in self.optimizers.values():
            reason = stepped.changed()
            if reason:
                return reason
        settings = _settings(self.backend)
        if settings != self.settings:
            return f"matmul precision, autocast dtype and grad mode are {settings}"
        return self.gradients.changed(self.tensors)

    def finish(self) -> None:
        """Inside the graph, at its end: the random streams move on."""
        for stream in self.streams.values():
            stream.advance()

    def undo(self) -> None:
        """After a failed recording, none of whose kernels ran: gradients, streams and scalers as
        before."""
        for stream in self.streams.values():
            stream.rewind()
        self.gradients.undo()
        clear_autocast_cache()  # casts that never ran
        self.undo_stages()

    def undo_stages(self) -> None:
        """After a failed step: scalers are ready for the next."""
        for progress, stage in self.stages.items():
            progress.stage = stage

    def replay(self, first: bool = False) -> None:
        """Run the graph, with what Python has to do before and after; it did so when the graph was
        recorded, before the `first` run."""
        optimizers = () if first else tuple(self.optimizers.values())
        if not first:
            _step_all(self.before)
        for stepped in optimizers:
            stepped.prepare()
        for stream in self.streams.values():
            stream.prepare()
        self.gradients.prepare(self.backend)
        watched_replay(self.backend, self.name, self.graph.replay)
        for stream in self.streams.values():
            stream.replayed()
        self.gradients.replayed()
        for stepped in optimizers:
            stepped.replayed(self.name)
        if not first:
            _step_all(self.after)


class Observation(Record):
    """An eager call of which the tensors are noted, and nothing is refused."""

    @contextmanager
    def running(self) -> Iterator[None]:
        NOW.recording = self
        try:
            yield
        finally:
            NOW.recording = None

    def entering(self, optimizer: Optimizer) -> None:
        """Its state may be made now."""

    def stepping(self, optimizer: Optimizer) -> None:
        """Its learning rate may change."""

    def stepped(self, optimizer: Optimizer) -> None:
        self._note_parameters(optimizer)

    def refuse(self, what: str, way_out: str) -> None:
        """What is not to be repeated may be done."""


def _settings(backend: Backend) -> tuple[Any, ...]:
    """What operations ask beside their arguments."""
    kind = backend.device.type
    dtype = get_autocast_dtype(kind).name if is_autocast_enabled(kind) else None
    return SETTING.name, dtype, MODE.grad


def _step_all(schedules: list[Schedule]) -> None:
    for scheduler, args, kwargs in schedules:
        scheduler.step(*args, **kwargs)


def _all_kinds(kind: type[Any]) -> Iterator[type[Any]]:
    """A class and all that inherit from it."""
    yield kind
    for each in kind.__subclasses__():
        yield from _all_kinds(each)
