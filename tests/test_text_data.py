"""Text files, tables, data sets, corpora: what is read, and what is said of what cannot be."""

from __future__ import annotations

import gzip
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from text_files import corpus, sentences, write_imdb, write_sst2, write_table

from gpugrad.data import DataLoader
from gpugrad.errors import ArgumentError, DataError, PackageError
from gpugrad.text import (
    IMDB,
    SST2,
    Lines,
    TableDataset,
    TextDataset,
    WikiText2,
    WordFilter,
    documents,
    read_lines,
    read_table,
    read_text,
    tiny_shakespeare,
)


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GPUGRAD_DATA", raising=False)


# ---- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1", "shift_jis"])
def test_lines_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """A character may lie across the end of a piece."""
    text = "日本\nline two\r\n\nend" if encoding != "latin-1" else "é\nline two\r\n\nend"
    path = tmp_path / "x.txt"
    path.write_bytes(text.encode(encoding))
    for size in (1, 2, 3, 5, 1 << 20):
        monkeypatch.setattr("gpugrad.text.lines._CHUNK", size)
        assert list(read_lines(path, encoding)) == [text[: text.index("\n")], "line two", "", "end"]
        assert read_text(path, encoding) == text
    twice = Lines(path, path, encoding=encoding)
    assert list(twice) == list(twice) == [*read_lines(path, encoding)] * 2


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("﻿text".encode())
    assert read_text(path) == "text"


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"caf\xe9 au lait")
    wrong = (
        r"x\.txt: not utf-8: byte 0xe9 at position 3 \(invalid continuation byte\)\.\n"
        r"  Name the file's encoding, such as encoding='latin-1' \(--encoding latin-1\), or convert"
    )
    for size in (1, 4, 100):
        monkeypatch.setattr("gpugrad.text.lines._CHUNK", size)
        with pytest.raises(DataError, match=wrong):
            read_text(path)
    path.write_bytes(b"caf\xc3")
    with pytest.raises(DataError, match=r"byte 0xc3 at position 3 \(unexpected end of data\)"):
        read_text(path)
    path.write_bytes("text".encode("utf-16"))
    with pytest.raises(
        DataError, match=r"not utf-8: its first bytes are those of utf-16\.\n.*utf-16"
    ):
        read_text(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"x\.txt: the file is empty"):
        list(read_lines(path))
    with pytest.raises(DataError, match=r"none\.txt: there is no such file"):
        read_text(tmp_path / "none.txt")
    with pytest.raises(DataError, match="is a folder"):
        read_text(tmp_path)
    with pytest.raises(ArgumentError, match=r"there is no encoding 'utf-9'\.\n  Known are utf-8"):
        read_text(path, "utf-9")
    for codec in ("rot13", "hex"):  # Python has them, but they do not make text of bytes
        with pytest.raises(ArgumentError, match=f"there is no encoding '{codec}'"):
            list(read_lines(path, codec))
    with pytest.raises(ArgumentError, match="Lines: got no files"):
        Lines()


# ---- tables ----------------------------------------------------------------------------------


def test_tables(tmp_path: Path) -> None:
    texts, labels = sentences(20)
    for name in ("a.csv", "a.tsv", "a.jsonl"):
        found = TableDataset(write_table(tmp_path / name, 20))
        assert found.texts == texts and found.labels == labels and found.classes == ("neg", "pos")
        assert found[1] == (texts[1], 1) and len(found) == 20
    quoted = tmp_path / "q.csv"
    quoted.write_text('id,Review,Sentiment\n1,"a, ""b""\nc",10\n2,d,9\n')
    found = TableDataset(quoted)
    assert found.texts == ['a, "b"\nc', "d"] and found.classes == ("9", "10")
    assert read_table(quoted, "id", "Review").labels == ['a, "b"\nc', "d"]
    tabs = tmp_path / "q.tsv"
    tabs.write_text('sentence\tlabel\nsay "no\t0\n')
    assert read_table(tabs).texts == ['say "no']
    assert read_table(tabs, labelled=False).labels == []


