"""The jobs on text, by the command line, on small texts: train, predict, generate."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from text_commands import ACCURACY, Capture, error_of, in_tmp, run  # noqa: F401 (a fixture)
from text_files import write_imdb, write_sst2, write_table

from gpugrad import models
from gpugrad.errors import ArgumentError
from gpugrad.text import AutoTokenizer, tiny_shakespeare
from gpugrad.train.checkpoint import Checkpoint
from gpugrad.train.generate import generate
from gpugrad.train.predict_text import predict_text

SCORES = re.compile(r"precision [01]\.\d{4}  recall [01]\.\d{4}  F1 [01]\.\d{4}")


# ---- sentiment -------------------------------------------------------------------------------

SMALL = {  # model -> options that make it small and quick
    "lstm": ("--config", "hidden_size=16", "--config", "embedding_dim=16", "--lr", "0.01"),
    "gru": ("--config", "hidden_size=16", "--config", "embedding_dim=16", "--lr", "0.01"),
    "rnn": ("--config", "hidden_size=16", "--config", "embedding_dim=16", "--lr", "0.01"),
    "cnn": ("--config", "embedding_dim=16", "--config", "num_filters=8", "--lr", "0.01"),
    "transformer": ("--config", "hidden_size=32", "--config", "intermediate_size=32",
                    "--config", "num_heads=2", "--lr", "0.003"),
    "bert": ("--config", "hidden_size=32", "--config", "intermediate_size=32", "--lr", "0.003"),
}  # fmt: skip


@pytest.mark.parametrize("model", SMALL)
def test_sentiment(model: str, tmp_path: Path, capsys: Capture) -> None:
    write_table(tmp_path / "reviews.csv", 480)
    options = ("--data", "reviews.csv", "--epochs", "4", "--batch-size", "8")
    options += ("--model", model, *SMALL[model])
    assert run("train", "sentiment", *options) == 0
    lines = capsys.readouterr().out.splitlines()
    # 480 rows: 48 to test on, of the rest a twentieth to choose the epoch by.
    assert re.fullmatch(
        rf"training {model} \(\d+ parameters\) on cpu, 411 texts of 1?\d tokens, vocabulary \d+",
        lines[0],
    )
    assert [line[:9] for line in lines[1:5]] == [f"epoch {i}/4" for i in range(1, 5)]
    for part in ("loss", "accuracy", "texts/s", "valid loss", "valid accuracy"):
        assert part in lines[1]
    assert re.fullmatch(r"best on the validation set: epoch \d", lines[5])
    assert lines[6] == f"model saved to sentiment-{model}"
    assert SCORES.fullmatch(lines[7]) and len(lines) == 9
    found = ACCURACY.fullmatch(lines[8])
    # One word decides: chance is 50 %, with a deviation of 7 %.
    assert found is not None and float(found[1]) > 90
    saved = json.loads(Path(f"sentiment-{model}", "training.json").read_text())
    assert saved["classes"] == ["neg", "pos"] and saved["options"]["epochs"] == 4
    assert abs(100 * saved["test_accuracy"] - float(found[1])) < 0.01
    for text, name in (("the plot is brilliant .", "pos"), ("the film is tedious .", "neg")):
        assert run("predict", text, "--model", f"sentiment-{model}") == 0
        first, second = capsys.readouterr().out.splitlines()
        assert re.fullmatch(rf"{name}  ( \d\d|  \d|100)\.\d\d %", first) and not second.startswith(
            name
        )


def test_one_logit(tmp_path: Path, capsys: Capture) -> None:
    write_table(tmp_path / "reviews.jsonl", 480)
    options = ("--data", "reviews.jsonl", "--epochs", "4", "--batch-size", "8", "--output", "one")
    options += SMALL["lstm"]
    assert run("train", "sentiment", *options, "--config", "num_labels=1") == 0
    assert float(ACCURACY.findall(capsys.readouterr().out)[-1]) > 90
    assert models.load_pretrained("one").state_dict()["fc.weight"].shape[0] == 1
    found = predict_text("the film is superb .", "one", "cpu")
    assert found[0][0] == "pos" and found[0][1] > 0.5
    assert math.isclose(sum(chance for _, chance in found), 1)


def test_named_data_sets(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    write_imdb(tmp_path, 60)
    write_sst2(tmp_path, 100, labelled=True)
    small = ("--epochs", "1", *SMALL["lstm"], "--output", "m")
    monkeypatch.setenv("GPUGRAD_DATA", str(tmp_path))
    assert run("train", "sentiment", *small) == 0  # imdb
    assert "57 texts of " in capsys.readouterr().out
    assert run("train", "sentiment", "--data", "sst2", *small) == 0
    assert "100 texts of " in capsys.readouterr().out  # it has a validation set
    monkeypatch.delenv("GPUGRAD_DATA")
    for data in ("aclImdb", "SST-2"):
        assert run("train", "sentiment", "--data", data, *small) == 0
    assert run("train", "sentiment", "--data", "sst2", "--root", ".", *small) == 0


def test_a_test_file_of_its_own(tmp_path: Path, capsys: Capture) -> None:
    write_table(tmp_path / "a.tsv", 100)
    write_table(tmp_path / "b.tsv", 40, seed=5)
    assert run("train", "sentiment", "--data", "a.tsv", "--test", "b.tsv", *SMALL["cnn"],
               "--model", "cnn", "--epochs", "2") == 0  # fmt: skip
    assert "95 texts of " in capsys.readouterr().out


def test_stop_words_and_lemmas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same is done to what is predicted."""

    class Filter:
        def __init__(self, stop_words: str | None, lemmatize: bool) -> None:
            self.dropped = {"the": "", "is": ""} if stop_words else {}
            self.lemma = {"scenes": "scene"} if lemmatize else {}

        def __call__(self, text: str) -> str:
            words = {**self.dropped, **self.lemma}
            return " ".join(words.get(word, word) for word in text.split())

    monkeypatch.setattr("gpugrad.train.text.WordFilter", Filter)
    write_table(tmp_path / "a.csv", 60)
    common = ("train", "sentiment", "--data", "a.csv", "--epochs", "1", "--model", "cnn")
    assert run(*common, *SMALL["cnn"], "--drop-stop-words", "--lemmatize", "--output", "m") == 0
    vocab = AutoTokenizer.from_pretrained("m").vocab
    assert "film" in vocab and not {"the", "is"} & set(vocab)
    found = predict_text("scenes", "m", "cpu")
    assert found == predict_text("the scene is", "m", "cpu") != predict_text("x", "m", "cpu")
    assert predict_text("the", "m", "cpu")  # of stop words alone


