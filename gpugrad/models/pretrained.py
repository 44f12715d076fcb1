"""Models as directories: config.json and model.safetensors, with Hugging Face's names."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from gpugrad import safetensors_file
from gpugrad.errors import ArgumentError, DataError, GpugradError
from gpugrad.models import weights
from gpugrad.models.base import Model
from gpugrad.models.configuration import PretrainedConfig
from gpugrad.nn import Module

_P = TypeVar("_P", bound="Pretrained")
_M = TypeVar("_M", bound="ConfiguredModel")


class Pretrained(Module):
    """A model that `save_pretrained` writes to a directory and `from_pretrained` reads.

    Subclasses say what config.json holds (`_to_json`) and how it makes a model (`_from_json`).
    """

    model_type: ClassVar[str] = ""
    base_model_prefix: ClassVar[str] = ""
    """Attribute that holds the model without head, and first part of its parameters' names."""
    tied_weights: ClassVar[tuple[str, ...]] = ()
    """Parameters that are others' under a second name; files leave them out."""
    ignored_weights: ClassVar[tuple[str, ...]] = ()
    """Ends of names in published files that no model needs."""

    def _to_json(self) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def _from_json(cls: type[_P], content: dict[str, Any], changes: dict[str, Any]) -> _P:
        raise NotImplementedError

    def _ties(self) -> tuple[str, ...]:
        """The names under which this model holds a parameter of another name, too."""
        names = dict(self.named_parameters())
        return tuple([name for name in self.tied_weights if name not in names])

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write config.json and model.safetensors into a directory, made if need be.

        Names and layout are Hugging Face's; tied weights are written once. Raises DataError where
        it cannot be written.
        """
        folder = Path(save_directory)
        if folder.exists() and not folder.is_dir():
            raise DataError(f"save_pretrained({str(folder)!r}): this is a file; name a folder.")
        state = self.state_dict()
        skipped = set(self._ties())
        arrays = {k: v.backend.to_numpy(v.array) for k, v in state.items() if k not in skipped}
        content = {"architectures": [type(self).__name__], **self._to_json()}
        content["architectures"] = [type(self).__name__]
        dtype = next(iter(arrays.values())).dtype.name
        content["dtype"] = dtype
        if "torch_dtype" in content:
            content["torch_dtype"] = dtype
        weights.make_folder(folder)
        staged = folder / f".{weights.WEIGHTS}.new"  # what takes long comes first, then two renames
        try:
            safetensors_file.write(staged, arrays, {"format": "pt"})
            weights.write_config(folder, content)
            os.replace(staged, folder / weights.WEIGHTS)
        finally:
            staged.unlink(missing_ok=True)

    @classmethod
    def from_pretrained(
        cls: type[_P],
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        config: Any = None,
        ignore_mismatched_sizes: bool = False,
        dtype: Any = None,
        torch_dtype: Any = None,
        **changes: Any,
    ) -> _P:
        """The model of a directory, in eval mode, on the CPU.

        Parameters are found with or without the base model's prefix ("bert."), in one file or in
        shards. Those the files lack (the head of a new task) keep their initial values, and a
        warning names them. config: instead of the directory's config.json. changes: fields changed,
        such as num_labels=3. dtype, or torch_dtype: of the parameters, "auto" for the one that the
        configuration names; float32 unless given. ignore_mismatched_sizes: parameters of another
        shape stay new, too.

        Raises DataError for a missing, truncated or foreign file, a directory of another
        architecture, and shapes that differ; ArgumentError for unfit fields.
        """
        folder = Path(pretrained_model_name_or_path)
        content = cls._content(folder, config)
        try:
            model = cls._from_json(content, changes)
        except (TypeError, ValueError, AttributeError) as error:
            if isinstance(error, ArgumentError) and (changes or config is not None):
                raise
            raise DataError(f"{folder / weights.CONFIG}: {error}") from error
        model._load_weights(folder, ignore_mismatched_sizes)
        dtype = torch_dtype if dtype is None else dtype
        if isinstance(dtype, str) and dtype == "auto":
            dtype = content.get("dtype") or content.get("torch_dtype")
        if dtype is not None:
            model.to(dtype=dtype)
        return model.eval()

    @classmethod
    def _content(cls, folder: Path, config: Any) -> dict[str, Any]:
        """What makes the model: config, or else the directory's config.json."""
        if config is None:
            content = weights.read_json(folder / weights.CONFIG)
            weights.check_model_type(cls.__name__, cls.model_type, folder, content)
            return content
        content = config.to_json() if isinstance(config, PretrainedConfig) else config
        kind = content.get("model_type", cls.model_type) if isinstance(content, Mapping) else None
        if kind != cls.model_type:
            raise ArgumentError(
                f"{cls.__name__}.from_pretrained: config is a {type(config).__name__}; it must be "
                f"a configuration of model_type {cls.model_type!r}."
            )
        return dict(content)

    def _load_weights(self, folder: Path, ignore_mismatched_sizes: bool) -> None:
        state = self.state_dict()
        prefix = f"{self.base_model_prefix}." if self.base_model_prefix else ""
        arrays = weights.renamed(weights.read_weights(folder), state, prefix)
        tied = set(self._ties())
        given = {k: arrays[k] for k in state if k in arrays and k not in tied}
        differ = {k: v for k, v in given.items() if v.shape != tuple(state[k].shape)}
        if differ and not ignore_mismatched_sizes:
            raise DataError(self._mismatch(folder, differ))
        given = {k: v for k, v in given.items() if k not in differ}
        if not given:
            raise DataError(
                f"{folder}: none of its {len(arrays)} tensors is one of {type(self).__name__}'s "
                f"(the first: {weights.listed(arrays, 3)})."
            )
        try:
            self.load_state_dict(given, strict=False)
        except GpugradError as error:
            raise DataError(f"{folder}: {error}") from error
        missing = [k for k in state if k not in given and k not in tied]
        self._report(folder, missing, [k for k in arrays if k not in state])

    def _mismatch(self, folder: Path, differ: weights.Arrays) -> str:
        state = self.state_dict()
        lines = [
            f"{name}: the model's shape is {tuple(state[name].shape)}, the file's {array.shape}"
            for name, array in list(differ.items())[:8]
        ]
        return (
            f"{type(self).__name__}.from_pretrained({str(folder)!r}): {len(differ)} parameters "
            "differ in shape:\n    " + "\n    ".join(lines) + "\n  ignore_mismatched_sizes=True "
            "leaves these at new initial values."
        )

    def _report(self, folder: Path, missing: list[str], unused: list[str]) -> None:
        """Warn of parameters that are new, and of tensors of the base model that were not used."""
        base = f"{self.base_model_prefix}."
        heads = [name for name, part in self.named_children() if name != self.base_model_prefix]
        own = (base, *[f"{name}." for name in heads])
        unused = [
            name
            for name in unused
            if not name.endswith(self.ignored_weights) and name.startswith(own)
        ]
        lines = []
        if missing:
            lines.append(f"newly initialised, to be trained: {weights.listed(missing)}")
        if unused:
            lines.append(f"in the file, but not in the model: {weights.listed(unused)}")
        if lines:
            head = f"{type(self).__name__}.from_pretrained({str(folder)!r}): "
            warnings.warn(head + "\n  ".join(lines), stacklevel=4)


