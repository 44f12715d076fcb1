"""What the jobs on text have in common: options, recipes, model directories."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import gpugrad as gg
from gpugrad import models, optim
from gpugrad.data.loader import DataLoader
from gpugrad.data.sampler import shuffled
from gpugrad.errors import ArgumentError, DataError
from gpugrad.nn import Module
from gpugrad.tensor import Tensor
from gpugrad.text import AutoTokenizer, Tokenizer, WordFilter
from gpugrad.text.training import KINDS
from gpugrad.text_file import write_json
from gpugrad.train.hooks import Hook
from gpugrad.train.job import Options
from gpugrad.train.loaders import Batches
from gpugrad.train.recipe import Recipe

TRAINING = "training.json"
"""Beside a model's files: what it was trained on, with which options, and what it reached."""


@dataclass
class TextOptions(Options):
    """What the command line gives for a job on text.

    data: name of a data set, or a file. output: the model's folder.
    root: folder of named data sets; None takes GPUGRAD_DATA.
    test: file to test on. text_column, label_column: of tables. encoding: of files.
    tokenizer: a kind ("wordpiece", "bpe", "words", "characters"), or a folder that has one.
    max_length: tokens of a text at most. pretrained: folder of a pre-trained model.
    from_scratch: keep that model's configuration and tokenizer, but not its parameters.
    reinit_layers: so many of its last layers, and its pooler, start anew; None: neither does.
    drop_stop_words, lemmatize: what is done to English texts before (text.WordFilter).
    """

    root: str | None = None
    test: str | None = None
    text_column: str | None = None
    label_column: str | None = None
    encoding: str = "utf-8"
    tokenizer: str | None = None
    vocab_size: int | None = None
    max_length: int | None = None
    pretrained: str | None = None
    from_scratch: bool = False
    reinit_layers: int | None = None
    drop_stop_words: bool = False
    lemmatize: bool = False


WARM_UP: Mapping[str, float] = {"start": 0.0, "peak": 0.1, "end": 0.0}
"""Of transformers: the learning rate rises for a tenth of the steps, then falls to 0."""


@dataclass(frozen=True)
class TextRecipe(Recipe):
    """A Recipe for a model that reads tokens.

    network: the model's registered name.
    tokenizer, vocab_size, max_length: as TextOptions; vocab_size None takes the tokenizer's own.
    lengths: arguments of the model that get max_length.
    """

    network: str = ""
    tokenizer: str = "words"
    vocab_size: int | None = None
    max_length: int = 256
    lengths: tuple[str, ...] = ()
    clip: float | None = 1.0

    def make_optimizer(self, options: Options, model: Module) -> optim.Optimizer:
        """With decoupled decay, matrices alone decay; biases and the weights of norms do not."""
        kind, arguments = self.optimizer_arguments(options)
        if kind not in (optim.AdamW, optim.Lion, optim.LAMB):
            return kind(model.parameters(), **arguments)
        trained = [p for p in model.parameters() if p.requires_grad]
        matrices = [p for p in trained if p.ndim > 1]
        rest = [p for p in trained if p.ndim <= 1]
        groups = [{"params": matrices}, {"params": rest, "weight_decay": 0.0}]
        return kind(groups if matrices and rest else trained, **arguments)


class KeepBest(Hook):
    """Remembers the parameters of the epoch whose log[name] is best; `restore` puts them back.

    larger: whether larger is better. Of equals the one with the smaller log[then] is better.
    """

    def __init__(self, name: str, larger: bool = True, then: str = "valid_loss") -> None:
        self.name, self.larger, self.then = name, larger, then
        self.epoch, self.value, self.second = 0, float("-inf"), float("inf")
        self.state: dict[str, Tensor] = {}

    def on_epoch_end(self, trainer: Any) -> None:
        value = trainer.log[self.name] if self.larger else -trainer.log[self.name]
        second = trainer.log[self.then]
        if (value, -second) > (self.value, -self.second):
            self.epoch, self.value, self.second = trainer.epoch, value, second
            state = trainer.model.state_dict()
            self.state = {name: each.detach().clone() for name, each in state.items()}

    def restore(self, model: Module) -> None:
        """Give a model the best parameters."""
        model.load_state_dict(self.state)

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("epoch", "value", "second", "state")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


_R = TypeVar("_R", bound=TextRecipe)


def recipe_for(job: str, recipes: Mapping[str, _R], options: TextOptions) -> _R:
    """The model's recipe. Raises ArgumentError for a model that this job does not train."""
    if options.model in recipes:
        return recipes[options.model]
    raise ArgumentError(
        f"{job}: there is no recipe of a model {options.model!r}.\n  Known: {', '.join(recipes)}."
    )


def completed(options: TextOptions, recipe: TextRecipe, output: str) -> TextOptions:
    """The options, with the recipe's numbers in place of what was not given."""
    return replace(
        options,
        epochs=options.epochs or recipe.epochs,
        batch_size=options.batch_size or recipe.batch_size,
        max_length=options.max_length or recipe.max_length,
        output=options.output or output,
    )


