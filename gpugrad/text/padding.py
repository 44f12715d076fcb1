"""Rows of different length to one length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import gpugrad as gg
from gpugrad.errors import DataError, ShapeError
from gpugrad.text.encoding import BatchEncoding

if TYPE_CHECKING:
    from gpugrad.text.tokenizer import Tokenizer

_FILL = {"attention_mask": 0, "token_type_ids": 0, "special_tokens_mask": 1}
_LABELS = ("label", "labels", "label_ids")


def padding_length(
    lengths: Sequence[int], kind: str | None, max_length: int, multiple: int | None = None
) -> int | None:
    """The length to pad to: that of the longest, max_length, or None; up to a multiple."""
    if kind is None:
        return None
    length = max(lengths, default=0) if kind == "longest" else max_length
    return -(-length // multiple) * multiple if multiple else length


def rows_of(encoded: Any) -> tuple[bool, list[Mapping[str, Any]]]:
    """(whether it is one row, rows): a list of rows, or a dict of columns or of one row."""
    if not isinstance(encoded, Mapping):
        return False, [{name: as_list(value) for name, value in row.items()} for row in encoded]
    columns = {name: as_list(value) for name, value in encoded.items()}
    ids = columns.get("input_ids")
    if isinstance(ids, list | tuple) and ids and not isinstance(ids[0], list | tuple):
        return True, [columns]
    rows = zip(*columns.values(), strict=True)
    return False, [dict(zip(columns, row, strict=True)) for row in rows]


def pad_features(
    rows: Sequence[Mapping[str, Any]], length: int | None, pad_id: int, side: str = "right"
) -> dict[str, list[Any]]:
    """Columns of the rows' fields; ids, masks and types filled up to `length` on that side.

    An attention_mask is made where rows have none. Other fields, such as labels, stay as they are.
    """
    fill = {"input_ids": pad_id, **_FILL}
    columns: dict[str, list[Any]] = {}
    for row in rows:
        ids = row["input_ids"]
        row = {"attention_mask": [1] * len(ids), **row}
        for name, value in row.items():
            if name in fill and length is not None and len(value) < length:
                rest = [fill[name]] * (length - len(value))
                value = [*value, *rest] if side == "right" else [*rest, *value]
            columns.setdefault(name, []).append(value)
    return {name: columns[name] for name in sorted(columns, key=lambda name: name != "input_ids")}


def pad_ids(
    rows: Sequence[Any], pad_id: int = 0, length: int | None = None
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(ids, mask), int64 (n, length): rows of ids, padded on the right to the longest of them.

    mask is 1 where there is a token. Raises DataError for a row without tokens, ShapeError for one
    longer than `length`.
    """
    lengths = np.array([len(row) for row in rows])
    if lengths.size == 0 or lengths.min() == 0:
        at = int(np.flatnonzero(lengths == 0)[0]) if lengths.size else 0
        raise DataError(
            f"pad_ids: row {at} of the batch has no tokens.\n  Leave empty texts out, or tokenize "
            "with special tokens."
        )
    width = int(lengths.max()) if length is None else length
    if lengths.max() > width:
        raise ShapeError(
            f"pad_ids: row {int(lengths.argmax())} has {lengths.max()} tokens, length is {width}.\n"
            "  Truncate rows, or give a larger length."
        )
    mask = np.arange(width) < lengths[:, None]
    ids = np.full(mask.shape, pad_id, np.int64)
    ids[mask] = np.concatenate([np.asarray(row, np.int64) for row in rows])
    return ids, mask.astype(np.int64)


class PadCollate:
    """collate_fn of a DataLoader: items (ids, label) to ({input_ids, attention_mask}, labels).

    Pads to the longest of the batch, so a batch sampler that groups like lengths
    (BucketBatchSampler) saves most of the padding.
    """

    def __init__(self, pad_id: int = 0) -> None:
        self.pad_id = pad_id

    def __call__(self, items: Sequence[tuple[Any, Any]]) -> tuple[dict[str, Any], Any]:
        ids, mask = pad_ids([row for row, _ in items], self.pad_id)
        labels = np.asarray([label for _, label in items])
        batch = {"input_ids": gg.tensor(ids), "attention_mask": gg.tensor(mask)}
        return batch, gg.tensor(labels)


class DataCollatorWithPadding:
    """collate_fn for rows a tokenizer made one by one: dicts with input_ids and perhaps a label.

    The labels come back as "labels", as models take them. Hugging Face's name and arguments.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_tensors: str = "pt",
    ) -> None:
        self.tokenizer, self.padding, self.max_length = tokenizer, padding, max_length
        self.pad_to_multiple_of, self.return_tensors = pad_to_multiple_of, return_tensors

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> BatchEncoding:
        batch = self.tokenizer.pad(
            features, self.padding, self.max_length, self.pad_to_multiple_of, self.return_tensors
        )
        for name in _LABELS:
            if name in batch:
                batch["labels"] = batch.pop(name)
        return batch


def as_list(value: Any) -> Any:
    """A tensor or array as a list; anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value
