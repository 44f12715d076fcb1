"""Debug mode of captured steps: each replay is held against an eager run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..backends import Array, Backend
from ..errors import CaptureError
from ..func.trees import flatten
from ..tensor import Tensor
from .record import Record

Values = dict[str, np.ndarray[Any, Any]]


def compare(name: str, record: Record, repeat: Callable[[], Any], eager: Callable[[], Any]) -> Any:
    """The result of `eager`, which leaves its state behind.

    Raises CaptureError where `repeat`, from the same state, gives other bits.
    """
    state = _State(record)
    repeated = _results(repeat()) | state.values()
    state.restore()
    result = eager()
    expected = _results(result) | state.values()
    for what, wanted in expected.items():
        found = repeated.get(what)
        if found is None or found.tobytes() != wanted.tobytes():
            raise CaptureError(_text(name, what, found, wanted))
    return result


def _results(result: Any) -> Values:
    leaves = [x for x in flatten(result)[0] if isinstance(x, Tensor)]
    return {f"result {i}": x.backend.to_numpy(x.array) for i, x in enumerate(leaves)}


def _text(name: str, what: str, found: Any, wanted: np.ndarray[Any, Any]) -> str:
    if found is None:
        text = f"{what} is missing after the replay"
    else:
        other = found != wanted
        example = tuple(int(i) for i in np.argwhere(other)[0]) if other.any() else ()
        text = (
            f"{what} {wanted.shape} differs in {int(other.sum())} of {wanted.size} elements; at "
            f"{example} it is {found[example] if example else found}, eagerly "
            f"{wanted[example] if example else wanted}"
        )
    return (
        f"captured step {name}: a replay and an eager run from the same state disagree: {text}.\n"
        "  The step depends on something that the graph does not read anew: a Python number, a "
        "NumPy array,\n  a tensor that was replaced, or random numbers of another library. Pass it "
        "as a tensor argument."
    )


class _State:
    """All that a step changes, as far as its record knows: values, and how to put them back."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.saved = [(b, a, b.kernels.contiguous(a)) for _, b, a in self._arrays()]
        self.grads = {
            t: (t._grad, None if t._grad is None else t.backend.kernels.contiguous(t._grad.array))
            for t in record.tensors
        }
        self.random = [(g, g._seed, g._base, g._call) for g in record.generators]
        self.counts = [(optimizer, optimizer.step_count) for optimizer in record.optimizers]
        self.groups = [
            (g, dict(g)) for optimizer in record.optimizers for g in optimizer.param_groups
        ]
        schedules = [scheduler for scheduler, _, _ in (*record.before, *record.after)]
        self.schedules = [(scheduler, dict(scheduler.state_dict())) for scheduler in schedules]

    def _arrays(self) -> Iterator[tuple[str, Backend, Array]]:
        """(name, backend, array) of parameters, buffers, and the state of optimizers."""
        for tensor, (_, _, name) in self.record.tensors.items():
            yield name, tensor.backend, tensor.array
        for optimizer in self.record.optimizers:
            kind = type(optimizer).__name__
            buckets = [bucket for plan in optimizer._plans for bucket in plan.buckets]
            for i, bucket in enumerate(buckets):
                yield f"{kind} learning rate and counts {i}", bucket.backend, bucket.hyper
                yield f"{kind} ticket {i}", bucket.backend, bucket.ticket
                for name, arrays in bucket.states.items():
                    for j, array in enumerate(arrays):
                        yield f"{kind} {name} {i}.{j}", bucket.backend, array
            for i, entry in enumerate(optimizer._own_state.values()):
                for name, value in entry.items():
                    if isinstance(value, Tensor):
                        yield f"{kind} {name} {i}", value.backend, value.array

        for scaler in self.record.scalers:
            if scaler._scale is not None:
                yield "the scaler's scale", scaler._scale.backend, scaler._scale.array
                yield "the scaler's count", scaler._scale.backend, scaler._good

    def values(self) -> Values:
        """All of it now, and the gradients, by name."""
        found = {name: b.to_numpy(a) for name, b, a in self._arrays()}
        for tensor, (_, _, name) in self.record.tensors.items():
            if tensor._grad is not None:
                found[f"{name}.grad"] = tensor.backend.to_numpy(tensor._grad.array)
        return found

    def restore(self) -> None:
        """Put everything back."""
        for backend, array, copy in self.saved:
            backend.kernels.copy(copy, array)
        for tensor, (grad, copy) in self.grads.items():
            if grad is not None:
                tensor.backend.kernels.copy(copy, grad.array)
            tensor._grad = grad
        for generator, *place in self.random:
            generator._restart(*place)
        for optimizer, count in self.counts:
            optimizer.step_count = count
            for plan in optimizer._plans:
                for bucket in plan.buckets:
                    bucket.lr = math.nan  # of what the device has now nothing is known
        for scheduler, state in self.schedules:
            scheduler.load_state_dict(state)
        for group, options in self.groups:
            group.update(options)
