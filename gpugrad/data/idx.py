"""IDX files: the format in which MNIST and its relatives are published.

    byte 0, 1   0
    byte 2      element type: 08 uint8, 09 int8, 0B int16, 0C int32, 0D float32, 0E float64
    byte 3      number of axes
    then        one big-endian uint32 for each axis
    then        the elements, big-endian, row-major, and nothing after them

Source: the format note on the MNIST page (LeCun, Cortes, Burges).
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from gpugrad.errors import DataError

DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20
_WAY_OUT = "The file is damaged or is not the published one: fetch or copy it again."


def read_idx(path: str | os.PathLike[str]) -> np.ndarray[Any, Any]:
    """The array in an IDX file, in native byte order.

    Whether the file is gzip-compressed is told by its first bytes, not by its name.

    Raises DataError, naming the file, what was found and what was expected, when the file is
    missing or unreadable, the gzip stream is corrupt or cut, the magic number or a size is wrong,
    or there are fewer or more bytes than the header says.
    """
    path = Path(path)
    try:
        with open(path, "rb") as raw:
            compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if not compressed:
                return _parse(raw, path)
            with gzip.GzipFile(fileobj=raw) as stream:
                return _parse(stream, path)  # type: ignore[arg-type]
    except FileNotFoundError:
        _fail(path, "no such file", "an IDX file", "Check the name, or the folder given by --data.")
    except EOFError:
        _fail(path, "the gzip stream ends early (truncated)", "a whole gzip file")
    except (gzip.BadGzipFile, zlib.error) as error:
        _fail(path, f"corrupt gzip data ({error})", "a gzip file with a matching checksum")
    except OSError as error:
        _fail(path, f"cannot be read ({error.strerror or error})", "a readable file",
              "Check the permissions of the file and its folder.")  # fmt: skip


def _parse(stream: BinaryIO, path: Path) -> np.ndarray[Any, Any]:
    dtype, shape = _header(stream, path)
    expected = math.prod(shape) * dtype.itemsize
    # One byte more than expected: it shows trailing bytes, and at the end gzip checks its checksum.
    body = _read_up_to(stream, expected + 1)
    layout = f"shape {shape}, {dtype.newbyteorder('=').name}"
    if len(body) < expected:
        _fail(path, f"{len(body)} bytes of data (truncated)", f"{expected} bytes for {layout}")
    if len(body) > expected:
        _fail(path, f"trailing bytes after the {expected} bytes of data",
              f"the end of the file after {layout}")  # fmt: skip
    return np.frombuffer(body, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _header(stream: BinaryIO, path: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = _read_up_to(stream, 4)
    if len(magic) < 4:
        _fail(
            path, f"a file of {len(magic)} bytes (truncated)", "an IDX header of at least 4 bytes"
        )
    dtype = DTYPES.get(magic[2])
    if magic[:2] != b"\0\0" or dtype is None:
        types = ", ".join(f"{code:02x}" for code in DTYPES)
        _fail(path, f"wrong magic number {magic.hex(' ')}",
              f"00 00, an element type ({types}) and the number of axes",
              "This is not an IDX file. Check its name and origin.")  # fmt: skip
    ndim = magic[3]
    sizes = _read_up_to(stream, 4 * ndim)
    if len(sizes) < 4 * ndim:
        _fail(path, f"a header cut after {4 + len(sizes)} bytes (truncated)",
              f"{4 + 4 * ndim} bytes for {ndim} axes")  # fmt: skip
    return dtype, struct.unpack(f">{ndim}I", sizes)


def _read_up_to(stream: BinaryIO, limit: int) -> bytearray:
    """At most `limit` bytes, in pieces: a wrong size in the header must not allocate at once."""
    body = bytearray()
    while len(body) < limit:
        piece = stream.read(min(limit - len(body), _CHUNK))
        if not piece:
            break
        body += piece
    return body


def _fail(path: Path, found: str, expected: str, way_out: str = _WAY_OUT) -> NoReturn:
    raise DataError(f"{path}: {found}; expected {expected}.\n  {way_out}") from None
