"""Modules that hold modules or parameters: Sequential, ModuleList, ModuleDict and their kin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar, overload

from ..tensor import Tensor
from .module import Module
from .parameter import Parameter

T = TypeVar("T")
Self = TypeVar("Self", bound="_Indexed[Any]")
KeyedSelf = TypeVar("KeyedSelf", bound="_Keyed[Any]")


class _Container(Module, Generic[T]):
    """Parts of one kind, Module or Parameter, each under an attribute name."""

    _kind: type[Any]

    def _items(self) -> dict[str, T]:
        return {name: v for name, v in self.__dict__.items() if isinstance(v, self._kind)}

    def _checked(self, value: Any, where: str) -> T:
        """The value as a part (a plain Tensor becomes a Parameter); TypeError names the place."""
        if isinstance(value, self._kind):
            return value
        if self._kind is Parameter and isinstance(value, Tensor):
            return self._kind(value)
        raise TypeError(
            f"{type(self).__name__}{where}: expected a {self._kind.__name__}, "
            f"got a {type(value).__name__}"
        )

    def __len__(self) -> int:
        return len(self._items())


class _Indexed(_Container[T]):
    """A list of parts under the attribute names "0", "1", ..."""

    def _parts(self) -> list[T]:
        return list(self._items().values())

    def _replace_all(self, parts: list[T]) -> None:
        """Renumbers: afterwards the parts are "0", "1", ... in this order."""
        for name in self._items():
            object.__delattr__(self, name)
        for i, part in enumerate(parts):
            object.__setattr__(self, str(i), part)

    def _name_of(self, index: int) -> str:
        names = list(self._items())
        try:
            return names[index]
        except TypeError:
            raise TypeError(
                f"{type(self).__name__}[{index!r}]: an index is an int or a slice"
            ) from None
        except IndexError:
            raise IndexError(f"{type(self).__name__}[{index}]: it has {len(names)} parts") from None

    def __iter__(self) -> Iterator[T]:
        return iter(self._parts())

    def __contains__(self, item: object) -> bool:
        return any(part is item for part in self._parts())

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self: Self, index: slice) -> Self: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._sliced(index)
        return self.__dict__[self._name_of(index)]

    def _sliced(self, index: slice) -> Any:
        return type(self)(self._parts()[index])  # type: ignore[call-arg]

    def __setitem__(self, index: int, value: T) -> None:
        setattr(self, self._name_of(index), self._checked(value, f"[{index!r}]"))

    def __delitem__(self, index: int | slice) -> None:
        parts = self._parts()
        if isinstance(index, int):
            self._name_of(index)
        del parts[index]
        self._replace_all(parts)

    def append(self: Self, value: Any) -> Self:
        """Adds a part at the end."""
        setattr(self, str(len(self)), self._checked(value, ".append"))
        return self

    def extend(self: Self, values: Iterable[Any]) -> Self:
        """Adds parts at the end."""
        if not isinstance(values, Iterable):
            raise TypeError(
                f"{type(self).__name__}.extend: expected an iterable, got a {type(values).__name__}"
            )
        for value in list(values):
            self.append(value)
        return self

    def __iadd__(self: Self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def insert(self: Self, index: int, value: Any) -> Self:
        """Puts a part before the one at index."""
        parts = self._parts()
        parts.insert(index, self._checked(value, ".insert"))
        self._replace_all(parts)
        return self

    def pop(self, index: int = -1) -> T:
        """Takes a part out and returns it."""
        part = self[index]
        del self[index]
        return part


class Sequential(_Indexed[Module]):
    """Layers one after the other: y = layer_n(... layer_1(x)).

    `Sequential(a, b)` names them "0", "1"; `Sequential({"first": a, "second": b})` as given.
    Indexing gives a layer, slicing a Sequential over the same layers (names kept).
    """

    _kind = Module

    def __init__(self, *layers: Module | Mapping[str, Module]) -> None:
        super().__init__()
        named: Mapping[str, Any] = {str(i): layer for i, layer in enumerate(layers)}
        if len(layers) == 1 and isinstance(layers[0], Mapping):
            named = layers[0]
        for name, layer in named.items():
            self.add_module(name, self._checked(layer, f" layer {name!r}"))

    def forward(self, x: Any) -> Any:
        for layer in self.__dict__.values():
            if isinstance(layer, Module):
                x = layer(x)
        return x

    def _sliced(self, index: slice) -> Any:
        return type(self)(dict(list(self._items().items())[index]))

    def _replace_all(self, parts: list[Module]) -> None:
        """Keeps the names that were given; numbered layers are numbered anew."""
        names = {id(part): name for name, part in self.__dict__.items()}
        for name in self._items():
            object.__delattr__(self, name)
        for i, part in enumerate(parts):
            old = names.get(id(part), "")
            object.__setattr__(self, old if old and not old.isdecimal() else str(i), part)

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self, *other)

    def __mul__(self, times: int) -> Sequential:
        """The same layers, again and again."""
        return Sequential(*self._repeated(times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Sequential:
        return self.extend(self._repeated(times)[len(self) :])

    def _repeated(self, times: int) -> list[Module]:
        if not isinstance(times, int):
            raise TypeError(f"Sequential * {times!r}: expected an int")
        if times <= 0:
            raise ValueError(f"Sequential * {times}: must be at least 1")
        return list(self) * times


class ModuleList(_Indexed[Module]):
    """A list of modules, visible to parameters(), state_dict() and to(). Has no forward."""

    _kind = Module

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend([] if modules is None else modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])


class ParameterList(_Indexed[Parameter]):
    """A list of parameters; a plain Tensor put in becomes a Parameter."""

    _kind = Parameter

    def __add__(self, other: Iterable[Tensor]) -> ParameterList:
        return ParameterList([*self, *other])

    def __init__(self, values: Iterable[Tensor] | None = None) -> None:
        super().__init__()
        self.extend([] if values is None else values)

    def extra_repr(self) -> str:
        return ", ".join(f"{tuple(p.shape)} {p.dtype}" for p in self)


class _Keyed(_Container[T]):
    """A dictionary of parts; the keys are attribute names, and parts of the names in state_dict."""

    def __init__(self, items: Any = None) -> None:
        super().__init__()
        if items is not None:
            self.update(items)

    def __getitem__(self, key: str) -> T:
        found = self.__dict__.get(key)
        if not isinstance(found, self._kind):
            raise KeyError(
                f"{type(self).__name__} has no key {key!r}; it has {list(self._items())}"
            )
        return found

    def __setitem__(self, key: str, value: Any) -> None:
        value = self._checked(value, f"[{key!r}]")
        self._check_name(f"{type(self).__name__}[{key!r}]", key, self._kind)
        setattr(self, key, value)

    def __delitem__(self, key: str) -> None:
        self[key]
        delattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._items())

    def __contains__(self, key: object) -> bool:
        return key in self._items()

    def keys(self) -> Iterable[str]:
        """The keys, in the order of assignment."""
        return self._items().keys()

    def values(self) -> Iterable[T]:
        """The parts, in the order of assignment."""
        return self._items().values()

    def items(self) -> Iterable[tuple[str, T]]:
        """(key, part) pairs, in the order of assignment."""
        return self._items().items()

    def update(self, items: Mapping[str, Any] | _Keyed[Any] | Iterable[tuple[str, Any]]) -> None:
        """Adds or replaces parts, from a dictionary or from (key, part) pairs."""
        pairs = items.items() if isinstance(items, (Mapping, _Keyed)) else items
        for key, value in pairs:
            self[key] = value

    def pop(self, key: str) -> T:
        """Takes a part out and returns it."""
        part = self[key]
        del self[key]
        return part

    def popitem(self) -> tuple[str, T]:
        """Takes the part out that was put in last, and returns (key, part)."""
        keys = list(self)
        if not keys:
            raise KeyError(f"{type(self).__name__} is empty")
        return keys[-1], self.pop(keys[-1])

    def get(self, key: str, default: Any = None) -> Any:
        """The part, or the default if there is none."""
        return self._items().get(key, default)

    def setdefault(self, key: str, default: Any = None) -> T:
        """The part; if there is none, the default becomes it."""
        if key not in self:
            self[key] = default
        return self[key]

    def copy(self: KeyedSelf) -> KeyedSelf:
        """A new dictionary of the same parts."""
        return type(self)(self.items())

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._items()))

    def __or__(self: KeyedSelf, other: Any) -> KeyedSelf:
        merged = self.copy()
        merged.update(other)
        return merged

    def __ror__(self: KeyedSelf, other: Any) -> KeyedSelf:
        merged = type(self)(other)
        merged.update(self)
        return merged

    def __ior__(self: KeyedSelf, other: Any) -> KeyedSelf:
        self.update(other)
        return self

    def clear(self) -> None:
        """Takes all parts out."""
        for key in list(self):
            del self[key]


class ModuleDict(_Keyed[Module]):
    """A dictionary of modules, visible to parameters(), state_dict() and to(). Has no forward."""

    _kind = Module


class ParameterDict(_Keyed[Parameter]):
    """A dictionary of parameters; a plain Tensor put in becomes a Parameter."""

    _kind = Parameter

    @classmethod
    def fromkeys(cls, keys: Iterable[str], default: Tensor) -> ParameterDict:
        """The same parameter under each of the keys."""
        return cls(dict.fromkeys(keys, default))

    def extra_repr(self) -> str:
        return ", ".join(f"{key}: {tuple(p.shape)} {p.dtype}" for key, p in self.items())


Container = Module  # PyTorch's old name of the base class
