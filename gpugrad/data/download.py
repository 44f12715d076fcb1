"""Fetching a published file: checked by its checksum, and there whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

from gpugrad.errors import DataError

_CHUNK = 1 << 20
_TIMEOUT = 30.0  # seconds without an answer


def download(url: str, path: Path, md5: str) -> None:
    """Write the file at `url` to `path`, if its MD5 (which its publisher gives) is `md5`.

    It is written under another name in that folder (which is made) and renamed when complete.
    Raises DataError, which says what to put where by hand, without a network, for a server's
    refusal, a wrong checksum, and a folder that cannot be written.
    """
    by_hand = f"Fetch {url} where there is a network, and put it at {path}."
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}).\n"
            "  Check permissions, or name another folder."
        ) from None
    try:
        with os.fdopen(handle, "wb") as file:
            found = _copy(url, file)
        if found != md5:
            raise DataError(
                f"{url}: the downloaded file has MD5 {found}; expected {md5}.\n"
                f"  It was damaged on its way or changed at its source; nothing was kept. {by_hand}"
            )
        os.replace(name, path)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise DataError(f"{url}: cannot be downloaded ({reason}).\n  {by_hand}") from None
    finally:
        Path(name).unlink(missing_ok=True)


def _copy(url: str, file: IO[bytes]) -> str:
    """Copy what is at `url`, with a progress bar on a terminal; gives its MD5."""
    from tqdm import tqdm

    digest = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
        size: Any = answer.headers.get("Content-Length")
        total = int(size) if size else None
        with tqdm(total=total, desc=url, unit="B", unit_scale=True, disable=None) as bar:
            while piece := answer.read(_CHUNK):
                file.write(piece)
                digest.update(piece)
                bar.update(len(piece))
    return digest.hexdigest()
