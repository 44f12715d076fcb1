"""Tokenizers in folders, in the files Hugging Face has: tokenizer.json and the older ones."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gpugrad.errors import DataError
from gpugrad.text.lines import read_text
from gpugrad.text.packages import tokenizers_library
from gpugrad.text.special import KINDS
from gpugrad.text_file import write_json, write_lines

if TYPE_CHECKING:
    from gpugrad.text.tokenizer import Tokenizer

_T = TypeVar("_T", bound="Tokenizer")
WHOLE, CONFIG, SPECIAL = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
_USUAL = {  # special tokens of tokenizers whose configuration names none
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
    "bos": ("<s>", "<|endoftext|>"),
    "eos": ("</s>", "<|endoftext|>"),
}
_KEPT = ("model_max_length", "padding_side", "truncation_side")
_OLDER = ("vocab.txt", "vocab.json", "merges.txt", SPECIAL)
"""Files that one tokenizer has and another lacks; left over, they would describe two."""
_BERT = ("do_lower_case", "tokenize_chinese_chars", "strip_accents")
_GPT2 = ("add_prefix_space",)


def load(kind: type[_T], folder: str | os.PathLike[str], changes: Mapping[str, Any]) -> _T:
    """The tokenizer of a folder, as Tokenizer.from_pretrained."""
    from gpugrad.text.families import BertTokenizer, GPT2Tokenizer
    from gpugrad.text.tokenizer import Tokenizer

    path = _existing(Path(folder))
    config = _read_json(path / CONFIG)
    options = {name: config[name] for name in _KEPT if config.get(name) is not None}
    if options.get("model_max_length", 0) > 1 << 40:  # Hugging Face's way to say: none
        del options["model_max_length"]
    if (path / WHOLE).is_file():
        made = _read_whole(path / WHOLE)
        options |= _special_tokens(made, {**_read_json(path / SPECIAL), **config})
        if kind is Tokenizer:
            options["token_types"] = class_name(path) == "BertTokenizer"
        options |= _chosen(kind, config)
        return kind(tokenizer_object=made, **{**options, **changes})
    if (path / "vocab.txt").is_file():
        own: Any = kind if issubclass(kind, BertTokenizer) else BertTokenizer
        return own(path / "vocab.txt", **{**options, **_chosen(own, config), **changes})
    own = kind if issubclass(kind, GPT2Tokenizer) else GPT2Tokenizer
    options |= _chosen(own, config)
    return own(path / "vocab.json", path / "merges.txt", **{**options, **changes})


def _chosen(kind: type[Tokenizer], config: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration says of how texts are normalised, for a class that takes it."""
    from gpugrad.text.families import BertTokenizer, GPT2Tokenizer

    names: tuple[str, ...] = _BERT if issubclass(kind, BertTokenizer) else ()
    names = _GPT2 if issubclass(kind, GPT2Tokenizer) else names
    return {name: config[name] for name in names if config.get(name) is not None}


def save(tokenizer: Tokenizer, folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """Write a tokenizer to a folder, which is made; gives the names of its files.

    The vocabulary's files of another tokenizer that was there are removed.
    """
    path = Path(folder)
    _make(path)
    made = tokenizer.backend_tokenizer
    made.no_truncation()
    made.no_padding()
    whole = json.loads(made.to_str())
    config: dict[str, Any] = {
        "tokenizer_class": _hugging_face_name(tokenizer),
        **{name: getattr(tokenizer, name) for name in _KEPT},
        **tokenizer.special_tokens_map,
    }
    config |= _normal(made)
    written = [write_json(path / WHOLE, whole), write_json(path / CONFIG, config)]
    vocab = [token for token, _ in sorted(made.get_vocab().items(), key=lambda each: each[1])]
    model = whole["model"]
    if model["type"] == "WordPiece":
        written.append(write_lines(path / "vocab.txt", vocab))
    elif model["type"] == "BPE":
        pairs = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
        written.append(write_json(path / "vocab.json", tokenizer.get_vocab()))
        written.append(write_lines(path / "merges.txt", ["#version: 0.2", *pairs]))
    for name in set(_OLDER) - {each.name for each in written}:
        (path / name).unlink(missing_ok=True)
    return tuple(str(each) for each in written)


def _make(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise DataError(f"save_pretrained({str(path)!r}): this is a file; name a folder.")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be made: {error.strerror or error}.") from error


def _normal(made: Any) -> dict[str, Any]:
    """How it normalises texts, by Hugging Face's names: vocab.txt and merges.txt do not say."""
    normal, pieces = made.normalizer, made.pre_tokenizer
    if made.model.__class__.__name__ == "WordPiece" and hasattr(normal, "lowercase"):
        values = (normal.lowercase, normal.handle_chinese_chars, normal.strip_accents)
        return dict(zip(_BERT, values, strict=True))
    return {name: getattr(pieces, name) for name in _GPT2 if hasattr(pieces, name)}


def class_name(folder: Path) -> str:
    """BertTokenizer, GPT2Tokenizer or another name, of the class that a folder's files name."""
    folder = _existing(folder)
    named = _read_json(folder / CONFIG).get("tokenizer_class") or ""
    if named:
        return str(named).removesuffix("Fast")
    if (folder / WHOLE).is_file():
        model = _read_json(folder / WHOLE).get("model", {}).get("type")
    else:
        model = "WordPiece" if (folder / "vocab.txt").is_file() else "BPE"
    return {"WordPiece": "BertTokenizer", "BPE": "GPT2Tokenizer"}.get(model, "Tokenizer")


def _hugging_face_name(tokenizer: Tokenizer) -> str:
    name = type(tokenizer).__name__
    return "PreTrainedTokenizerFast" if name == "Tokenizer" else name


def _existing(path: Path) -> Path:
    if not path.is_dir():
        raise DataError(
            f"{path}: there is no such folder.\n  Tokenizers are loaded from folders with "
            "tokenizer.json, vocab.txt, or vocab.json and merges.txt; nothing is downloaded: fetch "
            "the files of a published one by hand."
        )
    complete = [(WHOLE,), ("vocab.txt",), ("vocab.json", "merges.txt")]
    if not any(all((path / name).is_file() for name in names) for names in complete):
        found = ", ".join(sorted(os.listdir(path))[:8]) or "nothing"
        raise DataError(
            f"{path}: has no tokenizer: neither tokenizer.json, nor vocab.txt, nor vocab.json with "
            f"merges.txt.\n  It has {found}."
        )
    return path


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: no JSON: {error}.\n  The file is damaged: copy or write it again."
        ) from error
    return found if isinstance(found, dict) else {}


def _read_whole(path: Path) -> Any:
    text = read_text(path)
    try:
        return tokenizers_library().Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing narrower
        raise DataError(
            f"{path}: no tokenizer: {error}.\n  The file is damaged: copy or write it again."
        ) from error


def _special_tokens(made: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """Those that files name; where they name none, the usual texts that the vocabulary has."""
    named = {f"{kind}_token": config.get(f"{kind}_token") for kind in KINDS}
    if any(named.values()):
        return {name: token for name, token in named.items() if token is not None}
    usual = {
        f"{kind}_token": next((t for t in texts if made.token_to_id(t) is not None), None)
        for kind, texts in _USUAL.items()
    }
    return {name: token for name, token in usual.items() if token is not None}
