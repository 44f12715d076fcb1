"""skip_init: modules without drawing initial values."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from ...errors import ArgumentError
from .. import init
from ..module import Module

M = TypeVar("M", bound=Module)


def skip_init(module_cls: type[M], *args: Any, **kwargs: Any) -> M:
    """module_cls(*args, **kwargs) whose parameters keep undefined values: `nn.init` does nothing.

    For weights that are loaded at once. device: where they are made. Raises ArgumentError for what
    is no Module class, or one that takes no device.
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise ArgumentError(f"skip_init: {module_cls!r} is no class of modules")
    if "device" not in inspect.signature(module_cls).parameters:
        raise ArgumentError(f"skip_init: {module_cls.__name__} takes no device")
    with init.skipped():
        return module_cls(*args, **kwargs)
