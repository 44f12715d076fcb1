"""state_dict of an optimizer: collected, checked and loaded."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtype as dtypes
from ..errors import DataError
from ..tensor import Tensor
from .buckets import MASTER, Bucket

if TYPE_CHECKING:
    from .optimizer import Optimizer


def entries(bucket: Bucket, ticks: Sequence[str]) -> Iterator[tuple[Tensor, dict[str, Any]]]:
    """(parameter, its state) for each parameter of a bucket; ticks: names of the clock's numbers.

    The number of steps is an int.
    """
    count: dict[str, Any] = dict(zip(ticks, bucket.clock(), strict=True)) if ticks else {}
    if ticks:
        count["step"] = int(count["step"])
    for i, param in enumerate(bucket.params):
        tensors = {
            name: Tensor(arrays[i], bucket.backend) for name, arrays in bucket.states.items()
        }
        yield param, {**count, **tensors}


def collect(optimizer: Optimizer) -> dict[str, Any]:
    """PyTorch's layout; parameters are numbered through all groups."""
    numbers: dict[int, int] = {}
    groups = []
    for group in optimizer.param_groups:
        for param in group["params"]:
            numbers[id(param)] = len(numbers)
        indices = [numbers[id(param)] for param in group["params"]]
        groups.append({k: v for k, v in group.items() if k != "params"} | {"params": indices})
    numbered = {numbers[id(param)]: entry for param, entry in optimizer.state.items()}
    return {"state": dict(sorted(numbered.items())), "param_groups": groups}


def load(optimizer: Optimizer, given: dict[str, Any]) -> None:
    """Checks everything, then replaces options, counts and state."""
    where = f"{type(optimizer).__name__}.load_state_dict"
    _check_layout(where, given)
    groups = given["param_groups"]
    check_groups(where, optimizer, groups)
    new_groups, plans = [], []
    for group, saved in zip(optimizer.param_groups, groups, strict=True):
        options = options_of(optimizer, saved)
        kept = {k: v for k, v in group.items() if k == "param_names"}
        merged = {**kept, **options, "params": group["params"]}
        optimizer._check_group(merged)
        clock = optimizer._first_clock(merged)
        found = {
            id(param): _entry(
                where, index, param, given["state"], optimizer._names(merged, param.dtype), clock
            )
            for index, param in zip(saved["params"], group["params"], strict=True)
        }
        new_groups.append(merged)
        plans.append(_plan(merged["params"], found))
    for group, merged in zip(optimizer.param_groups, new_groups, strict=True):
        group.clear()
        group.update(merged)
    for plan, (buckets, waiting) in zip(optimizer._plans, plans, strict=True):
        plan.buckets, plan.waiting = buckets, waiting


def load_own(
    optimizer: Optimizer, given: dict[str, Any], own: dict[Tensor, dict[str, Any]]
) -> None:
    """The same for a subclass with its own step: tensors come to their parameter's device, and
    floating ones, but for "step", to `_state_dtype`."""
    where = f"{type(optimizer).__name__}.load_state_dict"
    _check_layout(where, given)
    check_groups(where, optimizer, given["param_groups"])
    new_options = [options_of(optimizer, saved) for saved in given["param_groups"]]
    state: dict[Tensor, dict[str, Any]] = {}
    for group, saved, options in zip(
        optimizer.param_groups, given["param_groups"], new_options, strict=True
    ):
        optimizer._check_group({**group, **options})
        for index, param in zip(saved["params"], group["params"], strict=True):
            entry = given["state"].get(index, given["state"].get(str(index)))
            if entry is not None:
                _check_shapes(where, index, entry, optimizer._state_shapes(param))
                state[param] = {
                    key: _own(value, param, optimizer._state_dtype(param), key)
                    for key, value in entry.items()
                }
    for group, options in zip(optimizer.param_groups, new_options, strict=True):
        group.update(options)
    own.clear()
    own.update(state)


def _check_shapes(
    where: str, index: int, entry: dict[str, Any], shapes: dict[str, tuple[int, ...]]
) -> None:
    """Raises DataError unless one parameter's state, if there is any, has these tensors."""
    for name, shape in shapes.items() if entry else ():
        if name not in entry:
            raise DataError(
                f"{where}: the state of parameter {index} lacks {name}; it has "
                f"{', '.join(map(str, entry))}. It is the state of a parameter of another rank, "
                "or of another kind of optimizer."
            )
        if tuple(np.shape(entry[name])) != shape:
            raise DataError(
                f"{where}: {name} of parameter {index} has shape {tuple(np.shape(entry[name]))}; "
                f"this parameter needs {shape}"
            )


