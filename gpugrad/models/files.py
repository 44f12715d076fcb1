"""Model files: the parameters, and what is needed to make the model again and read its answers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from gpugrad.errors import ArgumentError, DataError, GpugradError
from gpugrad.models import registry
from gpugrad.serialization import load, save

if TYPE_CHECKING:
    from gpugrad.device import Device
    from gpugrad.nn import Module

KIND = "gpugrad.model"
_FIELDS = {"name": str, "config": dict, "classes": list, "info": dict, "state": dict}


@dataclass(frozen=True)
class SavedModel:
    """What a model file holds. `info` is what the saver added, e.g. the accuracy reached."""

    name: str
    config: dict[str, Any]
    classes: list[str]
    info: dict[str, Any]
    model: Module


def save_model(
    path: str | os.PathLike[str],
    model: Module,
    classes: Sequence[str] = (),
    info: dict[str, Any] | None = None,
) -> None:
    """Write a registered model to a safetensors file, whole or not at all.

    The same model, classes and info give the same bytes. Raises ArgumentError when the model is
    not registered, DataError when the file cannot be written.
    """
    content = {
        "kind": KIND,
        "name": registry.name_of(model),
        "config": registry.config_of(cast(registry.Configurable, model)),
        "classes": list(classes),
        "info": info or {},
        "state": dict(model.state_dict()),
    }
    save(content, path)


def load_model(path: str | os.PathLike[str], device: Device | str | None = None) -> SavedModel:
    """Make the model of a file again, with its parameters, in eval mode on `device`.

    Raises DataError, naming the file, when it is missing, damaged, or no model file.
    """
    content = load(path, map_location="cpu")
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise DataError(
            f"{path}: a safetensors file, but not a gpugrad model file.\n"
            "  Model files are written by `gpugrad train` and gpugrad.models.save_model."
        )
    wrong = [key for key, kind in _FIELDS.items() if not isinstance(content.get(key), kind)]
    if wrong:
        raise DataError(
            f"{path}: a gpugrad model file without a proper {', '.join(wrong)}.\n"
            "  The file is damaged: train again, or copy it again."
        )
    try:
        model = registry.create(content["name"], **content["config"])
        model.load_state_dict(content["state"])
    except ArgumentError as error:
        raise DataError(f"{path}: {error}") from error
    except (GpugradError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: the parameters do not fit the model {content['name']!r}: {error}"
        ) from error
    model.eval()
    if device is not None:
        model.to(device)
    fields = {key: content[key] for key in ("name", "config", "classes", "info")}
    return SavedModel(**fields, model=model)
