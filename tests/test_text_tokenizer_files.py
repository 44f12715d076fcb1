"""Tokenizers: what folders keep of them, small vocabularies, forks, arguments of Hugging Face's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from text_files import sentences

import gpugrad as gg
from gpugrad.errors import ArgumentError, DataError
from gpugrad.text import (
    AutoTokenizer,
    BertTokenizer,
    DataCollatorForLanguageModeling,
    DataCollatorWithPadding,
    GPT2Tokenizer,
    Tokenizer,
    train_tokenizer,
)

TEXTS = ["The Film is GOOD", "the film is good", "é 日本 Film"] * 3


def cased(**options: Any) -> Any:
    return Tokenizer.train("wordpiece", TEXTS, lowercase=False, **options)


# ---- folders ---------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [True, False])
def test_upper_case_is_kept(tmp_path: Path, whole: bool) -> None:
    made = cased()
    assert made.do_lower_case is False
    made.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (config["do_lower_case"], config["tokenize_chinese_chars"]) == (False, True)
    if not whole:
        (tmp_path / "tokenizer.json").unlink()
    found = AutoTokenizer.from_pretrained(tmp_path)
    assert found.do_lower_case is False and found(TEXTS) == made(TEXTS)
    assert found.tokenize("Film film") == ["Film", "film"]
    lower = BertTokenizer.from_pretrained(tmp_path, do_lower_case=True)
    assert lower.do_lower_case is True and lower.tokenize("FILM") == ["film"]


def test_arguments_are_over_the_folder(tmp_path: Path) -> None:
    train_tokenizer("wordpiece", [*TEXTS, *"ABCDEF"]).save_pretrained(tmp_path / "bert")
    options = {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False}
    found = BertTokenizer.from_pretrained(tmp_path / "bert", **options)
    assert found.tokenize("film Film é日") == ["film", "[UNK]", "e", "##日"]
    found.save_pretrained(tmp_path / "other")
    for file in ("tokenizer.json", None):
        if file:
            (tmp_path / "other" / file).unlink()
        again = AutoTokenizer.from_pretrained(tmp_path / "other")
        normal = again.backend_tokenizer.normalizer
        assert (normal.lowercase, normal.strip_accents, normal.handle_chinese_chars) == (
            False, True, False,
        )  # fmt: skip
    train_tokenizer("bpe", TEXTS, vocab_size=300).save_pretrained(tmp_path / "gpt")
    assert not GPT2Tokenizer.from_pretrained(tmp_path / "gpt").add_prefix_space
    spaced = GPT2Tokenizer.from_pretrained(tmp_path / "gpt", add_prefix_space=True)
    assert spaced.decode(spaced.encode("film")) == " film" and spaced.add_prefix_space
    spaced.save_pretrained(tmp_path / "spaced")
    (tmp_path / "spaced" / "tokenizer.json").unlink()
    assert AutoTokenizer.from_pretrained(tmp_path / "spaced")("film") == spaced("film")


def test_another_tokenizer_replaces_the_one_before(tmp_path: Path) -> None:
    train_tokenizer("bpe", TEXTS, vocab_size=300).save_pretrained(tmp_path)
    (tmp_path / "special_tokens_map.json").write_text('{"bos_token": "<|endoftext|>"}')
    (tmp_path / "notes.md").write_text("mine")
    made = cased()
    made.save_pretrained(tmp_path)
    names = {"tokenizer.json", "tokenizer_config.json", "vocab.txt", "notes.md"}
    assert {file.name for file in tmp_path.iterdir()} == names
    assert AutoTokenizer.from_pretrained(tmp_path).special_tokens_map == made.special_tokens_map


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("mine")
    with pytest.raises(DataError, match=r"a-file'\): this is a file; name a folder\."):
        cased().save_pretrained(tmp_path / "a-file")
    with pytest.raises(DataError, match=r"a-file.deeper: cannot be made: Not a directory"):
        cased().save_pretrained(tmp_path / "a-file" / "deeper")
    assert (tmp_path / "a-file").read_text() == "mine"


# ---- vocabularies ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [7, 8, 10, 25, 60])
def test_wordpiece_keeps_to_vocab_size(size: int) -> None:
    texts = sentences(50)[0]
    made = train_tokenizer("wordpiece", texts, vocab_size=size, min_frequency=1)
    letter = Counter("".join(texts).replace(" ", "")).most_common(1)[0][0]
    assert len(made) <= size and made.tokenize(f"{letter} z") == [letter, "[UNK]"]


def test_wordpiece_needs_room_for_a_letter() -> None:
    with pytest.raises(ArgumentError, match="vocab_size = 6 leaves no room for words"):
        train_tokenizer("wordpiece", TEXTS, vocab_size=6)


# ---- processes -------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("setting", [None, "true"])
def test_a_forked_process_tokenizes(setting: str | None) -> None:
    """The library's threads are not in the child, which must not wait for them."""
    code = (
        "import os, signal\n"
        f"setting = {setting!r}\n"
        "os.environ.pop('TOKENIZERS_PARALLELISM', None)\n"
        "if setting: os.environ['TOKENIZERS_PARALLELISM'] = setting\n"
        "from gpugrad.text import train_tokenizer\n"
        "texts = ['some words of a text'] * 500\n"
        "made = train_tokenizer('wordpiece', texts)\n"
        "wanted = made(texts)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    signal.alarm(20)\n"  # ends it where it waits
        "    os._exit(0 if made(texts) == wanted else 3)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert os.environ.get('TOKENIZERS_PARALLELISM') == setting\n"
        "assert made(texts) == wanted\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", code],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