BAD_TABLES = [
    ("a.csv", "", "the file is empty"),
    ("a.csv", "text,label\n", "has no rows"),
    (
        "a.csv",
        "text,stars\ngood,1\n",
        "no column of the label, such as 'label'; its columns are te",
    ),
    (
        "a.csv",
        "words,label\ngood,1\n",
        "no column of the text, such as 'text'; its columns are wor",
    ),
    ("a.csv", "text,label\ngood,1\n,0\n", "line 3: the column 'text' is empty"),
    ("a.csv", "text,label\ngood,\n", "line 2: the column 'label' is empty"),
    ("a.csv", "text,label\ngood,bad,1\n", "line 2: has 3 columns, the first line 2"),
    ("a.csv", 'text,label\n"good,1\n', "no rows|columns"),
    ("a.jsonl", '{"text": "a", "label": 1}\n{"text"\n', "line 2: no JSON: "),
    ("a.jsonl", "[1]\n", "line 1: no JSON object"),
    ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b"}\n', "line 2: the column 'label' is emp"),
    ("a.xlsx", "text", "not a kind of table that is known: .csv, .tsv, .jsonl, .ndjson"),
]


@pytest.mark.parametrize(("name", "content", "text"), BAD_TABLES)
def test_tables_that_cannot_be_read(tmp_path: Path, name: str, content: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError, match=text) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


def test_columns_and_classes_that_are_not_there(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"(?s)no column 'stars'; .*label='\.\.\.' \(--label-colu"):
        read_table(path, label="stars")
    with pytest.raises(DataError, match="labels 'neg' are none of the classes good, pos"):
        TableDataset(path, classes=["good", "pos"])
    (tmp_path / "l.csv").write_bytes(b"text,label\nna\xefve,1\n")
    with pytest.raises(DataError, match=r"l\.csv: not utf-8: byte 0xef at position 13"):
        read_table(tmp_path / "l.csv")
    assert read_table(tmp_path / "l.csv", encoding="latin-1").texts == ["naïve"]
    with pytest.raises(DataError, match="TextDataset: text 1 is empty"):
        TextDataset(["a", " "], [0, 1], ("x", "y"))
    with pytest.raises(ArgumentError, match="2 texts with 1 labels"):
        TextDataset(["a", "b"], [0], ("x", "y"))


# ---- IMDB, SST-2 -----------------------------------------------------------------------------


@pytest.mark.parametrize("archive", [False, True])
def test_imdb(tmp_path: Path, archive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write_imdb(tmp_path / "data", 12, archive)
    if archive:  # only the archive, elsewhere
        (tmp_path / "packed").mkdir()
        place = place.rename(tmp_path / "packed" / place.name)
    train = IMDB(place)
    assert len(train) == 12 and train.labels == [0] * 6 + [1] * 6
    assert train.classes == ("negative", "positive")
    assert "<br" not in "".join(train.texts) and train.texts[0].endswith("  Seen 0 times.")
    monkeypatch.setenv("GPUGRAD_DATA", str(place.parent))
    assert IMDB().texts == train.texts
    test = IMDB(train=False, transform=len)
    assert test.texts != train.texts and test[0] == (len(test.texts[0]), 0)


def test_imdb_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"(?s)IMDB: neither the folder aclImdb nor aclImdb_v1.*GPU"
    ):
        IMDB(tmp_path)
    packed = write_imdb(tmp_path / "a", 4, archive=True)
    whole = packed.read_bytes()
    for content in (whole[: len(whole) // 2], b"no archive", gzip.compress(b"no archive")):
        packed.write_bytes(content)
        with pytest.raises(DataError, match=r"aclImdb_v1.tar.gz: cannot be unpacked(?s:.*)damaged"):
            IMDB(packed)
    for path in (tmp_path / "a" / "aclImdb" / "train" / "pos").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="train has 2 negative and 0 positive reviews"):
        IMDB(tmp_path / "a" / "aclImdb")
    bad = tmp_path / "a" / "aclImdb" / "test" / "pos" / "0_9.txt"
    bad.write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"0_9\.txt: not utf-8: byte 0xff at position 0"):
        IMDB(tmp_path / "a" / "aclImdb", train=False)


