"""Small text files, written whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpugrad.errors import DataError


def write_text(path: Path, text: str) -> Path:
    """Write under another name in that folder, then rename; gives the path."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written: {error.strerror or error}.\n  Check permissions, or name "
            "another folder."
        ) from error
    finally:
        with suppress(OSError):  # it has been renamed, unless something failed
            temporary.unlink()
    return path


def write_json(path: Path, value: Any) -> Path:
    """As indented JSON."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_lines(path: Path, lines: Iterable[str]) -> Path:
    """One line each."""
    return write_text(path, "".join(f"{line}\n" for line in lines))
