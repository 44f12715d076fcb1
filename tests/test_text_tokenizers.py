"""Tokenizers: vocabularies, calls, files, errors."""

from __future__ import annotations

import builtins
import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from text_files import sentences

import gpugrad as gg
from gpugrad.errors import ArgumentError, DataError, DTypeError, PackageError, ShapeError
from gpugrad.text import (
    AutoTokenizer,
    BertTokenizer,
    BertTokenizerFast,
    GPT2Tokenizer,
    Tokenizer,
    train_tokenizer,
)

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "film", "##s", "bad", ",", "."]


@pytest.fixture
def bert(tmp_path: Path) -> BertTokenizer:
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
    return BertTokenizer(tmp_path / "vocab.txt")


# ---- a call ----------------------------------------------------------------------------------


def test_one_text(bert: BertTokenizer) -> None:
    found = bert("A good films")
    assert found == {
        "input_ids": [2, 5, 6, 7, 8, 3],
        "token_type_ids": [0] * 6,
        "attention_mask": [1] * 6,
    }
    assert found.input_ids is found["input_ids"]
    assert found.tokens() == ["[CLS]", "a", "good", "film", "##s", "[SEP]"]
    assert found.word_ids() == [None, 0, 1, 2, 2, None]
    assert bert.encode("good") == [2, 6, 3]
    assert bert.encode("good", add_special_tokens=False) == [6]
    assert bert("good", return_tensors="np")["input_ids"].shape == (1, 3)


def test_pairs_have_types(bert: BertTokenizer) -> None:
    found = bert("a good film", "bad .")
    assert found["input_ids"] == [2, 5, 6, 7, 3, 9, 11, 3]
    assert found["token_type_ids"] == [0, 0, 0, 0, 0, 1, 1, 1]
    assert found.sequence_ids() == [None, 0, 0, 0, None, 1, 1, None]
    both = bert.batch_encode_plus([("a", "bad"), ("good", "film")])
    assert both["input_ids"] == [[2, 5, 3, 9, 3], [2, 6, 3, 7, 3]]


def test_padding_and_truncation_make_tensors(bert: BertTokenizer) -> None:
    texts = ["a", "a good film , a bad film ."]
    found = bert(texts, truncation=True, padding=True, max_length=6, return_tensors="pt")
    assert found["input_ids"].tolist() == [[2, 5, 3, 0, 0, 0], [2, 5, 6, 7, 10, 3]]
    assert found["attention_mask"].tolist() == [[1, 1, 1, 0, 0, 0], [1] * 6]
    assert all(isinstance(each, gg.Tensor) and each.dtype == gg.int64 for each in found.values())
    full = bert(texts, padding="max_length", max_length=12, truncation=True, return_tensors="np")
    assert isinstance(full.input_ids, np.ndarray) and full.input_ids.shape == (2, 12)
    assert bert(texts)["input_ids"] == [[2, 5, 3], [2, 5, 6, 7, 10, 5, 9, 7, 11, 3]]
    assert bert(texts, padding=True, pad_to_multiple_of=8)["input_ids"][0][3:] == [0] * 13
    moved = found.to("sim")
    assert str(moved["input_ids"].device) == "sim" and moved.input_ids.tolist()[0][1] == 5


def test_truncation_of_pairs_and_the_rest(bert: BertTokenizer) -> None:
    long, short = "a good film . a bad film .", "good"
    assert bert(long, short, truncation=True, max_length=8)["input_ids"] == [
        2, 5, 6, 7, 11, 3, 6, 3,
    ]  # fmt: skip
    only = bert(short, long, truncation="only_second", max_length=6)
    assert only["input_ids"] == [2, 6, 3, 5, 6, 3]
    rest = bert(
        [long, short], truncation=True, max_length=6, stride=1, return_overflowing_tokens=True
    )
    assert rest["overflow_to_sample_mapping"] == [0, 0, 0, 1]
    assert rest["input_ids"][1][1] == rest["input_ids"][0][-2]  # they share one token


def test_sides(tmp_path: Path, bert: BertTokenizer) -> None:
    left = BertTokenizer(
        tmp_path / "vocab.txt", padding_side="left", truncation_side="left", model_max_length=4
    )
    found = left(["a good bad", "film"], truncation=True, padding=True)
    assert found["input_ids"] == [[2, 6, 9, 3], [0, 2, 7, 3]]


def test_further_columns(bert: BertTokenizer) -> None:
    found = bert(
        "a film",
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        return_length=True,
        return_token_type_ids=False,
    )
    assert list(found) == [
        "input_ids", "attention_mask", "special_tokens_mask", "offset_mapping", "length",
    ]  # fmt: skip
    assert found.offset_mapping == [(0, 0), (0, 1), (2, 6), (0, 0)]
    assert found.special_tokens_mask == [1, 0, 0, 1] and found.length == 4
    words = bert(["a", "films"], is_split_into_words=True)
    assert words["input_ids"] == [2, 5, 7, 8, 3] and words.word_ids() == [None, 0, 1, 1, None]