# ---- arguments -------------------------------------------------------------------------------


def test_max_length_alone_truncates() -> None:
    made = train_tokenizer("wordpiece", TEXTS)
    long = "the film is good film"
    assert len(made(long, max_length=4)["input_ids"]) == 4
    assert len(made(long, max_length=4, truncation=False)["input_ids"]) == 7
    assert len(made(long, max_length=4, padding="max_length")["input_ids"]) == 7


def test_rows_and_columns_to_pad() -> None:
    made = train_tokenizer("wordpiece", TEXTS)
    wanted = {"input_ids": [1, 2, 3, 0], "attention_mask": [1, 1, 1, 0]}
    for ids in ([1, 2, 3], np.array([1, 2, 3]), gg.tensor([1, 2, 3])):
        assert made.pad({"input_ids": ids}, padding="max_length", max_length=4) == wanted
    one = made.pad({"input_ids": [1, 2, 3]}, return_tensors="pt")
    assert one["input_ids"].tolist() == [1, 2, 3]
    two = made.pad({"input_ids": gg.tensor([[1, 2], [3, 4]])}, return_tensors="np")
    assert two["input_ids"].tolist() == [[1, 2], [3, 4]]


def test_collators() -> None:
    made = train_tokenizer("wordpiece", TEXTS)
    rows = [{"input_ids": [1, 2], "label": 0.5}, {"input_ids": [3], "label": 2.0}]
    found = DataCollatorWithPadding(made)(rows)
    assert found["labels"].dtype == gg.float32 and found["labels"].tolist() == [0.5, 2.0]
    assert DataCollatorWithPadding(made)([{"input_ids": [1], "label": 1}])["labels"].dtype == (
        gg.int64
    )
    masked = DataCollatorForLanguageModeling(made, return_tensors="pt", pad_to_multiple_of=8)
    assert masked([[5, 6, 7]])["input_ids"].shape == (1, 8)
    arrays = DataCollatorForLanguageModeling(made, mlm=False, return_tensors="np")([[5, 6], [7]])
    assert isinstance(arrays["labels"], np.ndarray)
    assert arrays["labels"].tolist() == [[5, 6], [7, -100]]
    with pytest.raises(ArgumentError, match="LanguageModeling: return_tensors = 'tf'; known are"):
        DataCollatorForLanguageModeling(made, return_tensors="tf")
