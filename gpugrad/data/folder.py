"""Images in folders, one folder for each class."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpugrad.data.vision import Root, Transform, VisionDataset, data_root
from gpugrad.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from PIL.Image import Image

IMG_EXTENSIONS = (
    ".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp",
)  # fmt: skip


def default_loader(path: Root) -> Image:
    """The image in a file, in RGB. Raises DataError, naming the file, for one that is damaged."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.\n  Was it moved meanwhile?") from None
    except UnidentifiedImageError:
        raise DataError(
            f"{path}: not an image that Pillow can read.\n"
            "  The file is damaged or misnamed: replace or remove it."
        ) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error  # Pillow's ways to say: damaged
        raise DataError(
            f"{path}: cannot be read as an image ({reason}).\n"
            "  The file is damaged or not readable: replace or remove it."
        ) from None


class DatasetFolder(VisionDataset):
    """Files as root/class/.../name.ext; items are (loader(path), number of the class).

    Classes are the folders in root, sorted by name. Files are taken in sorted order, from folders
    inside a class as well (links to folders are followed); others are ignored.

    Attributes: `classes`; `class_to_idx`; `samples` (or `imgs`), a list of (path, number);
    `targets`, a list of the numbers.

    Args:
        root: the folder of classes.
        loader: reads a file.
        extensions: endings of the files that count, in any case; or give
        is_valid_file: path -> whether the file counts.
        allow_empty: let classes have no file.

    Raises DataError for a missing root, a root without folders, and classes without files.
    """

    def __init__(
        self,
        root: Root,
        loader: Callable[[str], Any],
        extensions: Iterable[str] | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        if (extensions is None) == (is_valid_file is None):
            raise ArgumentError(
                f"{type(self).__name__}: extensions and is_valid_file both say which files count; "
                "give one of them."
            )
        self.set_transforms(transform, target_transform)
        folder = data_root(root)
        assert folder is not None
        self.root = folder
        self.loader = loader
        self.extensions = None if extensions is None else tuple(e.lower() for e in extensions)
        self.classes = _class_names(type(self).__name__, folder)
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        endings = self.extensions or ()
        counts = is_valid_file or (lambda path: path.lower().endswith(endings))
        self.samples = [
            (path, number)
            for name, number in self.class_to_idx.items()
            for path in _files(folder / name)
            if counts(path)
        ]
        self.targets = [number for _, number in self.samples]
        if not allow_empty:
            self._check_classes()

    @property
    def imgs(self) -> list[tuple[str, int]]:
        """`samples`, as torchvision's ImageFolder calls it too."""
        return self.samples

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        return self.transformed(self.loader(path), target)

    def __len__(self) -> int:
        return len(self.samples)

    def _check_classes(self) -> None:
        found = set(self.targets)
        empty = [name for name, number in self.class_to_idx.items() if number not in found]
        if not empty:
            return
        which = "that is_valid_file accepts"
        if self.extensions:
            which = f"of a known kind ({', '.join(self.extensions)})"
        raise DataError(
            f"{type(self).__name__}: {self.root} has no file {which} for {', '.join(empty)}.\n"
            "  Put images there, remove the folders, or take allow_empty=True."
        )


class ImageFolder(DatasetFolder):
    """Images as root/class/.../name.png; items are (image, number of the class).

    Images are PIL's, in RGB, or what `transform` makes of them. See DatasetFolder for attributes
    and errors; a damaged image raises DataError with its name when it is asked for.

    Args:
        root: the folder of classes.
        loader: reads a file (default: Pillow).
        is_valid_file: path -> whether the file counts (default: by its ending, IMG_EXTENSIONS).
        allow_empty: let classes have no image.
    """

    def __init__(
        self,
        root: Root,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        loader: Callable[[str], Any] = default_loader,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(
            root,
            loader,
            IMG_EXTENSIONS if is_valid_file is None else None,
            transform,
            target_transform,
            is_valid_file,
            allow_empty,
        )


def _class_names(kind: str, root: Path) -> list[str]:
    try:
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    except OSError as error:
        raise DataError(
            f"{kind}: {root} cannot be read as a folder ({error.strerror}).\n"
            "  Name a folder that holds one folder of images for each class."
        ) from None
    if not names:
        raise DataError(
            f"{kind}: {root} has no folders; expected one for each class.\n"
            "  Sort the images into folders named after their classes."
        )
    return names


def _files(folder: Path) -> list[str]:
    """Paths of all files below `folder`, in sorted order."""
    return [
        os.path.join(place, name)
        for place, _, names in sorted(os.walk(folder, followlinks=True))
        for name in sorted(names)
    ]
