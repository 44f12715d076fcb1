"""The files of IMDB as their publisher lays them out: aclImdb/{train,test}/{neg,pos}/ID_STARS.txt.

Source: https://ai.stanford.edu/~amaas/data/sentiment/ (Maas et al. 2011).
"""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path

from gpugrad.errors import DataError
from gpugrad.text.lines import decoded

FOLDER, ARCHIVE = "aclImdb", "aclImdb_v1.tar.gz"
KINDS = ("neg", "pos")
_URL = f"https://ai.stanford.edu/~amaas/data/sentiment/{ARCHIVE}"
_Read = tuple[list[str], list[int]]


def read(root: Path | None, part: str) -> _Read:
    """(texts, labels) of "train" or "test", in order of their names; label 1 is positive."""
    place = find(root)
    texts, labels = _from_folder(place, part) if place.is_dir() else _from_archive(place, part)
    counts = [labels.count(0), labels.count(1)]
    if 0 in counts:
        raise DataError(
            f"{place}: {part} has {counts[0]} negative and {counts[1]} positive reviews.\n"
            f"  Unpack {ARCHIVE} again."
        )
    return texts, labels


def find(root: Path | None) -> Path:
    """The publisher's folder or archive: `root` itself, or in it. Raises DataError without one."""
    if root is not None:
        folders = [path for path in (root, root / FOLDER) if (path / "train" / "pos").is_dir()]
        archives = [path for path in (root, root / ARCHIVE) if path.is_file()]
        if folders or archives:
            return (folders or archives)[0]
    looked = f" in {root}" if root else ""
    raise DataError(
        f"IMDB: neither the folder {FOLDER} nor {ARCHIVE}{looked}.\n  Fetch {_URL} and put it "
        "there, or set GPUGRAD_DATA to the folder with it."
    )


def _from_folder(place: Path, part: str) -> _Read:
    texts, labels = [], []
    for label, kind in enumerate(KINDS):
        for path in sorted((place / part / kind).glob("*.txt")):
            texts.append(decoded(path.read_bytes(), str(path)))
            labels.append(label)
    return texts, labels


def _from_archive(place: Path, part: str) -> _Read:
    found: dict[str, tuple[str, int]] = {}
    folders = {f"{FOLDER}/{part}/{kind}": label for label, kind in enumerate(KINDS)}
    try:
        with tarfile.open(place, "r:*") as archive:
            for member in archive:
                folder, _, name = member.name.removeprefix("./").rpartition("/")
                if folder in folders and name.endswith(".txt") and member.isfile():
                    file = archive.extractfile(member)
                    assert file is not None
                    text = decoded(file.read(), f"{place}:{member.name}")
                    found[member.name] = (text, folders[folder])
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{place}: cannot be unpacked: {error}.\n  The file is damaged: fetch {_URL} again."
        ) from error
    rows = [found[name] for name in sorted(found)]
    return [text for text, _ in rows], [label for _, label in rows]
