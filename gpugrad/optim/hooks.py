"""Hooks of an optimizer: around its steps, when its state is taken, and when one is loaded."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ..autograd import RemovableHandle
from ..errors import ArgumentError
from ..nn.hooks import add_hook
from ..recording import NOW

EMPTY: Mapping[int, Any] = MappingProxyType({})
Hook = Callable[..., Any]
Method = Callable[..., Any]


class HookMethods:
    """Its instances get tables of their own when first needed.

    Every `step`, `state_dict` and `load_state_dict` that a class defines calls the hooks; where it
    calls that of its base, the hooks are called once.
    """

    step_count: int
    _inside: str = ""  # the method whose hooks have been called
    _step_pre_hooks: Mapping[int, Any] = EMPTY
    _step_post_hooks: Mapping[int, Any] = EMPTY
    _state_dict_pre_hooks: Mapping[int, Any] = EMPTY
    _state_dict_post_hooks: Mapping[int, Any] = EMPTY
    _load_state_dict_pre_hooks: Mapping[int, Any] = EMPTY
    _load_state_dict_post_hooks: Mapping[int, Any] = EMPTY

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, wrapped in WRAPPERS.items():
            if name in cls.__dict__:
                setattr(cls, name, _once(name, cls.__dict__[name], wrapped))

    def register_step_pre_hook(self, hook: Hook) -> RemovableHandle:
        """hook(optimizer, args, kwargs) before each step; args begins with the optimizer. What it
        returns (if not None) replaces (args, kwargs)."""
        return add_hook(self, "_step_pre_hooks", hook, False)

    def register_step_post_hook(self, hook: Hook) -> RemovableHandle:
        """hook(optimizer, args, kwargs) after each step."""
        return add_hook(self, "_step_post_hooks", hook, False)

    def register_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """hook(optimizer) before state_dict()."""
        return add_hook(self, "_state_dict_pre_hooks", hook, prepend)

    def register_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """hook(optimizer, state) after state_dict(); what it returns, if not None, replaces it."""
        return add_hook(self, "_state_dict_post_hooks", hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Hook, prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer, state_dict) before one is loaded; it gets a copy of the dictionary, and
        what it returns (not None) is loaded instead."""
        return add_hook(self, "_load_state_dict_pre_hooks", hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Hook, prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer) after a state was loaded."""
        return add_hook(self, "_load_state_dict_post_hooks", hook, prepend)


def _once(name: str, method: Method, wrapped: Callable[..., Any]) -> Method:
    """The method with its hooks, unless the caller is itself such a method of a subclass."""

    @functools.wraps(method)
    def outer(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._inside == name:
            return method(self, *args, **kwargs)
        before, self._inside = self._inside, name
        try:
            return wrapped(self, method, args, kwargs)
        finally:
            self._inside = before

    return outer


def _step(self: Any, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    args = (self, *args)
    for hook in tuple(self._step_pre_hooks.values()):
        changed = hook(self, args, kwargs)
        if changed is not None:
            if not (isinstance(changed, tuple) and len(changed) == 2):
                raise ArgumentError(
                    f"{type(self).__name__}.step: a pre-hook must return None or (args, kwargs), "
                    f"not {changed!r}"
                )
            args, kwargs = changed
    recording = NOW.recording
    if recording is not None:
        recording.entering(self)
    result = method(*args, **kwargs)
    self.step_count += 1
    if recording is not None:
        recording.stepped(self)
    for hook in tuple(self._step_post_hooks.values()):
        hook(self, args, kwargs)
    return result


def _state_dict(self: Any, method: Method, args: Any, kwargs: Any) -> Any:
    for hook in tuple(self._state_dict_pre_hooks.values()):
        hook(self)
    state = method(self, *args, **kwargs)
    for hook in tuple(self._state_dict_post_hooks.values()):
        changed = hook(self, state)
        state = state if changed is None else changed
    return state


def _load_state_dict(self: Any, method: Method, args: Any, kwargs: Any) -> Any:
    state, *rest = args or (kwargs.pop("state_dict"),)
    for hook in tuple(self._load_state_dict_pre_hooks.values()):
        state = dict(state)
        changed = hook(self, state)
        state = state if changed is None else changed
    result = method(self, state, *rest, **kwargs)
    for hook in tuple(self._load_state_dict_post_hooks.values()):
        hook(self)
    return result


WRAPPERS = {"step": _step, "state_dict": _state_dict, "load_state_dict": _load_state_dict}
