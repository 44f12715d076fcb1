"""Images in folders, one for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpugrad.data import DataLoader, DatasetFolder, ImageFolder
from gpugrad.data.transforms import ToTensor
from gpugrad.errors import ArgumentError, DataError


def write(path: Path, value: int = 0, mode: str = "RGB") -> None:
    """An even picture of 4 x 3."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (4, 3), value).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes with three pictures and a text."""
    write(tmp_path / "cat" / "b.png", 10)
    write(tmp_path / "cat" / "a.JPG", 20)
    write(tmp_path / "ant" / "deep" / "c.bmp", 30, "L")
    (tmp_path / "ant" / "notes.txt").write_text("no picture")
    (tmp_path / "labels.csv").write_text("not a class")
    return tmp_path


def test_items(root: Path) -> None:
    dataset = ImageFolder(root)
    assert dataset.classes == ["ant", "cat"] and dataset.class_to_idx == {"ant": 0, "cat": 1}
    names = [(str(Path(path).relative_to(root)), label) for path, label in dataset.samples]
    assert names == [("ant/deep/c.bmp", 0), ("cat/a.JPG", 1), ("cat/b.png", 1)]
    assert dataset.imgs == dataset.samples and dataset.targets == [0, 1, 1]
    assert len(dataset) == 3
    image, label = dataset[0]
    assert image.mode == "RGB" and image.getpixel((0, 0)) == (30, 30, 30) and label == 0
    with pytest.raises(IndexError):
        dataset[3]
    assert "ImageFolder\n    Number of datapoints: 3" in repr(dataset)


def test_transforms_and_loader(root: Path) -> None:
    dataset = ImageFolder(str(root), ToTensor(), lambda label: label + 5)
    x, y = next(iter(DataLoader(dataset, 3)))
    assert x.shape == (3, 3, 3, 4) and y.tolist() == [5, 6, 6]
    np.testing.assert_allclose(x[2, 0].numpy(), 10 / 255, rtol=2**-23)


def test_own_rules(root: Path) -> None:
    texts = DatasetFolder(root, lambda path: Path(path).read_text(), (".TXT",), allow_empty=True)
    assert [item for item in texts] == [("no picture", 0)]  # noqa: C416 (iterates by index)
    short = ImageFolder(root, is_valid_file=lambda path: not path.endswith(".txt"))
    assert len(short) == 3
    with pytest.raises(ArgumentError, match="extensions and is_valid_file both say which files"):
        DatasetFolder(root, str)
    with pytest.raises(ArgumentError, match="both say which files"):
        DatasetFolder(root, str, (".png",), is_valid_file=bool)


def test_missing_and_empty(root: Path, tmp_path: Path) -> None:
    def cause(folder: Any) -> str:
        with pytest.raises(DataError) as caught:
            ImageFolder(folder)
        return str(caught.value)

    assert "nothing cannot be read as a folder (No such file or directory)" in cause(
        tmp_path / "nothing"
    )
    assert "cannot be read as a folder (Not a directory)" in cause(root / "labels.csv")
    assert "has no folders; expected one for each class.\n  Sort the images" in cause(root / "cat")
    for name in ("bee", "eel"):
        (root / name).mkdir()
    (root / "bee" / "sting.txt").write_text("")
    text = cause(root)
    assert "has no file of a known kind (.jpg, .jpeg, .png," in text and "for bee, eel." in text
    assert len(ImageFolder(root, allow_empty=True)) == 3
    with pytest.raises(DataError, match="has no file that is_valid_file accepts for ant, bee, c"):
        ImageFolder(root, is_valid_file=lambda path: False)


def test_damaged_images(root: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    Image.fromarray(noise).save(root / "cat" / "b.png")
    good = (root / "cat" / "b.png").read_bytes()
    for content, reason in (
        (b"", "not an image that Pillow can read"),
        (b"no image", "not an image that Pillow can read"),
        (good[: len(good) // 2], "cannot be read as an image ("),
    ):
        path = root / "cat" / "b.png"
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            ImageFolder(root)[2]
        assert str(caught.value).startswith(f"{path}: {reason}")
        assert "\n  The file is damaged or" in str(caught.value)
    dataset = ImageFolder(root)
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        dataset[2]
