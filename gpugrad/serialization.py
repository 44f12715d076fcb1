"""`gg.save` and `gg.load`: nested structures of tensors in a safetensors file. Never pickle."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from . import backends, safetensors_file
from . import dtype as dtypes
from .device import Device
from .errors import ArgumentError, DataError
from .nn.parameter import is_lazy
from .tensor import Tensor

STRUCTURE = "gpugrad.structure"
Path_ = tuple[Any, ...]


def save(obj: Any, f: str | os.PathLike[str] | IO[bytes]) -> None:
    """Writes a structure of tensors to a file that `load` reads back equal, bit by bit.

    obj: a tensor, or dicts, lists and tuples of tensors, NumPy arrays, numbers, strings, booleans,
    None and dtypes, nested as you like: `{"model": model.state_dict(), "epoch": 3}`.
    f: the path; the usual ending is .safetensors. The file is written under another name in the
    same folder and renamed when complete, so a failure never leaves half a file. Or a file opened
    for writing bytes, or an io.BytesIO.

    The tensors of a flat dict keep their names, so other safetensors libraries can read them;
    nested ones are named by their path ("model/0.weight"), the structure is JSON in the metadata.
    Raises ArgumentError for what cannot be saved, DataError where the file cannot be written.
    """
    writer = _Writer()
    try:
        tree = writer.encode(obj, ())
    except RecursionError:
        raise ArgumentError(
            "save: obj contains itself, or is nested too deeply.\n  Save a flat dict instead."
        ) from None
    text = json.dumps(tree, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if hasattr(f, "write"):
        f.write(safetensors_file.packed(writer.arrays, {STRUCTURE: text}))
    else:
        safetensors_file.write(_path("save", f), writer.arrays, {STRUCTURE: text})


def load(
    f: str | os.PathLike[str] | IO[bytes],
    map_location: str | Device | None = None,
    *,
    weights_only: bool | None = None,
) -> Any:
    """Reads what `save` wrote; a file of another safetensors library gives a flat dict of tensors.

    f: the path; or a file opened for reading bytes, or an io.BytesIO, read from where it stands.
    map_location: the device of the tensors; "cpu" unless given (other than in PyTorch, wherever
    they were saved, so that a file can be read on any machine). Tensors come back as plain tensors
    without gradients, NumPy arrays as arrays. weights_only: accepted so that programs written for
    PyTorch run; has no effect, as nothing in a file is ever run.
    Raises DataError for a missing, truncated, damaged or foreign file.
    """
    if not isinstance(map_location, (str, Device, type(None))):
        raise ArgumentError(
            f"load(map_location): expected a device such as 'cuda', "
            f"got a {type(map_location).__name__}"
        )
    backend = backends.get("cpu" if map_location is None else map_location)
    if isinstance(f, (str, os.PathLike)) or not hasattr(f, "read"):
        arrays, metadata = safetensors_file.read(_path("load", f))
    else:
        arrays, metadata = safetensors_file.read_stream(f)

    def tensor(name: str) -> Tensor:
        return Tensor(backend.from_numpy(arrays[name]), backend)

    if STRUCTURE not in metadata:
        return {name: tensor(name) for name in arrays}
    try:
        return _decode(json.loads(metadata[STRUCTURE]), tensor, arrays)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"load({str(f)!r}): the file is damaged: its structure cannot be read ({error!r}).\n"
            "  Copy or download it again."
        ) from error


def _path(operation: str, f: Any) -> Path:
    if not isinstance(f, (str, os.PathLike)):
        raise ArgumentError(f"{operation}(f): expected a path or a file, got a {type(f).__name__}")
    path = Path(f)
    if path.is_dir():
        raise DataError(f"{operation}({str(path)!r}): this is a folder; name a file in it")
    return path


# ---- structure to JSON -------------------------------------------------------------------------
#
# str, bool, int, None, finite floats, lists, and dicts with plain str keys are themselves. All else
# is an object with one key that begins with "$".


class _Writer:
    """Turns a structure into JSON and puts its arrays aside, named by their paths."""

    def __init__(self) -> None:
        self.arrays: safetensors_file.Arrays = {}

    def encode(self, value: Any, path: Path_) -> Any:
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if isinstance(value, Tensor):
            if is_lazy(value):
                raise ArgumentError(
                    f"save: {_place(path)} is an {type(value).__name__}, which has no shape and "
                    "no values yet.\n  Call the model once, with a batch, before saving it."
                )
            return {"$tensor": self.add(value.backend.to_numpy(value.array), path)}
        if isinstance(value, np.ndarray):
            return {"$array": self.add(value, path)}
        if isinstance(value, np.generic):
            return {"$scalar": self.add(np.asarray(value), path)}
        if isinstance(value, np.dtype):
            return {"$dtype": dtypes.as_dtype(value).name}
        if isinstance(value, dict):
            return self.encode_dict(value, path)
        if isinstance(value, (list, tuple)):
            items = [self.encode(item, (*path, i)) for i, item in enumerate(value)]
            return items if isinstance(value, list) else {"$tuple": items}
        raise ArgumentError(_unsupported(value, path))

    def encode_dict(self, value: dict[Any, Any], path: Path_) -> Any:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: self.encode(item, (*path, key)) for key, item in value.items()}
        pairs = []
        for key, item in value.items():
            if not (key is None or isinstance(key, (str, int, float, tuple))):
                raise ArgumentError(
                    f"save: {_place(path)} has the key {key!r}, a {type(key).__name__}; "
                    "keys can be str, int, float, bool, None and tuples of them"
                )
            pairs.append([self.encode(key, (*path, key)), self.encode(item, (*path, key))])
        return {"$dict": pairs}

    def add(self, array: np.ndarray[Any, Any], path: Path_) -> str:
        """Keeps an array under a name of its own; gives the name."""
        try:
            dtype = dtypes.as_dtype(array.dtype)
        except TypeError:
            raise ArgumentError(
                f"save: {_place(path)} is an array of dtype {array.dtype}; "
                f"supported are {dtypes.names()}"
            ) from None
        name = wanted = "/".join(map(str, path)) or "tensor"
        count = 1
        while name in self.arrays or name == "__metadata__":
            count += 1
            name = f"{wanted}#{count}"
        self.arrays[name] = array.astype(dtype, copy=False)
        return name


def _decode(value: Any, tensor: Callable[[str], Tensor], arrays: safetensors_file.Arrays) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensor, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1 or not next(iter(value)).startswith("$"):
        return {key: _decode(item, tensor, arrays) for key, item in value.items()}
    ((kind, content),) = value.items()
    if kind == "$tensor":
        return tensor(content)
    if kind == "$array":
        return arrays[content]
    if kind == "$scalar":
        return arrays[content][()]
    if kind == "$float":
        return float(content)
    if kind == "$dtype":
        return dtypes.as_dtype(content)
    if kind == "$tuple":
        return tuple(_decode(content, tensor, arrays))
    if kind == "$dict":
        return {_decode(k, tensor, arrays): _decode(v, tensor, arrays) for k, v in content}
    raise ValueError(f"unknown kind {kind}; the file was written by a newer gpugrad")


def _place(path: Path_) -> str:
    return "obj" + "".join(f"[{part!r}]" for part in path)


def _unsupported(value: Any, path: Path_) -> str:
    text = f"save: {_place(path)} is a {type(value).__name__}, which cannot be saved."
    if hasattr(value, "state_dict"):
        return f"{text}\n  Save its state: .state_dict()."
    return (
        f"{text}\n  What can: tensors, NumPy arrays, numbers, strings, booleans, None, dtypes, and "
        "dicts, lists and tuples of them."
    )
