"""What a tokenizer gives: a dict of columns, which are also attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad.errors import ArgumentError, ShapeError

TENSOR_KINDS = ("pt", "gg", "np")
"""Legal return_tensors. "pt" is what programs written for PyTorch say; it gives our tensors."""


class BatchEncoding(dict[str, Any]):
    """input_ids, token_type_ids, attention_mask, ... by name: encoding["input_ids"] or
    encoding.input_ids.

    Attributes: `encodings`, the library's own objects, one for each row (None where there are none,
    as after `Tokenizer.pad`).
    """

    encodings: list[Any] | None

    def __init__(self, data: Any = (), encodings: list[Any] | None = None) -> None:
        super().__init__(data)
        object.__setattr__(self, "encodings", encodings)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"BatchEncoding has no {name!r}; it has {', '.join(self) or 'nothing'}"
            ) from None

    @property
    def data(self) -> dict[str, Any]:
        """The columns as a plain dict."""
        return dict(self)

    def to(self, device: Any, **options: Any) -> BatchEncoding:
        """The tensors among the columns on a device."""
        moved = {
            name: value.to(device, **options) if isinstance(value, gg.Tensor) else value
            for name, value in self.items()
        }
        return BatchEncoding(moved, self.encodings)

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row."""
        return list(self._encoding(batch_index).tokens)

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row the number of its word, None for special tokens."""
        return list(self._encoding(batch_index).word_ids)

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row 0 (text) or 1 (text_pair), None for special tokens."""
        return list(self._encoding(batch_index).sequence_ids)

    def _encoding(self, index: int) -> Any:
        if self.encodings is None:
            raise ArgumentError(
                "BatchEncoding: tokens and words are known only where a tokenizer made it of text."
            )
        return self.encodings[index]


def check_kind(operation: str, kind: str | None) -> None:
    """Raise ArgumentError for a return_tensors that is not known."""
    if kind is not None and kind not in TENSOR_KINDS:
        raise ArgumentError(
            f"{operation}: return_tensors = {kind!r}; known are None (lists), "
            f"{', '.join(map(repr, TENSOR_KINDS))}."
        )


def as_column(name: str, rows: Sequence[Any], kind: str) -> Any:
    """Rows of equal length as a tensor or array (n, length), int64; fractions as a float32 tensor.

    Raises ShapeError when lengths differ.
    """
    lengths = {len(row) for row in rows if hasattr(row, "__len__")}
    if len(lengths) > 1:
        raise ShapeError(
            f"tokenizer: {name} of {len(rows)} texts have {min(lengths)} to {max(lengths)} tokens, "
            f"so they make no tensor.\n  Give padding=True (and truncation=True, max_length=...)."
        )
    array = np.asarray(rows)
    if array.dtype.kind in "iub" or array.size == 0:
        array = array.astype(np.int64)
    elif array.dtype.kind == "f" and kind != "np":
        array = array.astype(np.float32)
    return array if kind == "np" else gg.tensor(array)