def test_sst2(tmp_path: Path) -> None:
    place = write_sst2(tmp_path, 20, 10)
    assert len(SST2(tmp_path)) == 20 and len(SST2(place, "dev")) == 10
    assert SST2(place).texts == sentences(20)[0] and SST2(place).labels == sentences(20)[1]
    assert not SST2.has_test_labels(place)
    with pytest.raises(DataError, match=r"test\.tsv: no column of the label"):
        SST2(place, "test")
    with pytest.raises(ArgumentError, match="split = 'valid'; known are 'train', 'dev', 'test'"):
        SST2(place, "valid")
    with pytest.raises(DataError, match=r"SST-2: no train\.tsv in .*\n  Unpack"):
        SST2(tmp_path / "nowhere")
    assert SST2.has_test_labels(write_sst2(tmp_path / "b", labelled=True))
    (place / "dev.tsv").write_text("sentence\tlabel\ngood\t2\n")
    with pytest.raises(DataError, match=r"dev\.tsv: labels 2; SST-2 has 0 and 1"):
        SST2(place, "dev")


def test_texts_in_a_loader(tmp_path: Path) -> None:
    """Strings stay a list, labels become a tensor."""
    texts, labels = next(iter(DataLoader(TableDataset(write_table(tmp_path / "a.csv")), 4)))
    assert texts == sentences(4)[0] and labels.tolist() == [0, 1, 0, 1]


# ---- corpora ---------------------------------------------------------------------------------


def test_tiny_shakespeare() -> None:
    text = tiny_shakespeare()
    assert len(text) == 1_115_394 and len(set(text)) == 65
    assert text.startswith("First Citizen:\nBefore we proceed any further, hear me speak.")
    assert tiny_shakespeare("train") + tiny_shakespeare("valid") == text
    assert len(tiny_shakespeare("train")) == 1_003_854
    with pytest.raises(ArgumentError, match="part = 'test'; known are all, train, valid"):
        tiny_shakespeare("test")


WIKI = """
 = One Title =

 First sentence . Second , of some length !
 = = A section = =

 Third one . x
 = Two =
 Fourth = not a title .
"""


def test_wikitext_and_documents(tmp_path: Path) -> None:
    (tmp_path / "wikitext-2").mkdir()
    (tmp_path / "wikitext-2" / "wiki.valid.tokens").write_text(WIKI)
    found = WikiText2(tmp_path, "valid")
    assert list(found) == list(found) == WIKI.splitlines()
    assert list(documents(found)) == [
        ["First sentence .", "Second , of some length !", "Third one ."],
        ["Fourth = not a title ."],
    ]
    with pytest.raises(DataError, match=r"WikiText-2: no wiki\.train\.tokens in "):
        WikiText2(tmp_path)
    with pytest.raises(ArgumentError, match="part = 'dev'; known are train, valid, test"):
        WikiText2(tmp_path, "dev")


def test_documents_end_at_empty_lines() -> None:
    lines = ['One. Two? "Three!" Four', "Five", "", "", "Six."]
    assert list(documents(lines)) == [["One.", "Two?", '"Three!"', "Four", "Five"], ["Six."]]
    assert len(list(documents(corpus(30).splitlines()))) == 30


# ---- stop words and lemmas -------------------------------------------------------------------


class _Nltk:
    """NLTK's names, with a few words."""

    class corpus:
        class stopwords:
            @staticmethod
            def words(language: str) -> list[str]:
                if language != "english":
                    raise OSError(f"no such file {language}")
                return ["the", "is", "not", "don't", "and"]

    class stem:
        class WordNetLemmatizer:
            def lemmatize(self, word: str, pos: str = "n") -> str:
                return {("films", "n"): "film", ("went", "v"): "go"}.get((word, pos), word)


def test_stop_words_and_lemmas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpugrad.text.normal.nltk_library", lambda: _Nltk)
    assert WordFilter()("The films don't please, and THE end is not 2 good").split() == [
        "films", "don't", "please,", "end", "not", "2", "good",
    ]  # fmt: skip
    assert WordFilter(None, lemmatize=True)("The films went on") == "the film go on"
    assert WordFilter(keep=())("is not it") == "  it"
    with pytest.raises(DataError, match="'stopwords' has no such list: no such file klingon"):
        WordFilter("klingon")


def test_without_nltk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nltk", None)
    with pytest.raises(PackageError, match=r"removing stop words.*needs the package 'nltk'"):
        WordFilter()


def test_without_the_data_of_nltk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nltk = importlib.import_module("nltk")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    options: Any
    for name, options in (
        ("stopwords", {}),
        ("wordnet", {"stop_words": None, "lemmatize": True}),
    ):
        text = rf"NLTK's data '{name}' is not on this machine.\n.*python -m nltk.downloader {name}"
        with pytest.raises(DataError, match=text):
            WordFilter(**options)
