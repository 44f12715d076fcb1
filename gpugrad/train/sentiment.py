"""The jobs `gpugrad train sentiment` and `gpugrad finetune bert`: texts to classes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad import models
from gpugrad.data.dataset import Dataset
from gpugrad.data.loader import DataLoader
from gpugrad.errors import ArgumentError, DataError
from gpugrad.nn import Module
from gpugrad.nn import functional as F
from gpugrad.tensor import Tensor
from gpugrad.text import BucketBatchSampler, PadCollate, TextDataset, Tokenizer
from gpugrad.text.streaming import encode_stream
from gpugrad.train.evaluate import Metric
from gpugrad.train.hooks import Evaluate
from gpugrad.train.job import begin, make_trainer, matmul_precision, resume_planned
from gpugrad.train.loaders import Batches
from gpugrad.train.metrics import Scores, chosen_class, classify, scores
from gpugrad.train.progress import Progress
from gpugrad.train.text import (
    WARM_UP,
    KeepBest,
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
from gpugrad.train.text_data import TextData, load_text_data

_TEST_BATCH = 100


@dataclass(frozen=True)
class ClassifierRecipe(TextRecipe):
    """Cross entropy of the classes' logits; of one logit, binary cross entropy.

    embedding_std: of the initial embeddings (None: the model's). PyTorch's are N(0, 1), and what
    training adds to a rare word's is lost in them.
    """

    embedding_std: float | None = None

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        if prediction.shape[1] == 1:
            return F.binary_cross_entropy_with_logits(prediction[:, 0], target.to(prediction.dtype))
        return F.cross_entropy(prediction, target, label_smoothing=self.label_smoothing)

    def metrics(self) -> dict[str, Metric]:
        return {"accuracy": lambda logits, target: (chosen_class(logits) == target).sum()}


def _recurrent(network: str, **config: Any) -> ClassifierRecipe:
    """Words, both directions, the largest of each output over time."""
    return ClassifierRecipe(
        network=network,
        config={
            "embedding_dim": 100,
            "hidden_size": 100,
            "bidirectional": True,
            "pooling": "max",
            "dropout": 0.5,
            **config,
        },
        epochs=3,
        batch_size=32,
        settings={"adam": {"lr": 2e-3}},
        embedding_std=0.1,
        max_length=400,
        vocab_size=25_000,
    )


def _bert(**config: Any) -> ClassifierRecipe:
    return ClassifierRecipe(
        network="bert_for_sequence_classification",
        config=config,
        epochs=4,
        batch_size=32,
        optimizer="adamw",
        settings={"adamw": {"lr": 3e-4, "weight_decay": 0.01}},
        schedule="triangle",
        triangle=WARM_UP,
        tokenizer="wordpiece",
        vocab_size=8000,
        max_length=128,
        lengths=("max_position_embeddings",),
    )


RECIPES: dict[str, ClassifierRecipe] = {
    "lstm": _recurrent("lstm_classifier"),
    "gru": _recurrent("gru_classifier"),
    "rnn": _recurrent("rnn_classifier"),
    "cnn": ClassifierRecipe(
        network="text_cnn",
        embedding_std=0.1,
        epochs=4,
        batch_size=32,
        max_length=400,
        vocab_size=25_000,
    ),
    "transformer": ClassifierRecipe(
        network="transformer_classifier",
        config={"dropout": 0.2},
        epochs=4,
        batch_size=32,
        optimizer="adamw",
        settings={"adamw": {"lr": 5e-4, "weight_decay": 0.01}},
        schedule="triangle",
        triangle=WARM_UP,
        max_length=256,
        vocab_size=25_000,
        lengths=("max_position_embeddings",),
    ),
    "bert": _bert(
        hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512
    ),
}
# Its sizes are those of the pre-trained model.
FINETUNE = {"bert": _bert(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)}


class EncodedTexts(Dataset):
    """Items are (ids, label) of texts; `lengths` are those of the ids, for BucketBatchSampler.

    Raises DataError for a text without a token.
    """

    def __init__(self, texts: TextDataset, tokenizer: Tokenizer) -> None:
        limit = tokenizer.model_max_length
        found = encode_stream(texts.texts, tokenizer, special=True, truncation=True)
        self.rows = [np.array(ids, np.int32) for ids in found]
        self.labels = texts.labels
        self.lengths = np.array([len(row) for row in self.rows])
        empty = np.flatnonzero(self.lengths == 0)
        if empty.size:
            raise DataError(
                f"text {empty[0]} has no token: {texts.texts[empty[0]][:40]!r}.\n  Leave it out."
            )
        assert self.lengths.max() <= limit

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.rows[index], self.labels[index]

    def __len__(self) -> int:
        return len(self.rows)


def train_sentiment(options: TextOptions) -> float:
    """Train, save the model's folder, print its path and the score (the last line); gives it.

    The score is the accuracy on the test set, of the parameters of the epoch that was best on the
    validation set. Raises DataError and ArgumentError for unusable files and options,
    NonFiniteError when the loss does not stay finite.
    """
    recipe = recipe_for("train sentiment", RECIPES, options)
    return _run(completed(options, recipe, f"sentiment-{options.model}"), recipe)


def finetune(options: TextOptions) -> float:
    """As train_sentiment, from the parameters of a pre-trained model (options.pretrained)."""
    recipe = recipe_for("finetune", FINETUNE, options)
    if options.from_scratch and options.reinit_layers is not None:
        raise ArgumentError(
            "--from-scratch makes all parameters anew, --reinit-layers some.\n  Leave one out."
        )
    recipe = within_positions(options, recipe)
    options = completed(options, recipe, f"finetuned-{options.model}")
    check_kept(options)
    return _run(options, recipe)


def _run(options: TextOptions, recipe: ClassifierRecipe) -> float:
    output = options.output or ""
    check_folder(Path(output))
    backend = begin(options)
    data = load_text_data(options)
    tokenizer = make_tokenizer(options, recipe, data.train.texts)
    model = _model(options, recipe, data, tokenizer).to(backend.device)
    with matmul_precision(options.precision or recipe.precision):
        model, found = _fit(options, recipe, data, tokenizer, model)
    score = {f"test_{name}": value for name, value in found._asdict().items()}
    save_model_folder(output, model, tokenizer, options, {**score, "classes": list(data.classes)})
    text = f"precision {found.precision:.4f}  recall {found.recall:.4f}  F1 {found.f1:.4f}"
    print(text if len(data.classes) == 2 else f"mean over classes: {text}")
    print(f"test accuracy {100 * found.accuracy:.2f} %", flush=True)
    return found.accuracy


def _model(
    options: TextOptions, recipe: ClassifierRecipe, data: TextData, tokenizer: Tokenizer
) -> Any:
    """A new model of the recipe, or the pre-trained one with a new head."""
    names = dict(enumerate(data.classes))
    if options.pretrained is None:
        config = {**recipe.config, "vocab_size": len(tokenizer), "num_labels": len(names)}
        config |= dict.fromkeys(recipe.lengths, options.max_length)
        if tokenizer.pad_token_id is not None:
            bert = recipe.network.startswith("bert")
            config["pad_token_id" if bert else "padding_idx"] = tokenizer.pad_token_id
        config |= options.config
        if config["num_labels"] == len(names) or not recipe.network.startswith("bert"):
            config["id2label"] = names  # BERT has no names for the two classes of one logit
        model: Any = models.create(recipe.network, **config)
        if recipe.embedding_std is not None:
            with gg.no_grad():
                model.embedding.weight.mul_(recipe.embedding_std)  # N(0, 1) before
        return model
    kind = models.BertForSequenceClassification
    changes = {**recipe.config, **options.config, "id2label": names}
    if options.from_scratch:
        known: Any = models.AutoConfig.from_pretrained(options.pretrained)
        return kind(known.copy(**changes))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*newly initialised")
        found = kind.from_pretrained(options.pretrained, **changes)
    print(f"parameters of {options.pretrained}, with a new head for {len(names)} classes")
    if options.reinit_layers is not None:
        _renew_last(options.reinit_layers, found.bert, kind(found.config).bert)
    return found


def _renew_last(count: int, bert: Any, fresh: Any) -> None:
    """The pooler and the last layers become those of a fresh model.

    What they have learnt serves masked words and next sentences: with few labels a new one learns
    the task sooner (Zhang et al. 2021, "Revisiting Few-sample BERT Fine-tuning").
    """
    layers = bert.encoder.layer
    if count > len(layers):
        raise ArgumentError(
            f"--reinit-layers {count}: the model has {len(layers)} layers.\n  "
            "--from-scratch makes all parameters anew."
        )
    bert.pooler = fresh.pooler
    for i in range(len(layers) - count, len(layers)):
        layers[i] = fresh.encoder.layer[i]


def _fit(
    options: TextOptions,
    recipe: ClassifierRecipe,
    data: TextData,
    tokenizer: Tokenizer,
    model: Module,
) -> tuple[Module, Scores]:
    """Train; gives the model with its best parameters, and their scores on the test set."""
    device = next(model.parameters()).device
    pad = tokenizer.pad_token_id or 0
    train, valid, test = (EncodedTexts(s, tokenizer) for s in (data.train, data.valid, data.test))
    size = min(options.batch_size or 1, len(train))
    loader = _batches(train, BucketBatchSampler(train.lengths, size), pad, device)
    in_order = [BucketBatchSampler(s.lengths, _TEST_BATCH, shuffle=False) for s in (valid, test)]
    best = KeepBest("valid_accuracy")
    listening = [Evaluate(_batches(valid, in_order[0], pad, device), "valid_"), best]
    trainer = make_trainer(
        model, recipe, options, len(loader), [*listening, Progress(unit="texts")]
    )
    if options.resume:
        resume_planned(trainer, options)
    print(
        f"training {options.model} ({parameter_count(model)} parameters) on {device}, "
        f"{len(train)} texts of {train.lengths.mean():.0f} tokens, vocabulary {len(tokenizer)}",
        flush=True,
    )
    trainer.fit(loader, options.epochs or 0)
    best.restore(model)
    if trainer.epochs > 1:
        print(f"best on the validation set: epoch {best.epoch}")
    return model, scores(
        classify(model, _batches(test, in_order[1], pad, device), len(data.classes))
    )


def _batches(texts: EncodedTexts, sampler: BucketBatchSampler, pad: int, device: Any) -> Batches:
    loader = DataLoader(texts, batch_sampler=sampler, collate_fn=PadCollate(pad))
    return batches_on(loader, device)
