"""What all models of this package have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gpugrad import nn
from gpugrad.errors import ArgumentError


class Model(nn.Module):
    """A module that knows the arguments it was made with. Subclasses set `_config`."""

    _config: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """The arguments that make this model again."""
        return dict(self._config)


def one_of(model: str, name: str, value: Any, known: Iterable[Any]) -> Any:
    """`value`, or ArgumentError when it is none of the `known`."""
    known = tuple(known)
    if not any(value == each and type(value) is type(each) for each in known):
        raise ArgumentError(
            f"{model}: {name} = {value!r}; known are {', '.join(map(repr, known))}."
        )
    return value
