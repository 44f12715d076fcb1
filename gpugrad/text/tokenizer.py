"""Tokenizer: text to ids and back, called as Hugging Face's tokenizers are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

import gpugrad as gg
from gpugrad.errors import ArgumentError, DataError, DTypeError
from gpugrad.text import pretrained, training
from gpugrad.text.encoding import BatchEncoding, as_column, check_kind
from gpugrad.text.padding import pad_features, padding_length, rows_of
from gpugrad.text.special import SpecialTokens

UNLIMITED = int(1e30)
"""model_max_length where nothing says one, as Hugging Face has it."""

_STRATEGIES = ("longest_first", "only_first", "only_second")
Text = str | Sequence[str]


class Tokenizer(SpecialTokens):
    """Text to ids by a tokenizer of the `tokenizers` library.

        tokenizer = Tokenizer.train("wordpiece", texts, vocab_size=8000)
        batch = tokenizer(texts, truncation=True, padding=True, max_length=128, return_tensors="pt")
        batch["input_ids"], batch.attention_mask           # int64 tensors (n, length)
        tokenizer.save_pretrained(folder);  Tokenizer.from_pretrained(folder)

    Args:
        tokenizer_object: a `tokenizers.Tokenizer`.
        model_max_length: where truncation=True cuts.
        padding_side, truncation_side: "right" or "left".
        pad_token, unk_token, bos_token, eos_token, cls_token, sep_token, mask_token: texts of the
            special tokens, added to the vocabulary where they are not in it.
        token_types: whether a call gives token_type_ids (0 for a text, 1 for its pair).
    """

    slow_tokenizer_class: ClassVar[None] = None
    is_fast = True
    token_types: bool = False

    def __init__(
        self,
        tokenizer_object: Any,
        *,
        model_max_length: int | None = None,
        padding_side: str = "right",
        truncation_side: str = "right",
        token_types: bool | None = None,
        **special: Any,
    ) -> None:
        for name, side in (("padding_side", padding_side), ("truncation_side", truncation_side)):
            if side not in ("left", "right"):
                raise ArgumentError(f'tokenizer: {name} = {side!r}; it must be "right" or "left".')
        self.backend_tokenizer = tokenizer_object
        self.model_max_length = model_max_length or UNLIMITED
        self.padding_side, self.truncation_side = padding_side, truncation_side
        if token_types is not None:
            self.token_types = token_types
        self._set_special(special)

    # ---- making, loading, saving -------------------------------------------------------------

    @classmethod
    def train(cls, kind: str, texts: Iterable[str], **options: Any) -> Tokenizer:
        """A new tokenizer, its vocabulary from texts. See gpugrad.text.train_tokenizer."""
        return training.train_tokenizer(kind, texts, **options)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], **changes: Any) -> Tokenizer:
        """The tokenizer of a folder with tokenizer.json, vocab.txt, or vocab.json and merges.txt.

        changes: arguments of the constructor, over those of the folder's tokenizer_config.json.
        Raises DataError when the folder or its files are missing or damaged. Nothing is downloaded.
        """
        return pretrained.load(cls, folder, changes)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> tuple[str, ...]:
        """Write tokenizer.json, tokenizer_config.json and the vocabulary's own files; gives names.

        Those are vocab.txt of WordPiece, vocab.json and merges.txt of BPE.
        """
        return pretrained.save(self, folder)

    # ---- text to ids -------------------------------------------------------------------------

    def __call__(
        self,
        text: Any,
        text_pair: Any = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool = True,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
    ) -> BatchEncoding:
        """Columns of ids for a text or a list of texts, with names and meaning of Hugging Face's.

        Args:
            text, text_pair: a string, or a list of strings (with is_split_into_words lists of
                words); the pair is joined by the separator.
            padding: True or "longest", "max_length" (to max_length), False.
            truncation: True or "longest_first", "only_first", "only_second", False; to max_length,
                by default model_max_length; max_length without padding means True. stride and
                return_overflowing_tokens give the rest in further rows, which overlap by stride
                tokens.
            return_tensors: "pt" or "gg" for tensors, "np" for arrays, None for lists.

        Gives input_ids, token_type_ids (where the model has them), attention_mask; for one string
        without return_tensors a single row.
        Raises DTypeError for what is no text, ArgumentError for options that are not known or
        contradict each other, ShapeError for tensors of rows that differ in length.
        """
        check_kind("tokenizer", return_tensors)
        single, rows = _rows(text, text_pair, is_split_into_words)
        if truncation is None and padding is False and max_length is not None:
            truncation = True
        self._set_truncation(truncation, max_length, stride)
        self._set_padding(padding, max_length, pad_to_multiple_of)
        encodings = self._encode(rows, add_special_tokens, is_split_into_words)
        samples = list(range(len(encodings)))
        if return_overflowing_tokens:
            encodings, samples = _with_overflow(encodings)
        types = self.token_types if return_token_type_ids is None else return_token_type_ids
        wanted = {
            "input_ids": True,
            "token_type_ids": types,
            "attention_mask": return_attention_mask,
            "special_tokens_mask": return_special_tokens_mask,
            "offset_mapping": return_offsets_mapping,
        }
        columns = {
            name: [getattr(each, _ATTRIBUTES[name]) for each in encodings]
            for name, asked in wanted.items()
            if asked
        }
        if return_length:
            columns["length"] = [len(each.ids) for each in encodings]
        if return_overflowing_tokens:
            columns["overflow_to_sample_mapping"] = samples
        if return_tensors is not None:
            columns = {
                name: as_column(name, rows, return_tensors) for name, rows in columns.items()
            }
        elif single and not return_overflowing_tokens:
            columns = {name: rows[0] for name, rows in columns.items()}
        return BatchEncoding(columns, encodings)

    def encode(self, text: Any, text_pair: Any = None, **options: Any) -> Any:
        """The input_ids alone; arguments as in a call."""
        return self(text, text_pair, **options)["input_ids"]

    def encode_plus(self, text: Any, text_pair: Any = None, **options: Any) -> BatchEncoding:
        """A call, under its older name."""
        return self(text, text_pair, **options)

    def batch_encode_plus(self, texts: Sequence[Any], **options: Any) -> BatchEncoding:
        """A call for a list of texts, or of (text, pair) tuples, under its older name."""
        if texts and isinstance(texts[0], tuple):
            first, second = zip(*texts, strict=True)
            return self(list(first), list(second), **options)
        return self(list(texts), **options)

    def tokenize(self, text: str, pair: str | None = None, *, special: bool = False) -> list[str]:
        """The tokens of a text, as strings."""
        self.backend_tokenizer.no_truncation()
        self.backend_tokenizer.no_padding()
        _, rows = _rows(text, pair, False)
        return list(self._encode(rows, special, False)[0].tokens)

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
    ) -> BatchEncoding:
        """Bring rows made one by one to one length: a list of dicts, or a dict of lists.

        A dict of one row gives one row.
        """
        check_kind("tokenizer.pad", return_tensors)
        one, rows = rows_of(encoded_inputs)
        length = padding_length(
            [len(row["input_ids"]) for row in rows],
            self._padding_kind(padding),
            max_length or self.model_max_length,
            pad_to_multiple_of,
        )
        columns = pad_features(rows, length, self._required("pad"), self.padding_side)
        if one:
            columns = {name: column[0] for name, column in columns.items()}
        if return_tensors is not None:
            columns = {name: as_column(name, c, return_tensors) for name, c in columns.items()}
        return BatchEncoding(columns)

    def _encode(self, rows: list[Any], special: bool, words: bool) -> list[Any]:
        encode = self.backend_tokenizer.encode_batch
        try:
            return list(encode(rows, is_pretokenized=words, add_special_tokens=special))
        except Exception as error:  # the library raises nothing narrower
            if "Missing [UNK]" in str(error):
                raise self._unknown(rows) from None
            raise

    def _unknown(self, rows: Iterable[Any]) -> DataError:
        """What to say of a text that the vocabulary, which has no unknown token, does not cover."""
        known = self.get_vocab()
        first = next((c for row in rows for text in row for c in text if c not in known), "?")
        return DataError(
            f"tokenizer: the character {first!r} is not among the {len(known)} it knows, and it "
            "has no unknown token.\n  Leave it out, or train a tokenizer on texts that have it."
        )

    def _set_truncation(self, truncation: Any, max_length: int | None, stride: int) -> None:
        if truncation in (None, False, "do_not_truncate"):
            self.backend_tokenizer.no_truncation()
            return
        strategy = "longest_first" if truncation is True else truncation
        if strategy not in _STRATEGIES:
            raise ArgumentError(
                f"tokenizer: truncation = {truncation!r}; known are True, False, "
                f"{', '.join(map(repr, _STRATEGIES))}."
            )
        length = self.model_max_length if max_length is None else max_length
        if length >= UNLIMITED:
            self.backend_tokenizer.no_truncation()
            return
        special = self.num_special_tokens_to_add()
        if length <= special or stride < 0 or stride >= length - special:
            raise ArgumentError(
                f"tokenizer: max_length = {length} with stride = {stride} leaves no room for text: "
                f"special tokens take {special}.\n  Give a larger max_length."
            )
        self.backend_tokenizer.enable_truncation(
            length, stride=stride, strategy=strategy, direction=self.truncation_side
        )

    def _set_padding(self, padding: Any, max_length: int | None, multiple: int | None) -> None:
        kind = self._padding_kind(padding)
        if kind is None:
            self.backend_tokenizer.no_padding()
            return
        length = None
        if kind == "max_length":
            length = self.model_max_length if max_length is None else max_length
            if length >= UNLIMITED:
                raise ArgumentError(
                    'tokenizer: padding = "max_length" without a length.\n  Give max_length=...'
                )
        self.backend_tokenizer.enable_padding(
            direction=self.padding_side,
            pad_id=self._required("pad"),
            pad_token=self.pad_token,
            length=length,
            pad_to_multiple_of=multiple,
        )

    def _padding_kind(self, padding: Any) -> str | None:
        kind = {True: "longest", False: None, "do_not_pad": None}.get(padding, padding)
        if kind not in (None, "longest", "max_length"):
            raise ArgumentError(
                f"tokenizer: padding = {padding!r}; known are True ('longest'), 'max_length', "
                "False ('do_not_pad')."
            )
        return kind

    # ---- ids to text -------------------------------------------------------------------------

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> Any:
        """The text of a row of ids (tensor, array, list or a single id); of rows a list of texts.

        clean_up_tokenization_spaces is accepted; WordPiece's decoder always does it, others never.
        """
        ids = _as_ids(token_ids)
        if ids and isinstance(ids[0], list):
            return self.batch_decode(ids, skip_special_tokens)
        return self.backend_tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """The text of each row of ids."""
        rows = [_as_ids(row) for row in sequences]
        return list(
            self.backend_tokenizer.decode_batch(rows, skip_special_tokens=skip_special_tokens)
        )

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a token, or of each of a list; of one that is not known unk_token_id."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        found = self.backend_tokenizer.token_to_id(tokens)
        return self.unk_token_id if found is None else found

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or of each of a list."""
        ids = _as_ids(ids, single=True)
        if isinstance(ids, int):
            return self.backend_tokenizer.id_to_token(ids)
        left_out = set(self.all_special_ids) if skip_special_tokens else set()
        return [self.backend_tokenizer.id_to_token(i) for i in ids if i not in left_out]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text of a list of tokens."""
        decoder = self.backend_tokenizer.decoder
        return decoder.decode(list(tokens)) if decoder is not None else " ".join(tokens)

    def __repr__(self) -> str:
        special = ", ".join(f"{name}={token!r}" for name, token in self.special_tokens_map.items())
        return f"{type(self).__name__}(vocab_size={len(self)}, {special})"


_ATTRIBUTES = {  # column -> attribute of the library's encoding
    "input_ids": "ids",
    "token_type_ids": "type_ids",
    "attention_mask": "attention_mask",
    "special_tokens_mask": "special_tokens_mask",
    "offset_mapping": "offsets",
}


def _rows(text: Any, pair: Any, words: bool) -> tuple[bool, list[Any]]:
    """(whether it is one text, rows as the library takes them)."""
    one = _is_text(text, words)
    texts = [text] if one else _checked("text", text, words)
    if pair is None:
        return one, texts
    pairs = [pair] if _is_text(pair, words) else _checked("text_pair", pair, words)
    if len(pairs) != len(texts):
        raise ArgumentError(
            f"tokenizer: {len(texts)} texts with {len(pairs)} pairs; there must be one for each."
        )
    return one, list(zip(texts, pairs, strict=True))


def _is_text(value: Any, words: bool) -> bool:
    if words and isinstance(value, list | tuple):
        return not value or isinstance(value[0], str)
    return isinstance(value, str)


def _checked(name: str, value: Any, words: bool) -> list[Any]:
    rows = list(value) if isinstance(value, Iterable) and not isinstance(value, bytes) else None
    wrong = [type(row).__name__ for row in rows or () if not _is_text(row, words)]
    if rows is None or wrong:
        kind = type(value).__name__ + (f" with a {wrong[0]} in it" if wrong else "")
        form = "lists of words" if words else "strings"
        raise DTypeError(f"tokenizer: {name} is a {kind}.\n  Give a string, or a list of {form}.")
    return rows


def _with_overflow(encodings: list[Any]) -> tuple[list[Any], list[int]]:
    """Each encoding and those of what was cut off, and the number of its text."""
    rows = [(row, i) for i, each in enumerate(encodings) for row in (each, *each.overflowing)]
    return [row for row, _ in rows], [i for _, i in rows]


def _as_ids(ids: Any, single: bool = False) -> Any:
    if isinstance(ids, gg.Tensor | np.ndarray):
        ids = ids.tolist()
    elif isinstance(ids, np.integer):
        ids = int(ids)
    if isinstance(ids, int):
        return ids if single else [ids]
    return [_as_ids(each, single=True) for each in ids]
