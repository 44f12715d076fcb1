"""From a list of items to a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad.errors import ArgumentError, DTypeError, ShapeError

_NUMBERS = (bool, int, float, np.generic)


def default_collate(samples: Sequence[Any]) -> Any:
    """Stack items into a batch, with a new first axis.

    Tensors and NumPy arrays are stacked; numbers become a tensor (int64, float64 or bool, as
    PyTorch has it); strings stay a list; dicts, named tuples, tuples and lists are taken apart and
    each field is stacked.

    Raises ShapeError when shapes or fields differ between items, DTypeError for anything else.
    """
    if not samples:
        raise ArgumentError("default_collate: got no items; a batch needs at least one.")
    first = samples[0]
    _check_kinds(samples)
    if isinstance(first, gg.Tensor | np.ndarray):
        _check_shapes(samples)
        return gg.stack(list(samples)) if isinstance(first, gg.Tensor) else _stacked(samples)
    if isinstance(first, _NUMBERS):
        return _stacked(samples)
    if isinstance(first, str | bytes):
        return list(samples)
    if isinstance(first, Mapping):
        _check_keys(samples)
        return {key: default_collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, tuple | list):
        return _collate_fields(first, samples)
    raise DTypeError(
        f"default_collate: cannot make a batch of {type(first).__name__}.\n"
        "  Items are tensors, arrays, numbers, strings, or tuples, lists and dicts of these; give "
        "images the transform ToTensor(), and for others give the DataLoader a collate_fn."
    )


def default_convert(sample: Any) -> Any:
    """One item, its arrays as tensors: what a DataLoader with batch_size=None gives."""
    return map_tree(sample, lambda x: gg.tensor(x) if isinstance(x, np.ndarray) else x)


def map_tree(tree: Any, function: Callable[[Any], Any]) -> Any:
    """The tree of dicts, tuples and lists with `function` applied to each leaf."""
    if isinstance(tree, dict):
        return {key: map_tree(value, function) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return rebuild(tree, [map_tree(value, function) for value in tree])
    return function(tree)


def rebuild(like: tuple[Any, ...] | list[Any], values: list[Any]) -> Any:
    """`values` as the kind of sequence that `like` is: named tuple, tuple or list."""
    if hasattr(like, "_fields"):
        return type(like)(*values)
    return tuple(values) if isinstance(like, tuple) else values


def _collate_fields(first: tuple[Any, ...] | list[Any], samples: Sequence[Any]) -> Any:
    lengths = {len(sample) for sample in samples}
    if len(lengths) > 1:
        raise ShapeError(
            f"default_collate: items have different numbers of fields: {sorted(lengths)}.\n"
            "  Give each item the same fields, or the DataLoader a collate_fn."
        )
    return rebuild(first, [default_collate(field) for field in zip(*samples, strict=True)])


def _kind(sample: Any) -> int:
    """Items of one kind can be stacked; numbers of any type are one."""
    kinds = ((gg.Tensor,), (np.ndarray,), (str, bytes), (Mapping,), (tuple, list))
    return next((i for i, kind in enumerate(kinds) if isinstance(sample, kind)), len(kinds))


def _check_kinds(samples: Sequence[Any]) -> None:
    wanted = _kind(samples[0])
    for i, sample in enumerate(samples):
        if _kind(sample) != wanted:
            raise DTypeError(
                f"default_collate: item 0 of the batch is a {type(samples[0]).__name__}, item {i} "
                f"a {type(sample).__name__}.\n  Make all of one kind, or give the DataLoader a "
                "collate_fn."
            )


def _check_keys(samples: Sequence[Any]) -> None:
    for i, sample in enumerate(samples):
        if sample.keys() != samples[0].keys():
            raise ShapeError(
                f"default_collate: item 0 of the batch has the keys {sorted(samples[0])}, "
                f"item {i} has {sorted(sample)}.\n"
                "  Give each item the same keys, or the DataLoader a collate_fn."
            )


def _stacked(samples: Sequence[Any]) -> Any:
    return gg.tensor(np.stack([np.asarray(sample) for sample in samples]))


def _check_shapes(samples: Sequence[Any]) -> None:
    shape = tuple(samples[0].shape)
    for i, sample in enumerate(samples):
        if tuple(sample.shape) != shape:
            raise ShapeError(
                f"default_collate: item 0 of the batch has shape {shape}, "
                f"item {i} has {tuple(sample.shape)}.\n"
                "  Bring items to one shape (pad or crop them), or give the DataLoader a "
                "collate_fn."
            )
