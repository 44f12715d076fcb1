"""Language models and what is made with them: generation, the cache, the state, other models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import models
from gpugrad.errors import ShapeError

VOCABULARY = 30
GPT2: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 12,
    "initializer_range": 0.3,
}
TEXTS = np.array([[5, 6, 7, 8, 9, 1], [4, 3, 9, 0, 0, 0], [11, 2, 3, 5, 0, 0]])
MASK = (TEXTS > 0).astype(np.int64)

LANGUAGE: list[tuple[str, dict[str, Any]]] = [
    ("gpt2_lm", GPT2),
    ("lstm_language_model", {"vocab_size": VOCABULARY, "embedding_dim": 16, "hidden_size": 16}),
    ("lstm_language_model", {"vocab_size": VOCABULARY, "embedding_dim": 12, "hidden_size": 12,
                             "num_layers": 1, "tie_weights": True}),
]  # fmt: skip


@pytest.fixture(params=LANGUAGE, ids=["gpt2", "lstm", "lstm-tied"])
def language_model(request: pytest.FixtureRequest) -> Any:
    gg.manual_seed(1)
    name, config = request.param
    model = models.create(name, **config).eval().double()  # no two logits equal but for rounding
    with gg.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # sharp enough that the past matters
    return model


def test_generation_with_the_past_equals_without(language_model: Any) -> None:
    """Token by token, and by reading the whole text again for each token."""
    text = gg.tensor(TEXTS[:, :3])
    found = language_model.generate(text, max_new_tokens=8)
    with gg.no_grad():
        for _ in range(8):
            logits = language_model(text)[:, -1]
            text = gg.cat([text, logits.argmax(-1, keepdim=True)], 1)
    np.testing.assert_array_equal(found.numpy(), text.numpy())
    assert len(np.unique(found.numpy())) > 3


def test_generation_of_padded_prompts(language_model: Any) -> None:
    """Padded on the left: each goes on as it would alone."""
    prompts = [[5, 6, 7, 8], [9, 4], [3]]
    padded = np.array([[0] * (4 - len(p)) + p for p in prompts])
    mask = gg.tensor((padded > 0).astype(np.int64))
    found = language_model.generate(gg.tensor(padded), mask, max_new_tokens=7).numpy()
    for row, prompt in enumerate(prompts):
        alone = language_model.generate(gg.tensor([prompt]), max_new_tokens=7).numpy()
        np.testing.assert_array_equal(found[row, 4:], alone[0, len(prompt) :])


def test_sampling(language_model: Any) -> None:
    """The same seed gives the same text; top_k=1 is greedy; modes are as they were; the streamer
    sees each step."""
    text, seen = gg.tensor(TEXTS[:, :3]), []
    language_model.train()
    options = {"max_new_tokens": 6, "do_sample": True}
    first, second = (
        language_model.generate(text, generator=gg.Generator().manual_seed(3), **options).numpy()
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    greedy = language_model.generate(text, max_new_tokens=6, streamer=seen.append)
    one = language_model.generate(text, top_k=1, **options)
    np.testing.assert_array_equal(one.numpy(), greedy.numpy())
    np.testing.assert_array_equal(gg.stack(seen, 1).numpy(), greedy.numpy()[:, 3:])
    assert all(module.training for module in language_model.modules())


def test_end_of_text(language_model: Any) -> None:
    """After eos_token_id comes padding; when all have ended, nothing more."""
    text = gg.tensor(TEXTS[:1, :3])
    plain = language_model.generate(text, max_new_tokens=8).numpy()[0, 3:]
    end = int(plain[2])
    at = int(np.argmax(plain == end))
    found = language_model.generate(text, max_new_tokens=8, eos_token_id=end, pad_token_id=29)
    np.testing.assert_array_equal(found.numpy()[0, 3:], plain[: at + 1])
    several = language_model.generate(text, max_new_tokens=8, eos_token_id=[-1, end])
    np.testing.assert_array_equal(several.numpy(), found.numpy())
    both = gg.tensor([TEXTS[0, :3], TEXTS[1, :3]])
    found = language_model.generate(both, max_new_tokens=8, eos_token_id=end, pad_token_id=29)
    rest = found.numpy()[0, 3 + at + 1 :]
    assert (rest == 29).all()


def test_language_model_learns(language_model: Any) -> None:
    """The loss of the shifted text falls, logits are those of a call without labels, and every
    parameter gets a gradient."""
    model = language_model.float().train()
    x = gg.tensor(np.where(MASK == 1, TEXTS, 1))
    labels = gg.tensor(np.where(MASK == 1, TEXTS, -100))
    optimizer = gg.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = model(x, labels=labels).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert [k for k, p in model.named_parameters() if p.grad is None] == []
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    model.eval()
    output, logits = model(x, labels=labels), model(x)
    np.testing.assert_array_equal(output.logits.detach().numpy(), logits.detach().numpy())
    rows, after = logits[:, :-1].reshape(-1, VOCABULARY), labels[:, 1:].reshape(-1)
    exact = gg.nn.functional.cross_entropy(rows, after).item()
    assert output.loss.item() == pytest.approx(exact, rel=1e-5)


def test_directories_of_language_models(language_model: Any, tmp_path: Path) -> None:
    language_model.float().save_pretrained(tmp_path)
    again = models.load_pretrained(tmp_path)
    x = gg.tensor(TEXTS)
    np.testing.assert_array_equal(again(x).detach().numpy(), language_model(x).detach().numpy())


def test_tied_weights(tmp_path: Path) -> None:
    """One parameter, written once."""
    tied = models.LSTMLanguageModel(VOCABULARY, 8, 8, tie_weights=True)
    free = models.LSTMLanguageModel(VOCABULARY, 8, 8)
    assert tied.decoder.weight is tied.embedding.weight
    assert free.decoder.weight is not free.embedding.weight
    for model, written in ((tied, False), (free, True)):
        model.save_pretrained(tmp_path)
        assert ("decoder.weight" in gg.load(tmp_path / "model.safetensors")) is written


def test_state_is_carried() -> None:
    """Two halves of a text, the state carried, give the logits of the whole."""
    model = models.LSTMLanguageModel(VOCABULARY, 8, 8).eval()
    x = gg.tensor(TEXTS)
    first = model(x[:, :4], use_cache=True)
    second = model(x[:, 4:], state=first.state)
    both = gg.cat([first.logits, second.logits], 1).detach().numpy()
    np.testing.assert_allclose(both, model(x).detach().numpy(), rtol=0, atol=2**-20)


def test_sliding_window() -> None:
    """Beyond the positions the text goes on from the last half of them."""
    model = models.GPT2LMHeadModel(**GPT2).eval()
    found = model.generate(gg.tensor(TEXTS), max_new_tokens=20, sliding=True)
    assert found.shape == (3, 26)
    again = model.generate(found[:, 7:13], max_new_tokens=3)
    np.testing.assert_array_equal(found[:, 13:16].numpy(), again[:, 6:9].numpy())


@pytest.mark.parametrize("one", ["resid_pdrop", "embd_pdrop", "attn_pdrop"])
def test_dropout_of_gpt2(one: str) -> None:
    """Each of the probabilities, the others being 0: in training only."""
    zero = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    model = models.GPT2LMHeadModel(**GPT2, **zero | {one: 0.5})
    x = gg.tensor(TEXTS)

    def answers() -> np.ndarray:
        return model(x).detach().numpy()

    assert (answers() != answers()).any()
    model.eval()
    np.testing.assert_array_equal(answers(), answers())


def test_padding_after_the_text_does_not_count() -> None:
    """Of both kinds: logits of the tokens before it are those of the text alone."""
    nets = [models.GPT2LMHeadModel(**GPT2), models.LSTMLanguageModel(VOCABULARY, 8, 8)]
    for model in nets:
        model.eval()
        found = model(gg.tensor(TEXTS), gg.tensor(MASK)).detach().numpy()
        alone = model(gg.tensor(TEXTS[1:2, :3])).detach().numpy()
        np.testing.assert_allclose(found[1, :3], alone[0], rtol=0, atol=2**-16)


@pytest.mark.parametrize("masked", [False, True])
def test_cache_read_in_pieces(masked: bool) -> None:
    """Of 1, 3 and 2 tokens: each piece sees those before it, and within itself what it may."""
    model = models.GPT2LMHeadModel(**GPT2).eval()
    x = gg.tensor(np.where(MASK == 1, TEXTS, 17))
    mask = gg.tensor(MASK) if masked else None
    cache, found = None, []
    with gg.no_grad():
        exact = model(x, mask)
        for start, end in ((0, 1), (1, 4), (4, 6)):
            seen = None if mask is None else mask[:, :end]
            output = model(x[:, start:end], seen, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            found.append(output.logits)
    assert cache.get_seq_length() == 6
    got = gg.cat(found, 1).numpy()
    np.testing.assert_allclose(got, exact.numpy(), rtol=0, atol=2**-16)
    with gg.no_grad(), pytest.raises(ShapeError, match=r"6 tokens in the cache and 7 more, but th"):
        model(gg.ones(3, 7, dtype=gg.int64), past_key_values=cache)