def test_same_seed_same_bits_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(tmp_path / "a.csv", 120)
    common = ("train", "sentiment", "--data", "a.csv", "--model", "transformer", "--epochs", "3")
    common += SMALL["transformer"]
    for name in ("one", "two"):
        assert run(*common, "--output", name) == 0
    files = ("model.safetensors", "config.json", "tokenizer.json")
    for file in files:
        assert Path("one", file).read_bytes() == Path("two", file).read_bytes()
    save = Checkpoint.on_epoch_end

    def interrupted(self: Any, trainer: Any) -> None:
        save(self, trainer)
        if trainer.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "on_epoch_end", interrupted)
    assert run(*common, "--output", "part", "--checkpoint", "c") == 130
    assert not Path("part").exists()
    monkeypatch.setattr(Checkpoint, "on_epoch_end", save)
    assert run(*common, "--output", "part", "--resume", "c") == 0
    for file in files:
        assert Path("one", file).read_bytes() == Path("part", file).read_bytes()


def test_sentiment_that_cannot_be(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "one.csv").write_text("text,label\n" + "good,1\n" * 12)
    (tmp_path / "few.csv").write_text("text,label\ngood,1\nbad,0\n")
    (tmp_path / "bytes.csv").write_bytes(b"text,label\ncaf\xe9,1\n")
    write_table(tmp_path / "good.csv", 40)
    cases = [
        (("--data", "none.csv"), "none.csv: there is no such file"),
        (("--data", "amazon"), "there is no data set 'amazon'.\n  Name imdb or sst2"),
        (("--data", "imdb"), "IMDB: neither the folder aclImdb nor aclImdb_v1.tar.gz.\n  Fetch"),
        (("--data", "one.csv"), "all 10 texts to train on have one label, '1'"),
        (("--data", "few.csv"), "few.csv: has 2 rows; training needs at least 10"),
        (("--data", "bytes.csv"), "not utf-8: byte 0xe9 at position 14"),
        (("--data", "good.csv", "--label-column", "stars"), "no column 'stars'; its columns are"),
        (("--data", "good.csv", "--model", "svm"), "train sentiment: there is no recipe of a mode"),
        (("--data", "good.csv", "--config", "hiden=3"), "hiden"),
        (("--data", "good.csv", "--tokenizer", "letters"), "letters: no folder with a tokenizer"),
        (("--data", "good.csv", "--output", "good.csv"), "good.csv: is a file; the model is a fo"),
        (("--data", "good.csv", "--output", "no/where"), "no/where: there is no folder no"),
        (("--data", "good.csv", "--encoding", "utf-9"), "there is no encoding 'utf-9'"),
        (("--data", "good.csv", "--model", "bert", "--max-length", "2"), "leaves no room for text"),
        (("--data", "good.csv", "--lr", "1e38", "--epochs", "3"), "the loss became"),
    ]
    for options, text in cases:
        assert text in error_of(capsys, "train", "sentiment", *options)
    capsys.readouterr()
    assert not Path("sentiment-lstm").exists()


