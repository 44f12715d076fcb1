"""The name of PyTorch's old programs for a tensor with a gradient."""

from __future__ import annotations

from typing import Any

from ..errors import DTypeError
from ..tensor import Tensor


class _Kind(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_Kind):
    """The same memory as a leaf without history: a tensor is its own variable.

    Every tensor is an instance. Raises DTypeError for what is no tensor, and for integers that
    should require a gradient.
    """

    def __new__(cls, data: Tensor, requires_grad: bool = False) -> Any:
        if not isinstance(data, Tensor):
            raise DTypeError(
                f"Variable: data must be a Tensor, got {type(data).__name__}.\n"
                "  Make one with gg.tensor(...)."
            )
        return data.detach().requires_grad_(requires_grad)
