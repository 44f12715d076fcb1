"""Parameters as one vector."""

from __future__ import annotations

from collections.abc import Iterable

from ... import ops
from ...autograd import no_grad
from ...errors import ShapeError
from ...tensor import Tensor
from ..parameter import copy_values


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, flattened, one after the other; part of the graph."""
    return ops.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copies the parts of a vector into parameters: the inverse of parameters_to_vector.

    Raises ShapeError, changing nothing, unless the lengths agree.
    """
    listed = list(parameters)
    total = sum(p.numel() for p in listed)
    if tuple(vec.shape) != (total,):
        raise ShapeError(
            f"vector_to_parameters: vec has shape {tuple(vec.shape)}, the parameters have {total} "
            f"elements; expected was ({total},)"
        )
    start = 0
    with no_grad():
        for p in listed:
            part = vec[start : start + p.numel()].reshape(tuple(p.shape))
            copy_values(part, p, "vector_to_parameters")
            start += p.numel()
