"""What data sets of images share: transforms, and the folder where files are looked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpugrad.data.dataset import Dataset
from gpugrad.data.transforms.fixed import is_unmade
from gpugrad.errors import ArgumentError

Transform = Callable[[Any], Any]
Root = str | os.PathLike[str]


class Transforming:
    """Holds `transform` (of the image) and `target_transform` (of the label); either may be None.

    Raises ArgumentError for what cannot be called, and for a class in place of an instance.
    """

    transform: Transform | None
    target_transform: Transform | None

    def set_transforms(self, transform: Transform | None, target: Transform | None) -> None:
        """Check both and keep them."""
        for name, value in (("transform", transform), ("target_transform", target)):
            kind = getattr(value, "__name__", type(value).__name__)
            if is_unmade(value):
                raise ArgumentError(
                    f"{type(self).__name__}: {name} is the class {kind}.\n  Make one: {kind}(...)."
                )
            if value is not None and not callable(value):
                raise ArgumentError(
                    f"{type(self).__name__}: {name} is a {kind}, which cannot be called.\n"
                    "  Give a function, or a transform of gpugrad.vision.transforms."
                )
        self.transform, self.target_transform = transform, target

    def transformed(self, image: Any, target: Any) -> tuple[Any, Any]:
        """Both, each through its transform."""
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target


class VisionDataset(Dataset, Transforming):
    """Base of data sets whose items are (PIL image, label), each through its transform if given."""

    root: Path | None

    def __repr__(self) -> str:
        lines = [f"Dataset {type(self).__name__}", f"Number of datapoints: {len(self)}"]
        if self.root is not None:
            lines.append(f"Root location: {self.root}")
        for name in ("transform", "target_transform"):
            if getattr(self, name) is not None:
                lines.append(f"{name}: {getattr(self, name)!r}")
        return "\n    ".join(line.replace("\n", "\n    ") for line in lines)


def data_root(root: Root | None) -> Path | None:
    """The folder to look in: `root`, or the one GPUGRAD_DATA names, or None."""
    if root is not None:
        return Path(root).expanduser()
    folder = os.environ.get("GPUGRAD_DATA")
    return Path(folder) if folder else None
