"""MNIST: 60,000 training and 10,000 test images of handwritten digits, 28 x 28.

A copy lies inside the package (files/mnist, with a NOTICE of origin and licence), so it needs no
network. Another folder, given as `root` or by the environment variable GPUGRAD_DATA, may hold other
copies, or sets of the same layout such as Fashion-MNIST.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpugrad.data.dataset import TensorDataset
from gpugrad.data.idx import read_idx
from gpugrad.errors import DataError

if TYPE_CHECKING:
    from gpugrad.device import Device

PACKAGED = Path(__file__).parent / "files" / "mnist"
CLASSES = tuple("0123456789")
SHAPE = (28, 28)
MEAN, STD = 0.1307, 0.3081  # of the training pixels, scaled to [0, 1]

SHA256 = {  # of the packaged files, whose names end in .gz
    "train-images-idx3-ubyte": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
_FOLDERS = ("MNIST", "MNIST/raw", "mnist", "mnist/raw", ".")  # .../raw is torchvision's layout


class MNIST(TensorDataset):
    """Normalised images (n, 1, 28, 28) float32 and labels (n,) int64, on one device.

    Items are (image, label). Pixels are (value / 255 - 0.1307) / 0.3081.

    Args:
        root: folder holding MNIST/, mnist/ or the files themselves; None takes GPUGRAD_DATA if
            it has them, else the copy inside the package.
        train: the 60,000 training images, or the 10,000 test images.
        device: where the tensors lie (the whole training set is 188 MB).

    Raises DataError when files are missing, damaged, or do not fit together.
    """

    classes = CLASSES

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        *,
        device: Device | str | None = None,
    ) -> None:
        from gpugrad import as_tensor

        images, labels = load_mnist(root, train)
        super().__init__(
            as_tensor(normalise(images), device=device),
            as_tensor(labels.astype(np.int64), device=device),
        )


def load_mnist(
    root: str | os.PathLike[str] | None = None, train: bool = True
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Images (n, 28, 28) uint8 and labels (n,) uint8 as published, checked. Raises DataError."""
    part = "train" if train else "t10k"
    image_path = find_file(f"{part}-images-idx3-ubyte.gz", root)
    label_path = find_file(f"{part}-labels-idx1-ubyte.gz", root)
    images, labels = read_idx(image_path), read_idx(label_path)
    if images.dtype != np.uint8 or images.shape[1:] != SHAPE:
        raise DataError(
            f"{image_path}: found shape {images.shape}, {images.dtype}; "
            "expected (n, 28, 28), uint8.\n"
            "  This is an IDX file, but not one of MNIST's image files. Check its name and origin."
        )
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise DataError(
            f"{label_path}: found shape {labels.shape}, {labels.dtype}; "
            f"expected {images.shape[:1]}, uint8, one label for each image of {image_path}.\n"
            "  Take both from the same place."
        )
    if len(labels) and labels.max() >= len(CLASSES):
        at = int(np.argmax(labels))
        raise DataError(
            f"{label_path}: label {labels[at]} at position {at}; expected 0 to {len(CLASSES) - 1}."
            "\n  The file is damaged or belongs to another data set."
        )
    return images, labels


def normalise(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """uint8 (n, 28, 28) to float32 (n, 1, 28, 28) of about zero mean and unit variance."""
    pixels = images * np.float32(1 / (255 * STD))
    pixels -= np.float32(MEAN / STD)
    return pixels[:, None]


def find_file(name: str, root: str | os.PathLike[str] | None = None) -> Path:
    """The path of one of MNIST's files, compressed or not.

    `root` must have it; GPUGRAD_DATA may (it names other data sets as well); the package has it.
    """
    if root is not None:
        found = _look_in(Path(root), name)
        if found is None:
            raise DataError(_not_found(Path(root), name))
        return found
    folder = os.environ.get("GPUGRAD_DATA")
    return (folder and _look_in(Path(folder), name)) or PACKAGED / name


def _look_in(root: Path, name: str) -> Path | None:
    plain = name.removesuffix(".gz")
    names = (name, plain, plain.replace("-idx", ".idx"))  # the last: as some unpackers name it
    paths = (root / folder / each for folder in _FOLDERS for each in names)
    return next((path for path in paths if path.is_file()), None)


def _not_found(root: Path, name: str) -> str:
    state = "has none of" if root.is_dir() else "is not a folder; expected one with"
    places = ", ".join(str(Path(folder) / name) for folder in _FOLDERS)
    return (
        f"MNIST: {root} {state} {places} (with or without .gz).\n"
        "  Put the file there, name another folder, or leave it out: the package has a copy."
    )
