"""BERT and GPT-2 in both libraries, with equal random weights: the cases of the parity tests."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpugrad import models

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of optional packages that transformers does not find
    import transformers

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)

VOCABULARY, TOKENS, BATCH = 40, 10, 4
BERT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 16,
    "initializer_range": 0.2,  # so that attention is not uniform and logits are no noise
}
GPT2 = {
    "vocab_size": VOCABULARY,
    "n_embd": 24,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 16,
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


@dataclass(frozen=True)
class TextCase:
    """A class of both libraries, its configuration, and the arguments of a call.

    inputs: of attention_mask, token_type_ids, position_ids those that are passed. labels: the
    arguments that are targets, and their kind.
    """

    cls: str
    config: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ("attention_mask",)
    labels: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.cls, *map(str, self.config.values()), *(i[0] for i in self.inputs)])


MASK_TYPES = ("attention_mask", "token_type_ids")
BOTH = {"labels": "masked", "next_sentence_label": "pair"}
SPANS = {"start_positions": "position", "end_positions": "position"}
CASES = [
    TextCase("BertForPreTraining", {}, MASK_TYPES, BOTH),
    TextCase("BertForPreTraining", {"tie_word_embeddings": False}, (), BOTH),
    TextCase("BertForMaskedLM", {"hidden_act": "relu"}, labels={"labels": "masked"}),
    TextCase("BertForMaskedLM", {"pad_token_id": None, "layer_norm_eps": 1e-3}, (),
             {"labels": "masked"}),
    TextCase("BertForSequenceClassification", {"num_labels": 3}, MASK_TYPES, {"labels": "class"}),
    TextCase("BertForSequenceClassification", {"num_labels": 1}, labels={"labels": "number"}),
    TextCase("BertForSequenceClassification", {"num_labels": 3, "hidden_act": "gelu_new"},
             ("position_ids",), {"labels": "several"}),
    TextCase("BertForTokenClassification", {"num_labels": 5}, MASK_TYPES, {"labels": "tag"}),
    TextCase("BertForQuestionAnswering", {"num_attention_heads": 1}, MASK_TYPES, SPANS),
    TextCase("GPT2LMHeadModel", {}, (), {"labels": "tokens"}),
    TextCase("GPT2LMHeadModel", {"activation_function": "relu", "n_inner": 32},
             labels={"labels": "tokens"}),
    TextCase("GPT2LMHeadModel", {"scale_attn_by_inverse_layer_idx": True}, MASK_TYPES,
             {"labels": "tokens"}),
    TextCase("GPT2LMHeadModel", {"tie_word_embeddings": False, "scale_attn_weights": False},
             ("position_ids",), {"labels": "tokens"}),
]  # fmt: skip


def make(case: TextCase, folder: Path, dropout: float = 0.0) -> tuple[Any, Any]:
    """(ours, theirs), in float32 and eval mode: theirs is drawn, written and read by ours."""
    torch.manual_seed(0)
    names = ["hidden_dropout_prob", "attention_probs_dropout_prob"]
    if case.cls.startswith("GPT2"):
        names = ["resid_pdrop", "embd_pdrop", "attn_pdrop"]
    base = GPT2 if case.cls.startswith("GPT2") else BERT
    kind = transformers.GPT2Config if case.cls.startswith("GPT2") else transformers.BertConfig
    config = kind(**{**base, **case.config, **dict.fromkeys(names, dropout)})
    theirs = getattr(transformers, case.cls)(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.ndim == 1:  # biases and norms start as 0 and 1: any mistake would pass
                parameter.add_(torch.randn_like(parameter) * 0.1)
    theirs.save_pretrained(folder)
    return getattr(models, case.cls).from_pretrained(folder), theirs


def batch(case: TextCase, seed: int = 0) -> dict[str, np.ndarray]:
    """The arguments of one call: texts of several lengths, padded on the right."""
    rng = np.random.default_rng(seed)
    lengths = np.array([TOKENS, TOKENS - 3, TOKENS - 1, 4])
    real = np.arange(TOKENS) < lengths[:, None]
    ids = rng.integers(3, VOCABULARY, (BATCH, TOKENS))
    masked = "attention_mask" in case.inputs
    ids = np.where(real, ids, 0) if masked else ids
    given = {
        "attention_mask": real.astype(np.int64),
        "token_type_ids": (np.arange(TOKENS) >= rng.integers(2, 4, (BATCH, 1))).astype(np.int64),
        "position_ids": rng.permutation(16)[:TOKENS][None].repeat(BATCH, 0),
    }
    counted = rng.random((BATCH, TOKENS)) < 0.4
    classes = case.config.get("num_labels", 2)
    targets = {
        "masked": np.where(counted & real, ids, -100),
        "tokens": np.where(real, ids, -100) if masked else ids,
        "pair": rng.integers(0, 2, BATCH),
        "class": rng.integers(0, classes, BATCH),
        "number": rng.random(BATCH).astype(np.float32),
        "several": rng.integers(0, 2, (BATCH, classes)).astype(np.float32),
        "tag": np.where(real, rng.integers(0, classes, (BATCH, TOKENS)), -100),
        "position": rng.integers(0, TOKENS + 2, BATCH),  # beyond the end: does not count
    }
    chosen = {"input_ids": ids, **{name: given[name] for name in case.inputs}}
    return chosen | {name: targets[kind] for name, kind in case.labels.items()}


def tensors(library: Any, arrays: dict[str, np.ndarray], dtype: str) -> dict[str, Any]:
    """The arguments as tensors; floating targets in the model's dtype."""
    found = {name: library.tensor(array) for name, array in arrays.items()}
    kind = getattr(library, dtype)
    return {k: v.to(kind) if arrays[k].dtype.kind == "f" else v for k, v in found.items()}


RESULTS = ("logits", "prediction_logits", "seq_relationship_logits", "start_logits", "end_logits")


def results(library: Any, case: TextCase, model: Any, dtype: str) -> dict[str, np.ndarray]:
    """Loss, all logits, hidden states and all gradients of one call, by name."""
    model = model.to(getattr(library, dtype))
    arrays = batch(case)
    output = model(**tensors(library, arrays, dtype))
    loss = output.loss
    if library is torch and case.cls.startswith("GPT2"):  # theirs is in float32, always
        shifted = torch.tensor(arrays["labels"][:, 1:]).flatten()
        loss = torch.nn.functional.cross_entropy(output.logits[:, :-1].flatten(0, 1), shifted)
    loss.backward()
    found = {"loss": loss}
    found |= {name: output[name] for name in RESULTS if name in output.keys()}  # noqa: SIM118
    base = model.transformer if case.cls.startswith("GPT2") else model.bert
    inputs = {k: v for k, v in arrays.items() if k not in case.labels}
    states = base(**tensors(library, inputs, dtype), output_hidden_states=True)
    found |= {f"hidden state {i}": h for i, h in enumerate(states.hidden_states)}
    if states.last_hidden_state is not None:
        found["last hidden state"] = states.last_hidden_state
    found |= {f"gradient of {k}": p.grad for k, p in model.named_parameters() if p.grad is not None}
    return {k: v.detach().numpy().astype(float) for k, v in found.items()}
