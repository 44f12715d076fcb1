"""Module: a part of a model. Holds parameters, buffers and other modules as plain attributes.

There is no registry: what a module owns is found by walking its attributes in the order they were
assigned. So nothing can be hidden from `parameters()` by a container, and `super().__init__()` may
be called (as PyTorch demands) or left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from ..tensor import Tensor
from . import describe, state
from .casting import CastMethods
from .hook_methods import (
    EMPTY,
    HookMethods,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
)
from .hooks import call_with_hooks
from .parameter import Buffer, Parameter, zero_gradient

__all__ = [
    "Module",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
]
Self = TypeVar("Self", bound="Module")


class Module(HookMethods, CastMethods):
    """Base class of layers and models. Subclass it, assign parts in `__init__`, write `forward`.

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = nn.Linear(784, 128)
                self.out = nn.Linear(128, 10)

            def forward(self, x):
                return self.out(F.relu(self.hidden(x)))

    Attributes that are Parameters or Modules are found by themselves; a tensor that is no parameter
    but belongs to the model (moved by `to`, saved by `state_dict`) is a buffer: `register_buffer`.
    """

    training: bool = True
    optional_state: tuple[str, ...] = ()  # names a loaded state may lack: these keep their values
    # Instances get their own dictionary when first needed; most modules never do.
    _persistence: Mapping[str, bool] = EMPTY  # buffer name -> saved in state_dict

    def __init__(self) -> None:
        pass

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass writes its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(); write one")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`forward`, with the hooks before and after it."""
        if self._hooked:
            return call_with_hooks(self, args, kwargs)
        return self.forward(*args, **kwargs)

    # ---- attributes --------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        old = self.__dict__.get(name)
        if isinstance(old, Parameter) and not (value is None or isinstance(value, Parameter)):
            raise TypeError(
                f"{type(self).__name__}.{name} is a parameter; assigned was {_kind(value)}. "
                "Assign a Parameter or None, or change it in place under no_grad()."
            )
        if name in self._persistence and not (value is None or isinstance(value, Tensor)):
            raise TypeError(
                f"{type(self).__name__}.{name} is a buffer; assigned was {_kind(value)}. "
                "Assign a Tensor or None."
            )
        if isinstance(value, (list, tuple, dict)):
            state.warn_if_hidden(self, name, value)
        elif isinstance(value, Buffer) and name not in self._persistence:
            self._persistence = {**self._persistence, name: value.persistent}
        elif isinstance(value, Parameter) and name in self._persistence:
            self._forget_buffer(name)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        if name in self._persistence:
            self._forget_buffer(name)

    def _forget_buffer(self, name: str) -> None:
        self._persistence = {k: v for k, v in self._persistence.items() if k != name}

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """The same as `setattr(self, name, param)`, after checking the name and the type."""
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"register_parameter({name!r}): {_kind(param)} is no Parameter; wrap it in one"
            )
        self._check_name("register_parameter", name, Parameter)
        setattr(self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that is no parameter; `persistent=False` keeps it out of state_dict."""
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"register_buffer({name!r}): {_kind(tensor)} is no Tensor")
        self._check_name("register_buffer", name, Tensor)
        self._persistence = {**self._persistence, name: persistent}
        setattr(self, name, tensor)

    def add_module(self, name: str, module: Module | None) -> None:
        """The same as `setattr(self, name, module)`, after checking the name and the type."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module({name!r}): {_kind(module)} is no Module")
        self._check_name("add_module", name, Module)
        setattr(self, name, module)

    register_module = add_module

    def _check_name(self, operation: str, name: str, kind: type) -> None:
        """A name must be a usable key of state_dict and must not hide another attribute."""
        if not isinstance(name, str):
            raise TypeError(f"{operation}: the name must be a str, not {_kind(name)}")
        if not name or "." in name:
            raise KeyError(f"{operation}: a name is not empty and has no dot, got {name!r}")
        free = not hasattr(self, name) or self.__dict__.get(name, self) is None
        if not free and not isinstance(self.__dict__.get(name), kind):
            raise KeyError(f"{operation}: {type(self).__name__} already has an attribute {name!r}")

    # ---- walking -----------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) for each module directly inside this one, each module once."""
        seen: set[int] = set()
        for name, value in self.__dict__.items():
            if isinstance(value, Module) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def children(self) -> Iterator[Module]:
        """The modules directly inside this one."""
        return (module for _, module in self.named_children())

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(path, module) for this module and all inside, parents first; shared ones once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, value in self.__dict__.items():
            if isinstance(value, Module):
                path = f"{prefix}.{name}" if prefix else name
                yield from value.named_modules(memo, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all inside, parents first, shared ones once."""
        return (module for _, module in self.named_modules())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter), in the order of assignment; a shared parameter once."""
        return state.named_members(self, state.own_parameters, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, as `named_parameters` finds them."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer), persistent or not."""
        return state.named_members(self, state.own_buffers, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, persistent or not."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as "encoder.0.norm"; "" is this one. AttributeError if none."""
        return state.lookup(self, target, Module, "module")

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Puts a module at a path such as "encoder.0.norm"; strict: only where one is already."""
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if not name:
            raise ValueError("set_submodule(target=''): the path of a part is not empty")
        if strict:
            self.get_submodule(target)
        owner.add_module(name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path such as "encoder.0.weight". AttributeError if none."""
        return state.lookup(self, target, Parameter, "parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path such as "norm.running_mean". AttributeError if none."""
        path, _, name = target.rpartition(".")
        if name not in self.get_submodule(path)._persistence:
            raise AttributeError(f"{type(self).__name__} has no buffer {target!r}")
        return state.lookup(self, target, Tensor, "buffer")

    # ---- state -------------------------------------------------------------------------------

    def state_dict(
        self,
        destination: dict[str, Tensor] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Tensor]:
        """Path -> parameter or persistent buffer; detached, sharing memory with the model.

        keep_vars: give the parameters themselves instead. Shared ones appear under each path.
        What get_extra_state of a module returns is found under "path._extra_state".
        """
        return state.collect(self, {} if destination is None else destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.IncompatibleKeys:
        """Copies values (tensors or NumPy arrays) into the parameters and buffers, cast and moved.

        strict: every name must be on both sides. Shapes must always agree. All that is wrong is
        told in one DataError, and then nothing was loaded. assign: take over dtype and device of
        the given tensors instead of copying into the present ones.
        Returns (missing_keys, unexpected_keys), both empty if strict.
        """
        return state.load(self, state_dict, strict, assign)

    def get_extra_state(self) -> Any:
        """What a subclass wants in state_dict beside its tensors; written with set_extra_state."""
        raise NotImplementedError(f"{type(self).__name__} has no get_extra_state(); write one")

    def set_extra_state(self, state: Any) -> None:
        """Takes back what get_extra_state gave, from load_state_dict."""
        raise NotImplementedError(f"{type(self).__name__} has no set_extra_state(); write one")

    # ---- changing all at once ----------------------------------------------------------------

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Calls fn on every module inside, then on this one: `model.apply(init_weights)`."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Training mode here and below: Dropout drops, normalisations take batch statistics."""
        if not isinstance(mode, bool):
            raise ValueError(f"train(mode): mode must be True or False, not {mode!r}")
        for module in self.modules():
            object.__setattr__(module, "training", mode)
        return self

    def eval(self: Self) -> Self:
        """Evaluation mode: the same as `train(False)`."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Whether the parameters take part in backward; False freezes them."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters (or fills them with zeros)."""
        for parameter in self.parameters():
            zero_gradient(parameter, set_to_none)

    # ---- text --------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the brackets of the repr, e.g. "in_features=3, out_features=1"."""
        return ""

    def __repr__(self) -> str:
        return describe.tree(self)


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"
