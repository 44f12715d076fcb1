"""Finding, naming, collecting and loading what a module holds; the functions behind Module."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from .. import dtype as dtypes
from ..errors import DataError
from ..tensor import Tensor
from .parameter import Parameter, Uninitialized, adopt, copy_values, is_lazy

if TYPE_CHECKING:
    from .module import Module

T = TypeVar("T")
MAX_LISTED = 20
EXTRA = "_extra_state"  # the name of what get_extra_state gives


class IncompatibleKeys(NamedTuple):
    """What load_state_dict(strict=False) passed over."""

    missing_keys: list[str]
    unexpected_keys: list[str]


# ---- finding ---------------------------------------------------------------------------------


def own_parameters(module: Module) -> Iterator[tuple[str, Parameter]]:
    """The parameters directly on the module."""
    for name, value in list(module.__dict__.items()):
        if isinstance(value, Parameter):
            yield name, value
        elif isinstance(value, (list, tuple, dict)) and value:
            warn_if_hidden(module, name, value)


def own_buffers(module: Module) -> Iterator[tuple[str, Tensor]]:
    """The buffers directly on the module."""
    for name in module._persistence:
        value = module.__dict__[name]
        if value is not None:
            yield name, value


def named_members(
    module: Module,
    own: Callable[[Module], Iterator[tuple[str, T]]],
    prefix: str,
    recurse: bool,
    remove_duplicate: bool,
) -> Iterator[tuple[str, T]]:
    """(path, member) over the module tree; `own` lists the members of one module."""
    if recurse:
        modules = module.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
    else:
        modules = iter([(prefix, module)])
    seen: set[int] = set()
    for path, part in modules:
        for name, member in own(part):
            if remove_duplicate and id(member) in seen:
                continue
            seen.add(id(member))
            yield (f"{path}.{name}" if path else name), member


def lookup(module: Module, target: str, kind: type[T], what: str) -> T:
    """The attribute at a dotted path, or an AttributeError that suggests near names."""
    found: Any = module
    for depth, name in enumerate(target.split(".") if target else []):
        owner, found = found, getattr(found, name, None)
        if found is None or (depth < target.count(".") and not is_module(found)):
            near = get_close_matches(name, list(vars(owner)), n=3)
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise AttributeError(
                f"{type(module).__name__} has no {what} {target!r}: "
                f"{type(owner).__name__} has no part {name!r}{hint}"
            )
    if not isinstance(found, kind):
        raise AttributeError(
            f"{target!r} in {type(module).__name__} is a {type(found).__name__}, no {what}"
        )
    return found


def is_module(value: object) -> bool:
    """Whether a value is a Module; module.py imports this file, so only asked when running."""
    from .module import Module

    return isinstance(value, Module)


def warn_if_hidden(module: Module, name: str, value: Any) -> None:
    """Warns, once, of modules or parameters in a plain list, where nothing finds them."""
    items: Iterable[Any] = value.values() if isinstance(value, dict) else value
    hidden = [v for v in items if isinstance(v, Parameter) or is_module(v)]
    warned = module.__dict__.get("_warned", ())
    if not hidden or name in warned:
        return
    object.__setattr__(module, "_warned", (*warned, name))
    parameters = isinstance(hidden[0], Parameter)
    kind = "Parameter" if parameters else "Module"
    if isinstance(value, dict):
        way_out = "ParameterDict" if parameters else "ModuleDict"
    else:
        way_out = "ParameterList" if parameters else "ModuleList"
    warnings.warn(
        f"{type(module).__name__}.{name} is a plain {type(value).__name__} with {len(hidden)} "
        f"{kind}{'s' if len(hidden) > 1 else ''}: parameters(), state_dict() and to() do not see "
        f"inside, so they would not train. Use nn.{way_out}.",
        stacklevel=3,
    )


# ---- collecting and loading --------------------------------------------------------------------


def own_state(module: Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters and persistent buffers directly on the module."""
    yield from own_parameters(module)
    for name, buffer in own_buffers(module):
        if module._persistence[name]:
            yield name, buffer


def persistent(module: Module, prefix: str = "") -> Iterator[tuple[str, Module, str, Tensor]]:
    """(path, owner, name, tensor) of all that state_dict holds: parameters, buffers, children."""
    for path, part in _paths(module, prefix):
        for name, tensor in own_state(part):
            yield path + name, part, name, tensor


def collect(
    module: Module, destination: dict[str, Any], prefix: str, keep_vars: bool
) -> dict[str, Any]:
    """state_dict of a module, added to destination."""
    for hook in module._state_dict_pre_hooks.values():
        hook(module, prefix, keep_vars)
    for name, tensor in own_state(module):
        kept = keep_vars or is_lazy(tensor)
        destination[prefix + name] = tensor if kept else tensor.detach()
    if _writes(module, "get_extra_state"):
        destination[prefix + EXTRA] = module.get_extra_state()
    for name, value in list(module.__dict__.items()):
        if is_module(value):
            value.state_dict(destination, f"{prefix}{name}.", keep_vars)
    for hook in module._state_dict_hooks.values():
        result = hook(module, destination, prefix, {})
        destination = destination if result is None else result
    return destination


def _writes(module: Module, method: str) -> bool:
    """Whether the module's class has a method of its own."""
    from .module import Module

    return getattr(type(module), method) is not getattr(Module, method)


def _paths(module: Module, prefix: str = "") -> Iterator[tuple[str, Module]]:
    """(prefix of its names, module) for a module and all inside; shared ones at each place."""
    yield prefix, module
    for name, value in module.__dict__.items():
        if is_module(value):
            yield from _paths(value, f"{prefix}{name}.")


