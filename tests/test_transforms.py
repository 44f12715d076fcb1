"""Transforms of PIL images and tensors, against values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from image_files import array_of, both, pixels
from PIL import Image

import gpugrad as gg
import gpugrad.data.transforms.functional as TF
from gpugrad import vision
from gpugrad.data import DataLoader
from gpugrad.data import transforms as T
from gpugrad.errors import ArgumentError, DTypeError, ShapeError

# ---- conversions -------------------------------------------------------------------------------


def test_to_tensor() -> None:
    image, planes = both(np.uint8([[[0, 51, 102], [153, 204, 255]]]))  # 1 x 2, three channels
    x = T.ToTensor()(image)
    assert x.dtype == gg.float32 and x.shape == (3, 1, 2)
    np.testing.assert_array_equal(x.numpy(), planes.numpy() / np.float32(255))
    np.testing.assert_array_equal(T.ToTensor()(np.asarray(image)).numpy(), x.numpy())
    assert T.PILToTensor()(image).tolist() == [[[0, 153]], [[51, 204]], [[102, 255]]]
    grey = Image.fromarray(np.uint8([[7, 8]]))
    assert T.PILToTensor()(grey).tolist() == [[[7, 8]]]
    assert T.ToTensor()(Image.fromarray(np.array([[False, True]]))).tolist() == [[[0.0, 1.0]]]
    deep = Image.fromarray(np.int32([[70000, -3]]))
    assert T.ToTensor()(deep).tolist() == [[[70000, -3]]]
    assert T.ToTensor()(Image.fromarray(np.float32([[0.25, 8]]))).tolist() == [[[0.25, 8.0]]]
    assert T.ToTensor()(np.float64([[0.25, 8]])).dtype == gg.float64


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_to_pil_image_and_back(channels: int) -> None:
    image, x = both(pixels(4, 5, channels))
    back = T.ToPILImage()(x)
    assert back.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    np.testing.assert_array_equal(np.asarray(back), np.asarray(image))
    # 255 (v / 255) may lie just below v: cut, it would lose one. It does not, in float32.
    np.testing.assert_array_equal(np.asarray(T.ToPILImage()(T.ToTensor()(image))), image)
    np.testing.assert_array_equal(np.asarray(T.ToPILImage()(np.asarray(image))), image)


def test_to_pil_image_modes() -> None:
    x = gg.tensor(pixels(4, 5).transpose(2, 0, 1))
    assert T.ToPILImage("YCbCr")(x).mode == "YCbCr"
    assert T.ToPILImage()(x[:1].int()).mode == "I"
    assert T.ToPILImage()(np.float32([[0.5]])).mode == "F"
    assert T.ToPILImage()(x[0]).mode == "L"
    with pytest.raises(ArgumentError, match="mode = 'L' does not fit this picture; it is 'RGB'"):
        T.ToPILImage("L")(x)
    with pytest.raises(ShapeError, match=r"1 to 4 channels, got shape \(5, 4, 5\)"):
        T.ToPILImage()(gg.zeros(5, 4, 5))
    with pytest.raises(DTypeError, match="expected a tensor or a NumPy array, got a Image"):
        T.ToPILImage()(T.ToPILImage()(x))
    with pytest.raises(DTypeError, match="several channels are uint8, not int64"):
        T.ToPILImage()(x.long())


def test_convert_image_dtype() -> None:
    x = gg.tensor([0, 1, 128, 255], dtype=gg.uint8).reshape(1, 2, 2)
    assert T.ConvertImageDtype(gg.float32)(x).reshape(-1).tolist() == pytest.approx(
        [0, 1 / 255, 128 / 255, 1], rel=2**-23
    )
    assert T.ConvertImageDtype(gg.int16)(x).reshape(-1).tolist() == [0, 128, 16384, 32640]
    back = T.ConvertImageDtype(gg.uint8)
    assert back(T.ConvertImageDtype(gg.int16)(x)).equal(x)
    assert back(T.ConvertImageDtype(gg.float32)(x)).equal(x)
    assert back(gg.tensor([[[0.0, 0.5, 0.999, 1.0]]])).tolist() == [[[0, 127, 255, 255]]]
    assert back(x) is x


def test_normalize() -> None:
    x = gg.tensor([[[1.0, 2.0]], [[3.0, 5.0]]])
    normalize = T.Normalize(mean=(1.0, 3.0), std=(2.0, 4.0))
    assert normalize(x).tolist() == [[[0.0, 0.5]], [[0.0, 0.5]]]
    assert x.tolist() == [[[1.0, 2.0]], [[3.0, 5.0]]]
    assert T.Normalize((1.0,), (2.0,))(gg.stack([x, x])).shape == (2, 2, 1, 2)
    assert T.Normalize((1.0, 3.0), (2.0, 4.0), inplace=True)(x) is x
    assert x.tolist() == [[[0.0, 0.5]], [[0.0, 0.5]]]


# ---- geometry ----------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_flips_and_crops(channels: int) -> None:
    array = pixels(5, 7, channels)
    for image in both(array):
        np.testing.assert_array_equal(array_of(TF.hflip(image)), array[:, ::-1])
        np.testing.assert_array_equal(array_of(TF.vflip(image)), array[::-1])
        np.testing.assert_array_equal(array_of(TF.crop(image, 1, 2, 3, 4)), array[1:4, 2:6])
        border = np.pad(array, ((1, 4), (2, 5), (0, 0))[: array.ndim])
        np.testing.assert_array_equal(array_of(TF.crop(image, -1, -2, 10, 14)), border)
        assert not array_of(TF.crop(image, 9, 9, 2, 2)).any()
        np.testing.assert_array_equal(array_of(T.CenterCrop((3, 4))(image)), array[1:4, 2:6])
        larger = np.pad(array, ((0, 1), (1, 1), (0, 0))[: array.ndim])
        np.testing.assert_array_equal(array_of(T.CenterCrop((6, 9))(image)), larger)


MODES = {"constant": "constant", "edge": "edge", "reflect": "reflect", "symmetric": "symmetric"}


@pytest.mark.parametrize("mode", list(MODES))
@pytest.mark.parametrize("channels", [1, 3])
def test_pad(mode: str, channels: int) -> None:
    array = pixels(5, 7, channels)
    for padding, (left, top, right, bottom) in (
        (2, (2, 2, 2, 2)),
        ((1, 2), (1, 2, 1, 2)),
        ((1, 2, 3, 4), (1, 2, 3, 4)),
    ):
        border = ((top, bottom), (left, right), (0, 0))[: array.ndim]
        expected = np.pad(array, border, mode=mode)  # type: ignore[call-overload]
        for image in both(array):
            padded = T.Pad(padding, padding_mode=mode)(image)
            np.testing.assert_array_equal(array_of(padded), expected)


def test_pad_with_a_colour() -> None:
    for image in both(pixels(2, 2)):
        padded = array_of(TF.pad(image, 1, fill=(10, 20, 30)))
        assert padded[0, 0].tolist() == [10, 20, 30] and padded.shape == (4, 4, 3)
        assert array_of(TF.pad(image, 1, fill=9))[3, 3].tolist() == [9, 9, 9]
        with pytest.raises(ShapeError, match="has 2 values"):
            TF.pad(image, 1, fill=(1, 2))


@pytest.mark.parametrize("expand", [False, True])
@pytest.mark.parametrize("angle", [0, 30, 45, 90, 180, -77.3, 270])
def test_rotate(angle: float, expand: bool) -> None:
    """A tensor turns as its PIL image does; by 90 degrees as NumPy's rot90."""
    array = pixels(9, 12)
    image, x = both(array)
    turned = TF.rotate(image, angle, expand=expand, fill=(1, 2, 3))
    np.testing.assert_array_equal(
        array_of(TF.rotate(x, angle, expand=expand, fill=(1, 2, 3))), np.asarray(turned)
    )
    if expand and angle % 90 == 0:
        np.testing.assert_array_equal(np.asarray(turned), np.rot90(array, angle // 90))


def test_rotate_around_a_point() -> None:
    array = pixels(6, 6)
    image, x = both(array)
    for turned in (TF.rotate(image, 90, center=(0, 6)), TF.rotate(x, 90, center=(0, 6))):
        # The picture swings out to the left of its lower left corner, but for nothing.
        assert not array_of(turned).any()
    for turned in (TF.rotate(image, 90, center=(3, 3)), TF.rotate(x, 90, center=(3, 3))):
        np.testing.assert_array_equal(array_of(turned), np.rot90(array))
    smooth = TF.rotate(image, 33, interpolation=T.InterpolationMode.BILINEAR)
    assert smooth.size == image.size
    with pytest.raises(ArgumentError, match="tensors take NEAREST, not BILINEAR"):
        TF.rotate(x, 33, interpolation=T.InterpolationMode.BILINEAR)


def test_resized_sizes() -> None:
    image = Image.fromarray(pixels(30, 47))  # size is (width, height)
    assert T.Resize((10, 20))(image).size == (20, 10)
    assert T.Resize(10)(image).size == (15, 10)  # int(10 * 47 / 30) = 15
    assert T.Resize([10])(image.transpose(Image.Transpose.ROTATE_90)).size == (10, 15)
    assert T.Resize(20, max_size=25)(image).size == (25, 16)  # int(25 * 20 / 31) = 16
    assert T.Resize(30)(image) is image


@pytest.mark.parametrize("mode", ["BILINEAR", "BICUBIC"])
@pytest.mark.parametrize("size", [(6, 8), (24, 32), (5, 23), (1, 1)])
def test_resize_of_tensors(mode: str, size: tuple[int, int]) -> None:
    """As Pillow does it."""
    image, x = both(pixels(12, 16) // 2 + 64)  # cubics overshoot, but not out of 0 to 255
    resize = T.Resize(size, T.InterpolationMode[mode])
    ours, theirs = array_of(resize(x)), np.asarray(resize(image))
    assert ours.dtype == np.uint8 and ours.shape == (*size, 3)
    # Pillow rounds after the first axis, too: by 1/2, which the second weighs by at most 1.25.
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_resize_by_hand(mode: str) -> None:
    even = gg.full((3, 9, 9), 0.25, dtype=gg.float64)
    np.testing.assert_allclose(T.Resize(5, mode)(even).numpy(), 0.25, rtol=1e-14)
    assert T.Resize((5, 4), mode)(gg.zeros(2, 3, 9, 9)).shape == (2, 3, 5, 4)
    assert T.Resize((5, 4), mode)(gg.zeros(1, 9, 9).half()).dtype == gg.float16
    ramp = gg.tensor([[[0.0, 1.0, 2.0, 3.0]]])
    halves = T.Resize((1, 2), mode, antialias=False)(ramp).reshape(-1).tolist()
    # Middles lie at 1/2 and 5/2; the cubic of a = -3/4 weighs the four around by -3, 19, 19, -3.
    cubic = (0 * -3 + 0 * 19 + 1 * 19 + 2 * -3) / 32
    expected = {"nearest": [0, 2], "bilinear": [0.5, 2.5], "bicubic": [cubic, 3 - cubic]}
    assert halves == pytest.approx(expected[mode], rel=2**-22)
    if mode == "bilinear":  # a triangle over 4 pixels: weights 3 3 1 and 1 3 3 1, cut at the edge
        smooth = T.Resize((1, 2), mode)(ramp).reshape(-1).tolist()
        assert smooth == pytest.approx([(3 * 1 + 1 * 2) / 7, (1 + 3 * 2 + 3 * 3) / 7], rel=2**-22)


# ---- colours -----------------------------------------------------------------------------------


def test_shades_of_tensors_are_those_of_images() -> None:
    image, x = both(pixels(16, 16))
    for adjust in (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation):
        for factor in (0.0, 0.5, 1.0, 1.7):
            a, b = array_of(adjust(image, factor)), array_of(adjust(x, factor))
            # Pillow rounds grey where tensors cut it (1), which counts |1 - factor|, and cut again.
            assert np.abs(a.astype(int) - b.astype(int)).max() <= 2
    # Pillow cuts hue and shift to whole 255ths of a turn: 2 of them change a channel by 2 * 6
    # levels. Saturation and value, of 8 bits as well, count 1 each, the result another one.
    for shift in (-0.5, -0.1, 0.3):
        a, b = array_of(TF.adjust_hue(image, shift)), array_of(TF.adjust_hue(x, shift))
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 15
    for channels in (1, 3):
        a, b = (array_of(T.Grayscale(channels)(each)) for each in (image, x))
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1
    grey = Image.fromarray(pixels(3, 3, 1))
    assert TF.adjust_hue(grey, 0.2) is grey


def test_color_jitter() -> None:
    image, x = both(pixels(8, 8) // 2)
    for each in (image, x):
        assert array_of(T.ColorJitter()(each)).tolist() == array_of(each).tolist()
        seen = {array_of(T.ColorJitter(0.5, 0.5, 0.5, 0.2)(each)).tobytes() for _ in range(5)}
        assert len(seen) == 5
    jitter, dim = T.ColorJitter(brightness=(0.5, 1.5)), x.float() / 255
    ratios = [jitter(dim).mean().item() / dim.mean().item() for _ in range(200)]
    assert 0.5 <= min(ratios) < 0.55 and 1.45 < max(ratios) <= 1.5 + 1e-6
    assert repr(T.ColorJitter(0.4)).startswith("ColorJitter(brightness=(0.6, 1.4), contrast=None")


# ---- bad input ---------------------------------------------------------------------------------

IMAGE = Image.new("RGB", (8, 8))
X = gg.zeros(3, 8, 8)
BAD = [
    (lambda: T.ToTensor()("x"), DTypeError, "expected a PIL image or a NumPy array, got a str"),
    (lambda: T.ToTensor()(np.zeros(3)), ShapeError, "(H, W) or (H, W, C), got shape (3,)"),
    (lambda: T.PILToTensor()(X), DTypeError, "expected a PIL image, got a Tensor"),
    (lambda: T.Normalize((0,), (0,)), ArgumentError, "std = (0,) has a 0"),
    (lambda: T.Normalize((0,), (1,))(IMAGE), DTypeError, "Put ToTensor() before Normalize()"),
    (lambda: T.Normalize((0,), (1,))(X.byte()), DTypeError, "floating tensor, got uint8"),
    (lambda: T.Normalize((0, 1), (1, 1))(X), ShapeError, "mean has 2 values, the image 3 channels"),
    (lambda: T.Normalize((0,), (1,))(X[0]), ShapeError, "(..., C, H, W), got (8, 8)"),
    (lambda: T.Resize(0), ArgumentError, "Resize: size = 0; expected a whole number above 0"),
    (lambda: T.Resize(8, 9), ArgumentError, "interpolation = 9; expected an InterpolationMode"),
    (lambda: T.Resize((8, 8), max_size=9)(IMAGE), ArgumentError, "max_size = 9 needs a single"),
    (lambda: T.Resize(9, max_size=9)(IMAGE), ArgumentError, "max_size = 9 must be above size = 9"),
    (lambda: T.Resize(4, "lanczos")(X), ArgumentError, "tensors take NEAREST, BILINEAR, BICUBIC"),
    (lambda: T.Pad(-1), ArgumentError, "padding = -1; expected 1, 2 or 4 whole numbers, none neg"),
    (lambda: T.Pad((1, 2, 3)), ArgumentError, "padding = (1, 2, 3); expected 1, 2 or 4"),
    (lambda: T.Pad(1, padding_mode="wrap"), ArgumentError, "'wrap'; expected one of constant,"),
    (lambda: T.Pad(8, padding_mode="reflect")(X), ShapeError, "must be smaller than the image"),
    (lambda: T.RandomCrop(9)(IMAGE), ShapeError, "size 9 x 9 is larger than the image, 8 x 8"),
    (lambda: T.RandomCrop((1, 2, 3)), ArgumentError, "size = (1, 2, 3); expected a whole number"),
    (lambda: T.RandomHorizontalFlip(1.5), ArgumentError, "p = 1.5; a probability lies in [0, 1]"),
    (lambda: T.RandomResizedCrop(8, (0, 0)), ArgumentError, "scale = (0, 0); expected (low, high)"),
    (lambda: T.RandomResizedCrop(8, ratio=(2, 1)), ArgumentError, "ratio = (2, 1); expected (low"),
    (lambda: T.RandomErasing(scale=(0, 2)), ArgumentError, "scale = (0, 2); shares lie in [0, 1]"),
    (lambda: T.RandomErasing(value="red"), ArgumentError, "value = 'red'; the only word is 'rand"),
    (lambda: T.RandomErasing()(IMAGE), DTypeError, "Put ToTensor() before it"),
    (lambda: T.RandomErasing(1.0, value=(1, 2))(X), ShapeError, "2 entries, the image 3 channels"),
    (lambda: T.RandomRotation(-5), ArgumentError, "degrees = -5; must not be negative"),
    (lambda: T.ColorJitter(hue=0.6), ArgumentError, "hue = 0.6; its values must lie in [-0.5, 0.5"),
    (lambda: T.ColorJitter(contrast=(2, 1)), ArgumentError, "contrast = (2, 1); its values must"),
    (lambda: T.Grayscale(2), ArgumentError, "num_output_channels = 2; it must be 1 or 3"),
    (lambda: TF.adjust_brightness(X, -1), ArgumentError, "the factor -1 must not be negative"),
    (lambda: TF.adjust_hue(X, 0.6), ArgumentError, "hue_factor = 0.6; it must be in [-0.5, 0.5]"),
    (lambda: TF.hflip([1]), DTypeError, "hflip: expected a PIL image or a tensor, got a list"),
    (lambda: TF.crop(X, 0, 0, 0, 1), ArgumentError, "height = 0, width = 1; both must be above 0"),
    (lambda: T.Compose(T.ToTensor()), ArgumentError, "expected a list of transforms, got a ToTe"),
    (lambda: T.Compose([T.ToTensor]), ArgumentError, "transforms[0] is the class ToTensor"),
    (lambda: T.RandomChoice([]), ArgumentError, "got no transforms; give at least one"),
    (lambda: T.RandomChoice([abs], [0]), ArgumentError, "expected 1 weights of at least 0"),
    (lambda: T.Lambda(3), ArgumentError, "Lambda: expected a function, got a int"),
    (lambda: vision.utils.make_grid(gg.zeros(2, 2, 3, 3)), ShapeError, "of 1 or 3 channels, got"),
    (lambda: vision.utils.make_grid(X, nrow=0), ArgumentError, "nrow = 0, padding = 2; nrow must"),
]


@pytest.mark.parametrize(("call", "kind", "text"), BAD, ids=map(str, range(len(BAD))))
def test_bad_input(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)


# ---- the names programs import -----------------------------------------------------------------


def test_torchvisions_names() -> None:
    from gpugrad.utils.data import DataLoader as loader
    from gpugrad.vision import datasets, models, transforms

    assert transforms.Compose is T.Compose and loader is DataLoader
    assert datasets.CIFAR10 is gg.data.CIFAR10 and models.create is gg.models.create
    assert gg.utils.data.random_split is gg.data.random_split
    assert set(T.__all__) <= set(dir(transforms))


def test_make_grid_and_save_image(tmp_path: Any) -> None:
    x = gg.arange(5).float().reshape(5, 1, 1, 1).expand(5, 1, 2, 3) / 5
    grid = vision.utils.make_grid(x, nrow=3, padding=1, pad_value=1.0)
    assert grid.shape == (3, 2 * 3 + 1, 3 * 4 + 1)
    expected = np.ones((7, 13), np.float32)
    for i in range(5):
        expected[1 + i // 3 * 3 :, 1 + i % 3 * 4 :][:2, :3] = np.float32(i) / 5
    np.testing.assert_array_equal(grid.numpy(), np.stack([expected] * 3))
    span = vision.utils.make_grid(x, normalize=True)
    assert span.amax().item() == 1 and math.isclose(span.numpy()[0, 2, 7], 0.25, rel_tol=1e-6)
    vision.utils.save_image(x, tmp_path / "grid.png", nrow=3, padding=1)
    with Image.open(tmp_path / "grid.png") as image:
        assert image.size == (13, 7) and image.getpixel((5, 1)) == (51, 51, 51)
    with pytest.raises(gg.errors.DataError, match=r"cannot be written \(No such file"):
        vision.utils.save_image(x, tmp_path / "nothing" / "grid.png")
    with pytest.raises(gg.errors.DataError, match="unknown file extension"):
        vision.utils.save_image(x, tmp_path / "grid.what")
