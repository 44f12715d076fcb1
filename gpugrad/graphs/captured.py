"""capture: a training step recorded once, and repeated by the device."""

from __future__ import annotations

import functools
import os
import types
from collections.abc import Callable
from typing import Any

from .. import backends
from ..autograd import no_grad
from ..autograd.modes import MODE
from ..backends import Backend
from ..errors import ArgumentError, CaptureError
from ..func.trees import tree_map
from ..recording import NOW
from ..tensor import Tensor
from .arguments import Arguments, Key, backend_of, misfit, other_constant
from .compare import compare
from .record import Observation, Record

Step = Callable[..., Any]


class StepDone(CaptureError):
    """The step cannot be captured, but has just been done eagerly; `result` is what it gave."""

    def __init__(self, text: str, result: Any) -> None:
        super().__init__(text)
        self.result = result


class _Shape:
    """What is known of the calls with one key: their constants, and the graph once there is one."""

    def __init__(self, call: Arguments, backend: Backend) -> None:
        self.backend = backend
        self.constants = call.constants()
        self.calls = 0
        self.observed: list[Tensor] = []  # that the step has of its modules and optimizers
        self.record: Record | None = None
        self.inputs: list[Tensor] = []  # the graph's own
        self.result: Any = None  # of the graph, written by each replay


class Captured:
    """A step made by `capture`, which says how it behaves. Call it like the step itself.

    ``reset()`` forgets what was captured; the next calls warm up again.
    """

    def __init__(
        self,
        step: Step,
        *,
        warm_up: int = 2,
        shapes: int = 1,
        device: Any = None,
        strict: bool = True,
        debug: bool | None = None,
    ) -> None:
        if not callable(step):
            raise TypeError(f"capture(step): {type(step).__name__} is no function")
        for name, value in (("warm_up", warm_up), ("shapes", shapes)):
            if value < 1:
                raise ArgumentError(f"capture({name}={value}): must be at least 1")
        functools.update_wrapper(self, step, updated=())
        self.step = step
        self.name = getattr(step, "__name__", type(step).__name__)
        self.warm_up, self.shapes, self.strict = warm_up, shapes, strict
        self.device = None if device is None else backends.get(device).device
        self.debug = _debugging() if debug is None else debug
        self.reset()

    def reset(self) -> None:
        """Forget all graphs and their memory."""
        self._known: dict[Key, _Shape] = {}
        self._memory: Any = None

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """A method of the class in which a step was decorated."""
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        graphs = sum(shape.record is not None for shape in self._known.values())
        return f"<captured step {self.name}: {graphs} of at most {self.shapes} shapes>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The step: eagerly while it warms up, then by the graph. See `capture`."""
        if NOW.recording is not None:  # part of an outer step
            return self.step(*args, **kwargs)
        call = Arguments(args, kwargs)
        if MODE.inspect is not None:  # detect_nan looks at every value
            return self._eagerly(call)
        shape = self._fitting(call)
        if shape is None:
            return self._eagerly(call)
        shape.calls += 1
        if shape.record is None:
            if shape.calls < self.warm_up:
                return self._eagerly(call)
            if shape.calls == self.warm_up:
                return self._observed(shape, call)
            return self._first(shape, call)
        return self._again(shape, call)

    # ---- which graph -------------------------------------------------------------------------

    def _fitting(self, call: Arguments) -> _Shape | None:
        """Where the call belongs; None where it is to run eagerly. Raises if strict."""
        shape = self._known.get(call.key)
        if shape is None:
            backend = self._backend(call)
            if len(self._known) < self.shapes:
                shape = self._known[call.key] = _Shape(call, backend)
                return shape
            reason = misfit(self._known, call, self.step)
            way_out = (
                "A graph is of one shape: pad, drop the last batch (drop_last=True), or allow more "
                f"of them: gg.capture(step, shapes={self.shapes + 1})."
            )
        elif reason := other_constant(shape.constants, call, self.step):
            way_out = (
                "A graph repeats the captured value: pass a tensor, gg.tensor(value, device=...), "
                "or call reset() after a change."
            )
        elif reason := "" if shape.record is None else shape.record.changed():
            if not self.strict:
                self.reset()
                return self._fitting(call)
            reason += ", which it was not when captured"
            way_out = "A graph repeats what it was captured with: call reset() after a change."
        else:
            return shape
        if self.strict:
            raise CaptureError(f"captured step {self.name}: {reason}.\n  {way_out}")
        return None

    def _backend(self, call: Arguments) -> Backend:
        found = backend_of(call, self.step)
        if found is not None and (self.device is None or found.device == self.device):
            return found
        if found is not None:
            raise CaptureError(
                f"captured step {self.name}: its arguments are on {found.device}, the step was "
                f"captured for {self.device}.\n  Call .to({str(self.device)!r}) before the step."
            )
        if self.device is None:
            raise ArgumentError(
                f"captured step {self.name}: it has no tensor arguments, so its device is not "
                'known.\n  Name it: gg.capture(step, device="cuda").'
            )
        return backends.get(self.device)

    # ---- running it --------------------------------------------------------------------------

    def _eagerly(self, call: Arguments) -> Any:
        result, reason = self._run(call, call.args, call.kwargs, call.tensors())
        if reason:
            raise StepDone(reason, result)
        return result

    def _run(
        self, call: Arguments, args: Any, kwargs: Any, tensors: list[Tensor]
    ) -> tuple[Any, str]:
        """The step itself, and what is wrong where it changed an argument."""
        versions = [tensor._version for tensor in tensors]
        result = tree_map(_detached, self.step(*args, **kwargs))
        for i, (tensor, version) in enumerate(zip(tensors, versions, strict=True)):
            if tensor._version != version:
                names = call.names(self.step)
                places = [j for j, x in enumerate(call.leaves) if isinstance(x, Tensor)]
                return result, (
                    f"captured step {self.name}: it changes its argument {names[places[i]]} in "
                    f"place ({tensor._counter.changed_by}); a graph has copies of its arguments.\n"
                    "  Work on a clone(), or on a tensor that is not an argument."
                )
        return result, ""

    def _observed(self, shape: _Shape, call: Arguments) -> Any:
        """The last eager call, which shows whose gradients the step begins with."""
        observation = Observation(self.name, shape.backend)
        with observation.running(), observation.noting():
            result = self._eagerly(call)
        shape.observed = [*(observation.tensors | observation.gradients.seen)]
        return result

    def _first(self, shape: _Shape, call: Arguments) -> Any:
        """The call that is recorded. Where that fails, no kernel of it has run on the device; where
        steps run eagerly, it is one."""
        captures = shape.backend.captures
        graph = self._graph(shape.backend) if captures else None
        record = Record(self.name, shape.backend, graph)
        record.gradients.begin(shape.observed)
        if graph is None:
            try:
                with record.running(), record.noting():
                    result = self._eagerly(call)
            except BaseException:
                record.undo_stages()
                raise
            record.gradients.end()
            shape.record = record
            return result
        own, (args, kwargs) = call.buffers()
        try:
            with graph.record(), record.running(), record.noting():
                result, reason = self._run(call, args, kwargs, own)
                if reason:
                    raise CaptureError(reason)
                record.finish()
            self._check_launches(graph)
        except BaseException:
            record.undo()
            raise
        record.gradients.end()
        record.gradients.undo()  # those of the recording have no values yet
        shape.record, shape.inputs, shape.result = record, own, result
        record.replay(first=True)
        return _copied(result)

    def _graph(self, backend: Backend) -> Any:
        if self._memory is None or self._memory.backend is not backend:
            self._memory = backend.graph_memory()
        return self._memory.new_graph()

    def _check_launches(self, graph: Any) -> None:
        if not graph.launches:
            raise CaptureError(
                f"captured step {self.name}: it runs no kernel on {graph.backend.device}.\n"
                "  Is the model there? Move it with .to(device)."
            )

    def _again(self, shape: _Shape, call: Arguments) -> Any:
        """A call after the recorded one."""
        assert shape.record is not None
        if not self.debug:
            return self._repeated(shape, call)
        return compare(
            self.name,
            shape.record,
            lambda: self._repeated(shape, call),
            lambda: self._checked(shape, call),
        )

    def _repeated(self, shape: _Shape, call: Arguments) -> Any:
        record = shape.record
        if record is None or record.graph is None:
            return self._checked(shape, call)
        call.copy_to(shape.inputs)
        record.replay()
        return _copied(shape.result)

    def _checked(self, shape: _Shape, call: Arguments) -> Any:
        """Eagerly, but without host reads."""
        with Record(self.name, shape.backend).running():
            return self._eagerly(call)


