"""A module called with other tensors in the place of its parameters and buffers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from ..tensor import Tensor

if TYPE_CHECKING:
    from ..nn.module import Module

Slot = tuple["Module", str]


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``module(*args, **kwargs)``, with the given tensors where its own of these names are.

    parameter_and_buffer_dicts: path -> tensor, as in ``state_dict``; or several such mappings,
    which must not share names. Gradients flow to the given tensors, not to the module's. What the
    module keeps from the call in a buffer is found under its name in the mapping afterwards; the
    module itself is unchanged, also when the call raises.
    args: the arguments; one that is no tuple is the only argument.
    tie_weights: a tensor that the module has under several names is replaced under all of them.
    strict: the names must be exactly the module's. Raises ArgumentError, with the names.
    """
    given = _merged(parameter_and_buffer_dicts)
    arguments = args if isinstance(args, tuple) else () if args is None else (args,)
    with replaced(module, given, tie_weights, strict):
        return module(*arguments, **(kwargs or {}))


def _merged(dicts: Any) -> Any:
    if isinstance(dicts, Mapping):
        return dicts
    if not isinstance(dicts, Sequence) or not all(isinstance(d, Mapping) for d in dicts):
        raise ArgumentError(
            "functional_call: parameter_and_buffer_dicts must be a mapping from names to tensors, "
            f"or a tuple of such; got a {type(dicts).__name__}."
        )
    merged: dict[str, Tensor] = {}
    for each in dicts:
        twice = sorted(merged.keys() & each.keys())
        if twice:
            raise ArgumentError(f"functional_call: {', '.join(twice)} given in several mappings.")
        merged.update(each)
    return merged


def _slots(module: Module) -> dict[str, tuple[Slot, Tensor]]:
    """path -> (where it is held, the tensor) of all parameters and buffers, shared ones each."""
    found: dict[str, tuple[Slot, Tensor]] = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        for name, tensor in owner.named_parameters("", False, False):
            found[prefix + name] = ((owner, name), tensor)
        for name, buffer in owner.named_buffers("", False, False):
            found[prefix + name] = ((owner, name), buffer)
    return found


@contextmanager
def replaced(
    module: Module, given: Mapping[str, Tensor], tie_weights: bool = True, strict: bool = False
) -> Iterator[None]:
    """Inside the block `module` holds the given tensors; afterwards its own again."""
    slots = _slots(module)
    if strict:
        _check_names(module, given, slots, tie_weights)
    new = _assigned(given, slots, tie_weights)
    old = {path: slots[path][0][0].__dict__[slots[path][0][1]] for path in new}
    try:
        for path, tensor in new.items():
            owner, name = slots[path][0]
            owner.__dict__[name] = tensor  # past Module's check that parameters stay Parameters
        yield
    finally:
        for path, tensor in old.items():
            owner, name = slots[path][0]
            after = owner.__dict__[name]
            if isinstance(given, dict) and path in given and isinstance(after, Tensor):
                given[path] = after  # a buffer that the call replaced
            owner.__dict__[name] = tensor


def _check_names(
    module: Module, given: Mapping[str, Tensor], slots: Mapping[str, Any], tie_weights: bool
) -> None:
    unexpected = [name for name in given if name not in slots]
    held = {id(slots[name][1]) for name in given if name in slots} if tie_weights else set()
    missing = [n for n, (_, x) in slots.items() if n not in given and id(x) not in held]
    if unexpected or missing:
        parts = [
            f"{what}: {', '.join(names)}"
            for what, names in (("missing", missing), ("not in the module", unexpected))
            if names
        ]
        raise ArgumentError(
            f"functional_call(strict=True): the names are not those of {type(module).__name__}; "
            f"{'; '.join(parts)}."
        )


def _assigned(
    given: Mapping[str, Tensor], slots: Mapping[str, tuple[Slot, Tensor]], tie_weights: bool
) -> dict[str, Tensor]:
    """path -> the new tensor, for given names that exist and, with tie_weights, their likes."""
    new: dict[str, Tensor] = {}
    for path, tensor in given.items():
        if not isinstance(tensor, Tensor):
            raise ArgumentError(
                f"functional_call: {path} must be a Tensor, got a {type(tensor).__name__}."
            )
        if path in slots:
            new[path] = tensor
    if not tie_weights:
        return new
    chosen: dict[int, tuple[str, Tensor]] = {}
    for path, tensor in new.items():
        first, before = chosen.setdefault(id(slots[path][1]), (path, tensor))
        if before is not tensor:
            raise ArgumentError(
                f"functional_call: {first} and {path} are one tensor in the module, but different "
                "ones were given.\n  Give one of them, or pass tie_weights=False."
            )
    for path, (_, tensor) in slots.items():
        if id(tensor) in chosen:
            new[path] = chosen[id(tensor)][1]
    return new
