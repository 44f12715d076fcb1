"""Corpora larger than memory: texts come from an iterator and go out as ids, piece by piece."""

from __future__ import annotations

import itertools
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from gpugrad.data.iterable import IterableDataset
from gpugrad.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from gpugrad.text.tokenizer import Tokenizer

_TOGETHER = 1000  # texts that are tokenized in one call, by all threads


def encode_stream(
    texts: Iterable[str], tokenizer: Tokenizer, *, special: bool = False, truncation: bool = False
) -> Iterator[list[int]]:
    """The ids of each text, in order, with or without special tokens and truncation."""
    texts = iter(texts)
    while part := list(itertools.islice(texts, _TOGETHER)):
        yield from tokenizer(part, add_special_tokens=special, truncation=truncation)["input_ids"]


class PackedBlocks(IterableDataset):
    """Texts as one stream of ids, cut into blocks of `block_size`: int64 arrays.

    Args:
        texts: strings; iterated over anew in each epoch.
        separator: an id after each text, such as tokenizer.eos_token_id (None: nothing).
        overlap: how many ids a block repeats from the end of the one before.

    What does not fill the last block is left out. Raises DataError when nothing does.
    """

    def __init__(
        self,
        texts: Iterable[str],
        tokenizer: Tokenizer,
        block_size: int,
        separator: int | None = None,
        overlap: int = 0,
    ) -> None:
        if not 0 <= overlap < block_size:
            raise ArgumentError(
                f"PackedBlocks: block_size = {block_size}, overlap = {overlap}; the block must be "
                "the larger one."
            )
        self.texts, self.tokenizer = texts, tokenizer
        self.block_size, self.separator, self.overlap = block_size, separator, overlap

    def __iter__(self) -> Iterator[np.ndarray[Any, Any]]:
        ids: list[int] = []
        end = [] if self.separator is None else [self.separator]
        given = 0
        for row in encode_stream(self.texts, self.tokenizer):
            ids += row
            ids += end
            start = 0
            while len(ids) - start >= self.block_size:
                yield np.array(ids[start : start + self.block_size], np.int64)
                start += self.block_size - self.overlap
                given += 1
            del ids[:start]
        if not given:
            raise DataError(
                f"PackedBlocks: the texts have {len(ids)} tokens, which fill no block of "
                f"{self.block_size}.\n  Give more text, or a smaller block_size."
            )


class TokenStore:
    """The ids of many texts in one array, which lies in a temporary file, not in memory.

    The file has no name: it is gone with the program.

    Attributes: `ids` (total,) int32, mapped from the file; `ends` (texts,) int64: text i is
    ids[ends[i - 1] : ends[i]].
    """

    def __init__(self, rows: Iterable[list[int]]) -> None:
        lengths = array("q")
        with tempfile.TemporaryFile(prefix="gpugrad-tokens-") as file:
            for row in rows:
                lengths.append(len(row))
                file.write(np.array(row, np.int32).tobytes())
            file.flush()
            if not any(lengths):
                raise DataError("the corpus has no tokens.\n  Name a file with text.")
            self.ends = np.cumsum(np.frombuffer(lengths, np.int64))
            self.ids: np.ndarray[Any, Any] = np.memmap(file, np.int32, "r")  # outlives the handle

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> np.ndarray[Any, Any]:
        start = self.ends[index - 1] if index else 0
        return self.ids[start : self.ends[index]]
