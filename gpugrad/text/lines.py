"""Text files, read piece by piece, with errors that say where a file is not what it should be."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from gpugrad.errors import ArgumentError, DataError

PathLike = str | os.PathLike[str]
_CHUNK = 1 << 20
_MARKS = {  # first bytes -> the encoding they announce, the longer ones first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text(path: PathLike, encoding: str = "utf-8") -> str:
    """The whole of a text file. Errors as `read_lines`."""
    return "".join(_pieces(Path(path), encoding))


def read_lines(path: PathLike, encoding: str = "utf-8") -> Iterator[str]:
    """The lines of a text file, without their ends (\\n or \\r\\n), a megabyte at a time.

    A byte order mark at the start is left out.
    Raises DataError for a file that is missing, empty or not in this encoding (it names the byte),
    ArgumentError for an encoding that does not exist.
    """
    left = ""
    for piece in _pieces(Path(path), encoding):
        *lines, left = (left + piece).split("\n")
        for line in lines:
            yield line.removesuffix("\r")
    if left:
        yield left.removesuffix("\r")


class Lines:
    """The lines of one or several text files, read anew each time it is iterated over."""

    def __init__(self, *paths: PathLike, encoding: str = "utf-8") -> None:
        if not paths:
            raise ArgumentError("Lines: got no files; give at least one.")
        self.paths = [Path(path) for path in paths]
        self.encoding = encoding

    def __iter__(self) -> Iterator[str]:
        for path in self.paths:
            yield from read_lines(path, self.encoding)

    def __repr__(self) -> str:
        return f"Lines({', '.join(map(str, self.paths))})"


def decoded(data: bytes, name: str, encoding: str = "utf-8") -> str:
    """The text of a file's bytes. Errors as `read_lines`, with `name` for the file."""
    return "".join(_decode([data] if data else [], name, encoding))


def _pieces(path: Path, encoding: str) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            yield from _decode(iter(lambda: file.read(_CHUNK), b""), str(path), encoding)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.\n  Check its name.") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder.\n  Name a text file in it.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}.") from error


def _decode(chunks: Iterable[bytes], name: str, encoding: str) -> Iterator[str]:
    """Text of the chunks; the begun character at the end of one is kept for the next."""
    decoder = _decoder(encoding)
    position, begun = 0, b""  # of the chunk in the file; bytes kept from the one before
    for chunk in chunks:
        if position == 0:
            _check_mark(chunk, name, encoding)
        try:
            text = decoder.decode(chunk)
        except UnicodeDecodeError as error:
            raise _undecodable(error, position - len(begun), name, encoding) from None
        yield text.removeprefix("\ufeff") if position == 0 else text
        position += len(chunk)
        begun = decoder.getstate()[0]
    if position == 0:
        raise DataError(f"{name}: the file is empty.\n  It should have text.")
    try:
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _undecodable(error, position - len(begun), name, encoding) from None


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    try:
        # Codecs such as hex and rot13 are no encodings of text.
        if not codecs.lookup(encoding)._is_text_encoding:
            raise LookupError(encoding)
        return codecs.getincrementaldecoder(encoding)("strict")
    except LookupError:
        raise ArgumentError(
            f"there is no encoding {encoding!r}.\n"
            "  Known are utf-8, utf-16, latin-1, cp1252, shift_jis, gb18030 and Python's others."
        ) from None


def _check_mark(chunk: bytes, name: str, encoding: str) -> None:
    """Refuse a file that says at its start that its encoding is another one."""
    announced = next((known for mark, known in _MARKS.items() if chunk.startswith(mark)), None)
    utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
    if announced and utf8:
        raise DataError(
            f"{name}: not utf-8: its first bytes are those of {announced}.\n"
            f"  Name the encoding: encoding={announced!r} (--encoding {announced})."
        )


def _undecodable(error: UnicodeDecodeError, before: int, name: str, encoding: str) -> DataError:
    byte = error.object[error.start]
    return DataError(
        f"{name}: not {encoding}: byte 0x{byte:02x} at position {before + error.start} "
        f"({error.reason}).\n"
        "  Name the file's encoding, such as encoding='latin-1' (--encoding latin-1), or convert "
        f"it: iconv -f latin1 -t utf-8 {name}"
    )
