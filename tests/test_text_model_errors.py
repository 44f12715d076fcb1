"""Bad input of text models: one clear error each."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import models
from gpugrad.errors import (
    ArgumentError,
    DataError,
    DTypeError,
    GpugradError,
    IndexOutOfRangeError,
    ShapeError,
)
from gpugrad.models import weights

BERT: dict[str, Any] = {
    "vocab_size": 30,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 12,
}
GPT2: dict[str, Any] = {"vocab_size": 30, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 12}


def tokens(*shape: int) -> gg.Tensor:
    return gg.ones(*shape, dtype=gg.int64)


def bert() -> Any:
    return models.BertModel(**BERT)


def gpt() -> Any:
    return models.GPT2LMHeadModel(**GPT2).eval()


def lstm() -> Any:
    return models.LSTMClassifier(30, 4, 4)


INPUTS: list[tuple[type[GpugradError], str, Callable[[], Any]]] = [
    (ShapeError, r"BertModel\(input_ids\): sequences of 13 tokens, but the model has 12 positions",
     lambda: bert()(tokens(2, 13))),
    (ShapeError, r"GPT2Model\(input_ids\): sequences of 13 tokens, but the model has 12 positions",
     lambda: gpt()(tokens(2, 13))),
    (ShapeError, "TransformerClassifier.*sequences of 9 tokens, but the model has 8 positions",
     lambda: models.TransformerClassifier(30, 8, 1, 2, 16, 0.0, 8)(tokens(1, 9))),
    (ShapeError, r"BertModel\(input_ids\): expected tokens \(n, t\), got shape \(5,\)",
     lambda: bert()(tokens(5))),
    (ShapeError, r"LSTMClassifier\(input_ids\): the texts are empty: shape \(2, 0\)",
     lambda: lstm()(tokens(2, 0))),
    (DTypeError, r"BertModel\(input_ids\): tokens are integers, got float32",
     lambda: bert()(gg.ones(2, 5))),
    (DTypeError, r"BertModel\(input_ids\): expected a Tensor, got list",
     lambda: bert()([[1, 2]])),
    (IndexOutOfRangeError, r"embedding: index 30 is not one of the 30 rows of the table",
     lambda: bert()(tokens(2, 5) * 30)),
    (IndexOutOfRangeError, r"embedding: index -1 is not one of the 30 rows of the table",
     lambda: lstm()(tokens(2, 5) * -1)),
    (IndexOutOfRangeError, r"embedding: index 2 is not one of the 2 rows of the table",
     lambda: bert()(tokens(2, 5), token_type_ids=tokens(2, 5) * 2)),
    (ShapeError, r"BertModel: attention_mask \(2, 6\) must have the shape \(2, 5\)",
     lambda: bert()(tokens(2, 5), tokens(2, 6))),
    (ShapeError, r"GPT2Model: attention_mask \(5,\) must have the shape \(2, 5\)",
     lambda: gpt()(tokens(2, 5), tokens(5))),
    (ShapeError, r"BertModel: token_type_ids \(2, 4\) must have the shape \(2, 5\) of input_ids",
     lambda: bert()(tokens(2, 5), None, tokens(2, 4))),
    (ShapeError, r"LSTMClassifier: lengths \(3,\) must be \(2,\), one for each text",
     lambda: lstm()(tokens(2, 5), lengths=tokens(3))),
    (ArgumentError, "LSTMClassifier: attention_mask has padding before a token in row 1",
     lambda: lstm()(tokens(2, 3), gg.tensor([[1, 1, 0], [0, 1, 1]]))),
    (ShapeError, r"LSTMClassifier\(labels\): shape \(3,\), expected \(2,\)",
     lambda: lstm()(tokens(2, 3), labels=tokens(3))),
    (ShapeError, r"GPT2LMHeadModel\(labels\): shape \(2, 3\), expected \(2, 4\)",
     lambda: gpt()(tokens(2, 4), labels=tokens(2, 3))),
    (ArgumentError, "generate: 4 tokens and max_new_tokens = 9 make 13, but the model has 12 pos",
     lambda: gpt().generate(tokens(1, 4), max_new_tokens=9)),
    (ArgumentError, r"generate: temperature = 0; it must be above 0. do_sample=False takes the mo",
     lambda: gpt().generate(tokens(1, 4), temperature=0, do_sample=True)),
    (ArgumentError, "generate: max_new_tokens = -1; it cannot be negative",
     lambda: gpt().generate(tokens(1, 4), max_new_tokens=-1)),
    (ArgumentError, "a prompt ends with padding in attention_mask.\n  Pad prompts on the left",
     lambda: gpt().generate(tokens(1, 3), gg.tensor([[1, 1, 0]]), 2)),
    (ShapeError, r"generate|the texts are empty", lambda: gpt().generate(tokens(1, 0))),
    (ArgumentError, r"cache keeps no gradients: call the model under gg.no_grad\(\)",
     lambda: gpt()(tokens(1, 3), use_cache=True)),
    (ArgumentError, "Seq2Seq: decoder_input_ids or labels must be given",
     lambda: models.Seq2Seq(9, 9, 4, 4)(tokens(1, 3))),
    (IndexOutOfRangeError, r"DeepFM\(categorical\): value 5 in row 1, field 1, is not one of its 4",
     lambda: models.DeepFM([3, 4])(gg.tensor([[0, 0], [2, 5]]))),
    (ShapeError, r"WideDeep\(categorical\): expected \(n, 2\), got shape \(2, 3\)",
     lambda: models.WideDeep([3, 4])(tokens(2, 3))),
    (ShapeError, r"WideDeep\(dense\): expected \(2, 3\), got None",
     lambda: models.WideDeep([3, 4], 3)(tokens(2, 2))),
    (DTypeError, r"DeepFM\(categorical\): values are integers, got float32",
     lambda: models.DeepFM([3, 4])(gg.ones(2, 2))),
]  # fmt: skip


@pytest.mark.parametrize(("error", "text", "call"), INPUTS, ids=[t[1][:40] for t in INPUTS])
def test_inputs(error: type[GpugradError], text: str, call: Callable[[], Any]) -> None:
    with pytest.raises(error, match=text):
        call()


ARGUMENTS: list[tuple[str, Callable[[], Any]]] = [
    (r"BertConfig: hidden_size = 10 is not divisible by num_attention_heads = 4",
     lambda: models.BertConfig(hidden_size=10, num_attention_heads=4)),
    (r"BertConfig: vocab_size = 0; it must be an integer of 1 or more",
     lambda: models.BertConfig(vocab_size=0)),
    (r"BertConfig: hidden_act = 'swiglu'; known are gelu, gelu_new",
     lambda: models.BertConfig(hidden_act="swiglu")),
    (r"BertConfig: is_decoder = True is not supported, only False",
     lambda: models.BertConfig(is_decoder=True)),
    (r"BertConfig: position_embedding_type = 'relative_key' is not supported, only 'absolute'",
     lambda: models.BertConfig.from_dict({"position_embedding_type": "relative_key"})),
    (r"BertConfig: num_labels = 3, but id2label names 2 classes",
     lambda: models.BertConfig(num_labels=3, id2label={0: "a", 1: "b"})),
    (r"BertConfig has no field 'hiden_size'. Did you mean 'hidden_size'\?",
     lambda: models.BertConfig().copy(hiden_size=3)),
    (r"BertModel\(config\): expected a BertConfig, got GPT2Config",
     lambda: models.BertModel(models.GPT2Config())),
    (r"GPT2Config: n_embd = 10 is not divisible by n_head = 12",
     lambda: models.GPT2Config(n_embd=10)),
    (r"LSTMClassifier: num_labels = 2 has the classes 0 to 1; id2label names \[0\]",
     lambda: models.LSTMClassifier(9, id2label={0: "a"})),
    (r"LSTMClassifier: pooling = 'sum'; known are 'last', 'mean', 'max'",
     lambda: models.LSTMClassifier(9, pooling="sum")),
    (r"TextCNN: kernel_sizes = \[\]; needs at least one width",
     lambda: models.TextCNN(9, kernel_sizes=())),
    (r"LSTMLanguageModel: tie_weights needs embedding_dim = hidden_size, got 8 and 9",
     lambda: models.LSTMLanguageModel(9, 8, 9, tie_weights=True)),
    (r"Seq2Seq: hidden_size = 7; it must be even", lambda: models.Seq2Seq(9, 9, 8, 7)),
    (r"WideDeep: crosses = \[\[0\]\]; each names two or more of the 2 fields",
     lambda: models.WideDeep([3, 4], crosses=[[0]])),
    (r"DeepFM: cardinalities = \[\]; needs the number of values of each field",
     lambda: models.DeepFM([])),
    (r"problem_type = 'ranking'; known are 'regression', 'single_label_classification'",
     lambda: models.BertForSequenceClassification(**BERT, problem_type="ranking")(
         tokens(1, 2), labels=tokens(1))),
]  # fmt: skip


@pytest.mark.parametrize(("text", "call"), ARGUMENTS, ids=[t[0][:40] for t in ARGUMENTS])
def test_arguments(text: str, call: Callable[[], Any]) -> None:
    with pytest.raises(ArgumentError, match=text):
        call()


# ---- directories -------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A directory of BertForSequenceClassification."""
    models.BertForSequenceClassification(**BERT, num_labels=3).save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def load(folder: Path, **options: Any) -> Any:
    return models.BertForSequenceClassification.from_pretrained(folder, **options)