def load(module: Module, given: Mapping[str, Any], strict: bool, assign: bool) -> IncompatibleKeys:
    """load_state_dict: compares everything first, so that an error leaves the model untouched.

    Hooks behind the loading may take names off the lists; then errors come after it.
    """
    if not isinstance(given, Mapping):
        raise TypeError(
            f"load_state_dict(state_dict): expected a mapping from name to tensor, "
            f"got a {type(given).__name__}"
        )
    places = list(_paths(module))
    given, keys, problems = _before_loading(places, given, strict)
    wanted = {path: (owner, name, tensor) for path, owner, name, tensor in persistent(module)}
    extra = {p + EXTRA: m for p, m in places if _writes(m, "set_extra_state")}
    optional = [path for path, (owner, name, _) in wanted.items() if name in owner.optional_state]
    expected = [*wanted, *extra]
    keys.missing_keys.extend(p for p in expected if p not in given and p not in optional)
    keys.unexpected_keys.extend(key for key in given if key not in wanted and key not in extra)
    problems += [p for path in wanted if path in given
                 if (p := _misfit(path, wanted[path][2], given[path]))]  # fmt: skip
    after = [(m, hook) for _, m in places for hook in m._load_state_dict_post_hooks.values()]
    named = keys if strict and not after else IncompatibleKeys([], [])
    _raise_if_wrong(module, named, problems, strict, "nothing")
    for path, (owner, name, tensor) in wanted.items():
        if path in given:
            _put(owner, name, tensor, given[path], assign)
    for path, part in extra.items():
        if path in given:
            part.set_extra_state(given[path])
    for part, hook in reversed(after):
        hook(part, keys)
    if strict:
        _raise_if_wrong(module, keys, [], strict, "what fits")
    return keys


def _before_loading(
    places: list[tuple[str, Module]], given: Mapping[str, Any], strict: bool
) -> tuple[Mapping[str, Any], IncompatibleKeys, list[str]]:
    """The state, names and problems that the hooks before loading leave behind."""
    keys = IncompatibleKeys([], [])
    problems: list[str] = []
    if any(module._load_state_dict_pre_hooks for _, module in places):
        given = dict(given)
        for prefix, module in places:
            for hook in module._load_state_dict_pre_hooks.values():
                hook(module, given, prefix, {}, strict, *keys, problems)
    return given, keys, problems


def _raise_if_wrong(
    module: Module, keys: IncompatibleKeys, problems: list[str], strict: bool, loaded: str
) -> None:
    if problems or keys.missing_keys or keys.unexpected_keys:
        raise DataError(_report(module, *keys, problems, strict, loaded))


def _misfit(path: str, tensor: Tensor, value: Any) -> str:
    """Why a value cannot be loaded into a tensor, or ""."""
    if not isinstance(value, (Tensor, np.ndarray, np.generic)):
        return f"{path}: a {type(value).__name__} instead of a tensor"
    if is_lazy(tensor):
        return ""
    if is_lazy(value):
        return f"{path}: model {tuple(tensor.shape)}, given was not initialised yet"
    if tuple(value.shape) != tuple(tensor.shape):
        return f"{path}: model {tuple(tensor.shape)}, given {tuple(value.shape)}"
    if value.dtype not in dtypes.STORED:
        return f"{path}: dtype {value.dtype} is not supported"
    return ""


def _put(owner: Module, name: str, tensor: Tensor, value: Any, assign: bool) -> None:
    if isinstance(tensor, Uninitialized):
        if is_lazy(value):
            return
        tensor.materialize(tuple(value.shape))
    if not (assign and isinstance(value, Tensor)):
        copy_values(value, tensor, "load_state_dict")
    elif isinstance(tensor, Parameter):
        adopt(tensor, value.detach(), "load_state_dict")
    else:
        object.__setattr__(owner, name, value.detach())


def _report(
    module: Module,
    missing: list[str],
    unexpected: list[str],
    problems: list[str],
    strict: bool,
    loaded: str,
) -> str:
    name = type(module).__name__
    lines = [f"load_state_dict: the state does not fit {name}; {loaded} was loaded."]
    if missing:
        lines.append(f"  Missing from the state ({len(missing)}):")
        lines += _listed([name + _near(name, unexpected) for name in missing])
    if unexpected:
        lines.append(f"  Not in the model ({len(unexpected)}):")
        lines += _listed([name + _near(name, missing) for name in unexpected])
    if problems:
        lines.append(f"  Wrong shape or kind ({len(problems)}):")
        lines += _listed(problems)
    if prefix := _shared_prefix(missing, unexpected):
        lines.append(f"  {prefix}")
    elif strict and (missing or unexpected):
        lines.append("  strict=False loads what fits by name and passes over the rest.")
    return "\n".join(lines)


def _listed(entries: list[str]) -> list[str]:
    lines = [f"    {entry}" for entry in entries[:MAX_LISTED]]
    if len(entries) > MAX_LISTED:
        lines.append(f"    ... and {len(entries) - MAX_LISTED} more")
    return lines


def _near(name: str, others: list[str]) -> str:
    match = get_close_matches(name, others[:1000], n=1, cutoff=0.75)
    return f"   (close: {match[0]})" if match else ""


def _shared_prefix(missing: list[str], unexpected: list[str]) -> str:
    """The usual cause of "all names wrong": one side has a prefix such as "module."."""
    if not missing or not unexpected:
        return ""
    for short, long, side in ((missing, unexpected, "state"), (unexpected, missing, "model")):
        if long[0].endswith("." + short[0]):
            prefix = long[0][: -len(short[0])]
            if set(long) == {prefix + name for name in short}:
                change = "Remove it from" if side == "state" else "Add it to"
                return (
                    f"All names of the {side} begin with {prefix!r}. "
                    f"{change} the names of the state before loading."
                )
    return ""