def test_options_of_one_call_do_not_stay(bert: BertTokenizer) -> None:
    bert(["a", "good film"], padding=True, truncation=True, max_length=3)
    assert bert(["a", "good film"])["input_ids"] == [[2, 5, 3], [2, 6, 7, 3]]
    assert bert.tokenize("good films") == ["good", "film", "##s"]


def test_ids_to_text(bert: BertTokenizer) -> None:
    ids = bert("a good films .")["input_ids"]
    assert bert.decode(ids) == "[CLS] a good films. [SEP]"
    assert bert.decode(ids, skip_special_tokens=True) == "a good films."
    assert bert.decode(gg.tensor(ids), skip_special_tokens=True) == "a good films."
    rows = bert(["a film", "bad"], padding=True, return_tensors="pt")["input_ids"]
    assert bert.batch_decode(rows, skip_special_tokens=True) == ["a film", "bad"]
    assert bert.decode(rows, skip_special_tokens=True) == ["a film", "bad"]
    assert bert.convert_ids_to_tokens([2, 6, 0], skip_special_tokens=True) == ["good"]
    assert bert.convert_ids_to_tokens(7) == "film"
    assert bert.convert_tokens_to_ids(["film", "nothing"]) == [7, 1]
    assert bert.convert_tokens_to_string(["good", "film", "##s"]) == "good films"


def test_special_tokens_and_vocabulary(bert: BertTokenizer) -> None:
    ids = (bert.pad_token_id, bert.unk_token_id, bert.cls_token_id, bert.sep_token_id)
    assert ids == (0, 1, 2, 3) and bert.mask_token_id == 4 and bert.bos_token_id is None
    assert bert.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    assert len(bert) == bert.vocab_size == len(VOCAB) and list(bert.vocab) == VOCAB
    assert bert.add_tokens("gpugrad") == 1 and len(bert) == len(VOCAB) + 1
    assert bert.tokenize("gpugrad") == ["gpugrad"] and bert.vocab_size == len(VOCAB)
    assert bert.num_special_tokens_to_add() == 2 and bert.num_special_tokens_to_add(True) == 3
    gpt = train_tokenizer("bpe", ["some text"], vocab_size=300)
    assert gpt.pad_token is None
    gpt.pad_token = gpt.eos_token
    assert gpt(["a", "some text"], padding=True)["attention_mask"][0].count(0) > 0


def test_pad_rows_made_one_by_one(bert: BertTokenizer) -> None:
    rows = [{**bert("a"), "label": 1}, {**bert("a good film"), "label": 0}]
    found = bert.pad(rows, return_tensors="np")
    assert found["input_ids"].tolist() == [[2, 5, 3, 0, 0], [2, 5, 6, 7, 3]]
    assert found["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5]
    assert found["label"].tolist() == [1, 0]
    columns = bert.pad({"input_ids": [[2, 3], [2, 5, 3]]}, padding="max_length", max_length=4)
    assert columns["input_ids"] == [[2, 3, 0, 0], [2, 5, 3, 0]]


# ---- vocabularies ----------------------------------------------------------------------------


def test_wordpiece_knows_words_and_parts() -> None:
    texts = sentences(200)[0]
    made = train_tokenizer("wordpiece", iter(texts), vocab_size=120)
    assert isinstance(made, BertTokenizer) and len(made) <= 120
    assert list(made.vocab)[:5] == VOCAB[:5]
    assert made.decode(made.encode("The FILM is superb"), True) == "the film is superb"
    assert made.tokenize("films") == ["film", "##s"]
    assert made.encode("日")[1] == made.unk_token_id


def test_bpe_gives_any_text_back() -> None:
    made = train_tokenizer("bpe", sentences(100)[0], vocab_size=350)
    assert isinstance(made, GPT2Tokenizer) and made.eos_token == "<|endoftext|>"
    for text in ("the film", " two  spaces\n\ttab", "naïve 日本 🙂"):
        assert made.decode(made.encode(text)) == text
    assert len(made.encode("the film is")) < len("the film is") / 2
    assert "token_type_ids" not in made("text")


def test_words_and_characters() -> None:
    words = train_tokenizer("words", ["A b b, b", "c b a"], min_frequency=2)
    assert words.vocab == {"[PAD]": 0, "[UNK]": 1, "b": 2, "a": 3}
    assert words.encode("B x a") == [2, 1, 3]
    kept = train_tokenizer("words", ["A b b b", "c b a a"], vocab_size=6, min_frequency=1)
    assert list(kept.vocab) == ["[PAD]", "[UNK]", "b", "a", "c"]
    letters = train_tokenizer("characters", ["ba\n", "a é"])
    assert list(letters.vocab) == ["[PAD]", "[UNK]", "\n", " ", "a", "b", "é"]
    assert letters.decode(letters.encode("a b\né")) == "a b\né"
    strict = train_tokenizer("characters", ["ab"], unknown=False)
    assert strict.vocab == {"a": 0, "b": 1} and strict.encode("ba") == [1, 0]


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "words"])
def test_equal_texts_give_equal_vocabularies(kind: str) -> None:
    """Also in another process, whose hash tables are in another order."""
    code = (
        "from gpugrad.text import tiny_shakespeare, train_tokenizer; import hashlib\n"
        f"made = train_tokenizer({kind!r}, tiny_shakespeare()[:60000].splitlines(), "
        "vocab_size=700)\nprint(hashlib.sha256(repr(made.vocab).encode()).hexdigest())"
    )
    command = [sys.executable, "-P", "-c", code]
    found = {subprocess.run(command, capture_output=True, check=True).stdout for _ in range(3)}
    assert len(found) == 1


