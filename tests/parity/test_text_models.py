"""BERT and GPT-2 beside transformers': states, logits, losses, gradients, training, directories."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gpugrad as gg
from gpugrad import models

pytest.importorskip("transformers", reason="`pip install '.[parity]'` adds it")
from parity.text_model_cases import (
    BERT,
    CASES,
    GPT2,
    TextCase,
    batch,
    make,
    results,
    tensors,
    transformers,
)

STEPS = 20


def errors(found: dict[str, np.ndarray], exact: dict[str, np.ndarray]) -> dict[str, float]:
    """The largest difference in each array, in its largest value (see test_models.py: what is 0 but
    for rounding, as the gradient of a key's bias, counts in the usual size)."""
    assert found.keys() == exact.keys()
    scales = {name: float(np.abs(value).max()) for name, value in exact.items()}
    least = 0.1 * float(np.median(list(scales.values())))
    return {
        name: float(np.abs(found[name] - value).max() / max(scales[name], least))
        for name, value in exact.items()
    }


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float64(case: TextCase, tmp_path: Path) -> None:
    """The same formulas: what remains is rounding, 2^-53, amplified by two layers with weights of
    0.2 and by the norms, in float32 (below) by less than 1e3; a wrong term is of order 1."""
    ours, theirs = make(case, tmp_path)
    found = results(gg, case, ours, "float64")
    exact = results(torch, case, theirs, "float64")
    assert {k: v for k, v in errors(found, exact).items() if v > 1e3 * 2**-53} == {}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32(case: TextCase, tmp_path: Path) -> None:
    """As near to float64 as transformers is, within a factor of 8, the luck of rounding; at least
    an ulp of the largest value, 2^-22, is granted."""
    ours, theirs = make(case, tmp_path)
    theirs_32 = results(torch, case, theirs, "float32")
    theirs.zero_grad()
    exact = results(torch, case, theirs, "float64")
    bound = max(2**-22, *errors(theirs_32, exact).values())
    off = errors(results(gg, case, ours, "float32"), exact)
    assert {k: v for k, v in off.items() if v > 8 * bound} == {}
    assert bound < 1e3 * 2**-24


def losses(library: Any, case: TextCase, model: Any) -> np.ndarray:
    """Of each step, by AdamW as fine-tuning uses it."""
    model.train()
    optimizer = library.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    found = []
    for step in range(STEPS):
        optimizer.zero_grad()
        output = model(**tensors(library, batch(case, step % 4), "float32"))
        output.loss.backward()
        optimizer.step()
        found.append(output.loss.item())
    return np.array(found)


TRAINED = [CASES[0], CASES[4], CASES[9], CASES[10]]


@pytest.mark.parametrize("case", TRAINED, ids=str)
def test_twenty_steps(case: TextCase, tmp_path: Path) -> None:
    """The same losses in float32, but for rounding, 2^-24, which twenty steps amplify little:
    1e-5 relative; and they fall."""
    ours, theirs = make(case, tmp_path)
    found, exact = losses(gg, case, ours), losses(torch, case, theirs)
    np.testing.assert_allclose(found, exact, rtol=1e-5)
    assert exact[-4:].mean() < exact[:4].mean()


# ---- directories -------------------------------------------------------------------------------


def logits(library: Any, case: TextCase, model: Any) -> np.ndarray:
    """The first logits of a call without labels."""
    arrays = {k: v for k, v in batch(case).items() if k not in case.labels}
    output = model(**tensors(library, arrays, "float32"))
    value = output[0] if library is torch or isinstance(output, models.ModelOutput) else output
    return value.detach().numpy()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_ours_is_read_by_transformers(case: TextCase, tmp_path: Path) -> None:
    """Nothing missing, nothing left over, the configuration the same, the same answers."""
    ours, theirs = make(case, tmp_path / "a")
    ours.save_pretrained(tmp_path / "b")
    cls = getattr(transformers, case.cls)
    again, report = cls.from_pretrained(tmp_path / "b", output_loading_info=True)
    assert not any(report.values())
    skipped = ("_name_or_path", "transformers_version", "dtype", "architectures")
    first, second = (
        {k: v for k, v in m.config.to_dict().items() if k not in skipped} for m in (theirs, again)
    )
    assert first == second
    np.testing.assert_array_equal(logits(torch, case, again), logits(torch, case, theirs))


@pytest.mark.parametrize("name", ["BertForPreTraining", "GPT2LMHeadModel"])
def test_shards(name: str, tmp_path: Path) -> None:
    case = next(c for c in CASES if c.cls == name)
    ours, theirs = make(case, tmp_path / "whole")
    theirs.save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    again = getattr(models, name).from_pretrained(tmp_path / "parts")
    for key, value in ours.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[key].numpy(), value.numpy(), err_msg=key)


