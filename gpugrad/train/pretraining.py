"""The job `gpugrad pretrain bert`: masked tokens and next sentences (Devlin et al. 2019)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpugrad import models, no_grad, tensor
from gpugrad.data.dataset import Subset
from gpugrad.data.loader import DataLoader
from gpugrad.errors import ArgumentError
from gpugrad.tensor import Tensor
from gpugrad.text import PretrainingCollate, SegmentPairs, Tokenizer
from gpugrad.text.cooccurrence import word_vectors
from gpugrad.train.evaluate import Metric
from gpugrad.train.hooks import Evaluate
from gpugrad.train.job import begin, make_trainer, matmul_precision, resume_planned
from gpugrad.train.pretraining_data import Corpus, load_corpora
from gpugrad.train.progress import Progress
from gpugrad.train.text import (
    WARM_UP,
    TextOptions,
    TextRecipe,
    batches_on,
    check_folder,
    check_kept,
    completed,
    make_tokenizer,
    parameter_count,
    recipe_for,
    save_model_folder,
    within_positions,
)

_VALID_MOST = 5000  # pairs, which are kept in memory


@dataclass(frozen=True)
class PretrainingRecipe(TextRecipe):
    """The model computes the sum of both tasks' losses; the target is the next-sentence label.

    mask: the share of tokens to guess in training. BERT's is 0.15; a small corpus, which is read
    often, gives more with more (Wettig et al. 2023, "Should You Mask 15% in Masked Language
    Modeling?"). Held-out text is masked as BERT's is.
    """

    mask: float = 0.4

    def loss(self, prediction: Any, target: Tensor) -> Tensor:
        loss: Tensor = prediction.loss
        return loss

    def metrics(self) -> dict[str, Metric]:
        return {
            "masked_loss": lambda found, target: found.mlm_loss * target.shape[0],
            "next_sentence_accuracy": _right,
        }


def _right(found: Any, target: Tensor) -> Tensor:
    return (found.seq_relationship_logits.argmax(1) == target).sum()


RECIPES: dict[str, PretrainingRecipe] = {
    "bert": PretrainingRecipe(
        network="bert_for_pretraining",
        config={
            "hidden_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 512,
            "initializer_range": 0.05,  # of a net this narrow
            "hidden_dropout_prob": 0.0,  # the data is seen few times
            "attention_probs_dropout_prob": 0.0,
        },
        epochs=2,
        batch_size=32,
        optimizer="adamw",
        settings={"adamw": {"lr": 5e-4, "weight_decay": 0.01}},
        schedule="triangle",
        triangle=WARM_UP,
        tokenizer="wordpiece",
        vocab_size=30_000,
        max_length=128,
        lengths=("max_position_embeddings",),
    )
}


# On from a pre-trained model, over a corpus of short texts such as a task has.
CONTINUED = {
    "bert": replace(
        RECIPES["bert"],
        batch_size=64,
        settings={"adamw": {"lr": 1e-3, "weight_decay": 0.01}},
    )
}


class _Sentences:
    """Sentences of a corpus, anew each time."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus

    def __iter__(self) -> Iterator[str]:
        return self.corpus.sentences()


def pretrain(options: TextOptions) -> float:
    """Train, save the model's folder, print its path and the score (the last line); gives it.

    With options.pretrained training goes on from that model, by its tokenizer: on a task's own
    texts, before fine-tuning, this teaches what they have and the first corpus had not (Gururangan
    et al. 2020, "Don't Stop Pretraining").
    The score is the masked-language loss on held-out text. Errors as train_sentiment.
    """
    if options.pretrained is None:
        recipe, output = recipe_for("pretrain", RECIPES, options), f"pretrained-{options.model}"
    else:
        recipe, output = recipe_for("pretrain", CONTINUED, options), f"adapted-{options.model}"
        recipe = within_positions(options, recipe)
    options = completed(options, recipe, output)
    check_kept(options)
    check_folder(Path(options.output or ""))
    backend = begin(options)
    train, valid = load_corpora(options)
    tokenizer = make_tokenizer(options, recipe, _Sentences(train))
    _check_specials(tokenizer)
    model = _model(options, recipe, tokenizer).to(backend.device)
    with matmul_precision(options.precision or recipe.precision):
        log = _fit(options, recipe, model, tokenizer, train, valid)
    kept = ("loss", "valid_masked_loss", "valid_next_sentence_accuracy")
    save_model_folder(
        options.output or "", model, tokenizer, options, {name: log[name] for name in kept}
    )
    print(
        f"masked-language loss {log['valid_masked_loss']:.4f}  next-sentence accuracy "
        f"{100 * log['valid_next_sentence_accuracy']:.2f} %",
        flush=True,
    )
    return log["valid_masked_loss"]


def _model(options: TextOptions, recipe: PretrainingRecipe, tokenizer: Tokenizer) -> Any:
    """A new model of the recipe, or the pre-trained one with its heads, new where it has none."""
    if options.pretrained is not None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*newly initialised")
            found = models.BertForPreTraining.from_pretrained(options.pretrained, **options.config)
        print(f"parameters of {options.pretrained}")
        return found
    config = {**recipe.config, "vocab_size": len(tokenizer)}
    config["pad_token_id"] = tokenizer.pad_token_id
    config |= dict.fromkeys(recipe.lengths, options.max_length)
    return models.create(recipe.network, **{**config, **options.config})


def _check_specials(tokenizer: Tokenizer) -> None:
    """Raise ArgumentError where the tokenizer lacks a token that the tasks need."""
    names = ("cls_token", "sep_token", "mask_token", "pad_token")
    missing = [name for name in names if getattr(tokenizer, f"{name}_id") is None]
    if missing:
        raise ArgumentError(
            f"pretrain bert: the tokenizer has no {', '.join(missing)}.\n"
            "  Take --tokenizer wordpiece, which has them."
        )


def _fit(
    options: TextOptions,
    recipe: PretrainingRecipe,
    model: Any,
    tokenizer: Tokenizer,
    train: Corpus,
    valid: Corpus,
) -> dict[str, float]:
    device = next(model.parameters()).device
    length = options.max_length or recipe.max_length
    pairs = SegmentPairs(train, tokenizer, length)
    if options.pretrained is None:
        _begin_well(model, pairs.store.ids)
    size = min(options.batch_size or 1, len(pairs))
    collate = PretrainingCollate(tokenizer, recipe.mask)
    loader = batches_on(DataLoader(pairs, size, shuffle=True, collate_fn=collate), device)
    # Held-out pairs and masks are drawn once, so that epochs can be compared.
    held = SegmentPairs(valid, tokenizer, length)
    held_part = Subset(held, range(min(len(held), _VALID_MOST)))
    test = DataLoader(held_part, size, collate_fn=PretrainingCollate(tokenizer))
    listening = [Evaluate(list(batches_on(test, device)), "valid_"), Progress("pairs")]
    trainer = make_trainer(model, recipe, options, len(loader), listening)
    if options.resume:
        resume_planned(trainer, options)
    print(
        f"pre-training {options.model} ({parameter_count(model)} parameters) on {device}, "
        f"{len(pairs)} pairs of {len(pairs.store.ids)} tokens, vocabulary {len(tokenizer)}",
        flush=True,
    )
    return trainer.fit(loader, options.epochs or 0)


def _begin_well(model: Any, ids: np.ndarray[Any, Any]) -> None:
    """Initial values which a small corpus would take epochs to teach.

    The head's bias: the logarithm of each token's frequency (one more than counted). Embeddings of
    words, which are the head's weights too: vectors by counting; of positions: sinusoids, so that
    looking at a neighbour is one linear map (Vaswani et al. 2017). Both as long as they are drawn.
    """
    embeddings, bias = model.bert.embeddings, model.cls.predictions.bias
    words = embeddings.word_embeddings.weight
    positions = embeddings.position_embeddings.weight
    counts = np.bincount(ids, minlength=len(bias)) + 1
    length = model.config.initializer_range * np.sqrt(words.shape[1])
    vectors, known = word_vectors(ids, *words.shape)
    values = words.detach().cpu().numpy()
    values[known, : vectors.shape[1]] = length * vectors[known]
    for parameter, value in (
        (bias, np.log(counts / counts.sum())),
        (words, values),
        (positions, length * _sinusoids(*positions.shape)),
    ):
        with no_grad():
            parameter.copy_(tensor(value, dtype=parameter.dtype, device=parameter.device))


def _sinusoids(n: int, size: int) -> np.ndarray[Any, Any]:
    """(n, size), rows of norm 1: sin and cos of position / 10000^(2 i / size) in turns."""
    angles = np.arange(n)[:, None] * 10000.0 ** (-2 * np.arange((size + 1) // 2) / size)
    both = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(n, -1)[:, :size]
    return both / np.linalg.norm(both, axis=1, keepdims=True)
