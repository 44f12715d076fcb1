"""The files of CIFAR-10 and CIFAR-100, as their publisher lays them out.

    python version  a pickled dict for each batch: "data" uint8 (n, 3072), and lists of labels
    binary version  records of 1 label byte (CIFAR-100: 2, coarse and fine) and 3072 pixel bytes

The 3072 values of an image are its red, green and blue planes, each row by row.
Source: https://www.cs.toronto.edu/~kriz/cifar.html (Krizhevsky 2009).
"""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gpugrad.data.download import download
from gpugrad.data.pickles import read_pickle
from gpugrad.errors import DataError

URL = "https://www.cs.toronto.edu/~kriz/"
PIXELS = 3 * 32 * 32
_Array = np.ndarray[Any, Any]
_AGAIN = "The file is damaged or is not the published one: fetch or unpack it again."


class Edition(NamedTuple):
    """One form in which the data is published: its folder, the archive of it, the batches."""

    folder: str
    archive: str
    md5: str
    train: tuple[str, ...]
    test: tuple[str, ...]


class Publication(NamedTuple):
    """A data set. `labels` are the keys of a batch's labels; the last one is the class."""

    name: str
    python: Edition
    binary: Edition
    labels: tuple[str, ...]
    counts: tuple[int, ...]  # how many labels there are, for each key


class Place(NamedTuple):
    """Where a data set was found: a folder with its files, or an archive."""

    path: Path
    edition: Edition


def find(published: Publication, root: Path | None, fetch: bool) -> Place:
    """The first complete copy: in a folder of the publisher's name, in `root` itself, or packed.

    fetch: download the Python version to `root`, and unpack it, where there is none.
    Raises DataError that says which file to put where, or which batches are missing.
    """
    if root is None:
        raise DataError(
            f"{published.name}: no folder was named.\n"
            "  Give root, or set GPUGRAD_DATA to the folder of your data sets (`gpugrad train`: "
            f"--data DIR).\n  Put {URL}{published.python.archive} there, unpacked or not."
        )
    editions = (published.python, published.binary)
    folders = [(each, root / each.folder) for each in editions]
    folders += [(each, root) for each in editions if root.name == each.folder]
    absent = {path: _absent(path, each) for each, path in folders}
    for edition, path in folders:
        if not absent[path]:
            return Place(path, edition)
    for edition in editions:
        if (root / edition.archive).is_file():
            return Place(root / edition.archive, edition)
    if fetch:
        return _fetch(published.python, root)
    for _, path in folders:
        if path.is_dir():
            raise DataError(
                f"{published.name}: {path} lacks {', '.join(absent[path])}.\n"
                f"  Unpack the publisher's archive again: {_advice(published, root)}"
            )
    raise DataError(_not_found(published, root))


def load(published: Publication, place: Place, train: bool) -> tuple[_Array, _Array]:
    """Images (n, 3, 32, 32) uint8 and labels (n,) uint8 of all batches, checked."""
    edition = place.edition
    names = edition.train if train else edition.test
    contents = _contents(place, names)
    parse = _from_pickle if edition is published.python else _from_records
    batches = [parse(published, contents.pop(path), path) for path in list(contents)]
    images = np.concatenate([pixels for pixels, _ in batches]).reshape(-1, 3, 32, 32)
    return images, np.concatenate([labels for _, labels in batches])


# ---- finding -------------------------------------------------------------------------------------


def _absent(folder: Path, edition: Edition) -> list[str]:
    return [name for name in (*edition.train, *edition.test) if not (folder / name).is_file()]


def _advice(published: Publication, root: Path) -> str:
    edition = published.python
    return (
        f"put {URL}{edition.archive} into {root}, unpacked or not (or take download=True where "
        "there is a network)."
    )


def _not_found(published: Publication, root: Path) -> str:
    state = "has none of" if root.is_dir() else "is not a folder; expected one with"
    names = [f"{each.folder}/" for each in (published.python, published.binary)]
    names += [each.archive for each in (published.python, published.binary)]
    advice = _advice(published, root)
    return f"{published.name}: {root} {state} {', '.join(names)}.\n  P{advice[1:]}"


