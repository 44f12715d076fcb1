"""Where the program is: which operation runs, in which pass, in which module. Read off the stack.

Nothing is noted while nobody asks, so it costs only those who do: the profiler, `detect_nan`.
"""

from __future__ import annotations

import sys
import weakref
from types import CodeType, FrameType
from typing import Any, NamedTuple

from . import walk
from .function import Function

_BACKWARD = walk._differentiate.__code__
_ENGINE = walk.__file__

unseen: set[CodeType] = set()
"""Functions whose kernels are nobody's operation: `find` gives None below them."""


class Place(NamedTuple):
    """operation: the name of a Function ("Linear"), or of the function that called the kernel.

    phase: "forward", "backward", "recompute" (a checkpoint's second run) or "" (an optimizer,
    data). module: its path in the outermost module that runs ("encoder.layers.2.linear1"), its
    class for that one itself, "" outside of modules.
    """

    operation: str
    phase: str
    module: str


def find() -> Place | None:
    """Where the function that asks was called from."""
    frame: FrameType | None = sys._getframe(2)
    operation = phase = ""
    modules: list[Any] = []
    node: Any = None
    caller = ""
    while frame is not None:
        code = frame.f_code
        if code in unseen:
            return None
        if not operation and isinstance(owner := _of_forward(frame), Function):
            node = owner
            operation, phase = node.name(), "forward"
        elif code is _BACKWARD:
            if modules:
                phase = "recompute"
                break
            node = frame.f_locals["node"]
            return Place(node.name(), "backward", node.__dict__.get("module", ""))
        elif code.co_filename == _ENGINE and not modules:
            operation, phase = "sum of gradients", "backward"
        elif code.co_name == "step" and not operation:
            operation = _optimizer(frame)
        elif is_module_forward(frame):
            modules.append(frame.f_locals["self"])
        if not caller and code.co_name[0] not in "_<":
            caller = code.co_name
        frame = frame.f_back
    module = path_of(modules)
    if node is not None:
        node.module = module  # for its backward
    return Place(operation or caller, phase or ("forward" if modules else ""), module)


def _optimizer(frame: FrameType) -> str:
    owner = frame.f_locals.get("self")
    return f"{type(owner).__name__}.step" if hasattr(owner, "param_groups") else ""


def is_module_forward(frame: FrameType) -> bool:
    """Whether this is the `forward` of a module."""
    return hasattr(_of_forward(frame), "named_modules")


def _of_forward(frame: FrameType) -> Any:
    """Whose `forward` this is, a module's or an operation's; None where it is another function."""
    code = frame.f_code
    if code.co_name != "forward" or code.co_varnames[:1] != ("self",):
        return None
    return frame.f_locals.get("self")


_paths: weakref.WeakKeyDictionary[Any, dict[int, str]] = weakref.WeakKeyDictionary()


def path_of(modules: list[Any]) -> str:
    """The innermost (first) module by its path in the outermost that holds it, or its class."""
    if not modules:
        return ""
    inner = modules[0]
    for outer in reversed(modules[1:]):
        paths = _paths.get(outer)
        if paths is None or id(inner) not in paths:
            paths = _paths[outer] = {id(module): path for path, module in outer.named_modules()}
        if paths.get(id(inner)):
            return paths[id(inner)]
    return type(inner).__name__
