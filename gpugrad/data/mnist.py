"""MNIST: 60,000 training and 10,000 test images of handwritten digits, 28 x 28.

A copy lies inside the package (files/mnist, with a NOTICE of origin and licence), so it needs no
network. Another folder, given as `root` or by the environment variable GPUGRAD_DATA, may hold other
copies. Fashion-MNIST (fashion.py) is published in the same layout.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from gpugrad.data.dataset import TensorDataset
from gpugrad.data.download import download as fetch
from gpugrad.data.idx import read_idx
from gpugrad.data.vision import Root, Transform, Transforming, data_root
from gpugrad.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

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


class Publication(NamedTuple):
    """A data set in MNIST's layout: where its files may lie, and come from."""

    name: str
    folders: tuple[str, ...]  # looked in below root; .../raw is torchvision's layout
    packaged: Path | None = None
    url: str = ""
    md5: dict[str, str] = {}  # noqa: RUF012 (a tuple's default, never changed)


_MNIST = Publication("MNIST", ("MNIST", "MNIST/raw", "mnist", "mnist/raw", "."), PACKAGED)


class MNIST(TensorDataset, Transforming):
    """Normalised images (n, 1, 28, 28) float32 and labels (n,) int64, on one device.

    Items are (image, label). Pixels are (value / 255 - 0.1307) / 0.3081. With `transform` the data
    set is torchvision's: items are made one by one, (transform(PIL image), int). (Without one
    torchvision gives PIL images; here tensors stay tensors, which a DataLoader takes in batches.)

    Attributes: `data`, uint8 (n, 28, 28), and `targets`, int64 (n,), on the CPU; `classes`.

    Args:
        root: folder holding MNIST/, mnist/ or the files themselves; None takes GPUGRAD_DATA if
            it has them, else the copy inside the package.
        train: the 60,000 training images, or the 10,000 test images.
        download: take the copy inside the package where root has none; nothing is fetched.
        device: where the tensors lie (the whole training set is 188 MB).

    Raises DataError when files are missing, damaged, or do not fit together.
    """

    published: ClassVar[Publication] = _MNIST
    classes: ClassVar[tuple[str, ...]] = CLASSES
    mean: ClassVar[float] = MEAN
    std: ClassVar[float] = STD

    def __init__(
        self,
        root: Root | None = None,
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
        *,
        device: Device | str | None = None,
    ) -> None:
        from gpugrad import as_tensor, from_numpy

        self.set_transforms(transform, target_transform)
        self.root, self.train = root, train
        images, labels = _load(self.published, root, train, download)
        self.data, self.targets = from_numpy(images), from_numpy(labels.astype(np.int64))
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        if transform is not None:  # items are made one by one, of the images as published
            super().__init__(self.data, self.targets)
            return
        pixels = as_tensor(normalise(images, self.mean, self.std), device=device)
        super().__init__(pixels, self.targets.to(pixels.device))

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        if self.takes_batches:
            return super().__getitem__(index)
        if self.transform is None:
            return self.transformed(self.tensors[0][index], int(self.targets[index]))
        return self.transformed(self.image(index), int(self.targets[index]))

    def image(self, index: int) -> Image:
        """Image `index` as a grey PIL image, without transform."""
        from PIL import Image

        return Image.fromarray(self.data[index].numpy())

    @property
    def takes_batches(self) -> bool:
        """Whether batches can be taken on the device: not where transforms are to be applied."""
        own = type(self).__getitem__ is not MNIST.__getitem__ or hasattr(self, "__getitems__")
        return self.transform is None and self.target_transform is None and not own


def load_mnist(root: Root | None = None, train: bool = True) -> tuple[Any, Any]:
    """Images (n, 28, 28) uint8 and labels (n,) uint8 as published, checked. Raises DataError."""
    return _load(_MNIST, root, train, False)


def _load(
    published: Publication, root: Root | None, train: bool, download: bool
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    part = "train" if train else "t10k"
    image_path = _find(published, f"{part}-images-idx3-ubyte.gz", root, download)
    label_path = _find(published, f"{part}-labels-idx1-ubyte.gz", root, download)
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


def normalise(
    images: np.ndarray[Any, Any], mean: float = MEAN, std: float = STD
) -> np.ndarray[Any, Any]:
    """uint8 (n, 28, 28) to float32 (n, 1, 28, 28) of about zero mean and unit variance."""
    pixels = images * np.float32(1 / (255 * std))
    pixels -= np.float32(mean / std)
    return pixels[:, None]


def _find(published: Publication, name: str, root: Root | None, download: bool) -> Path:
    folder = data_root(root)
    found = _look_in(published, folder, name) if folder is not None else None
    if found is not None:
        return found
    if published.packaged is not None and (root is None or download):
        return published.packaged / name
    if folder is None:
        raise DataError(
            f"{published.name}: no folder was named.\n"
            "  Give root, or set GPUGRAD_DATA to the folder of your data sets."
        )
    if not download:
        raise DataError(_not_found(published, folder, name))
    path = folder / published.folders[0] / name
    fetch(published.url + name, path, published.md5[name])
    return path


def _look_in(published: Publication, root: Path, name: str) -> Path | None:
    plain = name.removesuffix(".gz")
    names = (name, plain, plain.replace("-idx", ".idx"))  # the last: as some unpackers name it
    paths = (root / folder / each for folder in published.folders for each in names)
    return next((path for path in paths if path.is_file()), None)


def _not_found(published: Publication, root: Path, name: str) -> str:
    state = "has none of" if root.is_dir() else "is not a folder; expected one with"
    places = ", ".join(str(Path(folder) / name) for folder in published.folders)
    way_out = "Put the file there, name another folder, or leave it out: the package has a copy."
    if published.packaged is None:
        way_out = (
            f"Put {published.url}{name} there (and the other three files), or take download=True "
            "where there is a network."
        )
    return f"{published.name}: {root} {state} {places} (with or without .gz).\n  {way_out}"
