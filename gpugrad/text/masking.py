"""What BERT is pre-trained on: masked tokens, and pairs of segments (Devlin et al. 2019, A.1)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import gpugrad as gg
from gpugrad.data.dataset import Dataset
from gpugrad.errors import ArgumentError, DataError
from gpugrad.text.encoding import BatchEncoding, check_kind
from gpugrad.text.padding import pad_ids, padding_length
from gpugrad.text.streaming import TokenStore, encode_stream

if TYPE_CHECKING:
    from gpugrad.text.tokenizer import Tokenizer

IGNORED = -100
"""Label of a token that is not to be predicted."""

_Ids = np.ndarray[Any, Any]


def mask_tokens(
    ids: _Ids, maskable: _Ids, mask_id: int, vocab_size: int, probability: float = 0.15
) -> tuple[_Ids, _Ids]:
    """(ids, labels): a share of the maskable tokens is to be predicted, at least one of a batch.

    80 % of these become [MASK], 10 % a random token, 10 % stay. labels are the ids there, and
    IGNORED elsewhere. Random numbers are numpy.random's, which a DataLoader seeds for each batch.
    """
    chosen = (np.random.random(ids.shape) < probability) & maskable
    if not chosen.any():
        places = np.flatnonzero(maskable)
        if places.size:
            chosen.flat[places[np.random.randint(places.size)]] = True
    labels = np.where(chosen, ids, IGNORED)
    kind = np.random.random(ids.shape)
    random = np.random.randint(0, vocab_size, ids.shape)
    masked = np.where(chosen & (kind < 0.8), mask_id, ids)
    return np.where(chosen & (kind >= 0.9), random, masked), labels


class DataCollatorForLanguageModeling:
    """collate_fn: rows of ids (or dicts with input_ids) to a batch with labels.

    mlm: masked tokens are to be predicted (mask_tokens); without it labels are the ids themselves,
    as language models shift them. pad_to_multiple_of: of the batch's length. return_tensors: "pt"
    or "gg" for tensors, "np" for arrays. Hugging Face's name and arguments.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        mlm: bool = True,
        mlm_probability: float = 0.15,
        *,
        pad_to_multiple_of: int | None = None,
        return_tensors: str = "pt",
    ) -> None:
        check_kind("DataCollatorForLanguageModeling", return_tensors)
        if not 0 < mlm_probability <= 1:
            raise ArgumentError(
                f"DataCollatorForLanguageModeling: mlm_probability = {mlm_probability}; it must be "
                "above 0 and at most 1."
            )
        self.tokenizer, self.mlm, self.mlm_probability = tokenizer, mlm, mlm_probability
        self.pad_to_multiple_of, self.return_tensors = pad_to_multiple_of, return_tensors

    def __call__(self, rows: Sequence[Any]) -> BatchEncoding:
        given = [row["input_ids"] if isinstance(row, Mapping) else row for row in rows]
        pad = self.tokenizer.pad_token_id
        lengths = [len(row) for row in given]
        width = padding_length(lengths, "longest", 0, self.pad_to_multiple_of)
        ids, mask = pad_ids([np.asarray(row) for row in given], 0 if pad is None else pad, width)
        labels = np.where(mask == 1, ids, IGNORED)
        if self.mlm:
            ids, labels = masked_by(self.tokenizer, ids, mask, self.mlm_probability)
        columns = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        if self.return_tensors == "np":
            return BatchEncoding(columns)
        return BatchEncoding({name: gg.tensor(column) for name, column in columns.items()})


def masked_by(tokenizer: Tokenizer, ids: _Ids, mask: _Ids, probability: float) -> tuple[_Ids, _Ids]:
    """mask_tokens with a tokenizer's numbers; its special tokens are not masked."""
    special = np.isin(ids, tokenizer.all_special_ids)
    mask_id = tokenizer._required("mask")
    return mask_tokens(ids, (mask == 1) & ~special, mask_id, len(tokenizer), probability)


