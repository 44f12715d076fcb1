"""The job `gpugrad train lm`: language models, of letters or of pieces of words."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad import models
from gpugrad.data.dataset import Dataset
from gpugrad.data.loader import DataLoader
from gpugrad.errors import ArgumentError, DataError
from gpugrad.tensor import Tensor
from gpugrad.text import Lines, Tokenizer, TokenStore, WikiText2, encode_stream, tiny_shakespeare
from gpugrad.train.evaluate import Metric
from gpugrad.train.hooks import Evaluate, Hook
from gpugrad.train.job import begin, make_trainer, matmul_precision, resume_planned
from gpugrad.train.loaders import Batches
from gpugrad.train.progress import Progress
from gpugrad.train.text import (
    WARM_UP,
    KeepBest,
    TextOptions,
    TextRecipe,
    check_folder,
    completed,
    make_tokenizer,
    parameter_count,
    recipe_for,
    save_model_folder,
)

_VALID = 0.1  # share at the end of a file without a validation set
_TEST_BATCH = 32


class LanguageRecipe(TextRecipe):
    """The model computes the loss, from labels that it shifts: the mean over all next tokens."""

    def loss(self, prediction: Any, target: Tensor) -> Tensor:
        loss: Tensor = prediction.loss
        return loss

    def metrics(self) -> dict[str, Metric]:
        return {}


def _gpt(dropout: float, lr: float, **numbers: Any) -> LanguageRecipe:
    """AdamW with a short memory of squares, as Karpathy's nanoGPT has it for small texts."""
    names = ("embd_pdrop", "resid_pdrop", "attn_pdrop")
    return LanguageRecipe(
        network="gpt2_lm",
        config={**numbers.pop("config"), **dict.fromkeys(names, dropout)},
        optimizer="adamw",
        settings={"adamw": {"lr": lr, "betas": (0.9, 0.99), "weight_decay": 0.1}},
        schedule="triangle",
        triangle=WARM_UP,
        lengths=("n_positions",),
        **numbers,
    )


RECIPES: dict[str, TextRecipe] = {
    # Some minutes on two cores.
    "gpt": _gpt(
        dropout=0.0,
        lr=3e-3,
        config={"n_embd": 128, "n_layer": 4, "n_head": 4},
        epochs=6,
        batch_size=16,
        max_length=128,
    ),
    # For a GPU.
    "gpt_medium": _gpt(
        dropout=0.2,
        lr=1e-3,
        config={"n_embd": 384, "n_layer": 6, "n_head": 6},
        epochs=60,
        batch_size=64,
        max_length=256,
        precision="tf32",
    ),
    "lstm": LanguageRecipe(
        network="lstm_language_model",
        config={"embedding_dim": 64, "hidden_size": 256, "num_layers": 2, "dropout": 0.1},
        settings={"adam": {"lr": 3e-3}},
        schedule="triangle",
        triangle=WARM_UP,
        epochs=6,
        batch_size=32,
        max_length=128,
    ),
}


class Blocks(Dataset):
    """Runs of `length` ids of a text; neighbours share one id, so each id but the first is once a
    next one.

    random: each run begins somewhere after its place, anew in each epoch (numpy.random, which a
    DataLoader seeds for each batch). Raises DataError for a text that fills no run.
    """

    def __init__(self, ids: Any, length: int, random: bool = False) -> None:
        self.ids, self.length, self.random = ids, length, random
        self.count = (len(ids) - 1) // (length - 1) if length > 1 else 0
        if length < 2:
            raise ArgumentError("--max-length 1: a language model needs runs of at least 2 tokens.")
        if self.count < 1:
            raise DataError(
                f"the text has {len(ids)} tokens, fewer than one run of {length}.\n"
                "  Give more text, or a smaller --max-length."
            )

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> Any:
        step, last = self.length - 1, len(self.ids) - self.length
        starts = np.asarray(indices) * step
        if self.random:
            starts = np.minimum(starts + np.random.randint(0, step, len(starts)), last)
        return self.ids[starts[:, None] + np.arange(self.length)].astype(np.int64)

    def __len__(self) -> int:
        return self.count


