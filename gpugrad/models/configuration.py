"""Configurations of models that are published as a directory: config.json, in fields."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from gpugrad.errors import ArgumentError
from gpugrad.models import weights

_C = TypeVar("_C", bound="PretrainedConfig")

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
"""Names of activations in config.json -> of `gpugrad.ops.linear`."""


_TYPES = ("dtype", "torch_dtype")
"""Fields for the dtype of the weights: of transformers, and of its older versions."""
_OUTPUTS = ("output_attentions", "output_hidden_states")


@dataclass
class PretrainedConfig:
    """The fields that all configurations have; names, meaning and defaults as in config.json.

    num_labels: classes of a classification head; 0: as many as id2label names, else 2. Set later,
        to another number, it names them anew.
    id2label, label2id: the names of the classes; LABEL_0, LABEL_1, ... unless given.
    problem_type: "regression", "single_label_classification" or "multi_label_classification" fix
        the loss of a classification head; None: by num_labels and the labels' dtype.
    extra: fields of config.json that no model here reads; kept, and written again.
    """

    model_type: ClassVar[str] = ""

    _: KW_ONLY
    num_labels: int = 0
    id2label: dict[int, str] = field(default_factory=dict)
    label2id: dict[str, int] = field(default_factory=dict)
    problem_type: str | None = None
    tie_word_embeddings: bool = True
    architectures: list[str] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name = type(self).__name__
        names = {int(i): str(label) for i, label in (self.id2label or {}).items()}
        number = self.__dict__.pop("_asked", 0)
        if names and number not in (0, len(names)):
            raise ArgumentError(
                f"{name}: num_labels = {number}, but id2label names {len(names)} classes."
            )
        self.id2label = names
        self.num_labels = len(names) or number or 2
        self.label2id = {s: i for i, s in self.id2label.items()}
        types = {k: _type_name(self.extra[k]) for k in _TYPES if self.extra.get(k) is not None}
        self.extra = {**self.extra, **types}

    @classmethod
    def from_dict(cls: type[_C], content: Mapping[str, Any], **changes: Any) -> _C:
        """From the content of config.json, with some fields changed.

        Raises ArgumentError for a change that is no field, and for values no model here can have.
        """
        known = {f.name for f in fields(cls)}
        legal = known | set(content) | {*_TYPES, *_OUTPUTS}
        for name in changes:
            if name not in legal:
                near = get_close_matches(name, legal, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ArgumentError(f"{cls.__name__} has no field {name!r}.{hint}")
        for name in _OUTPUTS:
            if changes.get(name):
                raise ArgumentError(
                    f"{cls.__name__}: {name} = {changes[name]!r} is not supported, only False.\n"
                    "  Models give hidden states where a call asks: output_hidden_states=True."
                )
        given = dict(content)
        if changes.get("num_labels") is not None and "id2label" not in changes:
            given.pop("id2label", None)
        elif "id2label" in changes and "num_labels" not in changes:
            given.pop("num_labels", None)
        given = {**given, **changes}
        for name in ("id2label", "label2id"):
            given[name] = given.get(name) or {}
        extra = {**given.pop("extra", {})}
        skipped = ("model_type", "transformers_version")
        extra.update({k: v for k, v in given.items() if k not in known and k not in skipped})
        return cls(**{k: v for k, v in given.items() if k in known}, extra=extra)

    def to_dict(self) -> dict[str, Any]:
        """What makes this configuration again: `type(self)(**config.to_dict())`."""
        return {f.name: _copied(getattr(self, f.name)) for f in fields(self)}

    def to_json(self) -> dict[str, Any]:
        """The content of config.json."""
        content = self.to_dict()
        content = {"model_type": self.model_type, **content.pop("extra"), **content}
        content["id2label"] = {str(i): name for i, name in self.id2label.items()}
        for name in ("num_labels", "architectures", "problem_type"):
            if name == "num_labels" or content[name] is None:  # the number is that of the names
                del content[name]
        return content

    @classmethod
    def from_pretrained(cls: type[_C], directory: str | os.PathLike[str], **changes: Any) -> _C:
        """From the config.json of a model directory. Raises DataError, or ArgumentError."""
        folder = Path(directory)
        content = weights.read_json(folder / weights.CONFIG)
        weights.check_model_type(cls.__name__, cls.model_type, folder, content)
        return cls.from_dict(content, **changes)

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Write config.json into a directory, made if need be. Raises DataError."""
        weights.write_config(Path(directory), self.to_json())

    def copy(self: _C, **changes: Any) -> _C:
        """The same configuration with some fields changed."""
        return self.from_dict(self.to_dict(), **changes)


def _labels(config: PretrainedConfig) -> int:
    return len(config.id2label)


def _set_labels(config: PretrainedConfig, number: int) -> None:
    if "id2label" not in config.__dict__:  # of the constructor, which sets id2label next
        config.__dict__["_asked"] = number
        return
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ArgumentError(
            f"{type(config).__name__}: num_labels = {number!r}; it must be an integer of 1 or more."
        )
    if number != len(config.id2label):
        config.id2label = {i: f"LABEL_{i}" for i in range(number)}
        config.label2id = {s: i for i, s in config.id2label.items()}


# A field of the constructor, and always the number of the names.
PretrainedConfig.num_labels = property(_labels, _set_labels)  # type: ignore[assignment]


def _type_name(dtype: Any) -> str:
    """A dtype, or its name, as JSON can have it."""
    return str(getattr(dtype, "name", dtype)).removeprefix("torch.")


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, (dict, list)) else value


def check_sizes(config: PretrainedConfig, *names: str) -> None:
    """Raise ArgumentError unless each field is an integer of 1 or more."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ArgumentError(
                f"{type(config).__name__}: {name} = {value!r}; it must be an integer of 1 or more."
            )


def check_heads(config: PretrainedConfig, width: str, heads: str) -> None:
    """Raise ArgumentError unless the heads divide the width."""
    w, h = getattr(config, width), getattr(config, heads)
    if w % h:
        raise ArgumentError(
            f"{type(config).__name__}: {width} = {w} is not divisible by {heads} = {h}."
        )


def activation_of(config: PretrainedConfig, name: str) -> str:
    """The activation a field names, as `gpugrad.ops.linear` calls it. Raises ArgumentError."""
    value = getattr(config, name)
    if value not in ACTIVATIONS:
        raise ArgumentError(
            f"{type(config).__name__}: {name} = {value!r}; known are {', '.join(ACTIVATIONS)}."
        )
    return ACTIVATIONS[value]


def refuse(config: PretrainedConfig, **unsupported: Any) -> None:
    """Raise ArgumentError where a field, or one of `extra`, differs from the one value that the
    models here have."""
    for name, only in unsupported.items():
        value = config.extra.get(name, getattr(config, name, only))
        if value != only and (value or only):  # None and {} say as little as False
            raise ArgumentError(
                f"{type(config).__name__}: {name} = {value!r} is not supported, only {only!r}."
            )
