"""Calls around a module's forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

from ..autograd import Function, RemovableHandle
from ..tensor import Tensor

if TYPE_CHECKING:
    from .module import Module

Gradients: TypeAlias = "tuple[Tensor | None, ...]"
_numbers = count()
# The hooks of all modules, by the name of the table that a single module's hooks would be in.
EVERYWHERE: dict[str, dict[int, Any]] = {
    "_forward_pre_hooks": {},
    "_forward_hooks": {},
    "_backward_pre_hooks": {},
    "_backward_hooks": {},
}


def table_of(module: Module, table: str) -> dict[int, Any]:
    """The hooks of one kind for a module: first those of all modules, then its own."""
    return {**EVERYWHERE[table], **getattr(module, table)}


def next_number() -> int:
    """A number no other hook has."""
    return next(_numbers)


def add_hook(module: object, table: str, entry: Any, prepend: bool) -> RemovableHandle:
    """Puts a hook into one of the module's tables, last or first."""
    hooks: dict[int, Any] = module.__dict__.get(table, {})
    number = next_number()
    others = dict(hooks)
    if prepend:  # in place: handles hold this very dictionary
        hooks.clear()
    hooks[number] = entry
    hooks.update(others)
    object.__setattr__(module, table, hooks)
    if table in EVERYWHERE:
        object.__setattr__(module, "_hooked", True)
    return RemovableHandle(hooks, number)


class PassThrough(Function):
    """y_i = x_i; on the way back the gradients of all go through a callback, in one call."""

    def forward(self, *arrays: Any, callback: Callable[[Gradients], Gradients]) -> Any:
        self.callback = callback
        return tuple([x[...] for x in arrays])

    def backward(self, *dys: Any) -> Any:
        return self.callback(dys)


def _pass_through(callback: Callable[[Gradients], Gradients], tensors: list[Tensor]) -> Any:
    if not tensors:
        return ()
    outputs = PassThrough.apply(*tensors, callback=callback)
    for x, y in zip(tensors, outputs, strict=True):
        y._counter = x._counter
    return outputs


def call_with_hooks(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """forward between its hooks; a hook's result, if not None, replaces what it was given."""
    after = table_of(module, "_forward_hooks")
    try:
        args, kwargs = _before(module, args, kwargs)
        watch = _BackwardWatch(module)
        if watch.hooks:
            args = watch.inputs(args)
        output = module.forward(*args, **kwargs)
        while after:
            key = next(iter(after))
            hook, with_kwargs, _ = after.pop(key)
            result = _run_after(hook, with_kwargs, module, args, kwargs, output)
            output = output if result is None else result
        return watch.outputs(output) if watch.hooks or watch.pre_hooks else output
    except Exception:
        for hook, with_kwargs, always in after.values():
            if always:
                _run_after(hook, with_kwargs, module, args, kwargs, None)
        raise


def _before(
    module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    for hook, with_kwargs, _ in table_of(module, "_forward_pre_hooks").values():
        if not with_kwargs:
            result = hook(module, args)
            if result is not None:
                args = result if isinstance(result, tuple) else (result,)
            continue
        result = hook(module, args, kwargs)
        if result is None:
            continue
        if not (isinstance(result, tuple) and len(result) == 2):
            raise RuntimeError(
                f"forward pre-hook of {type(module).__name__} (with_kwargs) must return None or "
                f"(args, kwargs), not {type(result).__name__}"
            )
        args, kwargs = result
    return args, kwargs


def _run_after(
    hook: Any, with_kwargs: bool, module: Module, args: Any, kwargs: Any, output: Any
) -> Any:
    if with_kwargs:
        return hook(module, args, kwargs, output)
    return hook(module, args, output)


class _BackwardWatch:
    """Sees the gradients that enter a module's outputs and leave its inputs, in one call.

    Both sides pass through an identity of many tensors; the one on the outputs notes grad_output,
    the one on the inputs runs the hooks. Without an input that needs a gradient the hooks run at
    the outputs.
    """

    def __init__(self, module: Module) -> None:
        self.module = module
        self.hooks = table_of(module, "_backward_hooks")
        self.pre_hooks = table_of(module, "_backward_pre_hooks")
        self.grad_output: Gradients = ()
        self.watched: list[int] = []
        self.count = 0

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.count = len(args)
        self.watched = [
            i for i, arg in enumerate(args) if isinstance(arg, Tensor) and arg.requires_grad
        ]
        passed = _pass_through(self.leave, [args[i] for i in self.watched])
        new = list(args)
        for i, tensor in zip(self.watched, passed, strict=True):
            new[i] = tensor
        return tuple(new)

    def outputs(self, output: Any) -> Any:
        single = not isinstance(output, (tuple, list))
        values = [output] if single else list(output)
        watched = [
            i for i, value in enumerate(values) if isinstance(value, Tensor) and value.requires_grad
        ]

        def enter(grads: Gradients) -> Gradients:
            full: list[Tensor | None] = [None] * len(values)
            for i, grad in zip(watched, grads, strict=True):
                full[i] = grad
            self.grad_output = self.run_before(tuple(full))
            if not self.watched:
                self.run((None,) * self.count)
            return tuple(self.grad_output[i] for i in watched)

        passed = _pass_through(enter, [values[i] for i in watched])
        for i, tensor in zip(watched, passed, strict=True):
            values[i] = tensor
        return values[0] if single else type(output)(values)

    def leave(self, grads: Gradients) -> Gradients:
        full: list[Tensor | None] = [None] * self.count
        for i, grad in zip(self.watched, grads, strict=True):
            full[i] = grad
        result = self.run(tuple(full))
        return tuple(result[i] for i in self.watched)

    def run_before(self, grad_output: Gradients) -> Gradients:
        for hook, _, _ in self.pre_hooks.values():
            result = hook(self.module, grad_output)
            if result is not None:
                grad_output = self.checked("pre-hook", result, len(grad_output), "outputs")
        return grad_output

    def checked(self, what: str, result: Any, count: int, ends: str) -> Gradients:
        """What a hook returned, as a tuple of as many gradients as there are inputs or outputs."""
        grads = result if isinstance(result, tuple) else (result,)
        if len(grads) != count:
            raise RuntimeError(
                f"backward {what} of {type(self.module).__name__} returned {len(grads)} "
                f"gradients for {count} {ends}"
            )
        return grads

    def run(self, grad_input: Gradients) -> Gradients:
        for hook, _, _ in self.hooks.values():
            result = hook(self.module, grad_input, self.grad_output)
            if result is not None:
                grad_input = self.checked("hook", result, len(grad_input), "inputs")
        return grad_input
