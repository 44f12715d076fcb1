"""The tokenizers of BERT and GPT-2, by their vocabularies' files, and AutoTokenizer."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from gpugrad.errors import ArgumentError, DataError
from gpugrad.text import pretrained
from gpugrad.text.lines import read_lines, read_text
from gpugrad.text.tokenizer import Tokenizer
from gpugrad.text.training import BERT_SPECIAL, END_OF_TEXT, bert_pipeline, gpt2_pipeline

PathLike = str | os.PathLike[str]


class BertTokenizer(Tokenizer):
    """BERT's WordPiece: lower case unless told otherwise, [CLS] text [SEP] pair [SEP].

    Args:
        vocab_file: vocab.txt, a token a line, its number is the id.
        vocab: token -> id instead.
        do_lower_case, tokenize_chinese_chars (as words of one character each), strip_accents
            (None: where it makes lower case): by default true, or what tokenizer_object does.
        others as Tokenizer's. Raises DataError for a vocabulary without a special token.
    """

    token_types = True

    def __init__(
        self,
        vocab_file: PathLike | None = None,
        do_lower_case: bool | None = None,
        *,
        vocab: dict[str, int] | None = None,
        tokenize_chinese_chars: bool | None = None,
        strip_accents: bool | None = None,
        tokenizer_object: Any = None,
        **options: Any,
    ) -> None:
        if tokenizer_object is None:
            if vocab is None:
                if vocab_file is None:
                    raise ArgumentError("BertTokenizer: give vocab_file, or vocab.")
                vocab = {token: i for i, token in enumerate(read_lines(vocab_file))}
            missing = [token for token in BERT_SPECIAL.values() if token not in vocab]
            if missing:
                raise DataError(
                    f"{vocab_file or 'vocab'}: no {', '.join(missing)} among its {len(vocab)} "
                    "tokens.\n  It is no vocabulary of BERT's."
                )
            tokenizer_object = bert_pipeline(vocab)
        normal = tokenizer_object.normalizer
        given = {
            "lowercase": do_lower_case,
            "handle_chinese_chars": tokenize_chinese_chars,
            "strip_accents": strip_accents,
        }
        for name, value in given.items():
            if value is not None and hasattr(normal, name):  # a foreign one may have none of them
                setattr(normal, name, value)
        special = {f"{kind}_token": token for kind, token in BERT_SPECIAL.items()}
        super().__init__(tokenizer_object, **{**special, **options})
        self.do_lower_case = bool(getattr(normal, "lowercase", False))


class GPT2Tokenizer(Tokenizer):
    """GPT-2's byte-level BPE; any text has tokens, and decodes to itself.

    Args:
        vocab_file, merges_file: vocab.json (token -> id) and merges.txt (a pair a line).
        add_prefix_space: read a text as if a space were before it; by default no, or what
            tokenizer_object does.
        others as Tokenizer's.
    """

    def __init__(
        self,
        vocab_file: PathLike | None = None,
        merges_file: PathLike | None = None,
        *,
        add_prefix_space: bool | None = None,
        tokenizer_object: Any = None,
        **options: Any,
    ) -> None:
        if tokenizer_object is None:
            if vocab_file is None or merges_file is None:
                raise ArgumentError("GPT2Tokenizer: give vocab_file and merges_file.")
            vocab, merges = _read_vocab(vocab_file), _read_merges(merges_file)
            try:
                tokenizer_object = gpt2_pipeline(vocab, merges)
            except Exception as error:  # the library raises nothing narrower
                raise DataError(f"{merges_file}: does not fit {vocab_file}: {error}.") from error
        pieces = tokenizer_object.pre_tokenizer
        if add_prefix_space is not None and hasattr(pieces, "add_prefix_space"):
            pieces.add_prefix_space = add_prefix_space
        special = {f"{kind}_token": END_OF_TEXT for kind in ("bos", "eos", "unk")}
        super().__init__(tokenizer_object, **{**special, **options})
        self.add_prefix_space = bool(getattr(pieces, "add_prefix_space", False))


class AutoTokenizer:
    """`AutoTokenizer.from_pretrained(folder)`: the tokenizer of a folder, whichever it is."""

    def __init__(self) -> None:
        raise ArgumentError("AutoTokenizer: call AutoTokenizer.from_pretrained(folder).")

    @staticmethod
    def from_pretrained(folder: PathLike, *, use_fast: bool = True, **changes: Any) -> Tokenizer:
        """As Tokenizer.from_pretrained, of the class that the folder names.

        use_fast is accepted; there is one tokenizer of each kind, and it is the fast one.
        """
        name = pretrained.class_name(Path(folder))
        known: dict[str, type[Tokenizer]] = {
            "BertTokenizer": BertTokenizer,
            "GPT2Tokenizer": GPT2Tokenizer,
        }
        kind = known.get(name, Tokenizer)
        return kind.from_pretrained(folder, **changes)


def _read_vocab(path: PathLike) -> dict[str, int]:
    try:
        found = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: no JSON: {error}.\n  The file is damaged.") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: no vocabulary, which is an object of token: id.")
    return found


def _read_merges(path: PathLike) -> list[tuple[str, str]]:
    merges = []
    for number, line in enumerate(read_lines(path), 1):
        if line.startswith("#version") or not line:
            continue
        first, _, second = line.partition(" ")
        if not second or " " in second:
            raise DataError(f"{path}: line {number} is no pair of tokens: {line!r}.")
        merges.append((first, second))
    return merges