def change(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_another_architecture(saved: Path) -> None:
    change(saved, model_type="gpt2", architectures=["GPT2LMHeadModel"])
    with pytest.raises(
        DataError,
        match=r"BertForSequenceClassification.from_pretrained\(.*: config.json is of another "
        r"architecture: model_type 'gpt2' \(GPT2LMHeadModel\), expected 'bert'",
    ):
        load(saved)
    change(saved, model_type="llama", architectures=["LlamaForCausalLM"])
    with pytest.raises(DataError, match=r"names LlamaForCausalLM \(model_type 'llama'\), which g"):
        models.load_pretrained(saved)
    with pytest.raises(DataError, match=r"AutoModel.from_pretrained.* model_type 'llama'; known"):
        models.AutoModel.from_pretrained(saved)
    with pytest.raises(DataError, match=r"AutoConfig.from_pretrained.* model_type 'llama'"):
        models.AutoConfig.from_pretrained(saved)
    with pytest.raises(DataError, match=r"BertConfig.from_pretrained\(.* is of another archite"):
        models.BertConfig.from_pretrained(saved)


def test_no_directory(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(DataError, match=r"from_pretrained\('.*nothing'\): no such folder"):
        load(tmp_path / "nothing")
    (saved / "config.json").unlink()
    with pytest.raises(DataError, match=r"no config.json in it.\n  A model directory holds"):
        load(saved)
    with pytest.raises(DataError, match="this is a file; name a folder"):
        models.BertModel(**BERT).save_pretrained(saved / "model.safetensors")


def test_no_weights(saved: Path) -> None:
    (saved / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"no model.safetensors in it.\n  Copy it there"):
        load(saved)
    (saved / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(DataError, match=r"There is pytorch_model.bin, a pickle, which can run any"):
        load(saved)
    assert not models.is_pretrained(saved)


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_truncated_weights(saved: Path, keep: int) -> None:
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    text = "the file is (empty|truncated)"
    with pytest.raises(DataError, match=rf"load\('.*model.safetensors'\): {text}"):
        load(saved)


def test_damaged_configuration(saved: Path) -> None:
    (saved / "config.json").write_text('{"model_type": "bert", ')
    with pytest.raises(DataError, match=r"config.json: not JSON: .*\n  Copy or download it again"):
        load(saved)
    (saved / "config.json").write_text("[1]")
    with pytest.raises(DataError, match=r"config.json: expected an object with fields, found list"):
        load(saved)
    (saved / "config.json").write_text('{"hidden_size": 7, "num_attention_heads": 2}')
    with pytest.raises(DataError, match=r"config.json: BertConfig: hidden_size = 7 is not divisib"):
        load(saved)


def test_other_shapes(saved: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"2 parameters differ in shape:\n    classifier.weight: the model's shape is "
        r"\(4, 8\), the file's \(3, 8\)\n    classifier.bias",
    ):
        load(saved, num_labels=4)
    with pytest.warns(UserWarning, match=r"newly initialised, .*: classifier.weight, classifier.b"):
        model = load(saved, num_labels=4, ignore_mismatched_sizes=True)
    assert model(tokens(1, 3)).shape == (1, 4)


def test_wrong_fields(saved: Path) -> None:
    with pytest.raises(ArgumentError, match=r"BertConfig has no field 'num_label'. Did you mean"):
        load(saved, num_label=4)
    own = models.LSTMClassifier(9, 4, 4)
    own.save_pretrained(saved.parent / "own")
    with pytest.raises(ArgumentError, match="LSTMClassifier has no argument 'hidden'; it has voca"):
        models.LSTMClassifier.from_pretrained(saved.parent / "own", hidden=3)


def test_weights_of_something_else(saved: Path) -> None:
    gg.save({"x": gg.ones(2)}, saved / "model.safetensors")
    with pytest.raises(DataError, match=r"none of its 1 tensors is one of BertForSequenceClass.*x"):
        load(saved)


def test_weights_that_are_not_used(saved: Path) -> None:
    """Of the base model they are told; those of another head are not."""
    state = {k: gg.tensor(v) for k, v in weights.read_weights(saved).items()}
    head = {"cls.predictions.bias": gg.ones(3)}
    extra = {"bert.encoder.layer.7.output.dense.bias": gg.ones(8), **head}
    gg.save({**state, **extra}, saved / "model.safetensors")
    text = "in the file, but not in the model: bert.encoder.layer.7.output.dense.bias$"
    with pytest.warns(UserWarning, match=text):
        load(saved)
    gg.save({**state, **head}, saved / "model.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(saved)


def shard(folder: Path) -> dict[str, Any]:
    """Split the weights into two files with an index; the index."""
    state = {k: gg.tensor(v) for k, v in weights.read_weights(folder).items()}
    files = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    where = {name: files[i % 2] for i, name in enumerate(state)}
    for file in files:
        gg.save({k: v for k, v in state.items() if where[k] == file}, folder / file)
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return index


def test_shards(saved: Path) -> None:
    exact = load(saved).state_dict()
    index = shard(saved)
    for name, value in load(saved).state_dict().items():
        np.testing.assert_array_equal(value.numpy(), exact[name].numpy())
    path = saved / "model.safetensors.index.json"
    index["weight_map"]["bert.more"] = "model-00001-of-00002.safetensors"
    path.write_text(json.dumps(index))
    with pytest.raises(
        DataError, match=r"00001-of-00002.safetensors lacks bert.more, which the in"
    ):
        load(saved)
    index["weight_map"]["bert.more"] = "../m.safetensors"
    path.write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"'../m.safetensors' is no file of this folder"):
        load(saved)
    path.write_text("{}")
    with pytest.raises(DataError, match="no weight_map from tensors to files"):
        load(saved)
    shutil.rmtree(saved)
    with pytest.raises(DataError, match="no such folder"):
        load(saved)
