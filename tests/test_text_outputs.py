"""What text models return: named results, some of them computed when they are first read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import models
from gpugrad.errors import ArgumentError

IDS = np.arange(12).reshape(2, 6) % 11


def masked_lm() -> Any:
    config = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return models.BertForMaskedLM(vocab_size=11, intermediate_size=16, **config)


MODELS = {
    "bert": masked_lm,
    "gpt2": lambda: models.GPT2LMHeadModel(
        vocab_size=11, n_positions=8, n_embd=16, n_layer=1, n_head=2
    ),
    "lstm": lambda: models.LSTMLanguageModel(11, embedding_dim=8, hidden_size=8, num_layers=1),
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    gg.manual_seed(0)
    return MODELS[request.param]().eval()


def test_logits_of_a_labelled_call_are_those_of_a_plain_one(model: Any) -> None:
    ids = gg.tensor(IDS)
    output = model(ids, labels=ids)
    assert gg.allclose(output.logits, model(ids))
    assert output.logits.requires_grad
    with gg.no_grad():
        output = model(ids, labels=ids)
    assert not output.logits.requires_grad
    assert output.logits.numpy().shape == (2, 6, 11)


def test_logits_after_a_step_are_refused(model: Any) -> None:
    ids = gg.tensor(IDS)
    output = model(ids, labels=ids)
    output.loss.backward()
    gg.optim.SGD(model.parameters(), lr=0.1).step()
    with pytest.raises(ArgumentError, match=r"logits: .*parameters have changed since"):
        output.logits  # noqa: B018 - reading it computes it


def test_results_as_a_mapping_and_as_a_tuple(model: Any) -> None:
    ids = gg.tensor(IDS)
    output = model(ids, labels=ids)
    assert "loss" in output and "hidden_states" not in output
    assert output.get("loss") is output["loss"] is output[0] is output.loss
    assert output.get("hidden_states") is None
    assert [name for name, _ in output.items()] == list(output.keys())
    assert len(output.values()) == len(output) == len(tuple(output))
    plain = model(ids)
    assert plain.logits is plain and plain["logits"] is plain
    assert plain[0].shape == (6, 11)  # a tensor like any other
