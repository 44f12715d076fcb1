"""Checkpointing: less memory for more computing. In place of torch.utils.checkpoint.

What operations inside a checkpoint keep for backward is not kept: when backward first needs some of
it, the function runs again and all of it is there. Built on `autograd.graph.saved_tensors_hooks`,
so everything else works as without: `grad`, gradients of gradients, hooks, nesting.
Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..amp.autocast_mode import same_regions
from ..autograd.function import Function
from ..autograd.graph import saved_tensors_hooks
from ..autograd.modes import MODE, enable_grad
from ..autograd.node import describe
from ..dtype import float32
from ..errors import ArgumentError, CheckpointError, GraphError
from ..random import generator_states, set_generator_states
from ..tensor import Tensor

Found = dict[int, tuple[Tensor, int]]  # tensors by number, each with its version
Contexts = Callable[[], "tuple[AbstractContextManager[Any], AbstractContextManager[Any]]"]


def noop_context_fn() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Two contexts that do nothing."""
    return nullcontext(), nullcontext()


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Contexts = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)``, computed again in backward instead of keeping what it needs.

    Kept are the tensors among the arguments. The second run draws the same random numbers
    (`preserve_rng_state`: of the default generators), so dropout masks agree; it ends as soon as
    everything is there (`early_stop`). context_fn gives a context for either run.
    Raises CheckpointError where the second run keeps other tensors than the first: another number,
    or (``determinism_check="default"``, not "none") another shape or dtype.
    use_reentrant: there is one way here, which has neither of PyTorch's restrictions; both values
    are accepted, and `debug`, too: errors name the operations' tensors without it.
    """
    if determinism_check not in ("default", "none"):
        raise ArgumentError(
            f"checkpoint: determinism_check must be 'default' or 'none', got {determinism_check!r}."
        )
    if not MODE.grad:
        return function(*args, **kwargs)
    first, second = context_fn()
    frame = _Frame(function, args, kwargs, second)
    frame.check, frame.early_stop = determinism_check == "default", early_stop
    frame.random = generator_states() if preserve_rng_state else None
    with saved_tensors_hooks(frame.pack, _unpack), first:
        return function(*args, **kwargs)


def checkpoint_sequential(
    functions: Any,
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    **kwargs: Any,
) -> Any:
    """`input` through a Sequential (or a list of functions), in `segments` checkpoints.

    The last segment runs without one: backward begins there. kwargs are those of `checkpoint`.
    """
    parts: Sequence[Callable[..., Any]] = list(functions)
    if not isinstance(segments, int) or not 1 <= segments <= max(1, len(parts)):
        raise ArgumentError(
            f"checkpoint_sequential: segments must be from 1 to {len(parts)}, the number of "
            f"functions; got {segments!r}."
        )
    size = len(parts) // segments
    for i in range(segments - 1):
        run = _through(parts[i * size : (i + 1) * size])
        input = checkpoint(run, input, use_reentrant=use_reentrant, **kwargs)
    return _through(parts[(segments - 1) * size :])(input)


def _through(parts: Sequence[Callable[..., Any]]) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        for part in parts:
            x = part(x)
        return x

    return run


class CheckpointInputs(Function):
    """Keeps the arguments of a checkpoint as an operation keeps tensors: an outer checkpoint sees
    them, and a change in place is noticed. It has no derivative: nothing is computed from it."""

    def forward(self, first: Any, *arrays: Any) -> Any:
        self.save(*arrays)
        return first[...]

    def backward(self, dy: Tensor) -> Any:
        return (None,) * len(self.edges)


class _Enough(BaseException):
    """All that was kept is there again: the rest of the second run has no use."""


class _Place:
    """What a node holds instead of a tensor: number `index` of what a checkpoint kept."""

    __slots__ = ("__weakref__", "frame", "index")

    def __init__(self, frame: _Frame, index: int) -> None:
        self.frame, self.index = frame, index


def _unpack(place: _Place) -> Tensor:
    return place.frame.value(place)


class _Frame:
    """One call of `checkpoint`."""

    check = early_stop = True
    random: Any = None

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> None:
        self.function, self.context = function, context
        self.regions = same_regions()
        self.places: list[weakref.ref[_Place]] = []
        self.facts: list[tuple[Any, ...]] = []  # shape and dtype of each
        # In each backward its own: what is left over goes with it. None: outside of backward.
        self.found: weakref.WeakKeyDictionary[Any, Found] = weakref.WeakKeyDictionary()
        given = [*args, *kwargs.values()]
        self.names = list(kwargs)
        self.constants = list(given)
        self.tensors, self.inputs = _kept(given)
        for i in self.tensors:
            self.constants[i] = None

    def pack(self, x: Tensor) -> _Place:
        """First run: note what is kept, without keeping it."""
        place = _Place(self, len(self.places))
        self.places.append(weakref.ref(place))
        self.facts.append((x.shape, x.dtype))
        return place

    def value(self, place: _Place) -> Tensor:
        """In backward: the tensor, by a second run where it is not there."""
        key = MODE.walk if MODE.walk is not None else _Outside()
        found = self.found.get(key, {})
        if place.index not in found:
            found = self._again()
            self.found[key] = found
        x, version = found.pop(place.index)
        if x._version != version:
            raise GraphError(
                f"checkpoint: {_name(self.function)} changes a tensor in place ({describe(x)}) "
                "that backward needs as it was.\n  Use the out-of-place form, or clone() it first."
            )
        return x

    def _again(self) -> Found:
        """Run the function again and collect what its operations keep."""
        given = list(self.constants)
        for i, x in zip(self.tensors, self.inputs.saved if self.inputs else (), strict=True):
            given[i] = x
        split = len(given) - len(self.names)
        args, kwargs = given[:split], dict(zip(self.names, given[split:], strict=True))
        second = _Second(self)
        present, outer = generator_states(), MODE.inspect
        MODE.inspect = None
        if self.random is not None:
            set_generator_states(self.random)
        try:
            hooks = saved_tensors_hooks(second.pack, _unpack_again)
            with enable_grad(), hooks, self.regions, self.context:
                self.function(*args, **kwargs)
        except _Enough:
            pass
        finally:
            MODE.inspect = outer
            if self.random is not None:
                set_generator_states(present)
        if second.count < len(self.places):
            raise CheckpointError(
                f"checkpoint: the first run of {_name(self.function)} kept {len(self.places)} "
                f"tensors for backward, the second only {second.count}.{_ADVICE}"
            )
        return second.values


class _Second:
    """The second run: takes the tensors of the places that are still held."""

    def __init__(self, frame: _Frame) -> None:
        self.frame, self.count = frame, 0
        self.values: Found = {}

    def pack(self, x: Tensor) -> Tensor:
        frame, index = self.frame, self.count
        self.count += 1
        if index >= len(frame.places):
            raise CheckpointError(
                f"checkpoint: the second run of {_name(frame.function)} keeps more than the "
                f"{len(frame.places)} tensors that the first kept for backward.{_ADVICE}"
            )
        if frame.check and (x.shape, x.dtype) != frame.facts[index]:
            shape, dtype = frame.facts[index]
            raise CheckpointError(
                f"checkpoint: tensor {index} that {_name(frame.function)} keeps for backward was "
                f"{shape} {dtype.name} in the first run and is {describe(x)} in the second."
                f"{_ADVICE}"
            )
        if frame.places[index]() is not None:
            self.values[index] = (x.detach(), x._version)
        if frame.early_stop and self.count == len(frame.places):
            raise _Enough
        return x


_ADVICE = (
    "\n  It must compute the same each time: no random numbers from elsewhere than gpugrad, no "
    "changed globals, no branch on grad mode; see also preserve_rng_state."
)


class _Outside:
    """Stands for the backward where a saved tensor is asked for outside of any."""


def _unpack_again(x: Tensor) -> Tensor:
    return x


def _kept(given: list[Any]) -> tuple[list[int], CheckpointInputs | None]:
    """Which arguments are tensors (of one device: others are kept as they are), and a node that
    keeps them, recorded by a leaf of its own, whatever they require."""
    backend = next((x.backend for x in given if isinstance(x, Tensor)), None)
    if backend is None:
        return [], None
    places = [i for i, x in enumerate(given) if isinstance(x, Tensor) and x.backend is backend]
    leaf = Tensor(backend.empty((0,), float32), backend, True)
    node: Any = CheckpointInputs.apply(leaf, *[given[i] for i in places]).grad_fn
    return places, node


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", type(function).__name__)
