"""What comes into text models: tokens and masks, checked."""

from __future__ import annotations

import gpugrad as gg
from gpugrad import dtype as dtypes
from gpugrad.errors import ArgumentError, DeviceError, DTypeError, ShapeError
from gpugrad.nn import Module
from gpugrad.tensor import Tensor


def check_tokens(
    model: Module, input_ids: Tensor, limit: int | None = None, name: str = "input_ids"
) -> tuple[int, int]:
    """(n, t) of tokens input_ids (n, t), integers.

    Raises ShapeError unless there are two axes, t is 1 or more, and at most `limit`, the number of
    positions that the model has; DTypeError unless they are integers. Ids beyond the vocabulary are
    reported by the embedding.
    """
    what = f"{type(model).__name__}({name})"
    if not isinstance(input_ids, Tensor):
        raise DTypeError(f"{what}: expected a Tensor, got {type(input_ids).__name__}.")
    if input_ids.ndim != 2:
        raise ShapeError(
            f"{what}: expected tokens (n, t), got shape {tuple(input_ids.shape)}.\n"
            "  Of a single text make a batch of one: input_ids.unsqueeze(0)."
        )
    if dtypes.is_floating(input_ids.dtype) or input_ids.dtype == dtypes.bool_:
        raise DTypeError(f"{what}: tokens are integers, got {input_ids.dtype.name}.")
    n, t = input_ids.shape
    if t == 0:
        raise ShapeError(f"{what}: the texts are empty: shape {(n, t)}, no token at all.")
    if limit is not None and t > limit:
        raise ShapeError(
            f"{what}: sequences of {t} tokens, but the model has {limit} positions.\n"
            f"  Truncate the texts: tokenizer(..., truncation=True, max_length={limit}), or make a "
            "model with a longer position table."
        )
    return n, t


def check_mask(model: Module, mask: Tensor | None, shape: tuple[int, int]) -> Tensor | None:
    """attention_mask as bool (n, t): True at real tokens; None where it hides nothing, if that can
    be seen without waiting for a device. Raises ShapeError, DeviceError."""
    if mask is None:
        return None
    if tuple(mask.shape) != shape:
        raise ShapeError(
            f"{type(model).__name__}: attention_mask {tuple(mask.shape)} must have the shape "
            f"{shape}: a 1 for each token, 0 for padding."
        )
    seen = mask if mask.dtype == dtypes.bool_ else mask != 0
    if mask.backend.synchronous and bool(seen.all()):
        return None
    return seen


def check_device(model: Module, tokens: Tensor, weight: Tensor) -> None:
    """Raise DeviceError unless tokens and parameters are on one device."""
    if tokens.backend is not weight.backend:
        raise DeviceError(
            f"{type(model).__name__}: the tokens are on {tokens.device}, the model on "
            f"{weight.device}.\n  Move one: input_ids.to({str(weight.device)!r})."
        )


def lengths_of(model: Module, mask: Tensor) -> Tensor:
    """int64 (n,): real tokens of each text, from a bool mask (n, t) padded on the right.

    Raises ArgumentError for padding before a token, where that can be seen without waiting.
    """
    if mask.backend.synchronous and mask.shape[1] > 1:
        late = (mask[:, 1:] & ~mask[:, :-1]).any(1)
        if bool(late.any()):
            row = int(late.to(gg.int64).argmax())
            raise ArgumentError(
                f"{type(model).__name__}: attention_mask has padding before a token in row {row}.\n"
                "  Pad on the right: tokenizer(..., padding=True) with padding_side='right'."
            )
    return mask.to(gg.int64).sum(1)


def check_labels(model: Module, labels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Labels of this shape. Raises ShapeError otherwise."""
    if tuple(labels.shape) != shape:
        raise ShapeError(
            f"{type(model).__name__}(labels): shape {tuple(labels.shape)}, expected {shape}."
        )
    return labels
