"""Safetensors files: written whole or not at all, read with errors that say what a file is.

The format is the `safetensors` package's (huggingface.co/docs/safetensors): a JSON header with
names, dtypes and shapes, then the bytes. Nothing in a file can run code.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .dtype import float8_e4m3fn, float8_e5m2
from .errors import DataError, MissingFileError

FLOAT8 = {"F8_E4M3": float8_e4m3fn, "F8_E5M2": float8_e5m2}  # the package writes, and reads not
CODES = ("BOOL", "U8", "I8", "I16", "I32", "I64", "F16", "BF16", "F32", "F64", *FLOAT8)
FOREIGN = {  # first bytes -> what begins with them
    b"PK\x03\x04": "a zip archive (perhaps saved by torch.save or np.savez)",
    b"\x80": "a Python pickle, which can run any code when read and so is refused",
    b"\x93NUMPY": "a NumPy .npy file (use np.load)",
    b"\x89HDF": "an HDF5 file",
    b"GGUF": "a GGUF file",
    b"version https": "a Git LFS pointer; the file itself was not downloaded",
}
Arrays = dict[str, "np.ndarray[Any, Any]"]


def packed(arrays: Arrays, metadata: Mapping[str, str]) -> bytes:
    """The bytes of a file."""
    rows = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return save(rows, dict(metadata))


def write(path: Path, arrays: Arrays, metadata: Mapping[str, str]) -> None:
    """Writes a file under a temporary name in the same folder, then renames it into place.

    So at any moment, whatever fails, `path` is either the old file or the complete new one. The
    same arrays give the same bytes where metadata has one entry (the package keeps no order).
    """
    data = packed(arrays, metadata)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(
            f"save({str(path)!r}): writing failed: {error.strerror}.\n"
            "  The folder must exist and be writable; a file of this name, if there was one, is "
            "unchanged."
        ) from error
    finally:
        with suppress(OSError):  # it has been renamed, unless something failed
            temporary.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes the renaming itself survive a power cut, where the system allows it."""
    with suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read(path: Path) -> tuple[Arrays, dict[str, str]]:
    """(arrays, metadata). Raises DataError for a missing, truncated, damaged or foreign file."""
    try:
        with path.open("rb") as start:
            first = start.read(16)
        with safe_open(path, framework="np") as file:
            names = file.keys()
            codes = {name: file.get_slice(name).get_dtype() for name in names}
            for name, code in codes.items():
                _check_dtype(path, name, code)
            arrays = {n: file.get_tensor(n) for n, code in codes.items() if code not in FLOAT8}
            metadata = file.metadata() or {}
        if len(arrays) < len(codes):
            arrays |= _float8_tensors(path)
        return {name: arrays[name] for name in codes}, metadata
    except FileNotFoundError:
        text = f"load({str(path)!r}): there is no such file.{_similar(path)}"
        raise MissingFileError(text) from None
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"load({str(path)!r}): cannot read it: {reason}.") from error
    except SafetensorError as error:
        raise _explained(path, first, str(error)) from None


def read_stream(file: IO[bytes]) -> tuple[Arrays, dict[str, str]]:
    """What `read` gives, of an open file from where it stands to its end.

    By way of a temporary file, so that both read and refuse alike.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "stream"
        with path.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        try:
            return read(path)
        except DataError as error:
            raise DataError(str(error).replace(repr(str(path)), repr(file))) from None


def _float8_tensors(path: Path) -> Arrays:
    """The 8-bit floats of a file that the package has found to be sound."""
    found: Arrays = {}
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            dtype = FLOAT8.get(entry.get("dtype"))
            if dtype is not None:
                begin, end = entry["data_offsets"]
                file.seek(8 + size + begin)
                found[name] = np.frombuffer(bytearray(file.read(end - begin)), dtype)
                found[name] = found[name].reshape(entry["shape"])
    return found


def _check_dtype(path: Path, name: str, code: str) -> None:
    if code not in CODES:
        raise DataError(
            f"load({str(path)!r}): tensor {name!r} has dtype {code}, which gpugrad does not have; "
            f"supported are {', '.join(CODES)}."
        )


def _explained(path: Path, first: bytes, error: str) -> DataError:
    """What is wrong with a file, by its first bytes and what the package says of it."""
    kind = next((text for magic, text in FOREIGN.items() if first.startswith(magic)), None)
    if not first:
        reason = "the file is empty"
    elif kind is not None:
        reason = f"this is {kind}, not safetensors"
    elif first[8:9] not in (b"", b"{"):
        reason = "this is not a safetensors file"
    elif len(first) < 9 or "invalid header length" in error:
        reason = "the file is truncated: it ends inside its header"
    elif "not fully covered" in error:
        reason = "the file is truncated, or too long: its size is not what its header says"
    else:
        reason = f"the file is damaged: {error.rpartition('deserializing header: ')[2]}"
    return DataError(
        f"load({str(path)!r}): {reason}.\n  gg.load reads complete files written by gg.save or any "
        "safetensors library; copy, download or write it again."
    )


def _similar(path: Path) -> str:
    """Files of the same folder with a like name, for a mistyped path."""
    if not path.parent.is_dir():
        return f"\n  Its folder {str(path.parent)!r} does not exist either."
    near = get_close_matches(path.name, os.listdir(path.parent), n=3)
    return f"\n  Near names there: {', '.join(near)}." if near else ""
