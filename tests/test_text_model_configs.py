"""Configurations and arguments of from_pretrained, as programs for transformers use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import gpugrad as gg
from gpugrad import models
from gpugrad.errors import ArgumentError

BERT: dict[str, Any] = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 12,
}
Classifier = models.BertForSequenceClassification


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    Classifier(models.BertConfig(**BERT)).save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def fields(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "config.json").read_text()))


def test_number_of_labels_is_that_of_the_names(tmp_path: Path) -> None:
    config = models.BertConfig(**BERT, id2label={0: "bad", 1: "good"})
    config.num_labels = 2
    assert config.id2label == {0: "bad", 1: "good"}  # the same number keeps the names
    config.num_labels = 3
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    Classifier(config).save_pretrained(tmp_path)
    found = Classifier.from_pretrained(tmp_path)
    assert found.config.id2label == config.id2label and found.classifier.weight.shape == (3, 16)
    config.id2label = {0: "one"}
    assert config.num_labels == 1 and config.copy().num_labels == 1
    for wrong in (0, -1, True, 2.0):
        with pytest.raises(ArgumentError, match=r"BertConfig: num_labels = .*; it must be an int"):
            config.num_labels = wrong  # type: ignore[assignment]
    with pytest.raises(ArgumentError, match="num_labels = -1; it must be an integer of 1 or more"):
        models.BertConfig(**BERT, num_labels=-1)


def test_another_configuration(saved: Path) -> None:
    config = models.AutoConfig.from_pretrained(saved)
    config.num_labels = 5
    with pytest.warns(UserWarning, match="newly initialised, to be trained: classifier"):
        found = Classifier.from_pretrained(saved, config=config, ignore_mismatched_sizes=True)
    assert found.config == config and found.classifier.weight.shape == (5, 16)
    assert models.AutoModel.from_pretrained(saved, config=config).config == config
    own = models.LSTMClassifier(9, 4, 4)
    own.save_pretrained(saved.parent / "own")
    again = models.LSTMClassifier.from_pretrained(saved.parent / "own", config=own.config)
    assert again.config == own.config
    for wrong, kind in ((models.GPT2Config(), "GPT2Config"), (3, "int")):
        with pytest.raises(ArgumentError, match=f"config is a {kind}; it must be .* 'bert'"):
            Classifier.from_pretrained(saved, config=wrong)
    with pytest.raises(ArgumentError, match="hidden_act = 'none'; known are"):
        Classifier.from_pretrained(saved, config={**BERT, "hidden_act": "none"})


@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
def test_dtype_by_both_names(saved: Path, name: str) -> None:
    for value in (gg.float16, "float16"):
        found = Classifier.from_pretrained(saved, **{name: value})
        assert found.classifier.weight.dtype == gg.float16
    found.save_pretrained(saved)
    assert fields(saved)["dtype"] == "float16"
    assert Classifier.from_pretrained(saved).classifier.weight.dtype == gg.float32
    auto = Classifier.from_pretrained(saved, **{name: "auto"})
    assert auto.classifier.weight.dtype == gg.float16


def test_dtype_in_the_configuration(saved: Path) -> None:
    content = {**fields(saved), "torch_dtype": "float32"}
    (saved / "config.json").write_text(json.dumps(content))
    config = models.BertConfig.from_pretrained(saved, torch_dtype=gg.float16, dtype="torch.float16")
    assert config.extra["torch_dtype"] == config.extra["dtype"] == "float16"
    config.save_pretrained(saved.parent / "c")
    assert fields(saved.parent / "c")["torch_dtype"] == "float16"
    half = Classifier.from_pretrained(saved, torch_dtype=gg.float16)
    half.save_pretrained(saved.parent / "half")
    found = fields(saved.parent / "half")
    assert (found["dtype"], found["torch_dtype"]) == ("float16", "float16")


def test_usual_arguments(saved: Path) -> None:
    found = Classifier.from_pretrained(
        saved, num_labels=2, output_attentions=False, output_hidden_states=False
    )
    assert found.config.num_labels == 2
    with pytest.raises(ArgumentError, match=r"output_hidden_states = True is not supported, only"):
        Classifier.from_pretrained(saved, output_hidden_states=True)