def _detached(x: Any) -> Any:
    return x.detach() if isinstance(x, Tensor) else x


def _copied(result: Any) -> Any:
    """What the caller may keep: the graph writes to its own tensors again."""
    with no_grad():
        return tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, result)


def _debugging() -> bool:
    return os.environ.get("GPUGRAD_DEBUG", "0") in ("2", "3")


def capture(
    step: Step | None = None,
    *,
    warm_up: int = 2,
    shapes: int = 1,
    device: Any = None,
    strict: bool = True,
    debug: bool | None = None,
) -> Any:
    """Record what `step` launches into a CUDA graph, and repeat it by one launch from then on.

        @gg.capture
        def train_step(x, target):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), target)
            loss.backward()
            optimizer.step()
            return loss

    The first `warm_up` calls run eagerly, the next is recorded, and all are steps like any other:
    the numbers are those of eager steps, bit by bit. A replay does not run the Python code. So:

    - Tensor arguments (also inside tuples, lists and dictionaries) are copied to where the graph
      reads them; shape, dtype and device must be the captured ones. Other arguments must be equal
      to the captured ones. `shapes` sets of arguments get a graph each.
    - Results are detached copies, which later calls leave alone; numbers and strings in them are
      those of the recorded call.
    - Host reads (item(), print, if on a tensor, ...) raise CaptureError with their line.
    - The model's mode, its memory, what requires a gradient and the optimizer's options must stay
      as they were; the step cannot change its arguments. Other Python values are frozen, too.
    - Learning rates, counts of steps and clipping are read on the device. Schedules that step
      inside the step, or outside of it, work; so does dropout: random streams move on.
    - ``p.grad`` is the graph's own memory after a call, and written again by the next. The step may
      call zero_grad() itself; else gradients add up, and must be there, or not, as they were.

    device: of a step without tensor arguments. strict: False runs what does not fit eagerly, and
    captures anew what changed, instead of raising. debug (default: from GPUGRAD_DEBUG=2 on): each
    replay is compared with an eager run, bit by bit, from the same state: that of the modules,
    optimizers, schedules and scalers inside the step. Also ``@gg.capture(warm_up=3)``.

    On `cpu` and `sim` all calls run eagerly, with the same checks; so they do inside detect_nan.
    Raises CaptureError, ArgumentError.
    """
    made = functools.partial(
        Captured, warm_up=warm_up, shapes=shapes, device=device, strict=strict, debug=debug
    )
    return made if step is None else made(step)