class SegmentPairs(Dataset):
    """Pairs of segments, the second in half of them the continuation of the first.

    Documents are cut into runs of sentences that fill max_length; item i is run i, cut in two at a
    random sentence (a single one anywhere). In half of them the second part is replaced by
    sentences of another document. An item is (ids of the first, ids of the second, 0 where it
    follows, 1 where it is random), without special tokens. Random numbers as mask_tokens'.

    The ids lie in a temporary file (TokenStore), so a corpus may be larger than memory.
    Raises DataError for fewer than two documents.
    """

    def __init__(
        self, documents: Iterable[Sequence[str]], tokenizer: Tokenizer, max_length: int = 128
    ) -> None:
        self.room = max_length - 3  # [CLS] and twice [SEP]
        if self.room < 4:
            raise ArgumentError(f"SegmentPairs: max_length = {max_length}; it must be at least 7.")
        counts = array("q")

        def sentences() -> Iterable[str]:
            for document in documents:
                counts.append(len(document))
                yield from document

        self.store = TokenStore(encode_stream(sentences(), tokenizer))
        self.first = np.concatenate([[0], np.cumsum(counts)])  # sentence of each document
        if len(counts) < 2:
            raise DataError(
                "the corpus has one document; next-sentence pairs need another one to draw from.\n"
                "  An empty line, or a title as Wikipedia has it, ends a document."
            )
        self.runs = self._cut()

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, index: int) -> tuple[_Ids, _Ids, int]:
        start, stop = self.runs[index]
        if stop - start == 1:
            ids = self.store[start]
            cut = np.random.randint(1, len(ids)) if len(ids) > 1 else 1
            first, second = ids[:cut], ids[cut:]
        else:
            middle = np.random.randint(start + 1, stop)
            first, second = self._span(start, middle), self._span(middle, stop)
        follows = np.random.random() < 0.5 and len(second) > 0
        if not follows:
            second = self._random(start, self.room - min(len(first), self.room - 1))
        return (*self._fitted(first, second), int(not follows))

    def _cut(self) -> _Ids:
        """(first sentence, end) of each run: sentences of one document that fill the room."""
        lengths = np.diff(self.store.ends, prepend=0)
        runs = []
        for start, stop in zip(self.first[:-1].tolist(), self.first[1:].tolist(), strict=True):
            begin, size = start, 0
            for i in range(start, stop):
                size += int(lengths[i])
                if size >= self.room or i == stop - 1:
                    if size > 1:
                        runs.append((begin, i + 1))
                    begin, size = i + 1, 0
        if not runs:
            raise DataError("the corpus has no sentence of two tokens.\n  Name another file.")
        return np.array(runs)

    def _span(self, start: int, stop: int) -> _Ids:
        ends = self.store.ends
        return self.store.ids[ends[start - 1] if start else 0 : ends[stop - 1]]

    def _random(self, sentence: int, size: int) -> _Ids:
        """About `size` ids from a random sentence on, of a document that has not `sentence`."""
        own = int(np.searchsorted(self.first, sentence, side="right")) - 1
        other = np.random.randint(len(self.first) - 2)
        other += other >= own
        begin = np.random.randint(self.first[other], self.first[other + 1])
        return self._span(begin, self.first[other + 1])[:size]

    def _fitted(self, first: _Ids, second: _Ids) -> tuple[_Ids, _Ids]:
        """Both cut to the room: the longer one, at its far end."""
        spare = len(first) + len(second) - self.room
        if spare > 0:
            keep_second = min(len(second), max(self.room // 2, self.room - len(first)))
            first = first[-(self.room - keep_second) :]
            second = second[:keep_second]
        return first, second


class PretrainingCollate:
    """collate_fn of SegmentPairs: what BertForPreTraining takes, and the next-sentence labels.

    Gives ({input_ids, token_type_ids, attention_mask, labels, next_sentence_label}, labels of the
    sentences (n,)).
    """

    def __init__(self, tokenizer: Tokenizer, probability: float = 0.15) -> None:
        self.tokenizer, self.probability = tokenizer, probability

    def __call__(self, items: Sequence[tuple[_Ids, _Ids, int]]) -> tuple[dict[str, Any], gg.Tensor]:
        cls, sep = self.tokenizer._required("cls"), self.tokenizer._required("sep")
        rows = [[cls, *first, sep, *second, sep] for first, second, _ in items]
        ids, mask = pad_ids(rows, self.tokenizer._required("pad"))
        begins = np.array([len(first) + 2 for first, _, _ in items])
        types = (np.arange(ids.shape[1]) >= begins[:, None]) & (mask == 1)
        ids, labels = masked_by(self.tokenizer, ids, mask, self.probability)
        random = gg.tensor(np.array([each for _, _, each in items], np.int64))
        columns = {
            "input_ids": ids,
            "token_type_ids": types.astype(np.int64),
            "attention_mask": mask,
            "labels": labels,
        }
        batch = {name: gg.tensor(column) for name, column in columns.items()}
        return {**batch, "next_sentence_label": random}, random