def _fetch(edition: Edition, root: Path) -> Place:
    archive = root / edition.archive
    download(URL + edition.archive, archive, edition.md5)
    folder = root / edition.folder
    contents = _contents(Place(archive, edition), (*edition.train, *edition.test))
    try:
        folder.mkdir(exist_ok=True)
        for path, content in contents.items():
            part = folder / f".{path.name}.part"
            part.write_bytes(content)
            part.replace(folder / path.name)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written ({error.strerror or error}).\n"
            "  Check permissions and free space, or name another folder."
        ) from None
    return Place(folder, edition)


# ---- reading -------------------------------------------------------------------------------------


def _contents(place: Place, names: tuple[str, ...]) -> dict[Path, bytes]:
    """The bytes of each named file, by a path for messages."""
    if place.path.is_dir():
        return {place.path / name: _read(place.path / name) for name in names}
    wanted = {f"{place.edition.folder}/{name}": name for name in names}
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(place.path, "r|gz") as archive:  # a stream: unpacked only once
            for member in archive:
                name = wanted.get(member.name.removeprefix("./"))
                file = archive.extractfile(member) if name and member.isfile() else None
                if name and file:
                    found[name] = file.read()
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(
            f"{place.path}: not a whole .tar.gz archive ({error}).\n  {_AGAIN}"
        ) from None
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(f"{place.path}: has no {place.edition.folder}/{missing[0]}.\n  {_AGAIN}")
    return {place.path / place.edition.folder / name: found[name] for name in names}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}).\n"
            "  Check the permissions of the file and its folder."
        ) from None


def _from_records(published: Publication, content: bytes, path: Path) -> tuple[_Array, _Array]:
    keys = len(published.labels)
    size = keys + PIXELS
    if not content or len(content) % size:
        raise DataError(
            f"{path}: a file of {len(content)} bytes; expected records of {size} bytes, {keys} for "
            f"labels and {PIXELS} for pixels.\n  {_AGAIN}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    for i, key in enumerate(published.labels):
        _check_labels(published, records[:, i], key, path)
    return records[:, keys:], records[:, keys - 1]


def _from_pickle(published: Publication, content: bytes, path: Path) -> tuple[_Array, _Array]:
    batch = read_pickle(content, path)
    if not isinstance(batch, dict):
        raise DataError(f"{path}: a pickled {type(batch).__name__}; expected a dict.\n  {_AGAIN}")
    batch = {k.decode("latin1") if isinstance(k, bytes) else k: v for k, v in batch.items()}
    keys = ("data", *published.labels)
    missing = [key for key in keys if key not in batch]
    if missing:
        raise DataError(
            f"{path}: a dict without {missing[0]!r} (it has {sorted(map(str, batch))}); expected "
            f"{', '.join(keys)}.\n  {_AGAIN}"
        )
    data = batch["data"]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (PIXELS,):
        found = f"{data.shape}, {data.dtype}" if isinstance(data, np.ndarray) else type(data)
        raise DataError(f"{path}: data is {found}; expected (n, {PIXELS}), uint8.\n  {_AGAIN}")
    if not len(data):
        raise DataError(f"{path}: holds no images.\n  {_AGAIN}")
    return data, [_labels(published, batch[key], key, len(data), path) for key in keys[1:]][-1]


def _labels(published: Publication, found: Any, key: str, count: int, path: Path) -> _Array:
    flat = isinstance(found, list) and all(np.ndim(label) == 0 for label in found)
    labels = np.asarray(found) if flat else np.empty(0)
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        size = f"{len(found)} entries" if isinstance(found, list) else f"a {type(found).__name__}"
        raise DataError(
            f"{path}: {key} has {size}; expected a list of {count} whole numbers, one for each "
            f"image.\n  {_AGAIN}"
        )
    _check_labels(published, labels, key, path)
    return labels.astype(np.uint8)


def _check_labels(published: Publication, labels: _Array, key: str, path: Path) -> None:
    limit = published.counts[published.labels.index(key)]
    wrong = np.flatnonzero((labels < 0) | (labels >= limit))
    if wrong.size:
        at = int(wrong[0])
        raise DataError(
            f"{path}: {key} has {labels[at]} at position {at}; expected 0 to {limit - 1}.\n"
            "  The file is damaged or belongs to another data set."
        )