def within_positions(options: TextOptions, recipe: _R) -> _R:
    """The recipe with texts no longer than the positions of the model options.pretrained.

    Raises ArgumentError where --max-length is more than these.
    """
    known: Any = models.AutoConfig.from_pretrained(options.pretrained or "")
    positions = known.max_position_embeddings
    if (options.max_length or 0) > positions:
        raise ArgumentError(
            f"--max-length {options.max_length}: the model of {options.pretrained} has "
            f"{positions} positions."
        )
    return replace(recipe, max_length=min(recipe.max_length, positions))


def check_kept(options: TextOptions) -> None:
    """Raises ArgumentError where the model's folder is that of the pre-trained one."""
    output, source = options.output, options.pretrained
    if output and source and Path(output).resolve() == Path(source).resolve():
        raise ArgumentError(
            f"--output {output}: is the pre-trained model, which would be lost.\n"
            "  Name another folder."
        )


def make_tokenizer(options: TextOptions, recipe: TextRecipe, texts: Any, **more: Any) -> Tokenizer:
    """Loaded from the folder of --tokenizer or of the pre-trained model, or trained on texts."""
    length = options.max_length
    folder = options.tokenizer if options.tokenizer not in KINDS else None
    folder = folder or (options.pretrained if options.tokenizer is None else None)
    if folder is not None:
        if options.vocab_size:
            raise ArgumentError(
                f"--vocab-size with the tokenizer of {folder}, whose vocabulary is made.\n"
                f"  Leave it out, or name a kind: --tokenizer {'|'.join(KINDS)}."
            )
        if not os.path.isdir(folder):
            raise DataError(
                f"{folder}: no folder with a tokenizer, nor a kind of it.\n"
                f"  Kinds are {', '.join(KINDS)}."
            )
        return AutoTokenizer.from_pretrained(folder, model_max_length=length)
    kind = options.tokenizer or recipe.tokenizer
    size = options.vocab_size or (recipe.vocab_size if kind == recipe.tokenizer else None)
    tokenizer = Tokenizer.train(kind, texts, vocab_size=size, model_max_length=length, **more)
    return tokenizer


def preprocessing(drop_stop_words: bool, lemmatize: bool) -> Callable[[str], str]:
    """What is done to a text before it is tokenized. A text of stop words alone stays."""
    if not (drop_stop_words or lemmatize):
        return str
    change = WordFilter("english" if drop_stop_words else None, lemmatize)

    def changed(text: str) -> str:
        found = change(text)
        return found if found.strip() else text

    return changed


def check_folder(path: Path) -> None:
    """Raises DataError now, not after the training, when a folder cannot be written later."""
    place = path if path.exists() else path.parent
    if path.exists() and not path.is_dir():
        raise DataError(f"{path}: is a file; the model is a folder.\n  Name another one.")
    if not place.is_dir():
        raise DataError(f"{path}: there is no folder {place}.\n  Make it, or name another one.")
    if not os.access(place, os.W_OK):
        raise DataError(f"{path}: cannot be written.\n  Check permissions, or name another folder.")


def save_model_folder(
    folder: str, model: Any, tokenizer: Tokenizer, options: TextOptions, info: Mapping[str, Any]
) -> None:
    """Write config.json, model.safetensors, tokenizer.json, ... and training.json; say so."""
    model.to("cpu")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    given = {
        name: value
        for name, value in vars(options).items()
        if value is not None and value is not False and value != {}
    }
    write_json(Path(folder) / TRAINING, {"gpugrad": gg.__version__, **info, "options": given})
    print(f"model saved to {folder}", flush=True)


def load_model_folder(folder: str, device: str = "auto") -> tuple[Any, Tokenizer, Any]:
    """(model in eval mode on the device, tokenizer, device) of a folder.

    Raises DataError when it is missing, damaged, or has no tokenizer.
    """
    path = Path(folder)
    if not path.is_dir():
        raise DataError(
            f"{folder}: there is no such model folder.\n  `gpugrad train sentiment` and "
            "`gpugrad train lm` make them."
        )
    model = models.load_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    place = gg.backends.get(device).device
    return model.to(place).eval(), tokenizer, place


def on_device(x: Any, device: Any) -> Any:
    """A tensor, or the tensors of a dict, on a device."""
    if isinstance(x, Mapping):
        return {name: value.to(device) for name, value in x.items()}
    return x.to(device)


def batches_on(loader: DataLoader, device: Any) -> Batches:
    """The batches of a loader, inputs and targets on a device."""
    return Batches(loader, lambda x, y: (on_device(x, device), y.to(device)))


def held_out(size: int, share: float, most: int) -> tuple[list[int], list[int]]:
    """(indices that stay, indices held out): a random share, at least one and at most `most`."""
    order = shuffled(size).tolist()
    count = max(1, min(most, int(size * share)))
    return sorted(order[count:]), sorted(order[:count])


def parameter_count(model: Module) -> int:
    """Numbers in a model, shared ones once."""
    return sum(each.numel() for each in model.parameters())
