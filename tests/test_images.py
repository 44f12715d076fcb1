"""Pictures of digits become what MNIST's images look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpugrad.data.images import centred, photo, read_digit
from gpugrad.data.mnist import load_mnist
from gpugrad.errors import DataError

IMAGES = load_mnist(train=False)[0][:40]


def save(path: Path, array: np.ndarray[Any, Any], mode: str | None = None) -> Path:
    """Write an array as a PNG, converted to a mode."""
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path)
    return path


def distance(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """Mean difference in grey levels."""
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def test_mnist_images_stay_as_they_are(tmp_path: Path) -> None:
    for image in IMAGES:
        np.testing.assert_array_equal(read_digit(save(tmp_path / "x.png", image)), image)


def test_dark_on_bright_big_and_off_centre(tmp_path: Path) -> None:
    for image in IMAGES:
        big = np.kron(image, np.ones((9, 9), np.uint8))
        page = np.pad(255 - big, ((0, 130), (90, 10)), constant_values=255)
        found = read_digit(save(tmp_path / "x.png", page))
        assert found.shape == (28, 28)
        assert found.dtype == np.uint8
        assert distance(found, image) < 6


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "CMYK", "I", "F"])
def test_modes_agree(tmp_path: Path, mode: str) -> None:
    page = np.kron(255 - IMAGES[0], np.ones((3, 3), np.uint8))
    kind = ".tiff" if mode in ("CMYK", "I", "F") else ".png"
    expected = read_digit(save(tmp_path / "grey.png", page))
    found = read_digit(save(tmp_path / f"x{kind}", page, mode))
    assert distance(found, expected) < 1


def test_sixteen_bit_and_one_bit(tmp_path: Path) -> None:
    page = np.kron(255 - IMAGES[0], np.ones((3, 3), np.uint8))
    expected = read_digit(save(tmp_path / "grey.png", page))
    assert (
        distance(read_digit(save(tmp_path / "x.png", page.astype(np.uint16) * 257)), expected) < 1
    )
    assert distance(read_digit(save(tmp_path / "y.png", page, "1")), expected) < 25


@pytest.mark.parametrize("ink", [0, 255])
def test_transparent_background(tmp_path: Path, ink: int) -> None:
    """Ink of any colour on nothing."""
    alpha = np.kron(IMAGES[0], np.ones((3, 3), np.uint8))
    rgba = np.dstack([np.full_like(alpha, ink)] * 3 + [alpha])
    assert distance(read_digit(save(tmp_path / "x.png", rgba)), IMAGES[0]) < 6


def test_faint_ink_and_noise(tmp_path: Path) -> None:
    """Weak contrast on grey, slightly noisy paper."""
    noise = np.random.default_rng(0).integers(0, 4, (84, 84))
    page = 200 - np.kron(IMAGES[0] // 3, np.ones((3, 3), np.uint8)).astype(int) - noise
    assert distance(read_digit(save(tmp_path / "x.png", page.astype(np.uint8))), IMAGES[0]) < 8


def test_thin_digit_and_edges(tmp_path: Path) -> None:
    line = np.zeros((60, 40), np.uint8)
    line[:, 39] = 255  # touches three edges, one pixel wide
    line[0, 39] = line[59, 39] = 255
    found = read_digit(save(tmp_path / "x.png", line))
    rows, columns = np.nonzero(found)
    assert rows.max() - rows.min() == 19
    assert set(columns.tolist()) == {14}
    corner = np.zeros((20, 20))
    corner[0, 0] = 255
    assert centred(corner)[8, 8] == 255  # shifted as far as the field allows


@pytest.mark.parametrize("value", [0, 128, 255])
def test_blank(tmp_path: Path, value: int) -> None:
    path = save(tmp_path / "blank.png", np.full((30, 50), value, np.uint8))
    with pytest.raises(DataError, match=r"blank.png: shows no digit: the image \(50 x 30\)"):
        read_digit(path)


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_digit(tmp_path / "nothing.png")
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    with pytest.raises(DataError, match="not an image; expected a PNG"):
        read_digit(text)
    with pytest.raises(DataError, match="cannot be read as an image"):
        read_digit(tmp_path)
    cut = save(
        tmp_path / "cut.png", np.random.default_rng(0).integers(0, 255, (99, 99)).astype("u1")
    )
    cut.write_bytes(cut.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"cut.png: cannot be read as an image"):
        read_digit(cut)


def test_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "huge.png", np.zeros((100, 100), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(DataError, match="more than 50 pixels"):
        read_digit(path)


def test_photo_takes_the_central_square() -> None:
    rng = np.random.default_rng(0)
    exact = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
    np.testing.assert_array_equal(photo(Image.fromarray(exact)), exact.transpose(2, 0, 1))
    wide = np.zeros((32, 50, 3), np.uint8)
    wide[:, 9:41] = exact
    np.testing.assert_array_equal(photo(Image.fromarray(wide)), exact.transpose(2, 0, 1))
    grey = Image.new("L", (100, 64), 7)
    assert photo(grey).shape == (3, 32, 32)
    np.testing.assert_array_equal(photo(grey), np.full((3, 32, 32), 7))
