"""Text models: shapes, padding, losses, files, directories, generation, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import models

VOCABULARY = 30
BERT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 12,
}
GPT2: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 12,
    "initializer_range": 0.3,
}
TRANSFORMER = {"hidden_size": 16, "num_heads": 4, "intermediate_size": 32}
CLASSIFIERS: list[tuple[str, dict[str, Any]]] = [
    ("lstm_classifier", {}),
    ("lstm_classifier", {"num_labels": 1, "embedding_dim": 10, "hidden_size": 10}),
    ("lstm_classifier", {"bidirectional": True, "num_layers": 2, "dropout": 0.1}),
    ("lstm_classifier", {"pooling": "mean", "num_labels": 3}),
    ("gru_classifier", {"pooling": "max"}),
    ("gru_classifier", {"bidirectional": True, "pooling": "mean"}),
    ("rnn_classifier", {}),
    ("text_cnn", {"num_filters": 6}),
    ("text_cnn", {"num_filters": 6, "kernel_sizes": [2], "num_labels": 1}),
    ("transformer_classifier", TRANSFORMER),
    ("transformer_classifier", {**TRANSFORMER, "pooling": "first"}),
    ("bert_for_sequence_classification", {**BERT, "num_labels": 3}),
]
TEXTS = np.array([[5, 6, 7, 8, 9, 1], [4, 3, 9, 0, 0, 0], [11, 2, 3, 5, 0, 0]])
MASK = (TEXTS > 0).astype(np.int64)


def classifier(name: str, config: dict[str, Any]) -> Any:
    given = {} if name.startswith("bert") else {"vocab_size": VOCABULARY}
    return models.create(name, **given, **config).eval()


def ids(case: tuple[str, dict[str, Any]]) -> str:
    return "-".join([case[0], *map(str, case[1].values())])


@pytest.mark.parametrize(("name", "config"), CLASSIFIERS, ids=map(ids, CLASSIFIERS))
def test_padding_does_not_count(name: str, config: dict[str, Any]) -> None:
    """A text alone, and the same text padded beside longer ones, even with other tokens as
    padding: equal but for rounding of sums in another order, 2^-24 times some tens of terms."""
    model = classifier(name, config)
    noise = np.where(MASK == 1, TEXTS, 17)
    with gg.no_grad():
        found = model(gg.tensor(noise), gg.tensor(MASK)).numpy()
        for row, text in enumerate(TEXTS):
            alone = model(gg.tensor(text[None, : MASK[row].sum()])).numpy()
            np.testing.assert_allclose(found[row], alone[0], rtol=0, atol=2**-18)


@pytest.mark.parametrize(("name", "config"), CLASSIFIERS, ids=map(ids, CLASSIFIERS))
def test_classifier_learns(name: str, config: dict[str, Any]) -> None:
    """Every parameter gets a gradient, and the loss of three texts falls by half in 60 steps."""
    model = classifier(name, config).train()
    classes = config.get("num_labels", 2)
    batch = {
        "input_ids": gg.tensor(TEXTS),
        "attention_mask": gg.tensor(MASK),
        "labels": gg.tensor([0, 1, max(classes - 1, 1)]),
    }
    if name.startswith("bert"):
        batch["token_type_ids"] = gg.zeros(3, 6, dtype=gg.int64)
    optimizer = gg.optim.Adam(model.parameters(), lr=0.005)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        output = model(**batch)
        output.loss.backward()
        assert [k for k, p in model.named_parameters() if p.grad is None] == []
        optimizer.step()
        losses.append(output.loss.item())
    assert output.logits.shape == (3, classes)
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


@pytest.mark.parametrize(("name", "config"), CLASSIFIERS, ids=map(ids, CLASSIFIERS))
def test_files(name: str, config: dict[str, Any], tmp_path: Path) -> None:
    """One file, and a directory that names its class, give the same answers."""
    count = max(config.get("num_labels", 2), 2)
    named = {**config, "id2label": {i: f"class {i}" for i in range(count)}}
    if name.startswith("bert"):
        named.pop("num_labels")
    model = classifier(name, named)
    x = gg.tensor(TEXTS)
    exact = model(x).detach().numpy()
    models.save_model(tmp_path / "m.safetensors", model)
    model.save_pretrained(tmp_path / "d")
    assert models.is_pretrained(tmp_path / "d")
    again = models.load_pretrained(tmp_path / "d")
    assert type(again) is type(model)
    assert again.id2label == named["id2label"]  # type: ignore[attr-defined]
    for loaded in (models.load_model(tmp_path / "m.safetensors").model, again):
        assert not loaded.training
        np.testing.assert_array_equal(loaded(x).detach().numpy(), exact)


def test_both_directions_are_read() -> None:
    """Forwards the output at the last token, backwards that at the first."""
    model = classifier("gru_classifier", {"bidirectional": True, "hidden_size": 5})
    x = gg.tensor(TEXTS)
    y, _ = model.rnn(model.embedding(x))
    exact = model.fc(gg.cat([y[:, -1, :5], y[:, 0, 5:]], 1)).detach().numpy()
    np.testing.assert_allclose(model(x).detach().numpy(), exact, rtol=0, atol=2**-20)


def test_lengths_instead_of_a_mask() -> None:
    model = classifier("lstm_classifier", {})
    x, mask = gg.tensor(TEXTS), gg.tensor(MASK)
    np.testing.assert_array_equal(
        model(x, lengths=mask.sum(1)).detach().numpy(), model(x, mask).detach().numpy()
    )


def test_logits_are_found_by_both_names() -> None:
    model = classifier("bert_for_sequence_classification", BERT)
    logits = model(gg.tensor(TEXTS))
    assert logits.logits is logits
    assert logits.loss is None
    output = model(gg.tensor(TEXTS), labels=gg.tensor([0, 1, 0]))
    loss, second = output
    assert (loss, second) == (output["loss"], output[1])
    assert output.keys() == ("loss", "logits")
    with pytest.raises(AttributeError, match="ClassifierOutput has loss, logits; no 'logit'"):
        output.logit  # noqa: B018


# ---- BERT --------------------------------------------------------------------------------------


def test_bert_names() -> None:
    """Of the published files; their shapes and values are compared in tests/parity."""
    state = models.BertForPreTraining(**BERT).state_dict()
    layer = "bert.encoder.layer.1"
    for name in (
        "bert.embeddings.LayerNorm.weight",
        f"{layer}.attention.self.query.weight",
        f"{layer}.attention.output.dense.bias",
        f"{layer}.intermediate.dense.weight",
        f"{layer}.output.LayerNorm.bias",
        "bert.pooler.dense.weight",
        "cls.predictions.transform.LayerNorm.weight",
        "cls.predictions.bias",
        "cls.predictions.decoder.weight",
        "cls.seq_relationship.weight",
    ):
        assert name in state


def test_initial_values() -> None:
    gg.manual_seed(0)
    model = models.BertForPreTraining(**{**BERT, "hidden_size": 64, "vocab_size": 1000})
    for name, parameter in model.named_parameters():
        value = parameter.detach().numpy()
        if name.endswith("bias"):
            assert not value.any()
        elif "LayerNorm" in name:
            assert (value == 1).all()
        else:  # the deviation of n draws is known to 1 / sqrt(2 n); five times that is granted
            assert abs(value.std() / 0.02 - 1) < 5 / (2 * value.size) ** 0.5 + 1e-3, name
    table = model.bert.embeddings.word_embeddings.weight
    assert not table[0].detach().numpy().any()
    assert model.cls.predictions.decoder.weight is table
    gpt = models.GPT2LMHeadModel(**{**GPT2, "n_embd": 64, "initializer_range": 0.02})
    found = gpt.transformer.h[0].mlp.c_proj.weight.detach().numpy()
    assert abs(found.std() / (0.02 / 2) - 1) < 5 / (2 * found.size) ** 0.5
    assert gpt.lm_head.weight is gpt.transformer.wte.weight


def test_pretraining_outputs() -> None:
    """Unlabelled: both logits. Labelled: the head runs where there is something to guess."""
    model = models.BertForPreTraining(**BERT).eval()
    x = gg.tensor(TEXTS)
    mlm, nsp = model(x)
    assert (mlm.shape, nsp.shape) == ((3, 6, VOCABULARY), (3, 2))
    labels = np.full_like(TEXTS, -100)
    labels[0, 2], labels[2, 1] = 7, 9
    output = model(x, labels=gg.tensor(labels), next_sentence_label=gg.tensor([0, 1, 1]))
    rows = gg.stack([mlm[0, 2], mlm[2, 1]])
    exact = gg.nn.functional.cross_entropy(rows, gg.tensor([7, 9])).item()
    assert output.mlm_loss.item() == pytest.approx(exact, rel=1e-5)
    assert output.loss.item() == pytest.approx(exact + output.nsp_loss.item(), rel=1e-5)
    np.testing.assert_array_equal(output.prediction_logits.detach().numpy(), mlm.detach().numpy())
    alone = model(x, next_sentence_label=gg.tensor([0, 1, 1]))
    assert alone.mlm_loss is None
    assert alone.loss.item() == pytest.approx(output.nsp_loss.item())


def test_configuration(tmp_path: Path) -> None:
    """Fields and names of classes survive a directory; unknown fields are kept."""
    config = models.BertConfig.from_dict(
        {**BERT, "num_labels": 3, "my_field": [1]}, hidden_act="relu"
    )
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    assert (config.hidden_act, config.extra) == ("relu", {"my_field": [1]})
    config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["my_field"] == [1]
    assert models.AutoConfig.from_pretrained(tmp_path) == config
    again = models.BertConfig.from_pretrained(tmp_path, id2label={0: "bad", 1: "good"})
    assert (again.num_labels, again.label2id) == (2, {"bad": 0, "good": 1})
    assert again.copy(num_labels=4).id2label[3] == "LABEL_3"
    gpt = models.GPT2Config(n_layer=3, n_positions=7)
    assert (gpt.num_hidden_layers, gpt.max_position_embeddings) == (3, 7)
    assert (gpt.hidden_size, gpt.num_attention_heads) == (768, 12)


PROBABILITIES = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")


@pytest.mark.parametrize("one", PROBABILITIES)
def test_dropout_is_on_in_training_only(one: str) -> None:
    """Each of the probabilities, the others being 0."""
    config = {**BERT, **dict.fromkeys(PROBABILITIES, 0.0), one: 0.5}
    model = models.BertForSequenceClassification(**config)
    x = gg.tensor(TEXTS)

    def answers() -> np.ndarray:
        return model(x).detach().numpy()

    assert (answers() != answers()).any()
    model.eval()
    np.testing.assert_array_equal(answers(), answers())


def test_masks_of_each_query() -> None:
    """A mask (n, t, t): the same as (n, t) where all queries see alike; under a triangle, what is
    said of a token does not depend on those after it."""
    model = models.BertModel(**BERT, initializer_range=0.3).eval()
    x, mask = gg.tensor(TEXTS), gg.tensor(MASK)
    wide = mask.unsqueeze(1).expand(3, 6, 6)
    first, second = (model(x, m).last_hidden_state.detach().numpy() for m in (mask, wide))
    np.testing.assert_allclose(first, second, rtol=0, atol=2**-18)
    triangle = gg.ones(3, 6, 6, dtype=gg.int64).tril()
    changed = np.where(np.arange(6) < 4, TEXTS, 17)
    first, second = (
        model(gg.tensor(t), triangle).last_hidden_state.detach().numpy() for t in (TEXTS, changed)
    )
    np.testing.assert_allclose(first[:, :4], second[:, :4], rtol=0, atol=2**-18)
    assert np.abs(first[:, 4:] - second[:, 4:]).min(2).max() > 1e-3


# ---- on the kernels ------------------------------------------------------------------------------

PAIRS = np.array([0, 1, 1])
TOKENS = np.where(TEXTS > 4, TEXTS, -100)
ON_KERNELS: dict[str, tuple[dict[str, Any], dict[str, np.ndarray]]] = {
    "bert_for_pretraining": (BERT, {"labels": TOKENS, "next_sentence_label": PAIRS}),
    "gpt2_lm": (
        {"vocab_size": 30, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 12},
        {"labels": TOKENS},
    ),
    "lstm_classifier": ({"vocab_size": 30, "embedding_dim": 8, "hidden_size": 8,
                         "bidirectional": True, "num_layers": 2}, {"labels": PAIRS}),
    "gru_classifier": ({"vocab_size": 30, "embedding_dim": 8, "hidden_size": 12,
                        "pooling": "max"}, {"labels": PAIRS}),
    "transformer_classifier": ({"vocab_size": 30, **TRANSFORMER}, {"labels": PAIRS}),
    "text_cnn": ({"vocab_size": 30, "num_filters": 6}, {"labels": PAIRS}),
    "seq2seq": ({"source_vocab_size": 30, "target_vocab_size": 30, "embedding_dim": 8,
                 "hidden_size": 8}, {"labels": TOKENS}),
}  # fmt: skip


@pytest.mark.parametrize("name", ON_KERNELS)
def test_on_the_kernels(name: str, kernel_device: str) -> None:
    """The CUDA kernels give the CPU's losses and gradients, in float64: apart by rounding, 2^-53,
    times less than 1e5 for the depth (as in test_models.py)."""
    config, labels = ON_KERNELS[name]
    found = []
    for device in ("cpu", kernel_device):
        gg.manual_seed(0)
        model = models.create(name, **config).eval().to(gg.float64).to(device)
        given = {"input_ids": TEXTS, "attention_mask": MASK, **labels}
        output = model(**{key: gg.tensor(a, device=device) for key, a in given.items()})
        output.loss.backward()
        found.append({k: p.grad.numpy() for k, p in model.named_parameters()})
        found[-1]["loss"] = output.loss.detach().numpy()
        if hasattr(model, "generate"):
            text = gg.tensor(TEXTS[:, :3], device=device)
            found[-1]["text"] = model.generate(text, max_new_tokens=4).numpy()
    exact, ours = found
    scale = float(np.median([np.abs(each).max() for k, each in exact.items() if k != "text"]))
    for key, value in exact.items():
        atol = 0 if key == "text" else 1e5 * 2**-53 * max(scale, np.abs(value).max())
        np.testing.assert_allclose(ours[key], value, rtol=0, atol=atol, err_msg=key)
