"""Weights of a model directory: model.safetensors, whole or in shards, and their names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gpugrad import safetensors_file
from gpugrad.errors import DataError
from gpugrad.text_file import write_json

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_OLD_NAMES = {"gamma": "weight", "beta": "bias"}  # of LayerNorm, in files converted from TensorFlow
Arrays = safetensors_file.Arrays


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises DataError where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = "no such folder" if not path.parent.is_dir() else f"no {path.name} in it"
        raise DataError(
            f"from_pretrained({str(path.parent)!r}): {what}.\n"
            f"  A model directory holds {CONFIG} and {WEIGHTS}, as save_pretrained writes them; "
            "nothing is downloaded."
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON: {error}.\n  Copy or download it again.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected an object with fields, found {type(content).__name__}.")
    return content


def write_config(folder: Path, content: Mapping[str, Any]) -> None:
    """Write config.json, whole or not at all. Raises DataError where it cannot be written."""
    make_folder(folder)
    write_json(folder / CONFIG, dict(sorted(content.items())))


def make_folder(folder: Path) -> None:
    """Raises DataError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made: {error.strerror}.") from error


def check_model_type(name: str, wanted: str, folder: Path, content: Mapping[str, Any]) -> None:
    """Raise DataError, for the class `name`, where config.json is of another architecture."""
    found = content.get("model_type", wanted)
    if found != wanted:
        named = content.get("architectures") or ()
        of = f" ({', '.join(map(str, named))})" if isinstance(named, list) and named else ""
        raise DataError(
            f"{name}.from_pretrained({str(folder)!r}): config.json is of another architecture: "
            f"model_type {found!r}{of}, expected {wanted!r}.\n"
            "  gpugrad.models.load_pretrained(folder) takes the class that the file names."
        )


def has_weights(folder: Path) -> bool:
    """Is there a file of weights that `read_weights` reads?"""
    return (folder / WEIGHTS).is_file() or (folder / INDEX).is_file()


def read_weights(folder: Path) -> Arrays:
    """All arrays of a model directory, by their names in the files.

    Raises DataError for a missing, truncated or foreign file, and for a shard that lacks a tensor
    the index promises.
    """
    if (folder / WEIGHTS).is_file():
        return safetensors_file.read(folder / WEIGHTS)[0]
    if (folder / INDEX).is_file():
        return _read_shards(folder)
    found = [name for name in _PICKLES if (folder / name).is_file()]
    hint = (
        f"\n  There is {found[0]}, a pickle, which can run any code and is not read: save the "
        "model as safetensors."
        if found
        else "\n  Copy it there; it is written by save_pretrained."
    )
    raise DataError(f"from_pretrained({str(folder)!r}): no {WEIGHTS} in it.{hint}")


def _read_shards(folder: Path) -> Arrays:
    where = read_json(folder / INDEX).get("weight_map")
    if not isinstance(where, dict) or not all(isinstance(file, str) for file in where.values()):
        raise DataError(f"{folder / INDEX}: no weight_map from tensors to files.")
    arrays: Arrays = {}
    for name in sorted(set(where.values())):
        if Path(name).name != name:
            raise DataError(f"{folder / INDEX}: {name!r} is no file of this folder.")
        arrays.update(safetensors_file.read(folder / name)[0])
    missing = sorted(set(where) - set(arrays))
    if missing:
        raise DataError(
            f"{folder}: {where[missing[0]]} lacks {listed(missing)}, which the index says it has.\n"
            "  The files are not of one model: copy or download them again."
        )
    return arrays


def renamed(arrays: Arrays, wanted: Iterable[str], prefix: str) -> Arrays:
    """The arrays by the names a model has for them.

    gamma and beta become weight and bias. `prefix` ("bert.") goes before a name or off it where
    that makes it one of those wanted.
    """
    legal = set(wanted)
    result: Arrays = {}
    for name, array in arrays.items():
        path, _, last = name.rpartition(".")
        if path and last in _OLD_NAMES:
            name = f"{path}.{_OLD_NAMES[last]}"
        if name not in legal and prefix:
            other = name.removeprefix(prefix) if name.startswith(prefix) else prefix + name
            name = other if other in legal else name
        result[name] = array
    return result


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names in one line, a few of many."""
    names = list(names)
    rest = f", ... ({len(names) - most} more)" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
