"""Tokenizers beside Hugging Face transformers': the same files give the same columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from text_files import corpus, sentences

from gpugrad import text

transformers = pytest.importorskip("transformers", reason="`pip install '.[parity]'` adds it")

TEXTS = [
    "The film is superb, isn't it?",
    "naïve café — 日本 don't panic!",
    "x",
    "a longer one: " + "the plot and the music " * 12,
]
PAIRS = ["Yes .", "No, the ending is dreadful.", "the " * 40, "?"]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"truncation": True, "max_length": 12},
    {"padding": True, "truncation": True, "max_length": 16},
    {"padding": "max_length", "truncation": True, "max_length": 24},
    {"padding": True, "pad_to_multiple_of": 8},
    {"max_length": 6},
    {"max_length": 6, "truncation": False},
    {"max_length": 8, "padding": "max_length"},
    {"max_length": 6, "padding": "do_not_pad"},
    {"add_special_tokens": False},
    {"return_special_tokens_mask": True, "return_offsets_mapping": True},
    {"truncation": True, "max_length": 14, "stride": 2, "return_overflowing_tokens": True},
]


@pytest.fixture(scope="module", params=["wordpiece", "bpe"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(ours, theirs) from the same folder."""
    folder = tmp_path_factory.mktemp(request.param)
    lines = [*corpus(40).splitlines(), *sentences(40)[0]]
    made = text.train_tokenizer(request.param, lines, vocab_size=400)
    if request.param == "bpe":
        made.pad_token = made.eos_token
    made.save_pretrained(folder)
    return text.AutoTokenizer.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(
        str(folder)
    )


def equal(ours: Any, theirs: Any) -> None:
    assert set(ours) == set(theirs)
    for name in ours:
        assert ours[name] == theirs[name], name


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "plain")
def test_columns(both: Any, options: dict[str, Any]) -> None:
    ours, theirs = both
    equal(ours(TEXTS, **options), theirs(TEXTS, **options))
    equal(ours(TEXTS[0], **options), theirs(TEXTS[0], **options))
    equal(ours(TEXTS, PAIRS, **options), theirs(TEXTS, PAIRS, **options))


def test_tensors(both: Any) -> None:
    ours, theirs = both
    options: dict[str, Any] = {"padding": True, "truncation": True, "max_length": 20}
    found = ours(TEXTS, return_tensors="pt", **options)
    wanted = theirs(TEXTS, return_tensors="pt", **options)
    for name in wanted:
        np.testing.assert_array_equal(found[name].numpy(), wanted[name].numpy())
        assert str(found[name].dtype) == str(wanted[name].dtype).removeprefix("torch.")


def test_ids_to_text(both: Any) -> None:
    ours, theirs = both
    for line in (*TEXTS, *PAIRS):
        ids = theirs.encode(line)
        assert ours.encode(line) == ids and ours.tokenize(line) == theirs.tokenize(line)
        for skip in (False, True):
            assert ours.decode(ids, skip) == theirs.decode(ids, skip)
        assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids)


def test_numbers(both: Any) -> None:
    ours, theirs = both
    assert len(ours) == len(theirs) and ours.vocab_size == theirs.vocab_size
    for kind in ("pad", "unk", "cls", "sep", "mask", "bos", "eos"):
        for name in (f"{kind}_token", f"{kind}_token_id"):
            assert getattr(ours, name) == getattr(theirs, name), name
    assert set(ours.all_special_tokens) == set(theirs.all_special_tokens)
    assert (ours.padding_side, ours.truncation_side) == ("right", "right")


def test_theirs_is_loaded(both: Any, tmp_path: Path) -> None:
    """What transformers saves."""
    ours, theirs = both
    theirs.save_pretrained(str(tmp_path))
    again = text.AutoTokenizer.from_pretrained(tmp_path)
    equal(again(TEXTS, PAIRS), ours(TEXTS, PAIRS))
    assert again.special_tokens_map == ours.special_tokens_map
    assert again.model_max_length == ours.model_max_length


@pytest.mark.parametrize("whole", [True, False], ids=["tokenizer.json", "vocab.txt"])
@pytest.mark.parametrize("given", [{}, {"do_lower_case": True}, {"do_lower_case": False}])
@pytest.mark.parametrize("lowercase", [True, False])
def test_upper_case(lowercase: bool, given: dict[str, Any], whole: bool, tmp_path: Path) -> None:
    """Folders and arguments say which letters are kept, in ours as in theirs."""
    lines = [*corpus(40).splitlines(), *sentences(40)[0], *TEXTS]
    made = text.train_tokenizer("wordpiece", lines, vocab_size=400, lowercase=lowercase)
    made.save_pretrained(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path), **given)
    if not whole:
        (tmp_path / "tokenizer.json").unlink()
    ours = text.AutoTokenizer.from_pretrained(tmp_path, use_fast=True, **given)
    assert ours.do_lower_case is given.get("do_lower_case", lowercase)
    equal(ours(TEXTS, PAIRS), theirs(TEXTS, PAIRS))


def test_one_row_is_padded(both: Any) -> None:
    ours, theirs = both
    options: dict[str, Any] = {"padding": "max_length", "max_length": 5}
    row = {"input_ids": [1, 2, 3], "attention_mask": [1, 1, 1]}
    equal(ours.pad(row, **options), theirs.pad(row, **options))
    found = ours.pad(row, return_tensors="pt", **options)
    wanted = theirs.pad(row, return_tensors="pt", **options)
    for name in wanted:
        np.testing.assert_array_equal(found[name].numpy(), wanted[name].numpy())
