"""The methods of Module that register hooks, and the functions that register them for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ..autograd import RemovableHandle
from .hooks import EVERYWHERE, add_hook, next_number

EMPTY: Mapping[Any, Any] = MappingProxyType({})
Hook = Callable[..., Any]


class _WithoutModule:
    """A hook that is not given the module; a class, so that modules can be pickled."""

    def __init__(self, hook: Hook) -> None:
        self.hook = hook

    def __call__(self, module: Any, *rest: Any) -> Any:
        return self.hook(*rest)


class HookMethods:
    """Hooks of a module; its instances get their own tables when first needed."""

    _hooked: bool = False  # whether any hook around calls was ever registered
    _forward_pre_hooks: Mapping[int, Any] = EMPTY
    _forward_hooks: Mapping[int, Any] = EMPTY
    _backward_pre_hooks: Mapping[int, Any] = EMPTY
    _backward_hooks: Mapping[int, Any] = EMPTY
    _state_dict_pre_hooks: Mapping[int, Any] = EMPTY
    _state_dict_hooks: Mapping[int, Any] = EMPTY
    _load_state_dict_pre_hooks: Mapping[int, Any] = EMPTY
    _load_state_dict_post_hooks: Mapping[int, Any] = EMPTY

    # ---- around calls ------------------------------------------------------------------------

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """hook(module, args) before forward; what it returns (if not None) replaces args.

        with_kwargs: hook(module, args, kwargs) -> None or (args, kwargs).
        """
        return add_hook(self, "_forward_pre_hooks", (hook, with_kwargs, False), prepend)

    def register_forward_hook(
        self,
        hook: Hook,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """hook(module, args, output) after forward; what it returns (not None) replaces output.

        with_kwargs: hook(module, args, kwargs, output). always_call: also when forward raised.
        """
        return add_hook(self, "_forward_hooks", (hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """hook(module, grad_output) once the gradients of the outputs are known; what it returns
        (if not None) replaces them on their way into the module."""
        return add_hook(self, "_backward_pre_hooks", (hook, False, False), prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """hook(module, grad_input, grad_output) once the gradients of the inputs are known.

        Both are tuples, with None where an input is no tensor or needs no gradient. What the hook
        returns (if not None) replaces grad_input. Tensors must be positional arguments of forward.
        """
        return add_hook(self, "_backward_hooks", (hook, False, False), prepend)

    # ---- around state_dict and load_state_dict -----------------------------------------------

    def register_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """hook(module, prefix, keep_vars) before the module's state is collected."""
        return add_hook(self, "_state_dict_pre_hooks", hook, False)

    def register_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """hook(module, state_dict, prefix, local_metadata) after it; may change state_dict.

        local_metadata is empty: gpugrad's states have no versions.
        """
        return add_hook(self, "_state_dict_hooks", hook, False)

    def _register_state_dict_hook(self, hook: Hook) -> RemovableHandle:
        """As register_state_dict_post_hook; what the hook returns (if not None) is the state."""
        return self.register_state_dict_post_hook(hook)

    def register_load_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
        error_msgs) before loading; may change state_dict (a copy) and add to the lists."""
        return add_hook(self, "_load_state_dict_pre_hooks", hook, False)

    def _register_load_state_dict_pre_hook(
        self, hook: Hook, with_module: bool = False
    ) -> RemovableHandle:
        """As register_load_state_dict_pre_hook; without the module, unless with_module."""
        if with_module:
            return self.register_load_state_dict_pre_hook(hook)
        return self.register_load_state_dict_pre_hook(_WithoutModule(hook))

    def register_load_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """hook(module, incompatible_keys) after loading; may clear names from its two lists."""
        return add_hook(self, "_load_state_dict_post_hooks", hook, False)


# ---- of all modules ------------------------------------------------------------------------------


def _everywhere(table: str, entry: Any) -> RemovableHandle:
    number = next_number()
    EVERYWHERE[table][number] = entry
    HookMethods._hooked = True  # every module looks for hooks from now on
    return RemovableHandle(EVERYWHERE[table], number)


def register_module_forward_pre_hook(hook: Hook) -> RemovableHandle:
    """`Module.register_forward_pre_hook` for all modules; runs before a module's own hooks."""
    return _everywhere("_forward_pre_hooks", (hook, False, False))


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """`Module.register_forward_hook` for all modules; runs before a module's own hooks."""
    return _everywhere("_forward_hooks", (hook, with_kwargs, always_call))


def register_module_full_backward_pre_hook(hook: Hook) -> RemovableHandle:
    """`Module.register_full_backward_pre_hook` for all modules."""
    return _everywhere("_backward_pre_hooks", (hook, False, False))


def register_module_full_backward_hook(hook: Hook) -> RemovableHandle:
    """`Module.register_full_backward_hook` for all modules."""
    return _everywhere("_backward_hooks", (hook, False, False))
