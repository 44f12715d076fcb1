"""The jobs `gpugrad pretrain bert` and `gpugrad finetune bert`, on small texts."""

from __future__ import annotations

import json
import re
from pathlib import Path

from text_commands import ACCURACY, Capture, error_of, in_tmp, run  # noqa: F401 (a fixture)
from text_files import corpus, sentences, write_table

import gpugrad as gg
from gpugrad import models
from gpugrad.train.predict_text import predict_text

TINY = ("--config", "hidden_size=32", "--config", "intermediate_size=64", "--max-length", "64")


def test_pretrain_and_finetune(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "corpus.txt").write_text(corpus(80), encoding="utf-8")
    write_table(tmp_path / "a.csv", 400)
    options = ("--corpus", "corpus.txt", "--epochs", "6", "--lr", "0.005", *TINY)
    assert run("pretrain", "bert", *options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"pre-training bert \(\d+ parameters\) on cpu, \d+ pairs of \d+ tok", lines[0])
    losses = [float(re.findall(r"masked loss (\d\.\d+)", line)[0]) for line in lines[1:7]]
    assert losses[-1] < losses[0] - 0.5
    assert lines[7] == "model saved to pretrained-bert"
    assert re.fullmatch(
        r"masked-language loss \d\.\d{4}  next-sentence accuracy \d+\.\d\d %", lines[8]
    )
    config = json.loads(Path("pretrained-bert", "config.json").read_text())
    assert config["architectures"] == ["BertForPreTraining"] and config["model_type"] == "bert"
    common = ("finetune", "bert", "--data", "a.csv", "--epochs", "4", "--batch-size", "8")
    common += ("--lr", "0.003")
    assert run(*common) == 0
    out = capsys.readouterr().out
    assert out.startswith("parameters of pretrained-bert, with a new head for 2 classes\n")
    assert float(ACCURACY.findall(out)[-1]) > 90
    saved = json.loads(Path("finetuned-bert", "training.json").read_text())["options"]
    assert saved["max_length"] == 64 and saved["pretrained"] == "pretrained-bert"
    assert predict_text("the film is superb .", "finetuned-bert", "cpu")[0][0] == "pos"
    assert run(*common, "--from-scratch", "--output", "scratch") == 0
    assert "parameters of" not in capsys.readouterr().out.splitlines()[0]
    before, after = (
        models.BertModel.from_pretrained(folder) for folder in ("pretrained-bert", "scratch")
    )
    assert run(*common, "--reinit-layers", "1", "--lr", "1e-9", "--output", "renewed") == 0
    renewed = models.BertModel.from_pretrained("renewed").state_dict()
    moved = {
        ".".join(name.split(".")[:3]) if "layer." in name else name.split(".")[0]
        for name, value in before.state_dict().items()
        if value.ndim == 2 and not gg.allclose(value, renewed[name], atol=1e-3)
    }
    assert moved == {"encoder.layer.1", "pooler"}
    text = "--reinit-layers 3: the model has 2 layers.\n  --from-scratch"
    assert text in error_of(capsys, *common, "--reinit-layers", "3")
    same = before.state_dict()["embeddings.word_embeddings.weight"]
    other = after.state_dict()["embeddings.word_embeddings.weight"]
    assert same.shape == other.shape and not gg.allclose(same, other, atol=0.01)


def test_going_on_from_a_model(tmp_path: Path, capsys: Capture) -> None:
    """On a task's texts without labels: then few labels do, which from scratch do not."""
    (tmp_path / "corpus.txt").write_text(corpus(80), encoding="utf-8")
    texts = "\n".join(sentences(400, seed=1)[0])
    (tmp_path / "texts.csv").write_text(f"text\n{texts}\n", encoding="utf-8")
    write_table(tmp_path / "few.csv", 24, seed=2)
    write_table(tmp_path / "test.csv", 200, seed=3)
    assert (
        run("pretrain", "bert", "--corpus", "corpus.txt", "--epochs", "1", "--lr", "0.002", *TINY)
        == 0
    )
    capsys.readouterr()
    assert run("pretrain", "bert", "--pretrained", "pretrained-bert", "--corpus", "texts.csv",
               "--epochs", "6", "--lr", "0.005", "--batch-size", "16") == 0  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "parameters of pretrained-bert"
    assert "380 pairs of" in lines[1]  # each text a document, each twentieth held out
    assert "model saved to adapted-bert" in lines
    files = [Path(f, "tokenizer.json").read_bytes() for f in ("pretrained-bert", "adapted-bert")]
    assert files[0] == files[1]
    assert run("pretrain", "bert", "--pretrained", "pretrained-bert", "--corpus", "texts.csv",
               "--epochs", "1", "--lr", "1e-9", "--output", "same-bert") == 0  # fmt: skip
    before, after = (
        models.BertForPreTraining.from_pretrained(folder).state_dict()
        for folder in ("pretrained-bert", "same-bert")
    )
    assert all(gg.allclose(before[name], after[name], atol=1e-6) for name in before)
    common = ("finetune", "bert", "--data", "few.csv", "--test", "test.csv", "--epochs", "12",
              "--batch-size", "4", "--lr", "0.001", "--pretrained", "adapted-bert")  # fmt: skip
    reached = []
    for more in ((), ("--from-scratch",)):
        assert run(*common, *more) == 0
        reached.append(float(ACCURACY.findall(capsys.readouterr().out)[-1]))
    assert reached[0] > reached[1] + 10, reached


def test_bert_that_cannot_be(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "few.txt").write_text("One sentence here.\n\nAnother one there.\n")
    (tmp_path / "many.txt").write_text(corpus(80), encoding="utf-8")
    (tmp_path / "empty.txt").write_text("")
    write_table(tmp_path / "a.csv", 40)
    write_table(tmp_path / "few.csv", 30)
    models.BertConfig(max_position_embeddings=32).save_pretrained("own")
    own = ("--pretrained", "own")
    cases = [
        (("pretrain", "bert", "--corpus", "none.txt"), "none.txt: there is no such file.\n  --cor"),
        (("pretrain", "bert", "--corpus", "few.txt"), "few.txt: has fewer than 40 documents"),
        (("pretrain", "bert", "--corpus", "empty.txt"), "empty.txt: the file is empty"),
        (("pretrain", "bert"), "required: --corpus"),
        (("pretrain", "bert", "--corpus", "sst2"), "SST-2: no train.tsv"),
        (("pretrain", "bert", "--corpus", "few.csv"), "few.csv: has fewer than 40 documents"),
        (("pretrain", "bert", "--corpus", "a.csv", *own, "--output", "own"), "would be lost"),
        (
            ("pretrain", "bert", "--corpus", "a.csv", *own, "--max-length", "99"),
            "own has 32 positions",
        ),
        (("pretrain", "bert", "--corpus", "many.txt", "--tokenizer", "bpe"), "has no cls_token"),
        (("finetune", "bert", "--data", "a.csv"), "pretrained-bert"),
        (("finetune", "bert", "--data", "a.csv", *own, "--output", "own"), "would be lost"),
        (
            ("finetune", "bert", "--data", "a.csv", *own, "--max-length", "99"),
            "own has 32 positions",
        ),
        (
            ("finetune", "bert", "--data", "a.csv", "--reinit-layers", "1", "--from-scratch"),
            "--from-scratch makes all parameters anew, --reinit-layers some",
        ),
    ]
    for options, text in cases:
        assert text in error_of(capsys, *options)
