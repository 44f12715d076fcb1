"""Pictures, and small data sets in their publishers' formats, made by the tests that read them."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import gpugrad as gg
from gpugrad.data import CIFAR10, cifar_files

_Array = np.ndarray[Any, Any]


def make_images(count: int, classes: int, seed: int = 0) -> tuple[_Array, _Array]:
    """uint8 (count, 3, 32, 32) and labels. A class is learnable: each has a colour, and stripes of
    its own direction and width; phase, brightness and noise differ from image to image."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    colours = np.random.default_rng(99).uniform(-60, 60, (classes, 3))
    y, x = np.mgrid[:32, :32]
    angle = labels * np.pi / classes
    wave = 0.4 + 0.5 * (labels % 3)
    phase = rng.uniform(0, 2 * np.pi, count)
    way = np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y
    stripes = np.sin(way * wave[:, None, None] + phase[:, None, None])
    images = 128 + 40 * stripes[:, None] + colours[labels][:, :, None, None]
    images = images + rng.normal(0, 15, (count, 3, 32, 32)) + rng.normal(0, 10, (count, 1, 1, 1))
    return np.clip(images, 0, 255).astype(np.uint8), labels


def write_cifar(
    root: Path,
    kind: type[CIFAR10],
    edition: str,
    train: int = 20,
    test: int = 10,
    packed: bool = False,
) -> tuple[_Array, _Array]:
    """A copy below `root` ("python", "python2": as Python 2 pickled it, or "binary"), unpacked or
    as .tar.gz; gives the training images (n, 3, 32, 32) and labels."""
    published = kind.published
    form: cifar_files.Edition = published.binary if edition == "binary" else published.python
    files: dict[str, bytes] = {}
    kept = None
    for part, count, names in ((0, train, form.train), (1, test, form.test)):
        images, labels = make_images(count, published.counts[-1], seed=part)
        kept = kept or (images, labels)
        for name, rows in zip(names, np.array_split(np.arange(count), len(names)), strict=True):
            files[name] = _batch(published, edition, images[rows], labels[rows])
    if packed:
        root.mkdir(parents=True, exist_ok=True)
        with tarfile.open(root / form.archive, "w:gz") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(f"{form.folder}/{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    else:
        (root / form.folder).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (root / form.folder / name).write_bytes(content)
    assert kept is not None
    return kept


def _batch(
    published: cifar_files.Publication, edition: str, images: _Array, labels: _Array
) -> bytes:
    flat = images.reshape(len(images), -1)
    columns = {"fine_labels": labels, "labels": labels, "coarse_labels": labels // 5}
    keys = published.labels
    if edition == "binary":
        heads = [columns[key].astype(np.uint8)[:, None] for key in keys]
        return np.concatenate([*heads, flat], axis=1).tobytes()
    batch: dict[Any, Any] = {"batch_label": "a batch", "data": flat}
    batch |= {key: columns[key].tolist() for key in keys}
    return pickle.dumps(batch) if edition == "python" else python2_pickle(batch)


class _Python2Pickler(pickle._Pickler):  # type: ignore[name-defined, misc]
    """Writes strings and bytes as Python 2 wrote its one kind of string."""

    def save_string(self, value: Any) -> None:
        content = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(value)

    dispatch = {**pickle._Pickler.dispatch, str: save_string, bytes: save_string}  # type: ignore[attr-defined]  # noqa: RUF012


def python2_pickle(value: Any) -> bytes:
    """A pickle as Python 2 and NumPy 1 wrote it, in protocol 2, as the published files are."""
    buffer = io.BytesIO()
    _Python2Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def idx_bytes(array: _Array) -> bytes:
    """A uint8 array as an IDX file."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_fashion(folder: Path) -> tuple[_Array, _Array]:
    """Fashion-MNIST's four files; gives the training images (12, 28, 28) and labels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    kept = None
    for part, count in (("train", 12), ("t10k", 6)):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = rng.integers(0, 10, count, np.uint8)
        kept = kept or (images, labels)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            path = folder / f"{part}-{name}-ubyte.gz"
            path.write_bytes(gzip.compress(idx_bytes(array), mtime=0))
    assert kept is not None
    return kept


def pixels(height: int, width: int, channels: int = 3, seed: int = 0) -> _Array:
    """uint8 (H, W, C), or (H, W) for one channel."""
    array = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return array[:, :, 0] if channels == 1 else array


def both(array: _Array) -> tuple[Image.Image, gg.Tensor]:
    """One picture as a PIL image and as a tensor (C, H, W)."""
    planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return Image.fromarray(array), gg.tensor(planes)


def array_of(image: Any) -> _Array:
    """(H, W) or (H, W, C) of a PIL image or a tensor."""
    if isinstance(image, Image.Image):
        return np.asarray(image)
    array: _Array = image.numpy().transpose(1, 2, 0)
    return array[:, :, 0] if array.shape[2] == 1 else array