# ---- predict ---------------------------------------------------------------------------------


def test_predictions_that_cannot_be(tmp_path: Path, capsys: Capture) -> None:
    write_table(tmp_path / "a.csv", 60)
    assert run("train", "sentiment", "--data", "a.csv", "--epochs", "1", "--output", "m",
               "--model", "cnn", *SMALL["cnn"], "--max-length", "16") == 0  # fmt: skip
    long = "the film is boring " * 500
    assert run("predict", long, "--model", "m") == 0  # truncated
    (tmp_path / "a.png").write_bytes(b"x")
    for text in ("", "  \n"):
        assert "predict: the text is empty" in error_of(capsys, "predict", text, "--model", "m")
    assert "no token that the model knows" in error_of(capsys, "predict", "\x00", "--model", "m")
    assert "a.png: a picture, but the model m reads text" in error_of(
        capsys, "predict", "a.png", "--model", "m"
    )
    assert "none: there is no such model folder" in error_of(
        capsys, "predict", "a good film", "--model", "none"
    )
    assert "CNN makes no text" in error_of(capsys, "generate", "m")
    whole = Path("m/model.safetensors").read_bytes()
    Path("m/model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "truncated" in error_of(capsys, "predict", "a good film", "--model", "m")
    Path("m/tokenizer.json").unlink()
    Path("m/model.safetensors").write_bytes(whole)
    assert "m: has no tokenizer" in error_of(capsys, "predict", "a good film", "--model", "m")
    Path("m/config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    assert "LlamaForCausalLM" in error_of(capsys, "predict", "a good film", "--model", "m")


# ---- language models -------------------------------------------------------------------------

SMALL_LM = {
    "gpt": ("--config", "n_embd=32", "--config", "n_layer=1", "--config", "n_head=2"),
    "lstm": ("--config", "hidden_size=48", "--config", "embedding_dim=16"),
}


@pytest.mark.parametrize("model", SMALL_LM)
def test_language_model(model: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "verse.txt").write_text(tiny_shakespeare()[:20_000])
    options = ("--data", "verse.txt", "--tokenizer", "characters", "--max-length", "32")
    options += ("--epochs", "4", "--model", model, "--lr", "0.01", "--batch-size", "8")
    options += SMALL_LM[model]
    assert run("train", "lm", *options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"training {model} \(\d+ parameters\) on cpu, 18000 tokens", lines[0])
    for part in ("loss", "tokens/s", "valid loss", "perplexity"):
        assert part in lines[1]
    assert lines[5] == f"model saved to lm-{model}"
    found = re.fullmatch(r"validation loss (\d\.\d{4})  perplexity (\d+\.\d{4})", lines[6])
    assert found is not None
    # Guessing letters by their frequency alone reaches 3.3 of log 56 = 4.0.
    assert float(found[1]) < 2.9
    assert math.isclose(math.exp(float(found[1])), float(found[2]), rel_tol=1e-3)
    folder = f"lm-{model}"
    common = ("generate", folder, "--prompt", "First:\n", "--tokens", "50")
    assert run(*common) == 0
    text = capsys.readouterr().out
    assert text.startswith("First:\n") and len(text) == 7 + 50 + 1
    assert run(*common) == 0 and capsys.readouterr().out == text
    assert run(*common, "--seed", "1") == 0 and capsys.readouterr().out != text
    greedy = [generate(folder, "The ", tokens=20, temperature=0, seed=s) for s in (0, 1)]
    assert greedy[0] == greedy[1] == generate(folder, "The ", tokens=20, top_k=1)
    told: list[str] = []
    assert generate(folder, "The ", tokens=60, write=told.append) == "".join(told)
    assert told[0] == "The " and len("".join(told)) == 64  # longer than the model's window


def test_language_model_of_pieces(tmp_path: Path, capsys: Capture) -> None:
    """Byte pairs: a token may be a part of a letter; text comes out in whole letters."""
    (tmp_path / "a.txt").write_text("日本語とñandú. " * 300, encoding="utf-8")
    options = ("--data", "a.txt", "--vocab-size", "262", "--max-length", "16", "--epochs", "1")
    assert run("train", "lm", *options, *SMALL_LM["gpt"], "--output", "m") == 0
    capsys.readouterr()
    told: list[str] = []
    text = generate("m", "日本", tokens=40, write=told.append)
    assert "".join(told) == text and text.startswith("日本")
    assert generate("m", "", tokens=3)  # after the token that begins texts
    assert AutoTokenizer.from_pretrained("m").vocab_size == 262


def test_language_models_that_cannot_be(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "short.txt").write_text("abcd" * 8)
    (tmp_path / "bad.txt").write_bytes(b"text \xff\xfe")
    cases = [
        (("--data", "none.txt"), "none.txt: there is no such file, nor a data set of that name"),
        (("--data", "bad.txt"), "not utf-8: byte 0xff at position 5"),
        (("--data", "wikitext2"), "WikiText-2: no wiki.train.tokens"),
        (("--data", "short.txt", "--tokenizer", "characters"), "fewer than one run of 128"),
        (("--model", "llama"), "train lm: there is no recipe of a model 'llama'"),
    ]
    for options, text in cases:
        assert text in error_of(capsys, "train", "lm", *options)
    (tmp_path / "a.txt").write_text("abcd\n" * 400)
    options = ("--data", "a.txt", "--tokenizer", "characters", "--max-length", "16")
    assert run("train", "lm", *options, "--epochs", "1", *SMALL_LM["gpt"], "--output", "m") == 0
    capsys.readouterr()
    cases = [
        (("m", "--prompt", ""), "generate: the prompt is empty"),
        (("m", "--prompt", "abé"), "the character 'é' is not among the 5 it knows"),
        (("m", "--temperature", "-1"), "'-1' is not a number of at least 0"),
        (("m", "--top-p", "0"), "'0' is not a number above 0 and at most 1"),
        (("none",), "none: there is no such model folder"),
    ]
    for options, text in cases:
        assert text in error_of(capsys, "generate", *options)
    with pytest.raises(ArgumentError, match="tokens = 0, temperature = 1, top_k = 0, top_p = 1"):
        generate("m", "a", tokens=0)