# ---- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "words", "characters"])
def test_saved_and_loaded_are_equal(tmp_path: Path, kind: str) -> None:
    texts = sentences(50)[0]
    made = train_tokenizer(kind, texts, model_max_length=64)
    made.padding_side = "left"
    files = made.save_pretrained(tmp_path / "new" / "folder")
    names = {Path(file).name for file in files}
    assert {"tokenizer.json", "tokenizer_config.json"} <= names
    own = {"wordpiece": {"vocab.txt"}, "bpe": {"vocab.json", "merges.txt"}}.get(kind, set())
    assert own == names - {"tokenizer.json", "tokenizer_config.json"}
    found = AutoTokenizer.from_pretrained(tmp_path / "new" / "folder")
    assert type(found) is type(made) and found.vocab == made.vocab
    assert found.special_tokens_map == made.special_tokens_map
    assert (found.model_max_length, found.padding_side) == (64, "left")
    assert found(texts) == made(texts)
    again = Tokenizer.from_pretrained(tmp_path / "new" / "folder", model_max_length=32)
    assert again.model_max_length == 32 and again(texts) == made(texts)


def test_older_files_are_enough(tmp_path: Path) -> None:
    bert = train_tokenizer("wordpiece", sentences(50)[0])
    gpt = train_tokenizer("bpe", sentences(50)[0], vocab_size=300)
    for name, made in (("bert", bert), ("gpt", gpt)):
        made.save_pretrained(tmp_path / name)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            (tmp_path / name / file).unlink()
        found = AutoTokenizer.from_pretrained(tmp_path / name)
        assert type(found) is type(made)
        text = "the film is superb, é"
        assert found.encode(text) == made.encode(text)
    assert BertTokenizerFast is BertTokenizer


def test_copies_are_equal(bert: BertTokenizer) -> None:
    """As workers of a DataLoader get them."""
    for again in (pickle.loads(pickle.dumps(bert)), copy.deepcopy(bert)):
        assert again("a good film") == bert("a good film") and again.pad_token_id == 0
    found = bert(["a", "film"])
    for each in (pickle.loads(pickle.dumps(found)), copy.copy(found)):
        assert each == found and each.tokens(1) == found.tokens(1)


def test_the_saved_files_name_no_options_of_a_call(tmp_path: Path, bert: BertTokenizer) -> None:
    bert(["a", "good film"], padding=True, truncation=True, max_length=3)
    bert.save_pretrained(tmp_path / "t")
    saved = json.loads((tmp_path / "t" / "tokenizer.json").read_text())
    assert saved["padding"] is None and saved["truncation"] is None


# ---- errors ----------------------------------------------------------------------------------


