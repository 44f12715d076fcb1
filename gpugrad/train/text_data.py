"""Data sets of texts with labels, by name or file, as the jobs use them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpugrad.errors import DataError
from gpugrad.text import IMDB, SST2, TableDataset, TextDataset
from gpugrad.text.imdb_files import ARCHIVE
from gpugrad.text.tables import ENDINGS
from gpugrad.train.text import TextOptions, held_out, preprocessing

_VALID, _VALID_MOST = 0.05, 2500
_TEST, _TEST_MOST = 0.1, 10_000


@dataclass
class TextData:
    """Texts to train on, to choose the best epoch by, and to test on."""

    name: str
    train: TextDataset
    valid: TextDataset
    test: TextDataset

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.train.classes


def load_text_data(options: TextOptions) -> TextData:
    """IMDB, SST-2, or a table; what has no validation or test set of its own gets a part, drawn at
    random, of what there is to train on.

    Raises DataError for missing or damaged files, and texts of one class only.
    """
    data = options.data or "imdb"
    if data == "imdb" or _is_imdb(Path(data)):
        place = options.root if data == "imdb" else data
        found = _with_valid("imdb", IMDB(place), IMDB(place, train=False))
    elif data == "sst2" or (Path(data) / "train.tsv").is_file():
        found = _sst2(options.root if data == "sst2" else data)
    elif Path(data).suffix.lower() in ENDINGS:
        found = _table(data, options)
    else:
        raise DataError(
            f"there is no data set {data!r}.\n  Name imdb or sst2 (their folder by --root or "
            f"GPUGRAD_DATA), or a file that ends in {', '.join(ENDINGS)}."
        )
    change = preprocessing(options.drop_stop_words, options.lemmatize)
    for part in (found.train, found.valid, found.test):
        part.texts = [change(text) for text in part.texts]
    present = set(found.train.labels)
    if len(present) < 2:
        raise DataError(
            f"{data}: all {len(found.train)} texts to train on have one label, "
            f"{found.classes[present.pop()]!r}.\n  Give texts of at least two classes."
        )
    return found


def _is_imdb(path: Path) -> bool:
    return path.name == ARCHIVE or (path / "train" / "pos").is_dir()


def _sst2(root: str | None) -> TextData:
    """Tested on the test set where its labels are there, else on the development set."""
    train, dev = SST2(root), SST2(root, "dev")
    if SST2.has_test_labels(root):
        return TextData("sst2", train, dev, SST2(root, "test"))
    return _with_valid("sst2", train, dev)


def _table(path: str, options: TextOptions) -> TextData:
    columns = (options.text_column, options.label_column, options.encoding)
    whole = TableDataset(path, *columns)
    if options.test:
        test = TableDataset(options.test, *columns, classes=whole.classes)
        return _with_valid(Path(path).stem, whole, test)
    if len(whole) < 10:
        raise DataError(f"{path}: has {len(whole)} rows; training needs at least 10.")
    kept, tested = held_out(len(whole), _TEST, _TEST_MOST)
    return _with_valid(Path(path).stem, _part(whole, kept), _part(whole, tested))


def _with_valid(name: str, train: TextDataset, test: TextDataset) -> TextData:
    if len(train) < 2:
        raise DataError(
            f"{name}: has {len(train)} rows to train on; one of at least 2 is held out to choose "
            "the best epoch by."
        )
    kept, chosen = held_out(len(train), _VALID, _VALID_MOST)
    return TextData(name, _part(train, kept), _part(train, chosen), test)


def _part(whole: TextDataset, indices: list[int]) -> TextDataset:
    texts = [whole.texts[i] for i in indices]
    return TextDataset(texts, [whole.labels[i] for i in indices], whole.classes)