def test_base_model_and_heads(tmp_path: Path) -> None:
    """A head reads the files of the base model and the reverse, and says what is new."""
    bert = transformers.BertModel(transformers.BertConfig(**BERT)).eval()
    bert.save_pretrained(tmp_path / "base")
    with pytest.warns(UserWarning, match=r"newly initialised, .*: classifier.weight, classifier.b"):
        head = models.BertForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=4)
    ids = torch.tensor(batch(CASES[0])["input_ids"])
    exact = bert(ids).pooler_output.detach().numpy()
    found = head.bert(gg.tensor(ids.numpy())).pooler_output
    np.testing.assert_allclose(found.detach().numpy(), exact, rtol=0, atol=2**-18)
    head.save_pretrained(tmp_path / "head")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the head is not missed
        base = models.BertModel.from_pretrained(tmp_path / "head")
    np.testing.assert_array_equal(
        base(gg.tensor(ids.numpy())).pooler_output.detach().numpy(), found.detach().numpy()
    )


def test_published_gpt2_format(tmp_path: Path) -> None:
    """Names without prefix, and the causal masks that old files hold."""
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2)).eval()
    state = {k.removeprefix("transformer."): v for k, v in model.state_dict().items()}
    del state["lm_head.weight"]
    state["h.0.attn.bias"] = torch.ones(1, 1, 16, 16)
    model.config.save_pretrained(tmp_path)
    gg.save({k: gg.tensor(v.numpy()) for k, v in state.items()}, tmp_path / "model.safetensors")
    ours = models.GPT2LMHeadModel.from_pretrained(tmp_path)
    ids = np.arange(3, 12)[None]
    exact = model(torch.tensor(ids)).logits.detach().numpy()
    found = ours(gg.tensor(ids)).detach().numpy()
    np.testing.assert_allclose(found, exact, rtol=0, atol=2**-16 * np.abs(exact).max())


def test_published_bert_format(tmp_path: Path) -> None:
    """gamma and beta, position_ids, and the pre-training head beside the classes."""
    model = transformers.BertForPreTraining(transformers.BertConfig(**BERT)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    state = {}
    for name, value in model.state_dict().items():
        for new, before in old.items():
            name = name.replace(new, before)
        state[name] = gg.tensor(value.numpy())
    state["bert.embeddings.position_ids"] = gg.arange(16).unsqueeze(0)
    gg.save(state, tmp_path / "model.safetensors")
    config = {**model.config.to_dict(), "architectures": ["BertForPreTraining"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours = models.load_pretrained(tmp_path)
    assert isinstance(ours, models.BertForPreTraining)
    exact, found = logits(torch, CASES[0], model), logits(gg, CASES[0], ours)
    np.testing.assert_allclose(found, exact, rtol=0, atol=2**-16 * np.abs(exact).max())


# ---- generation --------------------------------------------------------------------------------


@pytest.mark.parametrize("padded", [False, True])
def test_greedy_generation(padded: bool, tmp_path: Path) -> None:
    """The same tokens as transformers', also of prompts padded on the left; in float64, so that no
    two logits are equal but for rounding."""
    ours, theirs = make(CASES[9], tmp_path)
    ours, theirs = ours.double(), theirs.double()
    ids = np.random.default_rng(0).integers(3, 40, (3, 6))
    mask = np.ones_like(ids)
    if padded:
        mask[1, :3], mask[2, :1] = 0, 0
    exact = theirs.generate(
        torch.tensor(ids),
        attention_mask=torch.tensor(mask),
        max_new_tokens=10,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    options = {"max_new_tokens": 10, "eos_token_id": -1}
    found = ours.generate(gg.tensor(ids), gg.tensor(mask), **options)
    np.testing.assert_array_equal(found.numpy(), exact.numpy())


def test_generation_ends_where_the_configuration_says(tmp_path: Path) -> None:
    ours, theirs = make(CASES[9], tmp_path)
    ids = np.random.default_rng(0).integers(3, 40, (3, 6))
    plain = ours.generate(gg.tensor(ids), max_new_tokens=10, eos_token_id=-1).numpy()
    end = int(plain[0, 9])
    for model in (ours, theirs):
        model.config.eos_token_id = end
    theirs.generation_config.eos_token_id = end
    mask = torch.ones(3, 6, dtype=torch.int64)
    options = {"max_new_tokens": 10, "pad_token_id": 0}
    exact = theirs.generate(torch.tensor(ids), attention_mask=mask, do_sample=False, **options)
    found = ours.generate(gg.tensor(ids), **options)
    np.testing.assert_array_equal(found.numpy(), exact.numpy())
    assert (found.numpy()[0] == 0).any()