def test_calls_that_cannot_be(bert: BertTokenizer) -> None:
    calls: list[tuple[Any, type[Exception], str]] = [
        (lambda: bert(5), DTypeError, "tokenizer: text is a int.\n  Give a string, or a list"),
        (lambda: bert(["a", None]), DTypeError, "text is a list with a NoneType in it"),
        (lambda: bert(["a", "b"], ["a"]), ArgumentError, "2 texts with 1 pairs"),
        (
            lambda: bert(["a", "good film"], return_tensors="pt"),
            ShapeError,
            "input_ids of 2 texts have 3 to 4 tokens(?s:.*)padding=True",
        ),
        (lambda: bert("a", return_tensors="tf"), ArgumentError, "return_tensors = 'tf'; known are"),
        (lambda: bert("a", padding="all"), ArgumentError, "padding = 'all'; known are True"),
        (lambda: bert("a", truncation="all"), ArgumentError, "truncation = 'all'; known are True"),
        (lambda: bert("a", padding="max_length"), ArgumentError, "without a length.\n  Give max_"),
        (
            lambda: bert("a", truncation=True, max_length=2),
            ArgumentError,
            "max_length = 2 with stride = 0 leaves no room for text: special tokens take 2",
        ),
        (lambda: bert("a").nothing, AttributeError, "BatchEncoding has no 'nothing'; it has inp"),
        (lambda: Tokenizer(None, padding_side="up"), ArgumentError, "padding_side = 'up'; it must"),
        (lambda: BertTokenizer(vocab={}, pad="x"), DataError, r"vocab: no \[PAD\], \[UNK\]"),
        (lambda: BertTokenizer(), ArgumentError, "give vocab_file, or vocab"),
        (lambda: AutoTokenizer(), ArgumentError, r"call AutoTokenizer.from_pretrained\(folder\)"),
    ]
    for call, kind, text in calls:
        with pytest.raises(kind, match=text):
            call()
    gpt = train_tokenizer("bpe", ["some text"], vocab_size=300)
    with pytest.raises(
        ArgumentError, match=r"it has no pad token\.\n  Set one: tokenizer.pad_token"
    ):
        gpt(["a", "b"], padding=True)
    letters = train_tokenizer("characters", ["ab"], unknown=False)
    with pytest.raises(DataError, match="character 'é' is not among the 2 it knows"):
        letters.encode("abé")


def test_training_that_cannot_be() -> None:
    calls: list[tuple[Any, type[Exception], str]] = [
        (lambda: train_tokenizer("pieces", ["a"]), ArgumentError, "no tokenizer 'pieces'; known a"),
        (lambda: train_tokenizer("words", "a text"), DTypeError, "texts is one string"),
        (lambda: train_tokenizer("words", ["a", 3]), DTypeError, "text 1 is a int, not a string"),
        (lambda: train_tokenizer("words", ["", " "]), DataError, "the texts have no tokens"),
        (lambda: train_tokenizer("characters", []), DataError, "the texts have no tokens"),
        (lambda: train_tokenizer("wordpiece", [" "]), DataError, "the texts have no tokens"),
        (lambda: train_tokenizer("words", ["a"], vocab_size=3), ArgumentError, "leaves no room"),
        (
            lambda: train_tokenizer("bpe", ["a"], vocab_size=100),
            ArgumentError,
            "vocab_size = 100; it must be at least 257: one token for each byte",
        ),
    ]
    for call, kind, text in calls:
        with pytest.raises(kind, match=text):
            call()


def test_folders_that_cannot_be(tmp_path: Path, bert: BertTokenizer) -> None:
    with pytest.raises(
        DataError, match=r"bert-base-uncased: there is no such folder\.\n.*nothing i"
    ):
        BertTokenizer.from_pretrained("bert-base-uncased")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"(?s)has no tokenizer: neither.*It has nothing\."):
        AutoTokenizer.from_pretrained(empty)
    bert.save_pretrained(tmp_path / "t")
    whole = tmp_path / "t" / "tokenizer.json"
    text = whole.read_text()
    for damaged in (text[: len(text) // 2], "{}"):
        whole.write_text(damaged)
        with pytest.raises(DataError, match=r"tokenizer\.json: no tokenizer: .*\n  The file is d"):
            BertTokenizer.from_pretrained(tmp_path / "t")
    (tmp_path / "t" / "tokenizer_config.json").write_text("{")
    with pytest.raises(DataError, match=r"tokenizer_config\.json: no JSON"):
        AutoTokenizer.from_pretrained(tmp_path / "t")
    gpt = tmp_path / "gpt"
    train_tokenizer("bpe", sentences(50)[0], vocab_size=300).save_pretrained(gpt)
    (gpt / "tokenizer.json").unlink()
    (gpt / "merges.txt").write_text("#version: 0.2\na b c\n")
    with pytest.raises(DataError, match=r"merges\.txt: line 2 is no pair of tokens: 'a b c'"):
        GPT2Tokenizer.from_pretrained(gpt)
    (gpt / "merges.txt").write_text("zz yy\n")
    with pytest.raises(DataError, match=r"merges\.txt: does not fit .*vocab\.json"):
        GPT2Tokenizer.from_pretrained(gpt)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refusing(name: str, *args: Any) -> Any:
        if name.split(".")[0] == "tokenizers":
            raise ImportError(f"No module named {name!r}")
        return real(name, *args)

    for name in [name for name in sys.modules if name.split(".")[0] == "tokenizers"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", refusing)
    monkeypatch.setattr("importlib.import_module", refusing)
    with pytest.raises(
        PackageError, match=r"needs the package 'tokenizers'.*\n.*'gpugrad\[text\]'"
    ):
        train_tokenizer("words", ["a text"])
    assert issubclass(PackageError, ImportError)
