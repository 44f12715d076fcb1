"""Models by name: what the command line, saved files and `create` know them by."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from gpugrad.errors import ArgumentError

if TYPE_CHECKING:
    from gpugrad.nn import Module


class Configurable(Protocol):
    """A model that knows the arguments it was made with, so that it can be saved and made again:
    as a dictionary, or an object that gives one by `to_dict()`."""

    @property
    def config(self) -> Any: ...


_MODELS: dict[str, Callable[..., Any]] = {}
_T = TypeVar("_T", bound=Callable[..., Any])


def register(name: str) -> Callable[[_T], _T]:
    """Class decorator: `create(name, **config)` then makes this model.

    The class needs a property `config`: the keyword arguments that make it again (numbers, strings,
    lists). Raises ArgumentError when the name is taken.
    """

    def add(model: _T) -> _T:
        if name in _MODELS and _MODELS[name] is not model:
            raise ArgumentError(f"register({name!r}): the name is taken by {_MODELS[name]}.")
        _MODELS[name] = model
        return model

    return add


def names() -> list[str]:
    """All registered names."""
    return sorted(_MODELS)


def classes() -> list[type]:
    """The classes among what is registered."""
    return [made_by for made_by in _MODELS.values() if isinstance(made_by, type)]


def config_of(model: Configurable) -> dict[str, Any]:
    """The keyword arguments that make a registered model again."""
    config: Any = model.config
    return dict(config) if isinstance(config, dict) else config.to_dict()


def is_own(name: str) -> bool:
    """Is it one of gpugrad's own models, not one that a user registered?"""
    return name in _MODELS and _MODELS[name].__module__.startswith("gpugrad.")


def create(name: str, **config: Any) -> Module:
    """A new model, on the CPU. Raises ArgumentError for unknown names and unfit arguments."""
    if name not in _MODELS:
        near = get_close_matches(name, _MODELS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ArgumentError(f"there is no model {name!r}.{hint}\n  Known: {', '.join(names())}.")
    try:
        return _MODELS[name](**config)
    except TypeError as error:
        raise ArgumentError(
            f"model {name!r} cannot be made with {config}: {error}.\n"
            f"  See help(gpugrad.models.{_MODELS[name].__name__})."
        ) from error


def name_of(model: Any) -> str:
    """The name a model is registered by. Raises ArgumentError when it is not."""
    for name, made_by in _MODELS.items():
        if type(model) is made_by:
            return name
    raise ArgumentError(
        f"{type(model).__name__} is not a registered model.\n"
        '  Put @gpugrad.models.register("name") on its class.'
    )