def _own(value: Any, param: Tensor, dtype: dtypes.DType, key: Any) -> Any:
    """A copy of a value of a parameter's state, tensors inside it included."""
    if isinstance(value, dict):
        return {k: _own(v, param, dtype, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return _sequence(value, [_own(v, param, dtype, key) for v in value])
    if not isinstance(value, Tensor) and not hasattr(value, "shape"):
        return value
    host = on_host(value)
    if dtypes.is_floating(host.dtype) and key != "step":
        host = host.astype(dtype)
    return Tensor(param.backend.from_numpy(host), param.backend)


def _sequence(like: Any, items: list[Any]) -> Any:
    """The items as a list or tuple of the same type; a named tuple takes them one by one."""
    return type(like)(*items) if hasattr(like, "_fields") else type(like)(items)


def options_of(optimizer: Optimizer, saved: dict[str, Any]) -> dict[str, Any]:
    """The options of a saved group, copied (a tensor lr is nobody else's); absent switches have
    their defaults, and PyTorch's tensors of one element are numbers."""
    switches = {name: _switch(optimizer, name) for name in optimizer.defaults if name not in saved}
    return {**switches, **{k: _option(v) for k, v in saved.items() if k != "params"}}


def _option(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return _sequence(value, [_option(each) for each in value])
    foreign = hasattr(value, "detach") and not isinstance(value, Tensor)
    return value.item() if foreign and value.numel() == 1 else copy.deepcopy(value)


def _switch(optimizer: Optimizer, name: str) -> Any:
    """False or None where that is the default of an option that is no number; else `...`.

    Optimizers get new switches, which states saved before do not have.
    """
    own = optimizer.defaults[name]
    known = inspect.signature(type(optimizer)).parameters.get(name)
    default = own if known is None or known.default is known.empty else known.default
    number = isinstance(own, (int, float)) and not isinstance(own, bool)
    return default if not number and (default is None or default is False) else ...


def _check_layout(where: str, given: Any) -> None:
    if not isinstance(given, dict) or not {"state", "param_groups"} <= given.keys():
        raise DataError(f"{where}: expected a dict with the keys 'state' and 'param_groups'")


def check_groups(where: str, optimizer: Optimizer, groups: Any) -> None:
    own = optimizer.param_groups
    if not isinstance(groups, (list, tuple)) or len(groups) != len(own):
        count = len(groups) if isinstance(groups, (list, tuple)) else f"a {type(groups).__name__}"
        raise DataError(
            f"{where}: the state has {count} parameter groups, this optimizer {len(own)}"
        )
    for i, (group, saved) in enumerate(zip(own, groups, strict=True)):
        if len(saved["params"]) != len(group["params"]):
            raise DataError(
                f"{where}: group {i} has {len(saved['params'])} parameters in the state, "
                f"{len(group['params'])} in this optimizer"
            )
        lacking = [
            name
            for name in optimizer.defaults
            if name not in saved and _switch(optimizer, name) is ...
        ]
        if lacking:
            raise DataError(
                f"{where}: group {i} of the state lacks {', '.join(lacking)}; "
                "it is the state of another kind of optimizer"
            )


def _entry(
    where: str,
    index: int,
    param: Tensor,
    state: dict[Any, Any],
    names: tuple[str, ...],
    clock: dict[str, float],
) -> tuple[tuple[float, ...], dict[str, Tensor]] | None:
    """(clock, state tensors) of one parameter, or None if it has not been stepped yet.

    Optimizers that save no count of steps only ask whether there was one: 1.
    """
    entry = state.get(index, state.get(str(index)))
    tensors = {k: v for k, v in (entry or {}).items() if k not in clock and v is not None}
    if not entry or (names and not tensors):
        return None
    if MASTER in names:
        tensors.setdefault(MASTER, param)  # saved without: they begin as the parameters
    lacking = [name for name in names if name not in tensors]
    lacking += [name for name in clock if name != "step" and name not in entry]
    if lacking:
        raise DataError(
            f"{where}: the state of parameter {index} lacks {', '.join(lacking)}; it has "
            f"{', '.join(map(str, entry))}. It is the state of another kind of optimizer, "
            "or of other options."
        )
    for name in names:
        if tuple(np.shape(tensors[name])) != tuple(param.shape):
            raise DataError(
                f"{where}: {name} of parameter {index} has shape {tuple(np.shape(tensors[name]))}, "
                f"the parameter {tuple(param.shape)}"
            )
    ticks = tuple(float(entry.get(name, 1)) for name in clock)
    return ticks, {name: tensors[name] for name in names}


def _plan(params: list[Tensor], found: dict[int, Any]) -> tuple[list[Bucket], list[Tensor]]:
    """Buckets of parameters with equal device, dtype and clock; and those not stepped yet."""
    together: dict[Any, list[Tensor]] = {}
    waiting = []
    for param in params:
        if found[id(param)] is None:
            waiting.append(param)
        else:
            key = (param.backend.device, param.dtype, found[id(param)][0])
            together.setdefault(key, []).append(param)
    buckets = []
    for (_, _, clock), members in together.items():
        names = found[id(members[0])][1]
        states = {
            name: [_array(found[id(param)][1][name], param) for param in members] for name in names
        }
        bucket = Bucket(members, states, len(clock))
        bucket.set_clock(clock)
        buckets.append(bucket)
    return buckets, waiting


def _array(value: Any, param: Tensor) -> Any:
    """A copy of a state tensor on the parameter's device, in its accumulation dtype."""
    dtype = dtypes.accumulation(param.dtype)
    return param.backend.from_numpy(on_host(value).astype(dtype, copy=False))


def on_host(value: Any) -> np.ndarray[Any, Any]:
    """A state tensor of ours, of NumPy or of PyTorch (whose bfloat16 NumPy cannot read)."""
    if isinstance(value, Tensor):
        return value.detach().numpy()
    if str(getattr(value, "dtype", "")) == "torch.bfloat16":
        value = value.float()
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)
