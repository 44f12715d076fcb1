"""vmap: a function of one sample made a function of a batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..errors import ArgumentError, DTypeError, ShapeError
from ..ops.joining import stack
from ..random import generator_states, set_generator_states
from ..tensor import Tensor
from .trees import flatten, prefixes, unflatten


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The function that maps `func` over an axis of its arguments and stacks the results.

    func runs once for each sample, which is right for every operation and composes with `grad`,
    `vjp` and `jacrev` by itself, but is as slow as the loop it is: where func takes a batch, call
    it with one. in_dims: the axis of each argument (or of each tensor in a tree of them) that is
    mapped over, None for what is the same for all. out_dims: where the new axis stands in each
    result. randomness: "different" draws anew for each sample, "same" gives every sample the same
    draws, "error" refuses to draw. chunk_size changes nothing.
    """
    if randomness not in ("error", "different", "same"):
        raise ArgumentError(
            f"vmap: randomness must be 'error', 'different' or 'same', got {randomness!r}."
        )

    @wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = flatten(args)
        dims = _dims("in_dims", in_dims, structure)
        size = _size(leaves, dims)
        columns = [
            x.unbind(d) if d is not None else (x,) * size for x, d in zip(leaves, dims, strict=True)
        ]
        start = generator_states()
        results = []
        for i in range(size):
            if randomness == "same":
                set_generator_states(start)
            results.append(func(*unflatten(structure, [c[i] for c in columns]), **kwargs))
            if randomness == "error" and generator_states() != start:
                raise ArgumentError(
                    "vmap(randomness='error'): func drew random numbers.\n"
                    "  Choose randomness='different' or 'same'."
                )
        return _joined(results, out_dims)

    return mapped


def _dims(what: str, dims: Any, structure: Any) -> list[int | None]:
    try:
        return prefixes(tuple(dims) if isinstance(dims, list) else dims, structure)
    except ValueError as error:
        raise ArgumentError(f"vmap: {what} {dims!r} does not fit: {error}.") from None


def _size(leaves: list[Any], dims: list[int | None]) -> int:
    sizes = set()
    for x, d in zip(leaves, dims, strict=True):
        if d is None:
            continue
        if not isinstance(x, Tensor):
            raise DTypeError(
                f"vmap: in_dims maps over a {type(x).__name__}; only tensors have axes.\n"
                "  Give None for it in in_dims."
            )
        sizes.add(x.size(d))
    if len(sizes) != 1:
        raise ShapeError(
            "vmap: in_dims maps over no argument."
            if not sizes
            else f"vmap: the mapped axes must have one length, got {sorted(sizes)}."
        )
    (size,) = sizes
    if size == 0:
        raise ShapeError("vmap: an axis of length 0 has no sample to tell the results' shape.")
    return int(size)


def _joined(results: list[Any], out_dims: Any) -> Any:
    flat = [flatten(result) for result in results]
    structure = flat[0][1]
    dims = _dims("out_dims", out_dims, structure)
    columns = []
    for values, d in zip(zip(*[leaves for leaves, _ in flat], strict=True), dims, strict=True):
        if not isinstance(values[0], Tensor):
            raise DTypeError(f"vmap: func must return tensors, got a {type(values[0]).__name__}.")
        columns.append(values[0] if d is None else stack(list(values), d))
    return unflatten(structure, columns)
