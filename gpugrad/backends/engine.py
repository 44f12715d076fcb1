"""What every operation makes and does first, on any device: ``TensorBase`` and ``NodeBase``, the
attributes of tensors and nodes, and ``apply``, which calls an operation's forward.

They lie in ``_cpu``, which every installation has; csrc/cpu/engine.cpp documents them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import DeviceError
from .native import load

module = load("_cpu")
if module is None:
    raise DeviceError(
        "device cpu: gpugrad's module _cpu is not here.\n"
        "  In the source tree, Python finds the folder gpugrad instead of the installed package: "
        "start elsewhere.\n  Otherwise build it there: pip install ."
    )
if not hasattr(module, "_engine"):
    raise DeviceError(
        "device cpu: gpugrad's module _cpu is older than its Python files.\n"
        "  Build it again, in the source tree: pip install ."
    )

if TYPE_CHECKING:

    class TensorBase:
        """The attributes of a tensor; `Tensor` annotates them."""

        def __init__(self, data: Any, backend: Any = 0, requires_grad: bool = False) -> None: ...

    class NodeBase:
        """The attributes of a node of the graph; `Node` annotates them."""

    def apply(cls: type, *inputs: Any, **options: Any) -> Any:
        """The result of operation `cls`, recorded where an input requires a gradient."""

    def connect(**parts: Any) -> None:
        """Hand over what `apply` calls of Python."""

else:
    TensorBase, NodeBase = module._engine.TensorBase, module._engine.NodeBase
    apply, connect = module._engine.apply, module._engine.connect
