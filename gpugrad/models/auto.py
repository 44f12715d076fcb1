"""Models of a directory by what its config.json says: `load_pretrained` and the Auto classes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from gpugrad.errors import DataError
from gpugrad.models import weights
from gpugrad.models.bert import BertModel
from gpugrad.models.bert_config import BertConfig
from gpugrad.models.bert_heads import (
    BertForMaskedLM,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from gpugrad.models.configuration import PretrainedConfig
from gpugrad.models.gpt2 import GPT2Model
from gpugrad.models.gpt2_config import GPT2Config
from gpugrad.models.gpt2_lm import GPT2LMHeadModel
from gpugrad.models.pretrained import Pretrained
from gpugrad.models.registry import classes

_Folder = str | os.PathLike[str]


def is_pretrained(path: _Folder) -> bool:
    """Is this a model directory: a config.json and weights that can be read?"""
    folder = Path(path)
    return (folder / weights.CONFIG).is_file() and weights.has_weights(folder)


def load_pretrained(path: _Folder, **config: Any) -> Pretrained:
    """The model of a directory, of the class that its config.json names, in eval mode on the CPU.

    Other arguments are from_pretrained's. Raises DataError where gpugrad has no such model.
    """
    content = weights.read_json(Path(path) / weights.CONFIG)
    known = {c.__name__: c for c in classes() if issubclass(c, Pretrained)}
    named = content.get("architectures")
    named = [str(n) for n in named] if isinstance(named, list) else []
    for name in named:
        if name in known:
            return known[name].from_pretrained(path, **config)
    kind = content.get("model_type")
    if not named and kind in BASES:
        return BASES[kind].from_pretrained(path, **config)
    raise DataError(
        f"load_pretrained({str(path)!r}): config.json names {', '.join(named) or 'no class'} "
        f"(model_type {kind!r}), which gpugrad does not have.\n"
        f"  It has: {', '.join(sorted(known))}."
    )


BASES: dict[Any, type[Pretrained]] = {"bert": BertModel, "gpt2": GPT2Model}
CONFIGS: dict[Any, type[PretrainedConfig]] = {"bert": BertConfig, "gpt2": GPT2Config}


class _Auto:
    """Chooses the class by config.json's model_type."""

    choices: ClassVar[dict[Any, type[Pretrained]]] = {}

    @classmethod
    def from_pretrained(cls, path: _Folder, **config: Any) -> Pretrained:
        """The model of a directory; arguments and errors are its class's from_pretrained's."""
        kind = weights.read_json(Path(path) / weights.CONFIG).get("model_type")
        if kind not in cls.choices:
            raise DataError(
                f"{cls.__name__}.from_pretrained({str(path)!r}): config.json has model_type "
                f"{kind!r}; known are {', '.join(map(repr, cls.choices))}."
            )
        return cls.choices[kind].from_pretrained(path, **config)


class AutoConfig:
    """The configuration of a model directory."""

    @classmethod
    def from_pretrained(cls, path: _Folder, **config: Any) -> PretrainedConfig:
        """BertConfig or GPT2Config, with some fields changed. Raises DataError for others."""
        content = weights.read_json(Path(path) / weights.CONFIG)
        kind = content.get("model_type")
        if kind not in CONFIGS:
            raise DataError(
                f"AutoConfig.from_pretrained({str(path)!r}): config.json has model_type {kind!r}; "
                f"known are {', '.join(map(repr, CONFIGS))}."
            )
        return CONFIGS[kind].from_dict(content, **config)


class AutoModel(_Auto):
    """The model without head."""

    choices = BASES


class AutoModelForPreTraining(_Auto):
    """The model with the heads it is pre-trained with."""

    choices: ClassVar = {"bert": BertForPreTraining, "gpt2": GPT2LMHeadModel}


class AutoModelForMaskedLM(_Auto):
    """A model that guesses masked tokens."""

    choices: ClassVar = {"bert": BertForMaskedLM}


class AutoModelForCausalLM(_Auto):
    """A model that tells the next token."""

    choices: ClassVar = {"gpt2": GPT2LMHeadModel}


class AutoModelForSequenceClassification(_Auto):
    """A classifier of texts."""

    choices: ClassVar = {"bert": BertForSequenceClassification}


class AutoModelForTokenClassification(_Auto):
    """A classifier of tokens."""

    choices: ClassVar = {"bert": BertForTokenClassification}


class AutoModelForQuestionAnswering(_Auto):
    """A model that finds answers."""

    choices: ClassVar = {"bert": BertForQuestionAnswering}