class Perplexity(Hook):
    """Adds exp(log[name]) to the log: by how many tokens the model is torn, on average."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_epoch_end(self, trainer: Any) -> None:
        trainer.log["perplexity"] = perplexity(trainer.log[self.name])


def perplexity(loss: float) -> float:
    """exp(loss); infinity beyond the largest number."""
    return math.exp(loss) if loss < 700 else math.inf


def train_language_model(options: TextOptions) -> float:
    """Train, save the model's folder, print its path and the score (the last line); gives it.

    The score is the mean cross entropy of a token of the validation text, of the parameters of the
    best epoch. Errors as train_sentiment.
    """
    recipe = recipe_for("train lm", RECIPES, options)
    options = completed(options, recipe, f"lm-{options.model}")
    check_folder(Path(options.output or ""))
    backend = begin(options)
    tokenizer, train, valid = _texts(options, recipe)
    config = {**recipe.config, "vocab_size": len(tokenizer)}
    config |= dict.fromkeys(recipe.lengths, options.max_length)
    if recipe.network.startswith("gpt2"):
        config |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = models.create(recipe.network, **{**config, **options.config}).to(backend.device)
    with matmul_precision(options.precision or recipe.precision):
        loss = _fit(options, recipe, model, train, valid)
    score = {"valid_loss": loss, "perplexity": perplexity(loss)}
    save_model_folder(options.output or "", model, tokenizer, options, score)
    print(f"validation loss {loss:.4f}  perplexity {score['perplexity']:.4f}", flush=True)
    return loss


def _fit(options: TextOptions, recipe: TextRecipe, model: Any, train: Any, valid: Any) -> float:
    """Train; the model gets its best parameters, whose validation loss this gives."""
    device = next(model.parameters()).device
    length = options.max_length or recipe.max_length
    blocks, held = Blocks(train, length, random=True), Blocks(valid, length)
    size = min(options.batch_size or 1, len(blocks))
    loader = _batches(DataLoader(blocks, size, shuffle=True, collate_fn=_stacked), device)
    test = _batches(DataLoader(held, _TEST_BATCH, collate_fn=_stacked), device)
    best = KeepBest("valid_loss", larger=False)
    listening = [Evaluate(test, "valid_"), Perplexity("valid_loss"), best, Progress("tokens")]
    trainer = make_trainer(model, recipe, options, len(loader), listening)
    if options.resume:
        resume_planned(trainer, options)
    print(
        f"training {options.model} ({parameter_count(model)} parameters) on {device}, "
        f"{len(train)} tokens",
        flush=True,
    )
    trainer.fit(loader, options.epochs or 0)
    best.restore(model)
    return -best.value


def _stacked(rows: Any) -> tuple[Tensor, Tensor]:
    """(ids (n, t), their next ones (n (t - 1),), which count the items)."""
    ids = gg.tensor(np.stack(rows))
    return ids, ids[:, 1:].reshape(-1)


def _batches(loader: DataLoader, device: Any) -> Batches:
    def change(ids: Any, target: Tensor) -> tuple[Any, Tensor]:
        ids = ids.to(device)
        return {"input_ids": ids, "labels": ids}, target

    return Batches(loader, change)


def _texts(options: TextOptions, recipe: TextRecipe) -> tuple[Tokenizer, Any, Any]:
    """(tokenizer, ids to train on, ids to validate on) of shakespeare, wikitext2 or a file."""
    data = options.data or "shakespeare"
    if data == "shakespeare":
        parts: list[Iterable[str]] = [
            tiny_shakespeare(part).splitlines(keepends=True) for part in ("train", "valid")
        ]
    elif data == "wikitext2":
        parts = [_Ended(WikiText2(options.root, part)) for part in ("train", "valid")]
    else:
        if not Path(data).is_file():
            raise DataError(
                f"{data}: there is no such file, nor a data set of that name.\n"
                "  Name shakespeare, wikitext2, or a text file."
            )
        parts = [_Ended(Lines(data, encoding=options.encoding))]
    kind = options.tokenizer or ("characters" if data == "shakespeare" else "bpe")
    texts = itertools.chain(*parts) if kind == "characters" else parts[0]  # all letters there are
    chosen = TextOptions(**{**vars(options), "tokenizer": kind})
    more = {"unknown": False} if kind == "characters" else {}
    tokenizer = make_tokenizer(chosen, recipe, texts, **more)
    ids = [TokenStore(encode_stream(part, tokenizer)).ids for part in parts]
    if len(ids) == 1:
        cut = int(len(ids[0]) * (1 - _VALID))
        ids = [ids[0][:cut], ids[0][cut:]]
    return tokenizer, ids[0], ids[1]


class _Ended:
    """Lines with their ends, which a language model has to predict, too."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = lines

    def __iter__(self) -> Any:
        return (f"{line}\n" for line in self.lines)
