"""CIFAR-10 and CIFAR-100: 50,000 training and 10,000 test photographs, 32 x 32, in colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gpugrad.data import cifar_files
from gpugrad.data.cifar_files import Edition, Publication
from gpugrad.data.dataset import TensorDataset
from gpugrad.data.vision import Root, Transform, VisionDataset, data_root

if TYPE_CHECKING:
    from PIL.Image import Image

    from gpugrad.device import Device

_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
_CIFAR10 = Publication(
    "CIFAR-10",
    Edition(
        "cifar-10-batches-py",
        "cifar-10-python.tar.gz",
        "c58f30108f718f92721af3b95e74349a",
        _BATCHES,
        ("test_batch",),
    ),
    Edition(
        "cifar-10-batches-bin",
        "cifar-10-binary.tar.gz",
        "c32a1d4ab5d03f1284b67883e8d87530",
        tuple(f"{name}.bin" for name in _BATCHES),
        ("test_batch.bin",),
    ),
    ("labels",),
    (10,),
)
_CIFAR100 = Publication(
    "CIFAR-100",
    Edition(
        "cifar-100-python",
        "cifar-100-python.tar.gz",
        "eb9058c3a382ffc7106e4002c42a8d85",
        ("train",),
        ("test",),
    ),
    Edition(
        "cifar-100-binary",
        "cifar-100-binary.tar.gz",
        "03b5dce01913d631647c71ecec9e9cb8",
        ("train.bin",),
        ("test.bin",),
    ),
    ("coarse_labels", "fine_labels"),
    (20, 100),
)

_CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree
orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum
rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train
trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


class CIFAR10(VisionDataset):
    """Items are (image, label): a PIL image of 32 x 32 in RGB, or what `transform` makes of it,
    and an int, or what `target_transform` makes of it.

    Attributes: `data`, uint8 (n, 32, 32, 3); `targets`, a list of ints; `classes`, their names;
    `class_to_idx`. For training on a device take `tensor_dataset(device)`: a DataLoader then cuts
    batches there, without touching single images.

    Args:
        root: folder with the publisher's folder or .tar.gz, Python or binary version; None takes
            GPUGRAD_DATA.
        train: the 50,000 training images, or the 10,000 test images.
        download: fetch the Python version to root (170 MB, checked by its MD5) where there is none.

    Raises DataError when files are missing (it says which to put where) or damaged.
    """

    published: ClassVar[Publication] = _CIFAR10
    classes: ClassVar[tuple[str, ...]] = (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip
    mean: ClassVar[tuple[float, ...]] = (
        0.4914,
        0.4822,
        0.4465,
    )  # of the training pixels, in [0, 1]
    std: ClassVar[tuple[float, ...]] = (0.2470, 0.2435, 0.2616)

    def __init__(
        self,
        root: Root | None = None,
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        self.set_transforms(transform, target_transform)
        self.root = data_root(root)
        self.train = train
        place = cifar_files.find(self.published, self.root, download)
        self._planes, labels = cifar_files.load(self.published, place, train)
        self.targets: list[int] = labels.tolist()
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}

    @property
    def data(self) -> np.ndarray[Any, Any]:
        """The images, uint8 (n, 32, 32, 3): a view of how they are stored, plane by plane."""
        return self._planes.transpose(0, 2, 3, 1)

    @data.setter
    def data(self, images: np.ndarray[Any, Any]) -> None:
        self._planes = np.asarray(images).transpose(0, 3, 1, 2)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.transformed(self.image(index), self.targets[index])

    def image(self, index: int) -> Image:
        """Image `index`, without transform."""
        from PIL import Image

        return Image.fromarray(np.ascontiguousarray(self.data[index]))

    def __len__(self) -> int:
        return len(self.targets)

    def tensor_dataset(
        self, device: Device | str | None = None, *, normalise: bool = False
    ) -> TensorDataset:
        """All images (n, 3, 32, 32) and labels (n,) int64 as tensors on a device; no transforms.

        uint8 as published (the training set is 154 MB), or, with `normalise`, float32
        (value / 255 - mean) / std for each colour (614 MB).
        """
        from gpugrad import as_tensor, tensor

        planes = self._planes
        if normalise:
            mean, std = (np.array(v, np.float32)[:, None, None] for v in (self.mean, self.std))
            pixels = planes * (1 / (255 * std))
            pixels -= mean / std
            images = as_tensor(pixels, device=device)
        else:
            images = tensor(planes, device=device)
        return TensorDataset(images, tensor(np.asarray(self.targets, np.int64), device=device))


class CIFAR100(CIFAR10):
    """As CIFAR10, with 100 classes (the fine labels) of 600 images each."""

    published = _CIFAR100
    classes = tuple(_CIFAR100_CLASSES.split())
    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)
