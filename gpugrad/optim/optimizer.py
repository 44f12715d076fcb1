"""Optimizer: parameter groups, their state, and the step that hands both to one kernel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from .. import dtype as dtypes
from ..autograd import enable_grad
from ..backends import Array, Backend, Kernels
from ..dtype import DType
from ..errors import ArgumentError, DTypeError, GraphError
from ..nn.parameter import is_lazy, zero_gradient
from ..recording import NOW
from ..tensor import Tensor
from . import checkpoint
from .buckets import MASTER, Bucket, split
from .hooks import HookMethods

Group = dict[str, Any]


class Plan:
    """How one group is stepped: its buckets, and the parameters that never had a gradient yet."""

    __slots__ = ("buckets", "waiting")

    def __init__(self, params: Iterable[Tensor]) -> None:
        self.buckets: list[Bucket] = []
        self.waiting = list(params)


class Optimizer(HookMethods):
    """Base of all optimizers.

    params: an iterable of parameters, or of dictionaries ("groups") with the key "params" and
    options of their own; missing options are taken from `defaults`. With (name, parameter) pairs,
    as of named_parameters(), the names are kept in the group's "param_names".

    A step is one kernel launch for each group (and each dtype and device in it). A parameter whose
    `grad` is None is passed over and its step count stays. State of float16 and bfloat16
    parameters is kept in float32. Writing to `group["lr"]` and other options takes effect at once.

    Gradients add up in `grad` until zero_grad(): backward() of several small batches, each loss
    divided by their number, and one step() are a step of the large batch.

    master_weights (of the classes that have it): float16 and bfloat16 parameters keep a float32
    copy in the state ("master_param"), which takes the steps; the parameters are it, rounded. Small
    steps are so not lost. Elements that were changed otherwise begin anew in the copy. Parameters
    that are float32, as under gg.autocast, need none.

    lr may be a tensor of one element: it is then read on its device in every step. PyTorch's
    choices between its implementations (foreach, fused, capturable) are accepted and change
    nothing: every step here is fused and can be captured.

    Subclasses here give `_state_names` and `_launch`. One that writes its own `step` finds a
    dictionary for each parameter in `state`, empty at first, which state_dict takes along.
    """

    _skips: ClassVar[bool] = True  # whether the kernels of `_launch` heed the ticket's flag
    found_inf: Mapping[Backend, Array] | None = None  # by GradScaler: the tickets of a step
    _count_in_state: ClassVar[bool] = True  # whether state_dict has "step", as PyTorch's class does

    def __init__(self, params: Any, defaults: Group) -> None:
        _check_iterable(type(self).__name__, params)
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self.step_count = 0
        self._operation = f"{type(self).__name__}.step"
        self._plans: list[Plan] = []
        self._own_state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        groups = list(params)
        if not groups:
            raise ArgumentError(
                f"{type(self).__name__}(params): the parameter list is empty. An iterator such as "
                "model.parameters() can be used once; and layers in a plain list are not found "
                "(use nn.ModuleList)."
            )
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # ---- what a subclass gives ---------------------------------------------------------------

    def _state_names(self, group: Group) -> tuple[str, ...]:
        """Names of the state tensors that each parameter has under these options."""
        raise NotImplementedError

    def _first_state(self, group: Group, name: str) -> float:
        """What a state tensor is full of before the first step."""
        return 0.0

    def _names(self, group: Group, dtype: DType) -> tuple[str, ...]:
        """`_state_names`, and the master weights where parameters of this dtype have them."""
        names = self._state_names(group)
        return (*names, MASTER) if group.get("master_weights") and dtypes.is_half(dtype) else names

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """Whether `found_inf` can make a step of this class do nothing."""
        return type(self)._launch is not Optimizer._launch

    def _state_dtype(self, param: Tensor) -> DType:
        """Of floating tensors that are loaded into the state of a subclass with its own step."""
        return param.dtype

    def _state_shapes(self, param: Tensor) -> dict[str, tuple[int, ...]]:
        """Shapes that loaded state must have, of a subclass with its own step that knows them."""
        return {}

    def _first_clock(self, group: Group) -> dict[str, float]:
        """Names and first values of what a step moves on: the count of steps, and more."""
        return {"step": 0.0}

    def _launch(
        self, kernels: Kernels, group: Group, bucket: Bucket, p: list[Array], g: list[Array]
    ) -> None:
        """Calls the kernel on parameters p and gradients g."""
        raise NotImplementedError

    def _check_group(self, group: Group) -> None:
        """Raises ArgumentError for options out of range."""
        self._at_least_zero(group, *(n for n in ("lr", "weight_decay") if n in group))

    def _at_least_zero(self, group: Group, *names: str) -> None:
        for name in names:
            value = group[name]
            if name == "lr" and isinstance(value, Tensor) and value.numel() == 1:
                continue
            if not (isinstance(value, (int, float, np.number)) and value >= 0):
                raise ArgumentError(
                    f"{type(self).__name__}({name}={value!r}): must be a number of at least 0"
                )

    def _check_betas(self, group: Group) -> None:
        betas = group["betas"]
        pair = isinstance(betas, (tuple, list)) and len(betas) == 2
        if not pair or not all(0 <= beta < 1 for beta in betas):
            raise ArgumentError(
                f"{type(self).__name__}(betas={betas}): two numbers of at least 0 and below 1"
            )

    def _refuse(self, differentiable: bool) -> None:
        if differentiable:
            raise ArgumentError(
                f"{type(self).__name__}(differentiable=True): a step changes the parameters "
                "outside the graph; to differentiate through one, write it with tensor operations"
            )

    # ---- groups ------------------------------------------------------------------------------

    def add_param_group(self, param_group: Group) -> None:
        """Adds {"params": ..., options}; e.g. layers that begin to train later."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, not a {type(param_group).__name__}")
        params = param_group.get("params")
        if params is None:
            raise ArgumentError(f"{type(self).__name__}: a parameter group has no key 'params'")
        if not isinstance(params, Tensor):
            _check_iterable(type(self).__name__, params)
        params = [params] if isinstance(params, Tensor) else list(params)
        group = {**param_group, "params": params}
        if any(isinstance(p, tuple) and len(p) == 2 for p in params):
            group.update(_named(type(self).__name__, params))
            params = group["params"]
        for name, default in self.defaults.items():
            group.setdefault(name, default)
        self._check_params(params)
        for other in self.param_groups[:1]:
            if ("param_names" in other) != ("param_names" in group):
                raise ArgumentError(
                    f"{type(self).__name__}: all groups need names, or none; give each group "
                    "named_parameters(), or each parameters()"
                )
        self._check_group(group)
        self.param_groups.append(group)
        self._plans.append(Plan(params))

    def _check_params(self, params: list[Any]) -> None:
        name = type(self).__name__
        seen = {id(p) for group in self.param_groups for p in group["params"]}
        for i, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise TypeError(f"{name}: params[{i}] is a {type(p).__name__}, not a Tensor")
            if is_lazy(p):
                raise ArgumentError(
                    f"{name}: params[{i}] is an {type(p).__name__}, which has no shape yet; call "
                    "the lazy module once, with a batch, before making the optimizer"
                )
            if not p.is_leaf:
                raise GraphError(
                    f"{name}: params[{i}] of shape {tuple(p.shape)} is the result of an operation "
                    "and gets no gradient of its own; pass the leaf tensor it was computed from, "
                    "or detach() it"
                )
            if not dtypes.is_floating(p.dtype):
                raise DTypeError(f"{name}: params[{i}] is {p.dtype}; only floating can be trained")
            if id(p) in seen:
                raise ArgumentError(
                    f"{name}: params[{i}] of shape {tuple(p.shape)} appears twice; each parameter "
                    "may be in one group, once"
                )
            seen.add(id(p))

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters (or fills them with zeros)."""
        for group in self.param_groups:
            for p in group["params"]:
                zero_gradient(p, set_to_none)

    # ---- stepping ----------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Changes the parameters along their gradients, in place.

        closure: a function that clears the gradients, computes the loss, calls backward and
        returns the loss; it is called first, and its result returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if NOW.recording is not None:
            NOW.recording.stepping(self)
        for group, plan in zip(self.param_groups, self._plans, strict=True):
            self._step_group(group, plan)
        return loss

    def prepare(self) -> None:
        """Brings what the next step needs to the device: state of parameters with their first
        gradient, learning rates, master weights. `step` does so by itself, also in a graph."""
        for group, plan in zip(self.param_groups, self._plans, strict=True):
            for bucket in self._ready(group, plan):
                bucket.note_masters()

    def _ready(self, group: Group, plan: Plan) -> list[Bucket]:
        """The buckets that step now, with their state and learning rate on the device."""
        if plan.waiting:
            _admit(plan, group, self._first_clock)
        lr = group["lr"]
        buckets = _current(plan)
        for bucket in buckets:
            names = self._names(group, bucket.dtype)
            if tuple(bucket.states) != names:
                self._change_state(bucket, {name: self._first_state(group, name) for name in names})
            bucket.renew_masters()
            if isinstance(lr, Tensor) or bucket.lr != lr:
                bucket.set_lr(lr)
        return buckets

    def _step_group(self, group: Group, plan: Plan) -> None:
        for bucket in self._ready(group, plan):
            grads = bucket.gradients()
            kernels, arrays = bucket.backend.kernels, list(bucket.arrays)
            for i in bucket.strided:
                arrays[i] = kernels.contiguous(arrays[i])
            found = None if self.found_inf is None else self.found_inf.get(bucket.backend)
            if found is None:
                self._launch(kernels, group, bucket, arrays + bucket.masters, grads)
            else:
                self._launch_unless(found, group, bucket, arrays + bucket.masters, grads)
            for i in bucket.strided:
                kernels.copy(arrays[i], bucket.arrays[i])
            for p in bucket.params:
                p._counter.changed(self._operation)
            bucket.note_masters()

    def _launch_unless(
        self, found: Array, group: Group, bucket: Bucket, p: list[Array], g: list[Array]
    ) -> None:
        """`_launch` with found = {0, flag} as its ticket: it does nothing where the flag is up."""
        kernels, own = bucket.backend.kernels, bucket.ticket
        changing: list[Array] = []
        if not self._skips:  # what it changes is put back
            changing = [*p, *(x for arrays in bucket.states.values() for x in arrays), bucket.hyper]
        before = [kernels.contiguous(x) for x in changing]
        bucket.ticket = found
        try:
            self._launch(kernels, group, bucket, p, g)
        finally:
            bucket.ticket = own
        skip = kernels.binary("ne", found[1:], 0).reshape(()) if changing else None
        for x, old in zip(changing, before, strict=True):
            kernels.copy(kernels.where(skip, old, x), x)

    def _change_state(self, bucket: Bucket, starts: dict[str, float]) -> None:
        bucket.add_state(starts)

    # ---- state -------------------------------------------------------------------------------

    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        """Parameter -> {"step": count, name: tensor, ...}; the tensors are the live ones.

        Reading it waits for the device, where the counts are. Of a subclass with its own `step`:
        whatever that puts in.
        """
        if type(self)._launch is Optimizer._launch:
            return self._own_state
        return {
            param: entry
            for group, plan in zip(self.param_groups, self._plans, strict=True)
            for bucket in plan.buckets
            for param, entry in checkpoint.entries(bucket, self._ticks(group))
        }

    def _ticks(self, group: Group) -> tuple[str, ...]:
        """Names of the clock's numbers in the state."""
        return tuple(self._first_clock(group)) if self._count_in_state else ()

    def state_dict(self) -> dict[str, Any]:
        """{"state": {index: {"step": ..., ...}}, "param_groups": [{options, "params": indices}]}.

        The layout is PyTorch's. The tensors are the live ones; `gg.save` writes them as they are.
        """
        return checkpoint.collect(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where another optimizer of the same kind stood: options, counts and state.

        Raises DataError, changing nothing, when groups or shapes do not fit (the shapes in the
        state of a class of your own are yours to check); ArgumentError for options out of range.
        """
        if type(self)._launch is Optimizer._launch:
            checkpoint.load_own(self, state_dict, self._own_state)
        else:
            checkpoint.load(self, state_dict)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            count = sum(p.numel() for p in group["params"])
            lines.append(
                f"Parameter group {i}: {len(group['params'])} tensors, {count:,} parameters"
            )
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _check_iterable(name: str, params: Any) -> None:
    """Raises TypeError unless params is an ordered collection or an iterator."""
    if isinstance(params, Tensor):
        got = "a single tensor; write [tensor]"
    elif hasattr(params, "parameters"):
        got = f"a {type(params).__name__}; give its .parameters()"
    elif isinstance(params, (set, frozenset)):
        got = "a set, whose order changes; give an ordered collection, such as a list"
    elif not isinstance(params, Iterable):
        got = f"a {type(params).__name__}"
    else:
        return
    raise TypeError(f"{name}(params): expected an iterable of parameters, got {got}")


def _named(name: str, pairs: list[Any]) -> Group:
    """Names and parameters of (name, parameter) pairs."""
    if not all(isinstance(p, tuple) and len(p) == 2 for p in pairs):
        raise ArgumentError(f"{name}: all parameters need a name, or none")
    return {"params": [p for _, p in pairs], "param_names": [name for name, _ in pairs]}


def _admit(plan: Plan, group: Group, first_clock: Callable[[Group], dict[str, float]]) -> None:
    """Parameters with their first gradient get buckets of their own, with the group's first clock;
    it is asked for only then, as it may be read from the device."""
    ready: dict[Any, list[Tensor]] = {}
    waiting = []
    for p in plan.waiting:
        if p.grad is None:
            waiting.append(p)
        else:
            ready.setdefault((p.backend.device, p.dtype), []).append(p)
    plan.waiting = waiting
    clock = list(first_clock(group).values()) if ready else []
    for params in ready.values():
        bucket = Bucket(params, {}, len(clock))
        bucket.set_clock(clock)
        plan.buckets.append(bucket)


def _current(plan: Plan) -> list[Bucket]:
    """The buckets whose parameters all have gradients; buckets are split where only some have."""
    if all(bucket.ready() for bucket in plan.buckets):
        return plan.buckets
    plan.buckets = [part for bucket in plan.buckets for part in split(bucket)]
    return [bucket for bucket in plan.buckets if bucket.params[0].grad is not None]