class ConfiguredModel(Pretrained):
    """A Pretrained model made of a configuration: a `config_class`, its fields by keyword, or both.

    Raises ArgumentError for another kind of configuration.
    """

    config_class: ClassVar[type[PretrainedConfig]]

    def __init__(self, config: Any = None, **fields: Any) -> None:
        super().__init__()
        kind = self.config_class
        if config is None:
            config = kind(**fields)
        elif not isinstance(config, kind):
            raise ArgumentError(
                f"{type(self).__name__}(config): expected a {kind.__name__}, got "
                f"{type(config).__name__}."
            )
        self.config = config.copy(**fields) if fields else config

    def _to_json(self) -> dict[str, Any]:
        content: dict[str, Any] = self.config.to_json()
        return content

    @classmethod
    def _from_json(cls: type[_M], content: dict[str, Any], changes: dict[str, Any]) -> _M:
        return cls(cls.config_class.from_dict(content, **changes))


class KeywordModel(Model, Pretrained):
    """A Pretrained model whose config.json holds the keyword arguments of its class (`_config`)."""

    def _to_json(self) -> dict[str, Any]:
        return {"model_type": self.model_type, **self.config}

    @classmethod
    def _from_json(cls: type[_P], content: dict[str, Any], changes: dict[str, Any]) -> _P:
        legal = inspect.signature(cls).parameters
        for name in changes:
            if name not in legal:
                raise ArgumentError(
                    f"{cls.__name__} has no argument {name!r}; it has {', '.join(legal)}."
                )
        given = {name: value for name, value in content.items() if name in legal}
        if "num_labels" in changes:
            given.pop("id2label", None)
        return cls(**{**given, **changes})
