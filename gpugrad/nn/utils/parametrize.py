"""Parametrizations: a parameter computed from another one each time it is read.

    class Symmetric(nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).mT

    parametrize.register_parametrization(layer, "weight", Symmetric())
    layer.weight                                   # symmetric, a function of
    layer.parametrizations.weight.original         # this parameter, which is trained

A parametrized module's class is a subclass "Parametrized..." of its own, which computes the names
in `module.parametrizations`; state_dict holds the originals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ...autograd import no_grad
from ...errors import ArgumentError, DTypeError, ShapeError
from ...tensor import Tensor
from ..container import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter, adopt


class _Cache:
    """Values of parametrized tensors inside `cached()`, by (module, name)."""

    def __init__(self) -> None:
        self.depth = 0
        self.values: dict[tuple[int, str], Tensor] = {}


_CACHE = _Cache()


@contextmanager
def cached() -> Iterator[None]:
    """Inside, each parametrized tensor is computed once, at its first use.

    For modules that read a weight several times, such as recurrent cells. A change of the original
    is not seen until the end.
    """
    _CACHE.depth += 1
    try:
        yield
    finally:
        _CACHE.depth -= 1
        if _CACHE.depth == 0:
            _CACHE.values.clear()


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, the first applied first, and the original(s).

    `original` is the parameter or buffer that the first one takes; where right_inverse gave a
    sequence, `original0`, `original1`, ... are its arguments. unsafe: shape and dtype may change.
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ArgumentError("ParametrizationList: there must be at least one parametrization")
        super().__init__(modules)
        self.unsafe = unsafe
        try:
            value = self._inverted(original)
        except NotImplementedError:  # cannot be inverted: the present value is the original
            value = original
        self.is_tensor = isinstance(value, Tensor)
        self.ntensors = 1 if isinstance(value, Tensor) else len(value)
        if isinstance(value, Tensor):
            self._keep("original", value, original)
        else:
            for i, part in enumerate(value):
                self._keep(f"original{i}", part, original)
        if not unsafe:
            self._check_safe(original)

    def _inverted(self, value: Tensor) -> Any:
        """value through right_inverse of each, the last first; as it is where one has none."""
        result: Any = value
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    result = module.right_inverse(result)
        tensors = isinstance(result, Tensor) or (
            isinstance(result, Sequence) and all(isinstance(x, Tensor) for x in result)
        )
        if not tensors:
            raise DTypeError(
                f"right_inverse must return a Tensor or a sequence of them, got {type(result)}"
            )
        return result

    def _keep(self, name: str, value: Tensor, original: Tensor) -> None:
        """value as the original: the very parameter where nothing changed, so that optimizers
        that have it already go on."""
        if isinstance(original, Parameter):
            if value.shape == original.shape and name == "original":
                adopt(original, value.detach(), "register_parametrization")
                setattr(self, name, original)
            else:
                setattr(self, name, Parameter(value.detach(), original.requires_grad))
        else:
            self.register_buffer(name, value)

    def _check_safe(self, original: Tensor) -> None:
        with no_grad():
            value = self()
        if not isinstance(value, Tensor):
            raise DTypeError(
                f"a parametrization must return a Tensor, got a {type(value).__name__}"
            )
        if value.dtype != original.dtype:
            raise DTypeError(
                f"the parametrization changes the dtype from {original.dtype} to {value.dtype}; "
                "register it with unsafe=True if that is wanted"
            )
        if value.shape != original.shape:
            raise ShapeError(
                f"the parametrization changes the shape from {original.shape} to {value.shape}; "
                "register it with unsafe=True if that is wanted"
            )

    def originals(self) -> list[Tensor]:
        """The tensors that the first parametrization takes."""
        names = ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]
        return [getattr(self, name) for name in names]

    def right_inverse(self, value: Tensor) -> None:
        """Writes into the originals what makes forward give this value (if it can be reached)."""
        if not any(hasattr(module, "right_inverse") for module in self):
            raise ArgumentError(
                "a parametrized tensor can be assigned only if its parametrizations have "
                "right_inverse()"
            )
        found = self._inverted(value)
        found = [found] if self.is_tensor else list(found)
        with no_grad():
            for original, new in zip(self.originals(), found, strict=True):
                original.copy_(new)

    def forward(self) -> Tensor:
        first, *rest = list(self)
        value: Tensor = first(*self.originals())
        for module in rest:
            value = module(value)
        return value


class _Parametrized(Module):
    """What the class of a parametrized module adds: reading and assigning computed tensors."""

    def __getattr__(self, name: str) -> Any:
        lists = self.__dict__.get("parametrizations", {})
        if name not in lists:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if not _CACHE.depth:
            return lists[name]()
        key = (id(self), name)
        if key not in _CACHE.values:
            _CACHE.values[key] = lists[name]()
        return _CACHE.values[key]

    def __setattr__(self, name: str, value: Any) -> None:
        lists = self.__dict__.get("parametrizations", {})
        if name not in lists:
            super().__setattr__(name, value)
            return
        if not isinstance(value, Tensor):
            raise DTypeError(
                f"{type(self).__name__}.{name} is parametrized; assigned was a "
                f"{type(value).__name__} instead of a Tensor"
            )
        lists[name].right_inverse(value)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _restored, (type(self).__mro__[2],), dict(self.__dict__)


def _restored(cls: type[Module]) -> Module:
    """An instance without attributes, for copying."""
    return _parametrized_class(cls).__new__(_parametrized_class(cls))


def _parametrized_class(cls: type[Module]) -> type[Module]:
    """The one parametrized class of a class, which keeps it."""
    made: type[Module] | None = cls.__dict__.get("_parametrized")
    if made is None:
        names = {"__module__": cls.__module__}
        made = type(f"Parametrized{cls.__name__}", (_Parametrized, cls), names)
        setattr(cls, "_parametrized", made)  # noqa: B010 (no attribute that Module declares)
    return made


def _lists(module: Module) -> ModuleDict:
    """The parametrizations of a parametrized module."""
    found: ModuleDict = module.__dict__["parametrizations"]
    return found


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """From now on module.tensor_name is parametrization(original); returns the module.

    tensor_name: a parameter or buffer. If it is parametrized already, the new one is applied to
    the result. right_inverse(value), where the parametrization has it, gives the first original
    and makes assignments possible; a sequence it returns becomes several originals. unsafe: the
    parametrization may change shape or dtype. Raises ArgumentError, ShapeError, DTypeError.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        _append(module, tensor_name, parametrization, unsafe)
        return module
    own = module.__dict__.get(tensor_name)
    is_buffer = tensor_name in module._persistence
    if not isinstance(own, Tensor) or not (is_buffer or isinstance(own, Parameter)):
        raise ArgumentError(
            f"register_parametrization: {type(module).__name__} has no parameter or buffer "
            f"{tensor_name!r}"
        )
    parts = ParametrizationList([parametrization], own, unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        object.__setattr__(module, "__class__", _parametrized_class(type(module)))
        object.__setattr__(module, "parametrizations", ModuleDict())
    _lists(module)[tensor_name] = parts
    return module


def _append(module: Module, name: str, parametrization: Module, unsafe: bool) -> None:
    parts = _lists(module)[name]
    assert isinstance(parts, ParametrizationList)
    parts.unsafe = parts.unsafe or unsafe
    if not unsafe:
        with no_grad():
            before = parts()
            after = parametrization(before)
        if after.shape != before.shape or after.dtype != before.dtype:
            raise ShapeError(
                f"the parametrization changes {before.shape} {before.dtype} to {after.shape} "
                f"{after.dtype}; register it with unsafe=True if that is wanted"
            )
    parts.append(parametrization)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module, or one of its tensors, is parametrized."""
    lists = module.__dict__.get("parametrizations")
    if not isinstance(lists, ModuleDict):
        return False
    return len(lists) > 0 if tensor_name is None else tensor_name in lists


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """module.tensor_name becomes an ordinary parameter or buffer again; returns the module.

    leave_parametrized: with its present value; otherwise with the original's, which must be one.
    """
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(
            f"remove_parametrizations: {type(module).__name__}.{tensor_name} is not parametrized"
        )
    parts = _lists(module)[tensor_name]
    assert isinstance(parts, ParametrizationList)
    original = parts.originals()[0]
    if leave_parametrized:
        with no_grad():
            value = parts()
    elif parts.is_tensor:
        value = original
    else:
        raise ArgumentError(
            f"remove_parametrizations: {tensor_name} has {parts.ntensors} originals; only "
            "leave_parametrized=True can be done"
        )
    del _lists(module)[tensor_name]
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        object.__setattr__(module, "__class__", type_before_parametrizations(module))
    if isinstance(original, Parameter):
        if parts.is_tensor and value.shape == original.shape and value.dtype == original.dtype:
            adopt(original, value.detach(), "remove_parametrizations")
            setattr(module, tensor_name, original)
        else:
            setattr(module, tensor_name, Parameter(value.detach(), original.requires_grad))
    else:
        module.register_buffer(tensor_name, value)
    return module


def type_before_parametrizations(module: Module) -> type[Module]:
    """The class of a module as it was before any parametrization."""
    cls = type(module)
    return cls.__mro__[2] if issubclass(cls, _Parametrized) else cls
