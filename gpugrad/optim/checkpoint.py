"""state_dict of an optimizer: collected, checked and loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtype as dtypes
from ..errors import DataError
from ..tensor import Tensor
from .buckets import Bucket

if TYPE_CHECKING:
    from .optimizer import Optimizer


def entries(bucket: Bucket, with_count: bool) -> Iterator[tuple[Tensor, dict[str, Any]]]:
    """(parameter, its state) for each parameter of a bucket."""
    count = {"step": bucket.steps()} if with_count else {}
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
    if not isinstance(given, dict) or not {"state", "param_groups"} <= given.keys():
        raise DataError(f"{where}: expected a dict with the keys 'state' and 'param_groups'")
    groups = given["param_groups"]
    _check_groups(where, optimizer, groups)
    new_groups, plans = [], []
    for group, saved in zip(optimizer.param_groups, groups, strict=True):
        options = {k: v for k, v in saved.items() if k != "params"}
        merged = {**options, "params": group["params"]}
        optimizer._check_group(merged)
        names = optimizer._state_names(merged)
        found = {
            id(param): _entry(where, index, param, given["state"], names)
            for index, param in zip(saved["params"], group["params"], strict=True)
        }
        new_groups.append(merged)
        plans.append(_plan(merged["params"], found, names))
    for group, merged in zip(optimizer.param_groups, new_groups, strict=True):
        group.clear()
        group.update(merged)
    for plan, (buckets, waiting) in zip(optimizer._plans, plans, strict=True):
        plan.buckets, plan.waiting = buckets, waiting


def _check_groups(where: str, optimizer: Optimizer, groups: Any) -> None:
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
        lacking = [name for name in optimizer.defaults if name not in saved]
        if lacking:
            raise DataError(
                f"{where}: group {i} of the state lacks {', '.join(lacking)}; "
                "it is the state of another kind of optimizer"
            )


def _entry(
    where: str, index: int, param: Tensor, state: dict[Any, Any], names: tuple[str, ...]
) -> tuple[float, dict[str, Tensor]] | None:
    """(steps, state tensors) of one parameter, or None if it has not been stepped yet."""
    entry = state.get(index, state.get(str(index)))
    tensors = {k: v for k, v in (entry or {}).items() if k != "step" and v is not None}
    if not entry or (names and not tensors):
        return None
    lacking = [name for name in names if name not in tensors]
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
    return float(entry.get("step", 1)), {name: tensors[name] for name in names}


def _plan(
    params: list[Tensor], found: dict[int, Any], names: tuple[str, ...]
) -> tuple[list[Bucket], list[Tensor]]:
    """Buckets of parameters with equal device, dtype and count; and those not stepped yet."""
    together: dict[Any, list[Tensor]] = {}
    waiting = []
    for param in params:
        if found[id(param)] is None:
            waiting.append(param)
        else:
            key = (param.backend.device, param.dtype, found[id(param)][0])
            together.setdefault(key, []).append(param)
    buckets = []
    for (_, _, steps), members in together.items():
        states = {
            name: [_array(found[id(param)][1][name], param) for param in members] for name in names
        }
        bucket = Bucket(members, states)
        bucket.set_steps(steps)
        buckets.append(bucket)
    return buckets, waiting


def _array(value: Any, param: Tensor) -> Any:
    """A copy of a state tensor on the parameter's device, in its accumulation dtype."""
    host = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
    dtype = dtypes.accumulation(param.dtype)
    return param.backend.from_numpy(host.astype(dtype, copy=False))
