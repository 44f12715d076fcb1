"""Data sets of texts with labels: IMDB, SST-2, and tables of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from gpugrad.data.dataset import Dataset
from gpugrad.data.vision import data_root
from gpugrad.errors import ArgumentError, DataError
from gpugrad.text import imdb_files
from gpugrad.text.lines import PathLike
from gpugrad.text.tables import class_names, columns_of, read_table

Transform = Callable[[str], object]


class TextDataset(Dataset):
    """Items are (text, label): a string, or what `transform` makes of it, and an int.

    Attributes: `texts`; `labels`, ints; `classes`, their names. Raises DataError for an empty text,
    ArgumentError for other numbers of texts and labels.
    """

    def __init__(
        self,
        texts: Sequence[str],
        labels: Sequence[int],
        classes: Sequence[str],
        transform: Transform | None = None,
    ) -> None:
        if len(texts) != len(labels):
            raise ArgumentError(f"TextDataset: {len(texts)} texts with {len(labels)} labels.")
        self.texts, self.labels, self.classes = list(texts), list(labels), tuple(classes)
        self.transform = transform
        empty = next((i for i, text in enumerate(self.texts) if not text.strip()), None)
        if empty is not None:
            raise DataError(f"TextDataset: text {empty} is empty.\n  Leave it out.")

    def __getitem__(self, index: int) -> tuple[object, int]:
        text = self.texts[index]
        return (text if self.transform is None else self.transform(text)), self.labels[index]

    def __len__(self) -> int:
        return len(self.texts)


class IMDB(TextDataset):
    """50,000 reviews of films, 25,000 to train on, half of them positive (Maas et al. 2011).

    Args:
        root: the publisher's folder aclImdb, its archive aclImdb_v1.tar.gz, or a folder with one of
            them; None takes GPUGRAD_DATA.
        train: the training reviews, or the test reviews.

    Line breaks, which are <br /> in the files, become spaces.
    """

    CLASSES: ClassVar[tuple[str, str]] = ("negative", "positive")

    def __init__(
        self,
        root: PathLike | None = None,
        train: bool = True,
        transform: Transform | None = None,
    ) -> None:
        texts, labels = imdb_files.read(data_root(root), "train" if train else "test")
        texts = [text.replace("<br />", " ") for text in texts]
        super().__init__(texts, labels, self.CLASSES, transform)


class SST2(TextDataset):
    """Phrases of film reviews, positive or negative (Socher et al. 2013), in GLUE's layout.

    Args:
        root: a folder with train.tsv, dev.tsv (test.tsv), or a folder with such a folder SST-2;
            None takes GPUGRAD_DATA.
        split: "train", "dev" or "test". GLUE publishes no labels of its test set.

    Raises DataError for missing files, and a test set without labels.
    """

    CLASSES: ClassVar[tuple[str, str]] = ("negative", "positive")
    FOLDERS: ClassVar[tuple[str, ...]] = ("SST-2", "SST2", "sst2", "sst-2")

    def __init__(
        self,
        root: PathLike | None = None,
        split: str = "train",
        transform: Transform | None = None,
    ) -> None:
        if split not in ("train", "dev", "test"):
            raise ArgumentError(f"SST2: split = {split!r}; known are 'train', 'dev', 'test'.")
        path = self.folder(root) / f"{split}.tsv"
        if not path.is_file():
            raise DataError(f"{path}: there is no such file.\n  Unpack GLUE's SST-2.zip again.")
        table = read_table(path)
        wrong = sorted(set(table.labels) - {"0", "1"})
        if wrong:
            raise DataError(f"{path}: labels {', '.join(wrong[:5])}; SST-2 has 0 and 1.")
        super().__init__(table.texts, [int(x) for x in table.labels], self.CLASSES, transform)

    @classmethod
    def folder(cls, root: PathLike | None = None) -> Path:
        """Where the files lie. Raises DataError where they do not."""
        place = data_root(root)
        if place is not None:
            for path in (place, *(place / name for name in cls.FOLDERS)):
                if (path / "train.tsv").is_file():
                    return path
        looked = f" in {place}" if place else ""
        raise DataError(
            f"SST-2: no train.tsv{looked}.\n  Unpack https://dl.fbaipublicfiles.com/glue/data/"
            "SST-2.zip there, or set GPUGRAD_DATA to the folder with SST-2."
        )

    @classmethod
    def has_test_labels(cls, root: PathLike | None = None) -> bool:
        """Whether test.tsv is there, with labels."""
        path = cls.folder(root) / "test.tsv"
        return path.is_file() and "label" in columns_of(path)


class TableDataset(TextDataset):
    """The rows of a CSV, TSV or JSON lines file (read_table has its arguments and errors).

    Args:
        classes: names of the classes, in order of their numbers, as of the set trained on; None
            takes the different labels, sorted. Raises DataError for a label that is none of them.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        text: str | None = None,
        label: str | None = None,
        encoding: str = "utf-8",
        classes: Sequence[str] | None = None,
        transform: Transform | None = None,
    ) -> None:
        table = read_table(path, text, label, encoding)
        names = class_names(table.labels) if classes is None else list(classes)
        number = {name: i for i, name in enumerate(names)}
        wrong = sorted(set(table.labels) - set(names))
        if wrong:
            raise DataError(
                f"{path}: labels {', '.join(map(repr, wrong[:5]))} are none of the classes "
                f"{', '.join(names)}."
            )
        super().__init__(table.texts, [number[x] for x in table.labels], names, transform)
