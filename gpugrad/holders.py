"""Who holds the memory of a device: modules, by what their parameters are and their graph keeps.

Asked only when memory has run out, so it may take its time: it goes through all objects that
Python's garbage collector knows. Nothing is noted while training goes well.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

from .autograd.node import AccumulateGrad, Node
from .backends.memory import holders
from .device import Device
from .tensor import Tensor

COUNT = 5
OTHER = "tensors of no module"


def held(device: Device, count: int = COUNT) -> list[tuple[str, int]]:
    """(what, bytes) of the largest holders: "activations of layers.3 (Linear) of Net", ...

    An activation belongs to the module whose parameter its operation has, else to the one its
    first input comes from. Memory counts once: for the first of a parameter, a gradient, what
    an operation keeps, and other tensors.
    """
    objects = gc.get_objects()
    names = _parameter_names(objects)
    seen: set[int] = set()
    bytes_of: dict[str, int] = {}
    for what, array in _arrays(objects, device, names):
        base = array if array.base is None else array.base
        if id(base) not in seen:
            seen.add(id(base))
            bytes_of[what] = bytes_of.get(what, 0) + int(getattr(base, "nbytes", array.nbytes))
    largest = sorted(bytes_of.items(), key=lambda entry: -entry[1])
    return [entry for entry in largest if entry[1]][:count]


def _arrays(objects: list[Any], device: Device, names: dict[int, str]) -> Iterator[tuple[str, Any]]:
    """(what it is, array) of everything on the device: parameters, gradients, saved, others."""
    tensors = [x for x in objects if issubclass(type(x), Tensor) and _lies_on(x, device)]
    for x in tensors:
        if id(x) in names:
            yield f"parameters of {names[id(x)]}", x.array
    for x in tensors:
        if id(x) in names and x._grad is not None:
            yield f"gradients of {names[id(x)]}", x._grad.array
    owners: dict[int, str] = {}
    for node in (x for x in objects if issubclass(type(x), Node)):
        backend = getattr(node, "backend", None)
        if backend is not None and backend.device == device:
            owner = _owner(node, names, owners)
            for entry in getattr(node, "_saved", None) or ():
                value = entry[1] if type(entry) is tuple else entry
                if hasattr(value, "nbytes") and hasattr(value, "base"):
                    yield f"activations of {owner}" if owner else f"kept by {node.name()}", value
    for x in tensors:
        yield OTHER, x.array


def _lies_on(x: Tensor, device: Device) -> bool:
    """Whether a tensor, perhaps half made, is on the device."""
    return hasattr(x, "backend") and getattr(x.backend, "device", None) == device


def _parameter_names(objects: list[Any]) -> dict[int, str]:
    """id of each parameter -> "layers.3 (Linear) of Net", in the outermost module that has it."""
    modules = [x for x in objects if hasattr(type(x), "named_modules")]
    inner = {id(child) for module in modules for child in module.children()}
    names: dict[int, str] = {}
    for root in (x for x in modules if id(x) not in inner):
        for path, module in root.named_modules():
            kind = type(module).__name__
            name = f"{path} ({kind}) of {type(root).__name__}" if path else kind
            for parameter in module.parameters(recurse=False):
                names.setdefault(id(parameter), name)
    return names


def _owner(node: Node, names: dict[int, str], known: dict[int, str]) -> str:
    """The module that a node belongs to; "" if no parameter is behind it."""
    path: list[Node] = []
    name = ""
    at: Node | None = node
    while at is not None and not name:
        if id(at) in known:
            name = known[id(at)]
            break
        path.append(at)
        following: Node | None = None
        for edge in at.edges:
            if type(edge) is AccumulateGrad:
                name = name or names.get(id(edge.tensor), "")
            elif following is None:
                following = edge
        at = following
    for each in path:
        known[id(each)] = name
    return name


holders[:] = [held]
