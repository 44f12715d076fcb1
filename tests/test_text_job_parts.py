"""What the jobs on text are made of: scores, blocks, hooks, optimizers, schedules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.errors import ArgumentError, DataError
from gpugrad.text import TextDataset, train_tokenizer
from gpugrad.train import Trainer
from gpugrad.train.language import Blocks, perplexity
from gpugrad.train.metrics import Scores, chosen_class, confusion_matrix, scores
from gpugrad.train.sentiment import RECIPES, EncodedTexts
from gpugrad.train.text import KeepBest, TextOptions, TextRecipe


def test_scores_by_hand() -> None:
    """Of 4 negative texts 3 are called so, of 6 positive ones 4."""
    matrix = confusion_matrix([0, 0, 0, 1, 1, 1, 1, 1, 0, 0], [0] * 4 + [1] * 6, 2)
    assert matrix.tolist() == [[3, 1], [2, 4]]
    found = scores(matrix)
    assert found.accuracy == 7 / 10 and found.precision == 4 / 5 and found.recall == 4 / 6
    assert math.isclose(found.f1, 8 / 11)  # 2 tp / (2 tp + fp + fn)
    three = scores([[2, 0, 0], [1, 1, 0], [0, 0, 0]])  # one of the classes is not there
    assert three.accuracy == 3 / 4
    assert math.isclose(three.precision, (2 / 3 + 1 + 0) / 3)
    assert math.isclose(three.recall, (1 + 1 / 2 + 0) / 3)
    assert math.isclose(three.f1, (4 / 5 + 2 / 3 + 0) / 3)
    assert scores([[5, 0], [5, 0]]) == Scores(0.5, 0.0, 0.0, 0.0)
    logits = gg.tensor([[0.2, 0.1], [-1.0, 3.0]])
    assert chosen_class(logits).tolist() == [0, 1]
    assert chosen_class(logits[:, :1]).tolist() == [1, 0]
    with pytest.raises(ArgumentError, match="confusion has shape"):
        scores([[0, 0], [0, 0]])
    with pytest.raises(ArgumentError, match="a class lies outside 0 to 1"):
        confusion_matrix([2], [0], 2)
    with pytest.raises(ArgumentError, match="2 predictions with 1 targets"):
        confusion_matrix([0, 1], [0], 2)


def test_trainer_takes_dicts_and_clips() -> None:
    class Named(gg.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = gg.nn.Parameter(gg.zeros(2))

        def forward(self, a: gg.Tensor, b: gg.Tensor) -> gg.Tensor:
            return (a - b) * self.weight

    def moved(clip: float | None) -> list[float]:
        model = Named()
        sgd = gg.optim.SGD(model.parameters(), lr=1.0)
        trainer = Trainer(model, sgd, lambda y, t: (y - t).sum(), clip=clip)
        batch = {"a": gg.tensor([[9.0, 12.0]]), "b": gg.tensor([[6.0, 8.0]])}
        trainer.fit([(batch, gg.zeros(1, 2))], 1)
        return [float(each) for each in model.weight.tolist()]

    # The gradient is (3, 4), of norm 5.
    assert moved(None) == [-3, -4] and moved(10.0) == [-3, -4]
    np.testing.assert_allclose(moved(1.0), [-0.6, -0.8], rtol=1e-5)


def test_the_best_epoch_is_kept() -> None:
    class Fake:
        model = gg.nn.Linear(1, 1)

    for larger, best in ((True, 4), (False, 1)):
        hook = KeepBest("valid", larger)
        for epoch, value in enumerate((0.5, 0.9, 0.7, 0.9, 0.9), 1):
            fake: Any = Fake()
            loss = {2: 0.3, 4: 0.1, 5: 0.2}.get(epoch, 1.0)
            fake.epoch, fake.log = epoch, {"valid": value, "valid_loss": loss}
            with gg.no_grad():
                fake.model.weight.fill_(epoch)
            hook.on_epoch_end(fake)
        assert hook.epoch == best
        other = KeepBest("valid")
        other.load_state_dict(hook.state_dict())
        model = gg.nn.Linear(1, 1)
        other.restore(model)
        assert model.weight.item() == best and other.value == hook.value


def test_biases_do_not_decay() -> None:
    recipe = TextRecipe(optimizer="adamw")
    model = gg.nn.Sequential(gg.nn.Linear(2, 3), gg.nn.LayerNorm(3))
    groups = recipe.make_optimizer(TextOptions("x", weight_decay=0.1), model).param_groups
    assert [[p.ndim for p in group["params"]] for group in groups] == [[2], [1, 1, 1]]
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    plain = recipe.make_optimizer(TextOptions("x", optimizer="sgd"), model)
    assert len(plain.param_groups) == 1


def test_warm_up() -> None:
    model = gg.nn.Linear(1, 1)
    recipe = RECIPES["bert"]
    options = TextOptions("bert", epochs=2)
    optimizer = recipe.make_optimizer(options, model)
    schedule = recipe.make_schedule(options, optimizer, 10)
    assert schedule is not None and schedule.each == "step"
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.scheduler.step()
    top = 3e-4
    np.testing.assert_allclose(rates[:4], [0, top / 2, top, top * 17 / 18], rtol=1e-6)
    assert optimizer.param_groups[0]["lr"] == 0


def test_texts_without_tokens() -> None:
    tokenizer = train_tokenizer("words", ["a b"], min_frequency=1)
    with pytest.raises(DataError, match=r"text 1 has no token: '\\x00'"):
        EncodedTexts(TextDataset(["a", "\x00"], [0, 1], ("x", "y")), tokenizer)


def test_blocks() -> None:
    ids = np.arange(100)
    blocks = Blocks(ids, 10)
    assert len(blocks) == 11 and blocks[1].tolist() == list(range(9, 19))
    assert blocks[10].tolist() == list(range(90, 100))
    np.random.seed(0)
    drawn = Blocks(ids, 10, random=True)
    rows = np.concatenate([drawn.__getitems__(list(range(11))) for _ in range(300)])
    assert (np.diff(rows) == 1).all() and rows.min() == 0 and rows.max() == 99
    assert len({row[0] for row in rows}) == 91  # each place there is
    with pytest.raises(DataError, match="the text has 9 tokens, fewer than one run of 10"):
        Blocks(np.arange(9), 10)
    assert perplexity(0) == 1 and perplexity(1e6) == math.inf
